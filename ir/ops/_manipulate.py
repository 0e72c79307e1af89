"""Moving elements: reshape, permute, concat, split, repeat and their kin."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    Attr,
    ComputeArg,
    ComputeResult,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Sample,
)
from eqsat.ir._te import Tensor, compute
from eqsat.ir._tir import IntImm, PrimExpr, Select, binary, conjunction, from_dim, select
from eqsat.ir._types import TensorType, TupleType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    axis_attr,
    gather_from,
    int_attr,
    ints,
    known_dims,
    out_dims,
    reindex,
    require_equal,
    require_rank,
    same_dtype,
    shape_type,
    tensor,
    tensor_type,
    tensor_types,
    tensors,
)
from eqsat.ir.ops._index import slice_start
from eqsat.shapes import (
    Dim,
    Equal,
    Proof,
    Shape,
    broadcast,
    ceildiv,
    concat_size,
    expand_dims,
    normalize_axes,
    normalize_axis,
    permute,
    product,
    prove,
    reshape,
    slice_length,
    squeeze,
)

_SHAPE = Operand("shape", OperandKind.SHAPE)
_OPTIONAL_AXIS = Attr("axis", "int", None, optional=True)


def _retyped(x: TensorType, shape: Shape | UnknownShape) -> TensorType:
    return TensorType(shape, x.dtype, x.vdevice)


def _infer_broadcast_to(types: Sequence[Type], attrs: Attrs) -> Type:
    x, shape = tensor_type(types[0], "x"), shape_type(types[1])
    dims = known_dims(x)
    if isinstance(shape.dims, UnknownShape) or dims is None:
        return _retyped(x, shape.dims)
    if len(dims) > len(shape.dims):
        raise TypeCheckError(f"cannot broadcast {x} to {len(shape.dims)} axes")
    result = broadcast(dims, shape.dims)
    for wanted, got in zip(shape.dims, result, strict=True):
        require_equal(wanted, got, f"cannot broadcast {x} to {shape.dims}")
    return _retyped(x, shape.dims)


def _broadcast_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, shape = tensor(args[0]), out_dims(out)
    return gather_from("broadcast_to", out, lambda *i: x.at_broadcast(i, shape))


def _reindexed(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    """Return the elements of the first operand, in order, in the shape of `out`."""
    x, shape = tensor(args[0]), out_dims(out)
    return gather_from("reshape", out, lambda *i: x[reindex(i, shape, x.shape)])


def _infer_concat(types: Sequence[Type], attrs: Attrs) -> Type:
    parts = tensor_types(types[0], "tensors")
    if not parts:
        raise TypeCheckError("concat needs at least one tensor")
    dtype = same_dtype(*parts)
    ndim = max(t.ndim for t in parts)
    if any(t.ndim not in (-1, ndim) for t in parts):
        raise TypeCheckError(f"concat needs tensors of one rank, got {', '.join(map(str, parts))}")
    if any(known_dims(t) is None for t in parts):
        return TensorType(UnknownShape(ndim), dtype)
    axis = _concat_axis(attrs, ndim)
    for t in parts[1:]:
        for a in range(ndim):
            if a != axis:
                require_equal(parts[0].dims[a], t.dims[a], f"concat: axis {a} must be equal")
    total = concat_size([t.dims[axis] for t in parts])
    first = parts[0].dims
    return TensorType((*first[:axis], total, *first[axis + 1 :]), dtype, parts[0].vdevice)


def _concat_axis(attrs: Attrs, ndim: int) -> int:
    if attrs["axis"] is None and ndim == 1:
        return 0
    return axis_attr(attrs, ndim)


def choose_part(
    parts: Sequence[Tensor], axis: int, at: Sequence[PrimExpr], offset: Dim = 0
) -> PrimExpr:
    """Return the element at `at` of the concatenation of `parts` along `axis`."""
    first = parts[0]
    where = [*at[:axis], at[axis] - from_dim(offset), *at[axis + 1 :]]
    if len(parts) == 1:
        return first[where]
    end = offset + first.shape[axis]
    rest = choose_part(parts[1:], axis, at, end)
    return select(at[axis] < from_dim(end), first[where], rest, lazy=True)


def _concat_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    parts = tensors(args[0])
    axis = _concat_axis(attrs, parts[0].ndim)
    kept = [t for t in parts if t.shape[axis] != 0] or parts[:1]
    return gather_from("concat", out, lambda *i: choose_part(kept, axis, i))


def _stack_axis(attrs: Attrs, ndim: int) -> int:
    return normalize_axis(int_attr(attrs, "axis"), ndim + 1)


def _infer_stack(types: Sequence[Type], attrs: Attrs) -> Type:
    parts = tensor_types(types[0], "tensors")
    if not parts:
        raise TypeCheckError("stack needs at least one tensor")
    dtype, shapes = same_dtype(*parts), [known_dims(t) for t in parts]
    first = shapes[0]
    if first is None or any(s is None for s in shapes):
        ndim = parts[0].ndim
        return TensorType(UnknownShape(ndim + 1 if ndim >= 0 else -1), dtype)
    for t in parts[1:]:
        if t.ndim != len(first):
            raise TypeCheckError(f"stack needs tensors of one shape, got {parts[0]} and {t}")
        for a, (d, e) in enumerate(zip(first, t.dims, strict=True)):
            require_equal(d, e, f"stack: axis {a} must be equal")
    axis = _stack_axis(attrs, len(first))
    return TensorType((*first[:axis], len(parts), *first[axis:]), dtype, parts[0].vdevice)


def _stack_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    parts = tensors(args[0])
    axis = _stack_axis(attrs, parts[0].ndim)

    def body(*i: PrimExpr) -> PrimExpr:
        loads = [t[[*i[:axis], *i[axis + 1 :]]] for t in parts]
        result: PrimExpr = loads[-1]
        for k in range(len(loads) - 2, -1, -1):
            result = select(i[axis] < k + 1, loads[k], result, lazy=True)
        return result

    return gather_from("stack", out, body)


def _infer_expand_dims(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    axes = ints(attrs["axis"], name="axis")
    dims = known_dims(x)
    if dims is None:
        return _retyped(x, UnknownShape(x.ndim + len(axes) if x.ndim >= 0 else -1))
    return _retyped(x, expand_dims(dims, axes))


def _infer_flatten(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    dims = known_dims(x)
    return _retyped(x, UnknownShape(1) if dims is None else (product(dims),))


def _infer_batch_flatten(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    dims = known_dims(x)
    if dims is None:
        return _retyped(x, UnknownShape(2))
    if not dims:
        raise TypeCheckError("batch_flatten needs at least one axis, got a scalar")
    return _retyped(x, (dims[0], product(dims[1:])))


def _axes_order(attrs: Attrs, ndim: int) -> tuple[int, ...]:
    if attrs["axes"] is None:
        return tuple(reversed(range(ndim)))
    return normalize_axes(ints(attrs["axes"], name="axes"), ndim)


def _infer_permute(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    dims = known_dims(x)
    if dims is None:
        return _retyped(x, UnknownShape(x.ndim))
    return _retyped(x, permute(dims, _axes_order(attrs, len(dims))))


def _permute_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    order = _axes_order(attrs, x.ndim)
    return gather_from(
        "permute_dims", out, lambda *i: x[[i[order.index(a)] for a in range(x.ndim)]]
    )


def _infer_reshape(types: Sequence[Type], attrs: Attrs) -> Type:
    x, shape = tensor_type(types[0], "x"), shape_type(types[1])
    if isinstance(shape.dims, UnknownShape):
        return _retyped(x, shape.dims)
    dims = known_dims(x)
    if dims is not None:
        return _retyped(x, reshape(dims, shape.dims))
    return _retyped(x, UnknownShape(shape.ndim) if -1 in shape.dims else shape.dims)


def _split_bounds(attrs: Attrs, size: Dim) -> list[tuple[Dim, Dim]]:
    """Return (begin, length) of every part; equal sections round up and the last is shorter."""
    given = attrs["indices_or_sections"]
    if isinstance(given, int):
        if given < 1:
            raise TypeCheckError(f"split needs at least 1 section, got {given}")
        each = ceildiv(size, given)
        if isinstance(each, int) and isinstance(size, int) and each * (given - 1) > size:
            raise TypeCheckError(f"split: {size} elements make no {given} sections of {each}")
        last = size - each * (given - 1)
        return [(each * k, each if k < given - 1 else last) for k in range(given)]
    points = ints(given, name="indices_or_sections")
    if list(points) != sorted(points) or any(p < 0 for p in points):
        raise TypeCheckError(f"split needs increasing indices from 0, got {points}")
    clipped = [min(p, size) if isinstance(size, int) else p for p in points]
    edges: list[Dim] = [0, *clipped, size]
    return [(b, e - b) for b, e in pairwise(edges)]


def _infer_split(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    dims = known_dims(x)
    if dims is None:
        given = attrs["indices_or_sections"]
        count = given if isinstance(given, int) else len(ints(given)) + 1
        return TupleType((_retyped(x, UnknownShape(x.ndim)),) * count)
    axis = axis_attr(attrs, len(dims))
    return TupleType(
        tuple(
            _retyped(x, (*dims[:axis], length, *dims[axis + 1 :]))
            for _, length in _split_bounds(attrs, dims[axis])
        )
    )


def _split(x: Array, *, indices_or_sections: int | tuple[int, ...], axis: int) -> tuple[Array, ...]:
    size = x.shape[axis]
    if isinstance(indices_or_sections, int):
        each = -(-size // indices_or_sections)
        return tuple(np.split(x, [each * k for k in range(1, indices_or_sections)], axis))
    return tuple(np.split(x, [min(p, size) for p in indices_or_sections], axis))


def _split_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    axis = axis_attr(attrs, x.ndim)

    def part(begin: Dim, length: Dim) -> Tensor:
        shape = (*x.shape[:axis], length, *x.shape[axis + 1 :])
        return compute(
            "split",
            shape,
            lambda *i: x[[*i[:axis], i[axis] + from_dim(begin), *i[axis + 1 :]]],
        )

    return tuple(part(b, n) for b, n in _split_bounds(attrs, x.shape[axis]))


def _infer_squeeze(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    axes = None if attrs["axis"] is None else ints(attrs["axis"], name="axis")
    dims = known_dims(x)
    if dims is None:
        unknown = axes is None or x.ndim < 0
        return _retyped(x, UnknownShape(-1 if unknown else x.ndim - len(axes or ())))
    if axes is None:
        _require_decided(x, dims)
    return _retyped(x, squeeze(dims, axes))


def _require_decided(x: TensorType, dims: Shape) -> None:
    """Raise where a size may or may not be 1, so that the rank of a squeeze is not known."""
    for axis, d in enumerate(dims):
        if prove(Equal(d, 1)) is Proof.UNKNOWN:
            raise TypeCheckError(
                f"squeeze of {x}: axis {axis} may be 1 or not; name the axes to remove"
            )


def _squeeze(x: Array, *, axis: int | tuple[int, ...] | None) -> Array:
    return np.squeeze(x, axis)


def _infer_repeat(types: Sequence[Type], attrs: Attrs) -> Type:
    x, repeats = tensor_type(types[0], "data"), int_attr(attrs, "repeats")
    dims = known_dims(x)
    if dims is None:
        return _retyped(x, UnknownShape(1 if attrs["axis"] is None else x.ndim))
    if attrs["axis"] is None:
        return _retyped(x, (product(dims) * repeats,))
    axis = axis_attr(attrs, len(dims))
    return _retyped(x, (*dims[:axis], dims[axis] * repeats, *dims[axis + 1 :]))


def _repeat_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, repeats = tensor(args[0]), int_attr(attrs, "repeats")
    if attrs["axis"] is None:
        total = product(x.shape)
        return gather_from("repeat", out, lambda i: x[reindex([i // repeats], (total,), x.shape)])
    axis = axis_attr(attrs, x.ndim)
    return gather_from("repeat", out, lambda *i: x[[*i[:axis], i[axis] // repeats, *i[axis + 1 :]]])


def _tiled(attrs: Attrs, dims: Shape) -> tuple[tuple[int, ...], Shape]:
    """Return the repeats and the dims of the operand, both of the result's rank."""
    repeats = ints(attrs["repeats"], name="repeats")
    rank = max(len(repeats), len(dims))
    return (1,) * (rank - len(repeats)) + repeats, (1,) * (rank - len(dims)) + dims


