"""The trained model rewritten for inference: modules that `fold` simplifies, one fold after the other.

Built as copies, they compute what the trained model computes, without its log-determinant. Features travel as in
`csflow.toolkit.methods.flow.coupling`: a tuple with one (N, C, h_i, w_i) tensor per scale, finest first.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from csflow.toolkit.backbones.backbone import Features
from csflow.toolkit.methods.flow.coupling import CLIP, CouplingBlock, CrossScaleNet
from csflow.toolkit.methods.flow.flow import CrossScaleFlow, Standardise, anomaly_map, score
from csflow.toolkit.methods.flow.whiten import Whiten
from csflow.toolkit.methods.ignored import masked

__all__ = ["InferenceBlock", "InferenceFlow", "InferenceNet", "UpConvolution"]


class UpConvolution(nn.Module):
    """A convolution of the map enlarged twice, bilinearly (align_corners=False)."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, h: Tensor) -> Tensor:
        """Map (N, hidden, h, w) to (N, outputs, 2h, 2w)."""
        finer = functional.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False)
        y: Tensor = self.convolution(finer)
        return y


class InferenceNet(nn.Module):
    """A copy of `CrossScaleNet`; `gamma` is None once it is part of the weights."""

    def __init__(self, net: CrossScaleNet) -> None:
        super().__init__()
        self.enter, self.leave, self.down = (copy.deepcopy(m) for m in (net.enter, net.leave, net.down))
        self.up = nn.ModuleList(UpConvolution(copy.deepcopy(conv)) for conv in net.up)  # type: ignore[arg-type]
        self.register_buffer("gamma", net.gamma.detach().clone())
        self.slope = net.slope
        self.narrow_input: nn.Module = nn.Identity()
        self.narrow_hidden: nn.Module = nn.Identity()

    def feeding(self, scale: int) -> list[nn.Module]:
        """The convolutions whose sum is the output at `scale`: leave, then down from above and up from below."""
        down = [self.down[scale - 1]] if scale > 0 else []
        up = [self.up[scale]] if scale < len(self.up) else []
        return [self.leave[scale], *down, *up]

    def forward(self, x: Features) -> Features:
        """Map (N, inputs, h_i, w_i) to (N, outputs, h_i, w_i) for every scale i."""
        h = [self._hidden(enter, x_i) for enter, x_i in zip(self.enter, x, strict=True)]
        return tuple(self._output(h, i) for i in range(len(h)))

    def _hidden(self, enter: nn.Module, x: Tensor) -> Tensor:
        y: Tensor = self.narrow_hidden(functional.leaky_relu(enter(self.narrow_input(x)), self.slope))
        return y

    def _output(self, h: Sequence[Tensor], scale: int) -> Tensor:
        o: Tensor = self.leave[scale](h[scale])
        if scale > 0:
            o = o + self.down[scale - 1](h[scale - 1])
        if scale < len(self.up):
            o = o + self.up[scale](h[scale + 1])
        gamma = self._buffers["gamma"]
        return o if gamma is None else gamma[scale] * o


class InferenceBlock(nn.Module):
    """A coupling block without log-determinant; it clips its output at ±1e6 if `clip` is set.

    `divisor` is the clamp's alpha in atan(s / alpha), and 1 once it is part of the weights.
    """

    def __init__(self, block: CouplingBlock) -> None:
        super().__init__()
        self.net1, self.net2 = InferenceNet(block.net1), InferenceNet(block.net2)
        self.factor = 0.636 * block.clamp
        self.divisor = block.clamp
        self.clip = False
        for i in range(block.scales):
            self.register_buffer(f"permutation{i}", block.permutation(i).clone())

    def forward(self, u: Features, kept: Sequence[Tensor] = ()) -> Features:
        """Map (N, C, h_i, w_i) to the same shapes; 0 stays 0 where the masks `kept` are."""
        x = [torch.index_select(u_i, 1, self.get_buffer(f"permutation{i}")) for i, u_i in enumerate(u)]
        halves = [x_i.chunk(2, dim=1) for x_i in x]
        a, c = (tuple(pair[k] for pair in halves) for k in range(2))
        a = masked(self._couple(a, self.net2(c)), kept)
        c = masked(self._couple(c, self.net1(a)), kept)
        joined = tuple(torch.cat(pair, dim=1) for pair in zip(a, c, strict=True))
        return tuple(u_i.clamp(-CLIP, CLIP) for u_i in joined) if self.clip else joined

    def _couple(self, x: Features, r: Features) -> Features:
        return tuple(self._affine(x_i, *r_i.to(x_i.dtype).chunk(2, dim=1)) for x_i, r_i in zip(x, r, strict=True))

    def _affine(self, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
        s = s if self.divisor == 1.0 else s / self.divisor
        return torch.exp(self.factor * torch.atan(s)) * x + t


class InferenceFlow(nn.Module):
    """The flow from features to score and map, in the type of its standardisation's statistics.

    Only the last block clips. That is exact as long as no latent passes ±1e6 earlier; if one does, score and map
    come out enormous instead of clipped enormous, but finite all the same.
    """

    def __init__(self, flow: CrossScaleFlow, definition: str) -> None:
        super().__init__()
        config = flow.config
        first = flow.layers[0]
        statistics = first if isinstance(first, Standardise) else None
        self.whiten = copy.deepcopy(first) if isinstance(first, Whiten) else None
        for i in range(config.scales):
            for name in ("mean", "std"):
                values = None if statistics is None else statistics.get_buffer(name)[i, :, None, None].clone()
                self.register_buffer(f"{name}{i}", values)
        self.layers = nn.ModuleList(InferenceBlock(b) for b in flow.layers if isinstance(b, CouplingBlock))
        self.blocks()[-1].clip = True
        self.kept = copy.deepcopy(flow.kept)
        self.definition, self.power = definition, config.score_power
        self.dtype = next(flow.parameters()).dtype
        self.requires_grad_(False)
        self.eval()

    def blocks(self) -> list[InferenceBlock]:
        """The coupling blocks in the order in which they apply."""
        return [block for block in self.layers if isinstance(block, InferenceBlock)]

    def nets(self) -> list[InferenceNet]:
        """All sub-networks, two per block."""
        return [net for block in self.blocks() for net in (block.net2, block.net1)]

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C, h_i, w_i) to score (N,) and anomaly map (N, h, w)."""
        kept = self.kept.masks
        u: Features = masked(tuple(self._standardised(f.to(self.dtype), i) for i, f in enumerate(features)), kept)
        for block in self.layers:
            u = block(u, kept)
        return score(u, kept, self.power), anomaly_map(u, self.definition)

    def _standardised(self, x: Tensor, scale: int) -> Tensor:
        if self.whiten is not None:
            return self.whiten.whitened(x, scale)
        mean, std = self._buffers[f"mean{scale}"], self._buffers[f"std{scale}"]
        return x if mean is None or std is None else (x - mean) / std
