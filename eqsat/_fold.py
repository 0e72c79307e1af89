"""Evaluates the classes that are known at compile time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat._snapshot import (
    CONSTANT,
    TUPLE_GET_ITEM,
    EClass,
    ENode,
    OperandRef,
    ShapeOperand,
    Snapshot,
)
from eqsat.ir import AttrValue, TensorType, op
from eqsat.shapes import Dim, EqsatError, numpy_dtype

Array = NDArray[np.generic]


class FoldError(EqsatError):
    """A constant cannot be computed at compile time."""


class Folder:
    """The values of the constant classes of a snapshot, each computed once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._classes = snapshot.classes
        self._chosen = _cheapest(snapshot.classes)
        self._values: dict[int, Any] = {}

    def value(self, class_id: int) -> Array:
        """Return the tensor that a constant class holds.

        Raises:
            FoldError: the class is not known at compile time, or an operator broke its promises.
        """
        stack = [class_id]
        while stack:
            c = stack[-1]
            if c in self._values:
                stack.pop()
                continue
            node = self.node(c)
            missing = [k for k in node.children if k not in self._values]
            if missing:
                stack.extend(missing)
            else:
                self._values[c] = self._evaluate(node, self._classes[c])
                stack.pop()
        return self._values[class_id]

    def node(self, c: int) -> ENode:
        """Return the e-node by which a constant class is computed.

        Raises:
            FoldError: the class is not known at compile time.
        """
        if c not in self._chosen:
            raise FoldError(f"class {c} of type {self._classes[c].type} is no constant")
        return self._chosen[c]

    def _evaluate(self, node: ENode, holder: EClass) -> Any:
        if node.op == CONSTANT:
            return node.value
        if node.op == TUPLE_GET_ITEM:
            index = node.attrs["index"]
            assert isinstance(index, int)
            return self._values[node.children[0]][index]
        arguments = [self._argument(o) for o in node.operands]
        attrs = {name: _static(value) for name, value in node.attrs.items()}
        with np.errstate(all="ignore"):  # as at run time: infinities and NaN are results
            result = op(node.op).reference(*arguments, **attrs)
        return _checked(result, node.op, holder)

    def _argument(self, operand: OperandRef) -> Any:
        match operand:
            case ShapeOperand(dims):
                return tuple(_static(d) for d in dims)
            case tuple():
                return [self._values[c] for c in operand]
            case int():
                return self._values[operand]
            case None:
                return None


def _checked(result: Any, name: str, holder: EClass) -> Any:
    ty = holder.type
    if not isinstance(ty, TensorType):
        return result
    value = np.asarray(result)
    if value.shape != ty.dims or value.dtype != numpy_dtype(ty.dtype):
        raise FoldError(
            f"{name} gave {value.dtype}{list(value.shape)} where {ty} was inferred: the operator's "
            "`reference` and `infer` disagree"
        )
    return value


def _static(value: AttrValue | Dim) -> Any:
    if isinstance(value, tuple):
        return tuple(_static(v) for v in value)
    return value


def _cheapest(classes: Mapping[int, EClass]) -> dict[int, ENode]:
    """Return the cheapest e-node of each class that can be computed, by the numbers written."""
    users: dict[int, list[tuple[int, ENode]]] = {}
    waiting: dict[ENode, int] = {}
    cost: dict[int, int] = {}
    chosen: dict[int, ENode] = {}
    heap: list[tuple[int, int, int, ENode]] = []
    order = itertools.count()  # ties go to what was found first
    constants = [c for c in classes.values() if c.is_constant]

    def push(c: int, node: ENode) -> None:
        total = sum(cost[k] for k in node.children)
        if node.op != CONSTANT:
            total += 1 + _num_elements(classes[c])
        heapq.heappush(heap, (total, c, next(order), node))

    for c in constants:
        for node in c.nodes:
            needed = set(node.children)
            waiting[node] = len(needed)
            for k in needed:
                users.setdefault(k, []).append((c.id, node))
            if not needed:
                push(c.id, node)
    while heap:
        total, c, _, node = heapq.heappop(heap)
        if c in chosen:
            continue
        chosen[c], cost[c] = node, total
        for user, other in users.get(c, ()):
            waiting[other] -= 1
            if waiting[other] == 0:
                push(user, other)
    return chosen


def _num_elements(holder: EClass) -> int:
    ty = holder.type
    if not isinstance(ty, TensorType):
        return 0
    total = 1
    for d in ty.dims:
        assert isinstance(d, int), f"a constant of type {ty}"
        total *= d
    return total
