"""Joining tensors and taking them apart: concat, stack, split."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
from eqsat.ir._tir import PrimExpr, from_dim, select
from eqsat.ir._types import TensorType, TupleType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    axis_attr,
    gather_from,
    int_attr,
    ints,
    known_dims,
    require_equal,
    retyped,
    same_dtype,
    tensor,
    tensor_type,
    tensor_types,
    tensors,
)
from eqsat.shapes import (
    Dim,
    ceildiv,
    concat_size,
    normalize_axis,
)


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


def _choose_part(
    parts: Sequence[Tensor], axis: int, at: Sequence[PrimExpr], offset: Dim = 0
) -> PrimExpr:
    """Return the element at `at` of the concatenation of `parts` along `axis`."""
    first = parts[0]
    where = [*at[:axis], at[axis] - from_dim(offset), *at[axis + 1 :]]
    if len(parts) == 1:
        return first[where]
    end = offset + first.shape[axis]
    rest = _choose_part(parts[1:], axis, at, end)
    return select(at[axis] < from_dim(end), first[where], rest, lazy=True)


def _concat_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    parts = tensors(args[0])
    axis = _concat_axis(attrs, parts[0].ndim)
    kept = [t for t in parts if t.shape[axis] != 0] or parts[:1]
    return gather_from("concat", out, lambda *i: _choose_part(kept, axis, i))


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
        return TupleType((retyped(x, UnknownShape(x.ndim)),) * count)
    axis = axis_attr(attrs, len(dims))
    return TupleType(
        tuple(
            retyped(x, (*dims[:axis], length, *dims[axis + 1 :]))
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


JOIN: tuple[OpDef, ...] = (
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
)
