"""Tests every rule on small adversarial instances and keeps what was tried as a certificate.

`python -m eqsat.rules._check` checks all rules that ship; `--write` also writes the certificates.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from eqsat.ir import TensorType
from eqsat.rules._evaluate import Arithmetic, Draw, arithmetic_of, evaluate, same_values
from eqsat.rules._library import ALL_RULE_SETS
from eqsat.rules._resolve import (
    Bindings,
    Built,
    NotApplicableError,
    build,
    condition_holds,
    resolve,
    same_type,
    try_build,
    variables_fit,
)
from eqsat.rules._rule import (
    Condition,
    Rule,
    RuleSet,
    types_agree,
)
from eqsat.rules._sample import Instance, Sampler
from eqsat.rules._terms import Term
from eqsat.shapes import EqsatError, Shape, sym

SEED = 20
ENOUGH = 100  # instances that fire
FEWEST = 8  # with fewer, the rule was not tested
LEAST_ATTEMPTS = 400
ATTEMPTS = 8000
CERTIFICATES = Path(__file__).parent / "certificates"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was tried on a rule without finding a difference.

    Attributes:
        rule: its name.
        text_hash: of the rule's source, its predicates and computed values.
        seed: of the random instances.
        methods: how often each arithmetic compared the sides.
        fired: instances whose guard held.
        shapes: distinct combinations of shapes among them.
        symbolic: instances that also fire with sizes replaced by symbols.
        zero_size: instances with a size of 0.
        guards: per condition: "needed" (without it some instance differs or is ill-typed),
            "not seen needed", or "profit" (true without it).
    """

    rule: str
    text_hash: str
    seed: int
    methods: Mapping[str, int]
    fired: int
    shapes: int
    symbolic: int
    zero_size: int
    guards: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a rule may not be used, with the instance that shows it."""

    rule: str
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


def check_all(
    rule_sets: Iterable[RuleSet] = ALL_RULE_SETS, seed: int = SEED
) -> list[Certificate | Rejection]:
    """Check every rule of the sets, in order."""
    return [check_rule(rule, seed) for each in rule_sets for rule in each.rules]


# A reference has no value here: the maximum of nothing, or it does not take fractions.
UNDEFINED = (TypeError, ValueError, AttributeError, ArithmeticError, EqsatError)


class _DifferenceError(Exception):
    """An instance on which the sides differ."""


class _Check:
    def __init__(self, rule: Rule, seed: int) -> None:
        self.rule = rule
        self.seed = seed
        self.rng = Random(f"{seed}:{rule.name}")
        self.guards = [c for c in rule.when if c is not types_agree and not c.is_profit]
        self.profits = [c for c in rule.when if c.is_profit]
        self.needed: set[str] = set()
        self.methods: Counter[str] = Counter()
        self.shapes: set[object] = set()
        self.fired = self.symbolic = self.zero_size = 0

    def run(self) -> Certificate | Rejection:
        lhs, rhs = self.rule.sides
        directions = [(lhs, rhs), (rhs, lhs)] if self.rule.both_ways else [(lhs, rhs)]
        for left, right in directions:
            before = self.fired
            sampler = Sampler(self.rule, left, self.rng)
            for attempt in range(ATTEMPTS):
                instance = sampler.draw()
                if instance is None:
                    continue
                try:
                    self._try(instance, right)
                except _DifferenceError as difference:
                    return Rejection(self.rule.name, str(difference), _shown(instance))
                if self._tried_enough(self.fired - before, attempt):
                    break
            if self.fired - before < FEWEST:
                return Rejection(
                    self.rule.name,
                    f"never instantiated: its guard held {self.fired - before} times in "
                    f"{ATTEMPTS} attempts, {FEWEST} are wanted",
                )
        return self._certificate()

    def _tried_enough(self, fired: int, attempt: int) -> bool:
        if fired < ENOUGH or attempt < LEAST_ATTEMPTS:
            return False
        return self._settled() or attempt >= 5 * LEAST_ATTEMPTS

    def _settled(self) -> bool:
        wanted = {str(c) for c in self.guards}
        return (self.needed >= wanted) and (types_agree not in self.rule.when or "t" in self.needed)

    def _try(self, instance: Instance, right: tuple[Term, ...]) -> None:
        bindings = instance.bindings
        failed = [c for c in self.guards if not _holds(c, bindings)]
        specs_fit = variables_fit(self.rule.specs, bindings)
        if len(failed) > 1 or not specs_fit or (failed and str(failed[0]) in self.needed):
            return
        built = build(instance.lhs, bindings)
        if built is None:
            return
        if failed:
            if self._is_wrong(instance, built, right):
                self.needed.add(str(failed[0]))
            return
        problem = self._problem(instance, built, right)
        if problem is _SKIP:
            return
        if problem and problem.startswith("types") and types_agree in self.rule.when:
            self.needed.add("t")
            return
        if problem:
            raise _DifferenceError(problem)
        if all(_holds(c, bindings) for c in self.profits):
            self._count(instance, built)

    def _is_wrong(
        self, instance: Instance, built: tuple[Built, ...], right: tuple[Term, ...]
    ) -> bool:
        try:
            return self._problem(instance, built, right) is not None
        except (AssertionError, *UNDEFINED):
            return True  # a computed value relies on the guard

    def _problem(
        self, instance: Instance, built: tuple[Built, ...], right: tuple[Term, ...]
    ) -> str | None:
        try:
            other = try_build(right, instance.bindings)
        except NotApplicableError:
            return _SKIP
        except EqsatError as error:
            return f"types: the right side is ill-typed: {error}"
        for a, b in zip(built, other, strict=True):
            if not same_type(a.type, b.type):
                return f"types differ: {a.type} on the left, {b.type} on the right"
        return self._values_problem(instance, built, other)

    def _values_problem(
        self, instance: Instance, left: tuple[Built, ...], right: tuple[Built, ...]
    ) -> str | None:
        arithmetics = arithmetic_of(self.rule.numerics, (*left, *right), instance.bindings)
        for arithmetic in arithmetics:
            draw = Draw(self.rng, arithmetic)
            env = {
                name: draw.values(ty, instance.bindings.numbers.get(name))
                for name, ty in instance.bindings.types.items()
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
                return f"only the left side has a value: {error}"
            self.methods[arithmetic.value] += 1
            for x, y in zip(a, b, strict=True):
                if not same_values(x, y, arithmetic):
                    return f"values differ ({arithmetic.value}): {_short(x)} and {_short(y)}"
            if arithmetic is Arithmetic.FRACTIONS:
                break
        return None

    def _count(self, instance: Instance, built: tuple[Built, ...]) -> None:
        self.fired += 1
        shapes = [t.dims for t in instance.bindings.types.values()]
        self.shapes.add(tuple(shapes))
        self.zero_size += any(0 in s for s in shapes)
        self.symbolic += self._fires_symbolically(instance)

    def _fires_symbolically(self, instance: Instance) -> bool:
        bindings = with_symbols(instance.bindings)
        built = build(instance.lhs, bindings)
        if built is None:
            return False
        expected = tuple(b.type for b in built)
        for rewrite in self.rule.rewrites:
            if rewrite.name == self.rule.name:
                return resolve(rewrite, bindings, expected) is not None
        return False

    def _certificate(self) -> Certificate:
        guards = {
            str(c): "needed" if str(c) in self.needed else "not seen needed" for c in self.guards
        }
        guards |= {str(c): "profit" for c in self.profits}
        if types_agree in self.rule.when:
            guards["types_agree"] = "needed" if "t" in self.needed else "not seen needed"
        return Certificate(
            rule=self.rule.name,
            text_hash=self.rule.text_hash,
            seed=self.seed,
            methods=dict(sorted(self.methods.items())),
            fired=self.fired,
            shapes=len(self.shapes),
            symbolic=self.symbolic,
            zero_size=self.zero_size,
            guards=guards,
        )


_SKIP = "skip: a computed value says that the rule does not apply"


def _holds(condition: Condition, bindings: Bindings) -> bool:
    return condition_holds(condition.fn, condition.arguments, bindings)


def with_symbols(bindings: Bindings) -> Bindings:
    """Return the bindings with a symbol for every size above 1, the same for equal sizes."""

    def symbolic(dims: Shape) -> Shape:
        return tuple(sym(f"n{d}") if isinstance(d, int) and d > 1 else d for d in dims)

    types = {n: TensorType(symbolic(t.dims), t.dtype) for n, t in bindings.types.items()}
    shapes = {n: symbolic(s) for n, s in bindings.shapes.items()}
    return Bindings(types, bindings.attrs, shapes, bindings.constants, bindings.numbers)


def _shown(instance: Instance) -> str:
    b = instance.bindings
    parts = [f"{n}: {t}" for n, t in b.types.items()]
    parts += [f"{n} = {v}" for n, v in {**b.attrs, **b.shapes, **b.numbers}.items()]
    return ", ".join(parts)


def _short(value: np.ndarray) -> str:
    text = " ".join(np.array2string(np.asarray(value), threshold=8, precision=6).split())
    return text if len(text) < 90 else f"{text[:87]}..."


def write_certificates(folder: Path = CERTIFICATES) -> list[Rejection]:
    """Check the shipped rules, write one JSON file per rule set, and return the rejections."""
    folder.mkdir(exist_ok=True)
    rejected: list[Rejection] = []
    for rule_set in ALL_RULE_SETS:
        results = check_all((rule_set,))
        rejected += [r for r in results if isinstance(r, Rejection)]
        kept = [asdict(r) for r in results if isinstance(r, Certificate)]
        text = json.dumps(kept, indent=1, sort_keys=True) + "\n"
        (folder / f"{rule_set.name}.json").write_text(text)
    return rejected


def read_certificates(rule_set: RuleSet, folder: Path = CERTIFICATES) -> dict[str, Certificate]:
    """Return the certificates kept for a rule set, by rule."""
    file = folder / f"{rule_set.name}.json"
    if not file.exists():
        return {}
    return {c["rule"]: Certificate(**c) for c in json.loads(file.read_text())}


def main(arguments: list[str]) -> int:
    """Check all shipped rules; return the number of rejections."""
    if "--write" in arguments:
        rejected = write_certificates()
    else:
        rejected = [r for r in check_all() if isinstance(r, Rejection)]
    count = sum(len(s.rules) for s in ALL_RULE_SETS)
    print(f"{count - len(rejected)} of {count} rules hold")
    for each in rejected:
        print(each)
    return len(rejected)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
