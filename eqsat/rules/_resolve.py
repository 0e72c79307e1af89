"""From a match to what is built: guard, computed values, types. E-graph and checker share it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import (
    AttrValue,
    ObjectType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    infer_type,
    op,
)
from eqsat.rules._language import (
    AttrSpec,
    NumberSpec,
    ShapeSpec,
    Spec,
    TensorSpec,
)
from eqsat.rules._rule import Rewrite
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
from eqsat.shapes import (
    NO_FACTS,
    UNKNOWN_DTYPE,
    Dim,
    EqsatError,
    Equal,
    Facts,
    Predicate,
    Proof,
    Shape,
    equal_shapes,
    is_bool,
    is_float,
    is_int,
    machine_epsilon,
    max_value,
    min_value,
    numpy_dtype,
    prove,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the class a tensor or number variable is bound to."""

    type: TensorType
    is_constant: bool = False
    number: float | None = None  # the value of a constant of one element
    facts: Facts = NO_FACTS

    @property
    def dims(self) -> Shape:
        """The shape."""
        return self.type.dims

    @property
    def ndim(self) -> int:
        """The rank."""
        return self.type.ndim

    @property
    def dtype(self) -> str:
        """The dtype."""
        return self.type.dtype

    def proves(self, claim: Predicate) -> bool:
        """Return whether `claim` holds for all sizes; unknown counts as no."""
        return prove(claim, self.facts) is Proof.YES


@dataclass(frozen=True, slots=True)
class Bindings:
    """What one match binds.

    `types` has the tensor and number variables, `numbers` those of them that are constants of one
    element, `constants` those known at compile time.
    """

    types: Mapping[str, TensorType]
    attrs: Mapping[str, AttrValue] = field(default_factory=dict[str, AttrValue])
    shapes: Mapping[str, Shape] = field(default_factory=dict[str, Shape])
    constants: frozenset[str] = frozenset()
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])
    facts: Facts = NO_FACTS

    def value(self, name: str) -> Known | AttrValue | Shape:
        """Return what predicates and computed values see of a variable."""
        if name in self.types:
            constant = name in self.constants
            return Known(self.types[name], constant, self.numbers.get(name), self.facts)
        return self.attrs[name] if name in self.attrs else self.shapes[name]


@dataclass(frozen=True, eq=False, slots=True)
class BuiltVar:
    """The class a variable is bound to."""

    name: str
    type: Type


@dataclass(frozen=True, eq=False, slots=True)
class BuiltNumber:
    """A new rank-0 constant."""

    value: NDArray[np.generic]
    type: TensorType


@dataclass(frozen=True, eq=False, slots=True)
class BuiltOp:
    """An operator with concrete attributes; operands as in `OpTerm`, a BuiltShape for a shape."""

    op: str
    operands: tuple[Built | tuple[Built, ...] | BuiltShape | None, ...]
    attrs: Mapping[str, AttrValue]
    type: Type


@dataclass(frozen=True, slots=True)
class BuiltShape:
    """A shape operand."""

    dims: Shape


@dataclass(frozen=True, eq=False, slots=True)
class BuiltField:
    """One field of a tuple."""

    tuple_value: BuiltOp
    index: int
    type: Type


Built = BuiltVar | BuiltNumber | BuiltOp | BuiltField


class NotApplicableError(Exception):
    """What a condition or a computed value needs is not there: the rule does not apply."""


def resolve_known(
    rewrite: Rewrite, bindings: Bindings, expected: tuple[Type, ...]
) -> tuple[Built, ...] | None:
    """Return what `resolve` does, for tensors whose dtypes are known."""
    if not guard_holds(rewrite, bindings):
        return None
    built = build(rewrite.rhs, bindings)
    if built is None:
        return None
    pairs = zip(built, expected, strict=True)
    return built if all(same_type(b.type, e, bindings.facts) for b, e in pairs) else None


