"""Plots of an evaluation as PNG: the ROC curve and the histogram of scores."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from csflow.calibration.metrics import GOOD
from csflow.runtime.errors import BackendUnavailable
from csflow.runtime.machine.install import pip_install
from csflow.toolkit.evaluation.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["TYPE_COLOURS", "histogram_png", "new_figure", "png", "roc_png"]

GOOD_COLOUR, DEFECT_COLOUR, WARN_COLOUR = "#1a8f54", "#c8283a", "#b87800"
TYPE_COLOURS = ("#4c78a8", "#e58606", "#7b52ab", "#2a9d8f", "#8c613c", "#d24d90", "#6c757d", "#9c9a00")
BINS = 48


def roc_png(evaluation: Evaluation) -> bytes:
    """ROC curve of all defects against the good pictures, and thinner ones a defect type, as PNG.

    Raises BackendUnavailable when matplotlib or scikit-learn is not installed.
    """
    figure = new_figure(5.6, 4.8)
    axes = figure.add_subplot()
    good = evaluation.scores(GOOD)
    if len(evaluation.defects) > 1:
        for i, row in enumerate(evaluation.defects):
            label = f"{row.defect_type} {row.auroc:.4f}"
            _curve(axes, good, evaluation.scores(row.defect_type), label, TYPE_COLOURS[i % len(TYPE_COLOURS)], 1.1)
    everything = [s.score for s in evaluation.defective]
    _curve(axes, good, everything, f"all defects {evaluation.image_auroc:.4f}", "black", 2.2)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel="good parts above the threshold")
    axes.set(ylabel="defective parts above the threshold", title="ROC curve (area under it in the legend)")
    axes.legend(loc="lower right", frameon=False)
    return png(figure)


def histogram_png(evaluation: Evaluation) -> bytes:
    """Scores of good and defective pictures, as shares of each, with the thresholds, as PNG.

    The axis is logarithmic, for defects score up to hundreds of times as high as good parts.
    Raises BackendUnavailable when matplotlib is not installed.
    """
    figure = new_figure(5.6, 4.8)
    axes = figure.add_subplot()
    good = np.array(evaluation.scores(GOOD))
    defective = np.array([s.score for s in evaluation.defective])
    edges, logarithmic = _edges(np.concatenate([good, defective]))
    if logarithmic:
        axes.set_xscale("log")
    for scores, label, colour in ((good, "good", GOOD_COLOUR), (defective, "defective", DEFECT_COLOUR)):
        axes.hist(
            scores, list(edges), weights=np.full(scores.size, 100 / scores.size), label=f"{label} ({scores.size})",
            color=colour, alpha=0.55, edgecolor=colour, linewidth=0.6, histtype="stepfilled",
        )  # fmt: skip
    _thresholds(axes, evaluation)
    axes.set(xlabel="score (logarithmic)" if logarithmic else "score", ylabel="share of its kind in %", title="Scores")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    _plain_ticks(axes, edges)
    return png(figure)


def _edges(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Edges of the histogram's bars, and whether they are even on a logarithmic axis."""
    low, high = float(scores.min()), float(scores.max())
    if low <= 0 or high <= low:
        return np.linspace(low - 0.01, high + 0.01, BINS + 1), False
    return np.geomspace(low * 0.995, high * 1.005, BINS + 1), True


def _thresholds(axes: Axes, evaluation: Evaluation) -> None:
    if (calibration := evaluation.calibration) is None:
        return
    warn, reject = calibration.warn_threshold, calibration.reject_threshold
    axes.axvline(warn, color=WARN_COLOUR, linestyle="--", linewidth=1.3, label=f"warn {warn:.4g}")
    axes.axvline(reject, color=DEFECT_COLOUR, linewidth=1.5, label=f"reject {reject:.4g}")


def _plain_ticks(axes: Axes, edges: NDArray[np.float64]) -> None:
    """Ticks as people write them (1, 2, 5, 10): the default names powers of ten alone."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    if axes.get_xscale() != "log":
        return
    low, high = edges[0], edges[-1]
    steps = (1, 2, 5) if high / low > 6 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _curve(axes: Axes, good: list[float], defective: list[float], label: str, colour: str, width: float) -> None:
    try:
        from sklearn.metrics import roc_curve
    except ImportError as error:
        raise BackendUnavailable(f"plots need scikit-learn ({error}): {pip_install('train')}") from None
    truth = np.repeat([False, True], [len(good), len(defective)])
    false_rate, true_rate, _ = roc_curve(truth, np.array(good + defective))
    axes.plot(false_rate, true_rate, label=label, color=colour, linewidth=width)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches. Raises BackendUnavailable when matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendUnavailable(f"plots need matplotlib ({error}): {pip_install('train')}") from None
    figure = Figure(figsize=(width, height), dpi=140, layout="constrained")
    figure.set_facecolor("white")
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
