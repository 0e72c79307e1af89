"""Declaring kernels by TVM's names, for `BlockBuilder.emit_te`.

    def row_softmax(x):
        n, m = x.shape
        k, j = te.reduce_axis((0, m)), te.reduce_axis((0, m))
        top = te.compute((n,), lambda i: te.max(x[i, k], axis=k), "top")
        total = te.compute((n,), lambda i: te.sum(te.exp(x[i, j] - top[i]), axis=j), "total")
        return te.compute((n, m), lambda i, j: te.exp(x[i, j] - top[i]) / total[i])

Indices are int64, functions of elements keep the dtype, and nothing is converted silently: `cast`
does. `eqsat.ir.te` holds the expressions that these functions make.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eqsat.ir import TypeCheckError
from eqsat.ir import te as nodes
from eqsat.ir.te import Combiner, Reduce, Tensor
from eqsat.ir.tir import (
    Cast,
    IntImm,
    Intrinsic,
    IterVar,
    PrimExpr,
    Range,
    Scalar,
    Var,
    as_expr,
    binary,
    from_dim,
    select,
)
from eqsat.shapes import Dim, Shape, is_float

__all__ = [
    "ReduceAxis",
    "Tensor",
    "abs",
    "cast",
    "compute",
    "cos",
    "erf",
    "exp",
    "if_then_else",
    "log",
    "max",
    "maximum",
    "min",
    "minimum",
    "placeholder",
    "prod",
    "reduce_axis",
    "rsqrt",
    "sigmoid",
    "sin",
    "sqrt",
    "sum",
    "tanh",
]


@dataclass(frozen=True, eq=False, slots=True)
class ReduceAxis(Var):
    """An index that a reduction runs over: 0 ≤ index < `extent`."""

    extent: Dim = 1


def placeholder(shape: Shape, dtype: str = "float32", name: str = "placeholder") -> Tensor:
    """Return an input tensor."""
    return nodes.placeholder(name, shape, dtype)


def compute(
    shape: Shape | Dim, fcompute: Callable[..., Scalar | Reduce], name: str = "compute"
) -> Tensor:
    """Return the tensor of `shape` whose element at (i, j, …) is `fcompute(i, j, …)`.

    Raises:
        TypeCheckError: `fcompute` takes another number of indices, or gives no scalar.
    """
    dims = (shape,) if isinstance(shape, Dim) else tuple(shape)
    try:
        inspect.signature(fcompute).bind(*dims)
    except TypeError:
        raise TypeCheckError(
            f"te.compute of {name}: the function must take {len(dims)} indices, one for each axis "
            f"of the shape ({', '.join(map(str, dims))})"
        ) from None

    def body(*indices: PrimExpr) -> PrimExpr | Reduce:
        value = fcompute(*indices)
        if isinstance(value, Reduce):
            return value
        if not isinstance(value, Scalar):  # pyright: ignore[reportUnnecessaryIsInstance]  # a caller's
            raise TypeCheckError(
                f"te.compute of {name}: the function must return one element, got "
                f"{type(value).__name__}"
            )
        return as_expr(value)

    return nodes.compute(name, dims, body)


def reduce_axis(dom: tuple[int, Dim], name: str = "k") -> ReduceAxis:
    """Return an index over `dom`, (0, extent), for `sum`, `prod`, `max` and `min`.

    Raises:
        TypeCheckError: the domain does not begin at 0.
    """
    if dom[0] != 0:
        raise TypeCheckError(
            f"te.reduce_axis {name} begins at {dom[0]}; begin at 0 and add {dom[0]} to the index"
        )
    return ReduceAxis(f"v_{name}", extent=dom[1])


def sum(expr: PrimExpr, axis: ReduceAxis | Sequence[ReduceAxis]) -> Reduce:
    """Return the sum of `expr` over `axis`; 0 over none."""
    return _reduce("sum", expr, axis)


def prod(expr: PrimExpr, axis: ReduceAxis | Sequence[ReduceAxis]) -> Reduce:
    """Return the product of `expr` over `axis`; 1 over none."""
    return _reduce("prod", expr, axis)


def max(expr: PrimExpr, axis: ReduceAxis | Sequence[ReduceAxis]) -> Reduce:
    """Return the greatest `expr` over `axis`; the least value of the dtype over none."""
    return _reduce("max", expr, axis)


def min(expr: PrimExpr, axis: ReduceAxis | Sequence[ReduceAxis]) -> Reduce:
    """Return the least `expr` over `axis`; the greatest value of the dtype over none."""
    return _reduce("min", expr, axis)


def _reduce(combiner: Combiner, expr: PrimExpr, axis: ReduceAxis | Sequence[ReduceAxis]) -> Reduce:
    axes = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    for a in axes:
        if not isinstance(a, ReduceAxis):  # pyright: ignore[reportUnnecessaryIsInstance]  # a caller's
            raise TypeCheckError(
                f"te.{combiner} reduces over te.reduce_axis, got {type(a).__name__}"
            )
    if not isinstance(expr, PrimExpr):  # pyright: ignore[reportUnnecessaryIsInstance]  # a caller's
        raise TypeCheckError(
            f"te.{combiner} reduces an expression of elements, got {type(expr).__name__}"
        )
    return nodes.reduce(
        combiner, expr, [IterVar(a, Range(IntImm(0), from_dim(a.extent)), "R", a) for a in axes]
    )


def cast(dtype: str, value: PrimExpr) -> PrimExpr:
    """Return `value` as `dtype`; from float to int it truncates."""
    return value if value.dtype == dtype else Cast(dtype, value)


def if_then_else(condition: PrimExpr, a: Scalar, b: Scalar) -> PrimExpr:
    """Return `a` where `condition` holds, else `b`; only the chosen side is evaluated."""
    if isinstance(a, PrimExpr):
        return select(condition, a, as_expr(b, a), lazy=True)
    b = as_expr(b)
    return select(condition, as_expr(a, b), b, lazy=True)


def maximum(a: PrimExpr, b: Scalar) -> PrimExpr:
    """Return the greater of two elements."""
    return binary("max", a, as_expr(b, a))


def minimum(a: PrimExpr, b: Scalar) -> PrimExpr:
    """Return the lesser of two elements."""
    return binary("min", a, as_expr(b, a))


def abs(x: PrimExpr) -> PrimExpr:
    """Return the absolute value."""
    return Intrinsic("abs", (x,), x.dtype)


def exp(x: PrimExpr) -> PrimExpr:
    """Return e to the power of `x`."""
    return _function("exp", x)


def log(x: PrimExpr) -> PrimExpr:
    """Return the natural logarithm."""
    return _function("log", x)


def sqrt(x: PrimExpr) -> PrimExpr:
    """Return the square root."""
    return _function("sqrt", x)


def rsqrt(x: PrimExpr) -> PrimExpr:
    """Return one by the square root."""
    return _function("rsqrt", x)


def tanh(x: PrimExpr) -> PrimExpr:
    """Return the hyperbolic tangent."""
    return _function("tanh", x)


def sigmoid(x: PrimExpr) -> PrimExpr:
    """Return 1 / (1 + exp(-x))."""
    return _function("sigmoid", x)


def erf(x: PrimExpr) -> PrimExpr:
    """Return the error function."""
    return _function("erf", x)


def sin(x: PrimExpr) -> PrimExpr:
    """Return the sine."""
    return _function("sin", x)


def cos(x: PrimExpr) -> PrimExpr:
    """Return the cosine."""
    return _function("cos", x)


def _function(name: str, x: PrimExpr) -> PrimExpr:
    if not is_float(x.dtype):
        raise TypeCheckError(f"te.{name} of {x.dtype}; te.cast it to a float dtype first")
    return Intrinsic(name, (x,), x.dtype)
