"""False rejects day by day at the calibrated threshold, and when a drift of the good parts' scores would have been seen.

    csflow compare bsdata/ --backbone tf_efficientnet_lite2 --image-size 256 --methods mahalanobis,padim,nearest,mahalanobis+padim --false-reject-rate 0.05
    python tests/bench/bench_days.py bsdata/ comparison/*.csflow

Names of pictures begin with the day, as 200904 does. Drift: each good test picture in the order of its name gets the conformal p-value
(1 + number of calibration scores at least as high) / (1 + their number), which stays below 1 by half a step; an exponentially weighted mean of the
normal quantiles of 1 - p, begun at 0, raises an alarm above three of its standard deviations.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

from csflow.runtime.bundle.calibration import load_calibration
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.opening import open_engine
from csflow.runtime.picture.images import list_images
from csflow.runtime.picture.preprocess import prepare_file
from csflow.runtime.types import Frame

WEIGHT = 0.1
DEVIATIONS = 3.0
DAY = 6
"""Characters of a name."""


@dataclass(frozen=True)
class Days:
    """What the good parts of a test show in the order of time."""

    rejects: dict[str, tuple[int, int]]
    """(good pictures, rejected ones) of each day."""
    alarm_after: int | None
    """Good pictures until the drift is seen; None where it is not."""


def days(scores: Sequence[tuple[str, float]], calibration: Sequence[float], threshold: float) -> Days:
    """Of good test pictures, (name, score) each.

    Args:
        calibration: scores of the good parts that gave the threshold.
    """
    rejects: dict[str, tuple[int, int]] = {}
    limit, mean, alarm = DEVIATIONS * (WEIGHT / (2.0 - WEIGHT)) ** 0.5, 0.0, None
    for i, (name, score) in enumerate(sorted(scores), start=1):
        seen, rejected = rejects.get(name[:DAY], (0, 0))
        rejects[name[:DAY]] = seen + 1, rejected + (score > threshold)
        mean = (1.0 - WEIGHT) * mean + WEIGHT * _quantile(score, calibration)
        if alarm is None and mean > limit:
            alarm = i
    return Days(rejects, alarm)


def _quantile(score: float, calibration: Sequence[float]) -> float:
    count = len(calibration) + 1
    p = (1 + sum(known >= score for known in calibration)) / count
    return NormalDist().inv_cdf(1.0 - min(p, 1.0 - 0.5 / count))


def main() -> None:
    """Print one JSON object for each bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="with test/good")
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--backend", default="openvino-fp32")
    args = parser.parse_args()
    for path in args.bundles:
        bundle = Bundle.open(path)
        calibration = load_calibration(bundle)
        if calibration is None:
            raise SystemExit(f"{path} has no thresholds: csflow calibrate")
        how = bundle.manifest.preprocessing
        with open_engine(bundle, args.backend) as engine:
            pictures = list_images(args.images / "test" / "good")
            scores = [(p.name, engine.infer([Frame(prepare_file(p, how))])[0].score) for p in pictures]
        found = days(scores, calibration.scores, calibration.reject_threshold)
        print(json.dumps({"bundle": path.name, **asdict(found)}), flush=True)


if __name__ == "__main__":
    main()
