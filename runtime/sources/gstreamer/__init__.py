"""Cameras and streams through a GStreamer process."""
