"""All that a camera keeps of its settings as a file of features, which `load=` reads (`Wish`).

Asked in a process that ends with the answer: `python -m csflow.runtime.sources.genicam.saving WISH`; the last line that
it prints is the answer. What is to be saved the camera's own description says (GenICam Standard, Streamable).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from csflow.runtime import errors, schema
from csflow.runtime.atomic import write_atomic
from csflow.runtime.errors import ConfigError, CSFlowError, SourceError
from csflow.runtime.sink import sink_error
from csflow.runtime.source import source_kind
from csflow.runtime.sources.genicam.driver import Camera
from csflow.runtime.sources.genicam.features import apply_features
from csflow.runtime.sources.genicam.wish import Wish

__all__ = ["features_of", "main", "save_features"]

PROGRAM = ("-m", "csflow.runtime.sources.genicam.saving")
READ_WRITE = 4
"""EAccessMode RW of GenApi."""
MOST_SELECTED = 64
"""Settings of a selector that are gone through."""


def save_features(uri: str, path: Path, timeout_s: float = 60.0) -> int:
    """Set the camera of a URI as it says, then write all that it keeps to `path`; how many lines.

    Raises:
        ConfigError: no genicam: or pylon: camera, or as `open_genicam`.
        SourceError: as `open_genicam`; the camera's software hangs or crashes; it has no feature that is kept.
        SinkError: the file cannot be written.
    """
    if source_kind(uri) not in ("genicam", "pylon"):
        raise ConfigError(
            f"features are those of a genicam: or pylon: camera, and {uri!r} is none: name one, genicam:SERIAL"
        )
    answer = _asked(Wish.parse(uri), timeout_s)
    lines = [f"{name}\t{text}" for name, text in answer["features"]]
    if not lines:
        raise SourceError(f"the camera {answer['device']} has no feature that its description says is kept")
    try:
        write_atomic(path, "\n".join([f"# {answer['device']}", *lines, ""]).encode())
    except OSError as error:
        raise sink_error(error, path) from None
    return len(lines)


def _asked(wish: Wish, timeout_s: float) -> Any:
    words = [sys.executable, *PROGRAM, schema.json_line(schema.to_mapping(wish))]
    try:
        asked = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise SourceError(f"the camera's driver gave no answer within {timeout_s:g} s") from None
    lines = asked.stdout.splitlines()
    if asked.returncode or not lines:
        last = (asked.stderr.strip().splitlines() or [""])[-1][:200]
        raise SourceError(f"the camera's driver ended with {asked.returncode}: {last}")
    answer = json.loads(lines[-1])
    if "problem" in answer:
        raise getattr(errors, answer["kind"], SourceError)(answer["problem"])
    return answer


def features_of(nodes: Any) -> list[tuple[str, str]]:
    """Name and value of every feature that is kept and can be set now, in an order in which it can be set again.

    What stands behind a selector comes once for each of its settings, after that; the selector is left as it was.

    Args:
        nodes: the camera's node map.
    """
    kept = [name for name in dir(nodes) if name[:1].isupper() and _is_kept(nodes, name)]
    selectors = [name for name in dir(nodes) if name[:1].isupper() and _selected(nodes, name, kept)]
    behind = {name for selector in selectors for name in _selected(nodes, selector, kept)}
    # Where a picture begins is limited by its size.
    free = sorted((name for name in kept if name not in behind and name not in selectors), key=_comes_late)
    found = [(name, _text(nodes, name)) for name in free]
    for selector in selectors:
        found += _behind(nodes, selector, _selected(nodes, selector, kept))
    return [(name, text) for name, text in found if text.strip() and text.isprintable()]


def _comes_late(name: str) -> bool:
    return name.startswith("Offset")


def _behind(nodes: Any, selector: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    node = nodes.get_node(selector)
    before = node.to_string()
    for setting in _settings(node):
        with contextlib.suppress(Exception):  # one that the camera lists but does not have
            node.from_string(setting)
            yield selector, setting
            yield from [(name, _text(nodes, name)) for name in names if _is_kept(nodes, name)]
    node.from_string(before)
    yield selector, before


def _settings(node: Any) -> list[str]:
    if hasattr(node, "symbolics"):
        return list(node.symbolics)
    return [str(number) for number in range(node.min, node.max + 1, node.inc)][:MOST_SELECTED]


def _selected(nodes: Any, name: str, kept: Sequence[str]) -> list[str]:
    """What of `kept` a feature selects; empty for one that is no selector, or cannot be set."""
    try:
        feature = nodes.get_node(name)
        if feature.get_access_mode() != READ_WRITE or not feature.node.is_selector():
            return []
        chosen = {selected.node.name for selected in feature.node.selected_features}
    except Exception:  # noqa: BLE001 - the binding's errors have no common base that is public
        return []
    return [name for name in kept if name in chosen]


def _is_kept(nodes: Any, name: str) -> bool:
    try:
        feature = nodes.get_node(name)
        return bool(feature.node.is_streamable()) and feature.get_access_mode() == READ_WRITE
    except Exception:  # noqa: BLE001 - as above
        return False


def _text(nodes: Any, name: str) -> str:
    try:
        return str(nodes.get_node(name).to_string())
    except Exception:  # noqa: BLE001 - as above
        return ""


def main(words: Sequence[str]) -> None:
    """Print what the camera of the wish keeps."""
    wish = schema.from_mapping(Wish, schema.parse_json(words[0].encode()))
    try:
        with contextlib.closing(Camera(wish)) as camera:
            apply_features(camera.nodes, wish.features, camera.name, wish.strict, lambda _: None)
            answer: dict[str, Any] = {"device": camera.device.label, "features": features_of(camera.nodes)}
    except CSFlowError as error:
        answer = {"kind": type(error).__name__, "problem": str(error)}
    print(schema.json_line(answer), flush=True)
    # A producer's threads may hang at the end of the interpreter.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
