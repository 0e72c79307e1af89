"""Truth values over sizes: held as dims that are 0 or 1, spelled as comparisons.

`n % 16 == 0` is `1 - min(n % 16, 1)`; so all that reads dims (substitution, evaluation, symbols)
reads conditions too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from eqsat.shapes import Atom, Dim, SymDim, dim_max, dim_min, interval


def compare(op: ast.cmpop, a: Dim, b: Dim) -> Dim | None:
    """Return 1 where the comparison holds and 0 where not; None where `op` compares no sizes."""
    match op:
        case ast.Eq():
            return 1 - _differ(a, b)
        case ast.NotEq():
            return _differ(a, b)
        case ast.Lt():
            return _nonzero(dim_max(0, b - a))
        case ast.Gt():
            return _nonzero(dim_max(0, a - b))
        case ast.LtE():
            return 1 - _nonzero(dim_max(0, a - b))
        case ast.GtE():
            return 1 - _nonzero(dim_max(0, b - a))
        case _:
            return None


def condition_text(condition: Dim, dim_text: Callable[[Dim], str]) -> str:
    """Return the shortest comparison found that `compare` reads as `condition`."""
    found = [f"{dim_text(condition)} != 0"]
    for held, above, equal in ((condition, ">", "!="), (1 - condition, "<=", "==")):
        for size in _compared(held):
            if _differ(size, 0) is held:
                found.append(f"{dim_text(size)} {equal} 0")
            if _nonzero(dim_max(0, size)) is held:
                found.append(f"{dim_text(size)} {above} 0")
    return min(found, key=len)


def _differ(a: Dim, b: Dim) -> Dim:
    # The 0 lets bounds say that the distance is none below.
    return _nonzero(dim_max(0, dim_max(a - b, b - a)))


def _nonzero(size: Dim) -> Dim:
    """Return 1 where a size >= 0 is above 0."""
    low, high = interval(size)
    return size if low >= 0 and high <= 1 else dim_min(1, size)


def _compared(condition: Dim) -> Iterator[Dim]:
    """Yield the sizes that a condition may compare with 0: operands of its extrema, shifted."""
    if not isinstance(condition, SymDim):
        return
    shift = dict(condition.terms).get((), 0)
    for monomial, _ in condition.terms:
        for atom in monomial:
            yield from (a + shift for a in _operands(atom))


def _operands(atom: Atom) -> Iterator[SymDim]:
    for a in atom.args if atom.kind in ("min", "max") else ():
        if isinstance(a, SymDim):
            yield a
            for monomial, _ in a.terms:
                for inner in monomial:
                    yield from _operands(inner)
