"""Training checkpoints without pickles: one safetensors file with parameters, Adam's moments and progress."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from csflow.runtime.errors import ConfigError
from csflow.toolkit.methods.unfinished import require_fingerprint
from csflow.toolkit.tensor_file import save_tensors

__all__ = ["Checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """The file that an interrupted training resumes from."""

    path: Path
    fingerprint: str
    """Identity of data, model and training configuration; a checkpoint of another one is refused."""

    def save(
        self,
        flow: nn.Module,
        optimizer: torch.optim.Adam,
        epochs_done: int,
        losses: list[float],
        more: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """Write the state after `epochs_done` epochs; the previous file stays until the new one is whole.

        Args:
            more: what `restore` is to give back.

        Raises SinkError when it cannot be written.
        """
        tensors = {f"flow.{name}": value for name, value in flow.state_dict().items()}
        for i, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"adam.{i}.{name}"] = torch.as_tensor(value)
        tensors |= {f"more.{name}": value for name, value in more.items()}
        metadata = {
            "fingerprint": self.fingerprint,
            "progress": json.dumps({"epochs_done": epochs_done, "losses": losses}),
        }
        save_tensors(self.path, tensors, metadata)

    def restore(
        self,
        flow: nn.Module,
        optimizer: torch.optim.Adam,
        take: Callable[[dict[str, Tensor]], None] = lambda _more: None,
    ) -> tuple[int, list[float]]:
        """Load the state, if there is one, into `flow` and `optimizer`; returns epochs done and their losses.

        Args:
            take: is given what `save` was given besides, where there is a state.

        Raises ConfigError for a checkpoint of other settings or a damaged one; both can be discarded with --fresh.
        """
        if not self.path.is_file():
            return 0, []
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                require_fingerprint(self.path, metadata, self.fingerprint)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            progress = json.loads(metadata["progress"])
            _load(flow, optimizer, tensors)
            take({name.removeprefix("more."): t for name, t in tensors.items() if name.startswith("more.")})
            return int(progress["epochs_done"]), [float(loss) for loss in progress["losses"]]
        except (SafetensorError, KeyError, ValueError, RuntimeError):
            raise ConfigError(f"checkpoint {self.path} is damaged: start over with --fresh") from None

    def discard(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)


def _load(flow: nn.Module, optimizer: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    flow.load_state_dict({n.removeprefix("flow."): t for n, t in tensors.items() if n.startswith("flow.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, moment = name.split(".")
            state.setdefault(int(index), {})[moment] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
