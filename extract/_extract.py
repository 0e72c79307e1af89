"""From a snapshot to the cheapest cover found, its proven bound, and the next best programs."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from eqsat._snapshot import CONSTANT, ClassId, Cover, ENode, Kernel, Snapshot
from eqsat.extract._candidate import Candidate
from eqsat.extract._candidates import CandidateGrower
from eqsat.extract._forms import prepare
from eqsat.extract._graph import ExtractError, Graph
from eqsat.extract._greedy import Solution, greedy, time_s
from eqsat.extract._profile import DeviceProfile
from eqsat.extract._segments import Segment, split
from eqsat.extract._sizes import Sizes
from eqsat.extract._solve import ranked, solve

DEFAULT_TIME_LIMIT_S = 3.0
Progress = Callable[[float], None]
"""progress(fraction): called while it works."""

# Solutions looked at per segment, and combinations of them, in a search for variants.
_RANKED_PER_SEGMENT = 16
_MAX_COMBINATIONS = 512


def extract(
    snapshot: Snapshot,
    profile: DeviceProfile,
    sizes: Sizes,
    *,
    time_limit_s: float = DEFAULT_TIME_LIMIT_S,
    progress: Progress | None = None,
) -> Cover:
    """Return the cheapest cover found: never dearer than the program itself, fused or not.

    The choice among the candidates that were grown takes about `time_limit_s` at most.

    Raises:
        ExtractError: an output cannot be computed, or what must stand in memory is no tensor.
        ShapeError: a symbol has no representative size.
    """
    tell = progress or _silent
    tell(0.0)
    graph = prepare(snapshot, profile, sizes)
    segments = split(CandidateGrower(graph).run(), graph.outputs)
    solver = _Solver(time.perf_counter() + time_limit_s)
    solutions: dict[int, Solution] = {}
    # The small ones first, so that a large one cannot take their time.
    for i in sorted(range(len(segments)), key=lambda i: segments[i].num_options):
        tell(0.3 + 0.6 * len(solutions) / len(segments))
        solutions[i] = solver.solution(segments[i])
    best = _cover(graph, segments, [solutions[i] for i in range(len(segments))])
    # The program's own e-nodes, fused: what no rewrite would have given.
    own = _program_cover(snapshot, profile, sizes)
    if own.time_s < best.time_s:
        best = Cover(own.kernels, own.time_s, min(best.bound_s, own.time_s))
    tell(1.0)
    return best


def _silent(fraction: float) -> None:
    """Show nothing."""


def input_cover(snapshot: Snapshot, profile: DeviceProfile, sizes: Sizes) -> Cover:
    """Return the program as it came, each of its operators a kernel of its own.

    Where saturation has removed an e-node of the program, its first equal form stands in.
    """
    return _quick_cover(_program_graph(snapshot, profile, sizes), fuses=False)


def variants(snapshot: Snapshot, profile: DeviceProfile, sizes: Sizes, k: int) -> list[Cover]:
    """Return up to `k` programs of different structure, the cheapest first.

    Two programs differ in structure where their kernels hold other operators or are cut otherwise.
    Repeated parts of a program (equal layers) are varied together.
    """
    best = extract(snapshot, profile, sizes)
    graph = prepare(snapshot, profile, sizes)
    candidates = CandidateGrower(graph).run()
    solver = _Solver(time.perf_counter() + DEFAULT_TIME_LIMIT_S)
    parts = split(candidates, graph.outputs)
    chosen = _chosen(parts, [solver.solution(s) for s in parts])
    segments = split(candidates, graph.outputs, reduce=False)
    starts = [_translated(s, chosen) for s in segments]
    groups: dict[object, list[int]] = {}
    for i, segment in enumerate(segments):
        groups.setdefault((segment.key(), tuple(starts[i].items())), []).append(i)
    members = list(groups.values())
    choices = [ranked(segments[m[0]], starts[m[0]], _RANKED_PER_SEGMENT) for m in members]
    found = [best]
    seen = {structure(best)}
    copies = [len(m) for m in members]
    for ranks in islice(_cheapest_first(choices, copies), _MAX_COMBINATIONS):
        if len(found) == k:
            break
        picked: dict[int, Solution] = {}
        for m, solutions, rank in zip(members, choices, ranks, strict=True):
            picked.update(dict.fromkeys(m, solutions[rank]))
        solutions = _completed(graph, segments, [picked[i] for i in range(len(segments))])
        cover = _cover(graph, segments, solutions)
        signature = structure(cover)
        if signature not in seen:
            seen.add(signature)
            found.append(cover)
    for cover in _plain_covers(snapshot, profile, sizes) if len(found) < k else ():
        if structure(cover) not in seen:
            seen.add(structure(cover))
            found.append(cover)
    return sorted(found, key=lambda c: c.time_s)[:k]


def _plain_covers(snapshot: Snapshot, profile: DeviceProfile, sizes: Sizes) -> Iterator[Cover]:
    """Yield programs that pruning leaves out: less fused, or not rewritten."""
    yield _program_cover(snapshot, profile, sizes)
    yield _quick_cover(prepare(snapshot, profile, sizes), fuses=False)
    yield input_cover(snapshot, profile, sizes)


def structure(cover: Cover) -> object:
    """Return a value that is equal for covers with the same operators cut in the same way.

    Views of memory that stays where it is do not count: nothing runs for them.
    """
    kernels = Counter(
        (k.template, tuple(sorted(Counter(n.op for n in k.nodes.values()).items())), len(k.leaves))
        for k in cover.kernels
        if not k.is_alias
    )
    return frozenset(kernels.items())


class _Solver:
    """Solves each distinct segment once, within one deadline for all."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._known: dict[object, Solution] = {}

    def solution(self, segment: Segment) -> Solution:
        key = segment.key()
        if key not in self._known:
            self._known[key] = solve(segment, self._deadline_s - time.perf_counter())
        return self._known[key]


