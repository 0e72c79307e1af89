"""The tables of the e-graph: one per operator and form of its operands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from eqsat._tables import Symbol
from eqsat._values import Values
from eqsat.ir import AttrValue, OpDef, OperandKind
from eqsat.shapes import Shape

INPUT_SYMBOL = Symbol("input", 0, 1)
CONSTANT_SYMBOL = Symbol("constant", 0, 1)
SCALAR_SYMBOL = Symbol("scalar", 0, 2)  # number, dtype
FIELD_SYMBOL = Symbol("tuple_get_item", 1, 1, propagates=True)


def extern_symbol(num_operands: int) -> Symbol:
    """Return the symbol of a call that no rule touches; its column is its position."""
    return Symbol(f"extern/{num_operands}", num_operands, 1)


# How one operand stands in a symbol: present, absent, a shape in a column, or so many tensors.
PRESENT, ABSENT, SHAPE = "t", "-", "s"
Layout = tuple[str | int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class OpSymbol:
    """The symbol of an operator in one layout, and how to read its rows."""

    op: OpDef
    layout: Layout
    symbol: Symbol

    @property
    def num_shapes(self) -> int:
        """How many columns are shape operands; attributes follow."""
        return self.layout.count(SHAPE)


# Operators whose result has the elements of its only tensor, possibly repeated or reordered.
_COPIES = frozenset(
    {"broadcast_to", "full", "reshape", "expand_dims", "squeeze", "permute_dims", "flatten"}
)


class Vocabulary:
    """All symbols of operators, and how their rows read."""

    def __init__(self, ops: Mapping[str, OpDef], values: Values) -> None:
        self.ops = ops
        self.values = values
        self._by_form: dict[tuple[str, Layout], OpSymbol] = {}
        self._by_name: dict[str, OpSymbol] = {}

    def symbol(self, op: OpDef, layout: Layout) -> OpSymbol:
        """Return the symbol of `op` with operands in the form `layout`."""
        found = self._by_form.get((op.name, layout))
        if found is None:
            found = self._by_form[op.name, layout] = _op_symbol(op, layout)
            self._by_name[found.symbol.name] = found
        return found

    def named(self, name: str) -> OpSymbol | None:
        """Return the operator symbol called `name`, None for one that is no operator."""
        return self._by_name.get(name)

    def operators(self, names: Iterable[str]) -> set[str]:
        """Return the operators of those symbols that are of one."""
        return {self._by_name[name].op.name for name in names if name in self._by_name}

    def attrs(self, form: OpSymbol, columns: Sequence[int]) -> dict[str, AttrValue]:
        """Return the attributes in the columns of a row."""
        ids = columns[form.num_shapes :]
        return {a.name: self.attr(i) for a, i in zip(form.op.attrs, ids, strict=True)}

    def shapes(self, form: OpSymbol, columns: Sequence[int]) -> list[Shape]:
        """Return the shape operands in the columns of a row."""
        return [self.shape(i) for i in columns[: form.num_shapes]]

    def shape(self, i: int) -> Shape:
        """Return the shape with id `i`."""
        found = self.values[i]
        assert isinstance(found, tuple)
        return cast("Shape", found)  # by the column it stands in

    def attr(self, i: int) -> AttrValue:
        """Return the attribute value with id `i`."""
        return self.values[i]  # pyright: ignore[reportReturnType]  # an attribute by its column


def _op_symbol(op: OpDef, layout: Layout) -> OpSymbol:
    form = ",".join(str(part) for part in layout)
    num_classes = sum(part if isinstance(part, int) else part == PRESENT for part in layout)
    num_shapes = layout.count(SHAPE)
    # A dim among the attributes may hold a symbol, which is not known at compile time.
    static = [i + num_shapes for i, a in enumerate(op.attrs) if a.kind in ("dim", "dims")]
    symbol = Symbol(
        name=f"{op.name}({form})",
        num_classes=num_classes,
        num_columns=num_shapes + len(op.attrs),
        propagates=op.is_pure,
        static_columns=(*range(num_shapes), *static),
        copies=op.name in _COPIES,
    )
    return OpSymbol(op, layout, symbol)


def layout_of(op: OpDef, operands: Sequence[object]) -> Layout:
    """Return the layout of a call: an operand is None where absent, a sequence for TENSORS."""
    parts: list[str | int] = []
    for declared, operand in zip(op.operands, operands, strict=True):
        if operand is None:
            parts.append(ABSENT)
        elif declared.kind is OperandKind.SHAPE:
            parts.append(SHAPE)
        elif declared.kind is OperandKind.TENSORS:
            parts.append(len(cast("Sequence[object]", operand)))
        else:
            parts.append(PRESENT)
    return tuple(parts)
