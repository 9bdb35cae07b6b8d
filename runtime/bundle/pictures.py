"""Of what size the pictures were that a bundle was made with, so that others are noticed, at the line and elsewhere.

A trained bundle has them under `provenance.training.pictures` of its manifest; where it does not, as in an import,
`csflow calibrate` writes the file `CALIBRATION_PICTURES`, with what good parts look like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import BundleCorrupted

__all__ = [
    "CALIBRATION_DECODERS",
    "CALIBRATION_PICTURES",
    "SQUEEZED",
    "CalibrationDecoders",
    "CalibrationPictures",
    "PictureSizes",
    "SizeRule",
    "calibration_decoders",
    "calibration_pictures",
    "knows_training",
    "picture_sizes",
    "squeezed",
]

CALIBRATION_PICTURES = "provenance/calibration_pictures.json"
CALIBRATION_DECODERS = "provenance/calibration_decoders.json"
"""Written where the pictures of a calibration tell by what they were decoded (`csflow.runtime.picture.origin`)."""
SAME_ASPECT, SIMILAR_ASPECT = 0.02, 0.5
"""Relative differences of width/height that are taken, where the pictures were all alike, and where they varied."""
FACTOR = 2
"""A picture of less than half the size lacks what the model learned from."""
SQUEEZED = 2.0
"""A ratio of sides beyond which a square input loses much of one direction."""


@dataclass(frozen=True)
class PictureSizes:
    """The least and the largest of each, over all pictures."""

    width_px: tuple[int, int]
    height_px: tuple[int, int]
    aspect: tuple[float, float]
    """Width / height."""

    def __post_init__(self) -> None:
        for low, high in (self.width_px, self.height_px, self.aspect):
            if not 0 < low <= high:
                raise ValueError("sizes must be positive, the least before the largest")

    @classmethod
    def of(cls, sizes: Iterable[tuple[int, int]]) -> PictureSizes:
        """The ranges of (width, height) in pixels; at least one."""
        listed = list(sizes)
        widths, heights = [size[0] for size in listed], [size[1] for size in listed]
        aspects = [width / height for width, height in listed]
        return cls((min(widths), max(widths)), (min(heights), max(heights)), (min(aspects), max(aspects)))

    @classmethod
    def joined(cls, sizes: Sequence[PictureSizes]) -> PictureSizes:
        """The ranges that hold all of these; at least one."""
        low = cls.of((s.width_px[0], s.height_px[0]) for s in sizes)
        high = cls.of((s.width_px[1], s.height_px[1]) for s in sizes)
        aspect = min(s.aspect[0] for s in sizes), max(s.aspect[1] for s in sizes)
        return cls((low.width_px[0], high.width_px[1]), (low.height_px[0], high.height_px[1]), aspect)

    @property
    def varied(self) -> bool:
        """Whether there were pictures of more than one size."""
        return self.width_px[0] < self.width_px[1] or self.height_px[0] < self.height_px[1]

    def __str__(self) -> str:
        sides = (f"{low}" if low == high else f"{low} to {high}" for low, high in (self.width_px, self.height_px))
        return " x ".join(sides)

    def contains(self, size: tuple[int, int]) -> bool:
        """Whether width and height lie in the ranges."""
        pairs = zip(size, (self.width_px, self.height_px), strict=True)
        return all(low <= side <= high for side, (low, high) in pairs)

    def misfit(self, size: tuple[int, int], exact: bool) -> str | None:
        """Why a picture of (width, height) pixels is another picture than those, or None.

        Args:
            exact: the size must be the same, as for a region in pixels and for tiles; where sizes varied, up to a
                factor of 2.
        """
        width, height = size
        tolerance = SIMILAR_ASPECT if self.varied else SAME_ASPECT
        low, high = self.aspect
        if not low / (1 + tolerance) <= width / height <= high * (1 + tolerance):
            return f"{width}x{height} pixels have another aspect than {self}"
        larger = FACTOR if self.varied or not exact else 1
        if width * larger < self.width_px[0] or height * larger < self.height_px[0]:
            return f"{width}x{height} pixels are {'less' if larger == 1 else 'less than half'} of {self}"
        if exact and (width > self.width_px[1] * larger or height > self.height_px[1] * larger):
            return f"{width}x{height} pixels are more than {self}"
        return None


@dataclass(frozen=True)
class CalibrationPictures:
    """What `csflow calibrate` saw where the bundle knows no training pictures."""

    sizes: PictureSizes
    dark_share: float
    white_share: float
    sharpness: tuple[float, float]
    """As `csflow.runtime.line.frame_health.HealthReference` has them."""


@dataclass(frozen=True)
class CalibrationDecoders:
    """What made the pixels of the pictures that `csflow calibrate` took."""

    decoders: tuple[str, ...]
    """Each once; empty where not all of the pictures tell."""


def calibration_decoders(bundle: Bundle) -> tuple[str, ...]:
    """What made the pixels of a calibration's pictures; empty where that is not known. Raises BundleCorrupted."""
    if not bundle.has(CALIBRATION_DECODERS):
        return ()
    try:
        known = schema.from_mapping(CalibrationDecoders, schema.parse_json(bundle.read(CALIBRATION_DECODERS)))
    except schema.SchemaError as error:
        raise BundleCorrupted(f"{bundle.path / CALIBRATION_DECODERS}: {error}; run 'csflow calibrate' again") from None
    return known.decoders


