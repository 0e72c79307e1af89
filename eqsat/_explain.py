"""Which rules made the program that was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from eqsat._snapshot import Cover, EClass, ENode, Snapshot


def rules_used(snapshot: Snapshot, cover: Cover) -> Counter[str]:
    """Return how many e-nodes of the chosen program each rule made.

    A rule that only found a value equal to one of its operands (x + 0 → x) makes no e-node; it
    counts once for each class of the program that it served.
    """
    used: Counter[str] = Counter()
    seen: set[int] = set()
    for kernel in cover.kernels:
        used.update(node.rule for node in kernel.nodes.values() if node.rule)
        seen.update(kernel.nodes, kernel.leaves)
    for c in sorted(seen):
        used.update(snapshot.classes[c].collapsed_by)
    return used


def without_rule(snapshot: Snapshot, rule: str) -> Snapshot:
    """Return the snapshot without the e-nodes that `rule` made first, and what needs them.

    What else it led to stays: classes that it united stay united, e-nodes that later rules made of
    its own stay where they can be computed. So a cost won back this way is a lower bound.
    """
    kept = {c: [n for n in e.nodes if n.rule != rule] for c, e in snapshot.classes.items()}
    return restricted(snapshot, kept)


def restricted(snapshot: Snapshot, kept: Mapping[int, Sequence[ENode]]) -> Snapshot:
    """Return the snapshot with these e-nodes only, of those what can be computed and is needed."""
    computable = _computable(kept)
    classes: dict[int, EClass] = {}
    for c in _reachable(snapshot.outputs, kept, computable):
        nodes = tuple(n for n in kept[c] if computable.issuperset(n.children))
        classes[c] = replace(snapshot.classes[c], nodes=nodes)
    return replace(snapshot, classes=classes)


def is_whole(snapshot: Snapshot) -> bool:
    """Return whether all outputs can be computed."""
    return all(snapshot.classes[c].nodes for c in snapshot.outputs)


def _computable(nodes: Mapping[int, Sequence[ENode]]) -> set[int]:
    users: dict[int, list[tuple[int, ENode]]] = {}
    waiting: dict[ENode, int] = {}
    ready: list[int] = []
    for c, alternatives in nodes.items():
        for node in alternatives:
            needed = set(node.children)
            waiting[node] = len(needed)
            for k in needed:
                users.setdefault(k, []).append((c, node))
            if not needed:
                ready.append(c)
    computable: set[int] = set()
    while ready:
        c = ready.pop()
        if c in computable:
            continue
        computable.add(c)
        for user, node in users.get(c, ()):
            waiting[node] -= 1
            if waiting[node] == 0:
                ready.append(user)
    return computable


def _reachable(
    outputs: tuple[int, ...], nodes: Mapping[int, Sequence[ENode]], computable: set[int]
) -> list[int]:
    order = dict.fromkeys(outputs)
    stack = list(order)
    while stack:
        for node in nodes[stack.pop()]:
            if not computable.issuperset(node.children):
                continue
            for c in node.children:
                if c not in order:
                    order[c] = None
                    stack.append(c)
    return list(order)
