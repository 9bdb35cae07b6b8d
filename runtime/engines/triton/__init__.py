"""Inference by a Triton server over the KServe protocol: address, connection, shared memory, engine."""
