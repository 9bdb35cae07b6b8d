"""CS-Flow's graph: the flow rewritten for inference."""