def guard_holds(rewrite: Rewrite, bindings: Bindings) -> bool:
    """Return whether the variables' constraints and all conditions hold; failures count as no."""
    if not variables_fit(rewrite.specs, bindings):
        return False
    return all(condition_holds(c.fn, c.arguments, bindings) for c in rewrite.conditions)


def condition_holds(fn: object, arguments: tuple[object, ...], bindings: Bindings) -> bool:
    """Return whether one condition holds; it does not where it cannot be evaluated."""
    assert callable(fn)
    values = [bindings.value(a) if isinstance(a, str) else a for a in arguments]
    try:
        return bool(fn(*values))
    except (NotApplicableError, EqsatError):
        return False


def variables_fit(specs: Mapping[str, Spec], bindings: Bindings) -> bool:
    """Return whether shapes and dtypes provably fit the annotations."""
    letters: dict[str, Dim] = {}
    for name, spec in specs.items():
        match spec:
            case TensorSpec():
                if not _tensor_fits(spec, bindings.types[name], letters, bindings.facts):
                    return False
            case NumberSpec():
                if name not in bindings.numbers:
                    return False
            case AttrSpec() | ShapeSpec():
                pass
    return True


def _tensor_fits(spec: TensorSpec, ty: TensorType, letters: dict[str, Dim], facts: Facts) -> bool:
    if not dtype_fits(spec.dtype, ty.dtype):
        return False
    if spec.axes is None:
        return True
    count, ndim = len(spec.axes), ty.ndim
    if ndim < count or (ndim > count and not spec.leading):
        return False
    for axis, dim in zip(spec.axes, ty.dims[ndim - count :], strict=True):
        size = axis if isinstance(axis, int) else letters.setdefault(axis, dim)
        if size is not dim and prove(Equal(size, dim), facts) is not Proof.YES:
            return False
    return True


def dtype_fits(wanted: str | None, dtype: str) -> bool:
    """Return whether `dtype` is what a tensor variable asks for; an unknown one is nothing else."""
    if dtype == UNKNOWN_DTYPE:
        return wanted is None
    match wanted:
        case None:
            return True
        case "float":
            return is_float(dtype)
        case "int":
            return is_int(dtype)
        case "bool":
            return is_bool(dtype)
        case _:
            return dtype == wanted


def same_type(a: Type, b: Type, facts: Facts = NO_FACTS) -> bool:
    """Return whether two types are provably the same."""
    match a, b:
        case TensorType(), TensorType():
            known = a.ndim >= 0 and a.ndim == b.ndim and a.dtype == b.dtype
            return known and equal_shapes(a.dims, b.dims, facts) is Proof.YES
        case TupleType(), TupleType():
            return len(a.fields) == len(b.fields) and all(
                same_type(x, y, facts) for x, y in zip(a.fields, b.fields, strict=True)
            )
        case _:
            return False


def build(terms: tuple[Term, ...], bindings: Bindings) -> tuple[Built, ...] | None:
    """Return the terms with everything computed and typed, or None where that is impossible."""
    try:
        return try_build(terms, bindings)
    except (NotApplicableError, EqsatError):
        return None


def try_build(terms: tuple[Term, ...], bindings: Bindings) -> tuple[Built, ...]:
    """Return what `build` returns.

    Raises:
        NotApplicableError: a computed value says that the rule does not apply.
        EqsatError: a term is ill-typed.
    """
    builder = _Builder(bindings)
    return tuple(builder.term(t, "") for t in terms)


