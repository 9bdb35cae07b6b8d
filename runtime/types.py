"""The values that travel from camera to verdict. All are immutable; arrays state shape, dtype and unit."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.faults import FaultWord, Verdict

__all__ = ["Frame", "Identity", "Pose", "Prediction", "Result", "TileScore", "TileScores", "Verdict"]


@dataclass(frozen=True)
class Pose:
    """How the part of a picture lies to the reference of the bundle's alignment (`csflow.runtime.picture.align`)."""

    x: int = 0
    y: int = 0
    """Where the middle of the reference lies, from the picture's own, in 1/2048 of the side."""
    turn: int = 0
    """Clockwise, in 1/64 degree."""
    aspect: tuple[int, int] = (1, 1)
    """Width and height that were squeezed into the square."""
    correlation: float = 1.0
    """With the reference, at most 1."""


@dataclass(frozen=True)
class Frame:
    """One picture from a source."""

    image: NDArray[Any]
    """(H, W, 3) uint8, RGB; from a source of more than 8 bits (H, W) grey or (H, W, 3) RGB, uint16, until the line maps
    it by the model's window."""
    index: int = 0
    """Number of the frame at its source, from 0; a gap means that frames were dropped."""
    captured_ns: int = field(default_factory=time.monotonic_ns)
    """`time.monotonic_ns()` at capture."""
    source: str = ""
    """Where the frame came from: a path or a URI."""
    captured_unix_ns: int = 0
    """Wall clock at capture, nanoseconds since 1970 UTC; 0 takes the moment of `captured_ns` by the clock of now."""
    levels: NDArray[np.uint16] | None = None
    """What `image` was before the model's window mapped it to 8 bits; None where it had 8 bits, or has more still."""
    camera: Mapping[str, float] = field(default_factory=dict)
    """What the camera itself says about it, numbers by name: `frame_id`; `device_ns`, its own stamp, and
    `clock_error_ns`, the error of `captured_ns` where that rests on it; chunk data. What it does not say is absent."""

    def __post_init__(self) -> None:
        if not self.captured_unix_ns:
            object.__setattr__(self, "captured_unix_ns", time.time_ns() - time.monotonic_ns() + self.captured_ns)


class TileScore(NamedTuple):
    """What an engine says about one tile of a picture."""

    x: int
    y: int
    """Its upper left in pixels of the picture."""
    score: float


@dataclass(frozen=True)
class TileScores:
    """What an engine says about the tiles of one picture."""

    count: int
    """How many there are, with those that were looked at again."""
    worst: tuple[TileScore, ...]
    """Those with the highest scores, at most `csflow.runtime.engines.pictures.WORST`, the highest first."""


@dataclass(frozen=True)
class Prediction:
    """What an engine says about one frame: the contract that every method keeps."""

    score: float
    """Finite and above 0, higher is stranger, in half squared standard deviations of good parts per dimension: of
    CS-Flow, the mean of z²/2 over all latents. A method of another measure maps it into this unit inside its graph, by
    a shift and a factor that change no order. The manifest's definitions say in words what it is."""
    anomaly_map: NDArray[np.float32]
    """(h, w) float32, finite and not negative, in squared standard deviations per dimension; how fine is the method's
    choice, h = w = image_size / 32 for CS-Flow. Of a picture in tiles the maps of all (`bundle.tiles.Stitched`)."""
    tiles: TileScores | None = None
    """Of a picture in tiles, whose score is the highest of theirs."""


@dataclass(frozen=True)
class Identity:
    """What judged: the same for every result of a detector, so that a verdict can be derived again years later."""

    bundle: str
    """Name of its folder."""
    bundle_sha256: str
    """Of the manifest, and so of every file of the bundle but thresholds and records."""
    weights_sha256: str
    """Identity of the model."""
    calibration_sha256: str
    """Of calibration.json as csflow writes it."""
    engine: str
    """Back end and precision."""
    engine_sha256: str
    """Of the names and hashes of the graphs or plans that it runs; empty where it runs the weights themselves."""
    warn_threshold: float
    reject_threshold: float
    """In score units."""
    verified: bool
    """Whether the decision gate has passed the engine."""
    pack_sha256: str = ""
    """Of the file that brought the bundle here; empty for a bundle that was made here."""
    signed_by: str = ""
    """Who signed that file; empty where nobody did."""


@dataclass(frozen=True)
class Result:
    """What csflow says about one frame."""

    verdict: Verdict
    score: float
    """Raw score; NaN where there is none."""
    threshold: float
    """Reject threshold in score units; NaN where the bundle has none."""
    p_value: float
    """Share of good parts expected to score at least this high (conformal); NaN where there is no score."""
    anomaly_map: NDArray[np.float32]
    """(h, w) float32; (0, 0) where there is none."""
    peak_xy: tuple[int, int]
    """Highest point of the map, (x, y) in pixels of the input image; (-1, -1) where there is no map."""
    reason: str
    """Why the verdict is not OK, in words; empty for OK."""
    frame_index: int
    captured_ns: int
    """`time.monotonic_ns()` at capture."""
    latency_s: float
    """Seconds from capture to verdict."""
    source: str = ""
    """Where the frame came from."""
    camera: str = ""
    """Name of the camera, folder or stream that gave it."""
    trigger: str = ""
    """Id of the trigger this answers; empty in a run without triggers."""
    part: str = ""
    """The asker's own name for the part; empty where it gave none."""
    fault: FaultWord = ""
    """Kind of ERROR in one word (`faults.FAULTS`); empty for any other verdict."""
    age_s: float = math.nan
    """Seconds from capture to the moment when the detector took the frame."""
    prepare_s: float = math.nan
    """Seconds for the checks of the frame, crop and resize."""
    infer_s: float = math.nan
    """Seconds in the engine, of the whole call: in a batch every frame waits for all of it."""
    batch: int = 0
    """How many frames that call was about, this one included; 0 where the engine did not answer."""
    verified: bool = True
    """False where the engine has not passed the decision gate and runs because somebody asked for it all the same."""
    captured_unix_ns: int = field(default_factory=time.time_ns)
    """Wall clock at capture, nanoseconds since 1970 UTC: stamped once, the same in every output."""
    identity: Identity | None = None
    """What judged; None where the result was not made by a detector."""
    camera_data: Mapping[str, float] = field(default_factory=dict)
    """What the camera itself said about the frame, as `Frame.camera`."""
    brightness: float = math.nan
    """Mean of the picture that the engine saw, in 0..1 of white; NaN where it saw none."""
    sharpness: float = math.nan
    """Brenner's focus measure of that picture (`line.frame_health.sharpness`), rows and columns added."""
    tiles: TileScores | None = None
    """Of a picture in tiles; None where it was judged in one piece, or not at all."""
    clipped: tuple[float, float] | None = None
    """Shares of the picture, in 0..1, below and above the model's window; None where it has none, or there is no
    verdict."""
