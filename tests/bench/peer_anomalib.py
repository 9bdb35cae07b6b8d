"""anomalib's CS-Flow, exported to OpenVINO and compiled by its own inferencer, as a process that `bench_peer` times.

Runs under a Python that has anomalib 2 and OpenVINO, without csflow:

    python peer_anomalib.py FOLDER IMAGE_SIZE HIDDEN [PRECISION]

It prints `ready` once the model is exported and compiled, and a line for every line that it reads when it has judged
one more picture. Weights are random (nothing is downloaded); the backbone is EfficientNet-B5, as anomalib has no other.
PRECISION is OpenVINO's hint, for example f32; without it OpenVINO computes as anomalib lets it.
"""

import functools
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np


def inferencer(folder: Path, size: int, hidden: int, precision: str) -> Any:
    """Exported anew unless the folder has it."""
    from anomalib.deploy import OpenVINOInferencer
    from anomalib.models.image.csflow import Csflow, torch_model

    file = folder / "weights" / "openvino" / "model.xml"
    if not file.exists():
        torch_model.efficientnet_b5 = functools.partial(_random, torch_model.efficientnet_b5)
        model = Csflow(cross_conv_hidden_channels=hidden, pre_processor=Csflow.configure_pre_processor((size, size)))
        model.to_openvino(folder, input_size=(size, size))
    return OpenVINOInferencer(file, "CPU", {"INFERENCE_PRECISION_HINT": precision} if precision else None)


def _random(build: Any, **_options: Any) -> Any:
    network = build(weights=None)
    for name, value in network.named_buffers():
        # Zero biases would be left out, which no trained network has.
        if name.endswith("running_mean"):
            value.normal_(std=0.1)
    return network


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    folder, size, hidden, *precision = sys.argv[1:]
    # What libraries print must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    judge = inferencer(Path(folder), int(size), int(hidden), "".join(precision))
    image = np.random.default_rng(0).integers(0, 256, (int(size), int(size), 3), dtype=np.uint8)
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        judge.predict(image)
        print("done", file=answers, flush=True)


if __name__ == "__main__":
    main()
