"""The best cover of one segment that can be found and proved with a given effort."""

from __future__ import annotations

import time
from dataclasses import replace

from eqsat.extract._frontier import Found, Frontier, Orders
from eqsat.extract._greedy import Solution
from eqsat.extract._ilp import solve_program
from eqsat.extract._segments import Segment

# Sets kept by a pass: first to try every order, then with the best of them until the gap is closed.
_FIRST_WIDTH = 32
_WIDTHS = (256, 1024, 4096)
# Far below the percent that is promised.
_GAP_WANTED = 2e-3
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
    if best.is_exact:
        return _solution(best, best.time_s)
    bound_s = frontier.bound_s(_FIRST_WIDTH, best.time_s)
    for width in _WIDTHS:
        if best.time_s - bound_s <= _GAP_WANTED * best.time_s or time.perf_counter() >= until_s:
            break
        found = frontier.cover(width)
        if found.time_s < best.time_s or found.is_exact:
            best = found
        if best.is_exact:
            return _solution(best, best.time_s)
        bound_s = max(bound_s, frontier.bound_s(width, best.time_s))
    solution = _solution(best, bound_s)
    left_s = until_s - time.perf_counter()
    if best.time_s - bound_s <= _GAP_ALLOWED * best.time_s or left_s <= 0:
        return solution
    proved = solve_program(segment, left_s, solution.choice)
    return replace(proved, bound_s=max(proved.bound_s, min(bound_s, proved.time_s)))


def ranked(segment: Segment, count: int) -> list[Solution]:
    """Return up to `count` choices for the segment, the best first; not all better ones are met."""
    if segment.in_cycle:
        return [solve(segment, 0.5)]
    _, frontier = _first(segment)
    found = frontier.ranked(4 * _FIRST_WIDTH, count)
    return [_solution(f, 0.0) for f in found]


def _solution(found: Found, bound_s: float) -> Solution:
    return Solution(found.choice, found.time_s, min(bound_s, found.time_s))


def _first(segment: Segment) -> tuple[Found, Frontier]:
    """Return the best cover of a narrow pass, and the order that had the least to look at."""
    frontiers = [Frontier(segment, order) for order in Orders(segment).all()]
    found = [f.cover(_FIRST_WIDTH) for f in frontiers]
    easiest = min(range(len(found)), key=lambda i: (not found[i].is_exact, found[i].num_states, i))
    best = min(found, key=lambda f: (not f.is_exact, f.time_s))
    return best, frontiers[easiest]
