"""Tests the tester: rules changed in one place, nearly all of them false, must be rejected.

`python -m eqsat.rules._mutate [SET ...]` changes each rule that ships in every way known here and
prints the share of mutants that the checker rejects, and those it does not. A mutant that is a true
rule does not count: it is one that ships too, or `_siblings.EQUAL` says why it is true, and the
checker finds no difference with other seeds either.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial, wraps
from typing import Any, Literal, cast, get_args

from eqsat.ir import AttrValue, OperandKind, op
from eqsat.rules._language import NumberSpec, Pattern, TensorSpec
from eqsat.rules._library import ALL_RULE_SETS, all_rules
from eqsat.rules._rule import Rule
from eqsat.rules._siblings import EQUAL, SIBLINGS, WORDS
from eqsat.rules._terms import (
    COMMUTATIVE,
    AttrConst,
    AttrVar,
    Compute,
    NumberLit,
    OperandTerm,
    OpTerm,
    PatVar,
    Term,
    TupleField,
    bound_names,
    subterms,
)
from eqsat.rules._verify import Certificate, Kind, check_rule
from eqsat.shapes import EqsatError


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule changed in one place."""

    rule: Rule
    change: str

    def __str__(self) -> str:
        return f"{self.rule.name}: {self.change}"


def mutants(rule: Rule) -> Iterator[Mutant]:
    """Yield every rule that differs from `rule` in one condition or one place of a side."""
    for i, condition in enumerate(rule.when):
        if not condition.is_profit:
            when = (*rule.when[:i], *rule.when[i + 1 :])
            yield Mutant(replace(rule, when=when), f"without {condition}")
    lhs, rhs = rule.sides
    names = [n for n, s in rule.specs.items() if isinstance(s, (TensorSpec, NumberSpec))]
    for changed, change in _in_terms(rhs, names, computes=True):
        yield from _valid(rule, lhs, changed, f"right side: {change}")
    bare = all(isinstance(t, PatVar) for t in rhs)
    for changed, change in _in_terms(lhs, names, computes=False) if bare else ():
        yield from _valid(rule, changed, rhs, f"left side: {change}")


def _valid(
    rule: Rule, lhs: tuple[Term, ...], rhs: tuple[Term, ...], change: str
) -> Iterator[Mutant]:
    if not set[str]().union(*map(bound_names, rule.sides[0])) <= set[str]().union(
        *map(bound_names, lhs)
    ):
        return  # a variable of the left side is gone: no rule
    mutant = Mutant(replace(rule, fn=_returning(rule.fn, lhs, rhs)), change)
    try:
        _ = mutant.rule.sides
    except EqsatError:
        return
    yield mutant


def _returning(
    fn: Callable[..., Any], lhs: tuple[Term, ...], rhs: tuple[Term, ...]
) -> Callable[..., Any]:
    """Return a rule's function with the same parameters and other sides."""

    @wraps(fn)
    def sides(*_: object) -> object:
        return tuple(map(Pattern, lhs)), tuple(map(Pattern, rhs))

    return sides


# --- places ---------------------------------------------------------------------------------


def _in_terms(
    terms: tuple[Term, ...], names: Sequence[str], *, computes: bool
) -> Iterator[tuple[tuple[Term, ...], str]]:
    """Yield the terms with one change; a term that occurs twice is changed everywhere."""
    seen = dict.fromkeys(part for term in terms for part in subterms(term))
    for part in seen:
        for changed, change in _local(part, names, computes=computes):
            yield tuple(_replaced(term, part, changed) for term in terms), change
    for i, term in enumerate(terms):
        for changed, change in _as_operand(term, names, computes=computes):
            yield (*terms[:i], changed, *terms[i + 1 :]), change
    if len(terms) > 1:
        yield terms[::-1], "results in another order"


def _replaced(term: Term, old: Term, new: Term) -> Term:
    if term == old:
        return new
    match term:
        case TupleField(inner, index):
            changed = _replaced(inner, old, new)
            return TupleField(changed, index) if isinstance(changed, OpTerm) else changed
        case OpTerm():
            operands = tuple(_replaced_operand(o, old, new) for o in term.operands)
            return OpTerm(term.op, operands, term.attrs)
        case _:
            return term


