"""Every error csflow raises on purpose, sorted by what the operator can do about it.

    CSFlowError                 exit code
    ├── ConfigError             1   correct the option or the configuration file
    ├── DataError               1   correct the images or their folders
    ├── CalibrationError        1   bring more good parts, or calibrate again
    ├── BundleError             3   name the right bundle, or make it
    │   ├── BundleMissing       3   name the right bundle, or make it
    │   ├── BundleVersionError  3   update csflow
    │   └── BundleCorrupted     3   copy or make the bundle again
    ├── EngineError             4   make the engine again
    │   ├── BackendUnavailable  4   install the extra that the message names
    │   ├── EngineMismatch      4   export again for this machine or model
    │   └── InferenceError      4   restart; if it comes back, report it
    ├── SourceError             5   check the camera or the path
    │   ├── FrameError          5   look at the one picture it names; the stream goes on
    │   ├── PartNotFound        5   look at the picture: it shows no part, or one that lies out of reach
    │   └── SourceLost          6   check cable and power; the stream had worked before
    └── SinkError               7   free the disk, or correct the output path

A message says what happened, what was expected and what to do next, in one line. `EndOfStream` is no error.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from csflow.runtime.faults import FaultWord

__all__ = [
    "BackendUnavailable",
    "BundleCorrupted",
    "BundleError",
    "BundleMissing",
    "BundleVersionError",
    "CSFlowError",
    "CalibrationError",
    "ConfigError",
    "DataError",
    "EndOfStream",
    "EngineError",
    "EngineMismatch",
    "FrameError",
    "InferenceError",
    "PartNotFound",
    "SinkError",
    "SourceError",
    "SourceLost",
]


class CSFlowError(Exception):
    """Base of all errors that csflow raises on purpose; `exit_code` is what a command ends with."""

    exit_code: ClassVar[int] = 1


class ConfigError(CSFlowError):
    """An option or configuration value is wrong: unknown key, value out of range, impossible combination."""


class DataError(CSFlowError):
    """A data set cannot be used: no good images, an unreadable file, a defect folder inside train/."""


class CalibrationError(CSFlowError):
    """A threshold is missing, does not belong to this model, or cannot be given honestly with these parts."""


class BundleError(CSFlowError):
    """The bundle is missing, incomplete, or lacks what this command needs."""

    exit_code: ClassVar[int] = 3


class BundleMissing(BundleError):
    """There is none at `path`; a command adds how it is told another."""

    path: Path = Path()

    def __init__(self, path: Path) -> None:
        super().__init__(f"no bundle at {path}: train one with 'csflow train', or name another")
        self.path = path


class BundleVersionError(BundleError):
    """The bundle was written in a newer format than this csflow reads."""


class BundleCorrupted(BundleError):
    """A file of the bundle is truncated, edited, or swapped: its hash or its schema does not fit."""


class EngineError(CSFlowError):
    """An engine cannot be opened or has failed."""

    exit_code: ClassVar[int] = 4


class BackendUnavailable(EngineError):
    """The library behind a backend is not installed or does not load on this machine."""


class EngineMismatch(EngineError):
    """The engine does not fit the bundle or the machine, or decides differently from the trained model."""


class InferenceError(EngineError):
    """An opened engine failed on a frame."""


class SourceError(CSFlowError):
    """A camera, stream or file cannot be opened or read."""

    exit_code: ClassVar[int] = 5


class FrameError(SourceError):
    """One frame could not be delivered, for example a damaged file; the source goes on with the next."""

    def __init__(self, message: str, index: int, source: str, fault: FaultWord = "frame") -> None:
        super().__init__(message)
        self.index = index
        """Number that the frame would have had."""
        self.source = source
        """Where it would have come from."""
        self.fault = fault
        """The kind of failure in one word, as `Result.fault` has it."""


class PartNotFound(SourceError):
    """A picture does not show the part that the bundle aligns it by."""


class SourceLost(SourceError):
    """A source that had delivered frames stopped doing so: cable, power, network."""

    exit_code: ClassVar[int] = 6


class SinkError(CSFlowError):
    """A result cannot be written: disk full, read-only directory."""

    exit_code: ClassVar[int] = 7


class EndOfStream(Exception):
    """A source with a natural end (folder, video file) has delivered its last frame."""
