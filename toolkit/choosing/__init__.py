"""Choosing a method without defective parts."""
