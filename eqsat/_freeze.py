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
from eqsat._values import FIRST_ID
from eqsat.shapes import numpy_dtype


def freeze(
    contents: Contents,
    words: Vocabulary,
    program: Program,
    rule_names: Mapping[int, str],
    *,
    whole: bool = False,
) -> Snapshot:
    """Return what can be computed of the e-graph and is reachable from the outputs.

    Classes are numbered from the outputs on, so that equal e-graphs give equal snapshots. `whole`
    adds the rest as `Snapshot.unread` and `EClass.useless`.
    """
    by_class = _by_class(contents)
    order = _reachable(contents.outputs, by_class)
    needed, rest = set(order), list[Row]()
    if whole:
        usable = {id(row) for rows in by_class.values() for row in rows}
        rest = [row for row in contents.rows if id(row) not in usable]
        order = list(dict.fromkeys((*order, *by_class, *(row.result for row in rest))))
    numbers = {c: i for i, c in enumerate(order)}
    reader = _Reader(words, contents, numbers, rule_names)
    useless: dict[int, list[Row]] = {}
    for row in rest:
        useless.setdefault(row.result, []).append(row)
    found = {numbers[c]: reader.holder(c, by_class.get(c, ()), useless.get(c, ())) for c in order}
    names = {numbers[c]: named for c, named in _names(contents, program).items() if c in numbers}
    return Snapshot(
        classes={numbers[c]: found[numbers[c]] for c in order if c in needed},
        outputs=tuple(numbers[c] for c in contents.outputs),
        facts=words.values.facts,
        externs=program.externs,
        names=names,
        unread={numbers[c]: found[numbers[c]] for c in order if c not in needed},
    )


def _names(contents: Contents, program: Program) -> dict[int, tuple[str, ...]]:
    """Return the program's names of each class."""
    found = {(r.symbol, r.classes, r.columns): r.result for r in contents.rows}
    names: dict[int, tuple[str, ...]] = {}
    classes: list[int] = []
    for i, node in enumerate(program.nodes):
        operands = tuple(classes[k] for k in node.operands)
        classes.append(c := found[node.symbol, operands, node.columns])
        if i in program.names:
            names[c] = (*names.get(c, ()), *program.names[i])
    return names


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
        self,
        words: Vocabulary,
        contents: Contents,
        numbers: Mapping[int, int],
        rule_names: Mapping[int, str],
    ) -> None:
        self._words = words
        self._contents = contents
        self._numbers = numbers
        self._rule_names = rule_names

    def holder(self, c: int, rows: Sequence[Row], useless: Sequence[Row]) -> EClass:
        """Return a class with its e-nodes."""
        values, contents = self._words.values, self._contents
        known = contents.known[c]
        rules = {self._rule_names[r] for r in contents.collapsed.get(c, ())}
        return EClass(
            id=self._numbers[c],
            type=values.type_at(contents.types[c]),
            nodes=tuple(self.node(row) for row in rows),
            is_constant=known > 0,
            collapsed_by=tuple(sorted(rules)),
            number=values.number_at(known) if known >= FIRST_ID else None,
            useless=tuple(self.node(row) for row in useless),
        )

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
