"""Adapters: how controllers reach the process image. Each is a projection of it and keeps nothing of its own."""
