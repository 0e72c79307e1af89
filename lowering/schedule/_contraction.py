"""Contractions, recognised and planned: C[o, m, n] = sum over k of A[o, m, k] * B[o, k, n].

`n` is the axis along which the output is contiguous: B is the operand that carries it, whatever the
operator calls it. A convolution has M = output channels, N = output pixels, K = (channels, window).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from eqsat.ir.tir import (
    Binary,
    Buffer,
    BufferLoad,
    Cast,
    IntImm,
    Intrinsic,
    PrimExpr,
    PrimFunc,
    Select,
    Var,
    walk,
)
from eqsat.lowering._target import Target
from eqsat.lowering.schedule._collapse import collapse_axes
from eqsat.lowering.schedule._emit import product_of, static
from eqsat.lowering.schedule._packing import can_evaluate
from eqsat.lowering.schedule._split_axis import shared_factor, split_axis
from eqsat.lowering.schedule._stages import read_stages
from eqsat.lowering.schedule._window import Fused, fuse_epilogue, refuse
from eqsat.shapes import EXACT_IN_FLOAT32

Mode = Literal["constant", "packed", "in_place"]


@dataclass(frozen=True, eq=False, slots=True)
class Contraction:
    """The normal form. `outer` axes are looped over outside; `m` is None for a vector times matrix.

    `num_columns` > 0 says that B's position along n is (n // num_columns, n % num_columns): rows of
    pixels, so B is copied row by row.
    """

    func: PrimFunc
    fused: Fused
    a: PrimExpr
    b: PrimExpr
    outer: tuple[Var, ...]
    m: Var | None
    n: Var
    num_columns: int = 0

    def extent(self, v: Var) -> PrimExpr:
        """Return the extent of an iterator."""
        return self.fused.ranges()[v][1]

    @property
    def num_k(self) -> int | None:
        """The number of products of one output, where static."""
        return static(product_of(self.fused.reduce_extents))


@dataclass(frozen=True, slots=True)
class ContractionPlan:
    """How a contraction is tiled.

    `mr` by `nr` is the register tile, `panels` the register tiles along n of one task (they share
    the packed block of B), `row_tiles` the register tiles along m of one task (0: all).
    """

    a_mode: Mode
    b_mode: Mode
    mr: int
    nr: int
    panels: int
    row_tiles: int
    block_rows: int = 0  # rows of `num_columns` pixels in a block, where B is copied row by row
    b_dtype: str = (
        "float32"  # what a constant B is kept in: fewer bytes are read, widened in registers
    )


def recognise(func: PrimFunc) -> Contraction | None:
    """Return the contraction that `func` (naive, collapsed) is, None if it is none."""
    f = fuse_epilogue(func)
    if f is None or f.combiner != "sum" or not f.axes:
        return None
    f, func = _split_shared_axes(f, func)
    split = _operands(f)
    if split is None:
        return None
    num_columns = 0
    _, n_axes = _sides(f, *split)
    if len(n_axes) > 1:
        num_columns, f, func = _flatten_pixels(f, func, n_axes)
        split = _operands(f)
        assert split is not None
    a, b = split
    m_axes, n_axes = _sides(f, a, b)
    m = m_axes[-1] if m_axes else None
    n = f.axes[-1]
    outer = tuple(v for v in f.axes if v is not m and v is not n)
    return Contraction(func, f, a, b, outer, m, n, num_columns if len(n_axes) == 1 else 0)


def _split_shared_axes(f: Fused, func: PrimFunc) -> tuple[Fused, PrimFunc]:
    """Split axes of which one operand sees only the group: heads, groups of channels."""
    for position, v in enumerate(f.axes):
        factor = shared_factor(factors(f.value), v)
        extent = static(f.extents[position])
        if factor is None or factor < 2 or extent is None or extent % factor:
            continue
        func = split_axis(refuse(f, func), position, factor)
        again = fuse_epilogue(func)
        assert again is not None
        return _split_shared_axes(again, func)
    return f, func


def _flatten_pixels(f: Fused, func: PrimFunc, n_axes: Sequence[Var]) -> tuple[int, Fused, PrimFunc]:
    """Fuse the axes of N as far as output and epilogue allow, B's own view of them set apart."""
    columns = static(f.ranges()[n_axes[-1]][1])
    if columns is None:
        return 0, f, func
    naive = refuse(f, func)
    first = fuse_epilogue(naive)
    assert first is not None
    (value,) = [s.value for s in read_stages(naive) if s.combiner is not None]
    last = next(s for s in read_stages(naive) if s.combiner is not None).axes[-1]
    free = {id(t) for t in factors(value) if last in _variables(t)}
    collapsed = collapse_axes(naive, free)
    again = fuse_epilogue(collapsed)
    assert again is not None
    return columns, again, collapsed


