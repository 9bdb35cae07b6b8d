"""Outputs that append lines to a file."""
