"""Kill a command, or let it fail, at every step by which it changes the disk, and look at what it leaves.

    sweep.py ACTION FOLDER END [POINTS]

ACTION is calibrate, export, verify, train, import or synthetic; END is kill, or an errno's name; POINTS limits how many
steps are tried, evenly spread. After each the bundle must open and be whole, old or new, and a folder of results whole
or absent; the same command then ends well and leaves nothing hidden behind.
"""

from __future__ import annotations

import builtins
import dataclasses
import errno
import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from csflow.calibration.calibrate import calibrate
from csflow.runtime.bundle.directory import CALIBRATION, Bundle
from csflow.runtime.bundle.golden import GoldenFrame, write_golden
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.bundle.verification import VERIFICATION
from csflow.runtime.engines.fake import FakeEngine
from csflow.runtime.errors import CSFlowError
from csflow.runtime.types import Frame

STEPS = ("replace", "fsync", "unlink", "mkdir", "fdopen", "open")
GRAPH = "graphs/fp32/flow.onnx"
REPORT = (VERIFICATION, "verification.html")
SIDE = 64


def picture(level: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((SIDE, SIDE, 3), level, np.uint8)


def old_bundle(path: Path) -> None:
    """A bundle with everything in it, for the engine without a model."""
    manifest = Manifest(Preprocessing(SIDE), Definitions(), {}, {}, {})
    made = Bundle.create(path, manifest, {"weights/flow.safetensors": b"old"})
    engine = FakeEngine(made)
    golden = [(picture(v), GoldenFrame.of(f"{v}.png", "good", engine.infer([Frame(picture(v))])[0])) for v in (64, 192)]
    made = made.update({**write_golden(golden), GRAPH: b"old", VERIFICATION: b"old"})
    made.write_calibration(b"old")


def parts(folder: Path) -> None:
    folder.mkdir(parents=True)
    for level in range(60, 72):
        Image.fromarray(picture(level)).save(folder / f"{level}.png")


def prepare_calibrate(root: Path) -> None:
    parts(root / "parts")


def run_calibrate(root: Path) -> None:
    bundle = Bundle.open(root / "bundle")
    calibrate(bundle, [root / "parts"], FakeEngine(bundle), 0.35, 0.9)


def prepare_export(_root: Path) -> None:
    importlib.import_module("csflow.export.gate.write_graphs")


def prepare_verify(_root: Path) -> None:
    for name in ("csflow.export.cli.verify", "csflow.export.gate.report", "csflow.toolkit.evaluation.report"):
        importlib.import_module(name)


def run_export(root: Path) -> None:
    from csflow.export.gate import write_graphs as module
    from csflow.export.gate.choice import GateChoice

    stubs = {
        "make_graphs": lambda *_: {GRAPH: b"new"},
        "fold_savings": lambda *_: (),
        "ModelConfig": mock.MagicMock(),
        "pass_gate": lambda *_: None,
        "judge_candidates": lambda *_: (),
        "gate_files": lambda *_: {VERIFICATION: b"new", module.PAGE: b"new"},
    }
    with mock.patch.multiple(module, **stubs):
        module.write_graphs(Bundle.open(root / "bundle"), ("fp32",), GateChoice())


def run_verify(root: Path) -> None:
    from csflow.export.cli import verify as module
    from csflow.export.gate import report

    found = SimpleNamespace(records={"fake": None}, failed=(), untried=())
    with (
        mock.patch("csflow.export.gate.verify.verify", return_value=found),
        mock.patch("csflow.runtime.bundle.calibration.load_calibration", return_value=None),
        mock.patch.multiple(report, gate_files=lambda *_: dict.fromkeys(REPORT, b"new"), summary_lines=lambda _: []),
    ):
        module.verify.main(["--bundle", str(root / "bundle"), "--report", str(root / "page")], standalone_mode=False)


def prepare_train(root: Path) -> None:
    # Once, in the parent: each child is a fork of it.
    importlib.import_module("csflow.toolkit.train_model")
    importlib.import_module("timm")
    parts(root / "parts")


def run_train(root: Path) -> None:
    import torch

    from csflow.toolkit.backbones.networks import resolve_name
    from csflow.toolkit.config import ModelConfig
    from csflow.toolkit.data.dataset import load_dataset
    from csflow.toolkit.methods.flow.config import FlowConfig, TrainConfig
    from csflow.toolkit.methods.reporter import Silent
    from csflow.toolkit.plan import TrainPlan
    from csflow.toolkit.train_model import train_model

    torch.set_num_threads(1)
    backbone = dataclasses.replace(resolve_name("tf_efficientnet_lite0"), scales=1)
    model = ModelConfig(SIDE, backbone, head=FlowConfig(kernel_sizes=(1,), hidden=4))
    plan = TrainPlan(model, TrainConfig(epochs=1))
    train_model(load_dataset(root / "parts"), root / "bundle", plan, Silent())


def prepare_import(root: Path) -> None:
    importlib.import_module("csflow.toolkit.importers.import_model")
    if not (root.parent / "model.ckpt").exists():
        checkpoint(root.parent / "model.ckpt")


def checkpoint(path: Path) -> None:
    """A checkpoint of anomalib 1.0 with one small coupling block and random weights."""
    import torch
    import torchvision

    torch.manual_seed(5)
    prefix = "model.feature_extractor.feature_extractor."
    backbone = torchvision.models.efficientnet_b5().state_dict()
    state = {f"{prefix}backbone.{name}": value for name, value in backbone.items()}
    trunk = {n: v for n, v in backbone.items() if n.startswith("features.") and int(n.split(".")[1]) < 7}
    state |= {f"{prefix}feature_extractor.{name}": value for name, value in trunk.items()}
    leaves = [f"conv_scale{i}_{level}" for i in range(3) for level in range(2)]
    for net in (1, 2):
        for leaf in (*leaves, "down_conv01", "down_conv12", "up_conv10", "up_conv21"):
            sizes = (152, 2) if leaf.endswith("_0") else (2, 304)
            layer = torch.nn.Conv2d(*sizes, 1, 2 if leaf.startswith("down") else 1).state_dict()
            state |= {f"model.graph.graph.module_list.1.cross_convolution{net}.{leaf}.{n}": v for n, v in layer.items()}
        for scale in range(3):
            state[f"model.graph.graph.module_list.1.cross_convolution{net}.gamma{scale}"] = torch.rand(1)
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.1.3"}, path)


def run_import(root: Path) -> None:
    import torch

    from csflow.toolkit.importers.import_model import ImportPlan, import_model

    torch.set_num_threads(1)
    import_model(root.parent / "model.ckpt", root / "bundle", ImportPlan())


def run_synthetic(root: Path) -> None:
    from csflow.toolkit.data.synthetic import write_dataset

    if not (root / "images").exists():
        write_dataset(root / "images", train=1, calibration=1, test_good=1, test_defects_each=1, size=SIDE, seed=0)
    assert len([*(root / "images").rglob("*.png")]) == 11, "half a data set trains like a whole one"


ACTIONS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "calibrate": (prepare_calibrate, run_calibrate),
    "export": (prepare_export, run_export),
    "verify": (prepare_verify, run_verify),
    "train": (prepare_train, run_train),
    "import": (prepare_import, run_import),
    "synthetic": (lambda _: None, run_synthetic),
}


