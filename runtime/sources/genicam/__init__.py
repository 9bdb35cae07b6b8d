"""GenICam cameras through any GenTL producer, whose driver runs in a process of its own."""
