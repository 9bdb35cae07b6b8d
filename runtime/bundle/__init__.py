"""The bundle directory: manifest, thresholds, golden frames, records of the decision gate."""
