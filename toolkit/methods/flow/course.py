"""How a training of the flow went, for somebody who has never seen one: stopped too early, or gone on too long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from csflow.runtime.errors import ConfigError
from csflow.toolkit.features import FeatureFiles
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, sample_losses

__all__ = ["Course"]

LATE = 0.25
"""The last share of the epochs, in which a training that is long enough changes little."""
STILL_FALLING = 0.15
"""Share of its whole fall that the loss may still fall in that time; a straight line falls by 0.25."""
WORSE = 0.05
"""Share of that fall by which unseen pictures may be worse at the end than at their best."""
PATIENCE = 5
"""Epochs running that unseen pictures must be worse for."""
FEWEST = 4
"""Epochs below which nothing can be said."""


class Course:
    """The losses of a training, of the fitted pictures and of unseen ones; ends it where these say so.

    With `stops`, a training has ended when the unseen pictures were worse than in their best epoch for `PATIENCE`
    epochs running: by more, on the average, than the standard error of their differences, picture by picture.
    """

    def __init__(self, unseen: FeatureFiles | None, stops: bool = False) -> None:
        """Begin with nothing.

        Raises ConfigError for `stops` without unseen pictures.
        """
        if stops and unseen is None:
            raise ConfigError("early_stop needs good pictures that are held out: add --hold-out 0.1")
        self._unseen, self._stops = unseen, stops
        self._losses: dict[int, float] = {}
        self._best = torch.zeros(0, dtype=torch.float64)
        self._weights: dict[str, Tensor] = {}
        self._worse = 0

    @property
    def ended(self) -> bool:
        """Whether to stop."""
        return self._stops and self._worse >= PATIENCE

    def add(self, done: int, flow: CrossScaleFlow) -> None:
        """Score the unseen pictures after so many epochs."""
        if self._unseen is None:
            return
        found = _losses_of(flow, self._unseen)
        self._losses[done] = float(found.mean())
        if self._losses[done] == min(self._losses.values()):
            self._best, self._worse = found, 0
            if self._stops:
                self._weights = {name: value.detach().cpu().clone() for name, value in flow.state_dict().items()}
        else:
            self._worse = self._worse + 1 if _is_worse(found, self._best) else 0

    def state(self) -> dict[str, Tensor]:
        """What `resume` takes."""
        return {
            "epochs": torch.tensor(list(self._losses), dtype=torch.int64),
            "losses": torch.tensor(list(self._losses.values()), dtype=torch.float64),
            "best": self._best,
            "worse": torch.tensor(self._worse),
            **{f"weights.{name}": value for name, value in self._weights.items()},
        }

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state`; from a checkpoint of an earlier version, which has none, with nothing."""
        if not state:
            return
        self._losses = dict(zip(state["epochs"].tolist(), state["losses"].tolist(), strict=True))
        self._best, self._worse = state["best"], int(state["worse"])
        self._weights = {name.removeprefix("weights."): t for name, t in state.items() if name.startswith("weights.")}

    def keep_best(self, flow: CrossScaleFlow) -> None:
        """Give `flow` the weights of the best epoch, where the course may stop a training."""
        if self._weights:
            flow.load_state_dict(self._weights)

    @property
    def best_epoch(self) -> int:
        """In which unseen pictures fitted best; 0 where there are none."""
        return min(self._losses, key=lambda epoch: self._losses[epoch], default=0)

    def facts(self) -> dict[str, float]:
        """For provenance: the loss of unseen pictures by the weights that are kept, and the epoch of the least one."""
        if not self._losses:
            return {}
        kept = self.best_epoch if self._stops else max(self._losses)
        return {"unseen_loss": self._losses[kept], "best_epoch": self.best_epoch, "epochs": max(self._losses)}

    def lines(self, losses: Sequence[float]) -> list[str]:
        """What a user should know, in words; nothing where the training was of a fit length.

        Args:
            losses: of the fitted pictures, of every epoch.
        """
        if self.ended:
            return [self._stopped(len(losses))]
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

    def _stopped(self, epochs: int) -> str:
        best = self.best_epoch
        return (
            f"stopped after {epochs} epochs: good pictures that were held out fitted best after {best} (loss "
            f"{self._losses[best]:.4g}), and those weights are kept"
        )

    def _over(self, epochs: int, fall: float) -> str:
        if not self._losses or self._stops:
            return ""
        best, last = self.best_epoch, self._losses[max(self._losses)]
        if last - self._losses[best] <= WORSE * fall:
            return ""
        return (
            f"over-trained: good pictures that were held out fitted best after {best} epochs (loss "
            f"{self._losses[best]:.4g}), at the end of {epochs} it is {last:.4g}: --epochs {best}, or more pictures"
        )


@torch.inference_mode()
def _losses_of(flow: CrossScaleFlow, unseen: FeatureFiles) -> Tensor:
    """(N,), float64."""
    device, found = next(flow.parameters()).device, []
    flow.eval()
    for batch in unseen.batches(16):
        z, log_det = flow(tuple(x.to(device) for x in batch))
        found.append(sample_losses(z, log_det, flow.kept.masks).double().cpu())
    flow.train()
    return torch.cat(found)


def _is_worse(losses: Tensor, best: Tensor) -> bool:
    """Whether the mean difference is above its standard error; of one picture, above 0."""
    difference = losses - best
    error = float(difference.std()) / len(difference) ** 0.5 if len(difference) > 1 else 0.0
    return float(difference.mean()) > error
