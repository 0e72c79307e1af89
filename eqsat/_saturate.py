"""Runs rule sets over a program in phases, under limits."""

from __future__ import annotations

import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

from eqsat._collection import paused_collection
from eqsat._compile_rules import CompiledRule, Literals, operators, relevant
from eqsat._encode import Program, encode
from eqsat._engine import Engine
from eqsat._freeze import freeze
from eqsat._limits import Limits, PhaseReport, SaturationReport
from eqsat._record import Recorder
from eqsat._ring import LAWS, has_all_laws, unite_same_polynomials
from eqsat._snapshot import Snapshot
from eqsat._symbols import Vocabulary
from eqsat._values import Values
from eqsat.ir import ALL_OPS, Function
from eqsat.rules import Phase, RuleError, RuleSet
from eqsat.rules._resolve import same_type
from eqsat.shapes import NO_FACTS, Facts

_STATM = Path("/proc/self/statm")

# Rounds of an EXPLORE phase: each lets alternatives of alternatives in.
EXPLORE_ITERATIONS = 6

# Up to so many e-nodes normal forms are looked at in every round, else when a phase has ended.
SMALL = 400

# What stops a phase, in the report: everything found, rounds used up, a goal, or a limit's name.
SATURATED = "saturated"
ITERATIONS = "iterations"
REACHED = "reached"


# Called with the part of the work that is done, from 0 to 1, as far as the limits tell.
Progress = Callable[[float], None]


class Goal(Protocol):
    """Ends a search: asked before each round in which all of its operators are there."""

    operators: set[str]

    def is_reached(self, snapshot: Snapshot) -> bool:
        """Return whether the e-graph has what was looked for."""
        ...


def saturate(
    function: Function,
    rule_sets: Sequence[RuleSet],
    facts: Facts = NO_FACTS,
    limits: Limits | None = None,
    progress: Progress | None = None,
    *,
    whole: bool = False,
    recorder: Recorder | None = None,
    goal: Goal | None = None,
) -> tuple[Snapshot, SaturationReport]:
    """Return all equal forms of `function` that the rules find within the limits.

    `whole` keeps what no output needs, too. A recorder is told all that makes terms equal. The
    search ends when a goal is reached.

    Raises:
        EncodeError: the function holds something that the e-graph cannot stand for.
        RuleError: a rule united values of different types.
        EngineError: the engine failed.
        KeyboardInterrupt: Ctrl-C was pressed twice; once only ends the search.
    """
    start_s = time.perf_counter()
    with _interrupts() as interrupt, paused_collection():
        words = Vocabulary(ALL_OPS, Values(facts))
        program = encode(function, words)
        if recorder:
            recorder.reads(program, words)
        engine = Engine(recorder)
        run = _Saturation(
            words, program, rule_sets, limits or Limits(), progress, interrupt, engine, goal
        )
        phases = run.phases(rule_sets)
        if recorder:
            recorder.rewrites = run.rewrite_names()
        snapshot = run.snapshot(whole=whole)
    report = SaturationReport(
        phases=tuple(phases),
        matches=run.matches(),
        num_nodes=run.engine.num_nodes(),
        num_classes=run.engine.num_classes(),
        time_s=time.perf_counter() - start_s,
        stop=next((p.stop for p in phases if _cut_short(p, limits or Limits())), SATURATED),
        interrupted=interrupt.requested,
    )
    return snapshot, report


_NORMAL = (SATURATED, ITERATIONS)


def _cut_short(phase: PhaseReport, limits: Limits) -> bool:
    """Whether one of the limits ended the phase; the rounds of EXPLORE are no limit of the user."""
    if phase.stop == ITERATIONS:
        return phase.iterations >= limits.iterations
    return phase.stop not in _NORMAL


@dataclass(eq=False, slots=True)
class _Interrupt:
    requested: bool = False


