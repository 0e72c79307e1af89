"""ONNX operators over axes: reductions, prefix sums, selection, einsum."""

from __future__ import annotations

import numpy as np

from eqsat.ir._expr import Expr
from eqsat.ir.frontend._onnx_graph import GraphBuilder, Handler, Node, Result, known
from eqsat.shapes import (
    normalize_axes,
    numpy_dtype,
)


def reduction(op_name: str, before: str = "", after: str = "") -> Handler:
    """Return the handler of a reduction, with a pointwise operator before or after it."""

    def handler(graph: GraphBuilder, node: Node) -> Result:
        data = graph.expr(node.input(0))
        axes = _reduction_axes(graph, node)
        if before:
            data = graph.call(before, data)
        if axes == ():
            return graph.call(after, data) if after else data
        result: Expr = graph.call(op_name, data, axis=axes, keepdims=bool(node.attr("keepdims", 1)))
        return graph.call(after, result) if after else result

    return handler


def _reduction_axes(graph: GraphBuilder, node: Node) -> tuple[int, ...] | None:
    listed = graph.axes(node)
    if listed:
        return tuple(listed)
    return () if node.attr("noop_with_empty_axes", 0) else None


def reduce_log_sum_exp(graph: GraphBuilder, node: Node) -> Result:
    """Return log Σ exp x, from the maximum so that exp does not overflow."""
    data, axes = graph.expr(node.input(0)), _reduction_axes(graph, node)
    if axes == ():
        return data
    dtype = numpy_dtype(graph.type_of(data, node).dtype)
    largest: Expr = graph.call("max", data, axis=axes, keepdims=True)
    # An infinite maximum would give inf - inf.
    limit = float(np.finfo(np.float16 if dtype.itemsize == 2 else np.float32).max)
    largest = graph.call("clip", largest, min=-limit, max=limit)
    scaled = graph.call("exp", graph.call("subtract", data, largest))
    total = graph.call("log", graph.call("sum", scaled, axis=axes, keepdims=True))
    result: Expr = graph.call("add", total, largest)
    if node.attr("keepdims", 1):
        return result
    dims = graph.shape_of(result, node)
    gone = range(len(dims)) if axes is None else normalize_axes(axes, len(dims))
    return graph.call("squeeze", result, axis=tuple(gone))


def lp_normalization(graph: GraphBuilder, node: Node) -> Result:
    """Return x over its 1- or 2-norm along an axis; 0 where that is 0."""
    data, axis = graph.expr(node.input(0)), node.attr("axis", -1)
    order = node.attr("p", 2)
    if order not in (1, 2):
        raise node.fail(f"p={order} is no norm here; 1 and 2 are")
    measured = graph.call("abs" if order == 1 else "square", data)
    norm: Expr = graph.call("sum", measured, axis=(axis,), keepdims=True)
    if order == 2:
        norm = graph.call("sqrt", norm)
    zero = graph.expr(known(np.zeros((), numpy_dtype(graph.type_of(data, node).dtype))))
    ratio = graph.call("divide", data, norm)
    return graph.call("where", graph.call("equal", norm, zero), zero, ratio)


def arg_reduction(op_name: str) -> Handler:
    """Return the handler of ArgMax or ArgMin."""

    def handler(graph: GraphBuilder, node: Node) -> Result:
        if node.attr("select_last_index", 0):
            raise node.fail("select_last_index is not supported")
        keep = bool(node.attr("keepdims", 1))
        return graph.call(
            op_name, graph.expr(node.input(0)), axis=node.attr("axis", 0), keepdims=keep
        )

    return handler


def cumsum(graph: GraphBuilder, node: Node) -> Result:
    """Sums of prefixes, or of suffixes where reversed."""
    axis = int(graph.scalar(node.input(1), node, "axis"))
    exclusive, reverse = bool(node.attr("exclusive", 0)), node.attr("reverse", 0)
    data = graph.expr(node.input(0))
    if reverse:
        data = graph.call("flip", data, axis=axis)
    result = graph.call("cumsum", data, axis=axis, exclusive=exclusive)
    return graph.call("flip", result, axis=axis) if reverse else result


def top_k(graph: GraphBuilder, node: Node) -> Result:
    """The k largest or smallest along an axis, and where they are."""
    k = node.attr("k") if "k" in node.attrs else int(graph.scalar(node.input(1), node, "k"))
    pair = graph.call(
        "topk",
        graph.expr(node.input(0)),
        k=k,
        axis=node.attr("axis", -1),
        ret_type="both",
        largest=bool(node.attr("largest", 1)),
        dtype="int64",
    )
    return graph.block.get_item(pair, 0), graph.block.get_item(pair, 1)


def einsum(graph: GraphBuilder, node: Node) -> Result:
    """Products summed over named axes."""
    operands = [graph.expr(v) for v in node.inputs]
    subscripts = "".join(node.required("equation").split())
    return graph.call("einsum", operands, subscripts=subscripts)
