"""Splits the cover problem at the classes that every cover writes to memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eqsat.extract._candidate import Candidate
from eqsat.extract._form import Form
from eqsat.extract._order import components

# A class is worked into its only reader while the reader has no more options than this.
_MAX_OPTIONS = 32


@dataclass(frozen=True, eq=False, slots=True)
class Option:
    """One way to write a class: its kernel, and those of classes that only it reads."""

    kernels: tuple[Candidate, ...]
    time_s: float
    needs: frozenset[int]
    inside: tuple[tuple[int, Form], ...]

    def with_operand(self, operand: int, how: Option) -> Option:
        """Return this option with the class `operand` written by `how` on the way."""
        return Option(
            (*self.kernels, *how.kernels),
            self.time_s + how.time_s,
            (self.needs - {operand}) | how.needs,
            tuple(dict.fromkeys((*self.inside, *how.inside))),
        )


@dataclass(frozen=True, eq=False, slots=True)
class Segment:
    """A part of the cover problem that shares no choice with the others.

    Attributes:
        classes: class numbers, ascending; needs outside are written by other segments in any case.
        roots: positions in `classes` of what must be written.
        options: per class, the ways to write it.
        needs: per class and option, the positions that it reads.
        in_cycle: whether kernels of these classes can read each other in a circle.
    """

    classes: tuple[int, ...]
    roots: tuple[int, ...]
    options: tuple[tuple[Option, ...], ...]
    needs: tuple[tuple[tuple[int, ...], ...], ...]
    in_cycle: bool

    @property
    def num_options(self) -> int:
        """The options of all classes."""
        return sum(len(o) for o in self.options)

    def key(self) -> object:
        """Return a value that is equal for segments of the same structure and prices."""
        position = {c: i for i, c in enumerate(self.classes)}
        first_form: dict[int, int] = {}
        first_class: dict[int, int] = {}
        rows: list[object] = [self.roots]
        for options, needs in zip(self.options, self.needs, strict=True):
            for k, n in zip(options, needs, strict=True):
                inside = [
                    (
                        first_class.setdefault(c, len(first_class)),
                        position.get(c, -1),
                        first_form.setdefault(f.index, len(first_form)),
                        tuple(first_class.setdefault(x, len(first_class)) for x in f.children),
                    )
                    for c, f in k.inside
                ]
                rows.append((f"{k.time_s:.6e}", n, tuple(inside)))
            rows.append(None)
        return tuple(rows)


def split(
    candidates: Sequence[Sequence[Candidate]], outputs: Sequence[int], *, reduce: bool = True
) -> list[Segment]:
    """Return independent segments whose solutions together are a solution of the whole.

    A class that stands in every cover is written in any case, so reading it is free and choices
    above and below it do not touch. Dropping what is dominated, and working a class with one reader
    into it, leave the best cover as it is and make more classes unavoidable, the program tighter;
    without `reduce` all candidates stay, for those who look for more than the best.
    """
    options = [
        [Option((k,), k.time_s, k.needs, tuple(k.interior.items())) for k in ks]
        for ks in candidates
    ]
    while True:
        reached = _reached(options, outputs)
        groups = [
            g for g in components(len(options), lambda c: _below(options[c])) if g[0] in reached
        ]
        must = _must(options, groups)
        cyclic = {c for g in groups if len(g) > 1 for c in g}
        for c in cyclic:
            open_ones = [k for k in options[c] if not any(must[x] >> c & 1 for x in k.needs)]
            options[c] = open_ones or options[c]
        unavoidable = 0
        for o in outputs:
            unavoidable |= must[o]
        fixed = {c for c in reached if unavoidable >> c & 1}
        free = sorted(reached - cyclic)
        if not (reduce and _reduce(options, reached, free, fixed)):
            return _segments(options, groups, reached, fixed)


def _reduce(
    options: list[list[Option]], reached: set[int], free: Sequence[int], fixed: set[int]
) -> bool:
    """Drop what is dominated and work in what has one reader, again and again; tell if any was."""
    changes, before = 0, -1
    while changes != before:
        before = changes
        changes += sum(_drop_dominated(options, c, fixed) for c in free)
        changes += _work_in(options, reached, free, fixed)
    return changes > 0


def _work_in(
    options: list[list[Option]], reached: set[int], free: Sequence[int], fixed: set[int]
) -> int:
    """Work classes with one reader into the reader, where that stays small; return how many."""
    readers: dict[int, set[int]] = {}
    for r in reached:
        for k in options[r]:
            for c in k.needs:
                readers.setdefault(c, set()).add(r)
    allowed = set(free)
    count = 0
    for c in free:
        mine = readers.get(c, set())
        if c in fixed or len(mine) != 1 or not options[c]:
            continue
        (r,) = mine
        if r not in allowed:
            continue
        joined = [
            new
            for k in options[r]
            for new in ([k.with_operand(c, how) for how in options[c]] if c in k.needs else [k])
        ]
        joined = _undominated(joined, fixed)
        if len(joined) > _MAX_OPTIONS:
            continue
        options[r] = joined
        options[c] = []
        for x in {x for k in joined for x in k.needs}:
            readers.setdefault(x, set()).discard(c)
            readers[x].add(r)
        count += 1
    return count


def _below(options: Sequence[Option]) -> list[int]:
    return sorted({x for k in options for x in k.needs})


def _reached(options: Sequence[Sequence[Option]], outputs: Sequence[int]) -> set[int]:
    reached = set(outputs)
    stack = list(outputs)
    while stack:
        for k in options[stack.pop()]:
            for x in k.needs:
                if x not in reached:
                    reached.add(x)
                    stack.append(x)
    return reached


def _must(options: Sequence[Sequence[Option]], groups: Sequence[Sequence[int]]) -> dict[int, int]:
    """Return per class the set (as bits) of classes that every cover of it writes."""
    everything = (1 << len(options)) - 1
    must: dict[int, int] = {}
    for group in groups:
        must.update(dict.fromkeys(group, everything))
        changed = True
        while changed:
            changed = False
            for c in group:
                common = everything
                for k in options[c]:
                    union = 0
                    for x in k.needs:
                        union |= must[x]
                    common &= union
                common |= 1 << c
                if common != must[c]:
                    must[c] = common
                    changed = len(group) > 1
    return must


def _drop_dominated(options: list[list[Option]], c: int, fixed: set[int]) -> int:
    """Drop options that another beats with no more to be written for it; return how many."""
    kept = _undominated(options[c], fixed)
    dropped = len(options[c]) - len(kept)
    options[c] = kept
    return dropped


def _undominated(options: Sequence[Option], fixed: set[int]) -> list[Option]:
    kept: list[tuple[Option, frozenset[int]]] = []
    for k in sorted(options, key=lambda k: k.time_s):
        free = k.needs - fixed
        if not any(other <= free for _, other in kept):
            kept.append((k, free))
    return [k for k, _ in kept]


def _segments(
    options: Sequence[Sequence[Option]],
    groups: Sequence[Sequence[int]],
    reached: set[int],
    fixed: set[int],
) -> list[Segment]:
    parent = list(range(len(options)))

    def find(c: int) -> int:
        while parent[c] != c:
            parent[c] = parent[parent[c]]
            c = parent[c]
        return c

    for group in groups:
        for c in group[1:]:
            parent[find(c)] = find(group[0])
    for c in sorted(reached):
        for k in options[c]:
            for x in k.needs:
                if x not in fixed:
                    parent[find(x)] = find(c)
    cyclic = {c for g in groups if len(g) > 1 for c in g}
    members: dict[int, list[int]] = {}
    for c in sorted(reached):
        if options[c]:
            members.setdefault(find(c), []).append(c)
    found = [_segment(options, m, fixed, any(c in cyclic for c in m)) for m in members.values()]
    return sorted(found, key=lambda s: s.classes)


def _segment(
    options: Sequence[Sequence[Option]], members: list[int], fixed: set[int], in_cycle: bool
) -> Segment:
    position = {c: i for i, c in enumerate(members)}
    needs = tuple(
        tuple(
            tuple(
                sorted(
                    position[x] for x in k.needs if x in position and (in_cycle or x not in fixed)
                )
            )
            for k in options[c]
        )
        for c in members
    )
    return Segment(
        tuple(members),
        tuple(i for i, c in enumerate(members) if c in fixed),
        tuple(tuple(options[c]) for c in members),
        needs,
        in_cycle,
    )
