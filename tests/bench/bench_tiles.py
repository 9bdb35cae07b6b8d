"""A large picture in tiles beside single tiles, on one engine: peak memory of a process, and tiles a second.

python tests/bench/bench_tiles.py BUNDLE: an exported bundle, whose model is given tiles.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from bench_model import thresholds
from numpy.typing import NDArray
from PIL import Image

from csflow.runtime import schema
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.tiles import LOOKS, NEAR
from csflow.runtime.detector import Detector
from csflow.runtime.engines.opening import load_engine
from csflow.runtime.errors import SourceError
from csflow.runtime.sources.files import read_part
from csflow.runtime.types import Frame

ROUNDS = 3


def tiled(bundle: Bundle, path: Path, tiles: tuple[int, int]) -> Bundle:
    """The model of a bundle, given pictures in tiles."""
    how = replace(bundle.manifest.preprocessing, roi=None, ignore=(), tiles=tiles, looks=LOOKS, near=NEAR)
    files = {name: bundle.read(name) for name in bundle.manifest.files if not name.endswith("verification.json")}
    provenance = {name: value for name, value in bundle.manifest.provenance.items() if name != "training"}
    manifest = replace(bundle.manifest, preprocessing=how, provenance=provenance, files={}, format_version=2)
    made = Bundle.create(path, manifest, files)
    made.write_calibration(schema.dump_json(schema.to_mapping(thresholds(made))))
    return made


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3): noise that repeats, so that its file is small."""
    patch = np.random.default_rng(0).integers(60, 200, (512, 512, 3), dtype=np.uint8)
    return np.tile(patch, (-(-height // 512), -(-width // 512), 1))[:height, :width]


def memory(bundle: str, backend: str, file: str) -> dict[str, float]:
    """Seconds and peak resident MiB of a process that reads and judges a picture."""
    made = Bundle.open(bundle)
    with Detector(made, load_engine(made, backend), thresholds(made), any_size=True) as detector:
        opened_mib = _peak_mib()
        start = time.perf_counter()
        result = detector.detect(Frame(read_part(Path(file))))
        seconds = time.perf_counter() - start
    assert result.tiles is not None
    return {"opened_mib": opened_mib, "peak_mib": _peak_mib(), "seconds": seconds, "tiles": result.tiles.count}


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) / 1024


def rates(bundle: Bundle, plain: Bundle, backend: str) -> dict[str, float]:
    """Seconds a tile of a picture of 8 x 8 tiles, some looked at again, and of 64 pictures of one tile, in turn."""
    assert bundle.manifest.preprocessing.tiles is not None
    side, overlap = bundle.manifest.preprocessing.tiles
    image = picture(*[side + 7 * (side - overlap)] * 2)
    alone = np.ascontiguousarray(image[:side, :side])
    engine = load_engine(bundle, backend)
    cut, single = (Detector(b, engine, thresholds(b), any_size=True) for b in (bundle, plain))
    seconds: dict[str, list[float]] = {"cut": [], "single": []}
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        found = cut.detect(image).tiles
        assert found is not None
        seconds["cut"].append((time.perf_counter() - start) / found.count)
        start = time.perf_counter()
        for _ in range(64):
            single.detect(alone)
        seconds["single"].append((time.perf_counter() - start) / 64)
    engine.close()
    took = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    return {"tile_s": took["cut"], "single_s": took["single"], "rate_ratio": took["single"] / took["cut"]}


@click.command()
@click.argument("bundle")
@click.option("--backend", default="openvino-fp32", show_default=True)
@click.option("--size", default="16384x8192", show_default=True)
@click.option("--tile", default=512, show_default=True)
@click.option("--overlap", default=64, show_default=True)
@click.option("--child", hidden=True)
def main(bundle: str, backend: str, size: str, tile: int, overlap: int, child: str | None) -> None:
    """Print one JSON object."""
    if child is not None:
        click.echo(json.dumps(memory(bundle, backend, child)))
        return
    try:
        width, height = map(int, size.split("x"))
    except ValueError:
        raise SourceError(f"{size!r} is no size") from None
    with tempfile.TemporaryDirectory() as folder:
        source = Bundle.open(bundle)
        made = tiled(source, Path(folder) / "tiled.csflow", (tile, overlap))
        Image.fromarray(picture(width, height)).save(Path(folder) / "large.png", compress_level=1)
        command = [sys.executable, __file__, str(made.path), "--backend", backend, "--child", f"{folder}/large.png"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        click.echo(json.dumps(found), err=True)
        found |= rates(made, source, backend)
    click.echo(json.dumps({"size": size, "tile": tile, "overlap": overlap, **found}, indent=1))


if __name__ == "__main__":
    main()
