"""From rewrites to rules of the engine, and the answers to the questions that they ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from eqsat._symbols import (
    FIELD_SYMBOL,
    SCALAR_SYMBOL,
    OpSymbol,
    Vocabulary,
    layout_of,
)
from eqsat._tables import EngineRule, NewNode, Node
from eqsat._values import FIRST_ID, Values
from eqsat.ir import AttrValue, TensorType, UnknownShape
from eqsat.rules import (
    AttrConst,
    AttrVar,
    Bindings,
    Built,
    BuiltField,
    BuiltNumber,
    BuiltOp,
    BuiltShape,
    Compute,
    NumberLit,
    NumberSpec,
    OperandTerm,
    OpTerm,
    PatVar,
    Rewrite,
    ShapeVar,
    Term,
    TupleField,
    computed,
    resolve,
    subterms,
)
from eqsat.shapes import Shape


@dataclass(eq=False, slots=True)
class Literals:
    """The intervals that number literals of left sides stand for."""

    bounds: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def id(self, bounds: tuple[float, float]) -> int:
        """Return the number of the literal with these bounds."""
        if bounds not in self.bounds:
            self.bounds.append(bounds)
        return self.bounds.index(bounds)

    def note(self, rewrite: Rewrite) -> None:
        """Number the literals of a left side, so that numbers seen from now on are compared."""
        for part in (part for t in rewrite.lhs for part in subterms(t)):
            if isinstance(part, NumberLit):
                self.id(part.bounds)

    def matching(self, values: Values, numbers: Iterable[int]) -> list[tuple[int, int]]:
        """Return the (number, literal) pairs that match."""
        pairs: list[tuple[int, int]] = []
        for i in numbers:
            number = values.number_at(i)
            for literal, (lo, hi) in enumerate(self.bounds):
                if lo <= number <= hi:
                    pairs.append((i, literal))
        return pairs


def operators(rewrite: Rewrite) -> tuple[set[str], set[str]]:
    """Return the operators that a rewrite matches and those that it may add."""

    def named(terms: Sequence[Term]) -> set[str]:
        return {part.op for t in terms for part in subterms(t) if isinstance(part, OpTerm)}

    return named(rewrite.lhs), named(rewrite.rhs)


def relevant(rewrites: Iterable[Rewrite], present: set[str]) -> list[Rewrite]:
    """Return the rewrites that can ever match a program of these operators, in order."""
    rewrites = list(rewrites)
    needs = {r: operators(r) for r in rewrites}
    present = set(present)
    chosen: set[Rewrite] = set()
    while new := [r for r in rewrites if r not in chosen and needs[r][0] <= present]:
        chosen.update(new)
        present.update(*(needs[r][1] for r in new))
    return [r for r in rewrites if r in chosen]


class CompiledRule:
    """A rewrite as an engine rule, with the memory of its answers."""

    def __init__(self, rewrite: Rewrite, index: int, words: Vocabulary, literals: Literals) -> None:
        self.rewrite = rewrite
        self.num_applied = 0
        self._words = words
        self._pattern = _Pattern(words, literals, words.values)
        roots = [self._pattern.term(t) for t in rewrite.lhs]
        tensors = sorted({v for t in rewrite.lhs for v in _tensor_variables(t)})
        watched = [v for v in tensors if v in _watched(rewrite)]
        self._tensors, self._watched, self._roots = tensors, watched, roots
        self._attrs = sorted(self._pattern.attr_variables)
        self._shapes = sorted(self._pattern.shape_variables)
        type_of = {c: f"type_{c}" for c in [*map(_class, tensors), *roots]}
        known_of = {_class(v): f"known_{v}" for v in watched}
        build = _Build(words)
        results = [build.term(t, f"r{i}") for i, t in enumerate(rewrite.rhs)]
        self.engine_rule = EngineRule(
            index=index,
            body=tuple(self._pattern.nodes),
            types=tuple(type_of.items()),
            known=tuple(known_of.items()),
            constants=tuple(map(_class, _stated_constant(rewrite))),
            literals=tuple(self._pattern.literals),
            ordered=tuple(map(_class, rewrite.ordered)),
            key=(
                *dict.fromkeys(type_of.values()),
                *known_of.values(),
                *map(_value, self._attrs),
                *map(_value, self._shapes),
            ),
            answers=tuple(build.answers),
            new=tuple(build.new),
            unions=tuple((a, b) for a, b in zip(roots, results, strict=True) if a != b),
        )
        self._type_columns = {c: i for i, c in enumerate(type_of)}

    @property
    def name(self) -> str:
        """The name of the rule it is a direction or spelling of."""
        return self.rewrite.rule.name

    def answer(self, key: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the answer values for a question, None where the rule does not apply."""
        try:
            return self._answer(key)
        except Exception as error:  # of any kind: only a note is added
            error.add_note(f"in rule {self.name} of the e-graph: {self.rewrite}")
            raise

    def _answer(self, key: tuple[int, ...]) -> tuple[int, ...] | None:
        values = self._words.values
        types: dict[str, TensorType] = {}
        for v in self._tensors:
            ty = values.type_at(key[self._type_columns[_class(v)]])
            if not isinstance(ty, TensorType):
                return None
            types[v] = ty
        rest = list(key[len(self._type_columns) :])
        known = {v: rest.pop(0) for v in self._watched}
        attrs: dict[str, AttrValue] = {a: self._words.attr(rest.pop(0)) for a in self._attrs}
        shapes: dict[str, Shape] = {s: self._words.shape(rest.pop(0)) for s in self._shapes}
        bindings = Bindings(
            types=types,
            attrs=attrs,
            shapes=shapes,
            constants=frozenset(v for v, k in known.items() if k > 0),
            numbers={
                v: values.number_at(k)
                for v, k in known.items()
                if k >= FIRST_ID and _is_one_element(types[v])
            },
            facts=values.facts,
        )
        expected = tuple(values.type_at(key[self._type_columns[r]]) for r in self._roots)
        built = resolve(self.rewrite, bindings, expected)
        if built is None:
            return None
        answers: dict[str, int] = {}
        for i, (term, result) in enumerate(zip(self.rewrite.rhs, built, strict=True)):
            _read(values, term, result, f"r{i}", answers)
        return tuple(answers[a] for a in self.engine_rule.answers)


