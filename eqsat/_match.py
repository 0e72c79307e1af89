"""Matching a rewrite at a class of a snapshot, with the first thing that is in the way.

The engine matches all rules at once and says nothing of what fails. This matcher takes one rewrite
at one place and keeps the failure of the attempt that came furthest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from eqsat._snapshot import (
    CONSTANT,
    EXTERN,
    INPUT,
    TUPLE_GET_ITEM,
    ClassId,
    EClass,
    ENode,
    OperandRef,
    ShapeOperand,
    Snapshot,
)
from eqsat._values import type_tagged
from eqsat.ir import AttrValue, TensorType, UnknownShape, op
from eqsat.rules import (
    AttrConst,
    AttrVar,
    Bindings,
    Built,
    NumberLit,
    OperandTerm,
    OpTerm,
    PatVar,
    Rewrite,
    ShapeVar,
    Term,
    TupleField,
)
from eqsat.rules._diagnose import Refusal, applied
from eqsat.shapes import Shape

# Steps of one search; a rule with many variables at a class with many e-nodes may need more.
MAX_STEPS = 50_000


@dataclass(frozen=True, slots=True)
class Failure:
    """What is in the way of a match.

    Attributes:
        kind: "operator", "operand", "attribute", "number", "value", "shape", "dtype", "guard",
            "computed", "types", or "steps" where the search was given up.
        text: one sentence.
        depth: how much of the left side and the guard holds; the greatest is the nearest miss.
        at: the class that does not fit.
    """

    kind: str
    text: str
    depth: int
    at: ClassId


@dataclass(frozen=True, slots=True)
class Match:
    """A rewrite that applies: the class of each variable and root, and what it builds.

    `nodes` has the class and e-node of each operator on the left side, operators before operands.
    """

    rewrite: Rewrite
    classes: Mapping[str, ClassId]
    nodes: tuple[tuple[ClassId, ENode], ...]
    roots: tuple[ClassId, ...]
    bindings: Bindings
    built: tuple[Built, ...]


@dataclass(frozen=True, slots=True)
class _State:
    """What the part of the left side that was walked has bound."""

    classes: dict[str, ClassId] = field(default_factory=dict[str, ClassId])
    attrs: dict[str, AttrValue] = field(default_factory=dict[str, AttrValue])
    shapes: dict[str, Shape] = field(default_factory=dict[str, Shape])
    known: dict[Term, ClassId] = field(default_factory=dict[Term, ClassId])
    nodes: dict[Term, ENode] = field(default_factory=dict[Term, ENode])
    depth: int = 0

    def deeper(self) -> _State:
        return replace(self, depth=self.depth + 1)


# What is still to be matched: a term with a class; a root of a multi-pattern with None.
_Goal = tuple[Term, ClassId | None]


class Matcher:
    """Matches rewrites in one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.classes = {**snapshot.classes, **snapshot.unread}
        self._by_op: dict[str, list[ClassId]] = {}
        for c, holder in self.classes.items():
            for name in dict.fromkeys(n.op for n in (*holder.nodes, *holder.useless)):
                self._by_op.setdefault(name, []).append(c)

    def places(self, term: Term) -> list[ClassId]:
        """Return the classes with an e-node of the operator at the root of `term`."""
        return self._by_op.get(root_operator(term), [])

    def match(self, rewrite: Rewrite, place: ClassId) -> Match | Failure:
        """Return a match with the first root at `place`, or the nearest miss."""
        return _Search(self, rewrite).run(place)

    def matches(self, rewrite: Rewrite, place: ClassId) -> Iterator[Match]:
        """Yield the matches with the first root at `place`."""
        return _Search(self, rewrite).matches(place)


def root_operator(term: Term) -> str:
    """Return what e-nodes that can match `term` are called."""
    match term:
        case OpTerm():
            return term.op
        case TupleField():
            return TUPLE_GET_ITEM
        case _:
            return CONSTANT


