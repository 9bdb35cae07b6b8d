"""Whether a frame shows the part at all: what is stale, frozen, dark, white or blurred is an ERROR, not a defect.

What can be measured is measured against the bundle's golden good frames, so that a dark product is no dark picture
and a smooth one no blurred one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import load_golden
from csflow.runtime.bundle.pictures import CalibrationPictures, PictureSizes, SizeRule, calibration_pictures, squeezed
from csflow.runtime.detector import Detector
from csflow.runtime.errors import BundleError
from csflow.runtime.faults import FaultWord
from csflow.runtime.types import Frame

__all__ = [
    "CameraHealth",
    "HealthLimits",
    "HealthReference",
    "Look",
    "PictureHealth",
    "SizeHealth",
    "reference_of",
    "sharpness",
]

Picture = NDArray[np.uint8]
DARK, WHITE = 12, 250
"""Grey levels at or below, at or above which a pixel tells nothing."""
STEP = 4
"""Every fourth pixel of every fourth row is looked at: enough for a share."""
FLAT_SHARE = 0.05
"""Share of rows at the lower end that repeat one another in a truncated picture, at least."""
BLOCK_ROWS = 16
"""A JPEG ends within a row of blocks so high at most; above it every column was received."""
FILLED_SHARE = 0.9
"""Share of columns that change at once where black or white rows are a filling, and not a background."""
UNMEASURED_SHARE = 0.9

log = logging.getLogger("csflow.frames")


@dataclass(frozen=True)
class HealthLimits:
    """When a frame counts as unusable; 0 switches a check off."""

    max_age_s: float = 2.0
    """Longest time in seconds from capture to the detector; cameras only."""
    frozen: int = 10
    """So many frames with the same bytes, one after the other, are a frozen camera; cameras only."""
    exposure: float = 0.9
    """Share of what is not dark (white) in the golden good frames; so much of it dark (white) is no picture."""
    blur: float = 0.2
    """Share of the least sharp golden good frame's sharpness that a frame must have, along rows and along columns."""
    size: bool = True
    """Whether a picture of another aspect than the training's, or of less than half its size, is refused."""


@dataclass(frozen=True)
class HealthReference:
    """What the golden good frames look like."""

    dark_share: float = UNMEASURED_SHARE
    """Largest share of pixels at or below `DARK`, in 0..1."""
    white_share: float = UNMEASURED_SHARE
    """Largest share of pixels at or above `WHITE`, in 0..1."""
    sharpness: tuple[float, float] = (0.0, 0.0)
    """Smallest sharpness along rows and along columns (`sharpness`); 0 where it was not measured."""

    @classmethod
    def of(cls, images: Sequence[NDArray[np.uint8]]) -> HealthReference:
        """Measure (S, S, 3) uint8 pictures of good parts; none gives the reference without measurements."""
        if not images:
            return cls()
        shares = [_shares(image) for image in images]
        sharp = [sharpness(image) for image in images]
        return cls(
            max(s[0] for s in shares),
            max(s[1] for s in shares),
            (min(s[0] for s in sharp), min(s[1] for s in sharp)),
        )

    @property
    def measured(self) -> bool:
        """Whether exposure and sharpness can be judged at all."""
        return self != HealthReference()


class Look:
    """What good parts look like, measured picture by picture."""

    def __init__(self) -> None:
        self._seen: list[HealthReference] = []

    def add(self, image: NDArray[np.uint8]) -> None:
        """Measure one (S, S, 3) uint8 picture."""
        self._seen.append(HealthReference.of([image]))

    def record(self, sizes: PictureSizes) -> CalibrationPictures:
        """For the bundle; at least one picture was added."""
        seen = self._seen
        sharp = [s.sharpness for s in seen]
        return CalibrationPictures(
            sizes,
            max(s.dark_share for s in seen),
            max(s.white_share for s in seen),
            (min(s[0] for s in sharp), min(s[1] for s in sharp)),
        )


