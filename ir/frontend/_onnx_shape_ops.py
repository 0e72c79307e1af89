"""Tensors known at import: constants and shape arithmetic are evaluated here, over dims.

Exporters write shape computations as tensor programs (Shape, Gather, Concat, Mul, …). Where every
input is known, the operator is evaluated on the dims at once, so reshapes get their shape as an
expression. A size that passes through floats (for Resize) stays a dim while it is provably whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir.frontend._onnx_graph import GraphBuilder, Handler, Known, Node, Result, known
from eqsat.shapes import (
    Dim,
    Equal,
    Less,
    LessEqual,
    NonNegative,
    Proof,
    SymDim,
    dim_max,
    dim_min,
    dtype_name,
    is_float,
    numpy_dtype,
    product,
    prove,
)

_MAX_ELEMENTS = 4096  # evaluating more than this at import is the optimizer's constant folding

# Operands as they stand in the node, None where absent; the answer None means "not known".
Evaluate = Callable[[Node, list[Any]], Any]
_Element = Dim | bool | None
_Numbers = Callable[..., Any]


def evaluated(evaluate: Evaluate, emit: Handler, *, typed_by: int = 0) -> Handler:
    """Return a handler that evaluates where all inputs are small and known, and emits otherwise.

    `typed_by` is the input that has the result's dtype, where that is not bool.
    """

    def handler(graph: GraphBuilder, node: Node) -> Result:
        arrays = _small_arrays(node)
        result = None if arrays is None else _attempt(evaluate, node, arrays)
        if result is None:
            return emit(graph, node)
        return _known_like(result, node.input(typed_by))

    return handler


def _small_arrays(node: Node) -> list[Any] | None:
    arrays: list[Any] = []
    for value in node.inputs:
        if value is None:
            arrays.append(None)
        elif not isinstance(value, Known) or value.array.size > _MAX_ELEMENTS:
            return None
        else:
            arrays.append(value.array)
    return arrays


def _attempt(evaluate: Evaluate, node: Node, arrays: list[Any]) -> NDArray[Any] | None:
    with np.errstate(all="ignore"):
        result = evaluate(node, arrays)
    if result is None:
        return None
    array = np.asarray(result)
    return None if array.size > _MAX_ELEMENTS else array


def _known_like(array: NDArray[Any], like: Any) -> Known:
    """Return the result with the dtype of `like`; a result without symbols becomes numbers."""
    if array.dtype == np.bool_ or not isinstance(like, Known):
        return known(array)
    if array.dtype == object and any(isinstance(d, SymDim) for d in array.flat):
        return Known(array, like.dtype)
    return Known(array.astype(numpy_dtype(like.dtype)), like.dtype)


def shape(graph: GraphBuilder, node: Node) -> Result:
    """ONNX Shape: the dims themselves."""
    dims = graph.shape_of(node.input(0), node)
    selected = dims[slice(node.attr("start", 0), node.attr("end"))]
    return known(_dims_array(selected))


def size(graph: GraphBuilder, node: Node) -> Result:
    """ONNX Size: the number of elements."""
    return known(_dims_array([product(graph.shape_of(node.input(0), node))]).reshape(()))


def _dims_array(dims: Sequence[Dim]) -> NDArray[Any]:
    array = np.empty(len(dims), dtype=object)
    array[:] = list(dims)
    if all(isinstance(d, int) for d in dims):
        return array.astype(np.int64)
    return array


def elementwise(on_dims: Callable[..., _Element], on_numbers: _Numbers) -> Evaluate:
    """Return an evaluator: `on_numbers` for plain arrays, `on_dims` by element where one has dims.

    `on_dims` may answer None: not known.
    """

    def evaluate(node: Node, arrays: list[Any]) -> Any:
        shape_out = np.broadcast_shapes(*(a.shape for a in arrays))
        if math.prod(shape_out) > _MAX_ELEMENTS:
            return None
        if not any(a.dtype == object for a in arrays):
            return on_numbers(*arrays)
        spread = [np.broadcast_to(a, shape_out) for a in arrays]
        out = np.empty(shape_out, dtype=object)
        for index in np.ndindex(shape_out):
            operands = [_whole(a[index]) for a in spread]
            value = None if None in operands else on_dims(*operands)
            if value is None:
                return None
            out[index] = value
        if out.size and all(isinstance(v, bool) for v in out.flat):
            return out.astype(np.bool_)
        return out

    return evaluate


def _whole(value: Any) -> Any:
    """Return an element as a dim, int or bool; None for a number with a fraction."""
    plain: Any = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float):
        return int(plain) if plain.is_integer() else None
    return plain


def div(node: Node, arrays: list[Any]) -> Any:
    """Division: of integers towards zero, of floats exactly or not at all."""
    first = node.inputs[0]
    exact = isinstance(first, Known) and is_float(first.dtype)
    return elementwise(_divided if exact else _truncated, _numbers_divided)(node, arrays)


def _divided(a: Dim, b: Dim) -> Dim | None:
    if b == 0:
        return None
    return a // b if (a // b) * b == a else None


def _truncated(a: Dim, b: Dim) -> Dim | None:
    """Integer division as ONNX has it, towards zero; the sign of `a` may be unknown."""
    if isinstance(b, int) and b <= 0:
        return None if b == 0 else _truncated(-a, -b)
    exact = a // b
    if exact * b == a or prove(NonNegative(a)) is Proof.YES:
        return exact
    return dim_max(a, 0) // b - dim_max(-a, 0) // b


def _numbers_divided(a: NDArray[Any], b: NDArray[Any]) -> Any:
    if is_float(dtype_name(a.dtype)):
        return a / b
    if not np.all(b):
        return None
    whole = np.abs(a) // np.abs(b)
    return np.where((a < 0) != (b < 0), -whole, whole).astype(a.dtype)


def _decided(proof: Proof) -> bool | None:
    return None if proof is Proof.UNKNOWN else proof is Proof.YES


def _binary(on_dims: Callable[[Dim, Dim], _Element], on_numbers: _Numbers) -> Evaluate:
    return elementwise(on_dims, on_numbers)


def _unary(on_dims: Callable[[Dim], _Element], on_numbers: _Numbers) -> Evaluate:
    return elementwise(on_dims, on_numbers)


add = _binary(lambda a, b: a + b, np.add)
sub = _binary(lambda a, b: a - b, np.subtract)
mul = _binary(lambda a, b: a * b, np.multiply)
equal = _binary(lambda a, b: _decided(prove(Equal(a, b))), np.equal)
less = _binary(lambda a, b: _decided(prove(Less(a, b))), np.less)
less_equal = _binary(lambda a, b: _decided(prove(LessEqual(a, b))), np.less_equal)
greater = _binary(lambda a, b: _decided(prove(Less(b, a))), np.greater)
greater_equal = _binary(lambda a, b: _decided(prove(LessEqual(b, a))), np.greater_equal)
logical_not = _unary(lambda a: None, np.logical_not)
logical_and = _binary(lambda a, b: None, np.logical_and)
logical_or = _binary(lambda a, b: None, np.logical_or)
negative = _unary(lambda a: -a, np.negative)
absolute = _unary(lambda a: a if prove(NonNegative(a)) is Proof.YES else None, np.abs)
floor = _unary(lambda a: a, np.floor)
ceil = _unary(lambda a: a, np.ceil)
square_root = _unary(lambda a: None, np.sqrt)
_remainder = _binary(lambda a, b: a % b, np.mod)
_power = _binary(
    lambda a, b: product([a] * b) if isinstance(b, int) and 0 <= b < 4 else None, np.power
)


def mod(node: Node, arrays: list[Any]) -> Any:
    """The remainder; only the one with the divisor's sign."""
    if node.attr("fmod", 0) or (arrays[1].dtype != object and not np.all(arrays[1])):
        return None
    return _remainder(node, arrays)