@dataclass(eq=False)
class _Search:
    matcher: Matcher
    rewrite: Rewrite
    nearest: Failure | None = None
    steps: int = 0

    def __post_init__(self) -> None:
        self._classes = self.matcher.classes

    def matches(self, place: ClassId) -> Iterator[Match]:
        goals: list[_Goal] = [(self.rewrite.lhs[0], place)]
        goals += [(t, None) for t in self.rewrite.lhs[1:]]
        for state in self._solve(tuple(goals), _State()):
            found = self._guarded(state, place)
            if found is not None:
                yield found

    def run(self, place: ClassId) -> Match | Failure:
        for found in self.matches(place):
            return found
        if self.steps > MAX_STEPS:
            return Failure("steps", f"given up after {MAX_STEPS} steps of matching", 0, place)
        assert self.nearest is not None
        return self.nearest

    def _fail(self, state: _State, kind: str, text: str, at: ClassId) -> None:
        if self.nearest is None or state.depth > self.nearest.depth:
            self.nearest = Failure(kind, text, state.depth, at)

    def _solve(self, goals: tuple[_Goal, ...], state: _State) -> Iterator[_State]:
        """Yield every way to match the goals, the first of them first."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            return
        if not goals:
            yield state
            return
        (term, c), rest = goals[0], goals[1:]
        if c is None:
            yield from self._anywhere(term, rest, state)
            return
        match term:
            case PatVar(name):
                if (after := self._bound(name, c, state)) is not None:
                    yield from self._solve(rest, after)
            case NumberLit():
                if (after := self._number(term, c, state)) is not None:
                    yield from self._solve(rest, after)
            case _:
                yield from self._node(term, c, rest, state)

    def _anywhere(self, term: Term, rest: tuple[_Goal, ...], state: _State) -> Iterator[_State]:
        """A root of a multi-pattern may be any class."""
        places = self.matcher.places(term)
        if not places:
            text = f"no value of the program is made by {root_operator(term)}, as {term} needs"
            self._fail(state, "operator", text, self.matcher.snapshot.outputs[0])
        for c in [state.known[term]] if term in state.known else places:
            yield from self._solve(((term, c), *rest), state)

    def _bound(self, name: str, c: ClassId, state: _State) -> _State | None:
        have = state.classes.get(name)
        if have is not None and have != c:
            text = f"{name} stands for {self.show(have)} already, and here is {self.show(c)}"
            return self._fail(state, "value", text, c)
        if not isinstance(self._classes[c].type, TensorType):
            return self._fail(state, "value", f"{name} is a tensor, and here is {self.show(c)}", c)
        return replace(state, classes={**state.classes, name: c}, depth=state.depth + 1)

    def _number(self, term: NumberLit, c: ClassId, state: _State) -> _State | None:
        number = self._classes[c].number
        lo, hi = term.bounds
        if number is not None and lo <= number <= hi:
            return state.deeper()
        what = "no number known at compile time" if number is None else f"the number {number}"
        return self._fail(state, "number", f"{term} is expected, {self.show(c)} is {what}", c)

    def _node(
        self, term: Term, c: ClassId, rest: tuple[_Goal, ...], state: _State
    ) -> Iterator[_State]:
        if (have := state.known.get(term)) is not None:
            if have == c:
                yield from self._solve(rest, state.deeper())
            else:
                text = f"{term} is {self.show(have)} already, and here is {self.show(c)}"
                self._fail(state, "value", text, c)
            return
        wanted = root_operator(term)
        holder = self._classes[c]
        nodes = [n for n in (*holder.nodes, *holder.useless) if n.op == wanted]
        if not nodes:
            made = ", ".join(dict.fromkeys(n.op for n in holder.nodes))
            by = "" if made in (INPUT, CONSTANT) else f", made by {made}"
            text = f"{wanted} is expected, there is {self.show(c)}{by}"
            self._fail(state, "operator", text, c)
        after = replace(state, known={**state.known, term: c}, depth=state.depth + 1)
        for node in nodes:
            chosen = replace(after, nodes={**after.nodes, term: node})
            goals = self._goals(term, node, c, chosen)
            if goals is not None:
                inner, bound = goals
                yield from self._solve((*inner, *rest), bound)

    def _goals(
        self, term: Term, node: ENode, c: ClassId, state: _State
    ) -> tuple[list[_Goal], _State] | None:
        """Return what the operands must match, where the attributes and the form fit."""
        if isinstance(term, TupleField):
            if node.attrs["index"] != term.index:
                text = f"field {term.index} is expected, {self.show(c)} is {node.attrs['index']}"
                return self._fail(state, "attribute", text, c)
            return [(term.tuple_value, node.children[0])], state.deeper()
        assert isinstance(term, OpTerm)
        bound = self._attrs(term, node, c, state)
        if bound is None:
            return None
        goals: list[_Goal] = []
        declared = op(term.op).operands
        for spec, part, operand in zip(declared, term.operands, node.operands, strict=True):
            where = f"operand {spec.name} of {term.op}"
            found = self._operand(part, operand, where, c, bound)
            if found is None:
                return None
            inner, bound = found
            goals += inner
        return goals, bound

    def _attrs(self, term: OpTerm, node: ENode, c: ClassId, state: _State) -> _State | None:
        attrs = dict(state.attrs)
        for name, wanted in term.attrs:
            value = node.attrs[name]
            known = wanted.value if isinstance(wanted, AttrConst) else value
            if isinstance(wanted, AttrVar):
                known = attrs.setdefault(wanted.name, value)
            if type_tagged(known) != type_tagged(value):
                text = f"{name}={known!r} is expected, {self.show(c)} has {name}={value!r}"
                return self._fail(replace(state, attrs=attrs), "attribute", text, c)
            state = state.deeper()
        return replace(state, attrs=attrs)

    def _operand(
        self, part: OperandTerm, operand: OperandRef, where: str, c: ClassId, state: _State
    ) -> tuple[list[_Goal], _State] | None:
        match part, operand:
            case None, None:
                return [], state
            case ShapeVar(name), ShapeOperand(dims):
                if state.shapes.get(name, dims) != dims:
                    text = f"{where}: {name} is {state.shapes[name]} already, and here {dims}"
                    return self._fail(state, "operand", text, c)
                return [], replace(state, shapes={**state.shapes, name: dims})
            case tuple(), tuple():
                if len(part) != len(operand):
                    text = f"{where}: {len(part)} tensors are expected, there are {len(operand)}"
                    return self._fail(state, "operand", text, c)
                return [*zip(part, operand, strict=True)], state
            case ((PatVar() | NumberLit() | OpTerm() | TupleField()), int()):
                return [(part, operand)], state
            case _:
                text = f"{where}: {_form(part)} is expected, there is {_form(operand)}"
                return self._fail(state, "operand", text, c)

    def _guarded(self, state: _State, place: ClassId) -> Match | None:
        """Return the match if guard and types allow it, and note what does not."""
        ordered = [state.classes[v] for v in self.rewrite.ordered]
        if len(set(ordered)) < len(ordered):
            text = f"{', '.join(self.rewrite.ordered)} must be different values"
            return self._fail(state, "value", text, place)
        if ordered != sorted(ordered):
            return None  # the same match, found from the other side
        bindings = self._bindings(state)
        roots = tuple(state.known[t] for t in self.rewrite.lhs)
        united = zip(roots, self.rewrite.rhs, strict=False)  # a sketch has nothing to unite
        expected = tuple(self._classes[r].type for r, _ in united)
        refused = applied(self.rewrite, bindings, expected)
        if not isinstance(refused, Refusal):
            nodes = tuple((state.known[t], n) for t, n in state.nodes.items())
            return Match(self.rewrite, state.classes, nodes, roots, bindings, refused)
        known = f" ({self._values(refused)})" if refused.variables else ""
        depth = state.depth + refused.depth
        return self._fail(
            replace(state, depth=depth), refused.kind, f"{refused.text}{known}", place
        )

    def _bindings(self, state: _State) -> Bindings:
        self._state = state
        holders = {v: self._classes[c] for v, c in state.classes.items()}
        return Bindings(
            types={v: h.type for v, h in holders.items() if isinstance(h.type, TensorType)},
            attrs=state.attrs,
            shapes=state.shapes,
            constants=frozenset(v for v, h in holders.items() if h.is_constant),
            numbers={
                v: h.number
                for v, h in holders.items()
                if h.number is not None and _is_one_element(h)
            },
            facts=self.matcher.snapshot.facts,
        )

    def _values(self, refused: Refusal) -> str:
        """Return what the variables that a refusal looked at are bound to."""
        state = self._state
        parts: list[str] = []
        for v in dict.fromkeys(refused.variables):
            if v in state.classes:
                parts.append(f"{v} is {self.show(state.classes[v])}")
            else:
                parts.append(f"{v} is {state.attrs.get(v, state.shapes.get(v))!r}")
        return ", ".join(parts)

    def show(self, c: ClassId) -> str:
        """Return a class by name and type."""
        return shown(self.matcher.snapshot, c)


def _is_one_element(holder: EClass) -> bool:
    ty = holder.type
    if not isinstance(ty, TensorType) or isinstance(ty.shape, UnknownShape):
        return False
    return all(d == 1 for d in ty.dims)


def shown(snapshot: Snapshot, c: ClassId) -> str:
    """Return the name of a class in the program and its type, or how it is made."""
    holder = snapshot.classes.get(c) or snapshot.unread[c]
    names = snapshot.names.get(c, ())
    if names:
        return f"{names[-1]}: {holder.type}"
    if holder.number is not None:
        return f"{holder.number} of {holder.type}"
    made = (*holder.nodes, *holder.useless)[0].op
    opaque = "a call that rules don't look into" if made == EXTERN else f"a value of {made}"
    return f"{'a constant' if holder.is_constant else opaque}: {holder.type}"


def _form(operand: OperandTerm | OperandRef) -> str:
    match operand:
        case None:
            return "none"
        case tuple():
            return f"a list of {len(operand)} tensors"
        case int() | PatVar() | NumberLit() | OpTerm() | TupleField():
            return "a tensor"
        case _:
            return "a shape"
