"""Random models in the exact layouts of both origins, and transcriptions of what the origins compute."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

Perms = list[list[np.ndarray[Any, Any]]]
LEAVES = [f"conv_scale{i}_{level}" for i in range(3) for level in range(2)]
LEAVES += ["down_conv01", "down_conv12", "up_conv10", "up_conv21"]


def legacy(blocks: int, channels: int) -> Perms:
    """np.random.seed(b), then three draws: written out, not csflow's function."""
    drawn = []
    state = np.random.get_state()
    for block in range(blocks):
        np.random.seed(block)
        drawn.append([np.random.permutation(channels) for _ in range(3)])
    np.random.set_state(state)
    return drawn


def modern(blocks: int, channels: int) -> Perms:
    """default_rng(b).permutation, one for all scales."""
    return [[np.random.default_rng(block).permutation(channels)] * 3 for block in range(blocks)]


@pytest.fixture
def drawn() -> dict[str, Callable[[int, int], Perms]]:
    """How each version of anomalib draws its permutations."""
    return {"anomalib-0.x": legacy, "anomalib-1.x": modern}


def _module(name: str, bases: tuple[type, ...] = (nn.Module,)) -> type:
    return type(name, bases, {"__module__": "freia_funcs"})


@pytest.fixture
def freia_funcs(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of that name with the authors' class names; gone from the process when `save` has been called."""
    module: Any = types.ModuleType("freia_funcs")
    for name in ("CrossConvolutions", "ParallelPermute", "parallel_glow_coupling_layer", "ReversibleGraphNet"):
        setattr(module, name, _module(name))
    for name in ("dummy_data", "Node"):
        setattr(module, name, _module(name, ()))
    module.InputNode = _module("InputNode", (module.Node,))
    module.OutputNode = _module("OutputNode", (module.Node,))
    module.OutputNode.dummy = type(
        "dummy", (nn.Module,), {"__module__": "freia_funcs", "__qualname__": "OutputNode.dummy"}
    )
    monkeypatch.setitem(sys.modules, "freia_funcs", module)
    return module


def convolutions(net: nn.Module, half: int, hidden: int, kernel: int) -> None:
    for leaf in LEAVES:
        first = leaf.endswith("_0")
        stride = 2 if leaf.startswith("down") else 1
        sizes = (half, hidden) if first else (hidden, 2 * half)
        setattr(net, leaf, nn.Conv2d(*sizes, kernel, stride, kernel // 2))
    for i in range(3):
        setattr(net, f"gamma{i}", nn.Parameter(torch.rand(1) + 0.3))


def graph_net(
    freia: Any, channels: int, hidden: int, kernels: tuple[int, ...], size: int, perms: Perms | None = None
) -> nn.Module:
    """The authors' ReversibleGraphNet as it looks when it is pickled, with stale activations."""
    perms = perms or legacy(len(kernels), channels)
    nodes: list[Any] = []
    modules: list[nn.Module | None] = [None, None, None]
    for i in range(3):
        node = freia.InputNode()
        node.data = freia.dummy_data()
        node.data.dims = (channels, size // 32 >> i, size // 32 >> i)
        node.outputs, node.name = [], f"input{i}"
        nodes.append(node)
    for block, kernel in enumerate(kernels):
        permute, couple = freia.ParallelPermute(), freia.parallel_glow_coupling_layer()
        permute.perm = [torch.LongTensor(p) for p in perms[block]]
        permute.perm_inv = [torch.LongTensor(np.argsort(p)) for p in perms[block]]
        couple.clamp, couple.split_len1, couple.split_len2 = 3, channels // 2, channels // 2
        for name in ("s1", "s2"):
            net = freia.CrossConvolutions()
            net.leaky_slope, net.lr = 0.1, nn.LeakyReLU(0.1)
            net.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            convolutions(net, channels // 2, hidden, kernel)
            setattr(couple, name, net)
        for module, kind in ((permute, freia.ParallelPermute), (couple, freia.parallel_glow_coupling_layer)):
            node = freia.Node()
            node.inputs, node.module_type, node.module = [(nodes[-1], 0)], kind, module
            nodes.append(node)
            modules.append(module)
    for _ in range(3):
        node = freia.OutputNode()
        node.module_type = freia.OutputNode.dummy
        node.module = freia.OutputNode.dummy()
        nodes.append(node)
        modules.append(node.module)
    net = freia.ReversibleGraphNet()
    net.node_list, net.variables_ind, net.seen = nodes, [(0, 0), (1, 0)], {1, 2}
    net.module_list = nn.ModuleList(modules)  # type: ignore[arg-type]
    net.variable_list = [torch.zeros(0, requires_grad=True), torch.randn(2, channels, 4, 4)]
    return net


@pytest.fixture
def save_reference(
    freia_funcs: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, Tensor], Perms]]:
    """`save(path, channels=8, hidden=5, kernels=(3, 3, 3, 5), size=128, perms=None, edit=None)`."""

    def save(
        path: Path,
        channels: int = 8,
        hidden: int = 5,
        kernels: tuple[int, ...] = (3, 3, 3, 5),
        size: int = 128,
        perms: Perms | None = None,
        edit: Callable[[Any], None] = lambda _: None,
        state_only: bool = False,
    ) -> tuple[dict[str, Tensor], Perms]:
        torch.manual_seed(11)
        monkeypatch.setitem(sys.modules, "freia_funcs", freia_funcs)
        net = graph_net(freia_funcs, channels, hidden, kernels, size, perms)
        edit(net)
        torch.save(net.state_dict() if state_only else net, path)
        monkeypatch.delitem(sys.modules, "freia_funcs")
        names = {"s1": "cross_convolution1", "s2": "cross_convolution2"}
        state = {}
        for name, value in net.state_dict().items():
            _, index, sub, leaf = name.split(".", 3)
            state[f"{(int(index) - 4) // 2}.{names[sub]}.{leaf}"] = value.clone()
        return state, perms or legacy(len(kernels), channels)

    return save


def plain_transform(side: int, *more: dict[str, Any]) -> dict[str, Any]:
    """`anomalib_pre_processor_config` as anomalib 2.7 writes it."""
    resize = {"size": [side, side], "interpolation": "bilinear", "max_size": None, "antialias": True}
    normalize = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "inplace": False}
    steps = [
        {"class_path": f"torchvision.transforms.v2.{name}", "init_args": arguments}
        for name, arguments in (("Resize", resize), ("Normalize", normalize))
    ]
    compose = {"class_path": "torchvision.transforms.v2.Compose", "init_args": {"transforms": [*steps, *more]}}
    return {"transform": compose}


@pytest.fixture
def plain() -> Callable[..., dict[str, Any]]:
    """`plain(side, *more_steps)`: a pre-processor's configuration as anomalib 2.7 writes it."""
    return plain_transform


@pytest.fixture
def save_anomalib() -> Callable[..., dict[str, Tensor]]:
    """`save(path, channels=8, hidden=5, kernels=…, lightning="2.1.3", backbone=None, more=None, …)`."""

    def save(
        path: Path,
        channels: int = 8,
        hidden: int = 5,
        kernels: tuple[int, ...] = (3, 3, 3, 5),
        lightning: str | None = "2.1.3",
        backbone: dict[str, Tensor] | None = None,
        more: dict[str, Tensor] | None = None,
        settings: dict[str, Any] | None = None,
        side: int | None = None,
    ) -> dict[str, Tensor]:
        torch.manual_seed(12)
        state: dict[str, Tensor] = {}
        for block, kernel in enumerate(kernels):
            for j in (1, 2):
                net = nn.Module()
                convolutions(net, channels // 2, hidden, kernel)
                state |= {f"{block}.cross_convolution{j}.{k}": v for k, v in net.state_dict().items()}
        prefix = "model.feature_extractor.feature_extractor."
        full = {f"model.graph.graph.module_list.{2 * int(n[0]) + 1}{n[1:]}": v for n, v in state.items()}
        for name, value in (backbone or {}).items():
            full[f"{prefix}backbone.{name}"] = value
            if name.startswith("features.") and int(name.split(".")[1]) < 7:
                full[f"{prefix}feature_extractor.{name}"] = value
        checkpoint: dict[str, Any] = {"state_dict": {**full, **(more or {})}, "epoch": 3, "callbacks": {}}
        if lightning is not None:
            checkpoint["pytorch-lightning_version"] = lightning
        if settings is not None:
            checkpoint["hyper_parameters"] = settings
        if side is not None:
            checkpoint["anomalib_pre_processor_config"] = plain_transform(side)
        torch.save(checkpoint, path)
        return state

    return save


def cross_convolutions(get: Callable[[str], Tensor], x: list[Tensor], kernel: int) -> list[Tensor]:
    def conv(name: str, value: Tensor, stride: int = 1) -> Tensor:
        return functional.conv2d(value, get(f"{name}.weight"), get(f"{name}.bias"), stride, kernel // 2)

    def double(value: Tensor) -> Tensor:
        return functional.interpolate(value, scale_factor=2, mode="bilinear", align_corners=False)

    h = [functional.leaky_relu(conv(f"conv_scale{i}_0", value), 0.1) for i, value in enumerate(x)]
    o0 = conv("conv_scale0_1", h[0]) + conv("up_conv10", double(h[1]))
    o1 = conv("conv_scale1_1", h[1]) + conv("down_conv01", h[0], 2) + conv("up_conv21", double(h[2]))
    o2 = conv("conv_scale2_1", h[2]) + conv("down_conv12", h[1], 2)
    return [o * get(f"gamma{i}") for i, o in enumerate((o0, o1, o2))]


@pytest.fixture
def transcription() -> Callable[..., list[Tensor]]:
    """The origins' forward pass, written out: `f(state, perms, features, swapped=False) -> latents`."""

    def forward(state: dict[str, Tensor], perms: Perms, u: list[Tensor], swapped: bool = False) -> list[Tensor]:
        half, dtype = u[0].shape[1] // 2, u[0].dtype
        order = (
            ("cross_convolution1", "cross_convolution2") if swapped else ("cross_convolution2", "cross_convolution1")
        )
        for block, perm in enumerate(perms):
            x = [value[:, torch.from_numpy(p)] for value, p in zip(u, perm, strict=True)]
            first, second = [v[:, :half] for v in x], [v[:, half:] for v in x]
            for turn, name in enumerate(order):

                def get(leaf: str, net: str = f"{block}.{name}") -> Tensor:
                    return state[f"{net}.{leaf}"].to(dtype)

                r = cross_convolutions(get, second if turn == 0 else first, get("conv_scale0_0.weight").shape[-1])
                target = first if turn == 0 else second
                new = [
                    torch.exp(3 * 0.636 * torch.atan(r_i[:, :half] / 3)) * v + r_i[:, half:]
                    for r_i, v in zip(r, target, strict=True)
                ]
                first, second = (new, second) if turn == 0 else (first, new)
            u = [torch.clamp(torch.cat(pair, 1), -1e6, 1e6) for pair in zip(first, second, strict=True)]
        return u

    return forward


@pytest.fixture
def features() -> Callable[..., list[Tensor]]:
    """`features(channels, size, dtype)`: three scales of random numbers."""

    def make(channels: int, size: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        generator = torch.Generator().manual_seed(size)
        sides = [size // 32 >> i for i in range(3)]
        return [torch.randn(2, channels, s, s, generator=generator, dtype=dtype) for s in sides]

    return make


@pytest.fixture(scope="session")
def torchvision_b5() -> nn.Module:
    """torchvision's EfficientNet-B5 with random weights, in evaluation mode.

    BatchNorm has the statistics of random pictures: without them the features of random weights hardly vary over
    the picture, and a wrong layer would not show. Small variances are raised, or rounding errors would grow.
    """
    import torchvision

    torch.manual_seed(5)
    network: nn.Module = torchvision.models.efficientnet_b5()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    coarse = torch.randn(8, 3, 8, 8) * torch.linspace(0.5, 2, 8)[:, None, None, None]
    pictures = functional.interpolate(coarse, size=(128, 128), mode="bilinear") + 0.3 * torch.randn(8, 3, 128, 128)
    with torch.no_grad():
        network.train()(pictures)
    for norm in norms:
        norm.get_buffer("running_var").clamp_(min=0.05)
    return network.eval().requires_grad_(False)
