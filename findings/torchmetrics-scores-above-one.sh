#!/usr/bin/env bash
# torchmetrics gives scores that separate good and bad parts an AUROC of 0.5, or of 0.
#
# Version:  torchmetrics 1.9.0, torch 2.15.0, beside scikit-learn 1.9.1
# Expected: The AUROC depends on the order of the scores alone: any scores will do, in any batches.
# Seen:     A batch with a score outside of 0 to 1 is taken for logits and put through a sigmoid in float32, each batch by
#           itself. Scores of 20 and more all become 1: AUROC and average precision are 0.5 where every bad part scores
#           higher than every good one. Where one good part of one batch scores 1.5, that batch alone is lifted to 0.5 and
#           more, above the bad parts of the next: 0.0 instead of 0.98. The documentation says that a sigmoid is applied
#           to values outside of 0 to 1, and not that it is done by batch; issues 2195 and 2819 of torchmetrics stand open.
# Costs:    Models are chosen by such numbers; a validation's AUROC changes with the batch size and the order of its parts,
#           and one that is merely some per cent off is never looked into.
# Instead:  Bring the scores of the whole set into 0 to 1 first (ranks will do), or sklearn.metrics.roc_auc_score.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    torchmetrics==1.9.0 torch==2.15.0 scikit-learn==1.9.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

LABELS = np.repeat([0, 1], 50)


def measured(metric, scores, batch):
    made = metric()
    for start in range(0, len(scores), batch):
        part = slice(start, start + batch)
        made.update(torch.tensor(scores[part], dtype=torch.float32), torch.tensor(LABELS[part]))
    return float(made.compute())


def shown(name, scores):
    exact = float(roc_auc_score(LABELS, scores))
    by_batch = {batch: measured(BinaryAUROC, scores, batch) for batch in (1, 50, 100)}
    print(f"{name}: scikit-learn {exact:.3f}, torchmetrics by batch size", {b: round(v, 3) for b, v in by_batch.items()})
    return exact, by_batch


good, bad = np.linspace(20, 29, 50), np.linspace(30, 40, 50)
large = np.concatenate([good, bad])
one_strange = np.concatenate([np.linspace(0.01, 0.3, 49), [1.5], np.linspace(0.4, 0.49, 50)])
ranks = large.argsort().argsort() / len(large)
found = {
    "good 20 to 29, bad 30 to 40": shown("good 20 to 29, bad 30 to 40", large),
    "one good part 1.5": shown("good up to 0.3 and one of 1.5, bad 0.4 to 0.49", one_strange),
    "ranks": shown("ranks of the first", ranks),
}
precision = measured(BinaryAveragePrecision, large, 100), average_precision_score(LABELS, large)
print(f"average precision of the first: torchmetrics {precision[0]:.3f}, scikit-learn {precision[1]:.3f}")
exact, by_batch = found["one good part 1.5"]
seen = {
    "large scores: 0.5 instead of 1": found["good 20 to 29, bad 30 to 40"][0] == 1
    and all(abs(value - 0.5) < 0.05 for value in found["good 20 to 29, bad 30 to 40"][1].values()),
    "and so the average precision": abs(precision[0] - 0.5) < 0.05 and precision[1] == 1,
    "one good part of 1.5: 0 in batches of 50, right in one batch": abs(exact - 0.98) < 1e-9
    and by_batch[50] == 0
    and abs(by_batch[100] - exact) < 1e-6,
    "ranks are right in any batches": all(value == 1 for value in found["ranks"][1].values()),
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
