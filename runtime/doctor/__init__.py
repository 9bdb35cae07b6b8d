"""`csflow doctor`: what this machine has, what it lacks, and the command that mends it."""

from csflow.runtime.doctor.examination import examine

__all__ = ["examine"]
