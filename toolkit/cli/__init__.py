"""The commands that train, import and evaluate."""