@contextmanager
def _interrupts() -> Generator[_Interrupt]:
    """Note the first Ctrl-C instead of raising it; egglog cannot be stopped inside a command."""
    interrupt = _Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def note(number: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.requested = True

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # someone else handles it: leave that in place
        yield interrupt
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(eq=False, slots=True)
class _Rest:
    """The back-off of one rule in one phase."""

    times: int = 0
    until: int = 0


@dataclass(eq=False)
class _Saturation:
    words: Vocabulary
    program: Program
    rule_sets: Sequence[RuleSet]
    limits: Limits
    progress: Progress | None
    interrupt: _Interrupt
    engine: Engine
    goal: Goal | None = None
    literals: Literals = field(default_factory=Literals)

    def __post_init__(self) -> None:
        self._end_s = time.perf_counter() + self.limits.time_s
        self._checked_types: set[tuple[int, int]] = set()
        self._pending: Counter[int] = Counter()  # matches found and not yet applied
        searched = [s for s in self.rule_sets if s.phase is not Phase.NORMAL_FORM]
        rewrites = [w for s in searched for r in s.rules for w in r.rewrites]
        chosen = relevant(rewrites, set(self.program.ops))
        self.rules: dict[int, CompiledRule] = {}
        self._index = {w: i for i, w in enumerate(chosen, 1)}
        self._waiting = {w: operators(w)[0] for w in chosen}
        self._law_index = {law: len(chosen) + i for i, law in enumerate(LAWS, 1)}
        self._laws_used: Counter[str] = Counter()
        self._normalized = (0, 0)  # the e-nodes and classes there were at the last normal form
        self._has_normal_form = has_all_laws(self.rule_sets)
        for rewrite in chosen:
            self.literals.note(rewrite)
        self._add_rules()
        nodes = [(n.symbol, n.operands, n.columns, n.type, n.known) for n in self.program.nodes]
        self.engine.load(nodes, self.program.outputs)
        self.engine.insert_numbers(
            self.literals.matching(self.words.values, self.words.values.take_new_numbers())
        )
        self._analyse([])

    def _add_rules(self) -> None:
        """Add the rules whose operators are all there now.

        Most programs have a few operators only.
        """
        present = self.words.operators(self.engine.present()) | set(self.program.ops)
        for rewrite, needed in [*self._waiting.items()]:
            if needed <= present:
                i = self._index[rewrite]
                self.rules[i] = CompiledRule(rewrite, i, self.words, self.literals)
                self.engine.add_rule(self.rules[i].engine_rule)
                del self._waiting[rewrite]

    def snapshot(self, *, whole: bool = False) -> Snapshot:
        """Return the e-graph as it stands."""
        names = {i: rule for i, (_, rule) in self.rewrite_names().items()}
        return freeze(self.engine.contents(), self.words, self.program, names, whole=whole)

    def rewrite_names(self) -> dict[int, tuple[str, str]]:
        """Return the names of rewrite and rule of each rule of the engine."""
        laws = {i: (law, law) for law, i in self._law_index.items()}
        return {**{i: (r.rewrite.name, r.name) for i, r in self.rules.items()}, **laws}

    def matches(self) -> dict[str, int]:
        total = Counter(self._laws_used)
        for rule in self.rules.values():
            if rule.num_applied:
                total[rule.name] += rule.num_applied
        return dict(total)

    def phases(self, rule_sets: Sequence[RuleSet]) -> list[PhaseReport]:
        """Simplify, merge once, explore together with simplification, simplify.

        Merging comes first: each alternative that exploring finds would multiply the pairs.
        """
        by_phase = {
            phase: [
                self._index[w]
                for s in rule_sets
                if s.phase is phase
                for r in s.rules
                for w in r.rewrites
                if w in self._index
            ]
            for phase in Phase
        }
        simplify = by_phase[Phase.SIMPLIFY]
        explore = sorted({*simplify, *by_phase[Phase.EXPLORE]})
        plan = [("simplify", simplify, self.limits.iterations)]
        if by_phase[Phase.MERGE]:
            plan.append(("merge", by_phase[Phase.MERGE], 1))
        if by_phase[Phase.EXPLORE]:
            rounds = min(EXPLORE_ITERATIONS, self.limits.iterations)
            plan.append(("explore", explore, rounds))
        if len(plan) > 1:
            plan.append(("simplify", simplify, self.limits.iterations))
        reports: list[PhaseReport] = []
        for i, (name, rules, iterations) in enumerate(plan):
            reports.append(self._phase(name, rules, iterations, i / len(plan)))
            if reports[-1].stop not in _NORMAL:
                break
        return reports

    def _phase(
        self, name: str, rules: Sequence[int], iterations: int, fraction: float
    ) -> PhaseReport:
        start_s = time.perf_counter()
        rests = {i: _Rest() for i in rules}
        stop, done = ITERATIONS, 0
        while done < iterations:
            stop = self._exceeded() or self._reached() or self._iterate(rules, rests, done)
            is_due = stop == SATURATED or (not stop and self._is_small())
            if is_due and self._normalize():
                stop = ""
            if stop:
                break
            stop, done = ITERATIONS, done + 1
            if self.progress:
                self.progress(max(fraction, self._used_up()))
        return PhaseReport(
            name=name,
            iterations=done,
            num_nodes=self.engine.num_nodes(),
            num_classes=self.engine.num_classes(),
            time_s=time.perf_counter() - start_s,
            stop=stop,
        )

    def _reached(self) -> str:
        goal = self.goal
        if not goal or not goal.operators <= self.words.operators(self.engine.present()):
            return ""
        return REACHED if goal.is_reached(self.snapshot()) else ""

    def _is_small(self) -> bool:
        return self.engine.num_nodes() <= SMALL

    def _normalize(self) -> bool:
        """Unite what the normal form of sums and products shows to be the same."""
        size = (self.engine.num_nodes(), self.engine.num_classes())
        if not self._has_normal_form or size == self._normalized:
            return False
        self._normalized = size
        used = unite_same_polynomials(self.engine, self.words, self._law_index)
        self._laws_used += used
        if used:
            self._analyse([])
        return bool(used)

    def _used_up(self) -> float:
        """Return the part of the scarcest limit that is used up."""
        left_s = self._end_s - time.perf_counter()
        nodes = self.engine.num_nodes() / max(self.limits.num_nodes, 1)
        return min(1.0, max(nodes, 1 - left_s / max(self.limits.time_s, 1e-9)))

    def _exceeded(self) -> str:
        """Return the name of a limit that is reached, "" for none."""
        limits = self.limits
        if self.interrupt.requested:
            return "interrupted"
        if time.perf_counter() >= self._end_s:
            return "time_s"
        if self.engine.num_nodes() >= limits.num_nodes:
            return "num_nodes"
        if limits.memory_bytes and _resident_bytes() >= limits.memory_bytes:
            return "memory_bytes"
        return ""

    def _iterate(self, rules: Sequence[int], rests: dict[int, _Rest], iteration: int) -> str:
        """Search, answer and apply once; return why there is no more to do, "" if there may be."""
        rules = [i for i in rules if i in self.rules]
        if not rules:
            return SATURATED
        awake = [i for i in rules if rests[i].until <= iteration]
        if not awake:
            soonest = min(r.until for r in rests.values())
            awake = [i for i in rules if rests[i].until <= soonest]
        for i, count in self.engine.search(awake).items():
            self._pending[i] += count
        self._answer()
        rested = [i for i in awake if not self._goes_to_rest(i, rests[i], iteration)]
        ready = self._affordable(rested)
        changed = False
        if ready:
            changed, applied = self.engine.apply(ready)
            for i, count in applied.items():
                self.rules[i].num_applied += count
                self._pending[i] = 0
        self._analyse(ready)
        if changed:
            self._add_rules()
        if changed or len(rested) < len(rules):
            return ""
        return SATURATED if len(ready) == len(rested) else "num_nodes"

    def _goes_to_rest(self, i: int, rest: _Rest, iteration: int) -> bool:
        # A rule may match each e-node of a large program: that is no explosion.
        budget = max(self.limits.matches, len(self.program.nodes))
        if self._pending[i] <= budget << rest.times:
            return False
        rest.times += 1
        rest.until = iteration + (1 << rest.times)
        return True

    def _affordable(self, ready: Sequence[int]) -> list[int]:
        """Return the rules whose matches fit into the node limit together, in order.

        Twice the limit, since most right sides exist already.
        """
        room = 2 * self.limits.num_nodes - self.engine.num_nodes()
        chosen: list[int] = []
        for i in ready:
            needed = self._pending[i] * len(self.rules[i].engine_rule.new)
            if needed <= room:
                room -= needed
                chosen.append(i)
        return chosen

    def _answer(self) -> None:
        values = self.words.values
        for i, questions in self.engine.questions().items():
            rule = self.rules[i]
            answers = [(q, rule.answer(q)) for q in questions]
            self.engine.answer(i, [(*q, *a) for q, a in answers if a is not None])
        numbers = values.take_new_numbers()
        self.engine.insert_numbers(self.literals.matching(values, numbers))

    def _analyse(self, applied: Sequence[int]) -> None:
        self.engine.analyse()
        for pair in self.engine.types_united():
            if pair not in self._checked_types:
                self._check_types(pair, applied)

    def _check_types(self, pair: tuple[int, int], applied: Sequence[int]) -> None:
        values = self.words.values
        a, b = (values.type_at(i) for i in pair)
        if not same_type(a, b, values.facts):
            names = sorted({self.rules[i].name for i in applied if self.rules[i].num_applied})
            raise RuleError(
                f"a rule united values of types {a} and {b}, which are not provably the same; "
                f"the last rules applied: {', '.join(names) or 'none'}"
            )
        self._checked_types.add(pair)


def _resident_bytes() -> int:
    """The resident memory of this process; where Linux does not tell it, the greatest so far."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