def _is_one_element(ty: TensorType) -> bool:
    return not isinstance(ty.shape, UnknownShape) and all(d == 1 for d in ty.shape)


def _tensor_variables(term: Term) -> set[str]:
    return {part.name for part in subterms(term) if isinstance(part, PatVar)}


def _watched(rewrite: Rewrite) -> set[str]:
    """The variables of which the guard or a computed value may ask more than the type."""
    looked_at = {v for c in rewrite.conditions for v in c.variables}
    looked_at.update(v for t in rewrite.rhs for c in computed(t) for v in c.variables)
    numbers = {v for v, spec in rewrite.specs.items() if isinstance(spec, NumberSpec)}
    return looked_at | numbers


def _stated_constant(rewrite: Rewrite) -> list[str]:
    """The variables that can only be constants: these need no question where they are not."""
    stated = [str(c.arguments[0]) for c in rewrite.conditions if c.fn.__name__ == "is_constant"]
    numbers = [v for v, spec in rewrite.specs.items() if isinstance(spec, NumberSpec)]
    return list(dict.fromkeys((*stated, *numbers)))


def _class(variable: str) -> str:
    return f"c_{variable}"


def _value(variable: str) -> str:
    return f"v_{variable}"


class _Pattern:
    """Flattens left sides into e-nodes."""

    def __init__(self, words: Vocabulary, literals: Literals, values: Values) -> None:
        self.nodes: list[Node] = []
        self.literals: list[tuple[str, int]] = []
        self.attr_variables: set[str] = set()
        self.shape_variables: set[str] = set()
        self._words = words
        self._known_literals = literals
        self._values = values
        self._done: dict[Term, str] = {}

    def term(self, term: Term) -> str:
        """Return the class variable of `term`, adding the e-nodes and literals it needs."""
        if isinstance(term, PatVar):
            return _class(term.name)
        if isinstance(term, NumberLit):
            variable = f"literal_{len(self.literals)}"
            self.literals.append((variable, self._known_literals.id(term.bounds)))
            return variable
        if term in self._done:
            return self._done[term]
        node = self._field(term) if isinstance(term, TupleField) else self._op(term)
        self.nodes.append(node)
        self._done[term] = node.result
        return node.result

    def _field(self, term: TupleField) -> Node:
        inner = self.term(term.tuple_value)
        return Node(self._fresh(), FIELD_SYMBOL, (inner,), (term.index,))

    def _op(self, term: OpTerm) -> Node:
        classes: list[str] = []
        columns: list[str | int] = []
        for operand in term.operands:
            if isinstance(operand, ShapeVar):
                self.shape_variables.add(operand.name)
                columns.append(_value(operand.name))
            elif isinstance(operand, tuple):
                classes.extend(self.term(each) for each in operand)
            elif isinstance(operand, (PatVar, NumberLit, OpTerm, TupleField)):
                classes.append(self.term(operand))
        for _, a in term.attrs:
            if isinstance(a, AttrVar):
                self.attr_variables.add(a.name)
                columns.append(_value(a.name))
            elif isinstance(a, AttrConst):
                columns.append(self._values.attr(a.value))
        form = _form(self._words, term)
        return Node(self._fresh(), form.symbol, tuple(classes), tuple(columns))

    def _fresh(self) -> str:
        return f"e{len(self.nodes)}"


