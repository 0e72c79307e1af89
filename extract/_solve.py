"""The best cover of one segment that can be found and proved with a given effort."""

from __future__ import annotations

import time
from dataclasses import replace

from eqsat.extract._frontier import Found, Frontier, Orders
from eqsat.extract._greedy import Choice, Solution, greedy, time_s, used
from eqsat.extract._ilp import solve_program
from eqsat.extract._segments import Segment

# Sets kept by a pass: first to try every order, then with the best of them until nothing is cut.
_FIRST_WIDTH = 32
_WIDTHS = (256, 2048)
# What a pass may look at, for the whole and for each class: a long chain of layers takes as long as
# its layers take one by one.
_MAX_STATES = 60_000
_MAX_STATES_PER_CLASS = 300
# Exchanges tried where choices are ranked.
_MAX_EXCHANGES = 2000
# Worth the integer program.
_GAP_ALLOWED = 1e-2


def solve(segment: Segment, limit_s: float) -> Solution:
    """Return the best choice found for the segment with its bound.

    The effort is bounded by counts, so that the same segment gives the same choice every time; the
    clock stops it after `limit_s` between two steps only.
    """
    until_s = time.perf_counter() + limit_s
    if segment.in_cycle:
        return solve_program(segment, limit_s)
    best, frontier = _first(segment)
    for width in _WIDTHS:
        if best.is_exact or time.perf_counter() >= until_s:
            break
        found = frontier.cover(width, _max_states(segment))
        best = found if found.is_exact or found.time_s < best.time_s else best
    if best.is_exact:
        return _solution(best, best.time_s)
    solution = _solution(best, frontier.bound_s(_WIDTHS[0], best.time_s))
    left_s = until_s - time.perf_counter()
    if solution.time_s - solution.bound_s <= _GAP_ALLOWED * solution.time_s or left_s <= 0:
        return solution
    proved = solve_program(segment, left_s, best.choice)
    return replace(proved, bound_s=max(proved.bound_s, min(solution.bound_s, proved.time_s)))


def ranked(segment: Segment, start: Choice, count: int) -> list[Solution]:
    """Return `start` and up to `count` choices that differ in one class and what follows from it.

    The best come first. What a choice needs and `start` does not have is chosen greedily.
    """
    full = {**greedy(segment), **start}
    found = {tuple(start.items()): Solution(start, time_s(segment, start), 0.0)}
    exchanges = [(c, i) for c in start for i in range(len(segment.options[c]))]
    for c, i in exchanges[:: 1 + len(exchanges) // _MAX_EXCHANGES]:
        choice = used(segment, {**full, c: i})
        if choice is not None:
            found[tuple(choice.items())] = Solution(choice, time_s(segment, choice), 0.0)
    return sorted(found.values(), key=lambda s: s.time_s)[: count + 1]


def _max_states(segment: Segment) -> int:
    return _MAX_STATES + _MAX_STATES_PER_CLASS * len(segment.classes)


def _solution(found: Found, bound_s: float) -> Solution:
    return Solution(found.choice, found.time_s, min(bound_s, found.time_s))


def _first(segment: Segment) -> tuple[Found, Frontier]:
    """Return the best cover of a narrow pass, and the order that had the least to look at."""
    frontiers = [Frontier(segment, order) for order in Orders(segment).all()]
    found = [f.cover(_FIRST_WIDTH, _max_states(segment)) for f in frontiers]
    easiest = min(range(len(found)), key=lambda i: (not found[i].is_exact, found[i].num_states, i))
    best = min(found, key=lambda f: (not f.is_exact, f.time_s))
    return best, frontiers[easiest]
