"""Sums that undo a broadcast, the number of elements, sequences turned around."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    Attr,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Sample,
)
from eqsat.ir._te import compute
from eqsat.ir._tir import IntImm, PrimExpr, Select, from_dim
from eqsat.ir._types import UNKNOWN_DTYPE, ShapeType, TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    cast_to,
    down,
    gather_from,
    known_dims,
    narrow,
    out_dims,
    reduce_over,
    require_equal,
    require_rank,
    tensor,
    tensor_type,
    up,
)
from eqsat.shapes import Equal, Proof, Shape, normalize_axis, product, prove

# collapse_sum -----------------------------------------------------------------------------------


def _collapsed(x: TensorType, target: Shape | UnknownShape) -> Type:
    dims = known_dims(x)
    if dims is None or isinstance(target, UnknownShape):
        return TensorType(target, x.dtype, x.vdevice)
    if len(target) > len(dims):
        raise TypeCheckError(f"{x} cannot be collapsed to the longer shape {target}")
    for d, n in zip(reversed(target), reversed(dims), strict=False):
        if d != 1:
            require_equal(d, n, "collapse_sum: a size that is kept")
    return TensorType(target, x.dtype, x.vdevice)


def _infer_collapse_to(types: Sequence[Type], attrs: Attrs) -> Type:
    if not isinstance(types[1], ShapeType):
        raise TypeCheckError(f"shape must be a shape, got {types[1]}")
    return _collapsed(tensor_type(types[0], "data"), types[1].dims)


def _infer_collapse_like(types: Sequence[Type], attrs: Attrs) -> Type:
    x, target = tensor_type(types[0], "data"), tensor_type(types[1], "collapse_target")
    return _collapsed(x, target.shape)


def _collapse(x: Array, shape: tuple[int, ...]) -> Array:
    wide = up(x)
    wide = wide.sum(axis=tuple(range(x.ndim - len(shape))))
    ones = tuple(k for k, d in enumerate(shape) if d == 1)
    return down(wide.sum(axis=ones, keepdims=True).reshape(shape), x)


def _collapse_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, shape = tensor(args[0]), out_dims(out)
    skip = x.ndim - len(shape)
    kept = [prove(Equal(d, 1)) is Proof.YES for d in shape]
    axes = [a for a in range(x.ndim) if a < skip or kept[a - skip]]
    if not axes:
        return gather_from("collapse_sum", out, lambda *i: x[i])
    total = reduce_over("collapse_sum", "sum", x, axes)

    def body(*i: PrimExpr) -> PrimExpr:
        return total[[v for k, v in enumerate(i) if not kept[k]]]

    return narrow(compute("collapsed", shape, body), x.dtype)


# size -------------------------------------------------------------------------------------------


def _infer_size(types: Sequence[Type], attrs: Attrs) -> Type:
    tensor_type(types[0], "x")
    return TensorType((), "int64")


def _size_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    count = from_dim(product(tensor(args[0]).shape))
    return compute("size", (), lambda: count)


# reverse_sequence -------------------------------------------------------------------------------


def _infer_reverse(types: Sequence[Type], attrs: Attrs) -> Type:
    x, lengths = tensor_type(types[0], "data"), tensor_type(types[1], "seq_lengths")
    require_rank(lengths, 1, "seq_lengths")
    if lengths.dtype not in (UNKNOWN_DTYPE, "int32", "int64"):
        raise TypeCheckError(f"seq_lengths must be int32 or int64, got {lengths}")
    if x.ndim < 0:
        return x
    _axes(attrs, x.ndim)
    dims, count = known_dims(x), known_dims(lengths)
    if dims is not None and count is not None:
        _, batch = _axes(attrs, x.ndim)
        require_equal(count[0], dims[batch], "reverse_sequence: a length for each batch")
    return x


def _axes(attrs: Attrs, ndim: int) -> tuple[int, int]:
    values = [attrs[name] for name in ("seq_axis", "batch_axis")]
    sequence, batch = (normalize_axis(v, ndim) for v in values if isinstance(v, int))
    return sequence, batch


def _reverse(x: Array, lengths: Array, *, seq_axis: int, batch_axis: int) -> Array:
    sequence, batch = normalize_axis(seq_axis, x.ndim), normalize_axis(batch_axis, x.ndim)
    where: list[Array] = list(np.indices(x.shape, sparse=True))
    n = lengths.astype(np.int64)[where[batch]]
    k = where[sequence]
    where[sequence] = np.clip(np.where(k < n, n - 1 - k, k), 0, max(0, x.shape[sequence] - 1))
    return x[tuple(where)]


def _reverse_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, lengths = tensor(args[0]), tensor(args[1])
    sequence, batch = _axes(attrs, x.ndim)

    def body(*i: PrimExpr) -> PrimExpr:
        n, k = cast_to(lengths[i[batch]], "int64"), i[sequence]
        turned = Select(k < n, n - 1 - k, k)
        # Longer than the axis, where the length promises more than there is.
        last = from_dim(x.shape[sequence]) - 1
        inside = Select(turned > last, last, Select(turned < 0, IntImm(0), turned))
        return x[[inside if a == sequence else v for a, v in enumerate(i)]]

    return gather_from("reverse_sequence", out, body)


COLLAPSE: tuple[OpDef, ...] = (
    OpDef(
        "collapse_sum_to",
        (Operand("data"), Operand("shape", OperandKind.SHAPE)),
        _infer_collapse_to,
        _collapse,
        OpKind.OPAQUE,
        compute=_collapse_compute,
        numerics=Numerics.REASSOCIATING,
        samples=lambda: [
            Sample(((2, 3, 4), ("shape", (3, 1)))),
            Sample(((2, 3), ("shape", (2, 3)))),
            Sample(((2, 3), ("shape", ())), {}, ("int32",)),
            Sample((("n", 3, "m"), ("shape", (1, "m")))),
            Sample(((0, 3), ("shape", (1, 3)))),
            Sample(((4, 5), ("shape", (1,))), {}, ("float16",), 0.0, 1.0),
        ],
    ),
    OpDef(
        "collapse_sum_like",
        (Operand("data"), Operand("collapse_target")),
        _infer_collapse_like,
        lambda data, collapse_target: _collapse(data, np.shape(collapse_target)),
        OpKind.OPAQUE,
        compute=_collapse_compute,
        numerics=Numerics.REASSOCIATING,
        samples=lambda: [
            Sample(((2, 3, 4), (3, 1))),
            Sample((("n", 3, "m"), (1, "m"))),
            Sample(((5,), (5,))),
        ],
    ),
    OpDef(
        "size",
        (Operand("x"),),
        _infer_size,
        lambda x: np.asarray(np.size(x), np.int64),
        OpKind.CREATE,
        compute=_size_compute,
        onnx=("Size",),
        samples=lambda: [
            Sample(((2, 3),)),
            Sample(((),)),
            Sample(((0, 4),), {}, ("int8",)),
            Sample((("n", 3, "m"),)),
        ],
    ),
    OpDef(
        "reverse_sequence",
        (Operand("data"), Operand("seq_lengths")),
        _infer_reverse,
        _reverse,
        OpKind.GATHER,
        attrs=(Attr("seq_axis", "int", 1), Attr("batch_axis", "int", 0)),
        compute=_reverse_compute,
        onnx=("ReverseSequence",),
        samples=lambda: [
            Sample(((2, 5), (2,)), {}, ("float32", "int64"), ranges={1: (0, 6)}),
            Sample(
                ((5, 2, 3), (2,)),
                {"seq_axis": 0, "batch_axis": 1},
                ("float32", "int32"),
                ranges={1: (0, 6)},
            ),
            Sample(
                (("n", 3, "m"), ("n",)),
                {"seq_axis": -1},
                ("int64", "int64"),
                -5,
                5,
                ranges={1: (0, 2)},
            ),
        ],
    ),
)
