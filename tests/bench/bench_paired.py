"""Two evaluations of the same test pictures: image AUROC of each, and the difference with a paired bootstrap interval.

    python tests/bench/bench_paired.py nearest/scores.csv mahalanobis/scores.csv

Good and defective pictures are drawn apart, with replacement, the same ones for both; 95 % of the draws lie within the
interval. The files are those that `csflow evaluate --report` writes.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Scores = dict[str, tuple[bool, float]]


def read_scores(path: Path) -> Scores:
    """Whether each picture is good, and its score, by file name."""
    with path.open(newline="") as file:
        return {row["file"]: (row["label"] == "good", float(row["score"])) for row in csv.DictReader(file)}


def auroc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    """Share of pairs that are in order, ties half."""
    ranks = rankdata(np.concatenate([good, bad]))
    return float((ranks[len(good) :].sum() - len(bad) * (len(bad) + 1) / 2) / (len(good) * len(bad)))


def paired(a: Scores, b: Scores, draws: int, seed: int = 0) -> dict[str, float]:
    """AUROC of both, their difference, and the bounds of its interval; ValueError where the pictures differ."""
    if a.keys() != b.keys():
        raise ValueError(f"the evaluations differ in {len(a.keys() ^ b.keys())} pictures")
    names = sorted(a)
    table = np.array([[a[name][1], b[name][1]] for name in names])
    is_good = np.array([a[name][0] for name in names])
    good, bad = table[is_good], table[~is_good]
    random = np.random.default_rng(seed)
    differences = []
    for _ in range(draws):
        g, d = good[random.integers(len(good), size=len(good))], bad[random.integers(len(bad), size=len(bad))]
        differences.append(auroc(g[:, 0], d[:, 0]) - auroc(g[:, 1], d[:, 1]))
    first, second = (auroc(good[:, i], bad[:, i]) for i in (0, 1))
    low, high = np.quantile(differences, [0.025, 0.975])
    return {"first": first, "second": second, "difference": first - second, "low": float(low), "high": float(high)}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--draws", type=int, default=2000)
    args = parser.parse_args()
    print(json.dumps(paired(read_scores(args.first), read_scores(args.second), args.draws)))


if __name__ == "__main__":
    main()
