"""ONNX files of a bundle: exported with torch's exporter, checked, and written into graphs/<precision>/."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import onnx
import torch

from csflow.export.graphs.biases import unshare_biases
from csflow.export.graphs.eight_bits import TRANSLATION, store_whole_weights
from csflow.export.graphs.graph import Graph
from csflow.export.graphs.methods import model_graphs
from csflow.export.graphs.signature import sign
from csflow.runtime.bundle.directory import Bundle
from csflow.runtime.engines.stages import graph_file
from csflow.runtime.errors import EngineError
from csflow.toolkit.config import BACKBONE, ModelConfig
from csflow.toolkit.model import Model
from csflow.toolkit.origin import origin

__all__ = ["OPSET", "graph_facts", "make_graphs", "to_onnx"]

OPSET = 20
"""The newest opset of TensorRT 10.3's parser (JetPack 6) and torch's default."""


def make_graphs(bundle: Bundle, precisions: Sequence[str] = ("fp32",)) -> dict[str, bytes]:
    """The files graphs/<precision>/<graph>.onnx of a bundle's method, folded from the trained weights.

    `bundle` is not touched.

    Args:
        precisions: names from `csflow.export.graphs.graph.PRECISIONS`.

    Raises:
        BundleError, BundleCorrupted: weights are missing or wrong.
        ConfigError: no such precision.
        EngineError: torch's exporter or ONNX's checker refused; the message says which graph and why.
    """
    model = Model.load(bundle)
    graphs = [(p, graph) for p in precisions for graph in model_graphs(model, p)]
    return {
        graph_file(precision, graph.name): to_onnx(graph, graph_facts(bundle, graph.name, precision))
        for precision, graph in graphs
    }


def graph_facts(bundle: Bundle, graph: str, precision: str) -> dict[str, str]:
    """What a graph of this bundle says about itself.

    A head names the model that it belongs to, `Bundle.weights_sha256`; a backbone is the same file in every bundle.
    """
    facts = origin(graph, ModelConfig.from_manifest(bundle.manifest), bundle.manifest.provenance)
    model = {} if graph == BACKBONE else {"model": bundle.weights_sha256}
    return {**facts, **model, "precision": precision, "exporter": f"torch {torch.__version__}"}


def to_onnx(graph: Graph, facts: Mapping[str, str] | None = None) -> bytes:
    """One self-contained ONNX file with a free batch dimension, checked by shape inference.

    Args:
        facts: what it says about itself, for `sign`.

    Raises EngineError naming the graph and the reason.
    """
    batch = torch.export.Dim("batch", min=1, max=64)
    try:
        with _quiet(), torch.inference_mode():
            program = torch.onnx.export(
                graph.module.eval(),
                graph.example,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=_batched(graph, batch),
                custom_translation_table=TRANSLATION,
                verbose=False,
            )
            if program is None:
                raise EngineError(f"torch gave no ONNX program for the {graph.name} graph: report it")
            model = program.model_proto
            store_whole_weights(model, graph.module)
            unshare_biases(model)
            # TensorRT 10.3 and OpenVINO 2024 read up to IR version 10.
            model.ir_version = min(model.ir_version, 10)
            sign(model, graph.name, facts or {})
            data: bytes = model.SerializeToString()
        onnx.checker.check_model(data, full_check=True)
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineError(f"the {graph.name} graph cannot be exported: {reason}") from None
    return data


def _batched(graph: Graph, batch: object) -> tuple[object, ...]:
    shapes = tuple({0: batch} for _ in graph.example)
    # A *args signature counts as one parameter that holds a tuple.
    (first, *_) = inspect.signature(graph.module.forward).parameters.values()
    return (shapes,) if first.kind is first.VAR_POSITIONAL else shapes


@contextmanager
def _quiet() -> Iterator[None]:
    # The exporter logs its progress and warns about optional packages that csflow does not need.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
