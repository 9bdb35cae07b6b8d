"""Backends. Each module imports its library; `csflow.runtime.engine` imports the module on demand."""
