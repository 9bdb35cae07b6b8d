"""Plots of what a mixture has learnt (GLAD): weights, sparsity, maps of weights, and the curve of its quantile."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from csflow.calibration.metrics import image_auroc
from csflow.runtime.bundle.directory import Bundle
from csflow.toolkit.evaluation.evaluation import Evaluation
from csflow.toolkit.evaluation.plots import TYPE_COLOURS, new_figure, png
from csflow.toolkit.methods.glad.head import GladHead, LayerMixture
from csflow.toolkit.model import Model

__all__ = ["drawn", "local_weights_of", "mixture_plots", "quantile_curve"]

SHOWN = 6
"""Gaussians of each feature map whose weights are shown."""
QUANTILES = 40


def mixture_plots(bundle: Bundle, evaluation: Evaluation) -> dict[str, bytes]:
    """PNG files by name; none where the bundle is no mixture.

    Raises BundleCorrupted where its weights do not fit, BackendUnavailable when matplotlib is not installed.
    """
    if bundle.manifest.method != "glad":
        return {}
    head = Model.load(bundle).head
    assert isinstance(head, GladHead)
    return drawn(head, evaluation)


def drawn(head: GladHead, evaluation: Evaluation) -> dict[str, bytes]:
    """'mixture_weights.png' and 'mixture_maps.png' of a head, and of how its maps rank the pictures.

    Raises BackendUnavailable when matplotlib is not installed.
    """
    weights = [local_weights_of(layer) for layer in head.layers()]
    return {
        "mixture_weights.png": _weights_png(head, weights, evaluation),
        "mixture_maps.png": _maps_png(weights),
    }


def local_weights_of(layer: LayerMixture) -> NDArray[np.float64]:
    """(K, h, w), of sum 1 at each position; 0 where no good part had that Gaussian."""
    weights: NDArray[np.float64] = torch.exp(layer.get_buffer("log_weights").double()).numpy()
    return weights


def quantile_curve(evaluation: Evaluation) -> tuple[NDArray[np.float64], list[float]]:
    """Shares of a map's positions, and the image AUROC of the value that each share exceeds (the paper's Figure 2)."""
    maps = [np.sort(s.anomaly_map.ravel())[::-1] for s in evaluation.samples]
    defective = [not s.good for s in evaluation.samples]
    shares = np.geomspace(1.0 / max(len(m) for m in maps), 1.0, QUANTILES)
    return shares, [
        image_auroc([float(m[min(len(m) - 1, int(share * (len(m) - 1)))]) for m in maps], defective) for share in shares
    ]


def _weights_png(head: GladHead, weights: list[NDArray[np.float64]], evaluation: Evaluation) -> bytes:
    figure = new_figure(11.2, 4.2)
    decay, curve = figure.subplots(1, 2)
    for i, (each, started) in enumerate(zip(weights, head.config.started(len(weights)), strict=True)):
        share = np.sort(each.mean(axis=(1, 2)))[::-1]
        label = f"feature map {i}: {len(each)} of {started} Gaussians left"
        decay.semilogy(np.arange(1, len(share) + 1), np.maximum(share, 1e-6), color=_colour(i), label=label)
    decay.set(xlabel="Gaussian, by weight", ylabel="mean weight over positions", title="Decay of the weights")
    decay.legend(frameon=False)
    shares, found = quantile_curve(evaluation)
    curve.semilogx(shares, found, color="black")
    label = f"this bundle: {head.config.quantile:g}{_of_deepest(head)}"
    curve.axvline(head.config.quantile, color="#c8283a", linestyle="--", label=label)
    curve.set(xlabel="share of the map above the score", ylabel="image AUROC", title="Quantile of the map as score")
    curve.legend(frameon=False)
    return png(figure)


def _of_deepest(head: GladHead) -> str:
    """What the bundle's score is of, where it is not the map whose curve is drawn."""
    deepest, maps = head.config.score_maps, len(head.mixtures)
    return "" if deepest in (0, maps) else f", of the deepest {deepest} of {maps} maps"


def _maps_png(weights: list[NDArray[np.float64]]) -> bytes:
    figure = new_figure(1.6 * (SHOWN + 1), 1.9 * len(weights))
    rows = figure.subplots(len(weights), SHOWN + 1, squeeze=False)
    for i, (axes, each) in enumerate(zip(rows, weights, strict=True)):
        used = (each > 0.0).sum(axis=0)
        axes[0].imshow(used, cmap="viridis", vmin=0)
        axes[0].set_title(f"map {i}: {used.min()} to {used.max()} used", fontsize=7)
        largest = np.argsort(-each.mean(axis=(1, 2)))[:SHOWN]
        for place, axis in zip(largest, axes[1:], strict=False):
            axis.imshow(each[place], cmap="magma", vmin=0.0)
            axis.set_title(f"Gaussian {place}, {each[place].mean():.1%}", fontsize=7)
        for axis in axes:
            axis.set_axis_off()
    return png(figure)


def _colour(index: int) -> str:
    return TYPE_COLOURS[index % len(TYPE_COLOURS)]
