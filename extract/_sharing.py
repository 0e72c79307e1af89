"""Which classes have readers that a single kernel cannot hold together."""

from __future__ import annotations

from eqsat.extract._graph import Graph
from eqsat.extract._order import components
from eqsat.extract._price import kernel_time_s

# Readers that meet again within this many classes can end up in one kernel.
_MAX_REGION = 16
_MEETS = frozenset({"pointwise", "view", "reduction", "row", "create"})


class Sharing:
    """The order of classes, and a first choice of forms that tells who reads what.

    Attributes:
        order: components of classes, operands first; one of several is a cycle of equal forms.
        in_cycle: per class, whether it stands in such a cycle.
        flow_s: per class, an estimate of all that it takes, shared among its readers.
        readers: per class, the classes that read it in the first choice, or where the choice does
            not need it, in the program, or in forms that rules have made.
        sure_readers: per class, those that read it in the program or in the first choice; where
            there are none, in forms that rules have made.
        num_readers: per class, the classes with any form that reads it, at least 1.
        is_shared: per class, whether several readers need it that do not soon meet again.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        count = len(graph.classes)
        self._below = [tuple({k: None for f in fs for k in f.children}) for fs in graph.forms]
        self.order = components(count, lambda c: self._below[c])
        self.position = {c: i for i, group in enumerate(self.order) for c in group}
        self.in_cycle = [False] * count
        for group in self.order:
            for c in group:
                self.in_cycle[c] = len(group) > 1
        own: list[dict[int, None]] = [{} for _ in range(count)]
        other: list[dict[int, None]] = [{} for _ in range(count)]
        for c, forms in enumerate(graph.forms):
            for f in forms:
                for k in f.children:
                    if f.is_program:
                        own[k][c] = None
                    elif self.position[k] != self.position[c]:  # else c is rather what k is made of
                        other[k][c] = None
        # Rewrites add readers that stand for each other; the program's own are all needed.
        every = [mine or more for mine, more in zip(own, other, strict=True)]
        self.num_readers = [
            max(1, len({**mine, **more})) for mine, more in zip(own, other, strict=True)
        ]
        self.flow_s = [0.0 if c.is_available else float("inf") for c in graph.classes]
        best = self._first_choice()
        self._best_kind = {c: graph.forms[c][i].kind for c, i in best.items()}
        chosen: list[dict[int, None]] = [{} for _ in range(count)]
        for c in self._used(best):
            for k in graph.forms[c][best[c]].children:
                chosen[k][c] = None
        self.readers = [tuple(mine or others) for mine, others in zip(chosen, every, strict=True)]
        self.sure_readers = [
            {*mine, *first} or set(others)
            for mine, first, others in zip(own, chosen, every, strict=True)
        ]
        self.is_shared = [self._is_shared(c) for c in range(count)]

    def _first_choice(self) -> dict[int, int]:
        """Return the best form of each class when every e-node is a kernel of its own."""
        graph = self._graph
        best: dict[int, int] = {}
        for group in self.order:
            for _ in range(2 if len(group) > 1 else 1):
                for c in group:
                    for i, f in enumerate(graph.forms[c]):
                        reads = [
                            (k, min(r, graph.classes[k].elements) * graph.classes[k].element_bytes)
                            for k, r in zip(f.children, f.reads, strict=True)
                        ]
                        arithmetic = f.fixed_s + f.element_s * graph.classes[c].elements
                        flow = kernel_time_s(graph, c, "pointwise", reads, arithmetic)
                        flow += sum(self.flow_s[k] for k in f.children)
                        flow /= self.num_readers[c]
                        if flow < self.flow_s[c]:
                            self.flow_s[c] = flow
                            best[c] = i
        return best

    def _used(self, best: dict[int, int]) -> list[int]:
        done = {o: None for o in self._graph.outputs if o in best}
        stack = list(done)
        while stack:
            c = stack.pop()
            for k in self._graph.forms[c][best[c]].children:
                if k in best and k not in done:
                    done[k] = None
                    stack.append(k)
        return list(done)

    def _is_shared(self, c: int) -> bool:
        if c in self._graph.outputs:
            return True
        frontier = set(self.readers[c])
        for _ in range(_MAX_REGION):
            if len(frontier) <= 1:
                return False
            first = min(frontier, key=lambda r: (self.position[r], r))
            if first in self._graph.outputs or self._best_kind.get(first) not in _MEETS:
                return True
            frontier.remove(first)
            frontier |= set(self.readers[first])
        return True
