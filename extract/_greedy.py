"""Greedy choice of kernels, each class counted once, and its improvement by single exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eqsat.extract._segments import Segment

Choice = dict[int, int]
"""Position of a class in its segment → which of its options."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A choice for one segment with its time and a time that no choice beats."""

    choice: Mapping[int, int]
    time_s: float
    bound_s: float


def used(segment: Segment, choice: Mapping[int, int]) -> Choice | None:
    """Return the part of `choice` that the roots need; None if incomplete or in a circle."""
    state: dict[int, bool] = {}  # False while its needs are being visited
    stack = [(r, False) for r in reversed(segment.roots)]
    while stack:
        c, is_left = stack.pop()
        if is_left:
            state[c] = True
            continue
        if c in state:
            if not state[c]:
                return None
            continue
        if c not in choice:
            return None
        state[c] = False
        stack.append((c, True))
        below = segment.needs[c][choice[c]]
        stack.extend((x, False) for x in below if not state.get(x, False))
    return {c: choice[c] for c in sorted(state)}


def time_s(segment: Segment, choice: Mapping[int, int]) -> float:
    """Return the time of the chosen kernels."""
    return sum(segment.options[c][i].time_s for c, i in choice.items())


def greedy(segment: Segment) -> Choice:
    """Return a choice found bottom-up: what takes least time with all below it, shared ones once.

    Classes are settled in the order in which all that they read is settled; in a cycle the cheapest
    first, so that the choice never goes in a circle.
    """
    settled: Choice = {}
    below: dict[int, frozenset[int]] = {}
    order = range(len(segment.classes))
    waiting = dict.fromkeys(order)
    while waiting:
        ready = [c for c in waiting if segment.in_cycle or _is_ready(segment, c, below)]
        found = {c: best for c in ready if (best := _best(segment, c, settled, below)) is not None}
        if not found:
            break
        if segment.in_cycle:
            first = min(found, key=lambda c: (found[c][0], c))
            found = {first: found[first]}
        for c, (_, i, reached) in found.items():
            settled[c] = i
            below[c] = reached
            del waiting[c]
    return settled


def _is_ready(segment: Segment, c: int, below: Mapping[int, frozenset[int]]) -> bool:
    return all(x in below for needs in segment.needs[c] for x in needs)


def _best(
    segment: Segment, c: int, settled: Choice, below: Mapping[int, frozenset[int]]
) -> tuple[float, int, frozenset[int]] | None:
    best: tuple[float, int, frozenset[int]] | None = None
    for i, needs in enumerate(segment.needs[c]):
        if not all(x in below for x in needs):
            continue
        reached = frozenset({c}).union(*[below[x] for x in needs])
        total = segment.options[c][i].time_s
        total += sum([segment.options[x][settled[x]].time_s for x in reached if x != c])
        if best is None or total < best[0]:
            best = (total, i, reached)
    return best


def improved(segment: Segment, start: Choice, max_tries: int) -> Choice:
    """Return `start` improved by exchanging one kernel at a time, with at most `max_tries` tries.

    Raises:
        AssertionError: `start` is no solution.
    """
    best = used(segment, start)
    assert best is not None, "the greedy choice does not cover the segment"
    full, best_s = dict(start), time_s(segment, best)
    is_better = True
    while is_better and max_tries > 0:
        is_better = False
        for c in list(best):
            for i in range(len(segment.options[c])):
                max_tries -= 1
                tried = {**full, c: i}
                chosen = used(segment, tried) if max_tries >= 0 else None
                if chosen is None:
                    continue
                total = time_s(segment, chosen)
                if total < best_s * (1 - 1e-9):
                    full, best, best_s, is_better = tried, chosen, total, True
    return best
