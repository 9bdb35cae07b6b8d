"""What of the picture the model looks at: a region of interest, and areas in it that it is never to see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from csflow.runtime import schema
from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.manifest import IGNORED_RGB, MAX_IGNORED, Preprocessing
from csflow.runtime.errors import ConfigError

__all__ = [
    "WHOLE_PICTURE",
    "Box",
    "Region",
    "load_region",
    "rectangles_of",
    "rectangles_to_cover",
    "region_picture",
    "save_region",
]

Box = tuple[int, int, int, int]
"""(x, y, width, height) in pixels."""
FRAME_RGB = (255, 0, 255)


@dataclass(frozen=True)
class Region:
    """A region for `csflow train --region`; boxes are (x, y, width, height) in pixels of the picture."""

    roi: Box | None = None
    """The region of interest; None is the whole picture."""
    ignore: tuple[Box, ...] = ()
    """Areas that are painted over."""
    window: tuple[int, int] | None = None
    """Levels (low, high) of pictures of more than 8 bits that become 0 and 255."""

    @classmethod
    def of(cls, how: Preprocessing) -> Region:
        """That of a bundle."""
        return cls(how.roi, how.ignore, how.window)

    def looked_at(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The region of interest of a mask (H, W), False where it is ignored; a new array."""
        found = mask.copy()
        for x, y, width, height in self.ignore:
            found[y : y + height, x : x + width] = False
        left, top, width, height = self.roi or (0, 0, mask.shape[1], mask.shape[0])
        inside: NDArray[np.bool_] = found[top : top + height, left : left + width]
        return inside

    def __post_init__(self) -> None:
        # The bundle's own rules, so that a region that is accepted here is accepted there.
        Preprocessing(32, self.roi, ignore=self.ignore, window=self.window)


WHOLE_PICTURE = Region()
"""Nothing is left out."""


def load_region(path: Path | str) -> Region:
    """Read what `save_region` wrote. Raises ConfigError where there is none, or it is damaged."""
    try:
        return schema.from_mapping(Region, schema.parse_json(Path(path).read_bytes()))
    except OSError as error:
        raise ConfigError(
            f"cannot read the region {path} ({error.strerror}): make one with 'csflow roi --save'"
        ) from None
    except schema.SchemaError as error:
        raise ConfigError(f"{path}: {error}; make it anew with 'csflow roi --save'") from None


def save_region(region: Region, path: Path | str) -> None:
    """Write the region as JSON. Raises OSError as the file system does."""
    write_atomic(Path(path), schema.dump_json(schema.to_mapping(region)))


def rectangles_of(mask: NDArray[np.bool_]) -> tuple[Box, ...]:
    """Rectangles that together cover exactly the True pixels of `mask`, (H, W).

    Raises ConfigError where none is True, or more than a bundle takes are needed.
    """
    boxes = rectangles_to_cover(mask)
    if not boxes:
        raise ConfigError("the mask ignores nothing: black is ignored, so paint black what is not to count")
    if len(boxes) > MAX_IGNORED:
        raise ConfigError(
            f"the mask needs {len(boxes)} rectangles, a bundle takes {MAX_IGNORED}: draw it with straight edges"
        )
    return boxes


def rectangles_to_cover(mask: NDArray[np.bool_]) -> tuple[Box, ...]:
    """As `rectangles_of`, however many: runs of neighbouring rows with the same ends become one rectangle."""
    open_runs: dict[tuple[int, int], int] = {}
    boxes: list[Box] = []
    for row in range(mask.shape[0] + 1):
        runs = set(_runs(mask[row])) if row < mask.shape[0] else set()
        for run in [r for r in open_runs if r not in runs]:
            top = open_runs.pop(run)
            boxes.append((run[0], top, run[1] - run[0], row - top))
        for run in runs:
            open_runs.setdefault(run, row)
    return tuple(sorted(boxes, key=lambda box: (box[1], box[0])))


def region_picture(image: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """The picture as the model gets it, and around it, dimmed, what it does not see.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB, a new array; the region of interest has a frame, ignored areas are painted over.

    Raises ConfigError where a box leaves the picture.
    """
    height, width = image.shape[:2]
    for box in (*([region.roi] if region.roi else []), *region.ignore):
        if box[0] + box[2] > width or box[1] + box[3] > height:
            raise ConfigError(f"x={box[0]} y={box[1]} {box[2]}x{box[3]} leaves the picture of {width}x{height} pixels")
    painted: NDArray[np.uint8] = image.copy()
    for x, y, w, h in region.ignore:
        painted[y : y + h, x : x + w] = IGNORED_RGB
    if region.roi is None:
        return painted
    x, y, w, h = region.roi
    shown: NDArray[np.uint8] = image // 4
    shown[max(0, y - 2) : y + h + 2, max(0, x - 2) : x + w + 2] = FRAME_RGB
    shown[y : y + h, x : x + w] = painted[y : y + h, x : x + w]
    return shown


def _runs(row: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
