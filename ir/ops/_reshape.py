"""The same elements in another shape or order: reshape, permute, broadcast and their kin."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from eqsat.ir._distribute import known_shape
from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    UNCERTAIN,
    Attr,
    AxisMap,
    ComputeArg,
    ComputeResult,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Sample,
)
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    gather_from,
    ints,
    known_dims,
    out_dims,
    reindex,
    require_equal,
    retyped,
    shape_type,
    tensor,
    tensor_type,
)
from eqsat.shapes import (
    Equal,
    Proof,
    broadcast,
    expand_dims,
    normalize_axes,
    permute,
    product,
    prove,
    reshape,
    squeeze,
)

_SHAPE = Operand("shape", OperandKind.SHAPE)


def _infer_broadcast_to(types: Sequence[Type], attrs: Attrs) -> Type:
    x, shape = tensor_type(types[0], "x"), shape_type(types[1])
    dims = known_dims(x)
    if isinstance(shape.dims, UnknownShape) or dims is None:
        return retyped(x, shape.dims)
    if len(dims) > len(shape.dims):
        raise TypeCheckError(f"cannot broadcast {x} to {len(shape.dims)} axes")
    result = broadcast(dims, shape.dims)
    for wanted, got in zip(shape.dims, result, strict=True):
        require_equal(wanted, got, f"cannot broadcast {x} to {shape.dims}")
    return retyped(x, shape.dims)


def _broadcast_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, shape = tensor(args[0]), out_dims(out)
    return gather_from("broadcast_to", out, lambda *i: x.at_broadcast(i, shape))


def _reindexed(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    """Return the elements of the first operand, in order, in the shape of `out`."""
    x, shape = tensor(args[0]), out_dims(out)
    return gather_from("reshape", out, lambda *i: x[reindex(i, shape, x.shape)])


def _infer_expand_dims(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    axes = ints(attrs["axis"], name="axis")
    dims = known_dims(x)
    if dims is None:
        return retyped(x, UnknownShape(x.ndim + len(axes) if x.ndim >= 0 else -1))
    return retyped(x, expand_dims(dims, axes))


def _infer_flatten(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    dims = () if x.ndim == 0 else known_dims(x)
    return retyped(x, UnknownShape(1) if dims is None else (product(dims),))


def _infer_batch_flatten(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    if x.ndim in (0, 1):
        raise TypeCheckError(f"batch_flatten needs at least two axes, got {x}")
    dims = known_dims(x)
    if dims is None:
        return retyped(x, UnknownShape(2))
    return retyped(x, (dims[0], product(dims[1:])))


def _axes_order(attrs: Attrs, ndim: int) -> tuple[int, ...]:
    if attrs["axes"] is None:
        return tuple(reversed(range(ndim)))
    return normalize_axes(ints(attrs["axes"], name="axes"), ndim)


def _infer_permute(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    dims = known_dims(x)
    if x.ndim < 0:
        return x
    order = _axes_order(attrs, x.ndim)
    if sorted(order) != list(range(x.ndim)):
        raise TypeCheckError(f"axes must name each of the {x.ndim} axes of {x} once, got {order}")
    return x if dims is None else retyped(x, permute(dims, order))


def _permuted_axes(
    types: Sequence[TensorType], attrs: Attrs, result: TensorType
) -> Sequence[AxisMap]:
    order = _axes_order(attrs, len(known_shape(types[0])))
    return [tuple(order.index(a) for a in range(len(order)))]


def _permute_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    order = _axes_order(attrs, x.ndim)
    return gather_from(
        "permute_dims", out, lambda *i: x[[i[order.index(a)] for a in range(x.ndim)]]
    )


def _infer_reshape(types: Sequence[Type], attrs: Attrs) -> Type:
    x, shape = tensor_type(types[0], "x"), shape_type(types[1])
    if isinstance(shape.dims, UnknownShape):
        return retyped(x, shape.dims)
    dims = known_dims(x)
    if dims is not None:
        return retyped(x, reshape(dims, shape.dims))
    return retyped(x, UnknownShape(shape.ndim) if -1 in shape.dims else shape.dims)


def _reshaped_axes(
    types: Sequence[TensorType], attrs: Attrs, result: TensorType
) -> Sequence[AxisMap]:
    """Return the axes that stay, or lead a group of axes that becomes one or comes from one."""
    old, new = known_shape(types[0]), known_shape(result)
    axes = [UNCERTAIN] * len(old)
    i, j, inner, new_inner = len(old), len(new), 1, 1  # the sizes of the axes from i and from j on
    while i and j:
        if inner == new_inner:
            if i < len(old):
                axes[i] = j
            i, j = i - 1, j - 1
            inner, new_inner = inner * old[i], new_inner * new[j]
        elif not isinstance(inner, int) or not isinstance(new_inner, int):
            break
        elif inner < new_inner:
            i, inner = i - 1, inner * old[i - 1]
        else:
            j, new_inner = j - 1, new_inner * new[j - 1]
    return [tuple(axes)]


def _infer_squeeze(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    axes = None if attrs["axis"] is None else ints(attrs["axis"], name="axis")
    dims = known_dims(x)
    if axes is not None and x.ndim >= 0:
        normalize_axes(axes, x.ndim)
    if dims is None:
        unknown = axes is None or x.ndim < 0
        return retyped(x, UnknownShape(-1 if unknown else x.ndim - len(axes or ())))
    if axes is None and any(prove(Equal(d, 1)) is Proof.UNKNOWN for d in dims):
        return retyped(x, UnknownShape())  # a size may be 1 or not, so the rank is not known
    return retyped(x, squeeze(dims, axes))


def _squeeze(x: Array, *, axis: int | tuple[int, ...] | None) -> Array:
    return np.squeeze(x, axis)


RESHAPE: tuple[OpDef, ...] = (
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
        result_axes=_permuted_axes,
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
        lambda x, shape: np.reshape(x, cast("tuple[int, ...]", reshape(x.shape, shape))),
        OpKind.VIEW,
        result_axes=_reshaped_axes,
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
            Sample(((2, 6, 4), ("shape", (0, 2, 3, -1)))),
            Sample((("b", "n", 12), ("shape", ("b", "n", 3, 4)))),
            Sample((("b", "n", 3, 4), ("shape", ("b * n", 12)))),
            Sample((("n", 4), ("shape", (2, -1)))),
            Sample((("n", "m"), ("shape", ("m", "n")))),
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
        "nn.batch_flatten",
        (Operand("data"),),
        _infer_batch_flatten,
        lambda x: x.reshape(x.shape[0], int(np.prod(x.shape[1:]))),
        OpKind.VIEW,
        compute=_reindexed,
        onnx=("Flatten",),
        samples=lambda: [Sample(((2, 3, 4),)), Sample(((3, 0),)), Sample((("n", 2, 2),))],
    ),
)