def _form(words: Vocabulary, term: OpTerm) -> OpSymbol:
    op = words.ops[term.op]
    return words.symbol(op, layout_of(op, term.operands))


class _Build:
    """Flattens right sides into e-nodes whose unknown columns are answers."""

    def __init__(self, words: Vocabulary) -> None:
        self.new: list[NewNode] = []
        self.answers: dict[str, None] = {}
        self._words = words
        self._done: dict[Term, str] = {}

    def term(self, term: Term, path: str) -> str:
        """Return the class variable of `term`; `path` names its place.

        Equal terms are one e-node, but for numbers, whose dtype comes from where they stand.
        """
        if isinstance(term, PatVar):
            return _class(term.name)
        if isinstance(term, NumberLit):
            return self._number(path)
        if term not in self._done:
            node = self._field(term, path) if isinstance(term, TupleField) else self._op(term, path)
            self._done[term] = self._add(node, path)
        return self._done[term]

    def _number(self, path: str) -> str:
        columns = (self._ask(f"{path}.number"), self._ask(f"{path}.dtype"))
        return self._add(Node(f"n_{path}", SCALAR_SYMBOL, (), columns), path, known=0)

    def _field(self, term: TupleField, path: str) -> Node:
        inner = self.term(term.tuple_value, f"{path}.0")
        return Node(f"n_{path}", FIELD_SYMBOL, (inner,), (term.index,))

    def _op(self, term: OpTerm, path: str) -> Node:
        classes: list[str] = []
        columns: list[str | int] = []
        for i, operand in enumerate(term.operands):
            match operand:
                case None:
                    pass
                case ShapeVar() | Compute():
                    columns.append(self._ask(f"{path}.{i}"))
                case tuple():
                    classes.extend(
                        self.term(each, f"{path}.{i}.{k}") for k, each in enumerate(operand)
                    )
                case _:
                    classes.append(self.term(operand, f"{path}.{i}"))
        columns.extend(self._ask(f"{path}.{name}") for name, _ in term.attrs)
        form = _form(self._words, term)
        return Node(f"n_{path}", form.symbol, tuple(classes), tuple(columns))

    def _add(self, node: Node, path: str, known: int = -1) -> str:
        self.new.append(NewNode(node, self._ask(f"{path}.type"), known))
        return node.result

    def _ask(self, what: str) -> str:
        self.answers[f"a_{what}"] = None
        return f"a_{what}"


def _read(values: Values, term: Term, built: Built, path: str, answers: dict[str, int]) -> None:
    """Read the answer values off what a rule builds; the places are named as in `_Build`."""
    match term, built:
        case NumberLit(), BuiltNumber():
            answers[f"a_{path}.number"] = values.number(built.value.item())
            answers[f"a_{path}.dtype"] = values.attr(built.type.dtype)
        case TupleField(), BuiltField():
            _read(values, term.tuple_value, built.tuple_value, f"{path}.0", answers)
        case OpTerm(), BuiltOp():
            for i, (part, operand) in enumerate(zip(term.operands, built.operands, strict=True)):
                _read_operand(values, part, operand, f"{path}.{i}", answers)
            for name, value in built.attrs.items():
                answers[f"a_{path}.{name}"] = values.attr(value)
        case _:
            return  # a variable is there already
    answers[f"a_{path}.type"] = values.type(built.type)


def _read_operand(
    values: Values,
    part: OperandTerm,
    operand: Built | tuple[Built, ...] | BuiltShape | None,
    path: str,
    answers: dict[str, int],
) -> None:
    if isinstance(operand, BuiltShape):
        answers[f"a_{path}"] = values.attr(operand.dims)
    elif isinstance(part, tuple) and isinstance(operand, tuple):
        for k, (each, built) in enumerate(zip(part, operand, strict=True)):
            _read(values, each, built, f"{path}.{k}", answers)
    elif isinstance(part, Term) and isinstance(operand, Built):
        _read(values, part, operand, path, answers)
