"""An EfficientNet in eight bits."""
