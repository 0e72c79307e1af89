"""Decide predicates over dims: YES for all sizes the facts allow, NO for none, or UNKNOWN."""

import math
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeAlias

from eqsat.shapes._dims import Atom, Dim, Shape, SymDim, from_terms, terms_of
from eqsat.shapes._errors import ShapeError
from eqsat.shapes._facts import NO_FACTS, Facts, Scope, scope_of
from eqsat.shapes._view import substitute


class Proof(Enum):
    """The answer of `prove`."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Equal:
    """a == b."""

    a: Dim
    b: Dim

    def __str__(self) -> str:
        return f"{self.a} == {self.b}"


@dataclass(frozen=True, slots=True)
class LessEqual:
    """a <= b."""

    a: Dim
    b: Dim

    def __str__(self) -> str:
        return f"{self.a} <= {self.b}"


@dataclass(frozen=True, slots=True)
class Less:
    """a < b."""

    a: Dim
    b: Dim

    def __str__(self) -> str:
        return f"{self.a} < {self.b}"


@dataclass(frozen=True, slots=True)
class Divides:
    """k divides d; k is at least 1."""

    k: Dim
    d: Dim

    def __str__(self) -> str:
        return f"({self.d}) % ({self.k}) == 0"


@dataclass(frozen=True, slots=True)
class Positive:
    """d >= 1."""

    d: Dim

    def __str__(self) -> str:
        return f"{self.d} > 0"


@dataclass(frozen=True, slots=True)
class NonNegative:
    """d >= 0."""

    d: Dim

    def __str__(self) -> str:
        return f"{self.d} >= 0"


Predicate: TypeAlias = Equal | LessEqual | Less | Divides | Positive | NonNegative


@lru_cache(1 << 16)
def prove(predicate: Predicate, facts: Facts = NO_FACTS) -> Proof:
    """Return whether `predicate` holds for all sizes that satisfy `facts`.

    Sound, not complete: UNKNOWN also stands for "true but not found", and for a predicate that
    has no meaning because the facts make a divisor 0.

    Raises:
        ShapeError: the facts contradict each other.
    """
    scope = scope_of(facts)
    try:
        return _prove_in(predicate, scope)
    except ShapeError:
        return Proof.UNKNOWN


def _prove_in(predicate: Predicate, scope: Scope) -> Proof:
    match predicate:
        case Equal(a, b):
            return _prove_zero(substitute(a - b, scope.solved), scope)
        case LessEqual(a, b):
            return _prove_nonnegative(substitute(b - a, scope.solved), scope)
        case Less(a, b):
            return _prove_nonnegative(substitute(b - a, scope.solved) - 1, scope)
        case Divides(k, d):
            return _prove_divides(substitute(k, scope.solved), substitute(d, scope.solved), scope)
        case Positive(d):
            return _prove_nonnegative(substitute(d, scope.solved) - 1, scope)
        case NonNegative(d):
            return _prove_nonnegative(substitute(d, scope.solved), scope)


def equal_shapes(a: Shape, b: Shape, facts: Facts = NO_FACTS) -> Proof:
    """Return whether two shapes are the same, axis by axis."""
    if a == b:
        return Proof.YES
    if len(a) != len(b):
        return Proof.NO
    proofs = {prove(Equal(x, y), facts) for x, y in zip(a, b, strict=True)}
    return next((p for p in (Proof.NO, Proof.UNKNOWN) if p in proofs), Proof.YES)


def _prove_nonnegative(d: Dim, scope: Scope) -> Proof:
    if _is_nonnegative(d, scope):
        return Proof.YES
    return Proof.NO if _is_nonnegative(-d - 1, scope) else Proof.UNKNOWN


def _prove_zero(d: Dim, scope: Scope) -> Proof:
    if isinstance(d, int):
        return Proof.NO if d else Proof.YES
    if _never_zero(d) or _is_nonnegative(d - 1, scope) or _is_nonnegative(-d - 1, scope):
        return Proof.NO
    expanded = _without_remainders(d)
    if expanded == 0 or any(_is_multiple(expanded, zero) for zero in scope.zero):
        return Proof.YES
    if _is_nonnegative(d, scope) and _is_nonnegative(-d, scope):
        return Proof.YES
    return Proof.UNKNOWN


def _never_zero(d: SymDim) -> bool:
    """Say whether the coefficients forbid 0: g divides all of them but not the constant."""
    g = math.gcd(*(c for m, c in d.terms if m))
    return terms_of(d).get((), 0) % g != 0


def _is_multiple(d: Dim, zero: Dim) -> bool:
    zero = _without_remainders(zero)
    quotient = d // zero if isinstance(zero, SymDim) else 0
    return quotient * zero == d


def _without_remainders(d: Dim) -> Dim:
    """Return `d` with `p % k` written as `p - p // k * k`, so that both spellings cancel."""
    result: Dim = 0
    for monomial, c in terms_of(d).items():
        term: Dim = c
        for atom in monomial:
            if atom.kind == "mod":
                p, k = atom.args
                term = term * (p - (p // k) * k)
            else:
                term = term * from_terms({(atom,): 1})
        result = result + term
    return result


def _prove_divides(k: Dim, d: Dim, scope: Scope) -> Proof:
    remainder = d % k
    if isinstance(remainder, int):
        return Proof.NO if remainder else Proof.YES
    lo, hi = scope.bounds(remainder)
    if lo > 0:
        return Proof.NO
    return Proof.YES if hi == 0 else Proof.UNKNOWN


# --- nonnegativity by relaxation ------------------------------------------------------------

# Bound the search for one proof to a few ms: a step is a few operations on sums this long.
_MAX_STEPS = 16
_MAX_DEPTH = 6
_MAX_TERMS = 12


def _is_nonnegative(d: Dim, scope: Scope) -> bool:
    if scope.bounds(d).lo >= 0:
        return True
    return _Search(scope).holds(d, 0)


class _Search:
    """Proves d >= 0 by replacing floor, remainder, min and max with bounds of the right side."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.steps_left = _MAX_STEPS

    def holds(self, d: Dim, depth: int) -> bool:
        if self._evident(d):
            return True
        if depth == _MAX_DEPTH or self.steps_left <= 0 or isinstance(d, int):
            return False
        if len(d.terms) > _MAX_TERMS:
            return False
        self.steps_left -= 1
        for alternative in _relaxations(d, self.scope):
            if all(self.holds(each, depth + 1) for each in alternative):
                return True
        if depth == 0:
            return any(self.holds(d - known, _MAX_DEPTH - 2) for known in self.scope.nonnegative)
        return False

    def _evident(self, d: Dim) -> bool:
        if self.scope.bounds(d).lo >= 0:
            return True
        if self.scope.bounds(d).hi < 0:
            return False
        return self.scope.bounds(self.scope.from_least(d)).lo >= 0


