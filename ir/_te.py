"""Tensor expressions: the loop-level meaning of operators.

A `Tensor` is an input (no `body`) or a stage: "for every output index, this scalar". A body
is a scalar expression over loads of other tensors, or one `Reduce` over such an expression.
Several stages make one operator (softmax: max, exp, sum, divide).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from eqsat.ir._tir import (
    IntImm,
    IterVar,
    PrimExpr,
    Range,
    Scalar,
    Var,
    as_expr,
    const,
    from_dim,
)
from eqsat.ir._types import TypeCheckError
from eqsat.shapes import Dim, Shape, has_infinity, max_value, min_value

Combiner = Literal["sum", "prod", "max", "min"]


@dataclass(frozen=True, slots=True)
class Reduce:
    """`combiner` over `axes` of `value`; only as the whole body of a stage."""

    combiner: Combiner
    axes: tuple[IterVar, ...]
    value: PrimExpr

    @property
    def dtype(self) -> str:
        """The dtype of the reduced value."""
        return self.value.dtype

    @property
    def identity(self) -> PrimExpr:
        """The neutral element of the combiner."""
        return identity(self.combiner, self.dtype)

    def _is_whole_body(self, other: object) -> NoReturn:
        raise TypeCheckError(
            f"a reduction ({self.combiner}) is the whole body of a stage; give it a te.compute of "
            "its own and calculate with its elements in the next"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _is_whole_body
    __truediv__ = __rtruediv__ = _is_whole_body


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """An input or a stage; compares by identity. `t[i, j]` is the load of one element.

    Shapes:
        `shape` in elements; `axes` has one variable per dim where there is a body.
    """

    name: str
    shape: Shape
    dtype: str
    axes: tuple[Var, ...] = ()
    body: PrimExpr | Reduce | None = None
    # What the body loads, kept by `producers` once it was looked up.
    loaded: tuple[Tensor, ...] | None = field(default=None, init=False, repr=False)

    @property
    def ndim(self) -> int:
        """The rank."""
        return len(self.shape)

    @property
    def is_input(self) -> bool:
        """Whether nothing in this expression computes it."""
        return self.body is None

    def __getitem__(self, indices: Scalar | Sequence[Scalar]) -> ProducerLoad:
        items = indices if isinstance(indices, Sequence) else (indices,)
        if len(items) != self.ndim:
            raise IndexError(f"{self.name} has rank {self.ndim}, indexed by {len(items)}")
        return ProducerLoad(self, tuple(as_expr(i) for i in items))

    def at_broadcast(self, indices: Sequence[PrimExpr], out_shape: Shape) -> ProducerLoad:
        """Load the element that NumPy broadcasting pairs with `indices` of `out_shape`."""
        skip = len(out_shape) - self.ndim
        pairs = zip(list(indices)[skip:], self.shape, out_shape[skip:], strict=True)
        return self[[IntImm(0) if d == 1 and n != 1 else i for i, d, n in pairs]]


@dataclass(frozen=True, slots=True)
class ProducerLoad(PrimExpr):
    """An element of a `Tensor`; becomes a `BufferLoad`, or its producer's body, when lowered."""

    tensor: Tensor
    indices: tuple[PrimExpr, ...]

    @property
    def dtype(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  # computed, not stored
        """The tensor's dtype."""
        return self.tensor.dtype


_AXIS_NAMES = "ijklmnopq"


def placeholder(name: str, shape: Shape, dtype: str) -> Tensor:
    """Return an input tensor."""
    return Tensor(name, shape, dtype)


def compute(name: str, shape: Shape, body: Callable[..., PrimExpr | Reduce]) -> Tensor:
    """Return the tensor of `shape` whose element at (i, j, …) is `body(i, j, …)`."""
    axes = tuple(Var(f"v_{_AXIS_NAMES[k] if k < 9 else k}") for k in range(len(shape)))
    value = body(*axes)
    return Tensor(name, shape, value.dtype, axes, value)


def reduce_axis(extent: Dim, name: str = "k") -> IterVar:
    """Return a reduction axis over 0 ≤ k < extent, to be used as `axis.var` inside `reduce`."""
    var = Var(f"v_{name}")
    return IterVar(var, Range(IntImm(0), from_dim(extent)), "R", var)


def reduce(combiner: Combiner, value: PrimExpr, axes: Sequence[IterVar]) -> Reduce:
    """Return the reduction of `value` over `axes`."""
    return Reduce(combiner, tuple(axes), value)


def identity(combiner: Combiner, dtype: str) -> PrimExpr:
    """Return the neutral element of `combiner`.

    Of max and min that is the least and the greatest value: infinity in floats that have one.
    """
    match combiner:
        case "sum":
            return const(0, dtype)
        case "prod":
            return const(1, dtype)
        case "max":
            return const(-math.inf if has_infinity(dtype) else min_value(dtype), dtype)
        case "min":
            return const(math.inf if has_infinity(dtype) else max_value(dtype), dtype)
