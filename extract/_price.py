"""What a kernel costs: a roofline over what it reads, writes and computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eqsat.extract._form import Form, Rows
from eqsat.extract._graph import Graph
from eqsat.extract._roofline import launched_s, moved_s
from eqsat.rules.fusion import Template

# A view of memory that stays where it is: lowering makes no launch for it.
ALIAS_S = 1e-9


def kernel_time_s(
    graph: Graph,
    root: int,
    template: Template,
    reads: Sequence[tuple[int, float]],
    arithmetic_s: float,
) -> float:
    """Return the time of one kernel.

    Args:
        graph: the classes.
        root: the class written.
        template: how the kernel is lowered.
        reads: leaf classes with the bytes read of each.
        arithmetic_s: all its arithmetic, recomputation included.
    """
    profile, classes = graph.profile, graph.classes
    written = classes[root].num_bytes
    moving = sum([b for k, b in reads if not classes[k].is_constant])
    traffic_s = moved_s(profile, moving + written)
    constant = sum([b for k, b in reads if classes[k].is_constant])
    if constant:
        traffic_s += constant / graph.constant_bytes_per_s
    if template == "gather":
        traffic_s *= 1.5  # scattered
    return launched_s(profile, traffic_s, arithmetic_s)


def evaluations(
    graph: Graph, root: int, interior: Mapping[int, Form], rows: Rows | None
) -> dict[int, float]:
    """Return how many elements of each interior class are computed, repetitions included.

    Readers at the same index share one evaluation; readers through views and broadcasts each cause
    their own. In a row kernel (`rows`) a row and its statistics are computed once and kept.
    """
    order = _readers_first(root, interior)
    shared = dict.fromkeys(order, 0.0)
    own = dict.fromkeys(order, 0.0)
    shared[root] = float(graph.classes[root].elements)
    result: dict[int, float] = {}
    for c in order:
        form = interior[c]
        result[c] = shared[c] + own[c]
        shape, elements = graph.classes[c].shape, graph.classes[c].elements
        if rows is not None and (shape == rows.full or rows.is_statistic(shape)):
            result[c] = float(elements)
        repeats = result[c] / max(1, elements)
        for k, reads, is_aligned in zip(form.children, form.reads, form.aligned, strict=True):
            if k not in own:
                continue
            if is_aligned:
                shared[k] = max(shared[k], result[c])
            else:
                own[k] += reads * repeats
    return result


def _readers_first(root: int, interior: Mapping[int, Form]) -> list[int]:
    done: dict[int, None] = {}
    stack = [(root, False)]
    while stack:
        c, is_left = stack.pop()
        if is_left:
            done[c] = None
        elif c not in done:
            stack.append((c, True))
            stack.extend((k, False) for k in interior[c].children if k in interior)
    return list(reversed(done))


def exact_arithmetic_s(
    graph: Graph, root: int, interior: Mapping[int, Form], rows: Rows | None
) -> float:
    """Return the seconds of arithmetic of a kernel, recomputation included."""
    counts = evaluations(graph, root, interior, rows)
    return sum(f.fixed_s + f.element_s * counts[c] for c, f in interior.items())