def power(node: Node, arrays: list[Any]) -> Any:
    """Powers; of integers only with exponents that give integers."""
    base, exponent = arrays
    if base.dtype.kind in "iu" and exponent.dtype != object and np.any(exponent < 0):
        return None
    return _power(node, arrays)


def where(node: Node, arrays: list[Any]) -> Any:
    """Choose by a known condition."""
    choose: Callable[..., Any] = np.where
    return choose(arrays[0].astype(bool), arrays[1], arrays[2])


def maximum(node: Node, arrays: list[Any]) -> Any:
    """The greatest of all inputs, element by element."""
    return _folded(elementwise(dim_max, np.maximum), node, arrays)


def minimum(node: Node, arrays: list[Any]) -> Any:
    """The least of all inputs, element by element."""
    return _folded(elementwise(dim_min, np.minimum), node, arrays)


def _folded(f: Evaluate, node: Node, arrays: list[Any]) -> Any:
    result: Any = arrays[0]
    for a in arrays[1:]:
        result = None if result is None else f(node, [result, a])
    return result


def gather(node: Node, arrays: list[Any]) -> Any:
    """Pick elements by known indices."""
    data, indices = arrays
    if indices.dtype == object:
        return None
    return np.take(data, indices.astype(np.int64), axis=node.attr("axis", 0))


