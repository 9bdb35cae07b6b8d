"""From any picture to the model input, and from the map back to a picture."""
