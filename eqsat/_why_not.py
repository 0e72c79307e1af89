"""Why a rule does not fire: place by place, the first thing that is in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eqsat._api import rule_sets_of, searched
from eqsat._explain import is_whole, restricted
from eqsat._match import Failure, Match, Matcher, root_operator, shown
from eqsat._saturate import saturate
from eqsat._snapshot import CONSTANT, TUPLE_GET_ITEM, ENode, OperandRef, ShapeOperand, Snapshot
from eqsat._values import type_tagged
from eqsat.extract import extract
from eqsat.ir import IRModule
from eqsat.rules import (
    SHIPPED_RULE_SETS,
    Built,
    BuiltField,
    BuiltNumber,
    BuiltOp,
    BuiltShape,
    BuiltVar,
    Phase,
    Rewrite,
    Rule,
    RuleError,
    RuleSet,
    Sketch,
)

if TYPE_CHECKING:
    from eqsat._limits import Limits
    from eqsat._search import Search

# Extracting again for each place takes as long as extraction does.
_MAX_PRICED = 20


@dataclass(frozen=True, slots=True)
class Place:
    """A value of the program at which a rule was tried.

    Attributes:
        at: the value, by name and type.
        verdict: "no match", or for a match "chosen", "costs more", "unused" (the value is folded at
            compile time, or nothing needs it) or "limits" (the search ended before).
        kind: of what is in the way: "operator", "attribute", "shape", "guard", "types" …
        reason: what is in the way, or what came of the match.
        direction: the rewrite that came nearest; "_reversed" in its name: from right to left.
        depth: how much of the left side and the guard holds.
        cost_s: of the program with this match used, less that of the best; None where not priced.
    """

    at: str
    verdict: str
    kind: str
    reason: str
    direction: str
    depth: int
    cost_s: float | None = None

    def __str__(self) -> str:
        return f"{self.at}\n    {self.verdict}: {self.reason}"


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What became of one rule in one program: the matches and the near misses, nearest first.

    `notes` says what holds for the program as a whole.
    """

    rule: str
    text: str
    places: tuple[Place, ...]
    notes: tuple[str, ...] = ()

    @property
    def nearest(self) -> Place | None:
        """The place where most of the rule holds, None where its operator does not occur."""
        return self.places[0] if self.places else None

    @property
    def matched(self) -> bool:
        """Whether the rule matches anywhere."""
        return any(p.verdict != "no match" for p in self.places)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join([f"{self.rule}: {self.text}", *self.notes, *map(str, self.places)])


def why_not(
    rule: Rule | str,
    mod: IRModule,
    *,
    rules: Sequence[RuleSet | str | Path] | None = None,
    limits: Limits | None = None,
    dims: Mapping[str, int] | None = None,
    num_threads: int | None = None,
) -> WhyNot:
    """Return for each place where a rule could apply to `mod` what keeps it from being used.

    Args:
        rule: a rule, or the name of one that ships or stands in `rules`.
        mod: the program.
        rules: as for `optimize`; the rule is added where it is not among them.
        limits: as for `optimize`.
        dims: as for `optimize`.
        num_threads: as for `optimize`.

    Raises:
        RuleError: no rule is called so, or it is not true.
        EqsatError: as for `optimize`.
    """
    rule_sets = rule_sets_of(rules)
    notes: list[str] = []
    found, home = _find_rule(rule, rule_sets)
    if home is None:
        home = RuleSet("why_not", rules=[found])
        rule_sets = (*rule_sets, home)
        notes.append("The rule is in none of the rule sets given; it was added for this answer.")
    if home.phase is Phase.NORMAL_FORM:
        notes.append(
            "Rules of the set `ring` are decided by the normal form of sums and products, not by "
            "matching: what follows says where the form of the left side stands."
        )
    searches = searched(
        mod,
        rule_sets,
        limits=limits,
        dims=dims,
        num_threads=num_threads,
        progress=lambda what, fraction: None,
        mark=lambda name: None,
        whole=True,
    )
    places = [p for search in searches.parts for p in _Diagnosis(search, found).places()]
    if not places:
        notes.append(_absent(found, [s.snapshot for s in searches.parts]))
    places.sort(key=lambda p: -p.depth)
    return WhyNot(found.name, str(found), tuple(places), tuple(notes))


