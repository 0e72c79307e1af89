"""Attention over sequences of several lengths, one after the other."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import Attr, Numerics, OpDef, Operand, OpKind, Sample
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    known_dims,
    require_equal,
    require_float,
    require_rank,
    same_dtype,
    tensor_type,
)
from eqsat.ir.ops._nn_attention import MASKS, attention, require_head_size

_NAMES = ("queries", "keys", "values", "seqstart_q", "max_seqlen_q", "seqstart_k", "max_seqlen_k")


def _infer(types: Sequence[Type], attrs: Attrs) -> Type:
    q, k, v = (tensor_type(t, n) for t, n in zip(types[:3], _NAMES[:3], strict=True))
    dtype = same_dtype(q, k, v)
    require_float(q, "queries")
    for t, name in zip((q, k, v), _NAMES[:3], strict=True):
        if t.ndim != 4:
            raise TypeCheckError(f"{name} must be (1, total length, heads, size), got {t}")
    for t, name in zip(types[3:], _NAMES[3:], strict=True):
        if isinstance(t, TensorType) and t.dtype not in ("int32", "void"):
            raise TypeCheckError(f"{name} must be int32, got {t}")
    if isinstance(types[3], TensorType):
        require_rank(types[3], 1, _NAMES[3])
    require_head_size(q, attrs)
    if attrs["causal_mask"] not in MASKS:
        raise TypeCheckError(f"causal_mask must be one of {MASKS}, got {attrs['causal_mask']!r}")
    a, b, c = known_dims(q), known_dims(k), known_dims(v)
    if a is None or b is None or c is None:
        return TensorType(UnknownShape(4), dtype, q.vdevice)
    require_equal(a[3], b[3], "attention_var_len: the head size of queries and keys")
    require_equal(a[2], b[2], "attention_var_len: the heads of queries and keys")
    require_equal(a[2], c[2], "attention_var_len: the heads of queries and values")
    require_equal(b[1], c[1], "attention_var_len: the length of keys and values")
    return TensorType((*a[:3], c[3]), dtype, q.vdevice)


def _var_len(
    q: Array,
    k: Array,
    v: Array,
    seqstart_q: Array,
    max_seqlen_q: Array,
    seqstart_k: Array | None,
    max_seqlen_k: Array | None,
    *,
    scale: float | None,
    causal_mask: str | None,
    window_size: int | None,
) -> Array:
    starts = np.asarray(seqstart_q)
    of_keys = starts if seqstart_k is None else np.asarray(seqstart_k)
    result = np.zeros((*q.shape[:3], v.shape[3]), q.dtype)
    for i in range(len(starts) - 1):
        rows, columns = (slice(int(s[i]), int(s[i + 1])) for s in (starts, of_keys))
        result[:, rows] = attention(
            q[:, rows],
            k[:, columns],
            v[:, columns],
            None,
            scale=scale,
            causal_mask=causal_mask,
            window_size=window_size,
        )
    return result


NN_ATTENTION_VAR_LEN: tuple[OpDef, ...] = (
    OpDef(
        "nn.attention_var_len",
        (*(Operand(n) for n in _NAMES[:5]), *(Operand(n, optional=True) for n in _NAMES[5:])),
        _infer,
        _var_len,
        OpKind.OPAQUE,
        attrs=(
            Attr("scale", "float", None, optional=True),
            Attr("causal_mask", "str", None, optional=True),
            Attr("window_size", "int", None, optional=True),
        ),
        numerics=Numerics.REASSOCIATING,
        samples=lambda: [
            Sample(
                ((1, 6, 2, 4), (1, 6, 2, 4), (1, 6, 2, 3), (2,), (), None, None),
                {"causal_mask": mask},
                ("float32", "float32", "float32", "int32"),
                ranges={3: (0, 1), 4: (6, 7)},
            )
            for mask in (None, "TopLeft", "BottomRight")
        ],
    ),
)
