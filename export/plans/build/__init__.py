"""How a plan is built: options, TensorRT's configuration, its memory and what it says meanwhile."""