def _find_rule(rule: Rule | str, rule_sets: Sequence[RuleSet]) -> tuple[Rule, RuleSet | None]:
    """Return the rule and the one of the rule sets that holds it."""
    if isinstance(rule, Sketch):
        raise RuleError(
            f"{rule.name} is a sketch, which rewrites nothing; optimize(mod, sketches=[...]) says "
            "what is in its way"
        )
    for s in rule_sets:
        for r in s.rules:
            if r is rule or r.name == rule:
                return r, s
    if isinstance(rule, Rule):
        return rule, None
    for r in (r for s in SHIPPED_RULE_SETS for r in s.rules):
        if r.name == rule:
            return r, None
    names = [r.name for s in (*rule_sets, *SHIPPED_RULE_SETS) for r in s.rules]
    near = get_close_matches(rule, names) or ["`eqsat rules list` lists all"]
    raise RuleError(f"no rule is called {rule!r}; near it: {', '.join(dict.fromkeys(near))}")


def _absent(rule: Rule, snapshots: Sequence[Snapshot]) -> str:
    wanted = dict.fromkeys(root_operator(r.lhs[0]) for r in rule.rewrites)
    there = sorted({n.op for s in snapshots for c in s.classes.values() for n in c.nodes})
    return (
        f"No value of the program is made by {' or '.join(wanted)}, where the left side begins; "
        f"what there is, with what rules made: {', '.join(there)}."
    )


# A rewrite with what came of it.
_Outcome = tuple[Rewrite, Match | Failure]


