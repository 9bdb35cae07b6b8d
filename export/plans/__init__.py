"""From graphs to TensorRT plans."""
