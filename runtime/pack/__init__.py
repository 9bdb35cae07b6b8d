"""Packs: a bundle as one signed file that is checked before anything reads it, and what a box keeps of them."""
