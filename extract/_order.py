"""Strongly connected components, and what stands on every way to a class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def components(count: int, successors: Callable[[int], Iterable[int]]) -> list[list[int]]:
    """Return the strongly connected components of 0 … count-1, successors' components first.

    Each component is sorted. Source: Tarjan 1972, without recursion.
    """
    index = [-1] * count
    low = [0] * count
    on_stack = [False] * count
    stack: list[int] = []
    found: list[list[int]] = []
    clock = 0
    for start in range(count):
        if index[start] >= 0:
            continue
        work = [(start, iter(successors(start)))]
        index[start] = low[start] = clock
        clock += 1
        stack.append(start)
        on_stack[start] = True
        while work:
            v, rest = work[-1]
            step = next((w for w in rest if index[w] < 0 or on_stack[w]), -1)
            if step >= 0 and index[step] < 0:
                index[step] = low[step] = clock
                clock += 1
                stack.append(step)
                on_stack[step] = True
                work.append((step, iter(successors(step))))
                continue
            if step >= 0:
                low[v] = min(low[v], index[step])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[v])
            if low[v] == index[v]:
                at = len(stack) - 1
                while stack[at] != v:
                    at -= 1
                found.append(sorted(stack[at:]))
                for w in stack[at:]:
                    on_stack[w] = False
                del stack[at:]
    return found


def required_sets(
    groups: Sequence[Sequence[int]], ways: Callable[[int], Iterable[Iterable[int]]]
) -> dict[int, int]:
    """Return per number the set, as bits, of those that stand on all its ways, itself included.

    Args:
        groups: the components, successors first.
        ways: per number, the sets of successors of which one is taken; without any, it is a leaf.
    """
    required: dict[int, int] = {}
    for group in groups:
        inside = set(group)
        required.update(dict.fromkeys(group, -1))
        is_open = True
        while is_open:
            is_open = False
            for c in group:
                common = -1
                has_ways = False
                for way in ways(c):
                    has_ways = True
                    union = 0
                    for x in way:
                        union |= required[x]
                    common &= union
                found = (common if has_ways else 0) | 1 << c
                if found != required[c]:
                    required[c] = found
                    is_open = len(inside) > 1
    return required
