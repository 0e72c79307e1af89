"""Activations, softmax, dropout."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eqsat.ir._distribute import same_axes
from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    Attr,
    AxisMap,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OpKind,
    ResultAxes,
    Sample,
)
from eqsat.ir._te import Tensor, compute
from eqsat.ir._tir import PrimExpr, Select, const
from eqsat.ir._types import TensorType, TupleType, Type
from eqsat.ir.ops._common import (
    Array,
    axis_attr,
    call,
    cast_to,
    elementwise,
    float_attr,
    known_dims,
    maximum,
    minimum,
    pointwise,
    reduce_over,
    require_equal,
    require_float,
    require_rank,
    same_dtype,
    tensor,
    tensor_type,
    unary_samples,
    widen,
)
from eqsat.ir.ops._unary import erf

_FLOATS = ("float32", "float16", "bfloat16", "float64")
_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805
# sqrt(2 / pi) and the cubic coefficient of GELU by tanh. Source: Hendrycks and Gimpel 2016.
_GELU_SCALE, _GELU_CUBE = math.sqrt(2 / math.pi), 0.044715


def _infer_any(types: Sequence[Type], attrs: Attrs) -> Type:
    return tensor_type(types[0], "data")


def _infer_float(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    require_float(x, "data")
    return x


def _activation(
    name: str,
    reference: Callable[..., Any],
    body: Callable[[Attrs, PrimExpr], PrimExpr],
    *,
    attrs: tuple[Attr, ...] = (),
    exact: bool = False,
    onnx: str = "",
    dtypes: tuple[str, ...] = _FLOATS,
    result_axes: ResultAxes | None = None,
) -> OpDef:
    return OpDef(
        name,
        (Operand("data"),),
        _infer_any if exact else _infer_float,
        elementwise(reference),
        OpKind.POINTWISE,
        attrs=attrs,
        result_axes=result_axes,
        compute=pointwise(name.removeprefix("nn."), body),
        numerics=Numerics.EXACT if exact else Numerics.ROUNDING,
        onnx=(onnx,) if onnx else (),
        samples=unary_samples(-6.0, 6.0, dtypes),
    )


def _gelu(attrs: Attrs, x: PrimExpr) -> PrimExpr:
    return x * 0.5 * (call("erf", x * math.sqrt(0.5)) + 1)


def _gelu_tanh(attrs: Attrs, x: PrimExpr) -> PrimExpr:
    inner = (x + x * x * x * _GELU_CUBE) * _GELU_SCALE
    return x * 0.5 * (call("tanh", inner) + 1)


def _gelu_tanh_reference(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(_GELU_SCALE * (x + _GELU_CUBE * x**3)))


def _selu(attrs: Attrs, x: PrimExpr) -> PrimExpr:
    below = (call("exp", minimum(x, const(0, x.dtype))) - 1) * _SELU_ALPHA
    return Select(x > 0, x, below) * _SELU_SCALE


def _selu_reference(x: Array) -> Array:
    return _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * (np.exp(np.minimum(x, 0)) - 1))


def _softplus(attrs: Attrs, x: PrimExpr) -> PrimExpr:
    beta, threshold = float_attr(attrs, "beta"), float_attr(attrs, "threshold")
    scaled = x * beta
    bounded = minimum(scaled, const(threshold, x.dtype))
    return Select(scaled > threshold, x, call("log", call("exp", bounded) + 1) / beta)


def _softplus_reference(x: Array, *, beta: float, threshold: float) -> Array:
    return np.where(
        x * beta > threshold, x, np.log(1 + np.exp(np.minimum(x * beta, threshold))) / beta
    )


def _infer_softmax(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    require_float(x, "data")
    if x.ndim >= 0:
        axis_attr(attrs, x.ndim)
    return x


def _softmax_axes(
    types: Sequence[TensorType], attrs: Attrs, result: TensorType
) -> Sequence[AxisMap]:
    ndim = max(types[0].ndim, 0)
    axis = axis_attr(attrs, ndim) if ndim else None
    return [tuple(None if a == axis else a for a in range(ndim))]


def softmax_stages(x: Tensor, axis: int, dtype: str) -> Tensor:
    """Return softmax along `axis`: maximum, exponentials, their sum, the quotient."""
    largest = reduce_over("softmax_max", "max", x, [axis], keepdims=True)

    def exponential(*i: PrimExpr) -> PrimExpr:
        return call("exp", widen(x[i]) - largest.at_broadcast(i, x.shape))

    e = compute("softmax_exp", x.shape, exponential)
    total = reduce_over("softmax_sum", "sum", e, [axis], keepdims=True)
    return compute(
        "softmax", x.shape, lambda *i: cast_to(e[i] / total.at_broadcast(i, x.shape), dtype)
    )


def _softmax_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    return softmax_stages(x, axis_attr(attrs, x.ndim), x.dtype)


def _log_softmax_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    axis = axis_attr(attrs, x.ndim)
    largest = reduce_over("log_softmax_max", "max", x, [axis], keepdims=True)

    def distance(*i: PrimExpr) -> PrimExpr:
        return widen(x[i]) - largest.at_broadcast(i, x.shape)

    total = reduce_over(
        "log_softmax_sum",
        "sum",
        x,
        [axis],
        keepdims=True,
        element=lambda *i: call("exp", distance(*i)),
    )

    def body(*i: PrimExpr) -> PrimExpr:
        return cast_to(distance(*i) - call("log", total.at_broadcast(i, x.shape)), x.dtype)

    return compute("log_softmax", x.shape, body)


def softmax(x: Array, *, axis: int) -> Array:
    """Return exp(x) scaled to sum to 1 along `axis`."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True)) if x.shape[axis] else x
    return e / np.sum(e, axis=axis, keepdims=True)