def _replaced_operand(operand: OperandTerm, old: Term, new: Term) -> OperandTerm:
    if isinstance(operand, tuple):
        return tuple(_replaced(part, old, new) for part in operand)
    if isinstance(operand, (OpTerm, TupleField)):
        return _replaced(operand, old, new)
    return operand


def _local(term: Term, names: Sequence[str], *, computes: bool) -> Iterator[tuple[Term, str]]:
    """Yield the term with a change in it that is not inside of an operator among its operands."""
    match term:
        case TupleField(inner, index):
            yield TupleField(inner, index + 1 if index == 0 else 0), f"another field of {inner.op}"
        case OpTerm():
            yield from _in_operator(term, names, computes=computes)
        case _:
            pass


def _as_operand(term: Term, names: Sequence[str], *, computes: bool) -> Iterator[tuple[Term, str]]:
    match term:
        case PatVar(name):
            for other in names:
                if other != name:
                    yield PatVar(other), f"{other} instead of {name}"
        case NumberLit(value):
            yield from _other_numbers(value, computes=computes)
        case _:
            pass


def _in_operator(
    term: OpTerm, names: Sequence[str], *, computes: bool
) -> Iterator[tuple[Term, str]]:
    for sibling in SIBLINGS.get(term.op, ()):
        yield from _renamed(term, sibling)
    yield from _swapped(term)
    for dropped in term.operands:
        if isinstance(dropped, (PatVar, OpTerm, TupleField)):
            yield dropped, f"{term.op} dropped, {dropped} stays"
    for i, (name, value) in enumerate(term.attrs):
        for other in _other_attrs(value, computes=computes):
            attrs = (*term.attrs[:i], (name, other), *term.attrs[i + 1 :])
            yield OpTerm(term.op, term.operands, attrs), f"{term.op} with {name}={other}"
    for i, operand in enumerate(term.operands):
        for other, change in _in_operand(operand, names, computes=computes):
            operands = (*term.operands[:i], other, *term.operands[i + 1 :])
            yield OpTerm(term.op, operands, term.attrs), f"{term.op} of {change}"


def _in_operand(
    operand: OperandTerm, names: Sequence[str], *, computes: bool
) -> Iterator[tuple[OperandTerm, str]]:
    match operand:
        case PatVar() | NumberLit():
            yield from _as_operand(operand, names, computes=computes)
        case tuple():
            for i, part in enumerate(operand):
                for changed, change in _as_operand(part, names, computes=computes):
                    yield (*operand[:i], changed, *operand[i + 1 :]), change
        case Compute():
            yield _altered_compute(operand), f"other {operand}"
        case _:
            pass


# --- changes --------------------------------------------------------------------------------


def _renamed(term: OpTerm, sibling: str) -> Iterator[tuple[Term, str]]:
    own, other = op(term.op), op(sibling)
    if [o.kind for o in own.operands] != [o.kind for o in other.operands]:
        return
    names = {a.name for a in other.attrs}
    kept = {k: v for k, v in term.attrs if k in names}
    try:
        filled = other.fill_attrs(dict.fromkeys(kept, 0))
    except TypeError:
        return
    attrs = tuple((k, kept.get(k, AttrConst(v))) for k, v in filled.items())
    yield OpTerm(sibling, term.operands, attrs), f"{sibling} instead of {term.op}"


def _swapped(term: OpTerm) -> Iterator[tuple[Term, str]]:
    kinds = [o.kind for o in op(term.op).operands]
    for i in range(len(kinds) - 1):
        a, b = term.operands[i : i + 2]
        both = kinds[i] is kinds[i + 1] is OperandKind.TENSOR and a is not None and b is not None
        if both and a != b and term.op not in COMMUTATIVE:
            operands = (*term.operands[:i], b, a, *term.operands[i + 2 :])
            yield OpTerm(term.op, operands, term.attrs), f"operands of {term.op} swapped"
    first = term.operands[0] if term.operands else None
    if isinstance(first, tuple) and first != first[::-1]:
        operands = (first[::-1], *term.operands[1:])
        yield OpTerm(term.op, operands, term.attrs), f"operands of {term.op} in another order"


