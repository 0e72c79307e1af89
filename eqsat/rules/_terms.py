"""Terms: the two sides of a rule as plain data, from which matching and building follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eqsat.ir import AttrValue
from eqsat.shapes import EqsatError


class RuleError(EqsatError):
    """A rule is not well formed; the message names the rule and the place."""


@dataclass(frozen=True, slots=True)
class Compute:
    """A value worked out when a rule fires: an attribute, a shape operand or a number.

    `fn` is called with one argument per name in `variables` (see `Bindings.value`): a `Known` for a
    tensor or number variable, the attribute value for an attribute variable, the dims for a shape
    variable. Returning None, or raising a ShapeError, means that the rule does not apply.
    """

    fn: Callable[..., object]
    variables: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.fn.__name__.lstrip('_')}({', '.join(self.variables)})"


@dataclass(frozen=True, slots=True)
class PatVar:
    """A variable for a tensor or a number: any class on the left, that class on the right."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class NumberLit:
    """A number among tensor operands.

    On the left it matches a class that is a constant of one or more elements, all the same and in
    `bounds`. It may have any shape, so rules state `types_agree` where a shape could get lost.
    Signed zeros are not told apart. On the right it is a rank-0 constant; its dtype is that of the
    first tensor operand of the same operator that is not itself a number. `value` may be computed.
    """

    value: float | Compute

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and greatest constant that matches.

        They are equal where the number has a float16 form; others, like 1/sqrt(2), are held rounded
        to a program's dtype, so 1e-6 of the number is allowed to each side.
        """
        if isinstance(self.value, Compute):
            raise RuleError(
                f"{self.value} cannot be matched; a computed number stands on the right"
            )
        if float(np.float16(self.value)) == self.value:
            return self.value, self.value
        slack = abs(self.value) * 1e-6
        return self.value - slack, self.value + slack

    def __str__(self) -> str:
        return f"{self.value:.9g}" if isinstance(self.value, (int, float)) else str(self.value)


@dataclass(frozen=True, slots=True)
class AttrVar:
    """An attribute variable: binds the value on the left (the same name twice: equal values)."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class AttrConst:
    """An attribute that has exactly this value."""

    value: AttrValue

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class ShapeVar:
    """A shape operand: binds the dims on the left."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class OpTerm:
    """A call of an operator.

    `operands` has one entry per operand of the OpDef, in its order: a term for a TENSOR, a tuple of
    terms for TENSORS (exactly that many), ShapeVar or Compute for a SHAPE, None where absent (which
    matches only an absent operand). `attrs` has every attribute of the OpDef, in its order,
    defaults filled in; Compute stands only on right sides.
    """

    op: str
    operands: tuple[OperandTerm, ...]
    attrs: tuple[tuple[str, AttrVar | AttrConst | Compute], ...]

    def __str__(self) -> str:
        parts = [_operand_text(o) for o in self.operands if o is not None]
        parts += [f"{k}={v}" for k, v in self.attrs]
        return f"{self.op}({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class TupleField:
    """One field of a result that is a tuple."""

    tuple_value: OpTerm
    index: int

    def __str__(self) -> str:
        return f"{self.tuple_value}[{self.index}]"


Term = PatVar | NumberLit | OpTerm | TupleField
OperandTerm = Term | tuple[Term, ...] | ShapeVar | Compute | None


def _operand_text(operand: OperandTerm) -> str:
    if isinstance(operand, tuple):
        return f"[{', '.join(map(str, operand))}]"
    return str(operand)


def subterms(term: Term) -> list[Term]:
    """Return `term` and every term inside it, operands before their operator."""
    found: list[Term] = []
    _add_subterms(term, found)
    return found


def _add_subterms(term: Term, found: list[Term]) -> None:
    if isinstance(term, OpTerm):
        for operand in term.operands:
            for part in operand if isinstance(operand, tuple) else (operand,):
                if isinstance(part, (PatVar, NumberLit, OpTerm, TupleField)):
                    _add_subterms(part, found)
    elif isinstance(term, TupleField):
        _add_subterms(term.tuple_value, found)
    found.append(term)


def bound_names(term: Term) -> set[str]:
    """Return the names that `term` binds: tensor, number, attribute and shape variables."""
    names: set[str] = set()
    for part in subterms(term):
        match part:
            case PatVar():
                names.add(part.name)
            case OpTerm():
                names |= {o.name for o in part.operands if isinstance(o, ShapeVar)}
                names |= {a.name for _, a in part.attrs if isinstance(a, AttrVar)}
            case NumberLit() | TupleField():
                pass
    return names


def computed(term: Term) -> Iterator[Compute]:
    """Yield every Compute of `term`: those that must be worked out before it can be built."""
    for part in subterms(term):
        if isinstance(part, NumberLit) and isinstance(part.value, Compute):
            yield part.value
        if isinstance(part, OpTerm):
            yield from (o for o in part.operands if isinstance(o, Compute))
            yield from (a for _, a in part.attrs if isinstance(a, Compute))


def open_literals(terms: Sequence[Term]) -> tuple[tuple[Term, ...], dict[str, float]]:
    """Return the terms with a variable in place of each number, and the numbers by variable."""
    values: dict[str, float] = {}

    def opened(term: Term) -> Term:
        match term:
            case NumberLit(value):
                name = f"literal{len(values)}"
                assert isinstance(value, (int, float))
                values[name] = value
                return PatVar(name)
            case PatVar():
                return term
            case TupleField(inner, index):
                found = opened(inner)
                assert isinstance(found, OpTerm)
                return TupleField(found, index)
            case OpTerm():
                return OpTerm(term.op, tuple(operand(o) for o in term.operands), term.attrs)

    def operand(o: OperandTerm) -> OperandTerm:
        if isinstance(o, tuple):
            return tuple(opened(each) for each in o)
        return opened(o) if isinstance(o, (NumberLit, OpTerm, TupleField)) else o

    return tuple(opened(t) for t in terms), values


COMMUTATIVE = frozenset(
    {"add", "multiply", "maximum", "minimum", "logical_and", "logical_or", "equal", "not_equal"}
)


def commuted(term: Term, is_constant: Callable[[Term], bool]) -> list[Term]:
    """Return `term` in every order of the operands of commutative operators.

    An operand known to be constant stays where it is, on the right: `constant_goes_right` brings
    programs into that form.
    """
    match term:
        case PatVar() | NumberLit():
            return [term]
        case TupleField():
            inner = commuted(term.tuple_value, is_constant)
            return [TupleField(t, term.index) for t in inner if isinstance(t, OpTerm)]
        case OpTerm():
            choices: list[tuple[OperandTerm, ...]] = [()]
            for operand in term.operands:
                forms = _operand_forms(operand, is_constant)
                choices = [(*c, f) for c in choices for f in forms]
            terms = [OpTerm(term.op, c, term.attrs) for c in choices]
            swaps = term.op in COMMUTATIVE and not any(
                is_constant(o) for o in term.operands if isinstance(o, Term)
            )
            if swaps and len(set(term.operands)) > 1:
                terms += [OpTerm(t.op, t.operands[::-1], t.attrs) for t in terms]
            return [*terms]


def _operand_forms(operand: OperandTerm, is_constant: Callable[[Term], bool]) -> list[OperandTerm]:
    match operand:
        case PatVar() | NumberLit() | OpTerm() | TupleField():
            return [*commuted(operand, is_constant)]
        case tuple():
            forms: list[tuple[Term, ...]] = [()]
            for part in operand:
                forms = [(*f, p) for f in forms for p in commuted(part, is_constant)]
            return [*forms]
        case ShapeVar() | Compute() | None:
            return [operand]
