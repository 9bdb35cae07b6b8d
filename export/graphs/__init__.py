"""From trained modules to ONNX graphs."""
