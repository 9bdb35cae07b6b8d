"""Many products at once: each trained, calibrated, exported and proved as one alone would be, side by side."""
