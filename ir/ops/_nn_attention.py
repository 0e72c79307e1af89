"""Scaled dot-product attention."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import math
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
from eqsat.ir._te import Reduce, Tensor, compute, reduce, reduce_axis
from eqsat.ir._tir import PrimExpr, Select, conjunction, const, from_dim
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    cast_to,
    down,
    known_dims,
    require_broadcast,
    require_elements,
    require_equal,
    require_float,
    same_dtype,
    tensor,
    tensor_type,
    up,
    widen,
)
from eqsat.ir.ops._nn_activation import softmax, softmax_stages
from eqsat.shapes import Dim, wide_dtype

MASKS = (None, "TopLeft", "BottomRight")


def require_head_size(q: TensorType, attrs: Attrs) -> None:
    """Raise where the default scale, 1 / sqrt(head size), does not exist."""
    dims = known_dims(q)
    if attrs["scale"] is None and dims is not None:
        require_elements(dims[3], "the last axis of the query, which gives the scale,")


def _infer(types: Sequence[Type], attrs: Attrs) -> Type:
    names = ("query", "key", "value")
    q, k, v = (tensor_type(t, n) for t, n in zip(types[:3], names, strict=True))
    same_dtype(q, k, v)
    require_float(q, "query")
    for t, name in ((q, "query"), (k, "key"), (v, "value")):
        if t.ndim != 4:
            raise TypeCheckError(f"{name} must be (batch, sequence, heads, size), got {t}")
    require_head_size(q, attrs)
    if attrs["causal_mask"] not in MASKS:
        raise TypeCheckError(f"causal_mask must be one of {MASKS}, got {attrs['causal_mask']!r}")
    if attrs["window_size"] is not None and attrs["causal_mask"] is None:
        raise TypeCheckError("window_size needs a causal_mask")
    qd, kd, vd = known_dims(q), known_dims(k), known_dims(v)
    if qd is None or kd is None or vd is None:
        return TensorType(UnknownShape(4), q.dtype, q.vdevice)
    for axis, what in ((0, "batch"), (2, "heads")):
        require_equal(qd[axis], kd[axis], f"attention: the {what} of query and key")
        require_equal(qd[axis], vd[axis], f"attention: the {what} of query and value")
    require_equal(qd[3], kd[3], "attention: the head size of query and key")
    require_equal(kd[1], vd[1], "attention: the sequence of key and value")
    if isinstance(types[3], TensorType) and (bias := known_dims(types[3])) is not None:
        same_dtype(q, types[3])
        scores = (qd[0], qd[2], qd[1], kd[1])
        require_broadcast(bias, scores, "attention: bias, broadcast to the scores")
    return TensorType((*qd[:3], vd[3]), q.dtype, q.vdevice)


def _scale(attrs: Attrs, head: Dim) -> PrimExpr | float:
    given = attrs["scale"]
    if isinstance(given, (int, float)):
        return float(given)
    if isinstance(head, int):
        return 1 / math.sqrt(head)
    raise TypeCheckError(f"attention needs a scale where the head size {head} is symbolic")


def attention(
    q: Array,
    k: Array,
    v: Array,
    bias: Array | None,
    *,
    scale: float | None,
    causal_mask: str | None,
    window_size: int | None,
) -> Array:
    factor = 1 / math.sqrt(q.shape[3]) if scale is None else scale
    scores = np.einsum("bqhd,bkhd->bhqk", up(q), up(k)) * np.float32(factor)
    if bias is not None:
        scores = scores + up(bias)
    if causal_mask is not None:
        rows, columns = np.indices(scores.shape[-2:], sparse=True)
        offset = 0 if causal_mask == "TopLeft" else scores.shape[-1] - scores.shape[-2]
        kept = columns <= rows + offset
        if window_size is not None:
            kept = kept & (columns > rows + offset - window_size)
        scores = np.where(kept, scores, np.finfo(scores.dtype).min)
    weights = softmax(scores.astype(up(q).dtype), axis=-1)
    return down(np.einsum("bhqk,bkhd->bqhd", weights, up(v)), q)


def _scores(q: Tensor, k: Tensor, bias: Tensor | None, attrs: Attrs) -> Tensor:
    shape, factor = (q.shape[0], q.shape[2], q.shape[1], k.shape[1]), _scale(attrs, q.shape[3])
    d = reduce_axis(q.shape[3], "d")

    def products(b: PrimExpr, h: PrimExpr, i: PrimExpr, j: PrimExpr) -> Reduce:
        return reduce("sum", widen(q[b, i, h, d.var]) * widen(k[b, j, h, d.var]), [d])

    raw = compute("attention_scores", shape, products)

    def masked(*at: PrimExpr) -> PrimExpr:
        value = raw[at] * factor
        if bias is not None:
            value = value + widen(bias.at_broadcast(at, shape))
        return value if attrs["causal_mask"] is None else _causal(value, at, attrs, shape)

    return compute("attention_masked", shape, masked)


def _causal(
    value: PrimExpr, at: Sequence[PrimExpr], attrs: Attrs, shape: Sequence[Dim]
) -> PrimExpr:
    offset: Dim = 0 if attrs["causal_mask"] == "TopLeft" else shape[3] - shape[2]
    row, window = at[2] + from_dim(offset), attrs["window_size"]
    kept = at[3] <= row
    if isinstance(window, int):
        kept = conjunction(kept, at[3] > row - window)
    least = float(np.finfo(np.dtype(value.dtype)).min)
    return Select(kept, value, const(least, value.dtype))


def _compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    q, k, v = (tensor(a) for a in args[:3])
    bias = None if args[3] is None else tensor(args[3])
    weights = softmax_stages(_scores(q, k, bias, attrs), 3, wide_dtype(q.dtype))
    shape = (*q.shape[:3], v.shape[3])
    j = reduce_axis(k.shape[1], "j")

    def mix(b: PrimExpr, i: PrimExpr, h: PrimExpr, d: PrimExpr) -> Reduce:
        return reduce("sum", weights[b, h, i, j.var] * widen(v[b, j.var, h, d]), [j])

    mixed = compute("attention", shape, mix)
    if mixed.dtype == q.dtype:
        return mixed
    return compute("attention_cast", shape, lambda *i: cast_to(mixed[i], q.dtype))


NN_ATTENTION: tuple[OpDef, ...] = (
    OpDef(
        "nn.attention",
        (Operand("query"), Operand("key"), Operand("value"), Operand("bias", optional=True)),
        _infer,
        attention,
        OpKind.OPAQUE,
        attrs=(
            Attr("scale", "float", None, optional=True),
            Attr("causal_mask", "str", None, optional=True),
            Attr("window_size", "int", None, optional=True),
        ),
        compute=_compute,
        numerics=Numerics.REASSOCIATING,
        aliases=("nn.attention_bias",),
        samples=lambda: [
            Sample(((2, 3, 2, 4), (2, 5, 2, 4), (2, 5, 2, 3), None)),
            Sample(((1, 3, 2, 4), (1, 5, 2, 4), (1, 5, 2, 4), (1, 1, 3, 5)), {"scale": 0.25}),
            Sample(((1, 4, 2, 4), (1, 4, 2, 4), (1, 4, 2, 4), None), {"causal_mask": "TopLeft"}),
            Sample(
                ((1, 3, 1, 4), (1, 5, 1, 4), (1, 5, 1, 4), None),
                {"causal_mask": "BottomRight", "window_size": 2},
                ("float16",),
            ),
            Sample((("b", "n", 2, 4), ("b", "m", 2, 4), ("b", "m", 2, 4), None)),
        ],
    ),
)
