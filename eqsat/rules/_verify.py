"""Tests a rule on small adversarial instances; what was tried is its certificate."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random

import numpy as np

from eqsat.rules._evaluate import (
    Arithmetic,
    Draw,
    arithmetic_of,
    evaluate,
    has_steps,
    within_bound,
)
from eqsat.rules._evaluate import same_values as same
from eqsat.rules._fingerprint import operators_hash, rule_hash
from eqsat.rules._resolve import (
    Bindings,
    Built,
    NotApplicableError,
    build,
    condition_holds,
    same_type,
    try_build,
    variables_fit,
)
from eqsat.rules._rule import Accuracy, Condition, Rule, types_agree
from eqsat.rules._sample import Instance, Sampler
from eqsat.rules._symbolic import (
    resize,
    specialize,
    specialize_built,
    specialize_type,
    with_symbols,
)
from eqsat.rules._terms import Term
from eqsat.shapes import NO_FACTS, EqsatError, Facts

SEED = 20
ENOUGH = 100  # instances that fire
FEWEST = 8  # with fewer, the rule was not tested
LEAST_ATTEMPTS = 400
ATTEMPTS = 12000
NOTHING_KNOWN = Facts(positive=False)  # a symbol may be 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was tried on a rule without finding a difference.

    Attributes:
        rule: its name.
        text_hash: of the rule, its predicates, its computed values and what these call.
        operators_hash: of the references and type inference of its operators.
        seed: of the random instances.
        methods: how often each arithmetic compared the sides.
        fired: instances whose guard held.
        shapes: distinct combinations of shapes among them.
        symbolic: instances that also fire with sizes replaced by symbols.
        resized: of those, how many were compared again with other sizes for the symbols.
        zero_size: instances with a size of 0.
        guards: per condition: "needed" (without it some instance differs or is ill-typed),
            "not seen needed", or "profit" (not needed for truth).
        unprofitable: per profit condition, instances that held although it did not.
    """

    rule: str
    text_hash: str
    operators_hash: str
    seed: int
    methods: Mapping[str, int]
    fired: int
    shapes: int
    symbolic: int
    resized: int
    zero_size: int
    guards: Mapping[str, str] = field(default_factory=dict[str, str])
    unprofitable: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def idle(self) -> tuple[str, ...]:
        """The conditions that no instance showed to be needed."""
        return tuple(c for c, verdict in self.guards.items() if verdict == "not seen needed")


class Kind(Enum):
    """Why a rule is rejected."""

    VALUES = "values"  # the sides differ on an instance
    TYPES = "types"  # the sides have different types on an instance, or the right has none
    FAILS = "fails"  # a computed value raises an error
    UNTESTED = "untested"  # too few instances fired, or no profit condition ever failed


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a rule may not be used, with the instance that shows it."""

    rule: str
    kind: Kind
    reason: str
    instance: str = ""

    def __str__(self) -> str:
        return f"rule {self.rule} rejected: {self.reason}" + (
            f"\n  {self.instance}" if self.instance else ""
        )


def check_rule(rule: Rule, seed: int = SEED) -> Certificate | Rejection:
    """Compare both sides of `rule` on random small instances.

    Raises:
        RuleError: the rule is not well formed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing, on purpose
        return _Check(rule, seed).run()


# A reference has no value here: the maximum of nothing, or it does not take fractions.
UNDEFINED = (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, EqsatError)
# What a mistake in a computed value raises.
BROKEN = (AssertionError, TypeError, ValueError, AttributeError, ArithmeticError, LookupError)


@dataclass(frozen=True, slots=True)
class _Difference:
    kind: Kind
    text: str


class _DifferenceError(Exception):
    """An instance on which the sides differ."""

    def __init__(self, difference: _Difference, bindings: Bindings) -> None:
        super().__init__(difference.text)
        self.difference = difference
        self.bindings = bindings


