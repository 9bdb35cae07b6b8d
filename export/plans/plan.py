"""One TensorRT plan from one ONNX graph, by full TensorRT or TensorRT for RTX, through the API that both share.

Networks are strongly typed: the graph says what runs in which precision, and no version is given a precision flag.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from csflow.export.plans.build.config import configure, keep_timing_cache, set_shapes
from csflow.export.plans.build.log import BuildLog, Report, make_monitor
from csflow.export.plans.layers import EngineLayer, parse_build_log, parse_inspector
from csflow.runtime.engines.tensorrt import api
from csflow.runtime.engines.tensorrt.library import Library, make_logger
from csflow.runtime.engines.tensorrt.plan_record import BuildOptions
from csflow.runtime.errors import EngineError

__all__ = ["BuiltPlan", "build_plan"]

T = TypeVar("T")
RUN_EXPORT = "run 'csflow export --fp16' again"
MORE_MEMORY = "close other programs, or give a smaller --workspace"
REASONS = {
    "MODEL_DESERIALIZE_FAILED": f"it is no ONNX model, or cut off: {RUN_EXPORT}",
    "MEM_ALLOC_FAILED": f"memory ran out: {MORE_MEMORY}",
}
UNSUPPORTED = "TensorRT has no such operator or not in this form"
"""What a parser that says 'false' or 'Plugin not found' means."""
MEMORY_WORDS = ("out of memory", "OutOfMemory", "cudaErrorMemoryAllocation", "MEM_ALLOC_FAILED")


@dataclass(frozen=True)
class BuiltPlan:
    """A plan that is not written yet."""

    data: memoryview
    """The plan; it owns what it views."""
    layers: tuple[EngineLayer, ...]
    source: str
    """Where the layers were read: 'engine inspector' or 'build log'."""
    build_s: float


def build_plan(library: Library, name: str, onnx: bytes, options: BuildOptions, report: Report) -> BuiltPlan:
    """Parse and build; may take minutes.

    Args:
        name: of the graph, 'backbone' or 'flow'.
        onnx: the ONNX file.
        report: called with the share that is done.

    Raises:
        EngineError: parser or builder refused; the message names the node, the reason and the next step.
        ConfigError: an option that this TensorRT or machine has not.
        KeyboardInterrupt: Ctrl-C, after TensorRT has ended the build in good order.
    """
    log, stop = BuildLog(), threading.Event()
    logger = make_logger(library.trt, log)
    try:
        builder: api.Builder = library.trt.Builder(logger)
    except (RuntimeError, TypeError) as error:
        raise EngineError(
            f"{library.title} does not start ({error}; {log.reasons()}): 'csflow doctor' says what is missing"
        ) from None
    network, _parser = _parse(library, builder, logger, name, onnx)
    config = configure(library, builder, name, options)
    for profile in set_shapes(builder, network, options):
        if config.add_optimization_profile(profile) < 0:
            _refuse_build(library, name, log)
    config.progress_monitor = make_monitor(library.trt, report, stop)
    started = time.monotonic()
    plan = _interruptible(lambda: builder.build_serialized_network(network, config), stop)
    elapsed = time.monotonic() - started
    if plan is None:
        _refuse_build(library, name, log)
    keep_timing_cache(library, config)
    data = memoryview(plan)
    layers, source = _layers(library, logger, data, options, log)
    return BuiltPlan(data, layers, source, elapsed)


def _parse(library: Library, builder: api.Builder, logger: Any, name: str, onnx: bytes) -> tuple[Any, Any]:
    """Network and parser; the parser owns weights that the network refers to."""
    typed = library.trt.NetworkDefinitionCreationFlag
    flags = 1 << int(typed.STRONGLY_TYPED) if "strongly-typed-flag" in library.capabilities else 0
    network = builder.create_network(flags)
    parser: api.OnnxParser = library.trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        why = "; ".join(dict.fromkeys(_parser_error(error) for error in errors)) or f"it gave no reason: {RUN_EXPORT}"
        raise EngineError(f"{library.title} cannot read the {name} graph: {why}")
    return network, parser


def _parser_error(error: api.ParserError) -> str:
    code, said = str(error.code()).rpartition(".")[2], error.desc().strip()
    if code in REASONS:
        return REASONS[code]
    unsupported = said in ("", "false") or "Plugin not found" in said
    # Of several lines, the one about the use of the API says what was wrong with the node.
    lines = [line for line in said.splitlines() if "API Usage Error" in line] or said.splitlines()
    reason = UNSUPPORTED if unsupported else lines[0]
    return f"node {error.node_name()!r} ({error.node_operator()}): {reason}; {RUN_EXPORT}, or change the model"


def _refuse_build(library: Library, name: str, log: BuildLog) -> NoReturn:
    reasons = log.reasons()
    step = "report it with the output of 'csflow doctor'"
    if any(word in reasons for word in MEMORY_WORDS):
        step = MORE_MEMORY
    elif "workspace" in reasons:
        step = "give a larger --workspace, or leave it out"
    raise EngineError(f"{library.title} cannot build the {name} plan: {reasons}: {step}")


def _interruptible(work: Callable[[], T], stop: threading.Event) -> T:
    """Run `work` in a thread, so that Ctrl-C reaches Python at once and the build ends at its next step."""
    with ThreadPoolExecutor(1, "csflow-build") as pool:
        try:
            return pool.submit(work).result()
        except KeyboardInterrupt:
            stop.set()
            raise


def _layers(
    library: Library, logger: Any, plan: memoryview, options: BuildOptions, log: BuildLog
) -> tuple[tuple[EngineLayer, ...], str]:
    # A version-compatible plan holds code of its own, which is not run just to look at it.
    if library.device is not None and not options.version_compatible:
        runtime: api.Runtime = library.trt.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is not None:
            text = engine.create_engine_inspector().get_engine_information(library.trt.LayerInformationFormat.JSON)
            return parse_inspector(text), "engine inspector"
    return parse_build_log(log.layers), "build log"
