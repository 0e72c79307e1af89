"""A rule is a theorem, as data: a traced Python function that returns two equal sides.

    @products.rule(both_ways=True, numerics=REASSOCIATES, source="linear algebra")
    def matmul_associates(a: MatrixMK, b: MatrixKN, c: MatrixNP) -> Sides:
        return (a @ b) @ c, a @ (b @ c)

What compiles rules reads `RuleSet.rules` → `Rule.rewrites` (one direction each, the left side in
every order of commutative operands) and calls `resolve(rewrite, bindings, expected)` per match.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import Any, ClassVar, cast

from eqsat.ir import Numerics
from eqsat.rules._language import (
    AttrSpec,
    NumberSpec,
    Operand,
    Pattern,
    ShapeSpec,
    Sides,
    Spec,
    TensorSpec,
    term_of,
)
from eqsat.rules._terms import (
    AttrVar,
    NumberLit,
    PatVar,
    RuleError,
    ShapeVar,
    Term,
    bound_names,
    commuted,
    computed,
    subterms,
)
from eqsat.shapes import EqsatError

EXACT = Numerics.EXACT
REASSOCIATES = Numerics.REASSOCIATING
ROUNDING = Numerics.ROUNDING
APPROXIMATE = Numerics.APPROXIMATE


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How far the sides of an approximate rule may differ, and for which values.

    Per element: |left - right| ≤ `absolute` + `relative` · L, where L is the left side computed
    from the operands' absolute values. Claimed where all values lie between `low` and `high`.
    """

    absolute: float = 0.0
    relative: float = 0.0
    low: float = -1000.0
    high: float = 1000.0


class Phase(Enum):
    """When a rule set runs."""

    SIMPLIFY = auto()  # to saturation, first and after every other phase: never grows the program
    EXPLORE = auto()  # a few iterations under limits: alternatives that may be better
    MERGE = auto()  # once: joins parallel work
    NORMAL_FORM = auto()  # decided by a normal form, without search: the set `ring` alone


# --- conditions -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Condition:
    """One conjunct of a rule's guard: `fn` over variables (strings in `arguments`) and literals.

    `is_profit` marks a condition that only keeps programs small, or values in the range of their
    dtype: without it the rule is still true of ordinary numbers.
    """

    fn: Callable[..., bool]
    arguments: tuple[object, ...]
    is_profit: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the variables it looks at."""
        return tuple(a for a in self.arguments if isinstance(a, str))

    def __str__(self) -> str:
        shown = ", ".join(str(a) for a in self.arguments)
        return f"{self.fn.__name__}({shown})" if shown else self.fn.__name__


def predicate(fn: Callable[..., bool]) -> Callable[..., Condition]:
    """Make a named predicate: `rank_is("x", 2)` is then the condition `fn(<what x binds>, 2)`.

    A variable of a tensor or number comes as a `Known`, an attribute as its value, a shape as dims.
    """
    return lambda *arguments: Condition(fn, arguments)


def profit(fn: Callable[..., bool]) -> Callable[..., Condition]:
    """Make a named predicate that only says where a rule pays, or that values stay in range."""
    return lambda *arguments: Condition(fn, arguments, is_profit=True)


def _types_agree() -> bool:
    return True


types_agree = Condition(_types_agree, ())
"""The rule may be ill-typed for some matches (broadcasting): these are skipped.

`resolve` always skips a match whose sides' types are not provably equal; the checker rejects a rule
that meets such a match without saying so here."""


# --- rules ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Rewrite:
    """One direction of a rule, one spelling of its left side.

    A match binds every class of `lhs` (several: a multi-pattern, all must match with the same
    bindings); then the i-th class is united with the i-th term of `rhs`. `ordered` names variables
    whose classes must be strictly increasing (in any fixed order of classes), so that symmetric
    matches are found once.
    """

    name: str
    rule: Rule
    lhs: tuple[Term, ...]
    rhs: tuple[Term, ...]

    @property
    def specs(self) -> Mapping[str, Spec]:
        """The variables and their constraints."""
        return self.rule.specs

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The guard's conjuncts."""
        return self.rule.when

    @property
    def ordered(self) -> tuple[str, ...]:
        """Variables bound to strictly increasing classes."""
        return self.rule.ordered

    def __str__(self) -> str:
        return f"{_joined(self.lhs)} → {_joined(self.rhs)}"


