"""Plots of a mixture: weights as the head has them, the quantile's curve by hand, files beside the report's own."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.fake import FakeEngine
from csflow.toolkit.data.dataset import load_dataset
from csflow.toolkit.data.synthetic import write_dataset
from csflow.toolkit.evaluation.evaluation import Evaluation, evaluate
from csflow.toolkit.evaluation.mixture import drawn, local_weights_of, mixture_plots, quantile_curve
from csflow.toolkit.evaluation.report import write_report
from csflow.toolkit.methods.glad.config import GladConfig
from csflow.toolkit.methods.glad.head import NEVER, GladHead


@pytest.fixture
def evaluation(make_bundle: Callable[..., Bundle], tmp_path: Path) -> Evaluation:
    write_dataset(tmp_path / "images", train=1, calibration=1, test_good=3, test_defects_each=1, size=64, seed=1)
    bundle = make_bundle()
    assert mixture_plots(bundle, Evaluation) == {}, "another method has no mixture"  # type: ignore[arg-type]
    return evaluate(bundle, load_dataset(tmp_path / "images"), FakeEngine(bundle))


@pytest.fixture
def head() -> GladHead:
    """Three Gaussians, one of which half of the positions never had."""
    made = GladHead(GladConfig(components=5, kept=(3, 2)), ((4, 6, 6), (4, 3, 3)))
    first = made.layers()[0].get_buffer("log_weights")
    first.copy_(torch.tensor([0.5, 0.3, 0.2]).log()[:, None, None].expand(3, 6, 6))
    first[2, :, 3:] = NEVER
    return made


def test_weights_are_0_where_a_gaussian_never_was(head: GladHead) -> None:
    weights = local_weights_of(head.layers()[0])
    assert ((weights > 0.0).sum(axis=0)[:, :3] == 3).all()
    assert ((weights > 0.0).sum(axis=0)[:, 3:] == 2).all()
    np.testing.assert_allclose(weights[:, 0, 0], [0.5, 0.3, 0.2], rtol=1e-6)


def test_quantile_curve_begins_with_the_maximum_and_ends_with_the_minimum(evaluation: Evaluation) -> None:
    shares, found = quantile_curve(evaluation)
    assert shares[-1] == pytest.approx(1.0)
    for at, statistic in ((0, np.max), (-1, np.min)):
        good = [statistic(s.anomaly_map) for s in evaluation.good]
        bad = [statistic(s.anomaly_map) for s in evaluation.defective]
        wins = np.mean([(b > g) + 0.5 * (b == g) for b in bad for g in good])
        assert found[at] == pytest.approx(wins)


def test_plots_are_files_of_the_report_and_on_its_page(evaluation: Evaluation, head: GladHead, tmp_path: Path) -> None:
    plots = drawn(head, evaluation)
    page = write_report(evaluation, tmp_path / "out", plots)
    assert set(plots) == {"mixture_maps.png", "mixture_weights.png"}
    for name, data in plots.items():
        assert (page.parent / name).read_bytes() == data
        with Image.open(io.BytesIO(data)) as picture:
            assert np.asarray(picture.convert("L")).std() > 1
    assert page.read_text().count("What the method has learnt") == 2
