"""Losses: cross entropy and negative log likelihood."""

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
    OpKind,
    Sample,
)
from eqsat.ir._te import Tensor, compute
from eqsat.ir._tir import PrimExpr, Select, binary, const, from_dim
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    cast_to,
    clamp_index,
    down,
    int_attr,
    known_dims,
    reduce_over,
    require_elements_for,
    require_equal,
    require_float,
    require_int,
    same_dtype,
    str_attr,
    tensor,
    tensor_type,
    up,
    widen,
)
from eqsat.shapes import wide_dtype

_REDUCTIONS = ("mean", "sum", "none")


# cross entropy ----------------------------------------------------------------------------------


def _infer_cross_entropy(types: Sequence[Type], attrs: Attrs) -> Type:
    x, y = tensor_type(types[0], "predictions"), tensor_type(types[1], "labels")
    dtype = same_dtype(x, y)
    require_float(x, "predictions")
    if x.ndim >= 0 and y.ndim >= 0 and x.ndim != y.ndim:
        raise TypeCheckError(f"predictions and labels must have one rank, got {x} and {y}")
    a, b = known_dims(x), known_dims(y)
    if a is not None and b is not None:
        for d, e in zip(a, b, strict=True):
            require_equal(d, e, "cross_entropy_with_logits: the sizes of predictions and labels")
    return TensorType((), dtype, x.vdevice)


def _cross_entropy(x: Array, y: Array) -> Array:
    total = -np.sum(up(x) * up(y))
    return down(total / np.float32(x.shape[0]) if x.ndim > 1 else total, x)


def _cross_entropy_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, y = tensor(args[0]), tensor(args[1])
    axes = range(x.ndim)
    total = reduce_over(
        "cross_entropy", "sum", x, axes, element=lambda *i: widen(x[i]) * widen(y[i])
    )

    def body() -> PrimExpr:
        value = const(0, total.dtype) - total[()]
        if x.ndim > 1:
            value = value / cast_to(from_dim(x.shape[0]), total.dtype)
        return cast_to(value, x.dtype)

    return compute("cross_entropy_mean", (), body)


# negative log likelihood ------------------------------------------------------------------------


def _infer_nll(types: Sequence[Type], attrs: Attrs) -> Type:
    x, targets = tensor_type(types[0], "predictions"), tensor_type(types[1], "targets")
    weights = types[2] if isinstance(types[2], TensorType) else None
    require_float(x, "predictions")
    require_int(targets, "targets")
    reduction = str_attr(attrs, "reduction", *_REDUCTIONS)
    if x.ndim == 0:
        raise TypeCheckError(f"predictions must have an axis of classes, got {x}")
    if x.ndim > 0 and targets.ndim >= 0 and targets.ndim != x.ndim - 1:
        raise TypeCheckError(f"targets must have {x.ndim - 1} axes, got {targets}")
    dtype = same_dtype(x, weights) if weights is not None else x.dtype
    if weights is not None and weights.ndim not in (-1, 1):
        raise TypeCheckError(f"weights must have one axis, got {weights}")
    dims, of_targets = known_dims(x), known_dims(targets)
    if dims is not None:
        classes = dims[0] if len(dims) == 1 else dims[1]
        if weights is not None and (w := known_dims(weights)) is not None:
            require_equal(w[0], classes, "nll_loss: a weight for each class")
        if of_targets is not None:
            for d, t in zip(
                (*dims[:1], *dims[2:]) if len(dims) > 1 else (), of_targets, strict=True
            ):
                require_equal(d, t, "nll_loss: the sizes of predictions and targets")
            require_elements_for(of_targets, classes, "nll_loss: the axis of classes")
    if reduction != "none":
        return TensorType((), dtype, x.vdevice)
    if of_targets is not None:
        return TensorType(of_targets, dtype, x.vdevice)
    if dims is not None:
        return TensorType((*dims[:1], *dims[2:]) if len(dims) > 1 else (), dtype, x.vdevice)
    return TensorType(UnknownShape(x.ndim - 1 if x.ndim > 0 else targets.ndim), dtype, x.vdevice)