def _joined(terms: tuple[Term, ...]) -> str:
    return str(terms[0]) if len(terms) == 1 else f"({'; '.join(map(str, terms))})"


@dataclass(frozen=True, eq=False)
class Rule:
    """A named equality with its guard. Nothing is traced before it is first looked at."""

    name: str
    fn: Callable[..., Any]
    numerics: Numerics
    source: str
    both_ways: bool = False
    when: tuple[Condition, ...] = ()
    ordered: tuple[str, ...] = ()
    accuracy: Accuracy | None = None

    _kind: ClassVar[str] = "rule"

    @cached_property
    def specs(self) -> dict[str, Spec]:
        """The variables in order, with their constraints."""
        parameters = inspect.signature(self.fn, eval_str=True).parameters
        return {name: self._spec(name, p.annotation) for name, p in parameters.items()}

    def _spec(self, name: str, hint: Any) -> Spec:
        for each in (hint, *getattr(hint, "__metadata__", ())):
            if isinstance(each, (TensorSpec, NumberSpec, AttrSpec, ShapeSpec)):
                return each
        raise RuleError(
            f"{self._kind} {self.name}: annotate {name} with a pattern type such as Tensor, "
            f'Number, IntAttr, Dims or Annotated[Pattern, tensor("m k")]'
        )

    @cached_property
    def sides(self) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
        """The two sides, as equally long tuples of terms.

        Raises:
            RuleError: the function is no rule; the message says what is wrong.
        """
        returned = self._traced()
        if not isinstance(returned, tuple) or len(cast("tuple[object, ...]", returned)) != 2:
            raise RuleError(f"{self._kind} {self.name} must return (lhs, rhs), got {returned!r}")
        lhs, rhs = map(_side, cast("Sides", returned))
        self._check(lhs, rhs)
        if self.both_ways:
            self._check(rhs, lhs)
        return lhs, rhs

    def _traced(self) -> Any:
        try:
            return self.fn(*(_proxy(name, spec) for name, spec in self.specs.items()))
        except EqsatError as error:
            error.add_note(f"in {self._kind} {self.name}")
            raise

    def _check(self, lhs: tuple[Term, ...], rhs: tuple[Term, ...]) -> None:
        if len(lhs) != len(rhs):
            raise RuleError(
                f"{self._kind} {self.name}: {len(lhs)} outputs on the left, {len(rhs)} on the right"
            )
        if lhs == rhs:
            raise RuleError(f"{self._kind} {self.name}: both sides are the same term")
        self._check_left(lhs, rhs)

    def _check_left(self, lhs: tuple[Term, ...], rhs: tuple[Term, ...]) -> None:
        """Check that the left side can be matched, and binds all that is used."""
        for term in lhs:
            if isinstance(term, (PatVar, NumberLit)):
                raise RuleError(f"{self._kind} {self.name}: {term} alone matches everything")
            for c in computed(term):
                raise RuleError(f"{self._kind} {self.name}: {c} cannot be matched, only built")
        bound = set[str]().union(*(bound_names(t) for t in lhs))
        used = set[str]().union(
            *(bound_names(t) for t in rhs),
            *(c.variables for t in rhs for c in computed(t)),
            *(c.variables for c in self.when),
            self.ordered,
        )
        if missing := used - bound:
            raise RuleError(
                f"{self._kind} {self.name}: {', '.join(sorted(missing))} not bound by the left side"
            )

    @cached_property
    def rewrites(self) -> tuple[Rewrite, ...]:
        """Every direction and spelling, uniquely named."""
        lhs, rhs = self.sides
        found = [*self._spelled(self.name, lhs, rhs)]
        if self.both_ways:
            found += self._spelled(f"{self.name}_reversed", rhs, lhs)
        return tuple(found)

    def _spelled(
        self, name: str, lhs: tuple[Term, ...], rhs: tuple[Term, ...]
    ) -> Iterator[Rewrite]:
        spellings: list[tuple[Term, ...]] = [()]
        for term in lhs:
            spellings = [
                (*s, form) for s in spellings for form in commuted(term, self._is_constant)
            ]
        for i, spelling in enumerate(dict.fromkeys(spellings)):
            yield Rewrite(name if i == 0 else f"{name}_{i + 1}", self, spelling, rhs)

    def _is_constant(self, term: Term) -> bool:
        stated = {c.arguments[0] for c in self.when if c.fn.__name__ == "is_constant"}
        leaves = [t for t in subterms(term) if isinstance(t, (PatVar, NumberLit))]
        return all(
            isinstance(t, NumberLit)
            or t.name in stated
            or isinstance(self.specs[t.name], NumberSpec)
            for t in leaves
        )

    def __str__(self) -> str:
        lhs, rhs = self.sides
        return f"{_joined(lhs)} {'=' if self.both_ways else '→'} {_joined(rhs)}"


