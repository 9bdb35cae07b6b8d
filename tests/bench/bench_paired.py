"""Two evaluations of the same test pictures: image AUROC of each, and the difference with a paired bootstrap interval.

    python tests/bench/bench_paired.py nearest/scores.csv mahalanobis/scores.csv
    python tests/bench/bench_paired.py nearest/scores.csv

Of one evaluation: its image AUROC, with the interval of that.
Good and defective pictures are drawn apart, with replacement, the same ones for both; 95 % of the draws lie within the
interval. The files are those that `csflow evaluate --report` writes.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict
from pathlib import Path

from csflow.calibration.paired import Paired, paired

Scores = dict[str, tuple[bool, float]]


def read_scores(path: Path) -> Scores:
    """Whether each picture is good, and its score, by file name; those without a score are left out."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["score"]]
    return {row["file"]: (row["label"] == "good", float(row["score"])) for row in rows}


def compared(a: Scores, b: Scores, draws: int) -> Paired:
    """Of the pictures of both evaluations; ValueError where these differ."""
    if a.keys() != b.keys():
        raise ValueError(f"the evaluations differ in {len(a.keys() ^ b.keys())} pictures")
    names = sorted(a)
    return paired([a[n][1] for n in names], [b[n][1] for n in names], [a[n][0] for n in names], draws)


def alone(scores: Scores, draws: int) -> dict[str, float]:
    """Image AUROC and its interval."""
    values = [score for _, score in scores.values()]
    # A detector that sees nothing has an AUROC of 0.5 in every draw.
    found = paired(values, [0.0] * len(values), [good for good, _ in scores.values()], draws)
    return {"auroc": found.first, "low": 0.5 + found.low, "high": 0.5 + found.high}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path, nargs="?")
    parser.add_argument("--draws", type=int, default=2000)
    args = parser.parse_args()
    first = read_scores(args.first)
    found = asdict(compared(first, read_scores(args.second), args.draws)) if args.second else alone(first, args.draws)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