def calibration_pictures(bundle: Bundle) -> CalibrationPictures | None:
    """What `csflow calibrate` saw; None where it wrote nothing. Raises BundleCorrupted."""
    if not bundle.has(CALIBRATION_PICTURES):
        return None
    try:
        return schema.from_mapping(CalibrationPictures, schema.parse_json(bundle.read(CALIBRATION_PICTURES)))
    except schema.SchemaError as error:
        raise BundleCorrupted(f"{bundle.path / CALIBRATION_PICTURES}: {error}; run 'csflow calibrate' again") from None


def knows_training(bundle: Bundle) -> bool:
    """Whether the manifest has the sizes of training pictures: imports and older bundles do not."""
    training: Any = bundle.manifest.provenance.get("training")
    return isinstance(training, dict) and "pictures" in training


def picture_sizes(bundle: Bundle) -> PictureSizes | None:
    """The sizes of the pictures that `bundle` was trained on, else calibrated with.

    None where it does not tell, and where those of a calibration varied.

    Raises BundleCorrupted.
    """
    if knows_training(bundle):
        try:
            return schema.from_mapping(PictureSizes, bundle.manifest.provenance["training"]["pictures"])
        except schema.SchemaError as error:
            raise BundleCorrupted(f"{bundle.path}: provenance.training.pictures: {error}; train again") from None
    seen = calibration_pictures(bundle)
    # A few pictures that differ by nature say nothing about how far others may.
    return None if seen is None or seen.sizes.varied else seen.sizes


class SizeRule:
    """Which pictures are of the size that a bundle was made with; libcsflow has the same rule."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises BundleCorrupted as `picture_sizes` does."""
        self.known = picture_sizes(bundle)
        how = bundle.manifest.preprocessing
        # The highest of more tiles is higher: thresholds are of so many.
        self._exact = how.roi is not None or bool(how.ignore) or how.tiles is not None

    def misfit(self, size: tuple[int, int]) -> str | None:
        """Why a picture of (width, height) pixels, both above 0, is another picture than those, or None."""
        return None if self.known is None else self.known.misfit(size, self._exact)


def squeezed(sizes: Iterable[tuple[int, int]], how: Preprocessing) -> str | None:
    """What to say of pictures, (width, height) in pixels, that the square input squeezes; None where it does not."""
    if how.tiles is not None:
        return None
    all_of_them = [how.roi[2:]] if how.roi is not None else list(sizes)
    far = Counter(size for size in all_of_them if max(size) > SQUEEZED * max(min(size), 1))
    if not far:
        return None
    (width, height), _ = far.most_common(1)[0]
    if how.roi is not None:
        what = f"a region of {width}x{height} pixels is"
    elif far.total() == len(all_of_them):
        what = f"pictures of {width}x{height} pixels are"
    else:
        what = f"{far.total()} of {len(all_of_them)} pictures, such as those of {width}x{height} pixels, are"
    return (
        f"{what} squeezed into a square, and what is thin along the longer side is lost: train with a square part "
        "(--roi), or in square tiles (--tile)"
    )
