"""ONNX operators on tensors: pointwise, constants, shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._expr import AttrValue, Expr
from eqsat.ir._types import TensorType
from eqsat.ir.frontend._onnx_graph import GraphBuilder, Handler, Known, Node, Result, known
from eqsat.shapes import (
    Dim,
    Equal,
    Proof,
    ShapeError,
    UnprovenShapeError,
    broadcast,
    dtype_name,
    is_float,
    normalize_axes,
    normalize_axis,
    numpy_dtype,
    product,
    prove,
)

_MAX_KNOWN = 4096  # elements made at import; more is made at run time


def unary(op_name: str, **attrs: AttrValue) -> Handler:
    """Return the handler of an operator of one tensor."""
    return lambda graph, node: graph.call(op_name, graph.expr(node.input(0)), **attrs)


def binary(op_name: str) -> Handler:
    """Return the handler of an operator of two tensors."""
    return lambda graph, node: graph.call(
        op_name, graph.expr(node.input(0)), graph.expr(node.input(1))
    )


def variadic(op_name: str) -> Handler:
    """Return the handler of Sum, Max, Min: a fold of a binary operator."""
    return lambda graph, node: _folded(op_name, graph, node)


def _folded(op_name: str, graph: GraphBuilder, node: Node) -> Expr:
    result = graph.expr(node.input(0))
    for value in node.inputs[1:]:
        result = graph.call(op_name, result, graph.expr(value))
    return result


def power(graph: GraphBuilder, node: Node) -> Result:
    """Return x ** y in the dtype of x; y may have another one."""
    x, y = graph.expr(node.input(0)), graph.expr(node.input(1))
    base, exponent = (graph.type_of(v, node).dtype for v in (x, y))
    if base == exponent:
        return graph.call("power", x, y)
    wide = exponent if is_float(exponent) and not is_float(base) else base
    x, y = (
        v if t == wide else graph.call("astype", v, dtype=wide)
        for v, t in ((x, base), (y, exponent))
    )
    result = graph.call("power", x, y)
    return result if wide == base else graph.call("astype", result, dtype=base)


def remainder(graph: GraphBuilder, node: Node) -> Result:
    """Mod: with the sign of the divisor, or of the dividend for fmod."""
    return binary("mod" if node.attr("fmod", 0) else "floor_mod")(graph, node)


def bit_shift(graph: GraphBuilder, node: Node) -> Result:
    """Shift integers left or right."""
    return binary("left_shift" if node.required("direction") == "LEFT" else "right_shift")(
        graph, node
    )


def is_inf(graph: GraphBuilder, node: Node) -> Result:
    """Whether an element is infinite, of either or one sign."""
    x, dtype = graph.expr(node.input(0)), graph.type_of(node.input(0), node).dtype
    infinity = np.asarray(np.inf, numpy_dtype(dtype))
    above, below = node.attr("detect_positive", 1), node.attr("detect_negative", 1)
    if above and below:
        return graph.call("isinf", x)
    if not above and not below:
        return graph.call("less", x, -infinity)  # false for all
    return graph.call("equal", x, infinity if above else -infinity)


def mean_of_inputs(graph: GraphBuilder, node: Node) -> Result:
    """ONNX Mean: the average of all inputs."""
    total = _folded("add", graph, node)
    count = np.asarray(len(node.inputs), numpy_dtype(graph.type_of(node.input(0), node).dtype))
    return graph.call("divide", total, count)


def identity(graph: GraphBuilder, node: Node) -> Result:
    """Pass the first input on."""
    return node.input(0)


def dropout(graph: GraphBuilder, node: Node) -> Result:
    """Dropout at inference is the identity; asking for the mask gives all true."""
    mode = node.input(2)
    if mode is not None and graph.scalar(mode, node, "training_mode"):
        raise node.fail("training-mode dropout is not supported; export the model in eval mode")
    if node.num_outputs < 2:
        return node.input(0)
    dims = graph.shape_of(node.input(0), node)
    return node.input(0), graph.call("full", dims, np.asarray(True), dtype="bool")


_CONSTANT_FORMS = {
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_float": np.float32,
    "value_floats": np.float32,
}


def dense(sparse: Any) -> NDArray[Any]:
    """Return the array of an ONNX sparse tensor."""
    from onnx import numpy_helper

    values, places = (numpy_helper.to_array(t) for t in (sparse.values, sparse.indices))
    result = np.zeros(tuple(sparse.dims), values.dtype)
    if places.ndim == 1:
        result.reshape(-1)[places] = values
    else:
        result[tuple(places.T)] = values
    return result


def constant(graph: GraphBuilder, node: Node) -> Result:
    """ONNX Constant in each of its attribute forms."""
    from onnx import numpy_helper

    for name, dtype in _CONSTANT_FORMS.items():
        if name in node.attrs:
            return known(np.asarray(node.attrs[name], dtype))
    if "sparse_value" in node.attrs:
        return known(dense(node.attrs["sparse_value"]))
    if "value" not in node.attrs:
        raise node.fail("only dense numeric constants are supported")
    return known(numpy_helper.to_array(node.attrs["value"]))


def constant_of_shape(graph: GraphBuilder, node: Node) -> Result:
    """Fill a shape with one value; small known shapes stay known."""
    from onnx import numpy_helper

    value = node.attrs.get("value")
    fill = np.zeros(1, np.float32) if value is None else numpy_helper.to_array(value)
    fill = fill.reshape(-1)[0]
    dims = graph.dims(node.input(0), node, "the shape")
    sizes = [d for d in dims if isinstance(d, int)]
    if len(sizes) == len(dims) and math.prod(sizes) <= _MAX_KNOWN:
        return known(np.full(sizes, fill))
    return graph.call("full", dims, np.asarray(fill), dtype=dtype_name(fill.dtype))


def cast(graph: GraphBuilder, node: Node) -> Result:
    """Convert the element type; known integers stay known."""
    from onnx import helper

    value, dtype = node.input(0), dtype_name(helper.tensor_dtype_to_np_dtype(node.attr("to")))
    if isinstance(value, Known):
        if not value.is_symbolic:
            with np.errstate(all="ignore"):
                return known(value.array.astype(numpy_dtype(dtype)))
        if dtype != "bool":
            return Known(value.array, dtype)
    if graph.type_of(value, node).dtype == dtype:
        return value
    return graph.call("astype", graph.expr(value), dtype=dtype)


def cast_like(graph: GraphBuilder, node: Node) -> Result:
    """Convert to the element type of the second input."""
    dtype = graph.type_of(node.input(1), node).dtype
    return graph.astype(graph.expr(node.input(0)), dtype)


def reshape(graph: GraphBuilder, node: Node) -> Result:
    """ONNX Reshape: 0 copies a dim, one -1 is what remains."""
    data, old = graph.expr(node.input(0)), graph.shape_of(node.input(0), node)
    target = graph.dims(node.input(1), node, "the target shape")
    if not node.attr("allowzero", 0):
        target = [old[i] if _is(d, 0) else d for i, d in enumerate(target)]
    shape = resolve_rest(old, target, node)
    elements, wanted = product(old), product(shape)
    if prove(Equal(elements, wanted)) is Proof.UNKNOWN:
        # ONNX checks the count at run time; so does the match_cast.
        flat = graph.call("reshape", data, (elements,))
        dtype = graph.type_of(data, node).dtype
        data = graph.block.match_cast(flat, TensorType((wanted,), dtype))
    return graph.call("reshape", data, shape)


def resolve_rest(old: tuple[Dim, ...], target: list[Dim], node: Node) -> list[Dim]:
    """Return `target` with its -1 replaced by what remains of the elements of `old`."""
    rest = [i for i, d in enumerate(target) if _is(d, -1)]
    if not rest:
        return target
    if len(rest) > 1:
        raise node.fail("two dims of the target shape are -1")
    others = [d for i, d in enumerate(target) if i != rest[0]]
    remaining = _quotient(old, others)
    return [remaining if i == rest[0] else d for i, d in enumerate(target)]


def _quotient(old: tuple[Dim, ...], others: list[Dim]) -> Dim:
    """Return product(old) / product(others), common factors cancelled first."""
    numerator, denominator = list(old), list(others)
    for d in others:
        if d in numerator:
            numerator.remove(d)
            denominator.remove(d)
    divisor = product(denominator)
    if isinstance(divisor, int) and divisor == 0:
        raise ShapeError(
            f"a target dim is 0, so -1 has no meaning (reshape of {[str(d) for d in old]})"
        )
    return product(numerator) // divisor


def _is(dim: Dim, value: int) -> bool:
    return isinstance(dim, int) and dim == value


def flatten(graph: GraphBuilder, node: Node) -> Result:
    """ONNX Flatten: two axes, split at `axis`."""
    dims = graph.shape_of(node.input(0), node)
    raw = node.attr("axis", 1)
    axis = raw + len(dims) if raw < 0 else raw
    shape = (product(dims[:axis]), product(dims[axis:]))
    return graph.call("reshape", graph.expr(node.input(0)), shape)


def transpose(graph: GraphBuilder, node: Node) -> Result:
    """Permute axes; reversed without `perm`."""
    ndim = len(graph.shape_of(node.input(0), node))
    axes = tuple(node.attr("perm", range(ndim - 1, -1, -1)))
    return graph.call("permute_dims", graph.expr(node.input(0)), axes=axes)


def squeeze(graph: GraphBuilder, node: Node) -> Result:
    """Drop axes of size one."""
    axes = graph.axes(node)
    dims = graph.shape_of(node.input(0), node)
    if axes is None and not all(isinstance(d, int) for d in dims):
        raise node.fail(
            "without axes, whether a symbolic axis is dropped depends on its size; state the axes"
        )
    chosen = None if axes is None else tuple(axes)
    return graph.call("squeeze", graph.expr(node.input(0)), axis=chosen)


def unsqueeze(graph: GraphBuilder, node: Node) -> Result:
    """Add axes of size one."""
    axes = graph.axes(node) or []
    ndim = len(graph.shape_of(node.input(0), node)) + len(axes)
    places = tuple(sorted(normalize_axes(tuple(axes), ndim)))
    return graph.call("expand_dims", graph.expr(node.input(0)), axis=places)


def concat(graph: GraphBuilder, node: Node) -> Result:
    """Join tensors along an axis."""
    operands = [graph.expr(v) for v in node.inputs]
    return graph.call("concat", operands, axis=node.attr("axis"))


def split(graph: GraphBuilder, node: Node) -> Result:
    """Cut a tensor in pieces of given or equal sizes."""
    data, axis = graph.expr(node.input(0)), node.attr("axis", 0)
    dims = graph.shape_of(node.input(0), node)
    size = dims[normalize_axis(axis, len(dims))]
    sizes = _piece_sizes(graph, node, size)
    if sum(sizes) != size or min(sizes, default=-1) < 0:
        raise node.fail(f"the pieces {sizes} do not add up to the axis of size {size}")
    if len(sizes) == 1:
        return data
    bounds = tuple(int(b) for b in np.cumsum(sizes)[:-1])
    pieces = graph.call("split", data, indices_or_sections=bounds, axis=axis)
    return [graph.block.get_item(pieces, i) for i in range(len(sizes))]


def _piece_sizes(graph: GraphBuilder, node: Node, size: Dim) -> list[int]:
    if "split" in node.attrs:  # before opset 13
        return list(node.attrs["split"])
    if node.input(1) is not None:
        return graph.ints(node.input(1), node, "the piece sizes")
    count = node.attr("num_outputs", node.output_count)
    if not isinstance(size, int):
        raise node.fail(f"the axis to split has the symbolic size {size}; fix it with dims=")
    piece = -(-size // count)
    return [max(0, min(piece, size - i * piece)) for i in range(count)]


def expand(graph: GraphBuilder, node: Node) -> Result:
    """Broadcast to the common shape of the input and the target."""
    target = tuple(graph.dims(node.input(1), node, "the target shape"))
    data = graph.expr(node.input(0))
    try:
        out = broadcast(graph.shape_of(data, node), target)
    except UnprovenShapeError as error:
        data = graph.cast_equal(data, error)
        out = broadcast(graph.shape_of(data, node), target)
    return graph.call("broadcast_to", data, out)


def tile(graph: GraphBuilder, node: Node) -> Result:
    """Repeat a tensor along every axis."""
    repeats = graph.dims(node.input(1), node, "repeats")
    numbers = tuple(r for r in repeats if isinstance(r, int))
    if len(numbers) == len(repeats):
        return graph.call("tile", graph.expr(node.input(0)), repeats=numbers)
    return _tile_by_dims(graph, node, repeats)


def _tile_by_dims(graph: GraphBuilder, node: Node, repeats: list[Dim]) -> Result:
    """Repeat along axes as often as dims say: broadcast a new axis before each, merge the two."""
    x, dims = graph.expr(node.input(0)), graph.shape_of(node.input(0), node)
    if len(repeats) != len(dims):
        raise node.fail(f"repeats has {len(repeats)} numbers for {len(dims)} axes")
    pairs = list(zip(repeats, dims, strict=True))
    apart = tuple(d for _, size in pairs for d in (1, size))
    spread = tuple(d for pair in pairs for d in pair)
    merged = tuple(r * size for r, size in pairs)
    wide = graph.call("broadcast_to", graph.call("reshape", x, apart), spread)
    return graph.call("reshape", wide, merged)


def where(graph: GraphBuilder, node: Node) -> Result:
    """Choose between two tensors by a boolean one."""
    return graph.call("where", *(graph.expr(v) for v in node.inputs))


def range_(graph: GraphBuilder, node: Node) -> Result:
    """Numbers from start to limit; the bounds may be dims."""
    names = ("start", "limit", "delta")
    start, limit, step = (graph.scalar(v, node, w) for v, w in zip(node.inputs, names, strict=True))
    dtype = graph.type_of(node.input(0), node).dtype
    numbers = all(isinstance(v, (int, float)) for v in (start, limit, step))
    if numbers and (limit - start) / step <= _MAX_KNOWN:
        # ONNX: start + i * delta; NumPy's arange may round otherwise.
        count = max(0, math.ceil((limit - start) / step))
        places = np.arange(count).astype(numpy_dtype(dtype))
        return known(places * numpy_dtype(dtype).type(step) + numpy_dtype(dtype).type(start))
    return graph.call("arange", start=start, end=limit, step=step, dtype=dtype)


def eye_like(graph: GraphBuilder, node: Node) -> Result:
    """Ones on a diagonal, in the shape of a matrix."""
    from onnx import helper

    dtype = graph.type_of(node.input(0), node).dtype
    if "dtype" in node.attrs:
        dtype = dtype_name(helper.tensor_dtype_to_np_dtype(node.attrs["dtype"]))
    n, m = graph.shape_of(node.input(0), node)
    return graph.call("eye", n=n, m=m, k=node.attr("k", 0), dtype=dtype)


def trilu(graph: GraphBuilder, node: Node) -> Result:
    """The upper or lower triangle."""
    k = 0 if node.input(1) is None else int(graph.scalar(node.input(1), node, "k"))
    name = "triu" if node.attr("upper", 1) else "tril"
    return graph.call(name, graph.expr(node.input(0)), k=k)
