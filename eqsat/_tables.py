"""What goes into the engine and comes out of it, in plain integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Symbol:
    """A table of e-nodes.

    `propagates`: constant operands make a constant, where the type and `static_columns` are static.
    `copies`: its elements are those of its first operand, so a number stays that number.
    """

    name: str
    num_classes: int
    num_columns: int
    propagates: bool = False
    static_columns: tuple[int, ...] = ()
    copies: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """An e-node in a rule: class variables and columns (a value variable, or the value itself)."""

    result: str
    symbol: Symbol
    classes: tuple[str, ...]
    columns: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class NewNode:
    """An e-node that a rule adds.

    `type` is the value variable of its type; `known` its column that holds a number, or -1.
    """

    node: Node
    type: str
    known: int = -1


@dataclass(frozen=True, slots=True)
class EngineRule:
    """Match `body`, ask Python with the `key` values, and with the `answers` add and unite.

    `types` and `known` bind value variables to analyses of class variables, `literals` require a
    class to be a number that Python listed under that literal, `ordered` class variables to be
    strictly increasing.
    """

    index: int
    body: tuple[Node, ...]
    types: tuple[tuple[str, str], ...]
    known: tuple[tuple[str, str], ...]
    constants: tuple[str, ...]
    literals: tuple[tuple[str, int], ...]
    ordered: tuple[str, ...]
    key: tuple[str, ...]
    answers: tuple[str, ...]
    new: tuple[NewNode, ...]
    unions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """An e-node as read back; classes are the engine's ids."""

    symbol: Symbol
    classes: tuple[int, ...]
    columns: tuple[int, ...]
    result: int
    rule: int


@dataclass(frozen=True, slots=True)
class Application:
    """A rule about to act on an answered match: what its class and value variables are."""

    rule: int
    classes: Mapping[str, int]
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything in the e-graph."""

    rows: tuple[Row, ...]
    types: Mapping[int, int]
    known: Mapping[int, int]
    collapsed: Mapping[int, tuple[int, ...]]  # class → rules that united it with an operand
    outputs: tuple[int, ...]


def derivation(rows: Sequence[Row]) -> dict[int, Row]:
    """Return for each class an e-node of classes that come before it in the result."""
    users: dict[int, list[int]] = {}
    waiting = [len(set(row.classes)) for row in rows]
    for i, row in enumerate(rows):
        for c in set(row.classes):
            users.setdefault(c, []).append(i)
    chosen: dict[int, Row] = {}
    ready = [i for i, count in enumerate(waiting) if count == 0]
    while ready:
        row = rows[ready.pop()]
        if row.result in chosen:
            continue
        chosen[row.result] = row
        for i in users.get(row.result, ()):
            waiting[i] -= 1
            if waiting[i] == 0:
                ready.append(i)
    return chosen
