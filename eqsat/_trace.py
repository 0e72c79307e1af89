"""How one part of a program became what was chosen: a chain of programs, and what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from eqsat._chain import ChainStep, chain
from eqsat._guide import SketchGoal
from eqsat._proofs import TermId
from eqsat._record import Recorder
from eqsat._saturate import saturate
from eqsat._states import States, cover_terms
from eqsat.extract import Sizes, extract
from eqsat.ir import Function
from eqsat.rules import Phase, RuleSet
from eqsat.shapes import EqsatError

if TYPE_CHECKING:
    from eqsat._search import Search, Settings

# Recording makes a search slower; it must come as far as the one that it explains.
_MORE_TIME = 10.0


class ExplainError(EqsatError):
    """A program cannot be explained."""


@dataclass(eq=False)
class Trace:
    """The chain of one search.

    Attributes:
        start: the terms of the results of the program as given.
        steps: what was done, in order.
        rewrites: the names of the rewrite and its rule of each rule number.
    """

    search: Search
    settings: Settings
    states: States
    start: tuple[TermId, ...]
    steps: Sequence[ChainStep]
    rewrites: Mapping[int, tuple[str, str]]
    _estimates: dict[int, float] = field(default_factory=dict[int, float])

    def program(self, number: int) -> Function:
        """Return the program after so many steps, operator by operator."""
        outputs = self.steps[number - 1].outputs if number else self.start
        # Equal parts share what was recorded of the first.
        return replace(self.states.function(outputs), name=self.search.function.name)

    def estimate_s(self, number: int) -> float:
        """Return the estimated time of the program after so many steps, fused, in seconds."""
        if number not in self._estimates:
            as_it_is = replace(self.settings, rule_sets=())
            self._estimates[number] = cost_s(self.program(number), self.search, as_it_is)
        return self._estimates[number]


def only(rule_sets: Sequence[RuleSet], rules: Set[str]) -> tuple[RuleSet, ...]:
    """Return these sets with no rules but those named.

    A normal form needs all its laws: it stays as long as one of them is named.
    """
    named = [(s, [r for r in s.rules if r.name in rules]) for s in rule_sets]
    return tuple(
        s if s.phase is Phase.NORMAL_FORM else replace(s, rules=found)
        for s, found in named
        if found
    )


def cost_s(function: Function, search: Search, settings: Settings) -> float:
    """Return the estimated time of the best program found, extracted greedily, in seconds."""
    snapshot, _ = saturate(function, settings.rule_sets, settings.facts, settings.limits)
    sizes = Sizes.of(snapshot, settings.dims)
    return extract(snapshot, search.profile, sizes, time_limit_s=0.0).time_s


def trace(search: Search, settings: Settings) -> Trace:
    """Return the chain that leads to the program that was chosen.

    The search is done once more, and what it does is recorded.

    Raises:
        ExplainError: the search was cut short by its time, and this time found other things.
    """
    recorder = Recorder()
    limits = replace(settings.limits, time_s=_MORE_TIME * settings.limits.time_s)
    goal = search.sketch and SketchGoal(search.sketch, search.profile, settings.dims)
    saturate(search.start, settings.rule_sets, settings.facts, limits, recorder=recorder, goal=goal)
    states = States(search.start, recorder)
    start = tuple(recorder.program_terms[i] for i in recorder.program.outputs)
    end = cover_terms(search.snapshot, search.cover, recorder.proofs, recorder.words)
    leader = recorder.proofs.leader
    if any(leader(a) != leader(b) for a, b in zip(start, end, strict=True)):
        raise ExplainError(
            f"the search for {search.function.name} ended by a limit and found other programs when "
            "it was repeated; optimize with larger limits: limits=eqsat.Limits(time_s=60)"
        )
    steps = chain(recorder.proofs, start, end)
    return Trace(search, settings, states, start, steps, recorder.rewrites)
