"""Why a program became what it is: a chain of programs, with what each step does and gains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from eqsat._replay import Replay, replayed
from eqsat._search import Searcher
from eqsat._trace import Trace, cost_s, only, trace
from eqsat.ir import IRModule
from eqsat.rules import Rule

if TYPE_CHECKING:
    from eqsat._report import RuleGain
    from eqsat._search import Searches

Progress = Callable[[str, float], None]
"""progress(what, fraction): called while long work goes on, fraction from 0 to 1."""

# A rule that brings less than this part of the time does not matter.
_TOLERANCE = 0.01
_SHOWN_STEPS = 40


@dataclass(frozen=True, slots=True)
class Step:
    """One application of a rule.

    Attributes:
        number: its place in the chain, from 1.
        part: the function of the module in which it happens.
        rule: the rule's name; "" where a value that was derived before takes the place of an equal
            one, which is no new application.
        is_reversed: the rule is read from right to left.
        value: the value that is computed otherwise now, by name and type.
        before: how it was computed.
        after: how it is computed.
        numerics: "exact", "reassociating", "rounding" or "approximate"; "" where there is no rule.
        estimate_s: the estimated time of the whole program after the step, in seconds.
        gain_s: by how much that is less than before.
    """

    number: int
    part: str
    rule: str
    is_reversed: bool
    value: str
    before: str
    after: str
    numerics: str
    estimate_s: float
    gain_s: float


@dataclass(frozen=True, slots=True)
class Milestone:
    """The program after step `number` has the form of a sketch in its function `part`."""

    sketch: str
    part: str
    number: int

    def __str__(self) -> str:
        return f"sketch {self.sketch} is reached"


@dataclass(frozen=True, slots=True)
class Ablation:
    """The rules that matter.

    Attributes:
        rules: a least set: without any of them the program is more than 1 % slower by estimate.
        estimate_s: with these rules alone, in seconds.
        full_estimate_s: with all rules of the chain.
        dropped: the rules of the chain that can be left out, and the estimate without each.
        needed: the estimate without each of `rules`.
    """

    rules: tuple[str, ...]
    estimate_s: float
    full_estimate_s: float
    dropped: Mapping[str, float]
    needed: Mapping[str, float]

    def __str__(self) -> str:
        lines = [
            f"{len(self.rules)} of {len(self.rules) + len(self.dropped)} rules matter; with these "
            f"alone the estimate is {_us(self.estimate_s)}, with all {_us(self.full_estimate_s)}"
        ]
        return "\n".join([*lines, *(f"  without {r}: {_us(self.needed[r])}" for r in self.rules)])


class Explanation:
    """How the program given became the best one, step by step; printing it shows a table.

    `program(0)` is the program given and `program(len(explanation))` the last before kernels are
    formed.

    Attributes:
        traces: the chain of each part of the module, for each sketch that guided its search one
            and one for the last search; for tools, it may change.
    """

    def __init__(self, searches: Searches, rules: Mapping[str, Rule], progress: Progress) -> None:
        self._searches, self._rules, self._progress = searches, rules, progress
        self.traces: list[Trace] = []
        known: dict[int, Trace] = {}
        for i, part in enumerate(searches.parts):
            progress("trace", i / len(searches.parts))
            for search in (*part.stages, part):
                found = known.get(id(search.snapshot))
                if found is None:
                    found = known[id(search.snapshot)] = trace(search, searches.settings)
                self.traces.append(replace(found, search=replace(search, function=part.function)))

    def __len__(self) -> int:
        return sum(len(t.steps) for t in self.traces)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """All steps, with estimates: a greedy extraction each."""
        total = self.estimate_before_s
        found: list[Step] = []
        for t in self.traces:
            for i in range(1, len(t.steps) + 1):
                self._progress("estimate", len(found) / len(self))
                gain = t.estimate_s(i - 1) - t.estimate_s(i)
                total -= gain
                found.append(self._step(t, i, len(found) + 1, total, gain))
        return tuple(found)

    def _step(self, t: Trace, i: int, number: int, estimate_s: float, gain_s: float) -> Step:
        step = t.steps[i - 1]
        link, states = step.link, t.states
        rewrite, rule = ("", "") if step.repeats else t.rewrites[link.rule]
        name = states.name(link.left)
        ty = states.type_of(link.left)
        return Step(
            number=number,
            part=t.search.function.name,
            rule=rule,
            is_reversed=rewrite.endswith("_reversed") is link.forward if rule else False,
            value=f"{name}: {ty}" if name else str(ty),
            before=states.text(link.left),
            after=states.text(link.right),
            numerics=self._numerics(rule),
            estimate_s=estimate_s,
            gain_s=gain_s,
        )

    def _numerics(self, rule: str) -> str:
        return self._rules[rule].numerics.name.lower() if rule else ""

    @cached_property
    def rules(self) -> Counter[str]:
        """How often each rule is applied."""
        return Counter(
            t.rewrites[s.link.rule][1] for t in self.traces for s in t.steps if not s.repeats
        )

    @cached_property
    def sketches(self) -> tuple[Milestone, ...]:
        """Where the chain comes to the forms that guided the search."""
        found: list[Milestone] = []
        number = 0
        for t in self.traces:
            number += len(t.steps)
            if t.search.sketch:
                found.append(Milestone(t.search.sketch.name, t.search.function.name, number))
        return tuple(found)

    @property
    def estimate_before_s(self) -> float:
        """The estimated time of the program given, fused but not rewritten, in seconds."""
        first = {t.search.function.name: t for t in reversed(self.traces)}
        return sum(t.estimate_s(0) for t in first.values())

    @property
    def estimate_s(self) -> float:
        """The estimated time of the best program, in seconds."""
        return sum(s.cover.time_s for s in self._searches.parts)

    @cached_property
    def gains(self) -> tuple[RuleGain, ...]:
        """What each rule is worth: the estimated time lost without it, in seconds."""
        return self._searches.gains()

    def program(self, number: int) -> IRModule:
        """Return the module after so many steps, its operators not yet joined into kernels.

        Raises:
            IndexError: there are fewer steps.
        """
        if not 0 <= number <= len(self):
            raise IndexError(f"program {number} of a chain of {len(self)} steps")
        functions = dict(self._searches.rest.functions)
        begun: set[str] = set()
        for t in self.traces:
            name, done = t.search.function.name, min(number, len(t.steps))
            number -= done
            if done or name not in begun:
                functions[name] = t.program(done)
                begun.add(name)
        return replace(self._searches.rest, functions=functions)

    def programs(self) -> Iterator[IRModule]:
        """Yield every program of the chain, the given one first."""
        return (self.program(i) for i in range(len(self) + 1))

    def replay(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        whole: bool = False,
    ) -> Replay:
        """Run the chain by the reference interpreter, and compare the numbers before and after.

        Args:
            inputs: arrays by parameter, for a module of one part; random ones by default, with
                sizes as given to `optimize`.
            seed: of random inputs.
            whole: compare the results of every program with those of the first one as well, up to
                the first step by an approximate rule, which bounds its own value only.
        """
        return replayed(
            self.traces, self._rules, inputs or {}, seed=seed, whole=whole, progress=self._progress
        )

    def ablation(self) -> Ablation:
        """Return a least set of rules that gives the same program, up to 1 % of its time.

        The rules are dropped one after the other, those that gain least first; each try is a search
        of its own. The laws of a normal form stand for each other: at most one of them is left.
        """
        gain = {g.rule: g.gain_s for g in self.gains}
        kept = set(self.rules)
        full = self._cost_s(kept)
        dropped: dict[str, float] = {}
        needed: dict[str, float] = {}
        for i, rule in enumerate(sorted(kept, key=lambda r: (gain.get(r, 0.0), r))):
            self._progress("ablation", i / len(self.rules))
            without = self._cost_s(kept - {rule})
            if without <= full * (1 + _TOLERANCE):
                kept.remove(rule)
                dropped[rule] = without
            else:
                needed[rule] = without
        rules = tuple(sorted(kept, key=lambda r: (-needed[r], r)))
        return Ablation(rules, self._cost_s(kept), full, dropped, needed)

    def _cost_s(self, rules: set[str]) -> float:
        settings = self._searches.settings
        settings = replace(settings, rule_sets=only(settings.rule_sets, rules))
        searcher = Searcher(settings, mark=lambda _: None, report=lambda _, __: None)
        known: dict[int, float] = {}
        for part in self._searches.parts:
            key = id(part.snapshot)
            if key not in known:
                _, start = searcher.guided(part.function, lambda _: None)
                known[key] = cost_s(start, part, settings)
        return sum(known[id(part.snapshot)] for part in self._searches.parts)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "estimate_before_s": self.estimate_before_s,
            "estimate_s": self.estimate_s,
            "rules": dict(self.rules),
            "gains": [asdict(g) for g in self.gains],
            "sketches": [asdict(m) for m in self.sketches],
            "steps": [asdict(s) for s in self.steps],
        }

    def as_text(self, limit: int | None = _SHOWN_STEPS) -> str:
        """Return the chain as text, up to `limit` steps of it, and what each rule is worth."""
        shown = self.steps[:limit]
        lines = [
            f"{len(self)} steps; estimated time of the program given, fused: "
            f"{_us(self.estimate_before_s)}"
        ]
        for s in shown:
            lines += ["", f"{s.number}. {_named(s)}  {_us(s.estimate_s)} ({-s.gain_s * 1e6:+.2f})"]
            lines += [f"   {s.value}", f"     {s.before}", f"   → {s.after}"]
            lines += [f"   {m}" for m in self._milestones(s.number)]
        if left := len(self) - len(shown):
            lines += ["", f"… and {left} more steps; as_text(limit=None) shows them"]
        lines += ["", f"joined into kernels: {_us(self.estimate_s)}"]
        lines += ["", "rule, applications, estimated time lost without it:"]
        gain = {g.rule: f"{g.gain_s * 1e6:+.2f} µs" for g in self.gains}
        width = max(map(len, self.rules), default=0)
        lines += [f"  {r:<{width}}  {n:>4}  {gain.get(r, '–'):>12}" for r, n in self._by_gain()]
        return "\n".join(lines)

    def _milestones(self, number: int) -> list[Milestone]:
        return [m for m in self.sketches if m.number == number]

    def _by_gain(self) -> list[tuple[str, int]]:
        gain = {g.rule: g.gain_s for g in self.gains}
        return sorted(self.rules.items(), key=lambda item: (-gain.get(item[0], 0.0), item[0]))

    def __str__(self) -> str:
        return self.as_text()

    def as_html(self) -> str:
        """Return the chain as an HTML fragment: a curve of the estimate and a table."""
        rows = "".join(
            f"<tr><td>{s.number}</td><td>{escape(_named(s))}</td><td>{escape(s.value)}</td>"
            f"<td><code>{escape(s.before)}</code><br>→ <code>{escape(s.after)}</code>"
            f"{''.join(f'<br>{m}' for m in self._milestones(s.number))}</td>"
            f"<td>{s.numerics}</td><td>{_us(s.estimate_s)}</td>"
            f"<td>{s.gain_s * 1e6:+.2f} µs</td></tr>"
            for s in self.steps
        )
        head = "".join(
            f"<th>{h}</th>"
            for h in ("", "rule", "value", "rewriting", "numerics", "estimate", "gain")
        )
        return f"{self._curve()}<table><tr>{head}</tr>{rows}</table>"

    def as_page(self) -> str:
        """Return the chain as an HTML document."""
        style = "body{font:14px sans-serif} td,th{padding:2px 8px;text-align:left}"
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f"<title>eqsat explain</title><style>{style}</style></head>"
            f"<body>{self.as_html()}</body></html>"
        )

    def _curve(self) -> str:
        """Return the estimate over the steps as a picture."""
        values = [self.estimate_before_s, *(s.estimate_s for s in self.steps)]
        top, width, height = max(values), 600, 120
        points = " ".join(
            f"{i / max(1, len(values) - 1) * width:.1f},{height * (1 - v / top):.1f}"
            for i, v in enumerate(values)
        )
        title = f"estimated time, {_us(values[0])} to {_us(values[-1])}, over {len(self)} steps"
        return (
            f'<svg viewBox="0 -4 {width} {height + 8}" width="{width}" role="img">'
            f'<title>{title}</title><polyline fill="none" stroke="steelblue" stroke-width="2" '
            f'points="{points}"/></svg><p>{title}</p>'
        )

    def _repr_html_(self) -> str:
        return self.as_html()


def _named(s: Step) -> str:
    if not s.rule:
        return "as derived before"
    return f"{s.rule} (right to left)" if s.is_reversed else s.rule


def _us(time_s: float) -> str:
    return f"{time_s * 1e6:.2f} µs"
