"""The saturated e-graph as plain data, and what extraction chooses from it.

A class that holds a tensor can be the root of a kernel or a leaf of one; a class of tuple type (the
result of split, batch_norm, …) is only ever inside a kernel, seen through "tuple_get_item" e-nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import Attrs, AttrValue, Binding, Type
from eqsat.rules.fusion import ALIAS_VIEWS
from eqsat.shapes import NO_FACTS, Facts, Shape

ClassId = int

# The e-nodes that are no operator: a parameter of the block, a tensor known at compile time, and
# one field of a tuple (attrs: {"index": i}).
INPUT = "input"
CONSTANT = "constant"
TUPLE_GET_ITEM = "tuple_get_item"
# A call that no rule touches (call_tir, match_cast with new symbols); attrs: {"index": position}.
# It is a kernel of its own, with the template "opaque".
EXTERN = "extern"


@dataclass(frozen=True, slots=True)
class ShapeOperand:
    """A shape operand of an e-node."""

    dims: Shape


# One entry per operand of the operator: a class, the classes of a TENSORS operand, a shape, or None
# where an optional operand is absent.
OperandRef = ClassId | tuple[ClassId, ...] | ShapeOperand | None


@dataclass(frozen=True, eq=False, slots=True)
class ENode:
    """One way to compute a class.

    `op` names an operator ("nn.conv2d") or one of INPUT, CONSTANT, TUPLE_GET_ITEM; `attrs` holds
    every attribute of the operator ({"index": position} for INPUT and TUPLE_GET_ITEM). `value` is
    set for a CONSTANT. `rule` names the rule that made the e-node, "" for the program's own.
    """

    op: str
    operands: tuple[OperandRef, ...]
    attrs: Attrs = field(default_factory=dict[str, AttrValue])
    rule: str = ""
    value: NDArray[np.generic] | None = None

    @property
    def children(self) -> tuple[ClassId, ...]:
        """The classes read, in operand order, with repetitions."""
        return tuple(_flat(self.operands))


def _flat(operands: tuple[OperandRef, ...]) -> Iterator[ClassId]:
    for operand in operands:
        if isinstance(operand, tuple):
            yield from operand
        elif isinstance(operand, int):
            yield operand


@dataclass(frozen=True, eq=False, slots=True)
class EClass:
    """Equal ways to compute one value. `is_constant`: known at compile time, computing it is free.

    `collapsed_by` names the rules that found the class equal to an operand, which adds no e-node.
    `number` is what all elements are, where rules know it. `useless` e-nodes are no way to compute
    the class, since they need itself; they are kept on request, for rules match them too.
    """

    id: ClassId
    type: Type
    nodes: tuple[ENode, ...]
    is_constant: bool = False
    collapsed_by: tuple[str, ...] = ()
    number: float | None = None
    useless: tuple[ENode, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """A saturated e-graph.

    `outputs` are the classes the program returns, in order; `externs` the program's bindings that
    EXTERN e-nodes stand for; `names` the program's variables that a class is the value of; `unread`
    the classes that no output needs, kept on request.
    """

    classes: Mapping[ClassId, EClass]
    outputs: tuple[ClassId, ...]
    facts: Facts = NO_FACTS
    externs: tuple[Binding, ...] = ()
    names: Mapping[ClassId, tuple[str, ...]] = field(default_factory=dict[ClassId, tuple[str, ...]])
    unread: Mapping[ClassId, EClass] = field(default_factory=dict[ClassId, EClass])


@dataclass(frozen=True, eq=False, slots=True)
class Kernel:
    """One pass over memory: how `root` is computed from `leaves`.

    `nodes` has the chosen e-node of the root and of every interior class; the leaves are the
    classes that these read and that are not in it, each once. Leaves and root are tensors in
    memory (a leaf may be constant). `template` is the fusion template's name; `time_s` the
    estimated time at the representative sizes.
    """

    root: ClassId
    nodes: Mapping[ClassId, ENode]
    leaves: tuple[ClassId, ...]
    template: str
    time_s: float

    @property
    def is_alias(self) -> bool:
        """Whether the root is its leaf's memory under another shape: nothing runs."""
        return len(self.leaves) == 1 and all(n.op in ALIAS_VIEWS for n in self.nodes.values())


@dataclass(frozen=True, eq=False, slots=True)
class Cover:
    """A program: kernels in order, each leaf an input, a constant or an earlier root."""

    kernels: tuple[Kernel, ...]
    time_s: float  # the sum of the kernels' estimates
    bound_s: float  # no cover of these candidates is cheaper than this

    @property
    def gap(self) -> float:
        """How far from the proven optimum at most, as a fraction of `time_s`."""
        return 0.0 if self.time_s <= 0 else max(0.0, (self.time_s - self.bound_s) / self.time_s)
