"""A graph in INT8: its dense convolutions rounded so that the score of a good part moves as little as can be."""
