"""Fitting a bundle that there is to a rounded backbone, or to more pictures."""