def _log_softmax(x: Array, *, axis: int) -> Array:
    d = x - np.max(x, axis=axis, keepdims=True) if x.shape[axis] else x
    return d - np.log(np.sum(np.exp(d), axis=axis, keepdims=True))


def _softmax_op(
    name: str,
    reference: Callable[..., Array],
    build: Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult],
    onnx: str,
    result_axes: ResultAxes | None = None,
) -> OpDef:
    return OpDef(
        name,
        (Operand("data"),),
        _infer_softmax,
        elementwise(reference),
        OpKind.ROW,
        attrs=(Attr("axis", "int", -1),),
        result_axes=result_axes,
        compute=build,
        numerics=Numerics.REASSOCIATING,
        onnx=(onnx,),
        samples=lambda: [
            Sample(((3, 4),)),
            Sample(((2, 3, 4),), {"axis": 1}, ("float16",)),
            Sample(((5,),), {}, ("float64",), -300.0, 300.0),
            Sample(((0, 4),)),
            Sample((("n", "m"),)),
            Sample((("n", 3, 4),), {"axis": -2}),
        ],
    )


def _infer_prelu(types: Sequence[Type], attrs: Attrs) -> Type:
    x, alpha = tensor_type(types[0], "data"), tensor_type(types[1], "alpha")
    same_dtype(x, alpha)
    require_float(x, "data")
    require_rank(alpha, 1, "alpha")
    axis = axis_attr(attrs, x.ndim) if x.ndim >= 0 else 0
    dims, slopes = known_dims(x), known_dims(alpha)
    if dims is not None and slopes is not None and slopes[0] != 1:
        require_equal(slopes[0], dims[axis], f"prelu: one slope per element of axis {axis}")
    return x


def _prelu_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, alpha = tensor(args[0]), tensor(args[1])
    axis = axis_attr(attrs, x.ndim)

    def body(*i: PrimExpr) -> PrimExpr:
        value = widen(x[i])
        slope = widen(alpha.at_broadcast((i[axis],), (x.shape[axis],)))
        return cast_to(Select(value > 0, value, value * slope), x.dtype)

    return compute("prelu", x.shape, body)


def _prelu(x: Array, alpha: Array, *, axis: int) -> Array:
    after = x.ndim - axis % x.ndim - 1
    return np.where(x > 0, x, x * alpha.reshape((-1,) + (1,) * after))


def _infer_dropout(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    return TupleType((x, TensorType(x.shape, x.dtype, x.vdevice)))


def _dropout_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    return (
        compute("dropout", x.shape, lambda *i: x[i]),
        compute("dropout_mask", x.shape, lambda *i: const(1, x.dtype)),
    )


def _leaky(attrs: Attrs, x: PrimExpr) -> PrimExpr:
    return Select(x > 0, x, x * float_attr(attrs, "alpha"))


def _relu6(attrs: Attrs, x: PrimExpr) -> PrimExpr:
    return minimum(maximum(x, const(0, x.dtype)), const(6, x.dtype))


NN_ACTIVATION: tuple[OpDef, ...] = (
    _activation(
        "nn.relu",
        lambda x: np.maximum(x, 0),
        lambda attrs, x: maximum(x, const(0, x.dtype)),
        exact=True,
        onnx="Relu",
        dtypes=(*_FLOATS, "int32"),
        result_axes=same_axes,
    ),
    _activation("nn.relu6", lambda x: np.clip(x, 0, 6), _relu6, exact=True),
    _activation(
        "nn.leakyrelu",
        lambda x, *, alpha: np.where(x > 0, x, x * x.dtype.type(alpha)),
        _leaky,
        attrs=(Attr("alpha", "float", 0.01),),
        onnx="LeakyRelu",
    ),
    _activation(
        "nn.gelu",
        lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))),
        _gelu,
        onnx="Gelu",
        result_axes=same_axes,
    ),
    _activation(
        "nn.gelu_tanh", _gelu_tanh_reference, _gelu_tanh, onnx="Gelu", result_axes=same_axes
    ),
    _activation("nn.selu", _selu_reference, _selu, onnx="Selu"),
    _activation(
        "nn.silu",
        lambda x: x / (1 + np.exp(-x)),
        lambda attrs, x: x * call("sigmoid", x),
        result_axes=same_axes,
    ),
    _softmax_op("nn.softmax", softmax, _softmax_compute, "Softmax", _softmax_axes),
    _softmax_op("nn.log_softmax", _log_softmax, _log_softmax_compute, "LogSoftmax"),
    _activation(
        "nn.softplus",
        _softplus_reference,
        _softplus,
        attrs=(Attr("beta", "float", 1.0), Attr("threshold", "float", 20.0)),
        onnx="Softplus",
    ),
    OpDef(
        "nn.prelu",
        (Operand("data"), Operand("alpha")),
        _infer_prelu,
        elementwise(_prelu),
        OpKind.POINTWISE,
        attrs=(Attr("axis", "int", 1),),
        compute=_prelu_compute,
        onnx=("PRelu",),
        samples=lambda: [
            Sample(((2, 3, 4), (3,))),
            Sample(((2, 3), (1,)), {"axis": -1}, ("float16",)),
            Sample((("n", 3), (3,)), {"axis": 1}),
        ],
    ),
    OpDef(
        "nn.dropout",
        (Operand("data"),),
        _infer_dropout,
        lambda x, *, rate: (x, np.ones_like(x)),
        OpKind.POINTWISE,
        attrs=(Attr("rate", "float", 0.5),),
        compute=_dropout_compute,
        onnx=("Dropout",),
        samples=lambda: [Sample(((2, 3),)), Sample((("n",),), {"rate": 0.1}, ("float16",))],
    ),
)
