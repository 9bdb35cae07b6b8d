"""Train, evaluate and prepare CS-Flow models. Needs the extra `train` (torch, timm)."""
