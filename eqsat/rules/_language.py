"""The words of the rule language: pattern variables and calls of operators inside a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from eqsat.ir import AttrKind, OpDef, OperandKind, op
from eqsat.rules._terms import (
    AttrConst,
    AttrVar,
    Compute,
    NumberLit,
    OperandTerm,
    OpTerm,
    PatVar,
    RuleError,
    ShapeVar,
    Term,
    TupleField,
)

# --- pattern variables ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor variable.

    `axes` are letters (same letter, same provable size) or sizes; None: any shape. `leading` allows
    any axes before those named. `dtype` is "float", "int", "bool" or one dtype.
    """

    axes: tuple[str | int, ...] | None = None
    leading: bool = False
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class NumberSpec:
    """A constant of one element, any rank, bound to its value; on the right it is that constant."""


@dataclass(frozen=True, slots=True)
class AttrSpec:
    """An attribute variable."""

    kind: AttrKind


@dataclass(frozen=True, slots=True)
class ShapeSpec:
    """A variable for a shape operand."""


Spec = TensorSpec | NumberSpec | AttrSpec | ShapeSpec


def tensor(axes: str | None = None, dtype: str | None = None) -> TensorSpec:
    """Return a tensor variable's constraint: `tensor("... m k")`, `tensor("c 1 1")`, `tensor()`."""
    if axes is None:
        return TensorSpec(dtype=dtype)
    words = axes.split()
    leading = words[:1] == ["..."]
    named = tuple(int(w) if w.isdigit() else w for w in words[leading:])
    return TensorSpec(named, leading, dtype)


def attr(kind: AttrKind) -> AttrSpec:
    """Return an attribute variable's constraint."""
    return AttrSpec(kind)


class Pattern:
    """A term under construction: what the parameters of a rule's function are."""

    __slots__ = ("term",)

    def __init__(self, term: Term) -> None:
        self.term = term

    def __add__(self, other: Operand) -> Pattern:
        return ops.add(self, other)

    def __radd__(self, other: float) -> Pattern:
        return ops.add(other, self)

    def __sub__(self, other: Operand) -> Pattern:
        return ops.subtract(self, other)

    def __rsub__(self, other: float) -> Pattern:
        return ops.subtract(other, self)

    def __mul__(self, other: Operand) -> Pattern:
        return ops.multiply(self, other)

    def __rmul__(self, other: float) -> Pattern:
        return ops.multiply(other, self)

    def __truediv__(self, other: Operand) -> Pattern:
        return ops.divide(self, other)

    def __rtruediv__(self, other: float) -> Pattern:
        return ops.divide(other, self)

    def __matmul__(self, other: Pattern) -> Pattern:
        return ops.matmul(self, other)

    def __neg__(self) -> Pattern:
        return ops.negative(self)

    def __getitem__(self, index: int) -> Pattern:
        if not isinstance(self.term, OpTerm):
            raise RuleError(f"[{index}] takes a field of an operator's result, not of {self.term}")
        return Pattern(TupleField(self.term, index))


Operand = Pattern | Compute | float
Sides = tuple[Operand, Operand] | tuple[tuple[Operand, ...], tuple[Operand, ...]]

Tensor = Annotated[Pattern, tensor()]
Float = Annotated[Pattern, tensor(dtype="float")]
Number = Annotated[Pattern, NumberSpec()]
IntAttr = Annotated[AttrVar, attr("int")]
IntsAttr = Annotated[AttrVar, attr("ints")]
BoolAttr = Annotated[AttrVar, attr("bool")]
FloatAttr = Annotated[AttrVar, attr("float")]
ScalarAttr = Annotated[AttrVar, attr("scalar")]
StrAttr = Annotated[AttrVar, attr("str")]
DtypeAttr = Annotated[AttrVar, attr("dtype")]
Dims = Annotated[ShapeVar, ShapeSpec()]


def compute(fn: Callable[..., object], *variables: Pattern | AttrVar | ShapeVar) -> Compute:
    """Return the attribute, shape operand or number that `fn` gives for what the variables bind."""
    return Compute(fn, tuple(_variable_name(v) for v in variables))


def _variable_name(variable: Pattern | AttrVar | ShapeVar) -> str:
    inner = variable.term if isinstance(variable, Pattern) else variable
    if isinstance(inner, (PatVar, AttrVar, ShapeVar)):
        return inner.name
    raise RuleError(f"compute takes the rule's own variables, not {inner}")


# --- calls of operators ---------------------------------------------------------------------


class _Ops:
    """`ops.nn.relu(x)`: a call of the operator of that name inside a rule."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Ops:
        return _Ops(f"{self._name}.{name}" if self._name else name)

    def __call__(self, *operands: Any, **attrs: Any) -> Pattern:
        return Pattern(_op_term(self._name, operands, attrs))


ops = _Ops("")


def _op_term(name: str, operands: Sequence[Any], given: Mapping[str, Any]) -> OpTerm:
    definition = op(name)
    if len(operands) > len(definition.operands):
        raise RuleError(f"{name} takes {len(definition.operands)} operands, got {len(operands)}")
    padded = [*operands, *[None] * (len(definition.operands) - len(operands))]
    terms: list[OperandTerm] = []
    for declared, operand in zip(definition.operands, padded, strict=True):
        if operand is None and not declared.optional:
            raise RuleError(f"{name} needs the operand {declared.name}")
        if operand is None:
            terms.append(None)
        elif declared.kind is OperandKind.TENSORS:
            terms.append(tuple(term_of(each) for each in operand))
        elif declared.kind is OperandKind.SHAPE:
            terms.append(_shape_term(name, operand))
        else:
            terms.append(term_of(operand))
    return OpTerm(definition.name, tuple(terms), _attr_terms(definition, given))


def term_of(operand: Any) -> Term:
    """Return the term of a pattern, a computed number or a number."""
    if isinstance(operand, Pattern):
        return operand.term
    return NumberLit(operand if isinstance(operand, Compute) else float(operand))


def _shape_term(name: str, operand: Any) -> ShapeVar | Compute:
    if isinstance(operand, (ShapeVar, Compute)):
        return operand
    raise RuleError(
        f"the shape operand of {name} must be a Dims variable or computed, not {operand}"
    )


def _attr_terms(
    definition: OpDef, given: Mapping[str, Any]
) -> tuple[tuple[str, AttrVar | AttrConst | Compute], ...]:
    if not definition.attrs and not given:
        return ()
    literal = {k: v for k, v in given.items() if not isinstance(v, (AttrVar, Compute))}
    # Placeholders satisfy required attributes; they are replaced below.
    filled = definition.fill_attrs({**{k: 0 for k in given if k not in literal}, **literal})
    return tuple(
        (k, given[k] if k in given and k not in literal else AttrConst(v))
        for k, v in filled.items()
    )
