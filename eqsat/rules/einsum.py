"""Sums over shared axes, as `einsum` writes them, are products of matrices."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import Pattern, Sides, StrAttr, Tensor, compute, ops, tensor
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, Phase, RuleSet, predicate, types_agree
from eqsat.shapes import Dim, Shape, product

einsum = RuleSet("einsum", Phase.SIMPLIFY)

Vector = Annotated[Pattern, tensor("m")]
OtherVector = Annotated[Pattern, tensor("n")]


@dataclass(frozen=True, slots=True)
class _Axes:
    """The letters of two operands and of their result, by what becomes of them."""

    first: str
    second: str
    result: str

    @property
    def batch(self) -> str:
        return "".join(c for c in self.result if c in self.first and c in self.second)

    @property
    def rows(self) -> str:
        return "".join(c for c in self.result if c not in self.second)

    @property
    def columns(self) -> str:
        return "".join(c for c in self.result if c not in self.first)

    @property
    def summed(self) -> str:
        return "".join(c for c in self.first if c in self.second and c not in self.result)

    @property
    def is_product(self) -> bool:
        """Nothing is a diagonal, and what is summed is in both."""
        terms = (self.first, self.second, self.result)
        left = set(self.first) ^ set(self.second)
        return all(len(set(t)) == len(t) for t in terms) and left <= set(self.result)


def _axes(subscripts: AttrValue) -> _Axes:
    assert isinstance(subscripts, str)
    left, arrow, result = subscripts.replace(" ", "").partition("->")
    first, second = left.split(",")
    if not arrow:
        result = "".join(sorted(c for c in set(first + second) if left.count(c) == 1))
    return _Axes(first, second, result)


@predicate
def is_product(subscripts: AttrValue) -> bool:
    """Each axis of an operand is in the result, or summed with one of the other operand."""
    return _axes(subscripts).is_product


def _order_of_first(subscripts: AttrValue) -> tuple[int, ...]:
    axes = _axes(subscripts)
    return tuple(map(axes.first.index, axes.batch + axes.rows + axes.summed))


def _order_of_second(subscripts: AttrValue) -> tuple[int, ...]:
    axes = _axes(subscripts)
    return tuple(map(axes.second.index, axes.batch + axes.summed + axes.columns))


def _sizes(x: Known, y: Known, axes: _Axes) -> dict[str, Dim]:
    return {
        **dict(zip(axes.second, y.dims, strict=True)),
        **dict(zip(axes.first, x.dims, strict=True)),
    }


def _matrices(x: Known, y: Known, axes: _Axes, rows: str, columns: str) -> Shape:
    sizes = _sizes(x, y, axes)
    height, width = (product(tuple(sizes[c] for c in part)) for part in (rows, columns))
    return (*(sizes[c] for c in axes.batch), height, width)


def _first_matrices(x: Known, y: Known, subscripts: AttrValue) -> Shape:
    axes = _axes(subscripts)
    return _matrices(x, y, axes, axes.rows, axes.summed)


def _second_matrices(x: Known, y: Known, subscripts: AttrValue) -> Shape:
    axes = _axes(subscripts)
    return _matrices(x, y, axes, axes.summed, axes.columns)


def _apart(x: Known, y: Known, subscripts: AttrValue) -> Shape:
    axes = _axes(subscripts)
    sizes = _sizes(x, y, axes)
    return tuple(sizes[c] for c in axes.batch + axes.rows + axes.columns)


def _order_of_result(subscripts: AttrValue) -> tuple[int, ...]:
    axes = _axes(subscripts)
    return tuple(map((axes.batch + axes.rows + axes.columns).index, axes.result))


@einsum.rule(
    source="Einstein's summation convention", numerics=REASSOCIATES, when=[is_product("t")]
)
def einsum_of_two_is_product(x: Tensor, y: Tensor, t: StrAttr) -> Sides:
    def matrices(operand: Pattern, order: object, shape: object) -> Pattern:
        return ops.reshape(ops.permute_dims(operand, axes=order), shape)

    first = matrices(x, compute(_order_of_first, t), compute(_first_matrices, x, y, t))
    second = matrices(y, compute(_order_of_second, t), compute(_second_matrices, x, y, t))
    parts = ops.reshape(first @ second, compute(_apart, x, y, t))
    return (
        ops.einsum([x, y], subscripts=t),
        ops.permute_dims(parts, axes=compute(_order_of_result, t)),
    )


@einsum.rule(source="definition of the outer product", when=[types_agree])
def outer_product_is_product(x: Vector, y: OtherVector) -> Sides:
    return ops.outer(x, y), ops.expand_dims(x, axis=(1,)) * y
