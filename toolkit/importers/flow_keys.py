"""The flow of both origins: tensor names, and building csflow's flow from their tensors.

    origin (reference | anomalib)                               csflow
    module_list.{4+2b}.s{j}. | module_list.{1+2b}.cross_convolution{j}.   layers.{b}.net{j}.
        conv_scale{i}_0 · conv_scale{i}_1                                     enter.{i} · leave.{i}
        down_conv01, down_conv12 · up_conv10, up_conv21                       down.0, down.1 · up.0, up.1
        gamma0, gamma1, gamma2                                                gamma (3,)

Of a block's two sub-networks the second (`s2`, `cross_convolution2`) acts first, in csflow as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.permutations import Permutations
from csflow.toolkit.methods.flow.config import FlowConfig
from csflow.toolkit.methods.flow.flow import CrossScaleFlow
from csflow.toolkit.tensor_file import misfit

__all__ = ["ANOMALIB", "REFERENCE", "Layout", "build_flow", "flow_shape", "from_csflow"]

SCALES = 3
CONVOLUTIONS = {
    **{f"conv_scale{i}_0": f"enter.{i}" for i in range(SCALES)},
    **{f"conv_scale{i}_1": f"leave.{i}" for i in range(SCALES)},
    "down_conv01": "down.0",
    "down_conv12": "down.1",
    "up_conv10": "up.0",
    "up_conv21": "up.1",
}
Layout = tuple[str, int, str]
"""Prefix of the module list, index of the first coupling block in it, name of a sub-network without its number."""
REFERENCE: Layout = ("module_list.", 4, "s")
ANOMALIB: Layout = ("model.graph.graph.module_list.", 1, "cross_convolution")
Read = Callable[[str], Tensor]


def flow_shape(layout: Layout, shapes: Mapping[str, tuple[int, ...]], clamp: float, slope: float) -> FlowConfig:
    """Channels, hidden width, blocks and kernels of an origin's flow, from its tensors' names and shapes.

    Raises ImportRefused where tensors are missing or left over, or of a variant that csflow does not compute.
    """
    blocks = _blocks(layout, shapes)
    expected = {name for block in range(blocks) for name in _names(layout, block)}
    if missing := sorted(expected - shapes.keys()):
        raise ImportRefused(f"the flow lacks {len(missing)} tensors, first {missing[0]}: save the whole model again")
    if unknown := sorted(name for name in shapes if name.startswith(layout[0]) and name not in expected):
        raise ImportRefused(f"the flow has {unknown[0]!r}, which CS-Flow lacks: a changed model, not importable")
    kernels = []
    for block in range(blocks):
        shape = shapes[f"{_net(layout, block, 1)}conv_scale0_0.weight"]
        if len(shape) != 4 or shape[2] != shape[3] or shape[2] % 2 == 0:
            raise ImportRefused(f"block {block} has convolutions of shape {shape}: expected odd square kernels")
        kernels.append(shape[2])
    hidden, half = shapes[f"{_net(layout, 0, 1)}conv_scale0_0.weight"][:2]
    return FlowConfig(2 * half, SCALES, tuple(kernels), hidden, clamp, slope, standardise=False)


def build_flow(layout: Layout, config: FlowConfig, read: Read, permutations: Permutations) -> CrossScaleFlow:
    """csflow's flow with an origin's tensors, float32, in evaluation mode, frozen.

    Raises ImportRefused where a tensor has another shape than its neighbours imply, is not finite, or all gammas
    are zero.
    """
    state: dict[str, Tensor] = {}
    for block in range(len(config.kernel_sizes)):
        for net in (1, 2):
            state |= _net_state(_net(layout, block, net), f"layers.{block}.net{net}.", read)
        for scale, permutation in enumerate(permutations[block]):
            state[f"layers.{block}.permutation{scale}"] = torch.from_numpy(permutation.astype("int64"))
    _check_values(state)
    with torch.device("meta"):
        flow = CrossScaleFlow(config)
    if wrong := misfit(flow.state_dict(), state):
        raise ImportRefused(f"the flow's tensors do not fit each other ({wrong}): save the model again")
    flow.load_state_dict(state, assign=True)
    return flow.eval().requires_grad_(False)


def from_csflow(layout: Layout, flow: CrossScaleFlow) -> dict[str, Tensor]:
    """The tensors of a flow without standardisation under an origin's names: the way back."""
    own = flow.state_dict()
    foreign: dict[str, Tensor] = {}
    for block in range(len(flow.config.kernel_sizes)):
        for net in (1, 2):
            there, here = _net(layout, block, net), f"layers.{block}.net{net}."
            for name, ours in CONVOLUTIONS.items():
                for part in ("weight", "bias"):
                    foreign[f"{there}{name}.{part}"] = own[f"{here}{ours}.{part}"]
            for scale in range(SCALES):
                foreign[f"{there}gamma{scale}"] = own[f"{here}gamma"][scale : scale + 1]
    return foreign


def _net(layout: Layout, block: int, net: int) -> str:
    prefix, first, name = layout
    return f"{prefix}{first + 2 * block}.{name}{net}."


def _names(layout: Layout, block: int) -> list[str]:
    leaves = [f"{name}.{part}" for name in CONVOLUTIONS for part in ("weight", "bias")]
    leaves += [f"gamma{scale}" for scale in range(SCALES)]
    return [_net(layout, block, net) + leaf for net in (1, 2) for leaf in leaves]


def _blocks(layout: Layout, shapes: Mapping[str, tuple[int, ...]]) -> int:
    pattern = re.compile(rf"{re.escape(layout[0])}(\d+)\.{layout[2]}1\.gamma0")
    found = sorted(int(match[1]) for match in map(pattern.fullmatch, shapes) if match)
    if not found or found != [layout[1] + 2 * block for block in range(len(found))]:
        raise ImportRefused(
            f"the coupling blocks have the numbers {found or 'none'} in {layout[0]}: expected "
            f"{layout[1]}, {layout[1] + 2}, ...; a changed model, not importable"
        )
    return len(found)


def _net_state(there: str, here: str, read: Read) -> dict[str, Tensor]:
    state = {
        f"{here}{ours}.{part}": read(f"{there}{name}.{part}").float()
        for name, ours in CONVOLUTIONS.items()
        for part in ("weight", "bias")
    }
    state[f"{here}gamma"] = torch.cat([read(f"{there}gamma{scale}").float().reshape(-1) for scale in range(SCALES)])
    return state


def _check_values(state: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ImportRefused(f"{name} holds NaN or infinity: the training had failed, or the file is damaged")
    if not any(tensor.any() for name, tensor in state.items() if name.endswith("gamma")):
        raise ImportRefused(
            "every gamma is 0: the model was never trained, or trained with use_gamma off, which the file does not tell"
        )
