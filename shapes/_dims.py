"""Dims: integer expressions over named sizes, canonical and interned.

A dim is an `int`, or a `SymDim`: an expanded polynomial with integer coefficients over atoms. An
atom is a symbol (an integer >= 0), or a floor division, remainder, minimum or maximum of dims.
Arithmetic normalises, so equal polynomials are the same object and comparing dims is `is`.
A dim used as a divisor is taken to be >= 1. sympy divides polynomials by polynomials and is
imported only when that is needed; `SymDim.expr` is the sympy view of any dim.
"""

from __future__ import annotations

import keyword
import math
import operator
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple, SupportsIndex, TypeAlias

from eqsat.shapes._errors import ShapeError
from eqsat.shapes._interval import (
    Interval,
    RangeOf,
    floordiv_interval,
    mod_interval,
    nonnegative,
    power_interval,
    product_interval,
)

AtomKind: TypeAlias = Literal["sym", "floordiv", "mod", "min", "max"]
Monomial: TypeAlias = "tuple[Atom, ...]"
Terms: TypeAlias = dict[Monomial, int]

# Memory bound of each memo of an operation; the interning tables themselves never forget.
_MEMO = 1 << 16


class Atom:
    """An indivisible factor: a symbol, or an operation on two dims that is not a polynomial.

    Made only by `_atom`, so that equal atoms are the same object.
    """

    __slots__ = ("args", "kind", "name", "symbols", "text")

    def __init__(self, kind: AtomKind, name: str, args: tuple[Dim, ...]) -> None:
        self.kind: AtomKind = kind
        self.name = name
        self.args = args
        self.text = _atom_text(kind, name, args)
        self.symbols: frozenset[str] = frozenset({name}) if kind == "sym" else symbols(args)

    def __reduce__(self) -> tuple[object, ...]:
        return _atom, (self.kind, self.name, self.args)

    def __repr__(self) -> str:
        return self.text


class SymDim:
    """A size that is not a constant. Made by `sym` and by arithmetic, never directly.

    `str(d)` is Python and TVMScript source that `parse_dim` reads back to the same object.

    Example:
        >>> n = sym("n")
        >>> (2 * n + 4) // 2 is n + 2
        True
    """

    __slots__ = ("_text", "symbols", "terms")
    # numpy integers on the left then defer to the operators below.
    __array_ufunc__ = None

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self.symbols: frozenset[str] = frozenset().union(*(a.symbols for m, _ in terms for a in m))
        self._text = _sum_text(terms)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[object, ...]:
        return _from_terms, (self.terms,)

    def __add__(self, other: SupportsIndex | SymDim) -> Dim:
        return _add(self, as_dim(other))

    def __radd__(self, other: SupportsIndex) -> Dim:
        return _add(self, as_dim(other))

    def __sub__(self, other: SupportsIndex | SymDim) -> Dim:
        return _add(self, _mul(as_dim(other), -1))

    def __rsub__(self, other: SupportsIndex) -> Dim:
        return _add(_mul(self, -1), as_dim(other))

    def __mul__(self, other: SupportsIndex | SymDim) -> Dim:
        return _mul(self, as_dim(other))

    def __rmul__(self, other: SupportsIndex) -> Dim:
        return _mul(self, as_dim(other))

    def __floordiv__(self, other: SupportsIndex | SymDim) -> Dim:
        return _floordiv(self, as_dim(other))

    def __rfloordiv__(self, other: SupportsIndex) -> Dim:
        return _floordiv(as_dim(other), self)

    def __mod__(self, other: SupportsIndex | SymDim) -> Dim:
        return _mod(self, as_dim(other))

    def __rmod__(self, other: SupportsIndex) -> Dim:
        return _mod(as_dim(other), self)

    def __neg__(self) -> Dim:
        return _mul(self, -1)

    @property
    def expr(self) -> Any:
        """The `sympy.Expr` of this dim, over nonnegative integer symbols."""
        from eqsat.shapes._sympy import to_sympy  # noqa: PLC0415  # sympy takes 0.8 s to load

        return to_sympy(self)


Dim: TypeAlias = int | SymDim
Shape: TypeAlias = tuple[Dim, ...]


