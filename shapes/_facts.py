"""What is known about symbols: ranges, divisibility, equalities, inequalities."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf

from eqsat.shapes._dims import Dim, SymDim, hidden_symbol, interval, symbols
from eqsat.shapes._errors import ShapeError
from eqsat.shapes._interval import Interval
from eqsat.shapes._view import linear_solve, substitute


@dataclass(frozen=True, slots=True)
class Facts:
    """Immutable facts in scope of a program.

    Attributes:
        ranges: (symbol, least, greatest or None); symbols not named are >= 1, or >= 0 when
            `positive` is false.
        divisible: (dim, k): k divides the dim.
        equal: pairs of dims with the same value.
        nonnegative: dims that are >= 0.
        positive: whether a symbol without a range is at least 1.
    """

    ranges: tuple[tuple[str, int, int | None], ...] = ()
    divisible: tuple[tuple[Dim, int], ...] = ()
    equal: tuple[tuple[Dim, Dim], ...] = ()
    nonnegative: tuple[Dim, ...] = ()
    positive: bool = True

    def with_range(self, name: str, lo: int = 0, hi: int | None = None) -> "Facts":
        """Return these facts and `lo <= name <= hi`, on top of ranges stated before."""
        if lo < 0:
            raise ShapeError(f"range of {name} starts at {lo}; a size is never negative")
        others = tuple(each for each in self.ranges if each[0] != name)
        for _, old_lo, old_hi in (each for each in self.ranges if each[0] == name):
            lo = max(lo, old_lo)
            hi = old_hi if hi is None else hi if old_hi is None else min(hi, old_hi)
        if hi is not None and hi < lo:
            raise ShapeError(f"the ranges stated for {name} leave nothing: {lo} <= {name} <= {hi}")
        return _checked(replace(self, ranges=tuple(sorted((*others, (name, lo, hi))))))

    def with_divisible(self, d: Dim, k: int) -> "Facts":
        """Return these facts and `d % k == 0`."""
        if k < 1:
            raise ShapeError(f"{d} cannot be stated divisible by {k}; a divisor is at least 1")
        if isinstance(d % k, int) and d % k != 0:
            raise ShapeError(f"{d} was stated divisible by {k}, but leaves {d % k}")
        if d % k == 0 or (d, k) in self.divisible:
            return self
        return _checked(replace(self, divisible=(*self.divisible, (d, k))))

    def with_equal(self, a: Dim, b: Dim) -> "Facts":
        """Return these facts and `a == b`."""
        if self.canonical(a) is self.canonical(b) or (a, b) in self.equal:
            return self
        return _checked(replace(self, equal=(*self.equal, (a, b))))

    def with_nonnegative(self, d: Dim) -> "Facts":
        """Return these facts and `d >= 0`."""
        if d in self.nonnegative:
            return self
        return _checked(replace(self, nonnegative=(*self.nonnegative, d)))

    def canonical(self, d: Dim) -> Dim:
        """Return `d` with the symbols that the equalities determine replaced."""
        if isinstance(d, int) or not self.equal:
            return d
        return substitute(d, scope_of(replace(self, divisible=())).solved)

    def range_of(self, name: str) -> Interval:
        """Return the stated range of a symbol."""
        for known, lo, hi in self.ranges:
            if known == name:
                return Interval(lo, inf if hi is None else hi)
        return Interval(1 if self.positive else 0, inf)


NO_FACTS = Facts()
"""Every symbol is at least 1, nothing else is known."""


def _checked(facts: Facts) -> Facts:
    scope_of(facts)
    return facts


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """Facts worked out for proofs.

    Attributes:
        solved: symbols determined by others; values mention no solved symbol.
        zero: dims known to be 0 that could not be solved for a symbol.
        nonnegative: dims known to be >= 0, in terms of unsolved symbols.
        ranges: of symbols that stand for the quotients of divisible dims.
    """

    facts: Facts
    solved: Mapping[str, Dim]
    zero: tuple[Dim, ...]
    nonnegative: tuple[Dim, ...]
    ranges: Mapping[str, Interval]

    def range_of(self, name: str) -> Interval:
        """Return the range of a symbol, of a quotient, or of a symbol less its least value."""
        if name.endswith("'"):
            base = self.range_of(name[:-1])
            return Interval(0, base.hi - base.lo)
        return self.ranges[name] if name in self.ranges else self.facts.range_of(name)

    def bounds(self, d: Dim) -> Interval:
        """Return bounds of a dim by intervals alone."""
        return interval(d, self.range_of)

    def from_least(self, d: Dim) -> Dim:
        """Return `d` in symbols that start at 0: n becomes n' + least n.

        Polynomials with the same sign everywhere then show it in their coefficients.
        """
        shifts: dict[str, Dim] = {}
        for name in symbols(d):
            lo = self.range_of(name).lo
            if lo > 0:
                shifts[name] = hidden_symbol(f"{name}'") + int(lo)
        return substitute(d, shifts)


@lru_cache(4096)
def scope_of(facts: Facts) -> Scope:
    """Return the facts solved for symbols.

    Raises:
        ShapeError: the facts contradict each other.
    """
    solver = _Solver(facts)
    for a, b in facts.equal:
        solver.equate(a, b, f"{a} == {b}")
    for i, (d, k) in enumerate(facts.divisible):
        solver.divide(d, k, f"?{i}")
    scope = solver.scope()
    for d in scope.nonnegative:
        if scope.bounds(d).hi < 0:
            raise ShapeError(f"the facts contradict each other: they need {d} >= 0; {_list(facts)}")
    for d in scope.zero:
        lo, hi = scope.bounds(d)
        if lo > 0 or hi < 0:
            raise ShapeError(f"the facts contradict each other: they need {d} == 0; {_list(facts)}")
    return scope


def _list(facts: Facts) -> str:
    stated = [f"{a} == {b}" for a, b in facts.equal]
    stated += [f"{d} % {k} == 0" for d, k in facts.divisible]
    stated += [f"{d} >= 0" for d in facts.nonnegative]
    stated += [f"{lo} <= {name} <= {hi}" for name, lo, hi in facts.ranges]
    return f"stated: {', '.join(stated)}"


class _Solver:
    """Gaussian elimination over the equalities, one symbol at a time."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.solved: dict[str, Dim] = {}
        self.zero: list[Dim] = []
        self.nonnegative: list[Dim] = list(facts.nonnegative)
        self.ranges: dict[str, Interval] = {}

    def equate(self, a: Dim, b: Dim, stated: str) -> None:
        difference = substitute(a - b, self.solved)
        if isinstance(difference, int):
            if difference:
                reason = _list(self.facts)
                raise ShapeError(
                    f"{stated} contradicts the other facts (off by {difference}); {reason}"
                )
            return
        solution = self._solution(difference)
        if solution is None:
            self.zero.append(difference)
            return
        name, value = solution
        self.solved = {known: substitute(d, {name: value}) for known, d in self.solved.items()}
        self.solved[name] = value
        lo, hi = self._range_of(name)
        self.nonnegative.append(value - int(lo))
        if hi != inf:
            self.nonnegative.append(int(hi) - value)

    def divide(self, d: Dim, k: int, quotient: str) -> None:
        """State `d == k * quotient` for a fresh symbol; only if d, so the symbol, is >= 0."""
        d = substitute(d, self.solved)
        lo, hi = interval(d, self._range_of)
        if lo < 0 or isinstance(d, int):
            return
        q = hidden_symbol(quotient)
        self.ranges[quotient] = Interval(-(-lo // k), inf if hi == inf else hi // k)
        difference = d - q * k
        assert isinstance(difference, SymDim)
        solution = self._solution(difference, but=quotient)
        if solution is not None:
            self.equate(hidden_symbol(solution[0]), solution[1], f"{d} % {k} == 0")

    def _solution(self, difference: SymDim, but: str = "") -> tuple[str, Dim] | None:
        found: list[tuple[bool, int, str, Dim]] = []
        for i, name in enumerate(sorted(difference.symbols - {but}, reverse=True)):
            value = linear_solve(difference, name, 0, self._range_of)
            if value is not None and name not in symbols(value):
                found.append((interval(value).lo < 0, i, name, value))
        # A value that cannot be negative says more to interval arithmetic.
        return min(found, key=lambda each: each[:2])[2:] if found else None

    def _range_of(self, name: str) -> Interval:
        return self.ranges[name] if name in self.ranges else self.facts.range_of(name)

    def scope(self) -> Scope:
        known = tuple(dict.fromkeys(substitute(d, self.solved) for d in self.nonnegative))
        zero = tuple(substitute(d, self.solved) for d in self.zero)
        return Scope(self.facts, self.solved, zero, known, self.ranges)
