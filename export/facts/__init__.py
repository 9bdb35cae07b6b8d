"""`csflow inspect`: what a bundle, a graph or a plan holds."""
