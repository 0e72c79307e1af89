"""The plainest cover of a snapshot, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping

from eqsat._snapshot import CONSTANT, INPUT, Cover, ENode, Kernel, Snapshot
from eqsat.ir import TupleType


def plain_cover(snapshot: Snapshot, choose: Mapping[int, int] | None = None) -> Cover:
    """Return the cover of one e-node per kernel: the first, or the one that `choose` numbers, where
    that makes no cycle; tuples go into the kernels of their fields."""
    order = _order(snapshot, choose or {})
    kernels: list[Kernel] = []
    for c, node in order.items():
        holder = snapshot.classes[c]
        if holder.is_constant or node.op == INPUT or isinstance(holder.type, TupleType):
            continue
        nodes = {c: node}
        stack = [node]
        leaves: dict[int, None] = {}
        while stack:
            for k in stack.pop().children:
                if isinstance(snapshot.classes[k].type, TupleType):
                    nodes[k] = order[k]
                    stack.append(order[k])
                else:
                    leaves[k] = None
        kernels.append(Kernel(c, nodes, tuple(leaves), "opaque", 0.0))
    return Cover(tuple(kernels), 0.0, 0.0)


def _order(snapshot: Snapshot, choose: Mapping[int, int]) -> dict[int, ENode]:
    """Return one e-node per class that the outputs need, operands first, without cycles."""
    depth: dict[int, int] = {}
    chosen: dict[int, ENode] = {}
    changed = True
    while changed:
        changed = False
        for c, holder in snapshot.classes.items():
            if c in chosen:
                continue
            start = choose.get(c, 0)
            alternatives = [*holder.nodes[start:], *holder.nodes[:start]]
            ready = [n for n in alternatives if all(k in chosen for k in n.children)]
            if holder.is_constant or ready:
                constant = [n for n in ready if n.op == CONSTANT]
                chosen[c] = (constant or ready or [holder.nodes[0]])[0]
                depth[c] = len(depth)
                changed = True
    needed: set[int] = set()
    stack = list(snapshot.outputs)
    while stack:
        c = stack.pop()
        if c not in needed:
            needed.add(c)
            if not snapshot.classes[c].is_constant:
                stack.extend(chosen[c].children)
    return {c: chosen[c] for c in sorted(needed, key=depth.__getitem__)}
