"""ONNX operators that move, create, compare and reduce tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._expr import AttrValue, Expr
from eqsat.ir.frontend._onnx_graph import GraphBuilder, Handler, Known, Node, Result, Value, known
from eqsat.shapes import (
    Dim,
    ShapeError,
    UnprovenShapeError,
    broadcast,
    dtype_name,
    is_float,
    normalize_axes,
    normalize_axis,
    numpy_dtype,
    product,
)

_END = 2**31 - 1
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

    def handler(graph: GraphBuilder, node: Node) -> Result:
        result = graph.expr(node.input(0))
        for value in node.inputs[1:]:
            result = graph.call(op_name, result, graph.expr(value))
        return result

    return handler


def power(graph: GraphBuilder, node: Node) -> Result:
    """x ** y in the dtype of x; y may have another one."""
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
    total = variadic("add")(graph, node)
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


def _dense(sparse: Any) -> NDArray[Any]:
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
        return known(_dense(node.attrs["sparse_value"]))
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
    if len(sizes) == len(dims) and product(sizes) <= _MAX_KNOWN:
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
    return _with_dtype(graph, graph.expr(node.input(0)), dtype, node)


def reshape(graph: GraphBuilder, node: Node) -> Result:
    """ONNX Reshape: 0 copies a dim, one -1 is what remains."""
    data, old = graph.expr(node.input(0)), graph.shape_of(node.input(0), node)
    target = graph.dims(node.input(1), node, "the target shape")
    if not node.attr("allowzero", 0):
        target = [old[i] if _is(d, 0) else d for i, d in enumerate(target)]
    return graph.call("reshape", data, resolve_rest(old, target, node))


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


def _axes(graph: GraphBuilder, node: Node) -> list[int] | None:
    """Return the axes, an attribute before opset 13 or 18 and an input since; None where absent."""
    if "axes" in node.attrs:
        return list(node.attrs["axes"])
    return None if node.input(1) is None else graph.ints(node.input(1), node, "axes")


def squeeze(graph: GraphBuilder, node: Node) -> Result:
    """Drop axes of size one."""
    axes = _axes(graph, node)
    chosen = None if axes is None else tuple(axes)
    return graph.call("squeeze", graph.expr(node.input(0)), axis=chosen)


def unsqueeze(graph: GraphBuilder, node: Node) -> Result:
    """Add axes of size one."""
    axes = _axes(graph, node) or []
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
    repeats = tuple(graph.ints(node.input(1), node, "repeats"))
    return graph.call("tile", graph.expr(node.input(0)), repeats=repeats)


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
    listed = _axes(graph, node)
    if listed:
        return tuple(listed)
    return () if node.attr("noop_with_empty_axes", 0) else None


def reduce_log_sum_exp(graph: GraphBuilder, node: Node) -> Result:
    """log Σ exp x, from the maximum so that exp does not overflow."""
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
    """x over its 1- or 2-norm along an axis; 0 where that is 0."""
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


def eye_like(graph: GraphBuilder, node: Node) -> Result:
    """Ones on a diagonal, in the shape of a matrix."""
    from onnx import helper

    dtype = graph.type_of(node.input(0), node).dtype
    if "dtype" in node.attrs:
        dtype = dtype_name(helper.tensor_dtype_to_np_dtype(node.attrs["dtype"]))
    n, m = graph.shape_of(node.input(0), node)
    return graph.call("eye", n=n, m=m, k=node.attr("k", 0), dtype=dtype)


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


def trilu(graph: GraphBuilder, node: Node) -> Result:
    """The upper or lower triangle."""
    k = 0 if node.input(1) is None else int(graph.scalar(node.input(1), node, "k"))
    name = "triu" if node.attr("upper", 1) else "tril"
    return graph.call(name, graph.expr(node.input(0)), k=k)


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
    return _with_dtype(graph, result, off_on.dtype, node)


def _wrapped_indices(graph: GraphBuilder, node: Node, size: Dim) -> Expr:
    """Return the first input as integers that are not negative."""
    value = node.input(0)
    if isinstance(value, Known) and not value.is_symbolic and isinstance(size, int):
        array = value.array.astype(np.int64)
        return graph.expr(known(np.where(array < 0, array + size, array)))
    indices = _with_dtype(graph, graph.expr(value), "int64", node)
    total = graph.expr(Known(np.asarray(size), "int64"))
    below = graph.call("less", indices, graph.expr(known(np.asarray(0, np.int64))))
    return graph.call("where", below, graph.call("add", indices, total), indices)


def _with_dtype(graph: GraphBuilder, value: Expr, dtype: str, node: Node) -> Expr:
    if graph.type_of(value, node).dtype == dtype:
        return value
    return graph.call("astype", value, dtype=dtype)