def _infer_tile(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    dims = known_dims(x)
    if dims is None:
        count = len(ints(attrs["repeats"], name="repeats"))
        return _retyped(x, UnknownShape(max(count, x.ndim) if x.ndim >= 0 else -1))
    return _retyped(x, tuple(d * r for r, d in zip(*_tiled(attrs, dims), strict=True)))


def _tile_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    repeats, dims = _tiled(attrs, x.shape)

    def body(*i: PrimExpr) -> PrimExpr:
        at = [v if r == 1 else v % from_dim(d) for v, r, d in zip(i, repeats, dims, strict=True)]
        return x[at[len(at) - x.ndim :]]

    return gather_from("tile", out, body)


def _infer_flip(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    if x.ndim >= 0:
        axis_attr(attrs, x.ndim)
    return x


def _flip_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    axis = axis_attr(attrs, x.ndim)
    last = from_dim(x.shape[axis] - 1)
    return gather_from("flip", out, lambda *i: x[[*i[:axis], last - i[axis], *i[axis + 1 :]]])


def _infer_slice_scatter(types: Sequence[Type], attrs: Attrs) -> Type:
    x, src = tensor_type(types[0], "input_tensor"), tensor_type(types[1], "src")
    same_dtype(x, src)
    dims, given = known_dims(x), known_dims(src)
    if dims is not None:
        axis, _, count, _ = _scattered_slice(attrs, dims)
        require_rank(src, len(dims), "slice_scatter: src")
        wanted = (*dims[:axis], count, *dims[axis + 1 :])
        for d, n in zip(given or (), wanted, strict=False):
            require_equal(d, n, "slice_scatter: src must have the shape of the slice")
    return x


def _scattered_slice(attrs: Attrs, dims: Shape) -> tuple[int, Dim, Dim, int]:
    """Return (axis, first position, count, step) of what a slice_scatter replaces."""
    axis, step = axis_attr(attrs, len(dims)), int_attr(attrs, "step")
    if step < 1:
        raise TypeCheckError(f"slice_scatter: step must be positive, got {step}")
    begin, end = attrs["start"], attrs["end"]
    assert isinstance(begin, Dim)
    assert isinstance(end, Dim)
    count = slice_length(dims[axis], begin, end, step)
    return axis, slice_start(dims[axis], begin, step), count, step


def _slice_scatter_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, src = tensor(args[0]), tensor(args[1])
    axis, first, count, step = _scattered_slice(attrs, x.shape)

    def body(*i: PrimExpr) -> PrimExpr:
        offset = i[axis] - from_dim(first)
        inside = conjunction(
            offset >= 0, offset < from_dim(count * step), binary("==", offset % step, IntImm(0))
        )
        return Select(inside, src[[*i[:axis], offset // step, *i[axis + 1 :]]], x[i], lazy=True)

    return gather_from("slice_scatter", out, body)


def _infer_pixel_shuffle(types: Sequence[Type], attrs: Attrs) -> Type:
    x, r = tensor_type(types[0], "data"), int_attr(attrs, "upscale_factor")
    dims = known_dims(x)
    if dims is None:
        return _retyped(x, UnknownShape(x.ndim))
    if len(dims) < 3:
        raise TypeCheckError(f"pixel_shuffle needs at least 3 axes, got {x}")
    c, h, w = dims[-3:]
    require_equal(c % (r * r), 0, f"pixel_shuffle: the channels {c} modulo {r * r}")
    return _retyped(x, (*dims[:-3], c // (r * r), h * r, w * r))


def _pixel_shuffle(x: Array, *, upscale_factor: int) -> Array:
    *batch, c, h, w = x.shape
    r = upscale_factor
    parts = x.reshape(*batch, c // (r * r), r, r, h, w)
    n = len(batch)
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return parts.transpose(order).reshape(*batch, c // (r * r), h * r, w * r)


def _pixel_shuffle_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, r = tensor(args[0]), int_attr(attrs, "upscale_factor")

    def body(*i: PrimExpr) -> PrimExpr:
        *batch, c, h, w = i
        return x[[*batch, c * (r * r) + (h % r) * r + w % r, h // r, w // r]]

    return gather_from("pixel_shuffle", out, body)


def _infer_meshgrid(types: Sequence[Type], attrs: Attrs) -> Type:
    parts = tensor_types(types[0], "tensors")
    if any(t.ndim not in (-1, 0, 1) for t in parts):
        raise TypeCheckError("meshgrid needs tensors of one axis")
    shapes = [known_dims(t) for t in parts]
    if any(s is None for s in shapes):
        return TupleType(tuple(_retyped(t, UnknownShape(len(parts))) for t in parts))
    dims = [product(s) for s in cast("list[Shape]", shapes)]
    if attrs["indexing"] == "xy" and len(dims) > 1:
        dims[0], dims[1] = dims[1], dims[0]
    return TupleType(tuple(_retyped(t, tuple(dims)) for t in parts))


def _meshgrid_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    parts = tensors(args[0])
    assert isinstance(out, TupleType)
    order = list(range(len(parts)))
    if attrs["indexing"] == "xy" and len(parts) > 1:
        order[0], order[1] = 1, 0

    def grid(k: int) -> Tensor:
        field, axis = out.fields[k], order[k]
        return gather_from(
            "meshgrid", field, lambda *i: parts[k][(i[axis],) if parts[k].ndim else ()]
        )

    return tuple(grid(k) for k in range(len(parts)))


def _slice_scatter(x: Array, src: Array, *, start: int, end: int, step: int, axis: int) -> Array:
    result = x.copy()
    where = [slice(None)] * x.ndim
    where[axis] = slice(start, end, step)
    result[tuple(where)] = src
    return result


MANIPULATE: tuple[OpDef, ...] = (
    OpDef(
        "broadcast_to",
        (Operand("x"), _SHAPE),
        _infer_broadcast_to,
        np.broadcast_to,
        OpKind.VIEW,
        compute=_broadcast_compute,
        onnx=("Expand",),
        samples=lambda: [
            Sample(((1, 3), ("shape", (2, 3)))),
            Sample(((3,), ("shape", (4, 2, 3))), {}, ("int64",)),
            Sample(((), ("shape", (2,)))),
            Sample(((1, 3), ("shape", (0, 3)))),
            Sample(((1, 4), ("shape", ("n", 4)))),
            Sample((("n", 1), ("shape", (2, "n", 3)))),
        ],
    ),
    OpDef(
        "concat",
        (Operand("tensors", OperandKind.TENSORS),),
        _infer_concat,
        lambda tensors, *, axis: np.concatenate(tensors, axis or 0),
        OpKind.VIEW,
        attrs=(Attr("axis", "int", 0, optional=True),),
        compute=_concat_compute,
        onnx=("Concat",),
        samples=lambda: [
            Sample(([(2, 3), (4, 3)],)),
            Sample(([(2, 3), (2, 1), (2, 2)],), {"axis": -1}, ("int64",)),
            Sample(([(3,), (0,), (2,)],), {"axis": None}),
            Sample(([(2, 3)],), {"axis": 1}, ("float16",)),
            Sample(([("n", 3), (2, 3), ("m", 3)],), {"axis": 0}),
        ],
    ),
    OpDef(
        "expand_dims",
        (Operand("x"),),
        _infer_expand_dims,
        lambda x, *, axis: np.expand_dims(x, axis),
        OpKind.VIEW,
        attrs=(Attr("axis", "ints"),),
        compute=_reindexed,
        onnx=("Unsqueeze",),
        samples=lambda: [
            Sample(((2, 3),), {"axis": 1}),
            Sample(((2, 3),), {"axis": (0, -1)}),
            Sample(((),), {"axis": (0,)}),
            Sample((("n", 0),), {"axis": -2}),
        ],
    ),
    OpDef(
        "flatten",
        (Operand("x"),),
        _infer_flatten,
        lambda x: x.reshape(-1),
        OpKind.VIEW,
        compute=_reindexed,
        samples=lambda: [Sample(((2, 3),)), Sample(((),)), Sample((("n", 4, "m"),))],
    ),
    OpDef(
        "permute_dims",
        (Operand("x"),),
        _infer_permute,
        lambda x, *, axes: np.transpose(x, axes),
        OpKind.VIEW,
        attrs=(Attr("axes", "ints", None, optional=True),),
        compute=_permute_compute,
        onnx=("Transpose",),
        samples=lambda: [
            Sample(((2, 3, 4),)),
            Sample(((2, 3, 4),), {"axes": (1, -1, 0)}, ("int64",)),
            Sample(((),)),
            Sample(((3,),), {"axes": (0,)}),
            Sample((("n", 0, "m"),), {"axes": (2, 0, 1)}),
        ],
    ),
    OpDef(
        "reshape",
        (Operand("x"), _SHAPE),
        _infer_reshape,
        np.reshape,
        OpKind.VIEW,
        compute=_reindexed,
        onnx=("Reshape",),
        samples=lambda: [
            Sample(((2, 6), ("shape", (3, 4)))),
            Sample(((2, 6, 4), ("shape", (2, 3, 2, -1)))),
            Sample(((2, 3, 4), ("shape", (6, 1, 4))), {}, ("int64",)),
            Sample(((1, 1), ("shape", ()))),
            Sample(((6, 4, 5), ("shape", (2, 12, 5))), {}, ("float16",)),
            Sample(((4, 6), ("shape", (3, 8)))),
            Sample(((0, 3), ("shape", (3, 0, 2)))),
            Sample((("b", "n", 12), ("shape", ("b", "n", 3, 4)))),
            Sample((("b", "n", 3, 4), ("shape", ("b * n", 12)))),
            Sample((("n", 4), ("shape", (2, -1)))),
            Sample((("n", "m"), ("shape", ("m", "n")))),
        ],
    ),
    OpDef(
        "split",
        (Operand("x"),),
        _infer_split,
        _split,
        OpKind.VIEW,
        attrs=(Attr("indices_or_sections", "ints"), Attr("axis", "int", 0)),
        compute=_split_compute,
        onnx=("Split",),
        samples=lambda: [
            Sample(((6, 2),), {"indices_or_sections": 3}),
            Sample(((2, 7),), {"indices_or_sections": 3, "axis": -1}),
            Sample(((2, 7),), {"indices_or_sections": (2, 3), "axis": 1}, ("int64",)),
            Sample(((5,),), {"indices_or_sections": (0, 5)}),
            Sample((("n", 6),), {"indices_or_sections": 2, "axis": 1}),
            Sample((("3 * n", 2),), {"indices_or_sections": 3}),
        ],
    ),
    OpDef(
        "squeeze",
        (Operand("x"),),
        _infer_squeeze,
        _squeeze,
        OpKind.VIEW,
        attrs=(Attr("axis", "ints", None, optional=True),),
        compute=_reindexed,
        onnx=("Squeeze",),
        samples=lambda: [
            Sample(((1, 3, 1),)),
            Sample(((1, 3, 1),), {"axis": -1}),
            Sample(((1, 3, 1, 2),), {"axis": (0, 2)}, ("int64",)),
            Sample(((1,),)),
            Sample(((1, "n", 1),), {"axis": (0,)}),
        ],
    ),
    OpDef(
        "stack",
        (Operand("tensors", OperandKind.TENSORS),),
        _infer_stack,
        lambda tensors, *, axis: np.stack(tensors, axis),
        OpKind.VIEW,
        attrs=(Attr("axis", "int", 0),),
        compute=_stack_compute,
        samples=lambda: [
            Sample(([(2, 3), (2, 3)],)),
            Sample(([(2, 3), (2, 3), (2, 3)],), {"axis": -1}, ("int64",)),
            Sample(([(), ()],)),
            Sample(([("n", 3), ("n", 3)],), {"axis": 1}),
        ],
    ),
    OpDef(
        "repeat",
        (Operand("data"),),
        _infer_repeat,
        lambda x, *, repeats, axis: np.repeat(x, repeats, axis),
        OpKind.VIEW,
        attrs=(Attr("repeats", "int"), _OPTIONAL_AXIS),
        compute=_repeat_compute,
        samples=lambda: [
            Sample(((2, 3),), {"repeats": 2}),
            Sample(((2, 3),), {"repeats": 3, "axis": -1}, ("int64",)),
            Sample((("n", 3),), {"repeats": 2, "axis": 0}),
        ],
    ),
    OpDef(
        "tile",
        (Operand("data"),),
        _infer_tile,
        lambda x, *, repeats: np.tile(x, repeats),
        OpKind.VIEW,
        attrs=(Attr("repeats", "ints"),),
        compute=_tile_compute,
        onnx=("Tile",),
        samples=lambda: [
            Sample(((2, 3),), {"repeats": (2, 1)}),
            Sample(((3,),), {"repeats": (2, 1, 2)}, ("int64",)),
            Sample(((2, 3),), {"repeats": 2}),
            Sample((("n", 3),), {"repeats": (2, 2)}),
        ],
    ),
    OpDef(
        "flip",
        (Operand("data"),),
        _infer_flip,
        lambda x, *, axis: np.flip(x, axis),
        OpKind.VIEW,
        attrs=(Attr("axis", "int"),),
        compute=_flip_compute,
        samples=lambda: [
            Sample(((2, 3),), {"axis": 1}),
            Sample(((4,),), {"axis": -1}, ("int64",)),
            Sample((("n", 3),), {"axis": 0}),
        ],
    ),
    OpDef(
        "slice_scatter",
        (Operand("input_tensor"), Operand("src")),
        _infer_slice_scatter,
        _slice_scatter,
        OpKind.VIEW,
        attrs=(
            Attr("start", "dim"),
            Attr("end", "dim"),
            Attr("step", "dim", 1),
            Attr("axis", "int", 0),
        ),
        compute=_slice_scatter_compute,
        samples=lambda: [
            Sample(((6, 2), (2, 2)), {"start": 1, "end": 5, "step": 2}),
            Sample(((2, 7), (2, 3)), {"start": -5, "end": 7, "step": 2, "axis": -1}, ("int64",)),
            Sample(((4, 3), (0, 3)), {"start": 3, "end": 2}),
            Sample((("n + 3", 3), ("n", 3)), {"start": 2, "end": "n + 2"}),
        ],
    ),
    OpDef(
        "meshgrid",
        (Operand("tensors", OperandKind.TENSORS),),
        _infer_meshgrid,
        lambda tensors, *, indexing: tuple(np.meshgrid(*tensors, indexing=indexing)),
        OpKind.VIEW,
        attrs=(Attr("indexing", "str", "ij"),),
        compute=_meshgrid_compute,
        samples=lambda: [
            Sample(([(2,), (3,)],)),
            Sample(([(2,), (3,), (4,)],), {"indexing": "xy"}, ("int64",)),
            Sample(([("n",), (3,)],)),
        ],
    ),
    OpDef(
        "nn.batch_flatten",
        (Operand("data"),),
        _infer_batch_flatten,
        lambda x: x.reshape(x.shape[0], int(np.prod(x.shape[1:]))),
        OpKind.VIEW,
        compute=_reindexed,
        onnx=("Flatten",),
        samples=lambda: [Sample(((2, 3, 4),)), Sample(((3,),)), Sample((("n", 2, 2),))],
    ),
    OpDef(
        "nn.pixel_shuffle",
        (Operand("data"),),
        _infer_pixel_shuffle,
        _pixel_shuffle,
        OpKind.VIEW,
        attrs=(Attr("upscale_factor", "int"),),
        compute=_pixel_shuffle_compute,
        onnx=("DepthToSpace",),
        samples=lambda: [
            Sample(((1, 8, 2, 3),), {"upscale_factor": 2}),
            Sample((("n", 4, 2, "m"),), {"upscale_factor": 2}, ("int64",)),
        ],
    ),
)
