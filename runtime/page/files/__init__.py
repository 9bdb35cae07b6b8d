"""What the page reads from disk: its words in a language, and the pictures that a run has saved."""