def reference_of(detector: Detector) -> HealthReference:
    """The reference for a detector's bundle: golden good frames, or the pictures an import was calibrated with.

    Without measurements where there is neither: the golden frames of an import show another product.
    """
    seen = calibration_pictures(detector.bundle)
    if seen is not None and "training" not in detector.bundle.manifest.provenance:
        return HealthReference(seen.dark_share, seen.white_share, seen.sharpness)
    if "imported" in detector.bundle.manifest.provenance:
        return HealthReference()
    try:
        golden = detector.golden or load_golden(detector.bundle)
    except BundleError:
        return HealthReference()
    return HealthReference.of([frame.image for frame, expected in golden if expected.label == "good"])


def sharpness(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Brenner's focus measure of the green channel, along rows and along columns: the mean of (I(x+2) - I(x))².

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    # Whole rows only: columns would be read across the memory, which takes ten times as long.
    step = 2 * STEP
    here = image[:-2:step, :, 1].astype(np.int16)
    below = image[2::step, :, 1].astype(np.int16)[: len(here)]
    return _mean_square(here[:, 2:] - here[:, :-2]), _mean_square(below - here)


class PictureHealth:
    """Judges one prepared picture by itself, or by some of its tiles: exposure and sharpness."""

    def __init__(self, limits: HealthLimits, reference: HealthReference) -> None:
        self._limits = limits
        self._sharpness = tuple(limits.blur * least for least in reference.sharpness)
        self._dark, self._white = (
            share + limits.exposure * (1.0 - share) for share in (reference.dark_share, reference.white_share)
        )

    def problem(self, *images: Picture, taken: Sequence[Picture] = ()) -> tuple[FaultWord, str] | None:
        """Fault and reason for an (S, S, 3) uint8 picture, or some of its tiles together; None where it is usable.

        `taken` are the same as bright as the camera saw them, where the bundle evens out exposures.
        """
        if self._limits.exposure:
            dark, white = _mean([_shares(image) for image in taken or images])
            if dark >= self._dark:
                return "black", f"{dark:.0%} of the picture is black: check lens cover, light and exposure"
            if white >= self._white:
                return "saturated", f"{white:.0%} of the picture is white: check exposure and light"
        if self._limits.blur:
            return self._blurred(_mean([sharpness(image) for image in images]))
        return None

    def _blurred(self, found: tuple[float, float]) -> tuple[FaultWord, str] | None:
        for got, least, word in zip(found, self._sharpness, ("rows", "columns"), strict=True):
            if got < least:
                share = got / least * self._limits.blur
                return "blurred", (
                    f"along its {word} the picture has {share:.0%} of the sharpness of the training pictures: "
                    "check focus, exposure time and lens"
                )
        return None


class SizeHealth:
    """Compares the size of pictures with that of the training's, camera by camera."""

    def __init__(self, limits: HealthLimits, bundle: Bundle) -> None:
        self._rule = SizeRule(bundle) if limits.size else None
        self._how = bundle.manifest.preprocessing
        self._told: set[str] = set()

    def problem(self, camera: str, frame: Frame) -> tuple[FaultWord, str] | None:
        """Fault and reason for the next frame, or None where it is usable; what is odd but usable is logged once."""
        height, width = frame.image.shape[:2]
        if not height or not width:
            return None
        if self._rule is not None and (why := self._rule.misfit((width, height))):
            return "size", f"{why}, which the model was made with: set the camera to that format, or pass --any-size"
        if camera not in self._told:
            self._told.add(camera)
            self._tell(camera, width, height)
        return None

    def _tell(self, camera: str, width: int, height: int) -> None:
        known = None if self._rule is None else self._rule.known
        if known is not None and not known.contains((width, height)):
            log.warning(
                "%s gives pictures of %dx%d pixels, the model was made with %s: scores may differ; calibrate with "
                "pictures of this camera",
                *(camera, width, height, known),
            )
        if line := squeezed([(width, height)], self._how):
            log.warning("%s: %s", camera, line)


class CameraHealth:
    """Judges the frames of one camera in their order: age, progress, size, wholeness."""

    def __init__(self, limits: HealthLimits, live: bool) -> None:
        self._limits = limits
        self._live = live
        self._before: Frame | None = None
        self._repeats = 0
        self._shape: tuple[int, ...] | None = None

    def problem(self, frame: Frame, age_s: float) -> tuple[FaultWord, str] | None:
        """Fault and reason for the next frame, or None where it is usable. Files are not judged here."""
        if not self._live:
            return None
        before, self._before = self._before, frame
        checks = (self._stale(frame, before, age_s), self._frozen(frame, before), self._size(frame), _truncated(frame))
        return next((found for found in checks if found is not None), None)

    def _stale(self, frame: Frame, before: Frame | None, age_s: float) -> tuple[FaultWord, str] | None:
        if self._limits.max_age_s and age_s > self._limits.max_age_s:
            return "stale", f"the frame is {age_s:.1f} s old, {self._limits.max_age_s:g} s are allowed"
        if before is not None and frame.captured_ns <= before.captured_ns:
            return "stale", "the camera gave a frame that is not newer than the one before"
        return None

    def _frozen(self, frame: Frame, before: Frame | None) -> tuple[FaultWord, str] | None:
        same = before is not None and _same(frame.image, before.image)
        self._repeats = self._repeats + 1 if same else 1
        if self._limits.frozen and self._repeats >= self._limits.frozen:
            return "frozen", f"the camera gave the same picture {self._repeats} times: restart it"
        return None

    def _size(self, frame: Frame) -> tuple[FaultWord, str] | None:
        if self._shape is None:
            self._shape = frame.image.shape
        if frame.image.shape == self._shape:
            return None
        got, first = ("{1}x{0}".format(*shape) for shape in (frame.image.shape, self._shape))
        return "size", f"the picture has {got} pixels, the camera began with {first}: set its format"


def _mean(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(pair[0] for pair in pairs) / len(pairs), sum(pair[1] for pair in pairs) / len(pairs)


def _mean_square(difference: NDArray[np.int16]) -> float:
    values = difference.astype(np.float32).ravel()
    return float(values @ values) / values.size


def _shares(image: NDArray[np.uint8]) -> tuple[float, float]:
    red, green, blue = (image[::STEP, ::STEP, channel] for channel in range(3))
    dark = np.maximum(np.maximum(red, green), blue) <= DARK
    white = np.minimum(np.minimum(red, green), blue) >= WHITE
    return float(dark.mean()), float(white.mean())


def _same(image: NDArray[np.uint8], before: NDArray[np.uint8]) -> bool:
    few = (slice(None, None, 61), slice(None, None, 61))
    return image.shape == before.shape and np.array_equal(image[few], before[few]) and np.array_equal(image, before)


def _truncated(frame: Frame) -> tuple[FaultWord, str] | None:
    """What fills the rest of a cut picture is often one row again and again; a sensor's rows never repeat.

    They do where all is black or white, as behind a part; then what counts is that they begin across the whole width.
    """
    image = frame.image
    if image.ndim != 3:
        return None
    lower, last = image[-int(np.ceil(image.shape[0] * FLAT_SHARE)) :], image[-1]
    if (lower[:, ::61] != last[::61]).any() or (lower != last).any():
        return None
    varied = np.flatnonzero((image != last).any(axis=(1, 2)))
    if not varied.size:
        return None
    clipped = ((last.min(axis=1) == 0) | (last.max(axis=1) == 255)).all()
    above = image[max(0, varied[-1] - BLOCK_ROWS)]
    if clipped and (above != last).any(axis=1).mean() < FILLED_SHARE:
        return None
    return "truncated", "the lower rows of the picture are all the same: it was cut off on its way from the camera"
