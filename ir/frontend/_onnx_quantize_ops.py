"""ONNX quantization operators."""

from __future__ import annotations

import numpy as np

from eqsat.ir._expr import Expr
from eqsat.ir.frontend._onnx_graph import GraphBuilder, Node, Result, known
from eqsat.shapes import dtype_name, numpy_dtype


def quantize(graph: GraphBuilder, node: Node) -> Result:
    """Floats to integers: round(x / scale) + zero point, saturated."""
    from onnx import helper

    dtype = "uint8"
    if node.input(2) is not None:
        dtype = graph.type_of(node.input(2), node).dtype
    elif node.attr("output_dtype", 0):
        dtype = dtype_name(helper.tensor_dtype_to_np_dtype(node.attrs["output_dtype"]))
    return graph.call(
        "quantize", *_operands(graph, node, dtype), axis=_axis(graph, node), out_dtype=dtype
    )


def dequantize(graph: GraphBuilder, node: Node) -> Result:
    """Integers to floats: (x - zero point) * scale."""
    dtype = graph.type_of(node.input(1), node).dtype
    operands = _operands(graph, node, graph.type_of(node.input(0), node).dtype)
    return graph.call("dequantize", *operands, axis=_axis(graph, node), out_dtype=dtype)


def _axis(graph: GraphBuilder, node: Node) -> int:
    if node.attr("block_size", 0):
        raise node.fail("block_size is not supported; one scale per tensor or per channel is")
    one_for_all = graph.shape_of(node.input(1), node) in ((), (1,))
    return 0 if one_for_all else node.attr("axis", 1)


def _operands(graph: GraphBuilder, node: Node, dtype: str) -> list[Expr]:
    """Return data, scale and zero point; one scale for all is rank 0."""
    data, scale = graph.expr(node.input(0)), graph.expr(node.input(1))
    zero = node.input(2)
    if zero is None:
        # One zero does for every channel.
        zero = known(np.zeros((), numpy_dtype(dtype)))
    return [data, *(_scalar_or_vector(graph, node, v) for v in (scale, graph.expr(zero)))]


def _scalar_or_vector(graph: GraphBuilder, node: Node, value: Expr) -> Expr:
    if graph.shape_of(value, node) == (1,):
        return graph.call("reshape", value, ())
    return value
