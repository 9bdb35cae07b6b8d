"""A small head: a coupling's sub-network between two scales, what is too narrow for INT8, and a score."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["features", "head", "weight"]

DRAW = np.random.default_rng(3)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(DRAW.normal(0, 0.1, shape).astype(np.float32), name)


def features(count: int) -> list[dict[str, NDArray[np.float32]]]:
    return [{"features_0": DRAW.normal(0, 1, (1, 24, 6, 6)).astype(np.float32)} for _ in range(count)]


def head(dense: bool = True) -> bytes:
    """`enter` feeds `leave` directly and `up` through an enlargement; `depthwise` and `narrow` stay in float32.

    Channels of what flows between differ by up to a hundred times.
    """
    uneven = np.geomspace(0.1, 10.0, 32).astype(np.float32)
    enter = numpy_helper.to_array(weight("enter_weight", 32, 24, 3, 3)) * uneven[:, None, None, None]
    leave = numpy_helper.to_array(weight("leave_weight", 16, 32, 3, 3)) / uneven[None, :, None, None]
    up = numpy_helper.to_array(weight("up_weight", 16, 32, 3, 3)) / uneven[None, :, None, None]
    nodes = [
        helper.make_node("Conv", ["features_0", "enter_weight", "enter_bias"], ["a"], "enter", pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["a"], ["h"], "rectify", alpha=0.1),
        helper.make_node("Conv", ["h", "leave_weight", "leave_bias"], ["b"], "leave", pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["h", "", "twice"], ["large"], "enlarge", mode="linear"),
        helper.make_node("Conv", ["large", "up_weight"], ["c"], "up", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Add", ["b", "c"], ["d"], "join"),
    ]
    weights = [numpy_helper.from_array(v, n) for v, n in ((enter, "enter_weight"), (leave, "leave_weight"))]
    weights += [numpy_helper.from_array(up, "up_weight"), weight("enter_bias", 32), weight("leave_bias", 16)]
    weights.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    if not dense:
        nodes, weights = [helper.make_node("Slice", ["features_0", "from", "to", "axis"], ["d"], "first")], []
        weights += [numpy_helper.from_array(np.array([v]), n) for n, v in (("from", 0), ("to", 16), ("axis", 1))]
    nodes += [
        helper.make_node("Conv", ["d", "depth_weight"], ["e"], "depthwise", pads=[1, 1, 1, 1], group=16),
        helper.make_node("Conv", ["e", "narrow_weight"], ["z"], "narrow"),
        helper.make_node("Mul", ["z", "z"], ["z2"], "square"),
        helper.make_node("ReduceMean", ["z2", "places"], ["score"], "mean", keepdims=0),
    ]
    weights += [weight("depth_weight", 16, 1, 3, 3), weight("narrow_weight", 8, 16, 1, 1)]
    weights.append(numpy_helper.from_array(np.array([1, 2, 3]), "places"))
    inputs = [helper.make_tensor_value_info("features_0", TensorProto.FLOAT, ["batch", 24, 6, 6])]
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])]
    graph = helper.make_graph(nodes, "head", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data
