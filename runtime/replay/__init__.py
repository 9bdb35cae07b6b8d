"""Parts judged again: those of a record by any bundle, and those of a running line by a second one."""
