"""The declaration of an operator, from which every layer derives what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Literal

from eqsat.ir._attrs import Attrs, AttrValue
from eqsat.ir._te import Tensor
from eqsat.ir._types import UNKNOWN_DTYPE, TensorType, Type
from eqsat.shapes import Dim, Shape


class OpKind(Enum):
    """How an operator fuses: what its loops look like from outside."""

    POINTWISE = auto()  # one output element from the broadcast-paired input elements
    VIEW = auto()  # moves elements: reshape, permute, slice, concat, split, pad, broadcast, expand
    GATHER = auto()  # reads at positions that are data: take, gather_elements
    REDUCTION = auto()  # over axes of one input
    CONTRACTION = auto()  # sum of products over shared axes: matmul, conv
    WINDOW = auto()  # a small neighbourhood of each output element: pooling, depthwise conv
    ROW = auto()  # several passes over a row: softmax, norms
    SCAN = auto()  # prefix dependence: cumsum
    CREATE = auto()  # from attributes alone: full, arange
    OPAQUE = auto()  # only callable as a whole


class Numerics(Enum):
    """How far results may differ from the reference."""

    EXACT = auto()  # bit-equal (integer, boolean and data-moving operators; + - * / sqrt on floats)
    ROUNDING = auto()  # a transcendental with a stated ulp bound
    REASSOCIATING = auto()  # sums in another order, as long as no float32 or wider value overflows
    APPROXIMATE = auto()  # within a bound that a rule states; no operator is


class OperandKind(Enum):
    """What an operand is."""

    TENSOR = auto()
    TENSORS = auto()  # one tuple of any number of tensors
    SHAPE = auto()  # a shape value; where its dims are known they are part of its type
    ANY_TENSOR = auto()  # a tensor, of one device or on a mesh of devices
    OBJECT = auto()  # any value: a storage, a scalar, a function


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand; an optional one may be absent (`R.null_value()` or left out)."""

    name: str
    kind: OperandKind = OperandKind.TENSOR
    optional: bool = False


AttrKind = Literal[
    "int",
    "ints",
    "float",
    "bool",
    "str",
    "dtype",
    "dim",
    "dims",
    "floats",
    "scalar",
    "dict",
    "code",
    "mesh",
    "placement",
]


class Required(Enum):
    """The default of an attribute that has none."""

    REQUIRED = auto()


REQUIRED = Required.REQUIRED


@dataclass(frozen=True, slots=True)
class Attr:
    """An attribute; `default` is `REQUIRED` where it must be given.

    A "scalar" is a number or a dim; "code" an expression kept as text: an index map, a device. In
    TVMScript attributes may follow the operands without a keyword, in order.
    """

    name: str
    kind: AttrKind
    default: AttrValue | Required = REQUIRED
    optional: bool = False  # None is a legal value


ComputeResult = Tensor | tuple[Tensor, ...]
# compute(args, attrs, out): args has a Tensor per TENSOR operand, a list of Tensors per TENSORS
# operand, a Shape per SHAPE operand, None where absent; `out` is the inferred type.
ComputeArg = Tensor | list[Tensor] | Shape | None


AxisMap = tuple[int | None, ...]
"""The axis of the result that each axis of an operand becomes, None where it is gone."""
ResultAxes = Callable[[Sequence[TensorType], Attrs, TensorType], Sequence[AxisMap]]
UNCERTAIN = -1
"""In an `AxisMap`: an axis becomes a part of one, or several."""


@dataclass(frozen=True, eq=False, slots=True)
class OpDef:
    """One operator, declared once.

    Attributes:
        name: TVM's name without the leading "relax.", such as "nn.conv2d".
        operands: in the order of the call.
        attrs: with kinds and defaults, in TVM's order.
        infer: (operand types in order, attrs) → result type; raises TypeCheckError or ShapeError.
            An absent operand's type is `ObjectType`; a TENSORS operand's type is a `TupleType`.
        reference: NumPy meaning: one array per TENSOR operand, a list of arrays per TENSORS
            operand, a tuple of ints per SHAPE operand, None where absent, then every attribute by
            keyword (dims as ints). Returns an array, or a tuple of arrays for several results.
        kind: how it fuses.
        compute: loop-level meaning.
        numerics: the class of its rounding.
        is_pure: False for effects.
        onnx: ONNX operators that are this one, for the documentation.
        result_axes: (types of the tensor operands, attrs, result type) → their `AxisMap`s: what of
            the way in which operands lie on a mesh of devices the result keeps. Without it the
            operator takes no distributed tensors.
        known: the result, a shape or a number outside a tensor, where the operands' types say it.
        cannot_run: why a program that holds it is read and typed, but not run; "" for all others.
    """

    name: str
    operands: tuple[Operand, ...]
    infer: Callable[[Sequence[Type], Attrs], Type]
    reference: Callable[..., Any]
    kind: OpKind
    attrs: tuple[Attr, ...] = ()
    compute: Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult] | None = None
    numerics: Numerics = Numerics.EXACT
    is_pure: bool = True
    onnx: tuple[str, ...] = ()
    samples: Callable[[], Sequence[Sample]] | None = None
    aliases: tuple[str, ...] = field(default=())
    result_axes: ResultAxes | None = None
    known: Callable[[Sequence[Type], Attrs], Shape | Dim | None] | None = None
    cannot_run: str = ""

    def fill_attrs(self, given: Mapping[str, AttrValue]) -> dict[str, AttrValue]:
        """Return all attributes in declared order, defaults filled in.

        Raises:
            TypeError: an attribute is unknown or a required one is missing.
        """
        known = {a.name for a in self.attrs}
        if unknown := set(given) - known:
            raise TypeError(
                f"{self.name} has no attribute {', '.join(sorted(unknown))}; it has {sorted(known)}"
            )
        filled: dict[str, AttrValue] = {}
        for a in self.attrs:
            value = given.get(a.name, a.default)
            if isinstance(value, Required):
                raise TypeError(f"{self.name} needs the attribute {a.name}")
            is_absent = a.kind == "dtype" and value in ("", UNKNOWN_DTYPE)
            if is_absent and not isinstance(a.default, Required):
                value = a.default
            filled[a.name] = _normal(value, a.kind)
        return filled

    def __repr__(self) -> str:
        return f"OpDef({self.name})"


def _normal(value: AttrValue, kind: AttrKind) -> AttrValue:
    """Return `value` in the one form of its kind: floats as float, sequences as tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(_normal(v, "float" if kind == "floats" else kind) for v in value)
    if kind in ("float", "floats") and isinstance(value, int):
        return float(value)
    return value


@dataclass(frozen=True, slots=True)
class Sample:
    """One call for the generic operator test.

    Attributes:
        shapes: per operand: a tuple of sizes, a list of such tuples (TENSORS),
            `("shape", sizes)` (SHAPE), or None where absent. A size that is a string, such as "n"
            or "n + 1", is symbolic.
        attrs: those that are not the default; a dim may be such a string too.
        dtypes: per operand; the last one stands for all that follow.
        low, high: values are drawn from this range; for integers `high` is exclusive.
        ranges: another range for the operands with these positions, such as indices.
    """

    shapes: tuple[Any, ...]
    attrs: Mapping[str, AttrValue] = field(default_factory=dict[str, AttrValue])
    dtypes: tuple[str, ...] = ("float32",)
    low: float = -2.0
    high: float = 2.0
    ranges: Mapping[int, tuple[float, float]] = field(
        default_factory=dict[int, tuple[float, float]]
    )
