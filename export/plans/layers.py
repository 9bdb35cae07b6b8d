"""The layers of a built plan: from the engine inspector's JSON of TensorRT 10 and 11, or from the RTX build log.

What is read of a layer is which ONNX nodes went into it and the element types that it reads. The forms differ:

    10.x    "Inputs": [{"Format/Datatype": "Row major linear FP16 format", ...}], "Weights": {"Type": "Half", ...}
    11.x    "Inputs": [{"Format": "...", "Datatype": "Half", ...}]
    RTX     Name: x, LayerType: y, Inputs: [ { Name: a, Dimensions: [1,3], ..., Datatype: Half, Format: ... }], ...

In all of them "Metadata" holds the nodes as [ONNX Layer: name]; of 10.x, only plans built with detailed verbosity.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["EngineLayer", "Tensor", "parse_build_log", "parse_inspector"]

_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_LOGGED = re.compile(
    r"^\s*Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[.*\], TacticName: .*Metadata: ?(?P<metadata>.*)$",
    re.MULTILINE,
)
_LOGGED_TENSOR = re.compile(r"Dimensions: \[(?P<dims>[-\d,]*)\].*?Datatype: (?P<type>\w+)")
_WORDS = {
    "bfloat16": re.compile("bfloat16|bf16"),
    "int8": re.compile("(?<!u)int8"),
    "half": re.compile("half|fp16|float16"),
    "float": re.compile("float(?!8)|fp32"),
}
"""How element types are written, in small letters; the first that fits counts."""


@dataclass(frozen=True)
class Tensor:
    """What a layer reads."""

    type: str
    """'half', 'float', 'int8', 'bfloat16', or '' for another or an unknown one."""
    elements: int


@dataclass(frozen=True)
class EngineLayer:
    """A kernel of the plan."""

    name: str
    kind: str
    nodes: tuple[str, ...]
    """ONNX nodes that went into it, wholly or in part."""
    inputs: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]
    """Weights and biases."""


def parse_inspector(text: str) -> tuple[EngineLayer, ...]:
    """Layers from `EngineInspector.get_engine_information(JSON)`; none where the plan keeps no details."""
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(_inspected(layer) for layer in layers if isinstance(layer, dict))


def _inspected(layer: dict[str, Any]) -> EngineLayer:
    weights = layer.get("Weights")
    constants = [_tensor(tensor) for tensor in layer.get("Constants", ())]
    if isinstance(weights, dict):
        constants.append(Tensor(_type(str(weights.get("Type", ""))), int(weights.get("Count", 0))))
    nodes = tuple(_NODE.findall(str(layer.get("Metadata", ""))))
    inputs = tuple(_tensor(tensor) for tensor in layer.get("Inputs", ()))
    return EngineLayer(str(layer.get("Name", "")), str(layer.get("LayerType", "")), nodes, inputs, tuple(constants))


def _tensor(tensor: Any) -> Tensor:
    fields = {str(key).lower(): value for key, value in tensor.items()} if isinstance(tensor, dict) else {}
    stated = fields.get("datatype") or fields.get("format/datatype") or fields.get("format") or ""
    dims = [size for size in fields.get("dimensions", ()) if isinstance(size, int)]
    return Tensor(_type(str(stated)), _elements(dims))


def parse_build_log(text: str) -> tuple[EngineLayer, ...]:
    """Layers from the message of TensorRT for RTX that begins with 'Layers:'."""
    return tuple(
        EngineLayer(
            found["name"],
            found["kind"],
            tuple(_NODE.findall(found["metadata"])),
            tuple(_logged(found["inputs"])),
            tuple(_logged(found["constants"])),
        )
        for found in _LOGGED.finditer(text)
    )


def _logged(tensors: str) -> Iterator[Tensor]:
    for part in tensors.split("{")[1:]:
        if found := _LOGGED_TENSOR.search(part):
            yield Tensor(_type(found["type"]), _elements([int(size) for size in found["dims"].split(",") if size]))


def _elements(dims: list[int]) -> int:
    # A free dimension is written as -1.
    return math.prod(abs(size) for size in dims)


def _type(stated: str) -> str:
    return next((name for name, words in _WORDS.items() if words.search(stated.lower())), "")
