"""GLAD: one Gaussian mixture for all positions of a feature map, with weights of their own at each position."""
