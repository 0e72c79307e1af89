"""The cheapest cover of an acyclic segment, found reader by reader.

Classes are settled readers first. What is left to do then depends only on which of the unsettled
classes are needed, so of all choices that need the same ones the cheapest is enough. Keeping the
best sets alone gives a cover; merging the others, so that they need only what all of them need,
gives a bound. Where neither was necessary, the cover is optimal.

Between two layers of a network few sets are left. A layer that starts from the same sets as an
equal one before it ends with the same sets too, so equal layers are settled once.

Source: Bergman, Cire, van Hoeve, Hooker, Decision Diagrams for Optimization, 2016 (restricted and
relaxed diagrams).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest

from eqsat.extract._greedy import Choice, time_s
from eqsat.extract._segments import Segment

# Comparing every pair of sets would take longer than carrying those that the best ones beat.
_COMPARED = 1024

# What a pass keeps after it has looked at as many sets as it may.
_LAST_WIDTH = 32
# So many times what a pass keeps is compared at most.
_TRIMMED = 8

# Where no more sets than this are left a block ends.
_NARROW = 16
# Times are whole numbers, so that their sums are the same in every layer.
_UNIT_S = 1e-15

_Link = tuple["_Link", int, int] | int
"""The choices made in a block: those before, a step and its option; first the set it came from."""

_States = dict[int, tuple[int, _Link]]
"""Needed classes, as bits → the least time that leads there, and by which choices.

The roots are needed in any case and have no bits.
"""


@dataclass(frozen=True, eq=False, slots=True)
class _Block:
    """Steps `start` up to `end`, and the sets that are left then; times count from the start."""

    start: int
    end: int
    states: _States
    is_exact: bool
    num_states: int


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
        roots = set(segment.roots)
        bit.update(dict.fromkeys(roots, 0))
        self._is_root = [c in roots for c in self._order]
        self._options: list[list[tuple[int, int, int]]] = []
        for c in self._order:
            rows = zip(segment.needs[c], segment.options[c], strict=True)
            self._options.append(
                [
                    (sum(bit[x] for x in needs), round(o.time_s / _UNIT_S), i)
                    for i, (needs, o) in enumerate(rows)
                ]
            )
        self._least = [min(t for _, t, _ in options) for options in self._options]
        # Steps are equal that do the same relative to where they stand.
        numbers: dict[object, int] = {}
        self._kind = [
            numbers.setdefault((root, tuple((n << step, t) for n, t, _ in options)), len(numbers))
            for step, (root, options) in enumerate(zip(self._is_root, self._options, strict=True))
        ]

    def cover(self, width: int, max_states: int) -> Found:
        """Return the best cover among those that a pass keeping `width` sets comes upon.

        After `max_states` sets in all it goes on with few.
        """
        known: dict[object, _Block] = {}
        passed: list[tuple[int, _Block]] = []
        least: dict[int, int] = {0: 0}
        step = total = 0
        while step < len(self._order):
            first = min(least.values())
            key = frozenset((m << step, t - first) for m, t in least.items())
            block = known.get(key)
            if block is None or not self._repeats(block, step):
                states: _States = {m: (t - first, m) for m, t in least.items()}
                block = known[key] = self._block(states, step, width, max_states - total)
                total += block.num_states
            shift = step - block.start
            passed.append((shift, block))
            least = {m >> shift: first + t for m, (t, _) in block.states.items()}
            step += block.end - block.start
        choice = self._choice(passed)
        is_exact = all(block.is_exact for _, block in passed)
        return Found(choice, time_s(self._segment, choice), is_exact, total)

    def _repeats(self, block: _Block, step: int) -> bool:
        """Tell whether the steps from `step` on are those of the block."""
        end = step + block.end - block.start
        return self._kind[step:end] == self._kind[block.start : block.end]

    def _block(self, states: _States, start: int, width: int, max_states: int) -> _Block:
        """Return the block from `start` to where few sets are left."""
        step, total, is_exact = start, 0, True
        narrow = min(_NARROW, width)
        while step < len(self._order) and (step == start or len(states) > narrow):
            states = self._settled(states, step)
            step += 1
            total += len(states)
            if total > max_states:
                width = min(width, _LAST_WIDTH)
            if len(states) > narrow:
                few = _undominated(self._best(states, _TRIMMED * width))
                is_exact = is_exact and len(states) <= _TRIMMED * width and len(few) <= width
                states = self._best(few, width)
        return _Block(start, step, states, is_exact, total)

    def _choice(self, passed: Sequence[tuple[int, _Block]]) -> Choice:
        """Return the choice that led through the blocks, each moved on by some steps."""
        choice: Choice = {}
        mask = 0
        for shift, block in reversed(passed):
            _, link = block.states[mask << shift]
            while isinstance(link, tuple):
                link, step, i = link
                choice[self._order[step + shift]] = i
            mask = link >> shift
        return dict(sorted(choice.items()))

    def bound_s(self, width: int, known_s: float) -> float:
        """Return a time that no cover beats; a cover of `known_s` is known."""
        states: _States = {0: (0, 0)}
        for step in range(len(self._order)):
            states = self._settled(states, step, with_links=False)
            states = {m: s for m, s in states.items() if s[0] * _UNIT_S <= known_s}
            if len(states) > width:
                states = self._merged(_undominated(states), width)
        return min((t * _UNIT_S for t, _ in states.values()), default=known_s)

    def _settled(self, states: _States, step: int, *, with_links: bool = True) -> _States:
        """Return the sets after those that need the class of `step` write it in each way."""
        bit = 1 << len(self._order) - 1 - step
        is_root = self._is_root[step]
        new: _States = {}
        for mask, (total, link) in states.items():
            if not (is_root or mask & bit):
                if mask not in new or total < new[mask][0]:
                    new[mask] = (total, link)
                continue
            rest = mask & ~bit
            for needs, time, i in self._options[step]:
                following = rest | needs
                reached = total + time
                if following not in new or reached < new[following][0]:
                    new[following] = (reached, (link, step, i) if with_links else 0)
        return new

    def _best(self, states: _States, width: int) -> _States:
        """Return the sets of least time, the least that each still takes added."""
        if len(states) <= width:
            return states
        return dict(nsmallest(width, states.items(), key=lambda kv: (self._estimate(kv), kv[0])))

    def _estimate(self, item: tuple[int, tuple[int, _Link]]) -> int:
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
                kept[common] = (least, 0)
        return kept


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