def factors(e: PrimExpr) -> list[PrimExpr]:
    """Return the terms of a product."""
    match e:
        case Binary("*", a, b):
            return factors(a) + factors(b)
        case _:
            return [e]


def _variables(e: PrimExpr) -> set[Var]:
    return {n for n in walk(e) if isinstance(n, Var)}


def _operands(f: Fused) -> tuple[PrimExpr, PrimExpr] | None:
    terms = factors(f.value)
    n = f.axes[-1]
    b_terms = [t for t in terms if n in _variables(t)]
    a_terms = [t for t in terms if n not in _variables(t)]
    if not a_terms or not b_terms:
        return None
    if not any(isinstance(x, BufferLoad) for t in a_terms for x in walk(t)):
        return None
    return _times(a_terms), _times(b_terms)


def _times(terms: Sequence[PrimExpr]) -> PrimExpr:
    result = terms[0]
    for t in terms[1:]:
        result = Binary("*", result, t)
    return result


def _sides(f: Fused, a: PrimExpr, b: PrimExpr) -> tuple[list[Var], list[Var]]:
    in_a, in_b = _variables(a), _variables(b)
    return (
        [v for v in f.axes if v in in_a and v not in in_b],
        [v for v in f.axes if v in in_b and v not in in_a],
    )


def plan(c: Contraction, constants: Mapping[Buffer, str], target: Target) -> ContractionPlan | None:
    """Return the tiling of `c` for `target`, None where the generic reductions serve better.

    `constants` are the parameters whose values are known at compile time, with the narrowest dtype
    that holds them exactly.
    """
    a_mode = _a_mode(c, constants)
    num_m = 1 if c.m is None else static(c.extent(c.m))
    b_mode = _b_mode(c, constants, num_m, target)
    if b_mode is None:
        return None
    if c.m is None and b_mode != "constant" and not is_contiguous(c.b, c.n):
        return None
    lanes = target.lanes(c.fused.value.dtype)
    num_n = static(c.extent(c.n))
    if num_m == 0 or num_n == 0:
        return None
    mr, nr = _register_tile(num_m, num_n, c.num_k or 1, lanes, target)
    found = _blocking(c, a_mode, b_mode, mr, nr, num_m, num_n, target)
    return replace(
        found, b_dtype=_kept_dtype(c.b, constants) if b_mode == "constant" else c.b.dtype
    )


def _kept_dtype(b: PrimExpr, constants: Mapping[Buffer, str]) -> str:
    """Return the narrowest dtype that holds a constant B without loss.

    Register tiles read a vector of B for many rows, so that widening it there costs little; an
    element of A is read for one vector alone.
    """
    match b:
        case BufferLoad(buffer):
            return constants[buffer]
        case Cast("float32", BufferLoad(buffer)) if buffer.dtype in EXACT_IN_FLOAT32:
            return buffer.dtype
        case _:
            return b.dtype


def _is_constant(c: Contraction, e: PrimExpr, constants: Mapping[Buffer, str]) -> bool:
    loads = [n for n in walk(e) if isinstance(n, BufferLoad)]
    if not loads or c.num_k is None or any(n.buffer not in constants for n in loads):
        return False
    spatial = _variables(e) & set(c.fused.axes)
    return can_evaluate(e) and all(static(c.extent(v)) is not None for v in spatial)