def _nll(
    x: Array, targets: Array, weights: Array | None, *, reduction: str, ignore_index: int
) -> Array:
    classes = x.shape[0] if x.ndim == 1 else x.shape[1]
    w = np.ones(classes, up(x).dtype) if weights is None else up(weights)
    targets = targets.astype(np.int64)  # holds `ignore_index`, unlike the dtype of few classes
    place = np.clip(targets, 0, max(classes - 1, 0))
    if x.ndim == 1:
        own = up(x)[place]
    else:
        own = np.take_along_axis(up(x), np.expand_dims(place, 1), axis=1)[:, 0]
    factor = np.where(targets == ignore_index, np.zeros((), w.dtype), w[place])
    loss = -own * factor
    if reduction == "none":
        return down(loss, x)
    total = loss.sum()
    return down(total / factor.sum() if reduction == "mean" else total, x)


def _nll_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, targets = tensor(args[0]), tensor(args[1])
    weights = None if args[2] is None else tensor(args[2])
    classes = x.shape[0] if x.ndim == 1 else x.shape[1]
    wide = wide_dtype(x.dtype)

    def factor(*i: PrimExpr) -> PrimExpr:
        target = cast_to(targets[i], "int64")
        ignored = binary("==", target, const(int_attr(attrs, "ignore_index"), "int64"))
        own: PrimExpr = const(1, wide)
        if weights is not None:
            own = widen(weights[clamp_index(target, classes)])
        return Select(ignored, const(0, wide), own)

    def loss(*i: PrimExpr) -> PrimExpr:
        place = clamp_index(targets[i], classes)
        own = x[place] if x.ndim == 1 else x[[i[0], place, *i[1:]]]
        return const(0, wide) - widen(own) * factor(*i)

    if attrs["reduction"] == "none":
        return compute("nll_loss", targets.shape, lambda *i: cast_to(loss(*i), x.dtype))
    axes = range(targets.ndim)
    total = _summed("nll_sum", targets, axes, loss)
    if attrs["reduction"] == "sum":
        return compute("nll_loss", (), lambda: cast_to(total[()], x.dtype))
    share = _summed("nll_weight", targets, axes, factor)
    return compute("nll_loss", (), lambda: cast_to(total[()] / share[()], x.dtype))


def _summed(name: str, t: Tensor, axes: Sequence[int], element: object) -> Tensor:
    return reduce_over(name, "sum", t, axes, element=element)  # type: ignore[arg-type]


LOSS: tuple[OpDef, ...] = (
    OpDef(
        "nn.cross_entropy_with_logits",
        (Operand("predictions"), Operand("labels")),
        _infer_cross_entropy,
        _cross_entropy,
        OpKind.OPAQUE,
        compute=_cross_entropy_compute,
        numerics=Numerics.REASSOCIATING,
        samples=lambda: [Sample((s, s)) for s in ((3, 4), (5,), (2, 3, 4), ("n", 4))],
    ),
    OpDef(
        "nn.nll_loss",
        (Operand("predictions"), Operand("targets"), Operand("weights", optional=True)),
        _infer_nll,
        _nll,
        OpKind.OPAQUE,
        attrs=(Attr("reduction", "str", "mean"), Attr("ignore_index", "int", -100)),
        compute=_nll_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("NegativeLogLikelihoodLoss",),
        samples=lambda: [
            Sample(
                shapes,
                {"reduction": r, "ignore_index": ignore},
                ("float32", "int64", "float32"),
                ranges={1: (0, 3), 2: (0.5, 1.5)},
            )
            for shapes in (
                ((2, 3), (2,), (3,)),
                ((2, 3, 5), (2, 5), None),
                ((3,), (), (3,)),
                (("n", 3, 4), ("n", 4), (3,)),
            )
            for r, ignore in (("mean", -100), ("sum", 1), ("none", 1))
        ],
    ),
)
