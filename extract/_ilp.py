"""The minimum-cost cover of a segment as an integer program, solved by HiGHS."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from math import inf

from eqsat.extract._greedy import Choice, Solution, greedy, improved, time_s, used
from eqsat.extract._highs import Rows, minimize
from eqsat.extract._segments import Segment

_MICRO = 1e6
# Exchanges of one kernel of the greedy choice that are tried.
_MAX_EXCHANGES = 4000


class _Model:
    """Columns: y per option (chosen), z per class (needed), w per form (computed this way)."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.first: list[int] = []
        self.costs: list[float] = []
        for options in segment.options:
            self.first.append(len(self.costs))
            self.costs += [k.time_s * _MICRO for k in options]
        self.num_choices = len(self.costs)
        self.rows = Rows()
        self._cover_rows()
        self._derivation_rows()
        if segment.in_cycle:
            self._two_cycle_rows()

    def options_of(self, c: int) -> list[int]:
        """Return the columns of the options of class `c`."""
        return list(range(self.first[c], self.first[c] + len(self.segment.options[c])))

    def readers_in(self, c: int, x: int) -> list[int]:
        """Return the columns of the options of class `c` that read class `x`."""
        return [self.first[c] + i for i, needs in enumerate(self.segment.needs[c]) if x in needs]

    def _cover_rows(self) -> None:
        """One kernel per class; what is read by a kernel has a kernel."""
        roots = set(self.segment.roots)
        for c, needs in enumerate(self.segment.needs):
            self.rows.add(self.options_of(c), [], 1.0 if c in roots else 0.0, 1.0)
            for x in sorted({x for n in needs for x in n} - roots):
                self.rows.add(self.options_of(x), self.readers_in(c, x), 0.0, inf)

    def _derivation_rows(self) -> None:
        """What is needed is computed in some way, and each way in use is inside some kernel.

        These follow from the cover rows for whole numbers, and make the relaxation tight.
        """
        position = {c: i for i, c in enumerate(self.segment.classes)}
        holding: dict[int, dict[int, list[int]]] = {}
        children: dict[int, tuple[int, ...]] = {}
        column = 0
        for options in self.segment.options:
            for k in options:
                for c, f in k.inside:
                    holding.setdefault(c, {}).setdefault(f.index, []).append(column)
                    children[f.index] = f.children
                column += 1
        roots = {self.segment.classes[r] for r in self.segment.roots}
        # Written by other segments in any case: reading them needs nothing here.
        free = {x for o in self.segment.options for k in o for x in k.needs} - set(position)
        needed = {c: self.num_choices + i for i, c in enumerate(holding)}
        ways = [f for forms in holding.values() for f in forms]
        way = {f: self.num_choices + len(needed) + i for i, f in enumerate(ways)}
        self.num_columns = self.num_choices + len(needed) + len(ways)
        self.always = [needed[c] for c in sorted(roots) if c in needed]
        for c, forms in holding.items():
            self.rows.add([way[f] for f in forms], [needed[c]], 0.0, 0.0)
            using: dict[int, list[int]] = {}
            for f, inside in forms.items():
                self.rows.add(inside, [way[f]], 0.0, inf)
                for x in children[f]:
                    if x in needed and x not in roots and x not in free:
                        using.setdefault(x, []).append(way[f])
            for x, by in using.items():
                self.rows.add([needed[x]], by, 0.0, inf)

    def _two_cycle_rows(self) -> None:
        pairs = {
            (c, x) for c, needs in enumerate(self.segment.needs) for n in needs for x in n if c < x
        }
        for c, x in sorted(pairs):
            back = self.readers_in(x, c)
            if back:
                self.rows.add([*self.readers_in(c, x), *back], [], -inf, 1.0)

    def forbid_circle(self, circle: Sequence[int]) -> None:
        """Exclude that these classes read each other in a circle."""
        following = [*circle[1:], circle[0]]
        columns = [y for c, x in zip(circle, following, strict=True) for y in self.readers_in(c, x)]
        self.rows.add(columns, [], -inf, len(circle) - 1.0)

    def solve(self, start: Choice | None, limit_s: float) -> tuple[Choice | None, float]:
        """Return the best choice found in the time, and a bound in seconds (inf: there is none)."""
        costs = self.costs + [0.0] * (self.num_columns - self.num_choices)
        first = [self.first[c] + i for c, i in (start or {}).items()]
        answer = minimize(costs, self.num_choices, self.always, self.rows, first, limit_s)
        if not answer.values:
            return None, answer.bound / _MICRO
        choice: Choice = {}
        for c, y in enumerate(self.first):
            values = answer.values[y : y + len(self.segment.options[c])]
            if values and max(values) > 0.5:
                choice[c] = values.index(max(values))
        return choice, answer.bound / _MICRO


def solve_program(segment: Segment, limit_s: float, start: Choice | None = None) -> Solution:
    """Return the best choice found for the segment with its bound, `start` or a greedy one if none.

    Without time (`limit_s`), the bound is what writing the roots takes at least.
    """
    start_s = time.perf_counter()
    best = improved(segment, greedy(segment) if start is None else start, _MAX_EXCHANGES)
    best_s = time_s(segment, best)
    bound_s = sum(min(k.time_s for k in segment.options[r]) for r in segment.roots)
    if best_s <= bound_s * (1 + 1e-12) or limit_s <= 0:
        return Solution(best, best_s, min(bound_s, best_s))
    model = _Model(segment)
    while (left := limit_s - (time.perf_counter() - start_s)) > 0:
        choice, new_bound_s = model.solve(None if segment.in_cycle else best, left)
        bound_s = max(bound_s, new_bound_s)
        if choice is None:
            break
        chosen = used(segment, choice)
        if chosen is not None:
            if time_s(segment, chosen) < best_s:
                best, best_s = chosen, time_s(segment, chosen)
            break
        model.forbid_circle(_circle(segment, choice))
    return Solution(best, best_s, min(bound_s, best_s))


def _circle(segment: Segment, choice: Mapping[int, int]) -> list[int]:
    """Return classes that read each other in a circle under `choice`."""
    path: list[int] = []
    on_path: set[int] = set()
    done: set[int] = set()

    def visit(c: int) -> list[int] | None:
        stack = [(c, iter(segment.needs[c][choice[c]]))]
        path.append(c)
        on_path.add(c)
        while stack:
            x = next(stack[-1][1], None)
            if x is None:
                stack.pop()
                left = path.pop()
                on_path.discard(left)
                done.add(left)
            elif x in on_path:
                return path[path.index(x) :]
            elif x not in done and x in choice:
                stack.append((x, iter(segment.needs[x][choice[x]])))
                path.append(x)
                on_path.add(x)
        return None

    for r in segment.roots:
        if r not in done and (circle := visit(r)) is not None:
            return circle
    raise AssertionError("a choice that is not usable must go in a circle")
