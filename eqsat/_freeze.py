"""From the e-graph to the snapshot that extraction reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eqsat._encode import Program
from eqsat._snapshot import (
    CONSTANT,
    EXTERN,
    INPUT,
    TUPLE_GET_ITEM,
    EClass,
    ENode,
    OperandRef,
    ShapeOperand,
    Snapshot,
)
from eqsat._symbols import (
    CONSTANT_SYMBOL,
    FIELD_SYMBOL,
    INPUT_SYMBOL,
    PRESENT,
    SCALAR_SYMBOL,
    SHAPE,
    OpSymbol,
    Vocabulary,
)
from eqsat._tables import Contents, Row
from eqsat.shapes import numpy_dtype


def freeze(
    contents: Contents, words: Vocabulary, program: Program, rule_names: Mapping[int, str]
) -> Snapshot:
    """Return what can be computed of the e-graph and is reachable from the outputs.

    Classes are numbered from the outputs on, so that equal e-graphs give equal snapshots.
    """
    by_class = _by_class(contents)
    order = _reachable(contents.outputs, by_class)
    numbers = {c: i for i, c in enumerate(order)}
    reader = _Reader(words, numbers, rule_names)
    classes: dict[int, EClass] = {}
    for c in order:
        i = numbers[c]
        classes[i] = EClass(
            id=i,
            type=words.values.type_at(contents.types[c]),
            nodes=tuple(reader.node(row) for row in by_class[c]),
            is_constant=contents.known[c] > 0,
            collapsed_by=tuple(sorted({rule_names[r] for r in contents.collapsed.get(c, ())})),
        )
    outputs = tuple(numbers[c] for c in contents.outputs)
    return Snapshot(classes, outputs, words.values.facts, program.externs)


def _by_class(contents: Contents) -> dict[int, list[Row]]:
    """Return the e-nodes of each class, the program's own first.

    None that needs its own class or one that cannot be computed, nor, in a class known at compile
    time, one that is not.
    """
    waiting: dict[int, int] = {}
    users: dict[int, list[int]] = {}
    known = contents.known
    rows = [
        row for row in contents.rows if not known[row.result] or all(known[c] for c in row.classes)
    ]
    for i, row in enumerate(rows):
        needed = set(row.classes)
        waiting[i] = len(needed)
        for c in needed:
            users.setdefault(c, []).append(i)
    computable: set[int] = set()
    ready = [i for i, count in waiting.items() if count == 0]
    while ready:
        c = rows[ready.pop()].result
        if c in computable:
            continue
        computable.add(c)
        for i in users.get(c, ()):
            waiting[i] -= 1
            if waiting[i] == 0:
                ready.append(i)
    result: dict[int, list[Row]] = {}
    for i, row in enumerate(rows):
        if waiting[i] == 0 and row.result not in row.classes:
            result.setdefault(row.result, []).append(row)
    for found in result.values():
        found.sort(key=lambda row: row.rule)
    return result


def _reachable(outputs: Sequence[int], by_class: Mapping[int, Sequence[Row]]) -> list[int]:
    order: dict[int, None] = dict.fromkeys(outputs)
    stack = list(order)[::-1]
    while stack:
        for row in by_class[stack.pop()]:
            for c in row.classes:
                if c not in order:
                    order[c] = None
                    stack.append(c)
    return list(order)


class _Reader:
    """Turns rows into e-nodes."""

    def __init__(
        self, words: Vocabulary, numbers: Mapping[int, int], rule_names: Mapping[int, str]
    ) -> None:
        self._words = words
        self._numbers = numbers
        self._rule_names = rule_names

    def node(self, row: Row) -> ENode:
        rule = self._rule_names.get(row.rule, "")
        form = self._words.named(row.symbol.name)
        if form is not None:
            attrs = self._words.attrs(form, row.columns)
            return ENode(form.op.name, self._operands(form, row), attrs, rule)
        operands = tuple(self._numbers[c] for c in row.classes)
        values = self._words.values
        if row.symbol == INPUT_SYMBOL:
            return ENode(INPUT, operands, {"index": row.columns[0]}, rule)
        if row.symbol == FIELD_SYMBOL:
            return ENode(TUPLE_GET_ITEM, operands, {"index": row.columns[0]}, rule)
        if row.symbol == CONSTANT_SYMBOL:
            return ENode(CONSTANT, operands, {}, rule, values.array_at(row.columns[0]))
        if row.symbol == SCALAR_SYMBOL:
            number, dtype = values.number_at(row.columns[0]), self._words.attr(row.columns[1])
            assert isinstance(dtype, str)
            return ENode(CONSTANT, operands, {}, rule, np.asarray(number, numpy_dtype(dtype)))
        return ENode(EXTERN, operands, {"index": row.columns[0]}, rule)

    def _operands(self, form: OpSymbol, row: Row) -> tuple[OperandRef, ...]:
        classes = iter([self._numbers[c] for c in row.classes])
        shapes = iter(self._words.shapes(form, row.columns))
        operands: list[OperandRef] = []
        for part in form.layout:
            if isinstance(part, int):
                operands.append(tuple(next(classes) for _ in range(part)))
            elif part == SHAPE:
                operands.append(ShapeOperand(next(shapes)))
            else:
                operands.append(next(classes) if part == PRESENT else None)
        return tuple(operands)
