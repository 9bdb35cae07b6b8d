"""NVIDIA's TensorRT and TensorRT for RTX: their libraries, plans, and the engine that runs them."""
