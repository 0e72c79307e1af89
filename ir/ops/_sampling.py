"""Windows, buckets and samples: what signal processing and sampling from models need."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    REQUIRED,
    Attr,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OpKind,
    Sample,
)
from eqsat.ir._te import compute, reduce, reduce_axis
from eqsat.ir._tir import IntImm, Intrinsic, PrimExpr, Select, const, from_dim
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    call,
    cast_to,
    dims_attr,
    dtype_attr,
    float_attr,
    gather_from,
    known_dims,
    out_dtype,
    require_elements_for,
    require_equal,
    require_float,
    require_int,
    require_rank,
    tensor,
    tensor_type,
    up,
    widen,
)
from eqsat.ir.ops._index import resolve_indices
from eqsat.shapes import is_float, numpy_dtype

# hamming_window ---------------------------------------------------------------------------------


def _infer_hamming(types: Sequence[Type], attrs: Attrs) -> Type:
    dtype = dtype_attr(attrs, "dtype", "float32")
    if not is_float(dtype):
        raise TypeCheckError(f"hamming_window gives floats, not {dtype}")
    size = dims_attr(attrs, "window_size")
    if any(isinstance(d, int) and d < 1 for d in size):
        raise TypeCheckError(f"hamming_window: window_size must be positive, got {size[0]}")
    return TensorType(size, dtype)


def _hamming(
    *, window_size: int, periodic: bool, alpha: float, beta: float, dtype: str | None
) -> Array:
    if window_size == 1:  # as torch and TVM have it
        return np.ones(1, numpy_dtype(dtype or "float32"))
    angles = 2 * np.pi * np.arange(window_size) / (window_size if periodic else window_size - 1)
    return (alpha - beta * np.cos(angles)).astype(numpy_dtype(dtype or "float32"))


def _hamming_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    (size,) = dims_attr(attrs, "window_size")
    alpha, beta = float_attr(attrs, "alpha"), float_attr(attrs, "beta")
    n = from_dim(size)
    steps = n if attrs["periodic"] else Select(n > 1, n - 1, IntImm(1))

    def body(i: PrimExpr) -> PrimExpr:
        turn = cast_to(i, "float64") / cast_to(steps, "float64")
        angle = turn * const(2 * math.pi, "float64")
        wave = call("cos", angle) * const(beta, "float64")
        value = Select(n > 1, const(alpha, "float64") - wave, const(1, "float64"))
        return cast_to(value, out_dtype(out))

    return gather_from("hamming_window", out, body)


# bucketize --------------------------------------------------------------------------------------


def _infer_bucketize(types: Sequence[Type], attrs: Attrs) -> Type:
    x, edges = tensor_type(types[0], "input_tensor"), tensor_type(types[1], "boundaries")
    require_rank(edges, 1, "boundaries")
    return TensorType(x.shape, "int32" if attrs["out_int32"] else "int64", x.vdevice)


def _bucketize(x: Array, boundaries: Array, *, out_int32: bool, right: bool) -> Array:
    side = "right" if right else "left"
    found = np.searchsorted(up(boundaries), up(x), side=side)
    return np.asarray(found).astype(np.int32 if out_int32 else np.int64)


def _bucketize_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, edges, dtype = tensor(args[0]), tensor(args[1]), out_dtype(out)
    k = reduce_axis(edges.shape[0])

    def body(*i: PrimExpr) -> PrimExpr:
        value, edge = widen(x[i]), widen(edges[k.var])
        below = edge <= value if attrs["right"] else edge < value
        if is_float(x.dtype):  # NaN comes after everything
            below = Select(Intrinsic("isnan", (value,), "bool"), IntImm(1, "bool"), below)
        return Select(below, const(1, dtype), const(0, dtype))

    return compute("bucketize", x.shape, lambda *i: reduce("sum", body(*i), [k]))


# multinomial ------------------------------------------------------------------------------------


def _infer_multinomial(types: Sequence[Type], attrs: Attrs) -> Type:
    prob, uniform, rows = (
        tensor_type(t, n)
        for t, n in zip(types, ("prob", "uniform_sample", "sample_indices"), strict=True)
    )
    for t, name in ((prob, "prob"), (uniform, "uniform_sample"), (rows, "sample_indices")):
        require_rank(t, 2, name)
    require_float(prob, "prob")
    require_float(uniform, "uniform_sample")
    require_int(rows, "sample_indices")
    if rows.dtype.startswith("uint"):
        raise TypeCheckError(f"sample_indices must have a signed dtype, got {rows}")
    u, r = known_dims(uniform), known_dims(rows)
    if u is None or r is None:
        return TensorType(UnknownShape(2), dtype_attr(attrs, "dtype", "int64"), prob.vdevice)
    require_equal(u[0], r[0], "multinomial_from_uniform: a row for each sample")
    require_equal(u[1], 1, "multinomial_from_uniform: uniform_sample has one column")
    require_equal(r[1], 1, "multinomial_from_uniform: sample_indices has one column")
    if (p := known_dims(prob)) is not None:
        require_elements_for(u, p[0], "multinomial_from_uniform: the axis of rows of prob")
        require_elements_for(u, p[1], "multinomial_from_uniform: the axis of choices of prob")
    return TensorType(u, dtype_attr(attrs, "dtype", "int64"), prob.vdevice)


def _multinomial(prob: Array, uniform: Array, rows: Array, *, dtype: str) -> Array:
    cumulative = np.cumsum(prob, axis=1, dtype=prob.dtype)
    own = cumulative[resolve_indices(rows[:, 0], prob.shape[0])]
    found = np.sum(own <= uniform.astype(own.dtype), axis=1, keepdims=True)
    return np.minimum(found, max(prob.shape[1] - 1, 0)).astype(numpy_dtype(dtype))


SAMPLING: tuple[OpDef, ...] = (
    OpDef(
        "hamming_window",
        (),
        _infer_hamming,
        _hamming,
        OpKind.CREATE,
        attrs=(
            Attr("window_size", "dim", REQUIRED),
            Attr("periodic", "bool", REQUIRED),
            Attr("alpha", "float", REQUIRED),
            Attr("beta", "float", REQUIRED),
            Attr("dtype", "dtype", "float32"),
        ),
        compute=_hamming_compute,
        numerics=Numerics.ROUNDING,
        onnx=("HammingWindow",),
        samples=lambda: [
            Sample((), {"window_size": n, "periodic": p, "alpha": 0.54, "beta": 0.46, "dtype": d})
            for n, p, d in (
                (10, True, "float32"),
                (7, False, "float32"),
                (1, False, "float32"),
                (1, True, "float64"),
                ("n", True, "float16"),
            )
        ],
    ),
    OpDef(
        "bucketize",
        (Operand("input_tensor"), Operand("boundaries")),
        _infer_bucketize,
        _bucketize,
        OpKind.OPAQUE,
        attrs=(Attr("out_int32", "bool", default=False), Attr("right", "bool", default=False)),
        compute=_bucketize_compute,
        samples=lambda: [
            Sample((shape, (1,)), attrs, ("float32", "float32"))
            for shape in ((2, 3), (), (0, 2), ("n", 4))
            for attrs in ({}, {"right": True, "out_int32": True})
        ],
    ),
    OpDef(
        "multinomial_from_uniform",
        (Operand("prob"), Operand("uniform_sample"), Operand("sample_indices")),
        _infer_multinomial,
        _multinomial,
        OpKind.OPAQUE,
        attrs=(Attr("dtype", "dtype", "int64"),),
        samples=lambda: [
            Sample(
                ((2, 5), (4, 1), (4, 1)),
                {},
                ("float32", "float32", "int64"),
                0.0,
                0.4,
                ranges={1: (0.0, 1.0), 2: (0, 2)},
            ),
            Sample(
                (("n", 3), ("m", 1), ("m", 1)),
                {"dtype": "int32"},
                ("float32", "float32", "int64"),
                0.0,
                0.6,
                ranges={1: (0.0, 1.0), 2: (0, 1)},
            ),
        ],
    ),
)