def _relaxations(d: SymDim, scope: Scope) -> list[tuple[Dim, ...]]:
    """Return sets of dims; if all of one set are >= 0, so is `d`. From its first such atom."""
    for monomial, c in d.terms:
        for i, atom in enumerate(monomial):
            if atom.kind == "sym":
                continue
            cofactor = from_terms({monomial[:i] + monomial[i + 1 :]: c})
            rest = d - from_terms({monomial: c})
            lo, hi = scope.bounds(cofactor)
            if lo >= 0:
                return _relax_from_below(atom, cofactor, rest)
            if hi <= 0:
                return _relax_from_above(atom, cofactor, rest, scope)
    return []


def _relax_from_below(atom: Atom, cofactor: Dim, rest: Dim) -> list[tuple[Dim, ...]]:
    """Relax `rest + cofactor * atom` with cofactor >= 0: the atom's lower bounds."""
    a, b = atom.args
    match atom.kind:
        case "floordiv":
            return [(rest * b + cofactor * (a - b + 1),)]
        case "mod":
            return [(rest,)]
        case "min":
            return [(rest + cofactor * a, rest + cofactor * b)]
        case "max":
            return [(rest + cofactor * a,), (rest + cofactor * b,)]
        case "sym":
            return []


def _relax_from_above(atom: Atom, cofactor: Dim, rest: Dim, scope: Scope) -> list[tuple[Dim, ...]]:
    """Relax `rest + cofactor * atom` with cofactor <= 0: the atom's upper bounds."""
    a, b = atom.args
    match atom.kind:
        case "floordiv":
            return [(rest * b + cofactor * a,)]
        case "mod":
            whole = [(rest + cofactor * a,)] if scope.bounds(a).lo >= 0 else []
            return [(rest + cofactor * (b - 1),), *whole]
        case "min":
            return [(rest + cofactor * a,), (rest + cofactor * b,)]
        case "max":
            return [(rest + cofactor * a, rest + cofactor * b)]
        case "sym":
            return []
