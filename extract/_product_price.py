"""What a product or convolution costs, tiled and packed as the contraction template does it.

The constants were measured by benchmarks/calibrate.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from eqsat.extract._profile import DeviceProfile

# Vectors along n of a register tile, and rows of one, that lowering considers.
_PANEL_VECTORS = (1, 2, 3, 4, 6)
_MOST_ROWS = 24
# Steps of k that starting and storing a register tile cost.
_TILE_START = 6.0
# Cycles that packing one vector of elements takes: neighbours in memory, and not.
_PACK_CYCLES = 4.0
_GATHER_CYCLES = 16.0
# The part of its rate that a window kernel keeps where its windows lie apart, and where it takes
# the largest element instead of adding.
_STRIDED = 0.4
_MAXIMUM = 0.3
# How much longer a product takes whose rows are windows of an image with channels last: 1.15 to 2.9
# times, the more the fewer output channels there are.
_WINDOW_ROWS = 2.0
# Vectors of the block of pixels that a task packs.
_BLOCK_VECTORS = 8


@dataclass(frozen=True, slots=True)
class Product:
    """`batch` products of m × k by k × n, n the axis along which the result is contiguous.

    A convolution has m = output channels, n = output pixels of one image, k = channels × window,
    and each image and group is a product of its own. `run` neighbours along n are neighbours in
    the second operand too. `has_window_rows`: the first operand's rows are windows of an image.
    """

    batch: int
    m: int
    n: int
    k: int
    run: int
    has_window_rows: bool = False

    @property
    def flops(self) -> float:
        """Multiplications and additions."""
        return 2.0 * self.batch * self.m * self.n * self.k


@dataclass(frozen=True, slots=True)
class Tile:
    """A register tile: rows, vectors, and its time relative to full use of the multipliers."""

    rows: int
    vectors: int
    slowdown: float


@lru_cache(maxsize=4096)
def best_tile(m: int, n: int, lanes: int, registers: int) -> Tile:
    """Return the register tile of least padded work."""
    budget = registers - (3 if registers >= 32 else 4)
    num_vectors = max(1, ceil(n / lanes))
    best = Tile(1, 1, float("inf"))
    for vectors in _PANEL_VECTORS:
        if vectors > num_vectors and vectors > 1:
            break
        most = max(1, min(_MOST_ROWS, m, budget // vectors))
        rows = ceil(m / ceil(m / most))
        # Two multiply-adds and two loads a cycle; fewer than 8 in flight wait for each other.
        cycles = max(rows * vectors / 2, (rows + vectors) / 2, 4.0)
        panels, tail = divmod(num_vectors, vectors)
        last = max(rows * tail / 2, (rows + tail) / 2, 4.0) if tail else 0.0
        along_n = panels * cycles + last
        slowdown = ceil(m / rows) * along_n * 2 * lanes / (m * n)
        if slowdown < best.slowdown:
            best = Tile(rows, vectors, slowdown)
    return best


def product_s(p: Product, profile: DeviceProfile, element_bytes: float, *, packs: bool) -> float:
    """Return the seconds of a product, over all threads.

    `packs`: the second operand is not known before the run, so each call brings it into panels.
    """
    if 0 in (p.batch, p.m, p.n, p.k):
        return 0.0
    element_bytes = max(4.0, element_bytes)  # narrower ones are computed as f32
    lanes = max(1, int(profile.vector_bits / 8 / element_bytes))
    padded = _padded(p, lanes)
    tile = best_tile(p.m, padded, lanes, profile.num_vector_registers)
    threads = profile.num_threads
    peak = profile.fma_flops_per_s * (4.0 / element_bytes)
    reached = profile.efficiency["contraction"]
    tasks = p.batch * ceil(p.m / tile.rows) * ceil(p.n / lanes / tile.vectors)
    uneven = ceil(tasks / threads) * threads / tasks
    started = (p.k + _TILE_START) / p.k
    flops = 2.0 * p.batch * p.m * padded * p.k
    arithmetic = flops * tile.slowdown * uneven * started / (peak * reached)
    if p.has_window_rows:
        arithmetic *= _WINDOW_ROWS
    return arithmetic + (_packing_s(p, lanes, peak) if packs else 0.0)


def window_s(
    flops: float,
    width: int,
    profile: DeviceProfile,
    *,
    is_strided: bool,
    is_maximum: bool,
) -> float:
    """Return the seconds of a window kernel whose rows of results are `width` long."""
    lanes = profile.vector_bits // 32
    part = width / (ceil(width / lanes) * lanes) if width > 0 else 1.0
    part *= (_STRIDED if is_strided else 1.0) * (_MAXIMUM if is_maximum else 1.0)
    return flops / (profile.fma_flops_per_s * profile.efficiency["window"] * part)


def _padded(p: Product, lanes: int) -> int:
    """Return n with blocks of whole rows of pixels filled up to whole vectors."""
    rows = p.n // max(1, p.run)
    if rows <= 1 or p.run == 1:
        return p.n
    most = max(1, min(rows, _BLOCK_VECTORS * lanes // p.run))
    block = next(r for r in range(most, 0, -1) if rows % r == 0) * p.run
    return p.n // block * (ceil(block / lanes) * lanes)


def _packing_s(p: Product, lanes: int, peak: float) -> float:
    if p.m <= 4 and p.run >= lanes:
        return 0.0  # read in place
    run = max(1, p.run)
    if run > 1:
        vectors = p.batch * p.k * ceil(p.n / run) * ceil(run / lanes)
        cycles = vectors * _PACK_CYCLES
    else:
        cycles = p.batch * p.k * p.n / lanes * _GATHER_CYCLES
    per_s = peak / (4.0 * lanes)  # cycles of all threads
    return cycles / per_s
