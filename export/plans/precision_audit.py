"""Whether a plan multiplies in half precision and INT8 where its graph says so: what silently became wider is refused.

A product of the graph counts as half where a layer made from it reads half tensors and half weights, and as float
where one reads float tensors and float weights. Layers that only convert or pad decide nothing. Kernels that TensorRT
generates decide only where no other does the product: they convert, clamp and pad before one, and bear its name too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from csflow.export.plans.graph_products import Product
from csflow.export.plans.layers import EngineLayer
from csflow.runtime.engines.tensorrt.plan_record import PlanAudit
from csflow.runtime.errors import ConfigError, EngineError

__all__ = ["HALF_SHARE", "audit_plan", "half_share", "require_half_graph", "require_turing_graph"]

HALF_SHARE = 0.99
"""Least share of multiply-accumulates that a graph called fp16 must do in half precision."""
INT8_SHARE = 0.9
"""The same of a graph with INT8 products, in half precision or INT8: the stem before them is exact, in float32."""
TOLERANCE = 0.01
"""How far the plan's share may lie below the graph's: kernels are fused across nodes."""
COVERED = 0.9
"""Least share of the graph's multiply-accumulates that must be found in the layers for them to count as evidence."""


GENERATED = "kgen"
"""Kind of the kernels that TensorRT writes for what lies between its own."""
_AS_ASKED = {"INT8": ("int8",), "FLOAT16": ("half",)}
"""Types of a layer that fit a narrow product; of a wide one, narrow layers are found all the same."""


def half_share(products: Iterable[Product]) -> float:
    """Share of the multiply-accumulates whose factors are both half precision or INT8; 0 where nothing multiplies."""
    known = list(products)
    total = sum(product.macs for product in known)
    return sum(product.macs for product in known if product.is_half) / total if total else 0.0


def require_half_graph(products: Sequence[Product], where: str) -> None:
    """Raises EngineError where a graph called fp16 multiplies in another type; it names the largest such node.

    A graph without products, such as the one that joins judgements, has nothing to gain from half precision.
    """
    share = half_share(products)
    least = INT8_SHARE if any(product.type == "INT8" for product in products) else HALF_SHARE
    if not products or share >= least:
        return
    worst = max((product for product in products if not product.is_half), key=lambda product: product.macs)
    named = f"the largest other is {worst.name!r} ({worst.operator}) in {worst.type}"
    raise EngineError(
        f"{where} does {share:.1%} of its multiply-accumulates in half precision, at least {least:.0%} was "
        f"expected; {named}: run 'csflow export --fp16' again with this csflow"
    )


def require_turing_graph(products: Sequence[Product], where: str) -> None:
    """Raises ConfigError where a graph has a float32 matrix product: TensorRT for RTX builds none for 7.5 (Turing).

    Tried with 1.7.1, for MatMul and Gemm of any size; convolutions and half precision it builds.
    """
    refused = [p for p in products if p.operator in ("MatMul", "Gemm") and p.type == "FLOAT"]
    if refused:
        raise ConfigError(
            f"TensorRT for RTX builds no float32 matrix product for compute capability 7.5 (Turing), and {where} has "
            f"{len(refused)}, the first {refused[0].name!r}: leave 75 out of --compute-capability, or export --fp16"
        )


def audit_plan(products: Sequence[Product], layers: Sequence[EngineLayer], source: str, what: str) -> PlanAudit:
    """Compare the layers of a plan with the products of its graph.

    Args:
        layers: as `csflow.export.plans.layers` reads them; none where they could not be read.
        source: where they were read.
        what: named in errors.

    Where fewer than 90 % of the multiply-accumulates are found in the layers, the typed graph is all the evidence, and
    the audit says so.

    Raises EngineError where the plan does less in half precision than the graph says.
    """
    asked = half_share(products)
    types = {product.name: _type_in(product, layers) for product in products}
    judged = [product for product in products if types[product.name]]
    total = sum(product.macs for product in products)
    if not total or sum(product.macs for product in judged) < COVERED * total:
        return PlanAudit(asked, None, "typed graph")
    expected = half_share(judged)
    kept = [p for p in judged if types[p.name] in _AS_ASKED.get(p.type, ("half", "int8"))]
    found = sum(p.macs for p in kept) / sum(p.macs for p in judged)
    if found < expected - TOLERANCE:
        wrong = max((p for p in judged if p.is_half and p not in kept), key=lambda p: p.macs)
        raise EngineError(
            f"{what} does {found:.1%} of its multiply-accumulates in half precision, the graph says {expected:.1%}; "
            f"the largest that is not is {wrong.name!r} ({wrong.operator}), in {types[wrong.name]}: "
            "report it with the output of 'csflow doctor'"
        )
    return PlanAudit(asked, found, source)


def _type_in(product: Product, layers: Sequence[EngineLayer]) -> str:
    """'half', 'float', another type, or '' where no layer tells."""
    named = [layer for layer in layers if product.name in layer.nodes]
    found = _types(layer for layer in named if layer.kind != GENERATED) or _types(named)
    if product.type == "INT8" and "int8" in found:
        # What rounds before it and scales after it bears its name too, and reads float.
        return "int8"
    # Where a product was split, the wider half decides.
    return "float" if "float" in found else next(iter(sorted(found)), "")


def _types(layers: Iterable[EngineLayer]) -> set[str]:
    return {_reads(layer) for layer in layers} - {""}


def _reads(layer: EngineLayer) -> str:
    """The one type of a layer's tensors and of its largest constant; '' where they differ or it has no second factor.

    Scalars are scales and slopes; biases are kept in float by some kernels.
    """
    moving = {tensor.type for tensor in layer.inputs if tensor.elements > 1}
    weights = sorted(layer.constants, key=lambda tensor: tensor.elements)[-1:]
    fixed = {tensor.type for tensor in weights if tensor.elements > 1}
    if not moving or not (fixed or len(layer.inputs) > 1):
        return ""
    types = moving | fixed
    return next(iter(types)) if len(types) == 1 else ""