def _a_mode(c: Contraction, constants: Mapping[Buffer, str]) -> Mode:
    if _is_constant(c, c.a, constants) and c.m is not None:
        return "constant"
    simple = all(isinstance(n, (BufferLoad, Var, IntImm, Cast, Binary)) for n in walk(c.a))
    return "in_place" if simple or c.num_k is None or c.m is None else "packed"


def _b_mode(
    c: Contraction, constants: Mapping[Buffer, str], num_m: int | None, target: Target
) -> Mode | None:
    if _is_constant(c, c.b, constants):
        return "constant"
    contiguous = is_contiguous(c.b, c.n)
    if c.num_k is None:
        return "in_place"
    if num_m is not None and num_m <= 4:
        return "in_place" if contiguous else None if num_m == 1 else "packed"
    if c.num_k * target.lanes("float32") * 4 > 2 * target.l2_bytes:
        return "in_place"
    return "packed"


def is_contiguous(e: PrimExpr, n: Var) -> bool:
    """Say whether neighbours along `n` are neighbours in memory, read as they are."""
    if any(isinstance(node, (Select, Intrinsic)) for node in walk(e)):
        return False
    return runs_along(e, n)


def runs_along(e: PrimExpr, n: Var) -> bool:
    """Say whether neighbours along `n` are neighbours in memory."""
    for node in walk(e):
        if isinstance(node, BufferLoad) and any(n in _variables(i) for i in node.indices):
            *before, last = node.indices
            if any(n in _variables(i) for i in before) or not _has_unit_slope(last, n):
                return False
    return True


def _has_unit_slope(e: PrimExpr, n: Var) -> bool:
    match e:
        case Var():
            return e is n
        case Binary("+", a, b):
            in_a, in_b = n in _variables(a), n in _variables(b)
            return in_a != in_b and _has_unit_slope(a if in_a else b, n)
        case Binary("-", a, b):
            return n not in _variables(b) and _has_unit_slope(a, n)
        case _:
            return False