class _Check:
    def __init__(self, rule: Rule, seed: int) -> None:
        self.rule = rule
        self.seed = seed
        self.rng = Random(f"{seed}:{rule.name}")
        self.guards = [c for c in rule.when if c is not types_agree and not c.is_profit]
        self.profits = [c for c in rule.when if c.is_profit]
        self.needed: set[str] = set()
        self.methods: Counter[str] = Counter()
        self.unprofitable: Counter[str] = Counter({str(c): 0 for c in self.profits})
        self.shapes: set[object] = set()
        self.fired = self.symbolic = self.resized = self.zero_size = 0

    def run(self) -> Certificate | Rejection:
        lhs, rhs = self.rule.sides
        directions = [(lhs, rhs), (rhs, lhs)] if self.rule.both_ways else [(lhs, rhs)]
        for left, right in directions:
            try:
                fired = self._run(left, right)
            except _DifferenceError as found:
                kind, text = found.difference.kind, found.difference.text
                return Rejection(self.rule.name, kind, text, _shown(found.bindings))
            if fired < FEWEST:
                return self._untested(
                    f"never instantiated: its guard held {fired} times in {ATTEMPTS} attempts, "
                    f"{FEWEST} are wanted"
                )
        for condition, count in self.unprofitable.items():
            if not count:
                return self._untested(f"never instantiated without its profit {condition}")
        return self._certificate()

    def _untested(self, reason: str) -> Rejection:
        return Rejection(self.rule.name, Kind.UNTESTED, reason)

    def _run(self, left: tuple[Term, ...], right: tuple[Term, ...]) -> int:
        before = self.fired
        sampler = Sampler(self.rule, left, self.rng)
        for attempt in range(ATTEMPTS):
            instance = sampler.draw()
            if instance is not None:
                self._try(instance, right)
            if self._tried_enough(self.fired - before, attempt):
                break
        return self.fired - before

    def _tried_enough(self, fired: int, attempt: int) -> bool:
        if fired < ENOUGH or attempt < LEAST_ATTEMPTS:
            return False
        return self._settled()

    def _settled(self) -> bool:
        wanted = {str(c) for c in self.guards}
        agreed = types_agree not in self.rule.when or "t" in self.needed
        return self.needed >= wanted and agreed and all(self.unprofitable.values())

    def _try(self, instance: Instance, right: tuple[Term, ...]) -> None:
        bindings = instance.bindings
        failed = self._failed(bindings)
        if failed is None:
            return
        built = _meaningful(instance.lhs, bindings)
        if built is None:
            return
        try:
            difference = self._difference(bindings, built, lambda: try_build(right, bindings))
        except NotApplicableError:
            return
        except BROKEN as error:
            difference = _Difference(Kind.FAILS, f"a computed value fails: {error!r}")
        if difference and difference.kind is Kind.TYPES and types_agree in self.rule.when:
            if not failed:
                self.needed.add("t")
        elif failed and difference:
            self.needed.add(failed)
        elif difference:
            raise _DifferenceError(difference, bindings)
        elif not failed:
            self._count(bindings, built)
        self._try_symbolically(instance, right)

    def _failed(self, bindings: Bindings) -> str | None:
        """Return the one condition that failed, "" for none, None if the instance is no use."""
        if not variables_fit(self.rule.specs, bindings):
            return None
        failed = [str(c) for c in self.guards if not _holds(c, bindings)]
        if len(failed) > 1 or (failed and failed[0] in self.needed):
            return None
        return failed[0] if failed else ""

    def _difference(
        self,
        bindings: Bindings,
        left: Sequence[Built],
        build_right: Callable[[], Sequence[Built]],
    ) -> _Difference | None:
        try:
            right = build_right()
        except EqsatError as error:
            return _Difference(Kind.TYPES, f"types: the right side is ill-typed: {error}")
        for a, b in zip(left, right, strict=True):
            if not same_type(a.type, b.type):
                return _Difference(
                    Kind.TYPES, f"types differ: {a.type} on the left, {b.type} on the right"
                )
        return self._values_difference(bindings, left, right)

    def _values_difference(
        self, bindings: Bindings, left: Sequence[Built], right: Sequence[Built]
    ) -> _Difference | None:
        both = (*left, *right)
        for arithmetic in arithmetic_of(self.rule.numerics, both, bindings):
            draw = Draw(
                self.rng,
                arithmetic,
                self.rule.accuracy,
                has_steps=has_steps(both),
            )
            env = {
                name: draw.values(ty, bindings.numbers.get(name))
                for name, ty in bindings.types.items()
            }
            try:
                a = [evaluate(each, env, arithmetic) for each in left]
            except UNDEFINED:
                continue
            try:
                b = [evaluate(each, env, arithmetic) for each in right]
            except UNDEFINED as error:
                if arithmetic is Arithmetic.FRACTIONS:
                    continue
                return _Difference(Kind.VALUES, f"only the left side has a value: {error}")
            self.methods[arithmetic.value] += 1
            if self.rule.accuracy is not None:
                return _out_of_bound(left, a, b, env, self.rule.accuracy)
            for x, y in zip(a, b, strict=True):
                if not same(x, y, arithmetic):
                    text = f"values differ ({arithmetic.value}): {_short(x)} and {_short(y)}"
                    return _Difference(Kind.VALUES, text)
            if arithmetic is Arithmetic.FRACTIONS:
                break
        return None

    def _count(self, bindings: Bindings, built: tuple[Built, ...]) -> None:
        unprofitable = [str(c) for c in self.profits if not _holds(c, bindings)]
        self.unprofitable.update(unprofitable)
        if unprofitable:
            return
        self.fired += 1
        shapes = tuple(t.dims for t in bindings.types.values())
        self.shapes.add(shapes)
        self.zero_size += any(0 in s for s in shapes)

    def _try_symbolically(self, instance: Instance, right: tuple[Term, ...]) -> None:
        """Fire with symbols for sizes, then compare with other sizes for the symbols.

        A guard that takes an unknown for a no where it should be a yes is found here.
        """
        facts = self.rng.choice((NO_FACTS, NOTHING_KNOWN))
        symbols = with_symbols(instance.bindings, facts, self.rng)
        failed = self._failed(symbols)
        left = None if failed is None else _meaningful(instance.lhs, symbols)
        if left is None:
            return
        try:
            other = build(right, symbols)
        except BROKEN as error:
            if not failed:
                text = f"a computed value fails where a size is unknown: {error!r}"
                raise _DifferenceError(_Difference(Kind.FAILS, text), symbols) from None
            self.needed.add(failed)
            return
        if other is None:
            return
        if not all(same_type(a.type, b.type, facts) for a, b in zip(left, other, strict=True)):
            return
        self.symbolic += not failed
        self._try_resized(instance.lhs, symbols, left, other, failed or "")

    def _try_resized(
        self,
        lhs: tuple[Term, ...],
        symbols: Bindings,
        left: tuple[Built, ...],
        right: tuple[Built, ...],
        failed: str,
    ) -> None:
        sizes = resize(symbols, self.rng)
        bindings = specialize(symbols, sizes)
        built = _meaningful(lhs, bindings)
        if built is None:  # the left side has no meaning for these sizes
            return
        if not all(
            same_type(a.type, specialize_type(b.type, sizes))
            for a, b in zip(built, left, strict=True)
        ):
            return  # a size that became 0 reads as "keep this axis" in a reshape
        difference = self._difference(
            bindings, built, lambda: [specialize_built(b, sizes) for b in right]
        )
        if failed and difference:
            self.needed.add(failed)
        elif difference:
            text = f"with sizes unknown to the guard, {difference.text}"
            raise _DifferenceError(_Difference(difference.kind, text), bindings)
        self.resized += not failed

    def _certificate(self) -> Certificate:
        guards = {
            str(c): "needed" if str(c) in self.needed else "not seen needed" for c in self.guards
        }
        guards |= {str(c): "profit" for c in self.profits}
        if types_agree in self.rule.when:
            guards["types_agree"] = "needed" if "t" in self.needed else "not seen needed"
        return Certificate(
            rule=self.rule.name,
            text_hash=rule_hash(self.rule),
            operators_hash=operators_hash(self.rule),
            seed=self.seed,
            methods=dict(sorted(self.methods.items())),
            fired=self.fired,
            shapes=len(self.shapes),
            symbolic=self.symbolic,
            resized=self.resized,
            zero_size=self.zero_size,
            guards=guards,
            unprofitable=dict(self.unprofitable),
        )


