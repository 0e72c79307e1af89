"""The cheapest cover of an acyclic segment, found reader by reader.

Classes are settled readers first. What is left to do then depends only on which of the unsettled
classes are needed, so of all choices that need the same ones the cheapest is enough. Keeping the
best sets alone gives a cover; merging the others, so that they need only what all of them need,
gives a bound. Where neither was necessary, the cover is optimal.

Source: Bergman, Cire, van Hoeve, Hooker, Decision Diagrams for Optimization, 2016 (restricted and
relaxed diagrams).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest

from eqsat.extract._greedy import Choice
from eqsat.extract._segments import Segment

# Comparing every pair of sets would take longer than carrying those that a few best ones beat.
_COMPARED = 128

# What a pass keeps after it has looked at as many sets as it may.
_LAST_WIDTH = 32
# So many times what a pass keeps is compared at most.
_TRIMMED = 8

_Link = tuple["_Link", int, int] | None
"""The choices made: those before, a class and its option."""

_States = dict[int, tuple[float, _Link]]
"""Needed classes, as bits → the least time that leads there, and by which choices."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best cover of a pass. `is_exact`: nothing was left out; `num_states`: sets looked at."""

    choice: Choice
    time_s: float
    is_exact: bool
    num_states: int


class Frontier:
    """A segment without cycles in an order in which its classes are settled."""

    def __init__(self, segment: Segment, order: Sequence[int]) -> None:
        self._segment = segment
        self._order = tuple(order)
        count = len(self._order)
        # The next to be settled is the highest bit: sets near in value have the near future alike.
        bit = {c: 1 << count - 1 - i for i, c in enumerate(self._order)}
        self._start = sum(bit[r] for r in segment.roots)
        self._options: list[list[tuple[int, float, int]]] = []
        for c in self._order:
            rows = zip(segment.needs[c], segment.options[c], strict=True)
            self._options.append(
                [(sum(bit[x] for x in needs), o.time_s, i) for i, (needs, o) in enumerate(rows)]
            )
        self._least = [min(t for _, t, _ in options) for options in self._options]

    def cover(self, width: int, max_states: int) -> Found:
        """Return the best cover among those that a pass keeping `width` sets comes upon.

        After `max_states` sets in all it goes on with few.
        """
        states: _States = {self._start: (0.0, None)}
        is_exact, total = True, 0
        for step in range(len(self._order)):
            states = self._settled(states, step)
            total += len(states)
            if total > max_states:
                width = min(width, _LAST_WIDTH)
            if len(states) > width:
                few = _undominated(self._best(states, _TRIMMED * width))
                is_exact = is_exact and len(states) <= _TRIMMED * width and len(few) <= width
                states = self._best(few, width)
        time_s, link = states[0]
        return Found(_choice(link), time_s, is_exact, total)

    def bound_s(self, width: int, known_s: float) -> float:
        """Return a time that no cover beats; a cover of `known_s` is known."""
        states: _States = {self._start: (0.0, None)}
        for step in range(len(self._order)):
            states = self._settled(states, step, with_links=False)
            states = {m: s for m, s in states.items() if s[0] <= known_s}
            if len(states) > width:
                states = self._merged(_undominated(states), width)
        return min((g for g, _ in states.values()), default=known_s)

    def _settled(self, states: _States, step: int, *, with_links: bool = True) -> _States:
        """Return the sets after those that need the class of `step` write it in each way."""
        c = self._order[step]
        bit = 1 << len(self._order) - 1 - step
        new: _States = {}
        for mask, (g, link) in states.items():
            if not mask & bit:
                if mask not in new or g < new[mask][0]:
                    new[mask] = (g, link)
                continue
            rest = mask ^ bit
            for needs, time_s, i in self._options[step]:
                following = rest | needs
                reached = g + time_s
                if following not in new or reached < new[following][0]:
                    new[following] = (reached, (link, c, i) if with_links else None)
        return new

    def _best(self, states: _States, width: int) -> _States:
        """Return the sets of least time, the least that each still takes added."""
        if len(states) <= width:
            return states
        return dict(nsmallest(width, states.items(), key=lambda kv: (self._estimate(kv), kv[0])))

    def _estimate(self, item: tuple[int, tuple[float, _Link]]) -> float:
        mask, (total, _) = item
        last = len(self._order) - 1
        while mask:
            high = mask.bit_length() - 1
            total += self._least[last - high]
            mask ^= 1 << high
        return total

    def _merged(self, states: _States, width: int) -> _States:
        """Return at most `width` sets: the best as they are, the others merged with near ones."""
        if len(states) <= width:
            return states
        kept = self._best(states, width // 2)
        others = sorted(m for m in states if m not in kept)
        size = -(-len(others) // (width - len(kept)))
        for i in range(0, len(others), size):
            group = others[i : i + size]
            common, least = group[0], min(states[m][0] for m in group)
            for m in group:
                common &= m
            if common not in kept or least < kept[common][0]:
                kept[common] = (least, None)
        return kept


def _choice(link: _Link) -> Choice:
    choice: Choice = {}
    while link is not None:
        link, c, i = link
        choice[c] = i
    return dict(sorted(choice.items()))


def _undominated(states: _States) -> _States:
    """Drop sets that need more than a cheaper one does; not all pairs are compared."""
    kept: _States = {}
    best: list[int] = []
    for mask, state in sorted(states.items(), key=lambda kv: (kv[1][0], kv[0])):
        outside = ~mask
        if any(not m & outside for m in best):
            continue
        kept[mask] = state
        if len(best) < _COMPARED:
            best.append(mask)
    return kept


class Orders:
    """The orders tried for a segment: readers always before what they read."""

    def __init__(self, segment: Segment) -> None:
        self._below = [sorted({x for k in needs for x in k}) for needs in segment.needs]
        self._num_readers = [0] * len(self._below)
        for below in self._below:
            for x in below:
                self._num_readers[x] += 1

    def all(self) -> list[list[int]]:
        """Return the orders: by distance from the start, and those that keep few classes open."""
        return [self._by_level, self._narrow(0.5), self._narrow(3.0)]

    @cached_property
    def _by_level(self) -> list[int]:
        level = [0] * len(self._below)
        for c in reversed(self._in_order(lambda _: 0.0)):
            level[c] = 1 + max((level[x] for x in self._below[c]), default=0)
        return sorted(range(len(level)), key=lambda c: (-level[c], -c))

    def _narrow(self, weight: float) -> list[int]:
        """Settle first what opens few classes and reads those open; `weight` of the latter."""
        is_open: set[int] = set()
        rank = {c: i for i, c in enumerate(self._by_level)}

        def growth(c: int) -> float:
            below = self._below[c]
            old = sum([x in is_open for x in below])
            return len(below) - old - (c in is_open) - weight * old + rank[c] * 1e-6

        def settle(c: int) -> None:
            is_open.discard(c)
            is_open.update(self._below[c])

        return self._in_order(growth, settle)

    def _in_order(
        self, key: Callable[[int], float], settle: Callable[[int], None] = lambda _: None
    ) -> list[int]:
        """Return the classes readers first, of those that may come next the least by `key`."""
        waiting = list(self._num_readers)
        ready = [c for c, n in enumerate(waiting) if not n]
        order: list[int] = []
        while ready:
            c = min(ready, key=key)
            ready.remove(c)
            order.append(c)
            settle(c)
            for x in self._below[c]:
                waiting[x] -= 1
                if not waiting[x]:
                    ready.append(x)
        return order
