"""Pages on this machine for one person: to draw region and ignored areas on, and to see what is captured."""
