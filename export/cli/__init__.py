"""The commands that export, verify and inspect."""
