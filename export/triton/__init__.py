"""A bundle as models of a Triton server: what they are, their configurations, and the folder that the server reads."""