@dataclass(frozen=True, eq=False)
class Sketch(Rule):
    """A form that some value of a program is to get, to guide a search: a rule's left side alone.

    Its variables are holes: whatever fits the annotations and the conditions may stand there.
    """

    _kind: ClassVar[str] = "sketch"

    @cached_property
    def sides(self) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
        """The form, and nothing on the right.

        Raises:
            RuleError: the function is no sketch; the message says what is wrong.
        """
        returned = self._traced()
        if not isinstance(returned, Pattern):
            raise RuleError(f"sketch {self.name} must return one value, got {returned!r}")
        lhs = _side(returned)
        self._check_left(lhs, ())
        return lhs, ()

    def __str__(self) -> str:
        return _joined(self.sides[0])


def sketch(*, when: Sequence[Condition] = ()) -> Callable[[Callable[..., Pattern]], Sketch]:
    """Make the decorated function a sketch.

    Args:
        when: conditions on what its variables stand for, all of which must hold.

    Raises:
        RuleError: the function is no sketch; the message says what is wrong.
    """

    def make(fn: Callable[..., Pattern]) -> Sketch:
        made = Sketch(fn.__name__, fn, EXACT, source="", when=tuple(when))
        _ = made.sides
        return made

    return make


def _side(side: Operand | tuple[Operand, ...]) -> tuple[Term, ...]:
    return tuple(term_of(t) for t in (side if isinstance(side, tuple) else (side,)))


def _proxy(name: str, spec: Spec) -> Pattern | AttrVar | ShapeVar:
    match spec:
        case TensorSpec() | NumberSpec():
            return Pattern(PatVar(name))
        case AttrSpec():
            return AttrVar(name)
        case ShapeSpec():
            return ShapeVar(name)


@dataclass(frozen=True, eq=False, slots=True)
class RuleSet:
    """Rules of one theme that run in the same phase."""

    name: str
    phase: Phase = Phase.SIMPLIFY
    rules: list[Rule] = field(default_factory=list[Rule])

    def rule(
        self,
        *,
        source: str,
        numerics: Numerics = EXACT,
        both_ways: bool = False,
        when: Sequence[Condition] = (),
        ordered: Sequence[str] = (),
        accuracy: Accuracy | None = None,
    ) -> Callable[[Callable[..., Any]], Rule]:
        """Add the decorated function as a rule.

        Args:
            source: who says that it holds.
            numerics: EXACT when both sides are bit-equal.
            both_ways: also right to left.
            when: conditions, all of which must hold; unknown counts as no.
            ordered: tensor variables bound to strictly increasing classes (multi-patterns).
            accuracy: of an APPROXIMATE rule: how far off it may be.

        Raises:
            RuleError: the name is taken, or an approximate rule does not state its accuracy.
        """

        def add(fn: Callable[..., Any]) -> Rule:
            name = fn.__name__
            if any(r.name == name for r in self.rules):
                raise RuleError(f"rule set {self.name} already has a rule {name}")
            if (numerics is APPROXIMATE) != (accuracy is not None):
                raise RuleError(
                    f"rule {name}: an APPROXIMATE rule states its accuracy=Accuracy(...), and only "
                    "such a rule does"
                )
            made = Rule(
                name, fn, numerics, source, both_ways, tuple(when), tuple(ordered), accuracy
            )
            self.rules.append(made)
            return made

        return add