def fail_at(limit: int, end: Callable[[], None], folder: Path) -> Callable[[], int]:
    """Let step number `limit` of those that change `folder` end so; tells how many there were."""
    count = 0

    def wrap(real: Callable[..., Any], needs: Callable[..., bool]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if needs(*arguments, **options):
                count += 1
                if count == limit:
                    end()
            return real(*arguments, **options)

        return step

    def always(*_: Any, **__: Any) -> bool:
        return True

    def writes(path: Any, mode: Any = "r", *_: Any, **__: Any) -> bool:
        inside = isinstance(path, str | Path) and str(path).startswith(str(folder))
        creates = bool(mode & os.O_CREAT) if isinstance(mode, int) else any(c in mode for c in "wax+")
        return inside and creates

    for name in STEPS:
        setattr(os, name, wrap(getattr(os, name), writes if name == "open" else always))
    builtins.open = wrap(builtins.open, writes)
    return lambda: count


def attempt(run: Callable[[Path], None], root: Path, limit: int, end: Callable[[], None]) -> int:
    """Steps that were taken before the end, or all of them where it ended well; -1 where it ended otherwise."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        steps = fail_at(limit, end, root)
        status = 0
        try:
            run(root)
        except (OSError, CSFlowError) as error:
            status = 0 if not isinstance(error, OSError) or error.errno else 1
        except BaseException as error:  # noqa: BLE001 - anything else is what the sweep looks for
            os.write(2, f"step {limit}: {error!r}\n".encode())
            status = 1
        os.write(writer, str(steps()).encode())
        os._exit(status)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    told = os.read(reader, 100)
    os.close(reader)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        return -1
    return int(told) if told else limit


def check(root: Path, run: Callable[[Path], None], limit: int) -> None:
    bundle = Bundle.open(root / "bundle")
    bundle.verify()
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    for name in (GRAPH, VERIFICATION):
        assert contents.get(name, b"old") in (b"old", b"new"), f"step {limit}: {name} is {contents[name]!r}"
    thresholds = bundle.read_calibration()
    assert thresholds in (None, b"old") or thresholds.startswith(b"{"), f"step {limit}: {CALIBRATION} is {thresholds!r}"
    page = root / "page"
    assert not page.exists() or set(os.listdir(page)) == set(REPORT), f"step {limit}: half a report"
    child = os.fork()
    if child == 0:
        try:
            run(root)
        except BaseException as error:  # noqa: BLE001 - told by the exit status
            os.write(2, f"after step {limit}: {error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, f"after step {limit} the command does not end well"
    Bundle.open(root / "bundle").verify()
    left = [str(p.relative_to(root)) for p in root.rglob(".*")]
    assert not left, f"step {limit} leaves {left}"


def main(action: str, folder: str, ending: str, points: int = 10_000) -> None:
    os.fsync = lambda _handle: None  # the kernel outlives the process: a sync is a step here, and needs no disk
    prepare, run = ACTIONS[action]
    root = Path(folder).absolute()

    def end() -> None:
        if ending == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, ending)
        raise OSError(number, os.strerror(number))

    def fresh() -> None:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        old_bundle(root / "bundle")
        prepare(root)

    fresh()
    total = attempt(run, root, 0, end)
    assert total > 0, "the command does not end well"
    tried = sorted({1 + i * total // points for i in range(points)} if points < total else set(range(1, total + 1)))
    for limit in tried:
        fresh()
        assert attempt(run, root, limit, end) >= 0, f"step {limit}: neither killed nor an error of the file system"
        check(root, run, limit)
    print(f"{action}, {ending}: {len(tried)} of {total} steps")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
