"""Places workspace buffers in one allocation so that buffers that live at once never overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eqsat.shapes import Dim, Facts, LessEqual, Proof, ceildiv, prove

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer of `num_bytes`, first written at launch `first`, last touched at `last`."""

    num_bytes: Dim
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Say whether both are alive at one time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The offset of every buffer, and the size of all."""

    offsets: Mapping[int, Dim]
    num_bytes: Dim


def aligned(num_bytes: Dim) -> Dim:
    """Return `num_bytes` rounded up to the alignment."""
    return ceildiv(num_bytes, ALIGNMENT) * ALIGNMENT


def plan_memory(lifetimes: Mapping[int, Lifetime], facts: Facts) -> MemoryPlan:
    """Return offsets in bytes, each a multiple of 64.

    Static sizes: greedy by size, best fit. A symbolic size shares a region only with buffers that
    are provably no larger than the region.
    """
    static: dict[int, Lifetime] = {}
    symbolic: dict[int, Lifetime] = {}
    for key, lifetime in lifetimes.items():
        (static if isinstance(lifetime.num_bytes, int) else symbolic)[key] = lifetime
    offsets, total = _plan_static(static)
    end: Dim = total
    for size, members in _regions(symbolic, facts):
        for key in members:
            offsets[key] = end
        end = end + aligned(size)
    return MemoryPlan(offsets, end)


def _plan_static(lifetimes: Mapping[int, Lifetime]) -> tuple[dict[int, Dim], int]:
    offsets: dict[int, Dim] = {}
    placed: list[tuple[int, int, Lifetime]] = []  # (offset, size, lifetime), by offset
    total = 0
    order = sorted(lifetimes, key=lambda k: (-_size(lifetimes[k]), lifetimes[k].first))
    for key in order:
        lifetime, size = lifetimes[key], _size(lifetimes[key])
        offset = _best_gap([p for p in placed if p[2].meets(lifetime)], size)
        offsets[key] = offset
        placed.append((offset, size, lifetime))
        placed.sort(key=lambda p: p[0])
        total = max(total, offset + size)
    return offsets, total


def _size(lifetime: Lifetime) -> int:
    size = aligned(lifetime.num_bytes)
    assert isinstance(size, int)
    return size


def _best_gap(neighbours: Sequence[tuple[int, int, Lifetime]], size: int) -> int:
    """Return the start of the tightest hole of at least `size`, else the end."""
    best: tuple[int, int] | None = None
    end = 0
    for offset, length, _ in neighbours:
        hole = offset - end
        if hole >= size and (best is None or hole < best[0]):
            best = (hole, end)
        end = max(end, offset + length)
    return end if best is None else best[1]


def _regions(lifetimes: Mapping[int, Lifetime], facts: Facts) -> list[tuple[Dim, list[int]]]:
    regions: list[tuple[Dim, list[int]]] = []
    for key in sorted(lifetimes, key=lambda k: lifetimes[k].first):
        lifetime = lifetimes[key]
        for i, (size, members) in enumerate(regions):
            if any(lifetimes[m].meets(lifetime) for m in members):
                continue
            if _fits(lifetime.num_bytes, size, facts):
                members.append(key)
                break
            if _fits(size, lifetime.num_bytes, facts):
                regions[i] = (lifetime.num_bytes, [*members, key])
                break
        else:
            regions.append((lifetime.num_bytes, [key]))
    return regions


def _fits(size: Dim, region: Dim, facts: Facts) -> bool:
    return size is region or prove(LessEqual(size, region), facts) is Proof.YES
