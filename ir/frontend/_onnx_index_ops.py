"""ONNX operators that read or write parts of tensors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from eqsat.ir._expr import Expr
from eqsat.ir.frontend._onnx_graph import GraphBuilder, Handler, Known, Node, Result, Value, known
from eqsat.shapes import (
    Dim,
    normalize_axes,
    normalize_axis,
)

_END = 2**31 - 1


def slice_(graph: GraphBuilder, node: Node) -> Result:
    """Slice with bounds that are numbers or dims."""
    data, dims = graph.expr(node.input(0)), graph.shape_of(node.input(0), node)
    if "starts" in node.attrs:  # before opset 10
        begin, end = list(node.attrs["starts"]), list(node.attrs["ends"])
        axes, steps = list(node.attr("axes", range(len(begin)))), [1] * len(begin)
    else:
        begin = graph.dims(node.input(1), node, "starts")
        end = graph.dims(node.input(2), node, "ends")
        axes = _ints_or(graph, node, 3, range(len(begin)))
        steps = _ints_or(graph, node, 4, [1] * len(begin))
    places = normalize_axes(tuple(axes), len(dims))
    bounded = [_clip_end(e, dims[a]) for e, a in zip(end, places, strict=True)]
    return graph.call(
        "strided_slice",
        data,
        axes=tuple(places),
        begin=tuple(begin),
        end=tuple(bounded),
        strides=tuple(steps),
    )


def _ints_or(graph: GraphBuilder, node: Node, index: int, default: Iterable[int]) -> list[int]:
    value = node.input(index)
    return list(default) if value is None else graph.ints(value, node, f"input {index}")


def _clip_end(end: Dim, size: Dim) -> Dim:
    """Exporters write "to the end" as a huge number."""
    return size if isinstance(end, int) and end >= _END else end


def gather(graph: GraphBuilder, node: Node) -> Result:
    """Pick slices along an axis; negative indices count from the end."""
    indices = _nonnegative_indices(graph, node, node.input(1), node.attr("axis", 0))
    return graph.call("take", graph.expr(node.input(0)), indices, axis=node.attr("axis", 0))


def _nonnegative_indices(graph: GraphBuilder, node: Node, indices: Value, axis: int) -> Expr:
    dims = graph.shape_of(node.input(0), node)
    size = dims[normalize_axis(axis, len(dims))]
    if isinstance(indices, Known) and not indices.is_symbolic and isinstance(size, int):
        array = indices.array
        if array.size and (array.min() < -size or array.max() >= size):
            raise node.fail(f"an index is outside the axis of size {size}")
        return graph.expr(known(np.where(array < 0, array + size, array).astype(array.dtype)))
    return graph.expr(indices)


def indexed(op_name: str) -> Handler:
    """Return the handler of GatherElements and its kin: data, indices and an axis."""
    return lambda graph, node: graph.call(
        op_name, graph.expr(node.input(0)), graph.expr(node.input(1)), axis=node.attr("axis", 0)
    )


def gather_nd(graph: GraphBuilder, node: Node) -> Result:
    """Pick slices by index tuples."""
    operands = graph.expr(node.input(0)), graph.expr(node.input(1))
    return graph.call("gather_nd", *operands, batch_dims=node.attr("batch_dims", 0))


def scatter_elements(graph: GraphBuilder, node: Node) -> Result:
    """Write single elements by index."""
    reduction_name = node.attr("reduction", "none")
    mode = {"none": "update"}.get(reduction_name, reduction_name)
    operands = [graph.expr(v) for v in node.inputs]
    return graph.call("scatter_elements", *operands, axis=node.attr("axis", 0), reduction=mode)


def scatter_nd(graph: GraphBuilder, node: Node) -> Result:
    """Write slices by index tuples."""
    mode = {"none": "update"}.get(node.attr("reduction", "none"), node.attr("reduction", "none"))
    return graph.call("scatter_nd", *(graph.expr(v) for v in node.inputs), reduction=mode)


def one_hot(graph: GraphBuilder, node: Node) -> Result:
    """One-hot vectors; off and on values must be known, indices below 0 count from the end."""
    depth = graph.dims(node.input(1), node, "depth")[0]
    off_on = node.input(2)
    if not isinstance(off_on, Known) or off_on.is_symbolic:
        raise node.fail("the on and off values must be constants")
    off, on = (v.item() for v in off_on.array)
    result = graph.call(
        "one_hot",
        _wrapped_indices(graph, node, depth),
        on_value=on,
        off_value=off,
        depth=depth,
        axis=node.attr("axis", -1),
    )
    return graph.astype(result, off_on.dtype)


def _wrapped_indices(graph: GraphBuilder, node: Node, size: Dim) -> Expr:
    """Return the first input as integers that are not negative."""
    value = node.input(0)
    if isinstance(value, Known) and not value.is_symbolic and isinstance(size, int):
        array = value.array.astype(np.int64)
        return graph.expr(known(np.where(array < 0, array + size, array)))
    indices = graph.astype(graph.expr(value), "int64")
    total = graph.expr(Known(np.asarray(size), "int64"))
    below = graph.call("less", indices, graph.expr(known(np.asarray(0, np.int64))))
    return graph.call("where", below, graph.call("add", indices, total), indices)