def as_dim(value: SupportsIndex | SymDim) -> Dim:
    """Return `value` as a plain `int` or a `SymDim`; numpy integers become `int`."""
    return value if isinstance(value, SymDim) else int(operator.index(value))


@lru_cache(_MEMO)
def sym(name: str) -> SymDim:
    """Return the symbol `name`, a size >= 0 that is known only at run time.

    Raises:
        ShapeError: `name` is no identifier; `symbol_name` makes one of any text.
    """
    if not is_symbol_name(name):
        raise ShapeError(
            f"symbol {name!r} is not a usable identifier; symbol_name({name!r}) makes one"
        )
    return hidden_symbol(name)


def hidden_symbol(name: str) -> SymDim:
    """Return the symbol of any name, also one that no program can spell; for proofs."""
    return _as_symdim(_from_terms((((_atom("sym", name, ()),), 1),)))


def is_symbol_name(name: str) -> bool:
    """Say whether `name` may name a symbol: a Python identifier, no keyword, not min or max."""
    return name.isidentifier() and not keyword.iskeyword(name) and name not in ("min", "max")


def dim_min(a: Dim, b: Dim) -> Dim:
    """Return the smaller of two dims."""
    return _extremum("min", a, b)


def dim_max(a: Dim, b: Dim) -> Dim:
    """Return the larger of two dims."""
    return _extremum("max", a, b)


def ceildiv(a: Dim, b: Dim) -> Dim:
    """Return `a / b` rounded up."""
    return (a + b - 1) // b


def product(dims: Iterable[Dim]) -> Dim:
    """Return the product of `dims`; 1 for none."""
    result: Dim = 1
    for d in dims:
        result = result * d
    return result


def symbols(d: Dim | Shape) -> frozenset[str]:
    """Return the names of the symbols in a dim or a shape."""
    match d:
        case int():
            return frozenset()
        case SymDim():
            return d.symbols
        case tuple():
            return frozenset(name for each in d for name in symbols(each))


# --- bounds ---------------------------------------------------------------------------------


def interval(d: Dim, range_of: RangeOf = nonnegative) -> Interval:
    """Return bounds that hold for `d` whenever each symbol is within `range_of(name)`."""
    if isinstance(d, int):
        return Interval(d, d)
    lo: float = 0
    hi: float = 0
    for monomial, coefficient in d.terms:
        term = Interval(coefficient, coefficient)
        for atom, count in _powers(monomial):
            term = product_interval(term, power_interval(_atom_interval(atom, range_of), count))
        lo, hi = lo + term.lo, hi + term.hi
    return Interval(lo, hi)


def _powers(monomial: Monomial) -> Iterator[tuple[Atom, int]]:
    for i, atom in enumerate(monomial):
        if i == 0 or monomial[i - 1] is not atom:
            yield atom, monomial.count(atom)


def _atom_interval(atom: Atom, range_of: RangeOf) -> Interval:
    if atom.kind == "sym":
        return range_of(atom.name)
    a, b = (interval(arg, range_of) for arg in atom.args)
    match atom.kind:
        case "min":
            return Interval(min(a.lo, b.lo), min(a.hi, b.hi))
        case "max":
            return Interval(max(a.lo, b.lo), max(a.hi, b.hi))
        case "floordiv":
            return floordiv_interval(a, b)
        case "mod":
            return mod_interval(a, b)


# --- canonical polynomials ------------------------------------------------------------------


_atoms: dict[tuple[AtomKind, str, tuple[Dim, ...]], Atom] = {}


def _atom(kind: AtomKind, name: str, args: tuple[Dim, ...]) -> Atom:
    found = _atoms.get((kind, name, args))
    # setdefault is atomic: two threads that build the same atom get one object.
    if found is None:
        found = _atoms.setdefault((kind, name, args), Atom(kind, name, args))
    return found


_interned: dict[tuple[tuple[Monomial, int], ...], SymDim] = {}


def _from_terms(terms: tuple[tuple[Monomial, int], ...]) -> Dim:
    """Return the interned dim of sorted nonzero terms."""
    if not terms:
        return 0
    if len(terms) == 1 and not terms[0][0]:
        return terms[0][1]
    found = _interned.get(terms)
    return found if found is not None else _interned.setdefault(terms, SymDim(terms))


