"""What `make bench` measures on: a bundle of any size, pictures of drawn parts, and an engine that takes no time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from csflow.export.graphs.int8.quantize import MIN_SAMPLES, quantize
from csflow.export.graphs.int8.running import outputs_of
from csflow.export.graphs.onnx_export import make_graphs
from csflow.export.graphs.wide import wide_graphs
from csflow.runtime.bundle.calibration import Calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.bundle.manifest import Definitions, Manifest, Preprocessing
from csflow.runtime.picture.preprocess import preprocess
from csflow.runtime.synthetic.product import part_at
from csflow.runtime.types import Frame, Prediction
from csflow.toolkit.backbones.int8.quantized import quantized
from csflow.toolkit.backbones.networks import build_backbone, resolve_name
from csflow.toolkit.config import ModelConfig
from csflow.toolkit.golden import score_golden
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, FlowHead
from csflow.toolkit.methods.flow.method import CSFlow
from csflow.toolkit.model import Model

CAMERA_PX = (1024, 768)
"""Width and height of the pictures that a camera gives here."""


def pictures(count: int) -> list[NDArray[np.uint8]]:
    """Good parts as a camera gives them, drawn beforehand: drawing takes time that no camera needs."""
    return [part_at(1, i, 0.0, CAMERA_PX).image for i in range(count)]


def random_bundle(
    path: Path, backbone: str, image_size: int, hidden: int, golden: NDArray[np.uint8], precision: str = "fp32"
) -> Bundle:
    """`random_model` with an INT8 graph of the flow and the backbone's parts for bfloat16."""
    bundle = random_model(path, backbone, image_size, hidden, golden, precision)
    frame = {"frame": preprocess(golden, bundle.manifest.preprocessing)[None]}
    features = outputs_of(bundle.read("graphs/fp32/backbone.onnx"), [frame] * MIN_SAMPLES)
    int8 = {"graphs/int8/flow.onnx": quantize(bundle.read("graphs/fp32/flow.onnx"), features).onnx}
    return bundle.update({**int8, **wide_graphs(bundle)})


def random_model(
    path: Path, backbone: str, image_size: int, hidden: int, golden: NDArray[np.uint8], precision: str = "fp32"
) -> Bundle:
    """A bundle of this size with random weights, gamma and biases away from 0: times do not depend on training.

    Zeros would be left out of a graph, and the time that they take in a trained network with them.

    It has float32 graphs, and `golden`, a camera's picture, as its golden frame.

    Args:
        precision: of the backbone, as `csflow train --backbone-precision` has it.
    """
    image = preprocess(golden, Preprocessing(image_size))
    trunk = build_backbone(resolve_name(backbone))
    for name, value in trunk.state_dict().items():
        if name.endswith("running_mean"):
            nn.init.normal_(value, std=0.1)
    if precision == "int8":
        trunk = quantized(trunk, [torch.from_numpy(image[None])])
    shapes = trunk.shapes(image_size)
    config = ModelConfig(image_size, trunk.config, head=CSFlow().settle(FlowConfig(hidden=hidden), shapes))
    flow = CrossScaleFlow(config.head).eval()
    for name, parameter in flow.named_parameters():
        if name.endswith("gamma"):
            parameter.data.fill_(0.1)
    model = Model(trunk, FlowHead(flow), config)
    manifest = Manifest(Preprocessing(image_size), Definitions(), config.to_mapping(), {}, {})
    bundle = Bundle.create(path, manifest, {**model.weight_files(), **score_golden(model, [("good", image)])})
    return bundle.update(make_graphs(bundle))


def thresholds(bundle: Bundle) -> Calibration:
    """Thresholds for a detector; the verdicts do not matter here."""
    made = "2026-01-01T00:00:00Z"
    return Calibration(2.0, 1.0, 0.05, 0.95, 0.05, 0.1, (0.5, 1.0), bundle.weights_sha256, "null", made)


class NullEngine:
    """Answers at once: what is left of a frame's time is the work around the engine."""

    name = "null"

    def __init__(self, image_size: int) -> None:
        self._map = np.ones((image_size // 32, image_size // 32), np.float32)

    def infer(self, frames: Sequence[Frame]) -> list[Prediction]:
        """The same prediction for every frame."""
        return [Prediction(0.5, self._map)] * len(frames)

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> NullEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
