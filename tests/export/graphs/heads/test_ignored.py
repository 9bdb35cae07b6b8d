"""What is ignored lies in the graph of every method: engines need no code for it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from csflow.export.graphs.methods import EXPORTERS
from csflow.export.graphs.onnx_export import to_onnx
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.table import METHODS

from ....toolkit.methods.ignoring import CASES, disturbed, features, fit, ignored  # noqa: TID252 - no package


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 2e-2)])
def test_graphs_ignore_what_the_model_ignores(method: str, precision: str, tolerance: float, tmp_path: Path) -> None:
    head = fit(method, features(method), tmp_path)
    graph = EXPORTERS[method].graph(head, CASES[method][2], precision)
    new = features(method, 3, seed=9)

    def run(files: FeatureFiles) -> tuple[np.ndarray, np.ndarray]:
        inputs = [x.to(like.dtype) for x, like in zip(files.rows(slice(0, 3)), graph.example, strict=True)]
        with torch.no_grad():
            score, anomaly_map = graph.module(*inputs)
        return score.numpy(), anomaly_map.numpy()

    score, anomaly_map = run(new)
    assert_alike(run(disturbed(new, 30.0)), (score, anomaly_map), 1e-4)
    with torch.no_grad():
        assert_alike((score, anomaly_map), tuple(x.numpy() for x in head(*new.rows(slice(0, 3)))), tolerance)
    places = ignored().places(*anomaly_map.shape[1:]).bool().numpy()
    assert not anomaly_map[:, ~places].any()


def test_a_runtime_computes_what_the_module_does(tmp_path: Path) -> None:
    # Of coarse maps that are enlarged the masks are, too.
    head = fit("mahalanobis", features("mahalanobis"), tmp_path)
    session = onnxruntime.InferenceSession(
        to_onnx(EXPORTERS["mahalanobis"].graph(head, CASES["mahalanobis"][2], "fp32"))
    )
    inputs = features("mahalanobis", 3, seed=9).rows(slice(0, 3))
    found = session.run(None, {port.name: x.numpy() for port, x in zip(session.get_inputs(), inputs, strict=True)})
    with torch.no_grad():
        assert_alike(found, tuple(x.numpy() for x in head(*inputs)), 1e-4)


def assert_alike(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], tolerance: float) -> None:
    """Score and map."""
    np.testing.assert_allclose(found[0], expected[0], rtol=tolerance)
    np.testing.assert_allclose(found[1], expected[1], rtol=5 * tolerance, atol=tolerance)
