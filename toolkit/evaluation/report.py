"""The files of an evaluation: numbers, plots, the heat-map sheet, and one HTML page that holds them all."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from csflow.calibration.metrics import GOOD
from csflow.runtime import schema
from csflow.runtime.atomic import whole_folder, write_atomic
from csflow.runtime.errors import SinkError
from csflow.runtime.machine.names import shown
from csflow.toolkit.evaluation.evaluation import Evaluation, ScoredSample
from csflow.toolkit.evaluation.html import render_page
from csflow.toolkit.evaluation.plots import histogram_png, roc_png
from csflow.toolkit.evaluation.sheet import panels, sheet
from csflow.toolkit.evaluation.summary import to_json
from csflow.toolkit.evaluation.viewer import viewer_page

__all__ = ["VIEWER", "report_folder", "write_report"]

GALLERY = 12
VIEWER = "viewer.html"
"""The page of all pictures, with a slider for the threshold."""
THUMBNAIL_PX = 240


@dataclass(frozen=True)
class _Thumbnail:
    """One picture of a gallery."""

    uri: str
    name: str
    label: str
    score: float
    verdict: str | None


@dataclass(frozen=True)
class _Gallery:
    """Pictures worth a look."""

    title: str
    note: str
    total: int
    thumbnails: tuple[_Thumbnail, ...]


@contextmanager
def report_folder(directory: Path) -> Iterator[Path]:
    """A folder for the files of a report, which are in `directory` when the block ends well: all of them, or none.

    Raises SinkError where it cannot be written, before the scoring that takes minutes, OSError as the file system does.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(whole_folder(directory))
        except OSError as error:
            raise SinkError(f"cannot write into {directory} ({error.strerror}): name another with --report") from None
        yield folder


def write_report(evaluation: Evaluation, directory: Path, more: Mapping[str, bytes] | None = None) -> Path:
    """Write evaluation.json, scores.csv, roc.png, histogram.png, sheet.png, viewer.html and report.html; returns the
    path of the last.

    Each file is whole or absent. The pages need no other file and no network.

    Args:
        more: further plots of the method, PNG files by name.

    Raises:
        DataError: a picture or mask cannot be read any more.
        BackendUnavailable: matplotlib, scikit-learn or Jinja2 is not installed.
        OSError: as the file system does.
    """
    plots = {
        "roc.png": roc_png(evaluation),
        "histogram.png": histogram_png(evaluation),
        "sheet.png": _encoded(sheet(evaluation), "PNG"),
    }
    page, viewer = _page(evaluation, plots, more or {}), viewer_page(evaluation)
    numbers = {"evaluation.json": schema.dump_json(to_json(evaluation)), "scores.csv": _csv(evaluation)}
    pages = {VIEWER: viewer.encode(), "report.html": page.encode()}
    for name, data in {**plots, **(more or {}), **numbers, **pages}.items():
        write_atomic(directory / name, data)
    return directory / "report.html"


def _csv(evaluation: Evaluation) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["file", "label", "score", "verdict"])
    for scored in evaluation.samples:
        writer.writerow([scored.name, scored.sample.label, repr(scored.score), scored.verdict or ""])
    for lost in evaluation.not_found:
        writer.writerow([lost.name, lost.label, "", "ERROR"])
    return shown(text.getvalue()).encode()


def _page(evaluation: Evaluation, plots: dict[str, bytes], more: Mapping[str, bytes]) -> str:
    return render_page(
        "csflow.toolkit.evaluation",
        "report.html.j2",
        e=evaluation,
        good_median=median(evaluation.scores(GOOD)),
        rows=[(row, median(evaluation.scores(row.defect_type))) for row in evaluation.defects],
        galleries=_galleries(evaluation),
        more=[_uri(data, "png") for data in more.values()],
        plots={name.removesuffix(".png"): _uri(data, "png") for name, data in plots.items()},
    )


def _galleries(evaluation: Evaluation) -> list[_Gallery]:
    defective = sorted(evaluation.defective, key=lambda s: s.score)
    good = sorted(evaluation.good, key=lambda s: -s.score)
    if evaluation.calibration is None:
        return [
            _gallery("Hardest defects", "Lowest-scoring defective parts.", defective, evaluation),
            _gallery("Strangest good parts", "Highest-scoring good parts.", good, evaluation),
        ]
    escapes = [s for s in defective if s.verdict == "OK"]
    rejects = [s for s in good if s.verdict == "NOK"]
    return [
        _gallery("Escapes", "Defective parts that were called OK, lowest score first.", escapes, evaluation),
        _gallery("False rejects", "Good parts that were called NOK, highest score first.", rejects, evaluation),
    ]


def _gallery(title: str, note: str, samples: list[ScoredSample], evaluation: Evaluation) -> _Gallery:
    shown = tuple(_thumbnail(scored, evaluation) for scored in samples[:GALLERY])
    return _Gallery(title, note, len(samples), shown)


def _thumbnail(scored: ScoredSample, evaluation: Evaluation) -> _Thumbnail:
    picture, _, covered = panels(scored, evaluation)
    pair = Image.fromarray(np.concatenate([picture, covered], axis=1))
    pair.thumbnail((2 * THUMBNAIL_PX, THUMBNAIL_PX))
    uri = _uri(_encoded(pair, "JPEG"), "jpeg")
    return _Thumbnail(uri, scored.name, scored.sample.label, scored.score, scored.verdict)


def _encoded(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=88)
    return buffer.getvalue()


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
