"""Detectors: each is a head over the features of a backbone."""
