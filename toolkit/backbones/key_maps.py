"""Tensor names of one EfficientNet in three libraries, and the way between them.

    timm                    efficientnet_pytorch               torchvision
    conv_stem, bn1          _conv_stem, _bn0                   features.0.0, features.0.1
    blocks.{s}.{i}.         _blocks.{k}.                       features.{s + 1}.{i}.block.
      conv_pw, bn1            _expand_conv, _bn0                 0.0, 0.1
      conv_dw, bn2            _depthwise_conv, _bn1              1.0, 1.1
      se.conv_reduce/expand   _se_reduce, _se_expand             2.fc1, 2.fc2
      conv_pwl, bn3           _project_conv, _bn2                3.0, 3.1

k counts blocks over all stages. Blocks of the first stage do not expand: there timm's conv_dw, bn1, conv_pw, bn2 are
_depthwise_conv, _bn1, _project_conv, _bn2 and 0.0, 0.1, 2.0, 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

__all__ = ["LAYOUTS", "foreign_names", "from_timm", "layout_of", "to_timm"]

LAYOUTS = ("timm", "efficientnet_pytorch", "torchvision")
STEM = {"conv_stem": ("_conv_stem", "0.0"), "bn1": ("_bn0", "0.1")}
EXPANDING = {
    "conv_pw": ("_expand_conv", "0.0"),
    "bn1": ("_bn0", "0.1"),
    "conv_dw": ("_depthwise_conv", "1.0"),
    "bn2": ("_bn1", "1.1"),
    "se.conv_reduce": ("_se_reduce", "2.fc1"),
    "se.conv_expand": ("_se_expand", "2.fc2"),
    "conv_pwl": ("_project_conv", "3.0"),
    "bn3": ("_bn2", "3.1"),
}
SEPARABLE = {
    "conv_dw": ("_depthwise_conv", "0.0"),
    "bn1": ("_bn1", "0.1"),
    "se.conv_reduce": ("_se_reduce", "1.fc1"),
    "se.conv_expand": ("_se_expand", "1.fc2"),
    "conv_pw": ("_project_conv", "2.0"),
    "bn2": ("_bn2", "2.1"),
}
CUT = "cut."
"""Before timm's names in a trunk that is a cut network (`csflow.toolkit.backbones.networks`)."""
PROBES = {"timm": "conv_stem.weight", "efficientnet_pytorch": "_conv_stem.weight", "torchvision": "features.0.0.weight"}


def layout_of(names: Iterable[str]) -> str | None:
    """Which of LAYOUTS these tensor names follow, or None."""
    present = set(names)
    return next((layout for layout, probe in PROBES.items() if probe in present), None)


def foreign_names(timm_names: Iterable[str], layout: str) -> dict[str, str]:
    """For timm's tensor names of stem and stages (of one EfficientNet), the names in `layout`."""
    names = list(timm_names)
    if layout == "timm":
        return {name: name for name in names}
    places = sorted({tuple(map(int, name.split(".")[1:3])) for name in names if name.startswith("blocks.")})
    numbers = {place: k for k, place in enumerate(places)}
    expanding = {name.rsplit(".", 2)[0] for name in names if name.endswith(".conv_pwl.weight")}
    return {name: _foreign(name, layout, numbers, expanding) for name in names}


def to_timm(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors of `state` under the names of `own`, a trunk's state dict.

    Those of an EfficientNet may be in any of LAYOUTS, those of another network have timm's names, which for ResNets and
    VGGs are torchvision's.

    None where the layout is unknown or tensors are missing. BatchNorm's step counters, which some files lack and
    evaluation does not read, are taken from `own` then.
    """
    if all(name.startswith(CUT) for name in own):
        names = {name: name.removeprefix(CUT) for name in own}
    elif (layout := layout_of(state)) is not None:
        names = foreign_names(own, layout)
    else:
        return None
    found = {name: state[there] for name, there in names.items() if there in state}
    counters = {name: own[name] for name in own if name.endswith("num_batches_tracked")}
    return {**counters, **found} if own.keys() - counters.keys() <= found.keys() else None


def from_timm(state: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """A timm trunk's tensors under the names of `layout`: the way back."""
    names = foreign_names(state, layout)
    return {names[name]: torch.as_tensor(tensor) for name, tensor in state.items()}


def _foreign(name: str, layout: str, numbers: Mapping[tuple[int, ...], int], expanding: set[str]) -> str:
    column = LAYOUTS.index(layout) - 1
    module, leaf = name.rsplit(".", 1)
    if not name.startswith("blocks."):
        stem = STEM[module][column]
        return f"{stem}.{leaf}" if column == 0 else f"features.{stem}.{leaf}"
    _, stage, index, inner = module.split(".", 3)
    table = EXPANDING if f"blocks.{stage}.{index}" in expanding else SEPARABLE
    part = table.get(inner, ("?", "?"))[column]
    if column == 0:
        return f"_blocks.{numbers[int(stage), int(index)]}.{part}.{leaf}"
    return f"features.{int(stage) + 1}.{index}.block.{part}.{leaf}"