def _other_numbers(value: float | Compute, *, computes: bool) -> Iterator[tuple[Term, str]]:
    if isinstance(value, Compute):
        if computes:
            yield NumberLit(_altered_compute(value)), f"other {value}"
        return
    others = [value + 1, value * 1.01, -value]
    for other in others:
        if other != value:
            yield NumberLit(other), f"{other:g} instead of {value:g}"


def _other_attrs(
    value: AttrVar | AttrConst | Compute, *, computes: bool
) -> Iterator[AttrConst | Compute]:
    match value:
        case AttrConst(constant):
            for other in _others(constant):
                yield AttrConst(other)
        case AttrVar(name) if computes:
            yield Compute(_altered, (name,))
        case Compute() if computes:
            yield _altered_compute(value)
        case _:
            pass


def _altered_compute(value: Compute) -> Compute:
    @wraps(value.fn)
    def changed(*arguments: Any) -> object:
        return _altered(cast("AttrValue", value.fn(*arguments)))

    changed.__name__ = f"altered_{value.fn.__name__.lstrip('_')}"
    return Compute(changed, value.variables)


def _altered(value: AttrValue) -> AttrValue:
    """Return another value of the same kind; None, which means no rewrite, where there is none."""
    return next(iter(_others(value)), None)


def _others(value: AttrValue) -> Iterator[AttrValue]:
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
        case float():
            yield value * 2 + 0.25
        case str():
            yield from WORDS.get(value, ())
        case tuple():
            if value != value[::-1]:
                yield value[::-1]
            elif value and isinstance(value[0], int):
                yield (value[0] + 1, *value[1:])
        case _:
            pass


# --- the score ------------------------------------------------------------------------------

OTHER_SEEDS = range(8)
Fate = Literal["rejected", "equal", "never fires", "survived"]


def fate_of(mutant: Mutant) -> Fate:
    """Check a mutant."""
    verdict = check_rule(mutant.rule)
    if not isinstance(verdict, Certificate):
        return "never fires" if verdict.kind is Kind.UNTESTED else "rejected"
    if why_equal(mutant) is None:
        return "survived"
    others = (check_rule(mutant.rule, seed) for seed in OTHER_SEEDS)
    return "equal" if all(isinstance(v, Certificate) for v in others) else "survived"


def why_equal(mutant: Mutant) -> str | None:
    """Return why a mutant is said to be true, None where nothing says so."""
    same = shipped_sides().get(str(mutant.rule))
    if same is not None and same != mutant.rule.name:
        return f"it is {same}, which ships"
    for name, change, reason in EQUAL:
        if mutant.rule.name.startswith(name) and re.search(change, mutant.change):
            return reason
    return None


@cache
def shipped_sides() -> dict[str, str]:
    """Return the names of the rules that ship, by their sides."""
    return {str(rule): rule.name for rule in all_rules()}


def all_mutants(names: Sequence[str] = ()) -> list[Mutant]:
    """Return the mutants of the rules of these sets, or of all."""
    rules = [r for s in ALL_RULE_SETS if not names or s.name in names for r in s.rules]
    return [m for rule in rules for m in mutants(rule)]


def _fate(names: tuple[str, ...], index: int) -> Fate:
    return fate_of(_mutants(names)[index])


@cache
def _mutants(names: tuple[str, ...]) -> list[Mutant]:
    return all_mutants(names)


def score(fates: Sequence[Fate]) -> float:
    """Return the share of false mutants that were rejected."""
    rejected, survived = fates.count("rejected"), fates.count("survived")
    return rejected / max(rejected + survived, 1)


def main(names: Sequence[str]) -> int:
    """Check all mutants, print the score and the survivors, return 1 below 95 %."""
    start = time.perf_counter()
    found = _mutants(tuple(names))
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        fates = list(pool.map(partial(_fate, tuple(names)), range(len(found)), chunksize=20))
    for fate in ("never fires", "equal", "survived"):
        for mutant in (m for m, f in zip(found, fates, strict=True) if f == fate):
            print(f"{fate}: {mutant}" + (f" ({why_equal(mutant)})" if fate == "equal" else ""))
    counts = ", ".join(f"{fates.count(f)} {f}" for f in get_args(Fate))
    seconds = time.perf_counter() - start
    print(f"{len(found)} mutants in {seconds:.0f} s: {counts}; score {score(fates):.1%}")
    return int(score(fates) < LEAST_SCORE)


LEAST_SCORE = 0.95


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
