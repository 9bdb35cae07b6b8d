"""What a bundle's model is: one SHA-256 over everything that its scores follow from, the same in Python and in C.

Calibrations and records of the decision gate are bound to it. Changing what enters here makes every one of them belong
to another model; a new field with a default does not, for defaults are not written.
"""

from __future__ import annotations

import hashlib

from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing, canonical

__all__ = ["identity"]


def identity(manifest: Manifest) -> str:
    """64 hexadecimal digits. The files count by name and hash, and of them only those below weights/."""
    weights = {name: entry.sha256 for name, entry in manifest.files.items() if name.startswith("weights/")}
    text = _legacy(manifest, weights) if manifest.format_version == 1 else _canonical(manifest, weights)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(manifest: Manifest, weights: dict[str, str]) -> str:
    body = manifest.body()
    parts = ("definitions", "graphs", "method", "model", "preprocessing")
    return canonical({**{part: body[part] for part in parts}, "weights": weights})


def _legacy(manifest: Manifest, weights: dict[str, str]) -> str:
    """Format 1 hashed what Python's dataclasses of that day printed; it reads on for ever."""
    lines = [f"{name} {weights[name]}" for name in sorted(weights)]
    return "\n".join([*lines, _legacy_preprocessing(manifest.preprocessing), _legacy_definitions(manifest.definitions)])


def _legacy_preprocessing(how: Preprocessing) -> str:
    text = f"image_size={how.image_size}, roi={how.roi!r}, resize={how.resize!r}, colour={how.colour!r}"
    return f"Preprocessing({text}, ignore={how.ignore!r})" if how.ignore else f"Preprocessing({text})"


def _legacy_definitions(what: Definitions) -> str:
    return f"Definitions(score={what.score!r}, anomaly_map={what.anomaly_map!r})"
