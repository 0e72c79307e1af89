"""Operands of a contraction in the order in which register tiles read them."""

from __future__ import annotations

from collections.abc import Sequence

from eqsat.ir._simplify import simplify
from eqsat.ir.tir import (
    Buffer,
    BufferLoad,
    BufferStore,
    IntImm,
    PrimExpr,
    Stmt,
    Var,
    binary,
    seq,
    walk,
)
from eqsat.lowering._target import Target
from eqsat.lowering.schedule._contraction import Contraction, ContractionPlan, runs_along
from eqsat.lowering.schedule._emit import (
    as_int,
    flatten_index,
    loop,
    minimum,
    nest,
    product_of,
    static,
    vector_loop,
    widths_down_from,
)
from eqsat.lowering.schedule._packing import Packing
from eqsat.lowering.schedule._stages import replace_exprs


class OperandPacking:
    """A contraction, its tiling, and the packing of both operands."""

    def __init__(self, c: Contraction, plan: ContractionPlan, target: Target) -> None:
        self.c = c
        self.f = c.fused
        self.plan = plan
        self.dtype = c.fused.value.dtype
        self.lanes = target.lanes(self.dtype)
        self.packings: list[Packing] = []
        self.ranges = c.fused.ranges()
        self.num_m: PrimExpr = IntImm(1) if c.m is None else c.extent(c.m)
        self.num_n = c.extent(c.n)
        self.outer_extents = [c.extent(v) for v in c.outer]
        self.a_const = (
            self.packed_constant(c.a, c.m, plan.mr, "a", self.dtype)
            if plan.a_mode == "constant"
            else None
        )
        self.b_const = (
            self.packed_constant(c.b, c.n, plan.nr, "b", plan.b_dtype)
            if plan.b_mode == "constant"
            else None
        )
        self.width = self._block_width()

    def _block_width(self) -> int:
        if self.plan.block_rows:
            return self.plan.block_rows * self.c.num_columns
        n = static(self.num_n)
        width = self.plan.panels * self.plan.nr
        return width if n is None or width < n else n

    def packed_constant(
        self, value: PrimExpr, axis: Var | None, tile: int, name: str, dtype: str
    ) -> Packing:
        """Return the packing of a constant operand, which becomes a parameter of `dtype`."""
        assert axis is not None
        used = {n for n in walk(value) if isinstance(n, Var)}
        outer = tuple((v, as_int(self.c.extent(v))) for v in self.c.outer if v in used)
        rows = as_int(self.c.extent(axis))
        reduced = tuple(
            (v, as_int(e)) for v, e in zip(self.f.reduce_axes, self.f.reduce_extents, strict=True)
        )
        num_outer = as_int(product_of([IntImm(n) for _, n in outer]))
        num_k = as_int(product_of([IntImm(n) for _, n in reduced]))
        shape = (num_outer, -(-rows // tile), num_k, tile)
        buffer = Buffer(f"{name}_packed", tuple(IntImm(n) for n in shape), dtype)
        loads = [n.buffer for n in walk(value) if isinstance(n, BufferLoad)]
        packing = Packing(
            buffer, tuple(dict.fromkeys(loads)), value, outer, (axis, rows), reduced, tile
        )
        self.packings.append(packing)
        return packing

    def pack_b(
        self,
        local: Buffer,
        outer: dict[Var, PrimExpr],
        first_n: PrimExpr,
        block: PrimExpr,
        columns: PrimExpr,
    ) -> Stmt:
        """Return the loops that copy a block of B, through its load expression, to [k][column]."""
        extents = self.f.reduce_extents
        names = [f"k{d}" for d in range(len(extents))]
        value = replace_exprs(self.c.b, outer)
        if self.plan.block_rows:
            return self._pack_pixel_rows(local, value, block, names)

        def copy(start: PrimExpr, count: PrimExpr, most: int) -> Stmt:
            widths = widths_down_from(self.lanes, count, most)

            def at(k: tuple[PrimExpr, ...]) -> Stmt:
                env = dict(zip(self.f.reduce_axes, k, strict=True))

                def store(j: PrimExpr, lane: PrimExpr, w: int) -> Stmt:
                    column = binary("+", start, j)
                    n = binary("+", first_n, column)
                    element = replace_exprs(value, {**env, self.c.n: n})
                    return BufferStore(local, (flatten_index(k, extents), column), element)

                return vector_loop(count, widths, store)

            return nest(names, extents, at)

        if runs_along(self.c.b, self.c.n):
            return copy(IntImm(0), columns, 2)
        # Columns lie far apart: a few at a time, or their cache lines evict each other.
        lanes = IntImm(self.lanes)
        known = static(columns)
        whole, rest = binary("//", columns, lanes), binary("%", columns, lanes)
        groups = loop("c", whole, lambda g: copy(binary("*", g, lanes), lanes, 1))
        if known is not None and known < self.lanes:
            return copy(IntImm(0), columns, 1)
        return (
            groups if static(rest) == 0 else seq(groups, copy(binary("*", whole, lanes), rest, 1))
        )

    def _pack_pixel_rows(
        self, local: Buffer, value: PrimExpr, block: PrimExpr, names: Sequence[str]
    ) -> Stmt:
        """Copy whole rows of pixels: within a row neighbours are (strided) neighbours in memory."""
        rows, width = self.plan.block_rows, self.c.num_columns
        y, x = Var("y"), Var("x")
        pixel = binary("+", binary("*", y, IntImm(width)), x)
        num_rows = as_int(self.num_n) // width
        ranges = self.ranges | {y: (IntImm(0), IntImm(num_rows)), x: (IntImm(0), IntImm(width))}
        by_pixel = simplify(replace_exprs(value, {self.c.n: pixel}), ranges)
        extents = self.f.reduce_extents
        widths = widths_down_from(self.lanes, IntImm(width))

        def at(k: tuple[PrimExpr, ...]) -> Stmt:
            env = dict(zip(self.f.reduce_axes, k, strict=True))

            def pixel_row(r: PrimExpr) -> Stmt:
                row = binary("+", binary("*", block, IntImm(rows)), r)

                def store(j: PrimExpr, lane: PrimExpr, w: int) -> Stmt:
                    column = binary("+", binary("*", r, IntImm(width)), j)
                    element = replace_exprs(by_pixel, {**env, y: row, x: j})
                    return BufferStore(local, (flatten_index(k, extents), column), element)

                return vector_loop(IntImm(width), widths, store)

            return loop("r", rows, pixel_row)

        return nest(names, extents, at)

    def pack_a(
        self, outer: dict[Var, PrimExpr], first_tile: PrimExpr, count: PrimExpr
    ) -> tuple[Buffer, Stmt]:
        """Compute the rows of A once into [tile][row][k], k in vectors."""
        num_k, m, mr = self.c.num_k, self.c.m, self.plan.mr
        assert num_k is not None
        assert m is not None
        shape = tuple(IntImm(n) for n in (self.plan.row_tiles, mr, num_k))
        local = Buffer("a_pack", shape, self.dtype, "local")
        *before, inner = self.f.reduce_extents
        value = replace_exprs(self.c.a, outer)
        last = binary("-", self.num_m, IntImm(1))
        widths = widths_down_from(self.lanes, inner)

        def row(index: tuple[PrimExpr, ...]) -> Stmt:
            t, i, *k = index
            at = binary("+", binary("*", binary("+", first_tile, t), IntImm(mr)), i)

            def store(j: PrimExpr, lane: PrimExpr, w: int) -> Stmt:
                env = dict(zip(self.f.reduce_axes, (*k, j), strict=True)) | {m: minimum(at, last)}
                place = flatten_index((*k, j), self.f.reduce_extents)
                return BufferStore(local, (t, i, place), replace_exprs(value, env))

            return vector_loop(inner, widths, store)

        names = ["mt", "i", *(f"k{d}" for d in range(len(before)))]
        return local, nest(names, [count, IntImm(mr), *before], row)
