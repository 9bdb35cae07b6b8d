"""Commands that read what a run recorded."""