def _register_tile(
    num_m: int | None, num_n: int | None, num_k: int, lanes: int, target: Target
) -> tuple[int, int]:
    """Return the (mr, nr) of least padded work; two registers are left for operands."""
    spare = 3 if target.num_vector_registers >= 32 else 4
    budget = target.num_vector_registers - spare
    if num_m is not None and num_m <= 2:
        vectors = max(1, min(8 // num_m, -(-(num_n or 8 * lanes) // lanes)))
        return num_m, vectors * lanes
    best: tuple[float, int, int] | None = None
    for vectors in (1, 2, 3, 4, 6):
        for mr in range(4, 25):
            if mr * vectors > budget or (num_m is not None and mr > num_m):
                continue
            price = _tile_price(mr, vectors, num_m, num_n, lanes)
            if num_k * vectors * lanes * 4 > target.l2_bytes * 3 // 4:
                price *= 1.1  # the panel of B does not stay in the second-level cache
            if best is None or price < best[0] - 1e-9:
                best = (price, mr, vectors * lanes)
    if best is None:
        return (num_m or 4), 2 * lanes
    return best[1], best[2]


def _tile_price(mr: int, vectors: int, num_m: int | None, num_n: int | None, lanes: int) -> float:
    """Return the relative time per useful product of a register tile."""
    # Each step of k issues mr * vectors multiply-adds (two a cycle) and mr + vectors loads (two a
    # cycle); fewer than 8 accumulators leave the latency of the multiply-add open.
    per_tile = max(mr * vectors / 2, (mr + vectors) / 2, 4.0)
    load_pressure = 1 + 0.25 * (mr + vectors) / (mr * vectors)
    waste = 1.0
    if num_m is not None:
        tiles, tail = divmod(num_m, mr)
        waste *= (tiles * mr + (max(tail, 8 / vectors) if tail else 0)) / num_m
    if num_n is not None:
        waste *= -(-num_n // lanes) * lanes / num_n
        panels, tail = divmod(-(-num_n // lanes), vectors)
        # A narrow last panel has few accumulators to hide latency with.
        narrow = max(1.0, 8 / (mr * tail)) if tail else 0.0
        waste *= (panels * vectors + tail * narrow) / (panels * vectors + tail)
    return per_tile / (mr * vectors / 2) * load_pressure * waste


def _blocking(
    c: Contraction,
    a_mode: Mode,
    b_mode: Mode,
    mr: int,
    nr: int,
    num_m: int | None,
    num_n: int | None,
    target: Target,
) -> ContractionPlan:
    num_outer = static(product_of([c.extent(v) for v in c.outer])) or 1
    lanes = target.lanes(c.fused.value.dtype)
    threads = target.num_threads
    block_rows = 0
    num_k = c.num_k or 1024
    if b_mode == "packed" and c.num_columns and num_n is not None:
        rows = num_n // c.num_columns
        block_rows = _block_rows(rows, c.num_columns, num_k, num_outer, nr, lanes, target)
        panels, num_blocks = 0, rows // block_rows
    elif a_mode == "packed" and b_mode == "constant":
        # A is computed while it is packed: once, so one task has all of its columns.
        panels, num_blocks = -(-num_n // nr) if num_n is not None else 1, 1
    else:
        per_panel = num_k * nr * 4
        panels = max(1, target.l2_bytes // 2 // per_panel) if b_mode == "packed" else 1
        total = -(-num_n // nr) if num_n is not None else None
        if total is not None:
            panels = min(panels, total)
            # Several blocks a thread, so that the last one waits little.
            while panels > 1 and num_outer * -(-total // panels) < 3 * threads:
                panels -= 1
            num_blocks = -(-total // panels)
        else:
            panels, num_blocks = min(panels, 4), threads
    row_tiles = 0
    tasks = num_outer * num_blocks
    tiles = -(-num_m // mr) if num_m is not None else None
    if threads > 1 and (tasks < 2 * threads or (tasks < 6 * threads and tasks % threads)):
        if tiles is None:
            row_tiles = 8
        elif tiles > 1:
            parts = _row_parts(tasks, tiles, threads)
            row_tiles = -(-tiles // parts)
    if a_mode == "packed":
        fitting = max(1, target.l2_bytes // 2 // (num_k * mr * 4))
        row_tiles = min(row_tiles or fitting, fitting)
    return ContractionPlan(a_mode, b_mode, mr, nr, panels, row_tiles, block_rows)


def _row_parts(tasks: int, tiles: int, threads: int) -> int:
    """Return into how many parts to cut the tiles of m so that all threads finish together."""
    best = (float("inf"), 1)
    for parts in range(1, min(tiles, 4 * threads) + 1):
        each = -(-tiles // parts)
        rounds = -(-tasks * -(-tiles // each) // threads)
        best = min(best, (rounds * each * (1 + 0.01 * parts), parts))
    return best[1]


def _block_rows(
    rows: int, columns: int, num_k: int, num_outer: int, nr: int, lanes: int, target: Target
) -> int:
    """Return how many rows of pixels a block has: a divisor of `rows`, little padding, in cache."""
    best = (float("inf"), 1)
    for r in range(1, rows + 1):
        if rows % r:
            continue
        width = r * columns
        vectors = -(-width // lanes)
        price = vectors * lanes / width
        # A narrow tile loads more for each product and hides less latency.
        price *= 1 + 0.5 * max(0.0, 1 / vectors - lanes / nr)
        # Tiles of m read one panel again and again, not the block; it is written and read once.
        if num_k * vectors * lanes * 4 > 4 * target.l2_bytes:
            price *= 1.25
        tasks = num_outer * (rows // r)
        rounds = -(-tasks // target.num_threads) * target.num_threads
        # Uneven shares can still be evened by cutting m, where each part packs for itself.
        price *= 1 + 0.1 * (rounds / tasks - 1)
        best = min(best, (price, r))
    return best[1]
