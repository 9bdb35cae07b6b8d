"""The decision gate: an engine may decide only where it decides as the trained model does."""
