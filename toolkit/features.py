"""Features of the training images: extracted once into files beside the bundle, because the backbone never changes.

One file in NumPy's .npy format per feature map, read through the page cache: they may be larger than the memory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.errors import SinkError
from csflow.runtime.picture.preprocess import pieces_of_file
from csflow.toolkit.backbones.backbone import Backbone, Features
from csflow.toolkit.backbones.config import BackboneConfig
from csflow.toolkit.backbones.int8.quantized import quantized
from csflow.toolkit.data.prepared import one_piece, tile_count

__all__ = [
    "FLIPS",
    "FeatureFiles",
    "Plan",
    "extract_features",
    "features_key",
    "flip",
    "open_features",
    "rounded",
]

FLIPS = ("none", "horizontal", "vertical", "both")
BATCH = 8
"""Pictures that a GPU takes at once. A processor takes one: a batch leaves its caches, and at 384 px each of 8 took 1.8
times as long (tf_efficientnet_lite2, one thread), for features equal to the last bit."""
RANGE_PICTURES = 32
"""Pictures that give the ranges of an int8 backbone; more of them change a power of two hardly ever."""
KEY = "features.json"
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class FeatureFiles:
    """Features of N pictures in V variants each (`flip`), variants of a picture adjacent."""

    maps: tuple[NDArray[np.float32], ...]
    """One (N · V, C, h, w) float32 array per feature map, on the disk or in memory."""
    variants: int = 1
    kept: tuple[Tensor, ...] = ()
    """A mask (h, w) of each feature map: 1 where a position counts, 0 where it is ignored; empty: all count."""

    def __len__(self) -> int:
        """N · V, the rows there are."""
        return int(self.maps[0].shape[0])

    @property
    def pictures(self) -> int:
        """N."""
        return len(self) // self.variants

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """(C, h, w) of each feature map."""
        return tuple(cast(Shape, array.shape[1:]) for array in self.maps)

    @property
    def masks(self) -> tuple[Tensor, ...]:
        """`kept`, of ones where all positions count."""
        return self.kept or tuple(torch.ones(h, w) for _, h, w in self.shapes)

    def part(self, start: int, stop: int) -> FeatureFiles:
        """Those of the pictures from `start` up to `stop`, where these lie."""
        parts = tuple(a[start * self.variants : stop * self.variants] for a in self.maps)
        return dataclasses.replace(self, maps=parts)

    def chosen(self, maps: Sequence[int]) -> FeatureFiles:
        """These of the feature maps, in this order, where they lie."""
        kept = tuple(self.kept[i] for i in maps) if self.kept else ()
        return dataclasses.replace(self, maps=tuple(self.maps[i] for i in maps), kept=kept)

    def rows(self, rows: slice | Tensor) -> Features:
        """These rows as float32 tensors (n, C, h, w), copied into memory."""
        index = rows if isinstance(rows, slice) else rows.numpy()
        return tuple(torch.from_numpy(np.array(array[index])) for array in self.maps)

    def batches(self, size: int = 64) -> Iterator[Features]:
        """All rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.rows(slice(start, start + size))

    def channel_moments(self) -> list[tuple[Tensor, Tensor]]:
        """Mean and variance over pictures and positions that count, two (C,) float64 tensors a map; read twice."""
        counts = [len(self) * int(mask.sum()) for mask in self.masks]
        zeros = [torch.zeros(c, dtype=torch.float64) for c, _, _ in self.shapes]
        means = [total / n for total, n in zip(self._sums(zeros, 1), counts, strict=True)]
        return [(m, total / n) for m, total, n in zip(means, self._sums(means, 2), counts, strict=True)]

    def _sums(self, centres: Sequence[Tensor], order: int) -> list[Tensor]:
        totals = [torch.zeros_like(centre) for centre in centres]
        for batch in self.batches():
            for total, x, centre, mask in zip(totals, batch, centres, self.masks, strict=True):
                total += ((x.double() - centre[:, None, None]).pow(order) * mask).sum(dim=(0, 2, 3))
        return totals


@dataclass(frozen=True)
class Plan:
    """What is to be extracted."""

    paths: Sequence[Path]
    how: Preprocessing
    """With tiles, every tile is a picture of its own."""
    flips: str = "none"
    """One of `FLIPS`."""

    def __post_init__(self) -> None:
        if self.flips not in FLIPS:
            raise ValueError(f"flips must be one of {', '.join(FLIPS)}")

    @property
    def variants(self) -> int:
        """Variants of each picture."""
        return {"none": 1, "both": 4}.get(self.flips, 2)

    def size(self, shapes: Sequence[Shape]) -> int:
        """Bytes of the features."""
        return 4 * self.samples() * self.variants * sum(math.prod(shape) for shape in shapes)

    def samples(self, pictures: int | None = None) -> int:
        """How many these, or the first `pictures`, are, or their tiles. Raises DataError as `tile_count`."""
        return sum(tile_count(path, self.how) for path in self.paths[:pictures])

    def rows_of(self, chosen: Collection[Path]) -> frozenset[int]:
        """The rows of features that come from these pictures."""
        ends = list(accumulate((tile_count(path, self.how) * self.variants for path in self.paths), initial=0))
        found = [i for i, path in enumerate(self.paths) if path in chosen]
        return frozenset(row for i in found for row in range(ends[i], ends[i + 1]))


