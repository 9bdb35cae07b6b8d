"""Pickles of the authors' code: `torch.save(model)` of a whole `freia_funcs.ReversibleGraphNet`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from csflow.toolkit.importers.archive import TorchFile
from csflow.toolkit.importers.errors import ImportRefused
from csflow.toolkit.importers.flow_keys import REFERENCE, build_flow, flow_shape
from csflow.toolkit.importers.foreign import ForeignModel
from csflow.toolkit.importers.permutations import Permutations, check_stored, draw
from csflow.toolkit.importers.unpickler import Inert, TensorRef
from csflow.toolkit.importers.wrapping import unwrapped

__all__ = ["is_reference", "read_reference"]

CLAMP, SLOPE, STRIDE = 3.0, 0.1, 32
MAX_NUMBER = 1e6
MAX_MODULES = 10_000
NET = "freia_funcs.ReversibleGraphNet"


def is_reference(root: Any) -> bool:
    """Whether the object is the authors' module, or its state dict."""
    found = unwrapped(root)
    if isinstance(found, Mapping):
        return "module_list.4.s1.gamma0" in found
    return isinstance(found, Inert) and found.qualname == NET


def read_reference(file: TorchFile, clamp: float | None = None) -> ForeignModel:
    """The flow in a pickled module, with the permutations that lie in it; or in its state dict, drawing them anew.

    Args:
        clamp: alpha of the couplings for a state dict, which does not tell (reference: 3).

    Raises ImportRefused where it is not the model of the paper's code, or contradicts itself.
    """
    root = unwrapped(file.root)
    tensors = dict(root) if isinstance(root, Mapping) else dict(_parameters(root))
    refs = {name: ref for name, ref in tensors.items() if isinstance(name, str) and isinstance(ref, TensorRef)}
    blocks = [] if isinstance(root, Mapping) else _coupling_blocks(root)
    config = flow_shape(
        REFERENCE,
        {name: ref.shape for name, ref in refs.items()},
        clamp=_common([b.state.get("clamp") for b in blocks], clamp if clamp is not None else CLAMP, "clamp"),
        slope=_common([_slope(b) for b in blocks], SLOPE, "leaky_slope"),
    )
    if blocks:
        permutations = _stored(file, root, len(blocks))
        found = f"{check_stored(permutations, config.channels)}, stored"
        _check_features(root, config.channels)
    else:
        permutations, found = draw("legacy", len(config.kernel_sizes), config.channels), "legacy, drawn"

    def read(name: str) -> Tensor:
        return file.tensor(refs[name])

    flow = build_flow(REFERENCE, config, read, permutations)
    size = None if isinstance(root, Mapping) else _image_size(root)
    resize = "pillow-bilinear"
    return ForeignModel("reference", flow, found, "scale0-mean-z2", None, size, resize)


def _parameters(root: Inert) -> list[tuple[str, Any]]:
    """Names and tensors as `state_dict` would give them, from the pickled state of a tree of modules."""
    found: list[tuple[str, Any]] = []
    waiting = [("", root)]
    for seen, (prefix, module) in enumerate(waiting):
        # A module may contain itself, or others a million times over.
        if seen > MAX_MODULES:
            raise ImportRefused(
                f"the pickled network has more than {MAX_MODULES} modules: expected the authors' CS-Flow"
            )
        found += [(f"{prefix}{name}", value) for name, value in _items(module, "_parameters")]
        children = _items(module, "_modules")
        waiting += [(f"{prefix}{name}.", child) for name, child in children if isinstance(child, Inert)]
    return found


def _items(module: Inert, kind: str) -> list[tuple[str, Any]]:
    entries = module.state.get(kind)
    return [(str(name), value) for name, value in entries.items()] if isinstance(entries, dict) else []


def _children(root: Inert) -> list[Inert]:
    modules = dict(_items(root, "_modules")).get("module_list")
    listed = _items(modules, "_modules") if isinstance(modules, Inert) else []
    return [
        child
        for _, child in sorted(listed, key=lambda item: int(item[0]) if item[0].isdecimal() else -1)
        if isinstance(child, Inert)
    ]


def _of(root: Inert, name: str) -> list[Inert]:
    return [child for child in _children(root) if child.qualname == f"freia_funcs.{name}"]


def _coupling_blocks(root: Inert) -> list[Inert]:
    blocks = _of(root, "parallel_glow_coupling_layer")
    if not blocks:
        raise ImportRefused("the pickled network has no coupling blocks: expected the authors' CS-Flow")
    return blocks


def _slope(block: Inert) -> Any:
    nets = [net for _, net in _items(block, "_modules") if isinstance(net, Inert)]
    slopes = {net.state.get("leaky_slope") for net in nets if isinstance(net.state.get("leaky_slope"), float)}
    return slopes.pop() if len(slopes) == 1 else None


def _common(values: list[Any], default: float, what: str) -> float:
    given = {float(v) for v in values if type(v) in (int, float) and 0 < v < MAX_NUMBER}
    if len(given) > 1 or (values and not given):
        raise ImportRefused(f"the coupling blocks have no common {what} ({sorted(given)}): a changed model")
    return given.pop() if given else default


def _stored(file: TorchFile, root: Inert, blocks: int) -> Permutations:
    layers = _of(root, "ParallelPermute")
    listed = [layer.state.get("perm") for layer in layers]
    if len(layers) != blocks or not all(isinstance(p, list) and len(p) == 3 for p in listed):
        raise ImportRefused(f"expected {blocks} permutation layers of 3 scales, found {len(layers)}: a changed model")
    return [[_permutation(file, ref) for ref in scales] for scales in listed if isinstance(scales, list)]


def _permutation(file: TorchFile, ref: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not isinstance(ref, TensorRef):
        raise ImportRefused("a permutation in the file is no tensor: save the model again")
    return file.tensor(ref).numpy().astype(np.int64)


def _inputs(root: Inert) -> list[tuple[int, ...]]:
    """(C, h, w) of the input nodes, finest first."""
    nodes = root.state.get("node_list")
    dims: list[tuple[int, ...]] = []
    for node in nodes if isinstance(nodes, list) else []:
        data = node.state.get("data") if isinstance(node, Inert) else None
        shape = data.state.get("dims") if isinstance(data, Inert) else None
        if isinstance(shape, tuple) and len(shape) == 3 and all(type(n) is int for n in shape):
            dims.append(shape)
    return dims


def _image_size(root: Inert) -> int | None:
    inputs = _inputs(root)
    if not inputs:
        return None
    _, height, width = inputs[0]
    if height != width:
        raise ImportRefused(
            f"the model was made for maps of {height}x{width}: csflow's input is square; train again with a square size"
        )
    return height * STRIDE


def _check_features(root: Inert, channels: int) -> None:
    """The last batch's activations tell what the flow was fed with; before 2022-03-31 that could be 512 channels."""
    held = root.state.get("variable_list")
    wide = [v.shape for v in held if isinstance(v, TensorRef)] if isinstance(held, list) else []
    if odd := next((shape for shape in wide if len(shape) == 4 and shape[1] != channels), None):
        raise ImportRefused(
            f"the model was fed with features of {odd[1]} channels but reads {channels}: it was trained on block index "
            "36 with permutations that dropped the rest (cs-flow before 2022-03-31); train it again on block 35"
        )
