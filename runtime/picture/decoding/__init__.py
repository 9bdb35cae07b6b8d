"""Decoders of single formats."""