def _cheapest_first(
    choices: Sequence[Sequence[Solution]], copies: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """Yield one rank per distinct segment, in increasing total time of all copies."""
    first = tuple(0 for _ in choices)
    total = sum(s[0].time_s * n for s, n in zip(choices, copies, strict=True))
    queue: list[tuple[float, tuple[int, ...]]] = [(total, first)]
    seen = {first}
    while queue:
        total, ranks = heapq.heappop(queue)
        yield ranks
        for i, (solutions, n) in enumerate(zip(choices, copies, strict=True)):
            following = (*ranks[:i], ranks[i] + 1, *ranks[i + 1 :])
            if following in seen or following[i] == len(solutions):
                continue
            seen.add(following)
            more = solutions[following[i]].time_s - solutions[ranks[i]].time_s
            heapq.heappush(queue, (total + n * more, following))


def _program_graph(snapshot: Snapshot, profile: DeviceProfile, sizes: Sizes) -> Graph:
    """Return the graph of the program's own e-nodes, and of others only where one has none."""
    own = {c for c, e in snapshot.classes.items() if any(n.rule == "" for n in e.nodes)}
    node_class = {id(n): c for c, e in snapshot.classes.items() for n in e.nodes}
    try:
        return prepare(
            snapshot, profile, sizes, lambda n: n.rule == "" or node_class[id(n)] not in own
        )
    except ExtractError:
        # Unions can leave the program's own e-nodes in a circle; a way round it stands in.
        return prepare(snapshot, profile, sizes)


def _program_cover(snapshot: Snapshot, profile: DeviceProfile, sizes: Sizes) -> Cover:
    """Return the program itself, fused, or unfused where that is cheaper."""
    graph = _program_graph(snapshot, profile, sizes)
    covers = (_quick_cover(graph, fuses=True), _quick_cover(graph, fuses=False))
    return min(covers, key=lambda c: c.time_s)


def _quick_cover(graph: Graph, *, fuses: bool) -> Cover:
    segments = split(CandidateGrower(graph, fuses=fuses).run(), graph.outputs)
    solver = _Solver(0.0)
    return _cover(graph, segments, [solver.solution(s) for s in segments])


def _cover(graph: Graph, segments: Sequence[Segment], solutions: Sequence[Solution]) -> Cover:
    chosen = _chosen(segments, solutions)
    order = _launch_order(chosen, graph.outputs)
    _check_order(graph, chosen, order)
    kernels = tuple(_kernel(graph, chosen[c]) for c in order)
    total = sum(k.time_s for k in kernels)
    bound = sum(s.bound_s for s in solutions)
    return Cover(kernels, total, min(bound, total))


def _chosen(segments: Sequence[Segment], solutions: Sequence[Solution]) -> dict[int, Candidate]:
    """Return the chosen kernel of every class that is written."""
    chosen: dict[int, Candidate] = {}
    for segment, solution in zip(segments, solutions, strict=True):
        for c, i in solution.choice.items():
            chosen.update({k.root: k for k in segment.options[c][i].kernels})
    return chosen


def _completed(
    graph: Graph, segments: Sequence[Segment], solutions: Sequence[Solution]
) -> list[Solution]:
    """Return `solutions` with a choice also for the segments that only another kernel now needs."""
    complete = list(solutions)
    home = {c: i for i, s in enumerate(segments) for c in s.classes}
    while True:
        chosen = _chosen(segments, complete)
        needed = {c for k in chosen.values() for c in k.needs} - set(chosen)
        open_ends = {home[c] for c in needed if not graph.classes[c].is_available}
        if not open_ends:
            return complete
        for i in open_ends:
            choice = {**greedy(segments[i]), **complete[i].choice}
            complete[i] = Solution(choice, time_s(segments[i], choice), 0.0)


def _translated(segment: Segment, chosen: Mapping[int, Candidate]) -> dict[int, int]:
    """Return the choice of a segment that is not reduced which picks the chosen kernels."""
    return {
        i: next(n for n, o in enumerate(options) if o.kernels == (chosen[c],))
        for i, (c, options) in enumerate(zip(segment.classes, segment.options, strict=True))
        if c in chosen
    }


def _launch_order(chosen: Mapping[int, Candidate], outputs: Sequence[int]) -> list[int]:
    done: dict[int, None] = {}
    stack = [(o, False) for o in reversed(outputs)]
    while stack:
        c, is_left = stack.pop()
        if is_left:
            done[c] = None
        elif c in chosen and c not in done:
            stack.append((c, True))
            stack.extend((x, False) for x in sorted(chosen[c].needs, reverse=True) if x not in done)
    return list(done)


def _check_order(graph: Graph, chosen: Mapping[int, Candidate], order: Sequence[int]) -> None:
    """Make sure that every kernel finds what it reads, and that the outputs are written."""
    written = {c for c, k in enumerate(graph.classes) if k.is_available}
    for c in order:
        assert chosen[c].needs <= written, f"the kernel of class {c} reads what is not written"
        written.add(c)
    assert written >= set(graph.outputs), "an output is not written"


def _kernel(graph: Graph, k: Candidate) -> Kernel:
    classes = graph.classes
    nodes: dict[ClassId, ENode] = {}
    for form in k.interior.values():
        nodes.update(form.parts)
    leaves: dict[ClassId, None] = {classes[i].id: None for i, _ in k.reads}
    for form in k.interior.values():
        for scalar in graph.tensor_children(form.parts):
            if not classes[graph.number[scalar]].is_absorbed:
                continue
            literal = _literal(graph.snapshot, scalar)
            if literal is None:
                leaves[scalar] = None
            else:
                nodes[scalar] = literal
    return Kernel(classes[k.root].id, nodes, tuple(leaves), k.template, k.time_s)


def _literal(snapshot: Snapshot, c: ClassId) -> ENode | None:
    return next((n for n in snapshot.classes[c].nodes if n.op == CONSTANT), None)
