"""The machine below: processor, memory, GPU, cache directory, systemd, what can be written to."""

from csflow.runtime.machine.machine import Machine

__all__ = ["Machine"]
