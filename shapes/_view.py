"""What other layers do with a dim: look inside, substitute, evaluate, solve."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal, cast

from eqsat.shapes._dims import (
    Atom,
    Dim,
    Monomial,
    Shape,
    SymDim,
    dim_max,
    dim_min,
    from_terms,
    interval,
    product,
    terms_of,
)
from eqsat.shapes._errors import ShapeError
from eqsat.shapes._interval import Interval, RangeOf


@dataclass(frozen=True, slots=True)
class DimNode:
    """One node of a dim as a tree: what lowering walks to emit index arithmetic.

    `add` and `mul` take two or more operands, a constant last; the other operations take two.
    `name` is set for `sym`, `value` for `int`.
    """

    kind: Literal["sym", "int", "add", "mul", "floordiv", "mod", "min", "max"]
    name: str = ""
    value: int = 0
    args: "tuple[DimNode, ...]" = ()


@cache
def view(d: Dim) -> DimNode:
    """Return `d` as a tree of nodes."""
    if isinstance(d, int):
        return DimNode("int", value=d)
    terms = [_term_view(monomial, c) for monomial, c in d.terms]
    return terms[0] if len(terms) == 1 else DimNode("add", args=tuple(terms))


def _term_view(monomial: Monomial, coefficient: int) -> DimNode:
    factors = [_atom_view(atom) for atom in monomial]
    if coefficient != 1 or not factors:
        factors.append(DimNode("int", value=coefficient))
    return factors[0] if len(factors) == 1 else DimNode("mul", args=tuple(factors))


def _atom_view(atom: Atom) -> DimNode:
    return DimNode(atom.kind, atom.name, args=tuple(view(arg) for arg in atom.args))


def substitute(d: Dim, env: Mapping[str, Dim]) -> Dim:
    """Return `d` with the symbols in `env` replaced, all at once; others stay."""
    if isinstance(d, int) or d.symbols.isdisjoint(env):
        return d
    result: Dim = 0
    for monomial, c in d.terms:
        result = result + product([c, *(_substitute_atom(atom, env) for atom in monomial)])
    return result


def _substitute_atom(atom: Atom, env: Mapping[str, Dim]) -> Dim:
    if atom.kind == "sym":
        return env[atom.name] if atom.name in env else from_terms({(atom,): 1})
    a, b = (substitute(arg, env) for arg in atom.args)
    match atom.kind:
        case "floordiv" | "mod" if b == 0:
            raise ShapeError(f"the divisor of {atom} becomes 0 with {_env_text(atom, env)}")
        case "floordiv":
            return a // b
        case "mod":
            return a % b
        case "min":
            return dim_min(a, b)
        case "max":
            return dim_max(a, b)


def _env_text(atom: Atom, env: Mapping[str, Dim]) -> str:
    return ", ".join(f"{name} = {env[name]}" for name in sorted(atom.symbols & env.keys()))


def substitute_shape(shape: Shape, env: Mapping[str, Dim]) -> Shape:
    """Return `shape` with the symbols in `env` replaced."""
    return tuple(substitute(d, env) for d in shape)


def evaluate(d: Dim, env: Mapping[str, int]) -> int:
    """Return the number that `d` is when its symbols have the values in `env`.

    Raises:
        ShapeError: a symbol has no value, or a divisor is 0.
    """
    if isinstance(d, int):
        return d
    names, compute = _compiled(d)
    try:
        return compute(*[env[name] for name in names])
    except KeyError as error:
        given = ", ".join(sorted(env)) or "none"
        raise ShapeError(
            f"cannot evaluate the size {d}: symbol {error.args[0]!r} has no value (given: {given})"
        ) from None
    except ZeroDivisionError:
        values = ", ".join(f"{name} = {env[name]}" for name in names)
        raise ShapeError(f"cannot evaluate the size {d}: a divisor is 0 at {values}") from None


@lru_cache(1 << 14)
def _compiled(d: SymDim) -> tuple[tuple[str, ...], Callable[..., int]]:
    names = tuple(sorted(d.symbols))
    # The text holds only operators, min, max and names that `sym` has checked.
    function: object = eval(f"lambda {', '.join(names)}: {d}", {"min": min, "max": max})
    return names, cast("Callable[..., int]", function)


def _at_least_one(_: str) -> Interval:
    return Interval(1, math.inf)


def linear_solve(
    expr: Dim, symbol: str, value: Dim, range_of: RangeOf = _at_least_one
) -> Dim | None:
    """Return the x with `expr == value` for `symbol` = x, or None.

    None when `expr` is not linear in the symbol, when its factor may be 0 for symbols within
    `range_of`, or when the division is not provably exact.

    Example:
        `linear_solve(2 * n + 2, "n", m * 4)` is `m * 2 - 1`.
    """
    slope: dict[Monomial, int] = {}
    offset: dict[Monomial, int] = {}
    for monomial, c in terms_of(expr).items():
        holding = [i for i, atom in enumerate(monomial) if symbol in atom.symbols]
        if not holding:
            offset[monomial] = c
        elif len(holding) == 1 and monomial[holding[0]].kind == "sym":
            slope[monomial[: holding[0]] + monomial[holding[0] + 1 :]] = c
        else:
            return None
    factor, rest = from_terms(slope), value - from_terms(offset)
    lo, hi = interval(factor, range_of)
    if lo <= 0 <= hi:
        return None
    if hi < 0:
        # A divisor dim is taken to be >= 1.
        factor, rest = -factor, -rest
    solution = rest // factor
    return solution if solution * factor == rest else None
