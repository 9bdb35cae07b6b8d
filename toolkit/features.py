"""Features of the training images: extracted once, cached beside the bundle, because the backbone never changes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from csflow.runtime.bundle.manifest import Preprocessing
from csflow.runtime.picture.images import read_image
from csflow.runtime.picture.preprocess import preprocess
from csflow.toolkit.backbones.efficientnet import Backbone
from csflow.toolkit.config import BackboneConfig
from csflow.toolkit.methods.flow.coupling import Features
from csflow.toolkit.tensor_file import save_tensors

__all__ = ["FLIPS", "cached_features", "extract_features", "features_key", "flip"]

FLIPS = ("none", "horizontal", "vertical", "both")
Progress = Callable[[int], None]
BATCH = 8


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
    text = json.dumps([list(hashes), backbone_sha256, dataclasses.asdict(backbone), repr(how), flips])
    return hashlib.sha256(text.encode()).hexdigest()


@torch.inference_mode()
def extract_features(
    backbone: Backbone,
    paths: Sequence[Path],
    how: Preprocessing,
    flips: str = "none",
    progress: Progress | None = None,
) -> Features:
    """Features of pictures, on the backbone's device, returned on the CPU.

    Returns:
        One (N · V, C, h_i, w_i) float32 tensor per scale, V variants per picture (`flip`), variants adjacent.

    Raises DataError for a picture that cannot be read, SourceError for one that a region of interest leaves.
    """
    device = next(backbone.parameters()).device
    parts: list[Features] = []
    for start in range(0, len(paths), BATCH):
        chunk = paths[start : start + BATCH]
        images = [v for path in chunk for v in flip(preprocess(read_image(path), how), flips)]
        features = backbone(torch.from_numpy(np.stack(images)).to(device))
        parts.append(tuple(f.cpu() for f in features))
        if progress is not None:
            progress(len(chunk))
    return tuple(torch.cat(scale) for scale in zip(*parts, strict=True))


def cached_features(cache: Path, key: str, extract: Callable[[], Features]) -> tuple[Features, bool]:
    """The features with this key from the file `cache`, or from `extract`, then written there.

    Returns the features and whether they came from the cache. A cache of another key, or one that is damaged,
    is replaced. Raises SinkError when the file cannot be written.
    """
    found = _read(cache, key)
    if found is not None:
        return found, True
    features = extract()
    save_tensors(cache, {f"scale{i}": f for i, f in enumerate(features)}, {"key": key})
    return features, False


def _read(cache: Path, key: str) -> Features | None:
    if not cache.is_file():
        return None
    try:
        with safe_open(cache, framework="pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            return tuple(file.get_tensor(f"scale{i}") for i in range(len(file.keys())))
    except (SafetensorError, OSError):
        return None
