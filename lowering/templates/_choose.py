"""Which schedule a group of stages gets, from their shapes and the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eqsat.ir.tir import Buffer, BufferLoad, PrimFunc, Var, walk
from eqsat.lowering._target import Target
from eqsat.lowering.schedule._collapse import collapse_axes
from eqsat.lowering.schedule._contraction import Contraction, ContractionPlan, plan, recognise
from eqsat.lowering.schedule._emit import product_of, static
from eqsat.lowering.schedule._packing import Packing
from eqsat.lowering.schedule._pointwise import tile_pointwise
from eqsat.lowering.schedule._rows import plan_rows, tile_rows
from eqsat.lowering.schedule._schedule import Schedule, contraction_step, rows_step, step
from eqsat.lowering.schedule._stages import Stage, naive_func, read_stages
from eqsat.lowering.schedule._tile_contraction import tile_contraction
from eqsat.lowering.schedule._window import Fused, fuse_epilogue, tile_window


@dataclass(frozen=True, eq=False, slots=True)
class Scheduled:
    """A scheduled function.

    `origin[k]` is the position of `func.params[k]` among the parameters of the naive function;
    parameters beyond are packed constants, one per packing, whose sources are in `naive`.
    `steps` applied to the given function make `func`.
    """

    func: PrimFunc
    template: str
    origin: tuple[int, ...]
    naive: PrimFunc
    steps: Schedule
    packings: tuple[Packing, ...] = ()


def schedule(naive: PrimFunc, constants: Mapping[int, str], target: Target) -> Scheduled | None:
    """Return the schedule of a naive function with one output, its last stage; None if none fits.

    `constants` are the positions of parameters whose values are known at compile time, with the
    narrowest dtype that holds them exactly.
    """
    func = collapse_axes(naive)
    stages = read_stages(func)
    every = tuple(range(len(func.params)))
    if len(stages) == 1 and stages[0].combiner is None:
        return Scheduled(
            tile_pointwise(func, target), "pointwise", every, func, _steps("tile_pointwise")
        )
    if contraction := _contraction(func, constants, target):
        return contraction
    if len(stages) > 1 and any(_is_contraction(s, func, target) for s in stages):
        return None
    fused = fuse_epilogue(func)
    if fused is not None and fused.axes and _prefers_window(fused, target):
        return Scheduled(tile_window(func, target), "window", every, func, _steps("tile_window"))
    if rows := plan_rows(func):
        steps = (COLLAPSE, rows_step(rows))
        return Scheduled(tile_rows(func, rows, target), "row", every, func, steps)
    if fused is not None and fused.axes:
        return Scheduled(tile_window(func, target), "window", every, func, _steps("tile_window"))
    return None


COLLAPSE = step("collapse_axes")


def _steps(name: str) -> Schedule:
    return (COLLAPSE, step(name))


def _contraction(func: PrimFunc, constants: Mapping[int, str], target: Target) -> Scheduled | None:
    c = recognise(func)
    if c is None or static(product_of((*c.fused.extents, *c.fused.reduce_extents))) == 0:
        return None
    params = enumerate(c.func.params)
    known = {p: constants[k] for k, p in params if k in constants and isinstance(p, Buffer)}
    tiling = plan(c, known, target)
    if tiling is None:
        return None
    return tiled(c, tiling, target)


def _is_contraction(s: Stage, func: PrimFunc, target: Target) -> bool:
    """Say whether a stage deserves register tiles of its own."""
    if s.combiner != "sum" or not s.axes:
        return False
    buffers = dict.fromkeys(n.buffer for n in walk(s.value) if isinstance(n, BufferLoad))
    alone = naive_func(func.name, (*buffers, s.buffer), [s])
    c = recognise(alone)
    if c is None or c.m is None:
        return False
    return static(c.extent(c.m)) != 1 and plan(c, {}, target) is not None


def tiled(c: Contraction, tiling: ContractionPlan, target: Target) -> Scheduled:
    """Return the contraction tiled, with its parameters traced back."""
    result = tile_contraction(c, tiling, target)
    position = {p: k for k, p in enumerate(c.func.params)}
    origin = tuple(position[p] for p in result.func.params if p in position)
    steps = (COLLAPSE, contraction_step(tiling))
    return Scheduled(result.func, "contraction", origin, c.func, steps, result.packings)


def _prefers_window(f: Fused, target: Target) -> bool:
    """Say whether vectors along the output serve better than vectors along the reduction."""
    if not f.reduce_axes:
        return True
    inner, k = f.axes[-1], f.reduce_axes[-1]
    along_inner = along_k = 0
    for load in walk(f.value):
        if isinstance(load, BufferLoad) and load.indices:
            used = {n for n in walk(load.indices[-1]) if isinstance(n, Var)}
            along_inner += inner in used
            along_k += k in used
    if along_inner == 0:
        return along_k == 0
    n = static(f.reduce_extents[-1])
    short = n is not None and n < target.lanes(f.value.dtype)
    return short or along_inner >= along_k
