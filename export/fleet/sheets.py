"""The sheet of a product: pictures, heat maps and both together, small enough that hundreds fit on a page."""

from __future__ import annotations

import io
from pathlib import Path

from csflow.calibration.metrics import GOOD
from csflow.runtime.atomic import write_atomic
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engine import Engine
from csflow.toolkit.data.dataset import Dataset
from csflow.toolkit.evaluation.evaluation import Evaluation, glance
from csflow.toolkit.evaluation.sheet import sheet

__all__ = ["write_sheet"]

MOST = 12
"""Good pictures that are scored where there are no defects to show."""
QUALITY = 80


def write_sheet(path: Path, bundle: Bundle, dataset: Dataset, engine: Engine, evaluation: Evaluation | None) -> None:
    """Write the JPEG: of an evaluation the highest and lowest score of good parts and of each defect; without one those
    of some good parts, such as the training has not seen where there are any.

    Raises DataError where a picture cannot be read, OSError as the file system does.
    """
    if evaluation is None:
        good = [sample for sample in dataset.test if sample.label == GOOD] or dataset.calibration or dataset.train
        evaluation = glance(bundle, dataset, good[:MOST], engine)
    buffer = io.BytesIO()
    sheet(evaluation).save(buffer, "JPEG", quality=QUALITY)
    write_atomic(path, buffer.getvalue())
