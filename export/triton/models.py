"""Which models a bundle is on a Triton server: one for each graph, and an ensemble that a client asks.

    <name>                       ensemble: frame uint8 (S, S, 3) -> score, anomaly_map
    <name>_<W>x<H>               the same for pictures of a camera format, resized on the server
    <name>_<graph>_<12 digits>   one graph; the digits are of its file's SHA-256

A graph's model is named by its content and never changes, so no request meets the backbone of one bundle and the head
of another while a server exchanges them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.engines.tensorrt.plan_record import RESIZE, graph_names, plan_path, read_record
from csflow.runtime.engines.triton.engine import PRECISION, WEIGHTS
from csflow.runtime.errors import BundleError

if TYPE_CHECKING:
    import onnx

__all__ = ["BATCH", "GraphModel", "Model", "Port", "Step", "models"]

BATCH = 8
"""Frames that Triton computes together at most, of a graph that takes any number."""
FLAVOUR = "tensorrt"
"""Triton's TensorRT backend loads plans of full TensorRT, not of TensorRT for RTX."""


@dataclass(frozen=True)
class Port:
    """An input or output of a model, for one frame."""

    name: str
    type: str
    """As KServe names it: 'UINT8', 'FP32'."""
    shape: tuple[int, ...]

    @property
    def scalar(self) -> bool:
        """Whether it is one number a frame; Triton wants a dimension all the same."""
        return not self.shape

    @property
    def dims(self) -> list[int]:
        """Its dimensions as Triton wants them."""
        return list(self.shape) or [1]


@dataclass(frozen=True)
class Step:
    """One graph of an ensemble."""

    model: str
    inputs: tuple[tuple[str, str], ...]
    """Its tensors, each with the ensemble's name of the value."""
    outputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Model:
    """What a configuration says: of a graph, or of an ensemble."""

    name: str
    batch: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    parameters: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...] = ()
    backend: str = ""
    file: str = ""
    """What the backend reads, in the folder of its version."""


@dataclass(frozen=True)
class GraphModel(Model):
    """A model with the bytes of its graph or plan."""

    data: bytes = b""


def models(bundle: Bundle, precision: str, name: str) -> tuple[tuple[GraphModel, ...], tuple[Model, ...]]:
    """The graphs' models and the ensembles, of this precision.

    Where the bundle has plans of full TensorRT for every graph of the precision they are taken, else the ONNX graphs.

    Raises BundleError where a graph is missing, BundleCorrupted where it is damaged, EngineError where a plan's record
    is missing or damaged.
    """
    graphs = _Graphs(bundle, precision, name)
    chain = [graphs.model(graph) for graph in bundle.manifest.graphs]
    formats = [graph for graph in graph_names(bundle, precision) if RESIZE.fullmatch(graph)]
    resizes = {_format(graph): graphs.model(graph) for graph in formats}
    parameters = ((WEIGHTS, bundle.weights_sha256), (PRECISION, precision))
    ensembles = [_ensemble(name, chain, parameters)]
    ensembles += [_ensemble(f"{name}_{size}", [resize, *chain], parameters) for size, resize in resizes.items()]
    return (*chain, *resizes.values()), tuple(ensembles)


def _format(graph: str) -> str:
    height, width = graph.removeprefix("resize_").split("x")
    return f"{width}x{height}"


class _Graphs:
    """The graphs of one bundle in one precision."""

    def __init__(self, bundle: Bundle, precision: str, name: str) -> None:
        self._bundle, self._precision, self._name = bundle, precision, name
        plans = [self._plan(graph) for graph in graph_names(bundle, precision)]
        self._planned = all(plan.is_file() for plan in plans)

    def model(self, graph: str) -> GraphModel:
        file = graph_file(self._precision, graph)
        if not self._bundle.has(file):
            option = " --fp16" if self._precision == "fp16" else ""
            raise BundleError(f"bundle {self._bundle.path} has no {file}: run csflow export{option} first")
        onnx_bytes = self._bundle.read(file)
        inputs, outputs = _ports(onnx_bytes)
        data, batch = (onnx_bytes, BATCH) if not self._planned else self._built(graph)
        return GraphModel(
            name=f"{self._name}_{graph}_{sha256(data).hexdigest()[:12]}",
            batch=batch,
            inputs=inputs,
            outputs=outputs,
            parameters=(("csflow_graph_sha256", sha256(onnx_bytes).hexdigest()),),
            backend="tensorrt" if self._planned else "onnxruntime",
            file="model.plan" if self._planned else "model.onnx",
            data=data,
        )

    def _plan(self, graph: str) -> Path:
        return plan_path(self._bundle.path, FLAVOUR, self._precision, graph)

    def _built(self, graph: str) -> tuple[bytes, int]:
        """A plan and the most frames it takes."""
        plan, file = self._plan(graph), graph_file(self._precision, graph)
        record, data = read_record(plan), plan.read_bytes()
        digests = (record.onnx_sha256, record.plan_sha256)
        if digests != (self._bundle.manifest.files[file].sha256, sha256(data).hexdigest()):
            raise BundleError(f"{plan} was not built from {file} as it is: build it again with csflow export --fp16")
        return data, record.options.batch[2]


def _ensemble(name: str, chain: Sequence[GraphModel], parameters: tuple[tuple[str, str], ...]) -> Model:
    first, last = chain[0], chain[-1]
    outputs = tuple(Port(p.name, p.type, p.shape or (1,)) for p in last.outputs)
    return Model(
        name=name,
        batch=min(model.batch for model in chain),
        inputs=first.inputs,
        outputs=outputs,
        parameters=parameters,
        steps=tuple(_step(chain, place) for place in range(len(chain))),
    )


def _step(chain: Sequence[GraphModel], place: int) -> Step:
    """A graph's inputs are what the nearest graph before it gives by that name; the first one's are the request's."""
    model, is_last = chain[place], place == len(chain) - 1
    given = [(port.name, _source(chain, place, port)) for port in model.inputs]
    made = [(p.name, p.name if is_last else f"{model.name}.{p.name}") for p in model.outputs]
    return Step(model.name, tuple(given), tuple(made))


def _source(chain: Sequence[GraphModel], place: int, port: Port) -> str:
    if place == 0:
        return port.name
    for earlier in reversed(chain[:place]):
        if port.name in (made.name for made in earlier.outputs):
            return f"{earlier.name}.{port.name}"
    # A camera's resize gives the backbone's frame under another name.
    return f"{chain[place - 1].name}.{chain[place - 1].outputs[0].name}"


def _ports(data: bytes) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    import onnx

    graph = onnx.load_from_string(data).graph
    return tuple(map(_port, graph.input)), tuple(map(_port, graph.output))


def _port(value: onnx.ValueInfoProto) -> Port:
    import onnx

    kind = value.type.tensor_type
    types = {int(onnx.TensorProto.UINT8): "UINT8", onnx.TensorProto.FLOAT: "FP32", onnx.TensorProto.FLOAT16: "FP16"}
    sides = [side.dim_value for side in kind.shape.dim[1:]]
    return Port(value.name, types[kind.elem_type], tuple(sides))
