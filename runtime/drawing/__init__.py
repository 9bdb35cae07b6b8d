"""A page on this machine on which region of interest and ignored areas are drawn over a picture."""
