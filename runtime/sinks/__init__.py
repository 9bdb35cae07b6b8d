"""Sinks of results, one module a kind."""
