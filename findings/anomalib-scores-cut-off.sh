#!/usr/bin/env bash
# anomalib's AUROC is taken of scores that were cut off at 1: 0.99 becomes 0.82 where good parts alone set the scale.
#
# Version:  anomalib 2.7.0 with torch 2.15.0; a model's own PostProcessor and image AUROC, in the order of Engine.test
# Expected: AUROC ranks the model's scores. What is done to show them between 0 and 1 changes no order.
# Seen:     The post-processor comes before the evaluator and puts each score at 0.5 + (score - threshold) / range, cut
#           off at 0 and 1; threshold and range are those of the validation pictures. Where these are good parts alone
#           (a warning tells of the threshold, and of no more), all that lies half their range above the highest of them
#           is 1. Twenty of 10 +- 1 for validation; thirty good ones of 12.5 +- 1 and thirty bad ones of 16 +- 1 in the
#           test, as of a bank that knows the first set better: an AUROC of 0.99 of the scores is 0.82, and two thirds
#           of all scores are 1.0. The exported model holds the same post-processor. With bad parts in validation both
#           are alike.
# Costs:    A model seems worse than it is, the more so the better it knows its training pictures; two models cannot be
#           compared. At the line every defect is 1.0, and a threshold above 1 cannot be had.
# Instead:  Model(post_processor=PostProcessor(enable_normalization=False)), or post_processor=False.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --no-compile --disable-pip-version-check \
    numpy==2.4.6 anomalib==2.7.0 torch==2.15.0 torchvision==0.29.2 torchmetrics==1.9.0 lightning==2.6.6 kornia==0.9.0 \
    timm==1.0.31
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import numpy as np
import torch
from anomalib.data import ImageBatch, InferenceBatch
from anomalib.metrics import AUROC
from anomalib.models import Padim
from anomalib.post_processing import PostProcessor

random = np.random.default_rng(0)


def batch(good, bad):
    """Scores of 10 + good deviations for good parts, of 16 for bad ones."""
    labels = torch.arange(len(good) + len(bad)) >= len(good)
    scores = torch.tensor(np.concatenate([good, bad]), dtype=torch.float32)
    return ImageBatch(image=torch.zeros(len(labels), 3, 4, 4), pred_score=scores, gt_label=labels)


def auroc(parts):
    metric = AUROC(fields=["pred_score", "gt_label"])
    metric.update(parts)
    return float(metric.compute())


def test(validation, normalise=True):
    """AUROC of the model's scores and of the evaluator's; the part that is 1; whether the exported model agrees."""
    processor = PostProcessor(enable_normalization=normalise)
    processor.on_validation_batch_end(None, None, validation)
    processor.on_validation_epoch_end(None, None)
    parts = batch(GOOD, BAD)
    raw = auroc(parts)
    exported = processor(InferenceBatch(pred_score=parts.pred_score.clone())).pred_score
    processor.on_test_batch_end(None, None, parts, None, 0)
    return raw, auroc(parts), float((parts.pred_score == 1).float().mean()), torch.equal(exported, parts.pred_score)


known = random.normal(10, 1, 20)
GOOD, BAD = random.normal(12.5, 1, 30), random.normal(16, 1, 30)
order = [type(callback).__name__ for callback in Padim(backbone="resnet18", pre_trained=False).configure_callbacks()]
print("a model's callbacks:", ", ".join(order))
results = {
    "validation of good parts": test(batch(known, [])),
    "and of bad ones": test(batch(known, random.normal(16, 1, 20))),
    "not normalised": test(batch(known, []), normalise=False),
}
for name, (raw, found, ones, _) in results.items():
    print(f"{name}: AUROC of the scores {raw:.4f}, of what the evaluator gets {found:.4f}; {ones:.0%} of scores are 1")
raw, found, ones, exported = results["validation of good parts"]
seen = {
    "the post-processor comes before the evaluator": order.index("PostProcessor") < order.index("Evaluator"),
    "validation of good parts: 0.99 becomes 0.82": raw > 0.98 and abs(found - 0.82) < 0.02,
    "more than half of the scores are 1": ones > 0.5,
    "the exported post-processor gives the same": exported,
    "with bad parts in validation both are alike": abs(np.subtract(*results["and of bad ones"][:2])) < 0.005,
    "not normalised both are": results["not normalised"][0] == results["not normalised"][1],
}

for what, holds in seen.items():
    print("holds:" if holds else "CHANGED:", what)
sys.exit(not all(seen.values()))
PY
