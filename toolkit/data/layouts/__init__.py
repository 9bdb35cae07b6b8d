"""Layouts of public data sets, one module a family: each says by what lies there whether a folder is its own."""