def flip(image: NDArray[np.uint8], flips: str) -> list[NDArray[np.uint8]]:
    """The (S, S, 3) image and its mirror images: 1 for 'none', 2 for 'horizontal' or 'vertical', 4 for 'both'."""
    variants = [image]
    if flips in ("horizontal", "both"):
        variants += [v[:, ::-1] for v in variants]
    if flips in ("vertical", "both"):
        variants += [v[::-1] for v in variants]
    return [np.ascontiguousarray(v) for v in variants]


def features_key(
    hashes: Sequence[str], backbone_sha256: str, backbone: BackboneConfig, how: Preprocessing, flips: str
) -> str:
    """SHA-256 over everything the features depend on; `hashes` are those of the image files, in order."""
    # Features that were kept before there were windows, alignment and tiles stay valid.
    later = [*((name, None) for name in ("window", "align", "tiles")), ("looks", 0), ("near", 8)]
    how_text = {name: value for name, value in dataclasses.asdict(how).items() if (name, value) not in later}
    network = {name: value for name, value in dataclasses.asdict(backbone).items() if (name, value) != ("wide", 1)}
    text = json.dumps([list(hashes), backbone_sha256, network, how_text, flips])
    return hashlib.sha256(text.encode()).hexdigest()


@torch.inference_mode()
def extract_features(
    backbone: Backbone, plan: Plan, folder: Path, key: str, progress: Callable[[int], None] | None = None
) -> FeatureFiles:
    """Extract on the backbone's device and write `folder`, in place of what was there.

    Raises:
        DataError: a picture cannot be read, or a region of interest leaves one.
        SinkError: the disk has no room, or cannot be written.
    """
    shapes = backbone.shapes(plan.how.image_size)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _require_room(folder, plan.size(shapes))
        _write_maps(backbone, plan, folder, shapes, progress)
        # The key comes last: without it, the files are those of an interrupted run.
        body = {"key": key, "maps": len(shapes), "variants": plan.variants}
        write_atomic(folder / KEY, json.dumps(body).encode())
    except OSError as error:
        raise SinkError(
            f"cannot write features into {folder} ({error.strerror or error}): free the disk or name another bundle"
        ) from None
    found = open_features(folder, key)
    if found is None:
        raise SinkError(f"the features in {folder} are not what was written: free the disk, or choose another bundle")
    return found


def open_features(folder: Path, key: str) -> FeatureFiles | None:
    """The features with this key; None where there are none, or they are damaged or of another key."""
    try:
        body = json.loads((folder / KEY).read_bytes())
        if body["key"] != key:
            return None
        maps = tuple(np.load(_file(folder, i), mmap_mode="r") for i in range(body["maps"]))
        return FeatureFiles(maps, body["variants"])
    except (OSError, ValueError, KeyError, EOFError):
        return None


def rounded(backbone: Backbone, plan: Plan, pictures: int) -> Backbone:
    """A float32 EfficientNet in int8, with ranges from some of the first `pictures` of a plan; changed in place.

    Raises ConfigError where it is no EfficientNet, DataError where a picture cannot be read.
    """
    device, taken = backbone.get_buffer("mean").device, min(RANGE_PICTURES, pictures)
    chosen = (one_piece(plan.paths[i * pictures // taken], plan.how, i / taken) for i in range(taken))
    return quantized(backbone, (torch.from_numpy(image)[None].to(device) for image in chosen))


def _file(folder: Path, index: int) -> Path:
    return folder / f"features_{index}.npy"


def _require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise SinkError(
            f"the features take {size / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB left: free the disk, or choose "
            "another bundle"
        )


def _write_maps(
    backbone: Backbone,
    plan: Plan,
    folder: Path,
    shapes: Sequence[Shape],
    progress: Callable[[int], None] | None,
) -> None:
    with ExitStack() as stack:
        files: list[Any] = [stack.enter_context(_file(folder, i).open("wb")) for i in range(len(shapes))]
        for file, shape in zip(files, shapes, strict=True):
            rows = (plan.samples() * plan.variants, *shape)
            header = {"descr": "<f4", "fortran_order": False, "shape": rows}
            np.lib.format.write_array_header_1_0(file, header)
        for features, count in _extracted(backbone, plan):
            for file, x in zip(files, features, strict=True):
                file.write(x.cpu().contiguous().numpy().astype("<f4", copy=False).tobytes())
            if progress is not None:
                progress(count)


def _extracted(backbone: Backbone, plan: Plan) -> Iterator[tuple[Features, int]]:
    device, waiting = next(backbone.parameters()).device, list[NDArray[np.uint8]]()
    batch = BATCH if device.type == "cuda" else 1
    for piece in (piece for path in plan.paths for piece in pieces_of_file(path, plan.how)):
        waiting += flip(piece, plan.flips)
        if len(waiting) == batch * plan.variants:
            yield backbone(torch.from_numpy(np.stack(waiting)).to(device)), batch
            waiting = []
    if waiting:
        yield backbone(torch.from_numpy(np.stack(waiting)).to(device)), len(waiting) // plan.variants