@dataclass(eq=False, slots=True)
class _Builder:
    """Builds terms for one match, each operator once."""

    bindings: Bindings
    _done: dict[int, BuiltOp] = field(default_factory=dict[int, BuiltOp])  # by the term's identity

    def term(self, term: Term, dtype: str) -> Built:
        match term:
            case PatVar(name):
                return BuiltVar(name, self.bindings.types[name])
            case NumberLit():
                return self._number(term, dtype)
            case TupleField(inner, index):
                built = self._op(inner)
                if not isinstance(built.type, TupleType):
                    raise RuleError(f"{inner.op} has one result; [{index}] needs a tuple")
                return BuiltField(built, index, built.type.fields[index])
            case OpTerm():
                return self._op(term)

    def _number(self, term: NumberLit, dtype: str) -> BuiltNumber:
        value = term.value
        number = _computed(value, self.bindings) if isinstance(value, Compute) else value
        if not isinstance(number, (int, float)):
            raise RuleError(f"{value} must give a number, got {number!r}")
        if not dtype:
            raise RuleError(f"the number {term} has no tensor beside it to take a dtype from")
        if not _representable(number, dtype):
            raise NotApplicableError
        return BuiltNumber(np.asarray(number, numpy_dtype(dtype)), TensorType((), dtype))

    def _op(self, term: OpTerm) -> BuiltOp:
        found = self._done.get(id(term))
        if found is None:
            dtype = self._partner_dtype(term)
            operands = tuple(self._operand(o, dtype) for o in term.operands)
            attrs = {k: _attr_value(a, self.bindings) for k, a in term.attrs}
            ty = infer_type(op(term.op), [operand_type(o) for o in operands], attrs)
            found = self._done[id(term)] = BuiltOp(term.op, operands, attrs, ty)
        return found

    def _partner_dtype(self, term: OpTerm) -> str:
        """Return the dtype for numbers among the operands: that of the first that is none."""
        flat = [p for o in term.operands for p in (o if isinstance(o, tuple) else (o,))]
        if not any(isinstance(part, NumberLit) for part in flat):
            return ""
        for part in flat:
            if isinstance(part, (PatVar, OpTerm, TupleField)):
                ty = self.term(part, "").type
                # A condition of `where` says nothing about its values.
                if isinstance(ty, TensorType) and not is_bool(ty.dtype):
                    return ty.dtype
        return ""

    def _operand(
        self, operand: OperandTerm, dtype: str
    ) -> Built | tuple[Built, ...] | BuiltShape | None:
        match operand:
            case None:
                return None
            case ShapeVar(name):
                return BuiltShape(self.bindings.shapes[name])
            case Compute():
                dims = _computed(operand, self.bindings)
                if not isinstance(dims, tuple):
                    raise RuleError(f"{operand} must give the dims of a shape, got {dims!r}")
                return BuiltShape(tuple(d for d in dims if isinstance(d, Dim)))
            case tuple():
                return tuple(self.term(each, dtype) for each in operand)
            case _:
                return self.term(operand, dtype)


def _representable(number: float, dtype: str) -> bool:
    """Return whether the dtype holds the number, a float one to a few units in the last place."""
    if is_float(dtype):
        with np.errstate(over="ignore"):
            error = abs(float(np.asarray(number, numpy_dtype(dtype))) - number)
        return not error > 4 * machine_epsilon(dtype) * abs(number)  # of infinity it is NaN
    return number % 1 == 0 and min_value(dtype) <= number <= max_value(dtype)


def operand_type(operand: Built | tuple[Built, ...] | BuiltShape | None) -> Type:
    """Return the type that `infer` sees of an operand."""
    match operand:
        case None:
            return ObjectType()
        case BuiltShape(dims):
            return ShapeType(dims)
        case tuple():
            return TupleType(tuple(each.type for each in operand))
        case _:
            return operand.type


def _attr_value(value: AttrVar | AttrConst | Compute, bindings: Bindings) -> AttrValue:
    match value:
        case AttrVar(name):
            return bindings.attrs[name]
        case AttrConst(constant):
            return constant
        case Compute():
            return _computed(value, bindings)


def _computed(value: Compute, bindings: Bindings) -> AttrValue:
    result = value.fn(*(bindings.value(v) for v in value.variables))
    if result is None:
        raise NotApplicableError
    return result  # pyright: ignore[reportReturnType]  # checked where it is used
