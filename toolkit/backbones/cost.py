"""What a torch module costs at batch 1, counted on tensors without data, and what a rewrite of it saves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Cost", "Saving", "cost", "frame_line", "measured"]

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Cost:
    """One forward pass of a module."""

    operators: int
    """Tensor operations that write a result; views are free."""
    multiplications: int
    """Of convolutions and matrix products; one per element of a product, quotient or batch norm; four per element
    of a bilinear enlargement."""
    parameters: int
    """Floating-point numbers stored."""

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.operators - other.operators,
            self.multiplications - other.multiplications,
            self.parameters - other.parameters,
        )


@dataclass(frozen=True)
class Saving:
    """What one fold saved; negative where it costs."""

    graph: str
    fold: str
    saved: Cost
    before: Cost


def cost(module: nn.Module, example: tuple[Tensor, ...]) -> Cost:
    """Count a forward pass of `module` on inputs like `example`; no number is computed."""
    stored = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    counter = _Counter()
    with torch.no_grad(), counter:
        functional_call(
            module, {name: t.to("meta") for name, t in stored.items()}, tuple(t.to("meta") for t in example)
        )
    numbers = sum(t.numel() for t in stored.values() if t.is_floating_point())
    return Cost(counter.operators, counter.multiplications, numbers)


def frame_line(backbone: nn.Module, side: int) -> str:
    """What the features of a frame of this side cost, in words."""
    count = cost(backbone, (torch.empty(1, side, side, 3, dtype=torch.uint8, device="meta"),)).multiplications
    return f"a frame takes {count / 1e6:,.0f} million multiplications in the backbone"


def measured(
    graph: str, module: M, example: tuple[Tensor, ...], folds: Mapping[str, Callable[[M], None]]
) -> list[Saving]:
    """Apply the folds to `module` one after the other; what each saved. Those that change nothing are left out."""
    savings = []
    for name, fold in folds.items():
        before = cost(module, example)
        fold(module)
        savings.append(Saving(graph, name, before - cost(module, example), before))
    return [saving for saving in savings if saving.saved != Cost(0, 0, 0)]


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators = 0
        self.multiplications = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not (func.is_view or func.overloadpacket in FREE):
            self.operators += 1
            count = MULTIPLICATIONS.get(func.overloadpacket)
            self.multiplications += 0 if count is None else count(out, args)
        return out


def _convolution(out: Tensor, args: Any) -> int:
    return int(out.numel() * args[1][0].numel())


def _product(out: Tensor, args: Any) -> int:
    return int(out.numel() * args[0].shape[-1])


def _elements(out: Any, args: Any) -> int:  # noqa: ARG001 - one signature
    return int((out[0] if isinstance(out, tuple) else out).numel())


aten = torch.ops.aten
FREE = {aten._unsafe_view, aten.detach, aten.empty, aten.new_zeros, aten.zeros, aten.expand, aten._to_copy}
MULTIPLICATIONS: dict[Any, Callable[[Any, Any], int]] = {
    aten.convolution: _convolution,
    aten.mm: _product,
    aten.bmm: _product,
    aten.mul: _elements,
    aten.div: _elements,
    aten.native_batch_norm: _elements,
    aten._native_batch_norm_legit_no_training: _elements,
    aten.upsample_bilinear2d: lambda out, args: 4 * _elements(out, args),
}
