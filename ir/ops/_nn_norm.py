"""Normalisations."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eqsat.ir._expr import Attrs, AttrValue
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
from eqsat.ir._te import Reduce, Tensor, compute, reduce, reduce_axis
from eqsat.ir._tir import PrimExpr, from_dim
from eqsat.ir._types import TensorType, TupleType, Type, TypeCheckError
from eqsat.ir.ops._common import (
    Array,
    axis_attr,
    bool_attr,
    call,
    cast_to,
    down,
    float_attr,
    int_attr,
    ints,
    known_dims,
    reduce_over,
    require_equal,
    require_float,
    require_rank,
    same_dtype,
    tensor,
    tensor_type,
    up,
    widen,
)
from eqsat.ir.ops._statistical import count_of, mean_over, variance_over
from eqsat.shapes import normalize_axes, normalize_axis, product

_AFFINE = (Attr("center", "bool", default=True), Attr("scale", "bool", default=True))
_EPSILON = Attr("epsilon", "float", 1e-5)
_NORM_OPERANDS = (Operand("data"), Operand("gamma"), Operand("beta"))


def _axes(attrs: Attrs, ndim: int, name: str = "axes") -> tuple[int, ...]:
    """Return the axes attribute counted from the front, in the given order."""
    return normalize_axes(ints(attrs[name], name=name), ndim)


def _affine(
    value: PrimExpr, gamma: Tensor, beta: Tensor, at: Sequence[PrimExpr], attrs: Attrs
) -> PrimExpr:
    if bool_attr(attrs, "scale"):
        value = value * widen(gamma[at])
    return value + widen(beta[at]) if bool_attr(attrs, "center") else value


def _affine_array(value: Array, gamma: Array, beta: Array, attrs: Attrs) -> Array:
    value = value * up(gamma) if bool_attr(attrs, "scale") else value
    return value + up(beta) if bool_attr(attrs, "center") else value


def _deviation(name: str, variance: Tensor, epsilon: float) -> Tensor:
    """Return the root of `variance`, once for all elements that share it."""
    return compute(name, variance.shape, lambda *i: call("sqrt", variance[i] + epsilon))


# Batch norm -------------------------------------------------------------------------------------


def _infer_batch_norm(types: Sequence[Type], attrs: Attrs) -> Type:
    names = ("data", "gamma", "beta", "moving_mean", "moving_var")
    x, *rest = (tensor_type(t, n) for t, n in zip(types, names, strict=True))
    same_dtype(x, *rest)
    require_float(x, "data")
    dims = known_dims(x)
    for ty, name in zip(rest, names[1:], strict=True):
        require_rank(ty, 1, name)
        channels = known_dims(ty)
        if dims is not None and channels is not None:
            axis = axis_attr(attrs, len(dims))
            require_equal(channels[0], dims[axis], f"batch_norm: {name} and axis {axis} of data")
    return TupleType((x, rest[2], rest[3]))


def _batch_norm(
    x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_var: Array, **attrs: AttrValue
) -> tuple[Array, Array, Array]:
    axis = axis_attr(attrs, x.ndim)
    shape = tuple(-1 if a == axis else 1 for a in range(x.ndim))
    wide, mean, variance = up(x), up(moving_mean), up(moving_var)
    if attrs["training"]:
        others = tuple(a for a in range(x.ndim) if a != axis)
        mean, variance = wide.mean(others), wide.var(others)
    value = (wide - mean.reshape(shape)) / np.sqrt(
        variance.reshape(shape) + float_attr(attrs, "epsilon")
    )
    value = _affine_array(value, gamma.reshape(shape), beta.reshape(shape), attrs)
    if not attrs["training"]:
        return down(value, x), moving_mean, moving_var
    m = float_attr(attrs, "momentum")
    new_mean = (1 - m) * up(moving_mean) + m * mean
    new_var = (1 - m) * up(moving_var) + m * variance
    return down(value, x), down(new_mean, moving_mean), down(new_var, moving_var)


def _batch_norm_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, gamma, beta, moving_mean, moving_var = (tensor(a) for a in args)
    axis, epsilon = axis_attr(attrs, x.ndim), float_attr(attrs, "epsilon")
    if bool_attr(attrs, "training"):
        return _batch_norm_training(x, gamma, beta, moving_mean, moving_var, attrs)

    def body(*i: PrimExpr) -> PrimExpr:
        c = i[axis]
        value = widen(x[i]) - widen(moving_mean[c])
        value = value / call("sqrt", widen(moving_var[c]) + epsilon)
        return cast_to(_affine(value, gamma, beta, (c,), attrs), x.dtype)

    return (
        compute("batch_norm", x.shape, body),
        compute("moving_mean", moving_mean.shape, lambda c: moving_mean[c]),
        compute("moving_var", moving_var.shape, lambda c: moving_var[c]),
    )


def _batch_norm_training(
    x: Tensor, gamma: Tensor, beta: Tensor, moving_mean: Tensor, moving_var: Tensor, attrs: Attrs
) -> ComputeResult:
    axis, epsilon = axis_attr(attrs, x.ndim), float_attr(attrs, "epsilon")
    others = [a for a in range(x.ndim) if a != axis]
    mean = mean_over("batch_mean", x, others)
    variance = variance_over("batch_var", x, mean, others)
    deviation = _deviation("batch_dev", variance, epsilon)
    momentum = float_attr(attrs, "momentum")

    def body(*i: PrimExpr) -> PrimExpr:
        value = widen(x[i]) - mean.at_broadcast(i, x.shape)
        value = value / deviation.at_broadcast(i, x.shape)
        return cast_to(_affine(value, gamma, beta, (i[axis],), attrs), x.dtype)

    def moved(name: str, old: Tensor, new: Tensor) -> Tensor:
        def blend(c: PrimExpr) -> PrimExpr:
            at: list[PrimExpr] = [from_dim(0)] * x.ndim
            at[axis] = c
            return cast_to(widen(old[c]) * (1 - momentum) + new[at] * momentum, old.dtype)

        return compute(name, old.shape, blend)

    return (
        compute("batch_norm", x.shape, body),
        moved("moving_mean", moving_mean, mean),
        moved("moving_var", moving_var, variance),
    )


# Layer, group, instance and rms norm ------------------------------------------------------------


def _infer_layer_norm(types: Sequence[Type], attrs: Attrs) -> Type:
    x, gamma, beta = (tensor_type(t) for t in types)
    _check_row_norm(x, (gamma, beta), attrs)
    return x


def _check_row_norm(x: TensorType, weights: Sequence[TensorType], attrs: Attrs) -> None:
    same_dtype(x, *weights)
    require_float(x, "data")
    dims = known_dims(x)
    if dims is None:
        return
    axes = _axes(attrs, len(dims))
    for w in weights:
        require_rank(w, len(axes), f"gamma, beta or weight over {len(axes)} axes")
        for d, a in zip(known_dims(w) or (), axes, strict=False):
            require_equal(d, dims[a], f"gamma, beta or weight, and axis {a} of data {x}")


def _weights_shape(x: Array, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(x.shape[a] if a in axes else 1 for a in range(x.ndim))


def _spread(weight: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """Return `weight`, whose axes are `axes` of `x` in that order, ready to broadcast with `x`."""
    return weight.transpose(np.argsort(axes)).reshape(_weights_shape(x, axes))


def _layer_norm(x: Array, gamma: Array, beta: Array, **attrs: AttrValue) -> Array:
    axes = _axes(attrs, x.ndim)
    wide = up(x)
    mean = wide.mean(axes, keepdims=True)
    value = (wide - mean) / np.sqrt(wide.var(axes, keepdims=True) + float_attr(attrs, "epsilon"))
    gamma, beta = _spread(gamma, x, axes), _spread(beta, x, axes)
    return down(_affine_array(value, gamma, beta, attrs), x)


def _layer_norm_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, gamma, beta = (tensor(a) for a in args)
    axes, epsilon = _axes(attrs, x.ndim), float_attr(attrs, "epsilon")
    mean = mean_over("layer_norm_mean", x, sorted(axes))
    variance = variance_over("layer_norm_var", x, mean, sorted(axes))
    deviation = _deviation("layer_norm_dev", variance, epsilon)

    def body(*i: PrimExpr) -> PrimExpr:
        value = widen(x[i]) - mean.at_broadcast(i, x.shape)
        value = value / deviation.at_broadcast(i, x.shape)
        return cast_to(_affine(value, gamma, beta, [i[a] for a in axes], attrs), x.dtype)

    return compute("layer_norm", x.shape, body)


def _infer_channel_norm(types: Sequence[Type], attrs: Attrs) -> Type:
    x, gamma, beta = (tensor_type(t) for t in types)
    same_dtype(x, gamma, beta)
    require_float(x, "data")
    dims = known_dims(x)
    if dims is None:
        return x
    channel = normalize_axis(int_attr(attrs, "channel_axis"), len(dims))
    if channel in _axes(attrs, len(dims)):
        raise TypeCheckError(f"axes {attrs['axes']} must not hold the channel axis {channel}")
    for w in (gamma, beta):
        require_rank(w, 1, "gamma and beta")
        if (size := known_dims(w)) is not None:
            require_equal(size[0], dims[channel], f"gamma or beta, and axis {channel} of data {x}")
    groups = attrs.get("num_groups", 1)
    assert isinstance(groups, int)
    require_equal(dims[channel] % groups, 0, f"the {dims[channel]} channels modulo {groups} groups")
    return x


def _group_norm(x: Array, gamma: Array, beta: Array, **attrs: AttrValue) -> Array:
    channel = normalize_axis(int_attr(attrs, "channel_axis"), x.ndim)
    axes = _axes(attrs, x.ndim)
    groups = attrs.get("num_groups", x.shape[channel])
    assert isinstance(groups, int)
    split = (
        *x.shape[:channel],
        groups,
        x.shape[channel] // max(groups, 1),
        *x.shape[channel + 1 :],
    )
    wide = up(x).reshape(split)
    over = (channel + 1, *(a + 1 if a > channel else a for a in axes))
    value = wide - wide.mean(over, keepdims=True)
    value = value / np.sqrt(wide.var(over, keepdims=True) + float_attr(attrs, "epsilon"))
    shape = tuple(-1 if a == channel else 1 for a in range(x.ndim))
    gamma, beta = gamma.reshape(shape), beta.reshape(shape)
    return down(_affine_array(value.reshape(x.shape), gamma, beta, attrs), x)


def _group_norm_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, gamma, beta = (tensor(a) for a in args)
    channel = normalize_axis(int_attr(attrs, "channel_axis"), x.ndim)
    axes, groups = _axes(attrs, x.ndim), int_attr(attrs, "num_groups")
    epsilon, in_group = float_attr(attrs, "epsilon"), x.shape[channel] // groups
    stats = tuple(
        groups if a == channel else (1 if a in axes else x.shape[a]) for a in range(x.ndim)
    )
    count = from_dim(in_group * product(x.shape[a] for a in axes))

    def group_of(i: Sequence[PrimExpr]) -> list[PrimExpr]:
        at = [from_dim(0) if a in axes else v for a, v in enumerate(i)]
        at[channel] = i[channel] // from_dim(in_group)
        return at

    def total(name: str, shifted: Tensor | None) -> Tensor:
        k = {a: reduce_axis(x.shape[a], f"k{a}") for a in axes}
        c = reduce_axis(in_group, "kc")

        def body(*g: PrimExpr) -> Reduce:
            at: list[PrimExpr] = [k[a].var if a in k else v for a, v in enumerate(g)]
            at[channel] = g[channel] * from_dim(in_group) + c.var
            value = widen(x[at])
            if shifted is not None:
                value = (value - shifted[g]) * (value - shifted[g])
            return reduce("sum", value, [c, *k.values()])

        stage = compute(f"{name}_sum", stats, body)
        return compute(name, stats, lambda *g: stage[g] / cast_to(count, stage.dtype))

    mean = total("group_norm_mean", None)
    deviation = _deviation("group_norm_dev", total("group_norm_var", mean), epsilon)

    def body(*i: PrimExpr) -> PrimExpr:
        value = widen(x[i]) - mean[group_of(i)]
        value = value / deviation[group_of(i)]
        return cast_to(_affine(value, gamma, beta, (i[channel],), attrs), x.dtype)

    return compute("group_norm", x.shape, body)


def _instance_norm_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, gamma, beta = (tensor(a) for a in args)
    channel = normalize_axis(int_attr(attrs, "channel_axis"), x.ndim)
    axes, epsilon = sorted(_axes(attrs, x.ndim)), float_attr(attrs, "epsilon")
    mean = mean_over("instance_norm_mean", x, axes)
    variance = variance_over("instance_norm_var", x, mean, axes)
    deviation = _deviation("instance_norm_dev", variance, epsilon)

    def body(*i: PrimExpr) -> PrimExpr:
        value = widen(x[i]) - mean.at_broadcast(i, x.shape)
        value = value / deviation.at_broadcast(i, x.shape)
        return cast_to(_affine(value, gamma, beta, (i[channel],), attrs), x.dtype)

    return compute("instance_norm", x.shape, body)


def _infer_rms_norm(types: Sequence[Type], attrs: Attrs) -> Type:
    x, weight = (tensor_type(t) for t in types)
    _check_row_norm(x, (weight,), attrs)
    return x


def _rms_norm(x: Array, weight: Array, *, axes: int | tuple[int, ...], epsilon: float) -> Array:
    over = normalize_axes(ints(axes), x.ndim)
    wide = up(x)
    scale = np.sqrt(np.square(wide).mean(over, keepdims=True) + epsilon)
    return down(wide / scale * _spread(up(weight), x, over), x)


def _rms_norm_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, weight = tensor(args[0]), tensor(args[1])
    axes, epsilon = _axes(attrs, x.ndim), float_attr(attrs, "epsilon")
    squares = reduce_over(
        "rms_norm_sum",
        "sum",
        x,
        sorted(axes),
        keepdims=True,
        element=lambda *i: widen(x[i]) * widen(x[i]),
    )
    count = count_of(x, axes, squares.dtype)
    scale = compute(
        "rms_norm_scale", squares.shape, lambda *i: call("sqrt", squares[i] / count + epsilon)
    )

    def body(*i: PrimExpr) -> PrimExpr:
        value = widen(x[i]) / scale.at_broadcast(i, x.shape)
        return cast_to(value * widen(weight[[i[a] for a in axes]]), x.dtype)

    return compute("rms_norm", x.shape, body)


def _batch_samples() -> Sequence[Sample]:
    c = ((3,),) * 4
    positive = {4: (0.5, 2.0)}
    return [
        Sample(((2, 3, 4, 4), *c), {"axis": 1, "training": False}, ranges=positive),
        Sample(((2, 4, 3), *c), {"axis": -1, "training": False}, ("float16",), ranges=positive),
        Sample(((2, 3), *c), {"axis": 1, "training": False, "scale": False}, ranges=positive),
        Sample(((4, 3, 2), *c), {"axis": 1, "training": True}, ranges=positive),
        Sample((("n", 3, "h"), *c), {"axis": 1, "training": False}, ranges=positive),
    ]


NN_NORM: tuple[OpDef, ...] = (
    OpDef(
        "nn.batch_norm",
        tuple(Operand(n) for n in ("data", "gamma", "beta", "moving_mean", "moving_var")),
        _infer_batch_norm,
        _batch_norm,
        OpKind.POINTWISE,
        attrs=(
            Attr("axis", "int"),
            _EPSILON,
            *_AFFINE,
            Attr("momentum", "float", 0.1),
            Attr("training", "bool", default=True),
        ),
        compute=_batch_norm_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("BatchNormalization",),
        samples=_batch_samples,
    ),
    OpDef(
        "nn.layer_norm",
        _NORM_OPERANDS,
        _infer_layer_norm,
        _layer_norm,
        OpKind.ROW,
        attrs=(Attr("axes", "ints"), _EPSILON, *_AFFINE),
        compute=_layer_norm_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("LayerNormalization",),
        samples=lambda: [
            Sample(((2, 3, 8), (8,), (8,)), {"axes": -1}),
            Sample(((2, 3, 4), (3, 4), (3, 4)), {"axes": (-2, -1)}, ("float16",)),
            Sample(((2, 3, 4), (4, 2), (4, 2)), {"axes": (2, 0)}),
            Sample(((8,), (8,), (8,)), {"axes": 0, "center": False, "scale": False}),
            Sample((("n", "m", 4), (4,), (4,)), {"axes": (-1,)}),
        ],
    ),
    OpDef(
        "nn.group_norm",
        _NORM_OPERANDS,
        _infer_channel_norm,
        _group_norm,
        OpKind.ROW,
        attrs=(
            Attr("num_groups", "int"),
            Attr("channel_axis", "int"),
            Attr("axes", "ints"),
            _EPSILON,
            *_AFFINE,
        ),
        compute=_group_norm_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("GroupNormalization",),
        samples=lambda: [
            Sample(
                ((2, 6, 3, 4), (6,), (6,)), {"num_groups": 3, "channel_axis": 1, "axes": (2, 3)}
            ),
            Sample(
                ((2, 3, 6), (6,), (6,)),
                {"num_groups": 2, "channel_axis": -1, "axes": 1},
                ("float16",),
            ),
            Sample((("n", 4, "h"), (4,), (4,)), {"num_groups": 2, "channel_axis": 1, "axes": (2,)}),
        ],
    ),
    OpDef(
        "nn.instance_norm",
        _NORM_OPERANDS,
        _infer_channel_norm,
        _group_norm,
        OpKind.ROW,
        attrs=(Attr("channel_axis", "int"), Attr("axes", "ints"), _EPSILON, *_AFFINE),
        compute=_instance_norm_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("InstanceNormalization",),
        samples=lambda: [
            Sample(((2, 3, 4, 4), (3,), (3,)), {"channel_axis": 1, "axes": (2, 3)}),
            Sample((("n", 3, "h"), (3,), (3,)), {"channel_axis": 1, "axes": 2}),
        ],
    ),
    OpDef(
        "nn.rms_norm",
        (Operand("data"), Operand("weight")),
        _infer_rms_norm,
        _rms_norm,
        OpKind.ROW,
        attrs=(Attr("axes", "ints", -1), _EPSILON),
        compute=_rms_norm_compute,
        numerics=Numerics.REASSOCIATING,
        samples=lambda: [
            Sample(((2, 3, 8), (8,))),
            Sample(((2, 3, 4), (3, 4)), {"axes": (1, 2)}, ("float16",)),
            Sample((("n", 4), (4,)), {"axes": (-1,)}),
        ],
    ),
)