def _out_of_bound(
    terms: Sequence[Built],
    left: Sequence[np.ndarray],
    right: Sequence[np.ndarray],
    env: Mapping[str, np.ndarray],
    accuracy: Accuracy,
) -> _Difference | None:
    sizes = {n: np.abs(v) if v.dtype.kind in "fV" else v for n, v in env.items()}
    for term, x, y in zip(terms, left, right, strict=True):
        if not within_bound(x, y, evaluate(term, sizes, Arithmetic.BOUNDED), accuracy):
            return _Difference(Kind.VALUES, f"out of its bound: {_short(x)} and {_short(y)}")
    return None


def _meaningful(lhs: tuple[Term, ...], bindings: Bindings) -> tuple[Built, ...] | None:
    """Return the left side, or None where no program has it."""
    try:
        return build(lhs, bindings)
    except BROKEN:
        return None


def _holds(condition: Condition, bindings: Bindings) -> bool:
    return condition_holds(condition.fn, condition.arguments, bindings)


def _shown(b: Bindings) -> str:
    parts = [f"{n}: {t}" for n, t in b.types.items()]
    parts += [f"{n} = {v}" for n, v in {**b.attrs, **b.shapes, **b.numbers}.items()]
    return ", ".join(parts)


def _short(value: np.ndarray) -> str:
    text = " ".join(np.array2string(np.asarray(value), threshold=8, precision=6).split())
    return text if len(text) < 90 else f"{text[:87]}..."
