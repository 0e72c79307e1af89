"""ONNX activations that are not one operator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eqsat.ir._expr import Expr
from eqsat.ir.frontend._onnx_graph import GraphBuilder, Known, Node, Result, known
from eqsat.shapes import is_float, numpy_dtype


def scalar_maker(graph: GraphBuilder, node: Node) -> Callable[[float], Expr]:
    """Return a function that makes rank-0 constants of the first input's dtype."""
    dtype = numpy_dtype(graph.type_of(node.input(0), node).dtype)
    return lambda value: graph.expr(known(np.asarray(value, dtype)))


def gelu(graph: GraphBuilder, node: Node) -> Result:
    """GELU by erf or by tanh."""
    name = "nn.gelu_tanh" if node.attr("approximate", "none") == "tanh" else "nn.gelu"
    return graph.call(name, graph.expr(node.input(0)))


def leaky_relu(graph: GraphBuilder, node: Node) -> Result:
    """Return x, or alpha · x where negative."""
    return graph.call("nn.leakyrelu", graph.expr(node.input(0)), alpha=node.attr("alpha", 0.01))


def prelu(graph: GraphBuilder, node: Node) -> Result:
    """Return x, or slope · x where negative, the slope broadcast."""
    data, slope = graph.expr(node.input(0)), graph.expr(node.input(1))
    scalar = scalar_maker(graph, node)
    negative = graph.call("minimum", data, scalar(0.0))
    return graph.call("add", graph.call("nn.relu", data), graph.call("multiply", slope, negative))


def hard_sigmoid(graph: GraphBuilder, node: Node) -> Result:
    """Return max(0, min(1, alpha · x + beta))."""
    scalar = scalar_maker(graph, node)
    scaled = graph.call("multiply", graph.expr(node.input(0)), scalar(node.attr("alpha", 0.2)))
    return graph.call(
        "clip", graph.call("add", scaled, scalar(node.attr("beta", 0.5))), min=0.0, max=1.0
    )


def hard_swish(graph: GraphBuilder, node: Node) -> Result:
    """Return x · max(0, min(1, x / 6 + 1 / 2))."""
    x = graph.expr(node.input(0))
    scalar = scalar_maker(graph, node)
    gate = graph.call("add", graph.call("divide", x, scalar(6.0)), scalar(0.5))
    return graph.call("multiply", x, graph.call("clip", gate, min=0.0, max=1.0))


def elu(graph: GraphBuilder, node: Node) -> Result:
    """Return x, or alpha · (exp(x) − 1) where negative."""
    x = graph.expr(node.input(0))
    scalar = scalar_maker(graph, node)
    below = graph.call(
        "subtract", graph.call("exp", graph.call("minimum", x, scalar(0.0))), scalar(1.0)
    )
    scaled = graph.call("multiply", below, scalar(node.attr("alpha", 1.0)))
    return graph.call("add", graph.call("nn.relu", x), scaled)


def selu(graph: GraphBuilder, node: Node) -> Result:
    """Return gamma · x, or gamma · alpha · (exp(x) − 1) where negative."""
    if not {"alpha", "gamma"} & set(node.attrs):
        return graph.call("nn.selu", graph.expr(node.input(0)))
    scalar = scalar_maker(graph, node)
    alpha = node.attr("alpha", 1.67326319217681884765625)
    x = graph.expr(node.input(0))
    below = graph.call(
        "subtract", graph.call("exp", graph.call("minimum", x, scalar(0.0))), scalar(1.0)
    )
    total = graph.call(
        "add", graph.call("nn.relu", x), graph.call("multiply", below, scalar(alpha))
    )
    return graph.call("multiply", total, scalar(node.attr("gamma", 1.05070102214813232421875)))


def softsign(graph: GraphBuilder, node: Node) -> Result:
    """Return x / (1 + |x|)."""
    x = graph.expr(node.input(0))
    scalar = scalar_maker(graph, node)
    return graph.call("divide", x, graph.call("add", graph.call("abs", x), scalar(1.0)))


def thresholded_relu(graph: GraphBuilder, node: Node) -> Result:
    """Return x where above alpha, else 0."""
    x = graph.expr(node.input(0))
    scalar = scalar_maker(graph, node)
    above = graph.call("greater", x, scalar(node.attr("alpha", 1.0)))
    return graph.call("where", above, x, scalar(0.0))


def reciprocal(graph: GraphBuilder, node: Node) -> Result:
    """1 / x."""
    scalar = scalar_maker(graph, node)
    return graph.call("divide", scalar(1.0), graph.expr(node.input(0)))


def clip(graph: GraphBuilder, node: Node) -> Result:
    """Limit to [min, max]; either may be absent or computed."""
    x, dtype = graph.expr(node.input(0)), graph.type_of(node.input(0), node).dtype
    low, high = node.input(1), node.input(2)
    if node.opset < 11:  # the limits are attributes
        low, high = (
            known(np.asarray(node.attrs[a], numpy_dtype(dtype))) if a in node.attrs else None
            for a in ("min", "max")
        )
    if is_float(dtype) and isinstance(low, Known) and isinstance(high, Known):
        limits = (float(graph.scalar(v, node, "a limit")) for v in (low, high))
        return graph.call("clip", x, **dict(zip(("min", "max"), limits, strict=True)))
    if low is not None:
        x = graph.call("maximum", x, graph.expr(low))
    return x if high is None else graph.call("minimum", x, graph.expr(high))


def shrink(graph: GraphBuilder, node: Node) -> Result:
    """Towards 0 by bias outside of ±lambd, 0 within."""
    x, scalar = graph.expr(node.input(0)), scalar_maker(graph, node)
    limit, bias = node.attr("lambd", 0.5), scalar(node.attr("bias", 0.0))
    above = graph.call("greater", x, scalar(limit))
    below = graph.call("less", x, scalar(-limit))
    high = graph.call("where", above, graph.call("subtract", x, bias), scalar(0.0))
    return graph.call("where", below, graph.call("add", x, bias), high)