def _as_symdim(d: Dim) -> SymDim:
    assert isinstance(d, SymDim)
    return d


def terms_of(d: Dim) -> Terms:
    """Return the polynomial of `d` as {product of atoms: coefficient}; () is the constant."""
    if isinstance(d, SymDim):
        return dict(d.terms)
    return {(): d} if d else {}


def from_terms(terms: Terms) -> Dim:
    """Return the canonical dim of a polynomial; inverse of `terms_of`."""
    kept = [(m, c) for m, c in terms.items() if c]
    plain = _from_terms(tuple(sorted(kept, key=_term_order)))
    for monomial, coefficient in kept:
        for i, atom in enumerate(monomial):
            if atom.kind == "mod":
                rest = monomial[:i] + monomial[i + 1 :]
                joined = _join_division(terms, atom, rest, coefficient)
                if joined is not None:
                    return joined
    return plain


def _join_division(terms: Terms, atom: Atom, rest: Monomial, coefficient: int) -> Dim | None:
    """Return the sum with `c * k * (p // k) + c * (p % k)` as `c * p`, if it has both."""
    p, k = atom.args
    factor = _from_terms(((rest, coefficient),))
    whole = terms_of(factor * k * (p // k))
    if not whole or any(terms.get(m, 0) != c for m, c in whole.items()):
        return None
    remaining = {m: c for m, c in terms.items() if m not in whole}
    del remaining[_sorted_monomial((*rest, atom))]
    return from_terms(remaining) + factor * p


def _term_order(term: tuple[Monomial, int]) -> tuple[int, tuple[str, ...]]:
    return -len(term[0]), tuple(atom.text for atom in term[0])


def _sorted_monomial(atoms: Iterable[Atom]) -> Monomial:
    return tuple(sorted(atoms, key=lambda atom: atom.text))


@lru_cache(_MEMO)
def _add(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    terms = terms_of(a)
    for monomial, coefficient in terms_of(b).items():
        terms[monomial] = terms.get(monomial, 0) + coefficient
    return from_terms(terms)


@lru_cache(_MEMO)
def _mul(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    terms: Terms = {}
    for m, c in terms_of(a).items():
        for n, d in terms_of(b).items():
            monomial = _sorted_monomial(m + n)
            terms[monomial] = terms.get(monomial, 0) + c * d
    return from_terms(terms)


# --- floor division and remainder -----------------------------------------------------------


@lru_cache(_MEMO)
def _floordiv(a: Dim, b: Dim) -> Dim:
    if isinstance(b, int):
        if b == 0:
            raise ShapeError(f"cannot divide the size {a} by zero")
        if isinstance(a, int):
            return a // b
        return _floordiv_int(a, b) if b > 0 else _floordiv(-a, -b)
    if a == 0:
        return 0
    parts = _split_by_dim(a, b)
    if isinstance(parts.divisor, int):
        return parts.quotient + _floordiv(parts.rest, parts.divisor)
    return parts.quotient + _floordiv_rest(parts.rest, parts.divisor)


def _floordiv_int(a: SymDim, k: int) -> Dim:
    """Return `a // k`: whole multiples of k are taken out, then common factors cancelled."""
    quotient = from_terms({m: c // k for m, c in a.terms})
    rest = from_terms({m: c % k for m, c in a.terms})
    if isinstance(rest, int):
        return quotient
    g = _variable_content(rest, k)
    if g > 1:
        # floor((g x + c) / (g k)) = floor((x + floor(c / g)) / k)
        return quotient + _floordiv(from_terms({m: c // g for m, c in rest.terms}), k // g)
    return quotient + _floordiv_rest(rest, k)


def _floordiv_rest(rest: Dim, divisor: Dim) -> Dim:
    """Return `rest // divisor` where nothing can be taken out of the sum or cancelled."""
    if rest == 0:
        return 0
    lo, hi = floordiv_interval(interval(rest), interval(divisor))
    if lo == hi:
        return int(lo)
    if lo >= 0 and interval(divisor - rest).lo >= 1:
        return 0
    inner = _only_floordiv(rest)
    if inner is not None:
        # floor((p + floor(x / a)) / b) = floor((p a + x) / (a b))
        x, a = inner.args
        others = rest - _from_terms((((inner,), 1),))
        return _floordiv(others * a + x, a * divisor)
    return _from_terms((((_atom("floordiv", "", (rest, divisor)),), 1),))


def _only_floordiv(d: Dim) -> Atom | None:
    """Return the floor division in the sum `d`, if there is one, alone in its term, times 1."""
    if isinstance(d, int):
        return None
    divided = [(m, c) for m, c in d.terms if any(atom.kind == "floordiv" for atom in m)]
    if len(divided) != 1 or len(divided[0][0]) != 1 or divided[0][1] != 1:
        return None
    return divided[0][0][0]


@lru_cache(_MEMO)
def _mod(a: Dim, b: Dim) -> Dim:
    if isinstance(b, int):
        if b == 0:
            raise ShapeError(f"cannot take the size {a} modulo zero")
        if isinstance(a, int):
            return a % b
        return _mod_int(a, b) if b > 0 else -_mod(-a, -b)
    if a == 0:
        return 0
    parts = _split_by_dim(a, b)
    if isinstance(parts.divisor, int):
        return parts.common * _mod(parts.rest, parts.divisor)
    return parts.common * _mod_rest(parts.rest, parts.divisor)


def _mod_int(a: SymDim, k: int) -> Dim:
    """Return `a % k`: multiples of k vanish, then common factors come out."""
    rest: Dim = 0
    for monomial, c in a.terms:
        rest = rest + (c % k) * _without_mod(monomial, k)
    if rest is not a:
        return _mod(rest, k)
    g = _variable_content(a, k)
    if g > 1:
        # (g x + c) mod (g k) = g ((x + floor(c / g)) mod k) + c mod g
        shrunk = from_terms({m: c // g for m, c in a.terms})
        return _mod(shrunk, k // g) * g + _constant(a) % g
    return _mod_rest(a, k)


def _without_mod(monomial: Monomial, k: int) -> Dim:
    """Return a dim equal to `monomial` modulo k: `x % j` is x when k divides j."""
    result: Dim = 1
    for atom in monomial:
        inner = _from_terms((((atom,), 1),))
        if atom.kind == "mod":
            x, j = atom.args
            inner = x if isinstance(j, int) and j % k == 0 else inner
        result = result * inner
    return result


def _mod_rest(rest: Dim, divisor: Dim) -> Dim:
    """Return `rest % divisor` where nothing can be taken out of the sum or cancelled."""
    lo, hi = interval(rest)
    if isinstance(divisor, int):
        if not math.isinf(lo) and not math.isinf(hi) and lo // divisor == hi // divisor:
            return rest - divisor * int(lo // divisor)
    elif rest == 0 or (lo >= 0 and interval(divisor - rest).lo >= 1):
        return rest
    return _from_terms((((_atom("mod", "", (rest, divisor)),), 1),))


def _constant(d: Dim) -> int:
    return terms_of(d).get((), 0)


def _variable_content(d: SymDim, k: int) -> int:
    return math.gcd(k, *(c for m, c in d.terms if m))


class _Split(NamedTuple):
    """a = common * (quotient * divisor + rest), b = common * divisor, common > 0."""

    common: Dim
    quotient: Dim
    rest: Dim
    divisor: Dim


def _split_by_dim(a: Dim, b: SymDim) -> _Split:
    """Divide `a` by `b` as polynomials as far as integers allow."""
    from eqsat.shapes._sympy import cancel, exact_divide  # noqa: PLC0415  # sympy: 0.8 s to load

    common, p, q = map(from_terms, cancel(terms_of(a), terms_of(b)))
    if interval(common).lo < 0:
        common, p, q = -common, -p, -q
    if interval(common).lo < 0:
        # A factor that may be negative must stay: it would flip the rounding.
        common, p, q = 1, a, b
    if isinstance(q, int):
        return _Split(common, 0, p, q) if q > 0 else _Split(1, 0, a, b)
    quotient, rest = map(from_terms, exact_divide(terms_of(p), terms_of(q)))
    # A quotient by a sum with a remainder, as n = (n + 1) - 1, is no simplification.
    if rest == 0 or len(q.terms) == 1:
        return _Split(common, quotient, rest, q)
    return _Split(common, 0, p, q)


# --- minimum and maximum --------------------------------------------------------------------


@lru_cache(_MEMO)
def _extremum(kind: Literal["min", "max"], a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b) if kind == "min" else max(a, b)
    operands = _undominated(kind, [*_operands(kind, a), *_operands(kind, b)])
    if len(operands) == 1:
        return operands[0]
    shift = min(_constant(d) for d in operands if isinstance(d, SymDim))
    if shift:
        return _fold_extremum(kind, [d - shift for d in operands]) + shift
    return _fold_extremum(kind, operands)


def _fold_extremum(kind: Literal["min", "max"], operands: list[Dim]) -> Dim:
    g = math.gcd(*(c for d in operands for c in terms_of(d).values()))
    shrunk = [from_terms({m: c // g for m, c in terms_of(d).items()}) for d in operands]
    result, *others = sorted(shrunk, key=lambda d: (isinstance(d, int), str(d)))
    for d in others:
        result = _from_terms((((_atom(kind, "", (result, d)),), 1),))
    return result * g


def _operands(kind: Literal["min", "max"], d: Dim) -> list[Dim]:
    """Return what `d` is the extremum of: min(min(a, b), c) + 1 gives a + 1, b + 1, c + 1."""
    if isinstance(d, int):
        return [d]
    inner = [(m[0], c) for m, c in d.terms if len(m) == 1 and m[0].kind == kind]
    constant = _constant(d)
    if len(inner) != 1 or inner[0][1] < 1 or len(d.terms) != 1 + bool(constant):
        return [d]
    atom, scale = inner[0]
    return [scale * each + constant for arg in atom.args for each in _operands(kind, arg)]


def _undominated(kind: Literal["min", "max"], operands: list[Dim]) -> list[Dim]:
    kept: list[Dim] = []
    # Sorted: of two operands that are always equal but written differently, the same one stays.
    for d in sorted(operands, key=str):
        if any(_wins(kind, k, d) for k in kept):
            continue
        kept = [k for k in kept if not _wins(kind, d, k)]
        kept.append(d)
    return kept


def _wins(kind: Literal["min", "max"], a: Dim, b: Dim) -> bool:
    return interval(b - a if kind == "min" else a - b).lo >= 0


# --- text -----------------------------------------------------------------------------------


def _sum_text(terms: tuple[tuple[Monomial, int], ...]) -> str:
    # Positive terms lead, so that 16 - n needs no unary minus.
    first, *others = sorted(terms, key=lambda term: term[1] < 0)
    text = _term_text(*first)
    for monomial, c in others:
        text += f" {'-' if c < 0 else '+'} {_term_text(monomial, abs(c))}"
    return text


def _term_text(monomial: Monomial, coefficient: int) -> str:
    if not monomial:
        return str(coefficient)
    if len(monomial) == 1 and abs(coefficient) == 1:
        text = monomial[0].text
        infix = monomial[0].kind in ("floordiv", "mod")
        return text if coefficient == 1 else f"-({text})" if infix else f"-{text}"
    factors = [f"({a.text})" if a.kind in ("floordiv", "mod") else a.text for a in monomial]
    if coefficient != 1:
        factors.append(str(coefficient))
    return " * ".join(factors)


def _atom_text(kind: AtomKind, name: str, args: tuple[Dim, ...]) -> str:
    match kind:
        case "sym":
            return name
        case "floordiv":
            return f"{_operand_text(args[0])} // {_operand_text(args[1])}"
        case "mod":
            return f"{_operand_text(args[0])} % {_operand_text(args[1])}"
        case "min" | "max":
            return f"{kind}({args[0]}, {args[1]})"


def _operand_text(d: Dim) -> str:
    text = str(d)
    bare = text.isalnum() if isinstance(d, int) else _is_single(d)
    return text if bare else f"({text})"


def _is_single(d: SymDim) -> bool:
    monomial, c = d.terms[0]
    return (
        len(d.terms) == 1
        and c == 1
        and len(monomial) == 1
        and monomial[0].kind
        in (
            "sym",
            "min",
            "max",
        )
    )
