"""A model repository on disk: a server that reads it at any moment finds whole models only.

<repository>/<graph's model>/config.pbtxt        written once, with its only version
<repository>/<graph's model>/1/model.onnx
<repository>/<name>/config.pbtxt                 replaced by one rename when a bundle changes
<repository>/<name>/<version>/config.pbtxt       what each version was, for going back
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from csflow.export.triton.models import GraphModel, Model, models
from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.errors import ConfigError

__all__ = ["Written", "model_name", "write_repository"]

CONFIG = "config.pbtxt"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Written:
    """A model that clients ask for, and its version."""

    model: str
    version: int
    new: bool
    """False where the repository held it already."""
    backend: str
    """What computes its graphs: 'onnxruntime' or 'tensorrt'."""


def model_name(bundle: Path, wanted: str | None = None) -> str:
    """The model's name on the server: the one wanted, else the bundle's without its ending.

    Raises ConfigError where it has other characters than letters, digits, '_' and '-', or more than 64.
    """
    name = wanted if wanted is not None else bundle.resolve().stem
    if not NAME.fullmatch(name):
        raise ConfigError(f"--triton-model {name!r}: expected up to 64 letters, digits, '_' and '-', a letter first")
    return name


def write_repository(bundle: Bundle, repository: Path, precision: str, name: str) -> tuple[Written, ...]:
    """Write the models of `bundle`, the ensembles last; models of other bundles in the repository stay.

    Args:
        repository: the folder that the server reads; made where it is missing.
        precision: of the graphs, 'fp32' or 'fp16'.
        name: of the ensemble, as `model_name` gives it.

    Raises:
        BundleError, BundleCorrupted, EngineError: as `models` does; nothing is written then.
        OSError: the file system refused; models that clients ask for are as they were.
    """
    graphs, ensembles = models(bundle, precision, name)
    repository.mkdir(parents=True, exist_ok=True)
    for graph in graphs:
        _write_graph(repository, graph)
    return tuple(_write_ensemble(repository, ensemble, graphs[0].backend) for ensemble in ensembles)


def _write_graph(repository: Path, model: GraphModel) -> None:
    place = repository / model.name
    if place.is_dir():
        return
    # Beside the repository, for a server that watches it would take a half-written folder for a model.
    made = Path(tempfile.mkdtemp(prefix=f".{model.name}.", suffix=".tmp", dir=repository.resolve().parent))
    try:
        (made / "1").mkdir()
        write_atomic(made / "1" / model.file, model.data)
        write_atomic(made / CONFIG, _config(model))
        made.chmod(0o755)
        os.rename(made, place)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _write_ensemble(repository: Path, model: Model, backend: str) -> Written:
    place = repository / model.name
    version = _newest(place)
    if version and _same(place / CONFIG, _config(model, version)):
        return Written(model.name, version, new=False, backend=backend)
    version += 1
    text = _config(model, version)
    write_atomic(place / str(version) / CONFIG, text)
    write_atomic(place / CONFIG, text)
    return Written(model.name, version, new=True, backend=backend)


def _newest(place: Path) -> int:
    if not place.is_dir():
        return 0
    return max((int(path.name) for path in place.iterdir() if path.name.isdecimal() and path.is_dir()), default=0)


def _same(path: Path, text: bytes) -> bool:
    try:
        return path.read_bytes() == text
    except FileNotFoundError:
        return False


def _config(model: Model, version: int = 1) -> bytes:
    text: str = _template().render(model=model, version=version)
    return text.encode()


@cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    return environment.from_string(files("csflow.export.triton").joinpath(f"{CONFIG}.j2").read_text(encoding="utf-8"))
