"""Where code stands: nested loops and branches, and index arithmetic hoisted out of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from eqsat.backends._errors import CodegenError
from eqsat.backends._functions import Arithmetic
from eqsat.backends._values import Value
from eqsat.ir._simplify import INDEX_OPS, Monomial, Poly, Simplifier, as_constant
from eqsat.ir.tir import Binary, IntImm, PrimExpr, Var


@dataclass(slots=True)
class Scope:
    """One loop or branch. `before` is filled with code that runs once, before it is entered."""

    before: list[str]
    known: dict[object, str] = field(default_factory=dict[object, str])
    loads: dict[tuple[object, ...], Value] = field(default_factory=dict[tuple[object, ...], Value])


class IndexArithmetic(Arithmetic, ABC):
    """Emits polynomials over loop variables, each part as far out as its variables allow.

    `names` holds the SSA names of the variables that are in registers and the depth of the scope
    that binds each; `values` what the others stand for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[Var, Value] = {}
        self.depths: dict[Var, int] = {}
        self.values: dict[Var, Poly] = {}
        self.ranges: dict[Var, tuple[int | PrimExpr, int | PrimExpr | None]] = {}
        self.simplifier = Simplifier(self.ranges, self.values)
        self._last_ranges: dict[Var, object] = {}
        self.scopes: list[Scope] = [Scope([])]
        self.block = "entry"

    # --- blocks -----------------------------------------------------------------------------

    def begin(self, label: str) -> None:
        """Start the basic block `label`."""
        self.lines.append(f"{label}:")
        self.block = label

    def label(self, stem: str) -> str:
        """Return an unused label."""
        self.count += 1
        return f"{stem}{self.count}"

    def enter(self) -> None:
        """Open a scope here; what is hoisted out of it stands at this point."""
        self.scopes.append(Scope(self.hoisting_point()))

    def hoisting_point(self) -> list[str]:
        """Return a place in the code, here, to be filled later."""
        before: list[str] = []
        self.lines.append(before)
        return before

    def leave(self) -> None:
        """Close the innermost scope; memory may have changed inside."""
        self.scopes.pop()
        for scope in self.scopes:
            scope.loads.clear()

    def branch(self, condition: Value, yes: str, no: str) -> list[str]:
        """Branch on a scalar; returns where the scopes of both sides hoist to."""
        before = self.hoisting_point()
        self.lines.append(f"  br i1 {condition.text}, label %{yes}, label %{no}")
        return before

    def open_side(self, label: str, before: list[str]) -> None:
        """Start one side of a branch."""
        self.scopes.append(Scope(before))
        self.begin(label)

    def close_side(self, end: str) -> None:
        """End one side of a branch."""
        self.lines.append(f"  br label %{end}")
        self.leave()

    @property
    def depth(self) -> int:
        """The number of the innermost scope."""
        return len(self.scopes) - 1

    def set_range(self, var: Var, bounds: tuple[int | PrimExpr, int | PrimExpr | None]) -> None:
        """State (min, extent) of a variable that is now bound."""
        self.ranges[var] = bounds
        if self._last_ranges.get(var, bounds) != bounds:
            self.simplifier.forget()
        self._last_ranges[var] = bounds

    # --- polynomials ------------------------------------------------------------------------

    def poly(self, e: PrimExpr) -> Poly:
        """Return an index expression in simplest form."""
        return self.simplifier.poly(e)

    def scalar(self, p: Poly) -> str:
        """Return the int64 value of `p`, which depends on no lane."""
        constant = p.get((), 0)
        terms: dict[int, list[tuple[Monomial, int]]] = {}
        for m, c in p.items():
            if m:
                terms.setdefault(self._monomial_depth(m), []).append((m, c))
        if not terms:
            return str(constant)
        total, key = "", frozenset[tuple[Monomial, int]]()
        for depth in sorted(terms):
            key |= frozenset(terms[depth])
            total = self._sum(depth, terms[depth], total, key)
        if not constant:
            return total
        return self._at(max(terms), (key, constant), f"add nsw i64 {total}, {constant}")

    def _sum(self, depth: int, terms: list[tuple[Monomial, int]], total: str, key: object) -> str:
        volatile = depth > self.depth
        known = None if volatile else self.scopes[depth].known.get(key)
        if known is not None:
            return known
        for m, c in terms:
            term = self._product(m)
            if c != 1:
                term = self._at(depth, (m, c), f"mul nsw i64 {term}, {c}")
            total = term if not total else self._at(depth, None, f"add nsw i64 {total}, {term}")
        if not volatile:
            self.scopes[depth].known[key] = total
        return total

    def _at(self, depth: int, key: object, text: str) -> str:
        """Emit `text` in the scope `depth`, once for each key."""
        if depth > self.depth:
            return self.emit(text)
        scope = self.scopes[depth]
        if key is not None and key in scope.known:
            return scope.known[key]
        name = self.fresh()
        line = f"  {name} = {text}"
        if depth == self.depth:
            self.lines.append(line)
        else:
            self.scopes[depth + 1].before.append(line)
        if key is not None:
            scope.known[key] = name
        return name

    def _product(self, m: Monomial) -> str:
        result, sofar = "", ()
        for atom in sorted(m, key=self.atom_depth):
            factor = self._atom(atom)
            sofar = (*sofar, atom)
            if not result:
                result = factor
                continue
            depth = self._monomial_depth(sofar)
            result = self._at(depth, (sofar, "*"), f"mul nsw i64 {result}, {factor}")
        return result

    def _monomial_depth(self, m: Monomial) -> int:
        return max(self.atom_depth(a) for a in m)

    def atom_depth(self, atom: PrimExpr) -> int:
        """Return the scope in which the atom is fixed; beyond the innermost if computed in place.

        Only index arithmetic moves outwards: the operands of anything else are emitted where it is.
        """
        match atom:
            case Var():
                return self.depths[atom] if atom in self.depths else self._unbound(atom)
            case IntImm():
                return 0
            case Binary(op, a, b) if op in INDEX_OPS and atom.dtype == "int64":
                return max(self.atom_depth(a), self.atom_depth(b))
            case _:
                return self.depth + 1

    def _moves(self, atom: PrimExpr) -> bool:
        return self.atom_depth(atom) <= self.depth

    def _unbound(self, var: Var) -> int:
        raise CodegenError(
            f"variable {var.name} is used where nothing binds it; in reach: "
            f"{', '.join(sorted(v.name for v in self.names)) or 'none'}"
        )

    def _atom(self, atom: PrimExpr) -> str:
        match atom:
            case Var():
                return self.names[atom].text
            case Binary("//" | "%" as op, a, b) if self._moves(atom):
                return self._division(op, self.poly(a), self.poly(b))
            case Binary("min" | "max" as op, a, b) if self._moves(atom):
                left, right = self.scalar(self.poly(a)), self.scalar(self.poly(b))
                name = f"llvm.s{op}.i64"
                self.declarations.add(f"declare i64 @{name}(i64, i64)")
                text = f"call i64 @{name}(i64 {left}, i64 {right})"
                return self._at(self.atom_depth(atom), atom, text)
            case _:
                return self.value_of_atom(atom).text

    def _division(self, op: str, p: Poly, c: Poly) -> str:
        depth = max((self._monomial_depth(m) for m in (*p, *c) if m), default=0)
        a, b = self.scalar(p), self.scalar(c)
        k = as_constant(c)
        if k is None:
            # Divisors are at least 1 where their value is used; hoisted code must not trap.
            self.declarations.add("declare i64 @llvm.smax.i64(i64, i64)")
            b = self._at(depth, ("d", b), f"call i64 @llvm.smax.i64(i64 {b}, i64 1)")
        elif k <= 0:
            raise CodegenError(f"index arithmetic divides by {k}; a divisor is at least 1")
        if self.simplifier.nonnegative(p):
            name = "udiv" if op == "//" else "urem"
            return self._at(depth, (name, a, b), f"{name} i64 {a}, {b}")
        quotient = self._at(depth, ("q", a, b), f"sdiv i64 {a}, {b}")
        rest = self._at(depth, ("r", a, b), f"srem i64 {a}, {b}")
        # The sign bit of the rest, spread, is the correction.
        sign = self._at(depth, ("s", a, b), f"ashr i64 {rest}, 63")
        if op == "//":
            return self._at(depth, ("f", a, b), f"add i64 {quotient}, {sign}")
        correction = self._at(depth, ("c", a, b), f"and i64 {sign}, {b}")
        return self._at(depth, ("m", a, b), f"add i64 {rest}, {correction}")

    @abstractmethod
    def value_of_atom(self, atom: PrimExpr) -> Value:
        """Return an atom that is no plain index arithmetic."""

    def i64(self, p: Poly) -> Value:
        """Return `p` as a value."""
        return Value(self.scalar(p), "int64")
