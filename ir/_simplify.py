"""Index arithmetic: integer expressions as polynomials, simplified with the ranges of variables.

A `Poly` is a sum of integer multiples of products of atoms. An atom is a variable, a floor division
or remainder that no rule removes, a minimum or maximum, or any other int64 expression (a load).
Divisors are taken to be at least 1, shape symbols without a range at least 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from eqsat.ir._tir import (
    COMPARISONS,
    Binary,
    BinaryOp,
    BufferLoad,
    IntImm,
    Not,
    PrimExpr,
    Select,
    Var,
    binary,
    select,
)
from eqsat.ir._visit import children, rebuild, walk

Monomial: TypeAlias = tuple[PrimExpr, ...]
Poly: TypeAlias = dict[Monomial, int]
Bound: TypeAlias = "int | PrimExpr | None"
Ranges: TypeAlias = Mapping[Var, tuple["int | PrimExpr", Bound]]

_MAX_STEPS = 24
INDEX_OPS = frozenset({"+", "-", "*", "//", "%", "min", "max"})


def simplify(expr: PrimExpr, ranges: Ranges) -> PrimExpr:
    """Return an equal, simpler expression.

    Args:
        expr: any scalar expression.
        ranges: `var: (min, extent)` says `min <= var < min + extent`; an extent None is no bound.

    Example:
        With `0 <= w < W`, `(h * W + w) // W` is `h`; `(i // c) * c + i % c` is `i`.
    """
    return Simplifier(ranges).expr(expr)


def constant(value: int) -> Poly:
    """Return the polynomial of an integer."""
    return {(): value} if value else {}


def as_constant(p: Poly) -> int | None:
    """Return the integer that `p` is, or None."""
    if not p:
        return 0
    return p.get(()) if len(p) == 1 else None


def add(a: Poly, b: Poly, scale: int = 1) -> Poly:
    """Return `a + scale * b`."""
    if not a and scale == 1:
        return b
    result = dict(a)
    for m, c in b.items():
        total = result.get(m, 0) + scale * c
        if total:
            result[m] = total
        else:
            del result[m]
    return result


def _order(atom: PrimExpr) -> tuple[str, int]:
    if isinstance(atom, Var):
        return atom.name, id(atom)
    return type(atom).__name__, hash(atom)


def mul(a: Poly, b: Poly) -> Poly:
    """Return `a * b`."""
    for x, y in ((a, b), (b, a)):
        factor = as_constant(x)
        if factor is not None:
            return {m: c * factor for m, c in y.items()} if factor else {}
    result: Poly = {}
    for m, c in a.items():
        for n, d in b.items():
            both = m + n
            if m and n:
                both = tuple(sorted(both, key=_order))
            total = result.get(both, 0) + c * d
            if total:
                result[both] = total
            else:
                del result[both]
    return result


def to_expr(p: Poly) -> PrimExpr:
    """Return `p` as an expression, the constant last."""
    result: PrimExpr | None = None
    terms = sorted(p.items(), key=lambda t: (t[1] < 0, not t[0]))
    for monomial, c in terms:
        product: PrimExpr | None = None
        for atom in monomial:
            product = atom if product is None else binary("*", product, atom)
        if product is None:
            product = IntImm(abs(c))
        elif abs(c) != 1:
            product = binary("*", product, IntImm(abs(c)))
        if result is None:
            result = product if c > 0 else binary("-", IntImm(0), product)
        else:
            result = binary("+" if c > 0 else "-", result, product)
    return IntImm(0) if result is None else result


class Simplifier:
    """Simplifies under given ranges; `values` are variables replaced on the way.

    Both may be changed between calls by whoever walks the loops; `forget` after a range changed.
    """

    def __init__(self, ranges: Ranges, values: Mapping[Var, Poly] | None = None) -> None:
        self.ranges = ranges
        self.values: Mapping[Var, Poly] = {} if values is None else values
        # Reads back what is already in simplest form, replacing no variables.
        self._bare = self if values is None else Simplifier(ranges)
        self._read: dict[PrimExpr, Poly] = {}
        self._signs: dict[tuple[frozenset[tuple[Monomial, int]], int], bool] = {}
        self._divided: dict[tuple[str, frozenset[object], frozenset[object]], Poly] = {}
        # By identity of a `%` atom, which is kept alive: its operands, and c * (e // c).
        self._remainders: dict[int, tuple[Binary, Poly, Poly, Poly]] = {}

    def forget(self) -> None:
        """Drop what was derived from ranges that no longer hold."""
        for memo in (self._read, self._signs, self._divided, self._remainders):
            memo.clear()
        if self._bare is not self:
            self._bare.forget()

    # --- expressions -----------------------------------------------------------------------

    def expr(self, e: PrimExpr) -> PrimExpr:
        """Return `e` simplified; operands of loads and intrinsics too."""
        if e.dtype == "int64" and isinstance(e, (Binary, Var)):
            return to_expr(self.poly(e))
        match e:
            case Binary(op, a, b) if op in COMPARISONS and a.dtype == "int64":
                return self.comparison(op, self.poly(a), self.poly(b))
            case Select(c, a, b, lazy):
                return select(self.expr(c), self.expr(a), self.expr(b), lazy=lazy)
            case Not(a):
                inner = self.expr(a)
                return IntImm(1 - inner.value, "bool") if isinstance(inner, IntImm) else Not(inner)
            case Binary("and" as op, a, b) | Binary("or" as op, a, b):
                return self._logic(op, self.expr(a), self.expr(b))
            case _:
                pass
        old = children(e)
        new = [self.expr(c) for c in old]
        return e if all(n is o for n, o in zip(new, old, strict=True)) else rebuild(e, new)

    def _logic(self, op: BinaryOp, a: PrimExpr, b: PrimExpr) -> PrimExpr:
        absorbing = 0 if op == "and" else 1
        for x, y in ((a, b), (b, a)):
            if isinstance(x, IntImm):
                return x if bool(x.value) == absorbing else y
        return a if a == b else binary(op, a, b)

    def comparison(self, op: BinaryOp, a: Poly, b: Poly) -> PrimExpr:
        """Return `a op b`, decided where the ranges decide it."""
        d = add(b, a, -1)
        match op:
            case "<":
                decided = self._decide(add(d, constant(-1)))
            case "<=":
                decided = self._decide(d)
            case ">":
                decided = self._decide(add(constant(-1), d, -1))
            case ">=":
                decided = self._decide(add({}, d, -1))
            case _:
                decided = None
                if not d:
                    decided = op == "=="
                elif as_constant(d) is not None or self._differ(d):
                    decided = op == "!="
        if decided is not None:
            return IntImm(int(decided), "bool")
        return Binary(op, to_expr(a), to_expr(b))

    def _differ(self, d: Poly) -> bool:
        minus_one = constant(-1)
        return self.nonnegative(add(d, minus_one)) or self.nonnegative(add(minus_one, d, -1))

    def _decide(self, d: Poly) -> bool | None:
        """Return whether d >= 0, None if unknown."""
        if self.nonnegative(d):
            return True
        return False if self.nonnegative(add(constant(-1), d, -1)) else None

    # --- polynomials -----------------------------------------------------------------------

    def poly(self, e: PrimExpr) -> Poly:
        """Return an int64 expression as a polynomial in simplest form."""
        if isinstance(e, Var):
            known = self.values.get(e)
            return {(e,): 1} if known is None else known
        if isinstance(e, IntImm):
            return {(): e.value} if e.value else {}
        if isinstance(e, Binary) and e.op in INDEX_OPS and e.dtype == "int64":
            return self._arithmetic(e.op, self.poly(e.a), self.poly(e.b))
        match e:
            case Select(c, a, b, lazy):
                chosen = select(
                    self.expr(c), to_expr(self.poly(a)), to_expr(self.poly(b)), lazy=lazy
                )
                return {(chosen,): 1} if isinstance(chosen, Select) else self.poly(chosen)
            case _:
                old = children(e)
                new = [self.expr(c) for c in old]
                same = all(n is o for n, o in zip(new, old, strict=True))
                return {(e if same else rebuild(e, new),): 1}

    def _arithmetic(self, op: BinaryOp, a: Poly, b: Poly) -> Poly:
        match op:
            case "+":
                return self.joined(add(a, b))
            case "-":
                return self.joined(add(a, b, -1))
            case "*":
                return self.joined(mul(a, b))
            case "//":
                return self.floordiv(a, b)
            case "%":
                return self.mod(a, b)
            case _:
                return self._extremum(op, a, b)

    def _extremum(self, op: BinaryOp, a: Poly, b: Poly) -> Poly:
        d = add(b, a, -1)
        if self.nonnegative(d):
            return a if op == "min" else b
        if self.nonnegative(add({}, d, -1)):
            return b if op == "min" else a
        return {(Binary(op, to_expr(a), to_expr(b)),): 1}

    def floordiv(self, p: Poly, c: Poly) -> Poly:
        """Return `p // c`."""
        return self._memoised("//", p, c)

    def mod(self, p: Poly, c: Poly) -> Poly:
        """Return `p % c`."""
        return self._memoised("%", p, c)

    def _memoised(self, op: str, p: Poly, c: Poly) -> Poly:
        if self._bare is not self:
            # Operands are in simplest form already.
            return self._bare._memoised(op, p, c)
        key = (op, frozenset[object](p.items()), frozenset[object](c.items()))
        known = self._divided.get(key)
        if known is None:
            known = self._floordiv(p, c) if op == "//" else self._mod(p, c)
            self._divided[key] = known
        return known

    def _floordiv(self, p: Poly, c: Poly) -> Poly:
        k = as_constant(c)
        if k is not None and k < 0:  # p // -k = -p // k
            return self.floordiv(add({}, p, -1), constant(-k))
        if k == 1 or not p:
            return p
        if k == 0 or _has_load(p):
            return _opaque("//", p, c)
        quotient, rest = self._split(p, c)
        if quotient:
            return add(quotient, self.floordiv(rest, c))
        if self.nonnegative(rest) and self.nonnegative(add(add(c, rest, -1), constant(-1))):
            return {}
        number = as_constant(rest)
        if number is not None and k is not None:
            return constant(number // k)
        match _single(rest):
            case Binary("//", x, y):  # (x // a) // b = x // (a b)
                return self.floordiv(self.poly(x), mul(self.poly(y), c))
            case Binary("%", x, y):  # (x % (a b)) // b = (x // b) % a
                whole, left = self._split(self.poly(y), c)
                if not left:
                    return self.mod(self.floordiv(self.poly(x), c), whole)
            case _:
                pass
        return _opaque("//", rest, c)

    def _mod(self, p: Poly, c: Poly) -> Poly:
        k = as_constant(c)
        if k is not None and k < 0:  # p % -k = -(-p % k)
            return add({}, self.mod(add({}, p, -1), constant(-k)), -1)
        if k == 1 or not p:
            return {}
        if k == 0 or _has_load(p):
            return _opaque("%", p, c)
        _, rest = self._split(p, c)
        if self.nonnegative(rest) and self.nonnegative(add(add(c, rest, -1), constant(-1))):
            return rest
        number = as_constant(rest)
        if number is not None and k is not None:
            return constant(number % k)
        match _single(rest):
            case Binary("%", x, y):  # (x % (a b)) % b = x % b
                _, left = self._split(self.poly(y), c)
                if not left:
                    return self.mod(self.poly(x), c)
            case _:
                pass
        return _opaque("%", rest, c)

    def _split(self, p: Poly, c: Poly) -> tuple[Poly, Poly]:
        """Return q, r with p = q * c + r, taking whole terms only (c a constant or one product)."""
        k = as_constant(c)
        if k is not None:
            whole = {m: v // k for m, v in p.items() if v // k and (v % k == 0 or not m)}
            # Of the constant its whole part, of other terms all or nothing.
            return whole, add(p, {m: v * k for m, v in whole.items()}, -1)
        if len(c) != 1:
            return ({(): 1}, {}) if p == c else self._split_sum(p, c)
        ((atoms, factor),) = c.items()
        quotient: Poly = {}
        for m, v in p.items():
            left = _without(m, atoms)
            if left is not None and v % factor == 0:
                quotient[left] = v // factor
        return quotient, add(p, mul(quotient, c), -1)

    def _split_sum(self, p: Poly, c: Poly) -> tuple[Poly, Poly]:
        """As `_split` for a sum c: take out whole multiples of c, term by leading term."""
        lead, factor = max(c.items(), key=lambda t: len(t[0]))
        quotient: Poly = {}
        rest = p
        for m, v in p.items():
            left = _without(m, lead)
            if left is None or v % factor:
                continue
            candidate = {left: v // factor}
            smaller = add(rest, mul(candidate, c), -1)
            if len(smaller) <= len(rest) - len(c):
                quotient, rest = add(quotient, candidate), smaller
        return quotient, rest

    def joined(self, p: Poly) -> Poly:
        """Return `p` with `k c (e // c) + k (e % c)` as `k e`, and the like."""
        for monomial, k in p.items():
            for i, atom in enumerate(monomial):
                if not isinstance(atom, Var) and isinstance(atom, Binary) and atom.op == "%":
                    outer = {monomial[:i] + monomial[i + 1 :]: k}
                    joined = self._join(p, monomial, outer, atom)
                    if joined is not None:
                        return self.joined(joined)
        return p

    def _remainder(self, atom: Binary) -> tuple[Poly, Poly, Poly]:
        known = self._remainders.get(id(atom))
        if known is None:
            e, c = self.poly(atom.a), self.poly(atom.b)
            known = self._remainders[id(atom)] = (atom, e, c, mul(c, self.floordiv(e, c)))
        return known[1:]

    def _join(self, p: Poly, monomial: Monomial, outer: Poly, atom: Binary) -> Poly | None:
        # The atom is already in simplest form: read it back without replacing variables.
        plain = self._bare
        e, c, whole = plain._remainder(atom)
        high = mul(outer, whole)
        if high and all(p.get(m) == v for m, v in high.items()):
            rest = add(add(p, high, -1), {monomial: p[monomial]}, -1)
            return add(rest, mul(outer, e))
        # k b ((i // b) % a) + k (i % b) = k (i % (a b))
        for other, v in p.items():
            for j, upper in enumerate(other):
                if not (isinstance(upper, Binary) and upper.op == "%" and upper is not atom):
                    continue
                if {other[:j] + other[j + 1 :]: v} != mul(outer, c):
                    continue
                if plain.poly(upper.a) == plain.floordiv(e, c):
                    rest = add(add(p, {monomial: p[monomial]}, -1), {other: v}, -1)
                    return add(rest, mul(outer, plain.mod(e, mul(c, plain.poly(upper.b)))))
        return None

    # --- bounds ----------------------------------------------------------------------------

    def nonnegative(self, p: Poly, steps: int = _MAX_STEPS) -> bool:
        """Say whether `p >= 0` is provable by replacing variables by the ends of their ranges."""
        if self._bare is not self:
            return self._bare.nonnegative(p, steps)
        key = (frozenset(p.items()), steps)
        known = self._signs.get(key)
        if known is None:
            known = self._signs[key] = self._proves_nonnegative(p, steps)
        return known

    def _proves_nonnegative(self, p: Poly, steps: int) -> bool:
        for _ in range(steps):
            if all(c > 0 and self._all_nonnegative(m) for m, c in p.items()):
                return True
            if not p or (len(p) == 1 and () in p):
                return p.get((), 0) >= 0
            following = self._eliminate(p, steps - 4)
            if following is None:
                return False
            p = following
        return False

    def _all_nonnegative(self, m: Monomial) -> bool:
        return all(self._least(atom) is not None for atom in m) or (len(m) == 2 and m[0] == m[1])

    def _eliminate(self, p: Poly, steps: int) -> Poly | None:
        """Return a polynomial that is at most `p`, with one atom fewer."""
        for atom in sorted({a for m in p for a in m}, key=self._elimination_order, reverse=True):
            slope: Poly = {}
            for m, c in p.items():
                times = m.count(atom)
                if times > 1:
                    break
                if times:
                    i = m.index(atom)
                    slope[m[:i] + m[i + 1 :]] = c
            else:
                rising = all(c > 0 and self._all_nonnegative(m) for m, c in slope.items())
                falling = all(c < 0 and self._all_nonnegative(m) for m, c in slope.items())
                end = (
                    self._least(atom)
                    if rising
                    else self._greatest(atom, steps)
                    if falling
                    else None
                )
                if end is None or (rising and end == {(atom,): 1}):
                    continue
                change = mul(slope, add(end, {(atom,): -1}))
                if change:
                    return add(p, change)
        return None

    def _elimination_order(self, atom: PrimExpr) -> tuple[int, int]:
        # Loop variables before the sizes that bound them; compound atoms first.
        if not isinstance(atom, Var):
            return 2, 0
        found = self.ranges.get(atom)
        if found is None:
            return 0, 0
        extent = found[1]
        depends = isinstance(extent, PrimExpr) and not isinstance(extent, IntImm)
        return 1, int(depends)

    def _least(self, atom: PrimExpr) -> Poly | None:
        """Return a lower bound that is itself never negative, or None."""
        match atom:
            case Var():
                found = self.ranges.get(atom)
                if found is None:
                    return {} if atom.dtype == "int64" else None
                low = found[0]
                if isinstance(low, int):
                    return constant(low) if low >= 0 else None
                p = self._plain(low)
                return p if self.nonnegative(p, 4) else None
            case Binary("%", _, b) if self._positive_divisor(b):
                return {}
            case Binary("//", a, b) if self._positive_divisor(b):
                return {} if self.nonnegative(self._plain(a), 8) else None
            case Binary("min" | "max" as op, a, b):
                known = [self.nonnegative(self._plain(x), 8) for x in (a, b)]
                return {} if (all(known) if op == "min" else any(known)) else None
            case _:
                return None

    def _positive_divisor(self, b: PrimExpr) -> bool:
        return not isinstance(b, IntImm) or b.value > 0

    def _plain(self, e: PrimExpr) -> Poly:
        known = self._read.get(e)
        if known is None:
            known = self._read[e] = self._bare.poly(e)
        return known

    def _end(self, end: int | PrimExpr) -> Poly:
        return constant(end) if isinstance(end, int) else self._plain(end)

    def _greatest(self, atom: PrimExpr, steps: int) -> Poly | None:
        """Return an upper bound, or None."""
        if steps <= 0:
            return None
        match atom:
            case Var():
                found = self.ranges.get(atom)
                if found is None or found[1] is None:
                    return None
                low, extent = self._end(found[0]), self._end(found[1])
                return add(add(low, extent), constant(-1))
            case Binary("%", _, b):
                return add(self._plain(b), constant(-1))
            case Binary("//", a, b):
                return self._greatest_quotient(self._plain(a), self._plain(b), steps)
            case Binary("min", a, b):
                p, q = self._plain(a), self._plain(b)
                if as_constant(q) is not None:
                    return q
                return p if isinstance(b, Var) or len(p) <= 1 else q
            case Binary("max", a, b):
                p, q = (self._ceiling(self._plain(x), steps) for x in (a, b))
                if self.nonnegative(add(p, q, -1), 4):
                    return p
                return q if self.nonnegative(add(q, p, -1), 4) else None
            case _:
                return None

    def _ceiling(self, p: Poly, steps: int) -> Poly:
        """Return `p`, or the upper bound of the atom that it is."""
        atom = _single(p)
        top = None if atom is None else self._greatest(atom, steps - 4)
        return p if top is None else top

    def _greatest_quotient(self, p: Poly, c: Poly, steps: int) -> Poly | None:
        """Bound p // c: from p < c k + r with r <= 0 follows p // c <= k - 1."""
        top = p
        for atom in {a for m in p for a in m}:
            if any(len(m) > 1 and atom in m for m in p) or p.get((atom,), -1) < 0:
                continue
            end = self._greatest(atom, steps - 4)
            if end is not None:
                top = add(top, mul({(): p[(atom,)]}, add(end, {(atom,): -1})))
        k, r = self._split(add(top, constant(1)), c)
        number = as_constant(c)
        if number is not None and as_constant(top) is not None:
            return constant((as_constant(top) or 0) // number)
        if self.nonnegative(add({}, r, -1), 4):
            return add(k, constant(-1))
        # r < c then gives p // c <= k.
        return k if self.nonnegative(add(c, r, -1), 4) else None


def _has_load(p: Poly) -> bool:
    # Loaded integers may be anything: no reasoning on them divides.
    return any(
        isinstance(n, BufferLoad)
        for m in p
        for atom in m
        if not isinstance(atom, Var)
        for n in walk(atom)
    )


def _opaque(op: BinaryOp, a: Poly, b: Poly) -> Poly:
    return {(Binary(op, to_expr(a), to_expr(b)),): 1}


def _single(p: Poly) -> PrimExpr | None:
    if len(p) != 1:
        return None
    ((m, c),) = p.items()
    return m[0] if c == 1 and len(m) == 1 else None


def _without(m: Monomial, atoms: Monomial) -> Monomial | None:
    left = list(m)
    for atom in atoms:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)
