"""How a training of the flow went, for somebody who has never seen one: stopped too early, or gone on too long."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, negative_log_likelihood

__all__ = ["Course"]

LATE = 0.25
"""The last share of the epochs, in which a training that is long enough changes little."""
STILL_FALLING = 0.15
"""Share of its whole fall that the loss may still fall in that time; a straight line falls by 0.25."""
WORSE = 0.05
"""Share of that fall by which unseen pictures may be worse at the end than at their best."""
FEWEST = 4
"""Epochs below which nothing can be said."""


class Course:
    """The losses of a training, of the fitted pictures and of unseen ones."""

    def __init__(self, unseen: FeatureFiles | None) -> None:
        self._unseen = unseen
        self._losses: dict[int, float] = {}

    def add(self, done: int, flow: CrossScaleFlow, _loss: float) -> None:
        """Score the unseen pictures after so many epochs."""
        if self._unseen is not None:
            self._losses[done] = _loss_of(flow, self._unseen)

    def facts(self) -> dict[str, float]:
        """For provenance: the loss of unseen pictures at the end, and the epoch in which it was least."""
        if not self._losses:
            return {}
        best = min(self._losses, key=lambda epoch: self._losses[epoch])
        return {"unseen_loss": self._losses[max(self._losses)], "best_epoch": best}

    def lines(self, losses: Sequence[float]) -> list[str]:
        """What a user should know, in words; nothing where the training was of a fit length.

        Args:
            losses: of the fitted pictures, of every epoch.
        """
        fall = max(losses) - min(losses)
        if len(losses) < FEWEST or fall <= 0.0:
            return []
        if over := self._over(len(losses), fall):
            return [over]
        late = max(1, round(LATE * len(losses)))
        share = (losses[-1 - late] - losses[-1]) / fall
        if share <= STILL_FALLING:
            return []
        return [
            f"under-trained: in the last {late} of {len(losses)} epochs the loss still fell by {share:.0%} of its "
            "whole fall: more --epochs will find more defects"
        ]

    def _over(self, epochs: int, fall: float) -> str:
        if not self._losses:
            return ""
        facts = self.facts()
        best, last = int(facts["best_epoch"]), facts["unseen_loss"]
        if last - self._losses[best] <= WORSE * fall:
            return ""
        return (
            f"over-trained: good pictures that were held out fitted best after {best} epochs (loss "
            f"{self._losses[best]:.4g}), at the end of {epochs} it is {last:.4g}: --epochs {best}, or more pictures"
        )


@torch.inference_mode()
def _loss_of(flow: CrossScaleFlow, unseen: FeatureFiles) -> float:
    device, total = next(flow.parameters()).device, 0.0
    flow.eval()
    for batch in unseen.batches(16):
        z, log_det = flow(tuple(x.to(device) for x in batch))
        total += float(negative_log_likelihood(z, log_det, flow.kept.masks)) * len(batch[0])
    flow.train()
    return total / unseen.pictures
