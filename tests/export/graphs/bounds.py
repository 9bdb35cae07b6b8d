"""How large any value inside a graph can become: interval arithmetic over an ONNX file, in float64.

An infinite value is born where a finite one leaves float32, and a NaN where infinite ones meet, or of a root, a
logarithm or a quotient that is none. Where no interval reaches so far, neither can be born of finite weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

Interval = tuple[float, float]

FLOAT32_MAX = float(np.finfo(np.float32).max)
KEPT = (
    *("Cast", "Transpose", "Slice", "Gather", "Reshape", "Unsqueeze", "Squeeze", "Split", "Resize", "Identity"),
    *(
        "Flatten",
        "Expand",
        "ReduceMax",
        "ReduceMin",
        "ReduceMean",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "TopK",
    ),
)
"""What moves, averages or picks values makes none larger."""
COUNTED = ("Shape", "Size", "ConstantOfShape", "Range")
"""What computes shapes."""


def _of(values: np.ndarray) -> Interval:
    return (float(values.min(initial=0.0)), float(values.max(initial=0.0))) if values.dtype.kind != "b" else (0.0, 1.0)


def _hull(*values: float) -> Interval:
    return min(values), max(values)


def _size(of: Interval) -> float:
    return max(abs(of[0]), abs(of[1]))


def _product(a: Interval, b: Interval) -> Interval:
    return _hull(*(x * y for x in a for y in b))


def _attribute(node: Any, name: str, otherwise: Any = None) -> Any:
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), otherwise)


SIMPLE: dict[str, Callable[..., Interval]] = {
    "Add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "Sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "Mul": _product,
    "Neg": lambda a: (-a[1], -a[0]),
    "Abs": lambda a: (0.0, _size(a)),
    "Relu": lambda a: (max(a[0], 0.0), max(a[1], 0.0)),
    "LeakyRelu": lambda a: (min(a[0], 0.0), max(a[1], 0.0)),
    "Sigmoid": lambda _: (0.0, 1.0),
    "Atan": lambda _: (-math.pi / 2, math.pi / 2),
    "Exp": lambda a: (math.exp(min(a[0], 700.0)), math.exp(min(a[1], 700.0))),
    "Max": lambda *of: (max(a[0] for a in of), max(a[1] for a in of)),
    "Min": lambda *of: (min(a[0] for a in of), min(a[1] for a in of)),
    "Concat": lambda *of: (min(a[0] for a in of), max(a[1] for a in of)),
}


class Bounds:
    """The interval of every value of a graph whose inputs lie in the intervals given by name."""

    def __init__(self, data: bytes, inputs: dict[str, Interval]) -> None:
        model = onnx.load_from_string(data)
        for port in model.graph.input:
            port.type.tensor_type.shape.dim[0].dim_value = 1
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
        self._weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._shapes = {
            value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in (*graph.value_info, *graph.input, *graph.output)
        }
        self._maker = {name: node for node in graph.node for name in node.output}
        self.of: dict[str, Interval] = dict(inputs)
        for node in graph.node:
            found = self._interval(node)
            assert all(map(math.isfinite, found)), f"{node.name}: {found}"
            self.of.update(dict.fromkeys(node.output, found))

    @property
    def largest(self) -> float:
        """The largest size of any value."""
        return max(map(_size, self.of.values()))

    def _given(self, name: str) -> Interval:
        return self.of[name] if name in self.of else _of(self._weights[name])

    def _interval(self, node: Any) -> Interval:
        kind, first = node.op_type, node.input[0] if node.input else ""
        if kind in KEPT:
            return self._given(first)
        if self._is_below_its_largest(node):
            low, high = self._given(first)
            return low - high, 0.0
        if kind in SIMPLE and not (kind == "Mul" and node.input[0] == node.input[1]):
            return SIMPLE[kind](*(self._given(name) for name in node.input if name))
        if kind in COUNTED:
            return 0.0, float(1 << 31)
        if kind == "Constant":
            return _of(numpy_helper.to_array(_attribute(node, "value")))
        known: dict[str, Callable[[Any], Interval]] = {
            "Conv": self._conv,
            "ConvTranspose": self._spread,
            "MatMul": self._matmul,
            "Clip": self._clip,
            "Mul": self._square,
            "Pow": self._power,
            "ReduceSum": self._sum,
            "ReduceSumSquare": self._sum_of_squares,
            "Div": self._quotient,
            "Sqrt": self._root,
            "Log": self._logarithm,
            "Where": self._where,
        }
        assert kind in known, f"say here how large {kind} can make a value"
        return known[kind](node)

    def _conv(self, node: Any) -> Interval:
        weight = np.abs(self._weights[node.input[1]].astype(np.float64))
        bias = _size(_of(self._weights[node.input[2]])) if len(node.input) > 2 else 0.0
        reach = weight.reshape(len(weight), -1).sum(axis=1).max() * _size(self._given(node.input[0])) + bias
        return -reach, reach

    def _spread(self, node: Any) -> Interval:
        # Of (C, C', k, k) weights a value is a sum over C and at most k x k places.
        weight = np.abs(self._weights[node.input[1]].astype(np.float64))
        reach = weight.sum(axis=(0, 2, 3)).max() * _size(self._given(node.input[0]))
        return -reach, reach

    def _matmul(self, node: Any) -> Interval:
        left, right = node.input
        shape = self._shapes.get(left) or list(self._weights[left].shape)
        reach = shape[-1] * _size(self._given(left)) * _size(self._given(right))
        return -reach, reach

    def _clip(self, node: Any) -> Interval:
        low, high = self._given(node.input[0])
        ends = zip((*node.input[1:], "", ""), (low, high), strict=False)
        least, most = (float(self._weights[name]) if name else otherwise for name, otherwise in ends)
        return min(max(low, least), most), min(max(high, least), most)

    def _square(self, node: Any) -> Interval:
        return 0.0, _size(self._given(node.input[0])) ** 2

    def _power(self, node: Any) -> Interval:
        (exponent,) = set(self._weights[node.input[1]].ravel().tolist())
        if exponent == 0.5:
            return self._root(node)
        assert exponent == 2.0
        return self._square(node)

    def _sum(self, node: Any) -> Interval:
        whole, left = (math.prod(self._shapes[name]) for name in (node.input[0], node.output[0]))
        exponent = self._maker.get(node.input[0])
        if exponent is not None and exponent.op_type == "Exp":
            shifted = self._maker.get(exponent.input[0])
            if shifted is not None and self._is_below_its_largest(shifted):
                return 1.0, whole / max(left, 1)  # one of them is exp(0)
        return _product(self._given(node.input[0]), (0.0, whole / max(left, 1)))

    def _is_below_its_largest(self, node: Any) -> bool:
        """x - max(x)."""
        largest = self._maker.get(node.input[1]) if node.op_type == "Sub" else None
        return largest is not None and largest.op_type == "ReduceMax" and largest.input[0] == node.input[0]

    def _sum_of_squares(self, node: Any) -> Interval:
        return 0.0, self._sum(node)[1] * _size(self._given(node.input[0]))

    def _quotient(self, node: Any) -> Interval:
        low, high = self._given(node.input[1]) if node.input[1] in self.of else self._ends(node.input[1])
        assert low > 0.0 or high < 0.0, f"{node.name} may divide by 0"
        return _product(self._given(node.input[0]), _hull(1.0 / low, 1.0 / high))

    def _ends(self, name: str) -> Interval:
        values = self._weights[name]
        return float(values.min()), float(values.max())

    def _root(self, node: Any) -> Interval:
        low, high = self._given(node.input[0])
        assert low >= 0.0, f"{node.name} may take the root of {low}"
        return math.sqrt(low), math.sqrt(high)

    def _logarithm(self, node: Any) -> Interval:
        low, high = self._given(node.input[0])
        assert low > 0.0, f"{node.name} may take the logarithm of {low}"
        return math.log(low), math.log(high)

    def _where(self, node: Any) -> Interval:
        return _hull(*self._given(node.input[1]), *self._given(node.input[2]))
