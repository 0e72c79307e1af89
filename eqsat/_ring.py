"""Sums and products by their normal form: which classes are the same polynomial of others.

The atoms are classes that are no sum, difference, product, negation or square. Equal polynomials
mean equal values where the types are equal too. Terms that cancel are not cancelled (x - x is NaN
for infinite x), and what has more than `MAX_TERMS` terms or `MAX_DEGREE` factors is an atom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

from eqsat._engine import Engine
from eqsat._symbols import Vocabulary
from eqsat._tables import Contents, Row, Symbol, derivation
from eqsat._values import FIRST_ID
from eqsat.rules import RuleSet
from eqsat.rules.ring import ring

MAX_TERMS = 12
MAX_DEGREE = 8

# Which law of the set `ring` is named for what.
_COMMUTES = {"add": "sum_commutes", "multiply": "product_commutes"}
_ASSOCIATES = {"add": "sum_associates", "multiply": "product_associates"}
_DISTRIBUTES = "product_distributes"
_LIKE_TERMS = "like_terms_join"
LAWS = tuple(r.name for r in ring.rules)

_OPERATORS = frozenset({"add", "subtract", "multiply", "negative", "square"})
_SUMS = frozenset({"add", "subtract", "negative"})

Monomial = tuple[int, ...]  # atoms, sorted, with repetitions
Coefficient = int | Fraction  # whole numbers as int: arithmetic with them is many times faster
Polynomial = tuple[tuple[Monomial, Coefficient], ...]  # sorted by monomial


def has_all_laws(rule_sets: Sequence[RuleSet]) -> bool:
    """Return whether the rule sets hold all laws that the normal form needs."""
    return set(LAWS) <= {r.name for s in rule_sets for r in s.rules}


def unite_same_polynomials(
    engine: Engine, words: Vocabulary, law_index: Mapping[str, int]
) -> Counter[str]:
    """Unite the classes that are the same polynomial; return how often by which law."""
    forms = ((name, words.named(name)) for name in engine.present())
    symbols = {name for name, form in forms if form and form.op.name in _OPERATORS}
    if not same_polynomials(engine.part(symbols), words):  # mostly, and sooner found
        return Counter()
    contents = engine.contents()
    found = same_polynomials(contents, words)
    if found:
        terms = _Terms(contents)
        pairs = [(terms.position(s.left), terms.position(s.right), s.law) for s in found]
        engine.unite(terms.nodes, [(a, b, law_index[law]) for a, b, law in pairs])
    return Counter(s.law for s in found)


class _Terms:
    """E-nodes by which classes can be named, operands first."""

    def __init__(self, contents: Contents) -> None:
        self.nodes: list[tuple[Symbol, tuple[int, ...], tuple[int, ...]]] = []
        self._chosen = derivation(contents.rows)
        self._positions: dict[int, int] = {}

    def position(self, c: int) -> int:
        """Return the position in `nodes` of an e-node of the class, added where it is not there."""
        stack = [c]
        while stack:
            top = stack[-1]
            row = self._chosen[top]
            waiting = [k for k in row.classes if k not in self._positions]
            if top not in self._positions and not waiting:
                operands = tuple(self._positions[k] for k in row.classes)
                self._positions[top] = len(self.nodes)
                self.nodes.append((row.symbol, operands, row.columns))
            if top in self._positions:
                stack.pop()
            else:
                stack.extend(waiting)
        return self._positions[c]


@dataclass(frozen=True, slots=True)
class SameValue:
    """Two classes that are one polynomial, and the law that says so (where several do: one)."""

    left: int
    right: int
    law: str


def same_polynomials(contents: Contents, words: Vocabulary) -> list[SameValue]:
    """Return pairs of classes of one type that are the same polynomial, in a fixed order."""
    ring = _Ring(contents, words)
    first: dict[object, int] = {}
    found: list[SameValue] = []
    for c in ring.rows:
        p = ring.polynomial(c)
        left = first.setdefault((contents.types[c], p), c)
        if left != c:
            found.append(SameValue(left, c, ring.law(left, c)))
    return found


class _Ring:
    def __init__(self, contents: Contents, words: Vocabulary) -> None:
        self._contents = contents
        self._words = words
        self.rows = self._by_class()
        self._known: dict[int, Polynomial] = {}

    def _by_class(self) -> Mapping[int, list[tuple[str, Row]]]:
        rows: dict[int, list[tuple[str, Row]]] = {}
        for row in self._contents.rows:
            form = self._words.named(row.symbol.name)
            if form is not None and form.op.name in _OPERATORS and row.result not in row.classes:
                rows.setdefault(row.result, []).append((form.op.name, row))
        return rows

    def polynomial(self, c: int) -> Polynomial:
        """Return the normal form of a class; an operand on the way to itself is an atom."""
        stack = [c]
        entered: set[int] = set()
        while stack:
            top = stack[-1]
            waiting: list[int] = []
            if top not in entered and top not in self._known:
                entered.add(top)
                operands = [k for _, row in self.rows.get(top, ()) for k in row.classes]
                waiting = [k for k in operands if k not in self._known and k not in entered]
            if waiting:
                stack.extend(dict.fromkeys(waiting))
                continue
            stack.pop()
            if top not in self._known:
                self._known[top] = self._of_class(top)
        return self._known[c]

    def _of_class(self, c: int) -> Polynomial:
        """Return the simplest of the polynomials of the class's e-nodes."""
        number = self._contents.known[c]
        if number >= FIRST_ID and isfinite(value := self._words.values.number_at(number)):
            return (((), int(value) if value == int(value) else Fraction(value)),)
        found = [self._of_row(name, row.classes) for name, row in self.rows.get(c, ())]
        return min(filter(None, found), key=lambda p: (len(p), p), default=_atom(c))

    def _of_row(self, name: str, operands: Sequence[int]) -> Polynomial | None:
        parts = [self._known.get(k, _atom(k)) for k in operands]
        match name:
            case "add":
                return _sum(parts[0], parts[1], 1)
            case "subtract":
                return _sum(parts[0], parts[1], -1)
            case "negative":
                return _sum((), parts[0], -1)
            case "multiply":
                return _product(parts[0], parts[1])
            case _:
                return _product(parts[0], parts[0])

    def law(self, a: int, b: int) -> str:
        """Return which law says that two classes are the same."""
        rows = [row for c in (a, b) for row in self.rows[c]]
        has_sums = any(name in ("add", "subtract") for name, _ in rows)
        name = "add" if all(name in _SUMS for name, _ in rows) else "multiply"
        operands = [{frozenset(row.classes) for _, row in self.rows[c]} for c in (a, b)]
        p = self._known[a]
        if operands[0] & operands[1]:
            return _COMMUTES[name]
        if name == "add":
            return _ASSOCIATES[name] if all(abs(k) == 1 for _, k in p) else _LIKE_TERMS
        if len(p) == 1:
            return _LIKE_TERMS if has_sums else _ASSOCIATES[name]
        return _DISTRIBUTES


def _atom(c: int) -> Polynomial:
    return (((c,), 1),)


def _sum(a: Polynomial, b: Polynomial, sign: int) -> Polynomial | None:
    terms = dict(a)
    for monomial, k in b:
        terms[monomial] = terms.get(monomial, 0) + sign * k
    return _normal(terms)


def _product(a: Polynomial, b: Polynomial) -> Polynomial | None:
    if len(a) * len(b) > MAX_TERMS:
        return None
    terms: dict[Monomial, Coefficient] = {}
    for left, k in a:
        for right, n in b:
            monomial = tuple(sorted((*left, *right)))
            terms[monomial] = terms.get(monomial, 0) + k * n
    return _normal(terms)


def _normal(terms: Mapping[Monomial, Coefficient]) -> Polynomial | None:
    """Return the terms in order; None where some cancel or there are too many."""
    if len(terms) > MAX_TERMS or 0 in terms.values():
        return None
    if any(len(monomial) > MAX_DEGREE for monomial in terms):
        return None
    return tuple(sorted(terms.items()))
