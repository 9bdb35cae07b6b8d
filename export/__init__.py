"""Write the ONNX graphs of a bundle and check them. Needs the extra `export`."""