@dataclass(eq=False)
class _Diagnosis:
    """One rule in one straight-line part of a program."""

    search: Search
    rule: Rule
    num_priced: int = 0
    _nodes: dict[object, tuple[int, ENode]] = field(default_factory=dict[object, tuple[int, ENode]])

    def __post_init__(self) -> None:
        snapshot = self.search.snapshot
        self._after = Matcher(snapshot)
        for c, holder in self._after.classes.items():
            for node in (*holder.nodes, *holder.useless):
                self._nodes.setdefault(_node_key(node), (c, node))

    def places(self) -> Iterator[Place]:
        """Yield what there is to say of each value that the left side could begin at."""
        snapshot = self.search.snapshot
        given, _ = saturate(self.search.function, (), snapshot.facts)
        before, after = Matcher(given), self._after
        by_name = {name: c for c, names in snapshot.names.items() for name in names}
        seen: set[int] = set()
        for c in self._places(before):
            mine = next((by_name[n] for n in given.names.get(c, ()) if n in by_name), None)
            if mine in seen:
                continue
            yield self._place(before, c, after, mine)
            if mine is not None:
                seen.add(mine)
        for c in self._places(after):
            if c in seen or after.classes[c].is_constant:
                continue
            rewrite, found = self._nearest(after, c)
            if isinstance(found, Match):
                yield self._matched(rewrite, found, c, "in a form that other rules found, ")

    def _places(self, matcher: Matcher) -> list[int]:
        roots = (c for r in self.rule.rewrites for c in matcher.places(r.lhs[0]))
        return list(dict.fromkeys(roots))

    def _nearest(self, matcher: Matcher, c: int) -> _Outcome:
        """Return the rewrite of the rule that comes furthest at a class."""
        found = [(r, matcher.match(r, c)) for r in self.rule.rewrites]
        matches = [(r, m) for r, m in found if isinstance(m, Match)]
        if matches and matcher.snapshot is self.search.snapshot:
            # A law like x * y = y * x also matches where it changes nothing.
            useful = [(r, m) for r, m in matches if self._root(m, 0)[0] != "same"]
            return (useful or matches)[0]
        if matches:
            return matches[0]
        failures = [(r, f) for r, f in found if isinstance(f, Failure)]
        return max(failures, key=lambda each: each[1].depth)

    def _place(self, before: Matcher, c: int, after: Matcher, mine: int | None) -> Place:
        rewrite, found = self._nearest(before, c)
        at = shown(before.snapshot, c)
        if mine is None:
            if isinstance(found, Failure):
                return Place(at, "no match", found.kind, found.text, rewrite.name, found.depth)
            text = "it matches a value that the best program or its alternatives don't need"
            return Place(at, "unused", "match", text, rewrite.name, 1000)
        later_rewrite, later = self._nearest(after, mine)
        if isinstance(later, Match):
            how = "" if isinstance(found, Match) else "after other rules were applied, "
            return self._matched(later_rewrite, later, mine, how)
        assert isinstance(found, Failure), "what the program holds, the e-graph holds"
        text = found.text
        if later.depth > found.depth:
            text += f"; with what other rules made of the program: {later.text}"
        depth = max(found.depth, later.depth)
        return Place(at, "no match", found.kind, text, rewrite.name, depth)

    def _matched(self, rewrite: Rewrite, match: Match, c: int, how: str) -> Place:
        """Return what came of a match."""
        snapshot = self.search.snapshot
        at = shown(snapshot, c)

        def place(verdict: str, reason: str, cost_s: float | None = None) -> Place:
            return Place(at, verdict, "match", how + reason, rewrite.name, 1000 + (not how), cost_s)

        if self._after.classes[c].is_constant:
            return place("unused", "it matches, and the value is computed at compile time anyway")
        roots = [self._root(match, i) for i in range(len(match.roots))]
        if any(state == "absent" for state, _ in roots):
            return place("limits", f"it matches, but was not applied: {self._stops()}")
        used = {id(n) for k in self.search.cover.kernels for n in k.nodes.values()}
        nodes = [node for _, node in roots if node is not None]
        if not nodes:
            return place("chosen", "it matches: the value is one of its operands")
        if all(id(node) in used for node in nodes):
            return place("chosen", "it matches, and the best program holds its right side")
        if c not in snapshot.classes:
            return place("unused", "it matches a value that the result does not need any more")
        return self._priced(place, [*zip(match.roots, nodes, strict=False)])

    def _priced(self, place: Any, chosen: Sequence[tuple[int, ENode]]) -> Place:
        what = "it matches, and its right side is among the alternatives"
        if self.num_priced >= _MAX_PRICED:
            return place("costs more", f"{what}, not in the best program (not priced)")
        self.num_priced += 1
        snapshot = self.search.snapshot
        kept = {c: holder.nodes for c, holder in snapshot.classes.items()}
        kept.update({c: (node,) for c, node in chosen})
        forced = restricted(snapshot, kept)
        if not is_whole(forced):
            return place("costs more", f"{what}, but it needs the value itself")
        best = extract(snapshot, self.search.profile, self.search.sizes, time_limit_s=0.0).time_s
        cost_s = extract(forced, self.search.profile, self.search.sizes, time_limit_s=0.0).time_s
        more_s = cost_s - best
        is_same = abs(more_s) <= 1e-6 * best
        cost = "would cost the same" if is_same else f"would take {more_s * 1e6:+.2f} µs"
        text = f"{what}; the program with it {cost} by estimate, so another form was taken"
        return place("costs more", text, more_s)

    def _stops(self) -> str:
        report = self.search.saturation
        told = ", ".join(f"{p.name} {p.iterations} rounds: {p.stop}" for p in report.phases)
        return f"the search ended before ({told}); see eqsat.Limits"

    def _root(self, match: Match, i: int) -> tuple[str, ENode | None]:
        """Return where the i-th right side is: "same", "absent", or "there" with its e-node.

        It is the "same" where it is a variable that is in the matched class.
        """
        built = match.built[i]
        if isinstance(built, BuiltVar):
            same = match.classes[built.name] == match.roots[i]
            return ("same", None) if same else ("absent", None)
        found = self._find(built, match)
        if found is None or found[0] != match.roots[i]:
            return "absent", None
        return "there", found[1]

    def _find(self, built: Built, match: Match) -> tuple[int, ENode] | None:
        """Return the class and the e-node of a built term, None where it is not there."""
        match built:
            case BuiltNumber():
                return self._nodes.get(_number_key(built.value))
            case BuiltField():
                inner = self._find(built.tuple_value, match)
                return inner and self._nodes.get((TUPLE_GET_ITEM, inner[0], built.index))
            case BuiltOp():
                operands = [self._operand(o, match) for o in built.operands]
                if any(o == "absent" for o in operands):
                    return None
                return self._nodes.get(_op_key(built.op, operands, built.attrs))
            case BuiltVar():
                c = match.classes[built.name]
                holder = self._after.classes[c]
                return c, (*holder.nodes, *holder.useless)[0]

    def _operand(
        self, operand: Built | tuple[Built, ...] | BuiltShape | None, match: Match
    ) -> object:
        if operand is None:
            return None
        if isinstance(operand, BuiltShape):
            return ShapeOperand(operand.dims)
        if isinstance(operand, tuple):
            parts = [self._find(each, match) for each in operand]
            return "absent" if None in parts else tuple(p[0] for p in parts if p)
        found = self._find(operand, match)
        return "absent" if found is None else found[0]


def _number_key(value: Any) -> object:
    return CONSTANT, str(value.dtype), value.shape, value.tobytes()


def _op_key(name: str, operands: Sequence[object], attrs: Mapping[str, Any]) -> object:
    tagged = tuple((k, type_tagged(v)) for k, v in attrs.items())
    return name, tuple(operands), tagged


def _node_key(node: ENode) -> object:
    if node.op == CONSTANT and node.value is not None:
        return _number_key(node.value) if node.value.ndim == 0 else id(node)
    if node.op == TUPLE_GET_ITEM:
        return TUPLE_GET_ITEM, node.children[0], node.attrs["index"]
    operands: tuple[OperandRef, ...] = node.operands
    return _op_key(node.op, operands, node.attrs)