def concat(node: Node, arrays: list[Any]) -> Any:
    """Join known tensors."""
    return np.concatenate(arrays, axis=node.required("axis"))


def axes_of(node: Node, arrays: list[Any], index: int = 1) -> tuple[int, ...] | None:
    """Return the axes, an attribute before opset 13 and an input since; None where absent."""
    if "axes" in node.attrs:
        return tuple(node.attrs["axes"])
    if len(arrays) <= index or arrays[index] is None:
        return None
    return tuple(int(a) for a in arrays[index].reshape(-1))


def squeeze(node: Node, arrays: list[Any]) -> Any:
    """Drop axes of size one."""
    return np.squeeze(arrays[0], axis=axes_of(node, arrays))


def unsqueeze(node: Node, arrays: list[Any]) -> Any:
    """Add axes of size one."""
    return np.expand_dims(arrays[0], axes_of(node, arrays) or ())


def slice_(node: Node, arrays: list[Any]) -> Any:
    """Slice a known tensor by known bounds."""
    if any(a is not None and a.dtype == object for a in arrays[1:]):
        return None
    data = arrays[0]
    if "starts" in node.attrs:  # before opset 10
        starts, ends = list(node.attrs["starts"]), list(node.attrs["ends"])
        axes, steps = node.attrs.get("axes"), None
    else:
        starts, ends = arrays[1].tolist(), arrays[2].tolist()
        axes, steps = (a.tolist() if a is not None else None for a in (*arrays[3:], None, None)[:2])
    index = [slice(None)] * data.ndim
    whole = zip(axes or range(len(starts)), starts, ends, steps or [1] * len(starts), strict=True)
    for axis, begin, end, step in whole:
        stop = None if step < 0 and end < -data.shape[axis] else end
        index[axis] = slice(begin, stop, step)
    return data[tuple(index)]


def reshape(node: Node, arrays: list[Any]) -> Any:
    """Give a known tensor another shape."""
    data, target = arrays
    if target.dtype == object:
        return None
    copied = not node.attr("allowzero", 0)
    sizes = [data.shape[i] if d == 0 and copied else d for i, d in enumerate(target.tolist())]
    return data.reshape(sizes)


def expand(node: Node, arrays: list[Any]) -> Any:
    """Broadcast a known tensor to a known shape."""
    data, target = arrays
    if target.dtype == object:
        return None
    out = np.broadcast_shapes(data.shape, tuple(target.tolist()))
    return np.broadcast_to(data, out) if math.prod(out) <= _MAX_ELEMENTS else None


def transpose(node: Node, arrays: list[Any]) -> Any:
    """Permute the axes of a known tensor."""
    return np.transpose(arrays[0], node.attr("perm"))


def reduce_prod(node: Node, arrays: list[Any]) -> Any:
    """The product of a known vector of dims."""
    if arrays[0].ndim != 1 or arrays[0].dtype.kind not in "iO":
        return None
    value = _dims_array([product([_whole(d) for d in arrays[0]])])
    return value if node.attr("keepdims", 1) else value.reshape(())
