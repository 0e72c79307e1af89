"""`tile_contraction`: register tiles over packed operands, the epilogue on the tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eqsat.ir._simplify import simplify
from eqsat.ir.tir import (
    Binary,
    Buffer,
    BufferLoad,
    BufferStore,
    Cast,
    For,
    IfThenElse,
    IntImm,
    PrimExpr,
    PrimFunc,
    Select,
    Stmt,
    Var,
    binary,
    const,
    seq,
    walk,
)
from eqsat.lowering._target import Target
from eqsat.lowering.schedule._contraction import Contraction, ContractionPlan
from eqsat.lowering.schedule._emit import (
    flatten_index,
    loop,
    minimum,
    nest,
    product_of,
    scope,
    static,
    unfuse,
    vector_loop,
    widths_down_from,
)
from eqsat.lowering.schedule._pack_operands import OperandPacking
from eqsat.lowering.schedule._packing import Packing
from eqsat.lowering.schedule._stages import replace_exprs


@dataclass(frozen=True, eq=False, slots=True)
class Tiled:
    """A tiled function and the packings of the parameters that it takes packed."""

    func: PrimFunc
    packings: tuple[Packing, ...]


def tile_contraction(c: Contraction, plan: ContractionPlan, target: Target) -> Tiled:
    """Return `c` tiled by `plan`; constant operands become packed parameters."""
    return _Tiler(c, plan, target).run()


@dataclass(frozen=True, slots=True)
class _Group:
    """`width` neighbouring columns of a register tile, held in one vector per row."""

    offset: int
    width: int


class _Tiler(OperandPacking):
    # --- structure -------------------------------------------------------------------------

    def run(self) -> Tiled:
        tiles = _ceildiv(self.num_m, self.plan.mr)
        per_task = IntImm(self.plan.row_tiles) if self.plan.row_tiles else tiles
        num_parts = _ceildiv_expr(tiles, per_task) if self.plan.row_tiles else IntImm(1)
        num_blocks = _ceildiv(self.num_n, self.width)
        extents = [*self.outer_extents, num_blocks, num_parts]

        def task(t: PrimExpr) -> Stmt:
            *outer, block, part = unfuse(t, extents)
            return self.task(
                dict(zip(self.c.outer, outer, strict=True)), block, part, per_task, tiles
            )

        body = loop("t", product_of(extents), task, "parallel")
        packed = [p.buffer for p in self.packings]
        used = {
            n.buffer for e in self._remaining_exprs() for n in walk(e) if isinstance(n, BufferLoad)
        }
        params = [p for p in self.c.func.params if p in used or p is self.f.out]
        func = PrimFunc(self.c.func.name, (*params, *packed), body, (), self.c.func.attrs)
        return Tiled(func, tuple(self.packings))

    def _remaining_exprs(self) -> list[PrimExpr]:
        result = [self.f.epilogue]
        if self.a_const is None:
            result.append(self.c.a)
        if self.b_const is None:
            result.append(self.c.b)
        return result

    def task(
        self,
        outer: dict[Var, PrimExpr],
        block: PrimExpr,
        part: PrimExpr,
        per_task: PrimExpr,
        tiles: PrimExpr,
    ) -> Stmt:
        first_n = binary("*", block, IntImm(self.width))
        allocs: list[Buffer] = []
        stmts: list[Stmt] = []
        columns = self._columns_of_block(first_n)
        b_local = None
        if self.plan.b_mode == "packed":
            num_k = self.c.num_k
            assert num_k is not None
            padded = -(-self.width // self.lanes) * self.lanes
            b_local = Buffer("b_pack", (IntImm(num_k), IntImm(padded)), self.dtype, "local")
            allocs.append(b_local)
            stmts.append(self.pack_b(b_local, outer, first_n, block, columns))
        first_tile = binary("*", part, per_task)
        count = (
            per_task
            if not self.plan.row_tiles
            else minimum(per_task, binary("-", tiles, first_tile))
        )
        a_local = None
        if self.plan.a_mode == "packed":
            a_local, pack = self.pack_a(outer, first_tile, count)
            allocs.append(a_local)
            stmts.append(pack)
        operands = _Operands(outer, first_n, b_local, a_local, first_tile)
        stmts.append(self._panels(operands, columns, first_tile, count))
        return scope("task", allocs, seq(*stmts))

    def _columns_of_block(self, first_n: PrimExpr) -> PrimExpr:
        n = static(self.num_n)
        if n is not None and n % self.width == 0:
            return IntImm(self.width)
        return minimum(IntImm(self.width), binary("-", self.num_n, first_n))

    def _panels(
        self, o: _Operands, columns: PrimExpr, first_tile: PrimExpr, count: PrimExpr
    ) -> Stmt:
        nr = self.plan.nr
        known = static(columns)
        n = static(self.num_n)
        whole: PrimExpr = (
            IntImm(known // nr) if known is not None else binary("//", columns, IntImm(nr))
        )
        stmts: list[Stmt] = []
        if known is None or known >= nr:
            stmts.append(
                loop(
                    "p",
                    whole,
                    lambda p: self._rows(o, binary("*", p, IntImm(nr)), nr, first_tile, count),
                )
            )
        offset = binary("*", whole, IntImm(nr))
        if known is not None:
            if known % nr:
                stmts.append(self._rows(o, offset, known % nr, first_tile, count))
            return seq(*stmts)
        rest = binary("%", columns, IntImm(nr))
        if n is not None:
            # Only the last block is narrower; its rest is the same number every time.
            last = n % self.width % nr
            if self.width % nr:
                rest_body = None
                for width in sorted({self.width % nr, last} - {0}):
                    body = self._rows(o, offset, width, first_tile, count)
                    rest_body = IfThenElse(binary("==", rest, IntImm(width)), body, rest_body)
                stmts.extend([rest_body] if rest_body else [])
            elif last:
                body = self._rows(o, offset, last, first_tile, count)
                stmts.append(IfThenElse(binary(">", rest, IntImm(0)), body))
            return seq(*stmts)
        body = self._rows(o, offset, rest, first_tile, count)
        stmts.append(IfThenElse(binary(">", rest, IntImm(0)), body))
        return seq(*stmts)

    def _rows(
        self,
        o: _Operands,
        offset: PrimExpr,
        valid: int | PrimExpr,
        first_tile: PrimExpr,
        count: PrimExpr,
    ) -> Stmt:
        """Return the loop over the tiles of m for one panel at `offset` columns into the block."""
        m, mr = static(self.num_m), self.plan.mr
        tail = m % mr if m is not None else 0

        def tile(i: PrimExpr) -> Stmt:
            index = binary("+", first_tile, i)
            if m is None or not tail:
                return self._micro(
                    o, offset, valid, index, mr, guarded=m is None and self.c.m is not None
                )
            if m < mr:
                return self._micro(o, offset, valid, index, tail, guarded=False)
            return IfThenElse(
                binary("<", index, IntImm(m // mr)),
                self._micro(o, offset, valid, index, mr, guarded=False),
                self._micro(o, offset, valid, index, tail, guarded=False),
            )

        return loop("mt", count, tile)

    # --- the register tile -----------------------------------------------------------------

    def _micro(
        self,
        o: _Operands,
        offset: PrimExpr,
        valid: int | PrimExpr,
        tile: PrimExpr,
        mr: int,
        *,
        guarded: bool,
    ) -> Stmt:
        groups = self._groups(valid)
        accs = [
            Buffer(f"acc{g}", (IntImm(mr), IntImm(group.width)), self.dtype, "local")
            for g, group in enumerate(groups)
        ]
        first_m = binary("*", tile, IntImm(self.plan.mr))
        zero = const(0, self.dtype)
        init = [
            loop(
                "i",
                mr,
                lambda i, a=a, g=g: _lanes(g.width, lambda lane: BufferStore(a, (i, lane), zero)),
                "unroll",
            )
            for a, g in zip(accs, groups, strict=True)
        ]

        def step(k_flat: PrimExpr, k: Sequence[PrimExpr]) -> Stmt:
            def row(i: PrimExpr) -> Stmt:
                left = self._a(o, tile, first_m, i, k_flat, k, guarded=guarded)
                stmts: list[Stmt] = []
                for acc, g in zip(accs, groups, strict=True):

                    def at_lane(lane: PrimExpr, acc: Buffer = acc, g: _Group = g) -> Stmt:
                        column = binary("+", offset, binary("+", IntImm(g.offset), lane))
                        right = self._b(
                            o, column, k_flat, k, valid, binary("+", IntImm(g.offset), lane)
                        )
                        old = BufferLoad(acc, (i, lane))
                        return BufferStore(
                            acc, (i, lane), Binary("+", old, Binary("*", left, right))
                        )

                    stmts.append(_lanes(g.width, at_lane))
                return seq(*stmts)

            return loop("i", mr, row, "unroll")

        body = self._over_k(step)
        store = self._store(o, offset, valid, first_m, mr, accs, groups, guarded=guarded)
        allocs = [*accs, *store.allocs]
        return scope("tile", allocs, seq(*init, body, store.stmt))

    def _groups(self, valid: int | PrimExpr) -> list[_Group]:
        width = valid if isinstance(valid, int) else self.plan.nr
        if self.plan.b_mode != "in_place" or not isinstance(valid, int):
            vectors = -(-width // self.lanes)
            return [_Group(k * self.lanes, self.lanes) for k in range(vectors)]
        return _exact_groups(width, self.lanes)

    def _over_k(self, step: Callable[[PrimExpr, Sequence[PrimExpr]], Stmt]) -> Stmt:
        extents = self.f.reduce_extents
        if self.plan.a_mode != "in_place" and self.plan.b_mode != "in_place":
            num_k = self.c.num_k
            assert num_k is not None
            return loop("k", num_k, lambda k: step(k, ()))

        def at(k: tuple[PrimExpr, ...]) -> Stmt:
            return step(flatten_index(k, extents), k)

        return nest([f"k{d}" for d in range(len(extents))], extents, at)

    def _a(
        self,
        o: _Operands,
        tile: PrimExpr,
        first_m: PrimExpr,
        i: PrimExpr,
        k_flat: PrimExpr,
        k: Sequence[PrimExpr],
        *,
        guarded: bool,
    ) -> PrimExpr:
        if self.a_const is not None:
            outer = self._outer_index(self.a_const, o)
            return BufferLoad(self.a_const.buffer, (outer, tile, k_flat, i))
        if o.a_local is not None:
            return BufferLoad(o.a_local, (binary("-", tile, o.first_tile), i, k_flat))
        env = dict(o.outer) | dict(zip(self.f.reduce_axes, k, strict=True))
        if self.c.m is not None:
            index = binary("+", first_m, i)
            if guarded:
                index = minimum(index, binary("-", self.num_m, IntImm(1)))
            env[self.c.m] = index
        return replace_exprs(self.c.a, env)

    def _b(
        self,
        o: _Operands,
        column: PrimExpr,
        k_flat: PrimExpr,
        k: Sequence[PrimExpr],
        valid: int | PrimExpr,
        in_panel: PrimExpr,
    ) -> PrimExpr:
        nr = IntImm(self.plan.nr)
        if self.b_const is not None:
            outer = self._outer_index(self.b_const, o)
            n = binary("+", o.first_n, column)
            panel = simplify(binary("//", binary("-", n, in_panel), nr), {})
            packed = BufferLoad(self.b_const.buffer, (outer, panel, k_flat, in_panel))
            return packed if packed.dtype == self.dtype else Cast(self.dtype, packed)
        if o.b_local is not None:
            return BufferLoad(o.b_local, (k_flat, column))
        n = binary("+", o.first_n, column)
        env = dict(o.outer) | dict(zip(self.f.reduce_axes, k, strict=True)) | {self.c.n: n}
        value = replace_exprs(self.c.b, env)
        if isinstance(valid, int):
            return value
        return Select(binary("<", in_panel, valid), value, const(0, self.dtype), lazy=True)

    def _outer_index(self, packing: Packing, o: _Operands) -> PrimExpr:
        variables = [v for v, _ in packing.outer]
        return flatten_index([o.outer[v] for v in variables], [IntImm(n) for _, n in packing.outer])

    # --- storing ---------------------------------------------------------------------------

    def _store(
        self,
        o: _Operands,
        offset: PrimExpr,
        valid: int | PrimExpr,
        first_m: PrimExpr,
        mr: int,
        accs: Sequence[Buffer],
        groups: Sequence[_Group],
        *,
        guarded: bool,
    ) -> _Store:
        def element(i: PrimExpr, column: PrimExpr, value: PrimExpr) -> Stmt:
            env = dict(o.outer) | {self.c.n: binary("+", o.first_n, binary("+", offset, column))}
            if self.c.m is not None:
                env[self.c.m] = binary("+", first_m, i)
            result = replace_exprs(self.f.epilogue, {**env, self.f.result: value})
            return BufferStore(self.f.out, tuple(env[v] for v in self.f.axes), result)

        def guard(i: PrimExpr, stmt: Stmt) -> Stmt:
            if not guarded:
                return stmt
            return IfThenElse(binary("<", binary("+", first_m, i), self.num_m), stmt)

        if isinstance(valid, int):

            def row(i: PrimExpr) -> Stmt:
                stmts: list[Stmt] = []
                for acc, g in zip(accs, groups, strict=True):
                    for piece in _exact_groups(min(g.width, valid - g.offset), g.width):

                        def at_lane(
                            lane: PrimExpr, acc: Buffer = acc, g: _Group = g, p: _Group = piece
                        ) -> Stmt:
                            at = binary("+", IntImm(p.offset), lane)
                            column = binary("+", IntImm(g.offset), at)
                            return element(i, column, BufferLoad(acc, (i, at)))

                        stmts.append(_lanes(piece.width, at_lane))
                return guard(i, seq(*stmts))

            return _Store((), loop("i", mr, row, "unroll"))
        # Registers have no run-time index: the tile goes through memory.
        spill = Buffer("spill", (IntImm(mr), IntImm(self.plan.nr)), self.dtype, "local")
        copies = [
            loop(
                "i",
                mr,
                lambda i, a=a, g=g: _lanes(
                    g.width,
                    lambda lane: BufferStore(
                        spill, (i, binary("+", IntImm(g.offset), lane)), BufferLoad(a, (i, lane))
                    ),
                ),
                "unroll",
            )
            for a, g in zip(accs, groups, strict=True)
        ]
        widths = widths_down_from(self.lanes, valid)
        rows = loop(
            "i",
            mr,
            lambda i: guard(
                i,
                vector_loop(
                    valid, widths, lambda j, lane, w: element(i, j, BufferLoad(spill, (i, j)))
                ),
            ),
        )
        return _Store((spill,), seq(*copies, rows))


@dataclass(frozen=True, eq=False, slots=True)
class _Operands:
    """Where one task finds its operands."""

    outer: dict[Var, PrimExpr]
    first_n: PrimExpr
    b_local: Buffer | None
    a_local: Buffer | None
    first_tile: PrimExpr


@dataclass(frozen=True, eq=False, slots=True)
class _Store:
    allocs: tuple[Buffer, ...]
    stmt: Stmt


def _lanes(width: int, body: Callable[[PrimExpr], Stmt]) -> Stmt:
    if width == 1:
        return body(IntImm(0))
    lane = Var("l")
    return For(lane, IntImm(0), IntImm(width), body(lane), "vectorized")


def _exact_groups(width: int, most: int) -> list[_Group]:
    """Return vectors of powers of two that cover exactly `width` columns."""
    groups: list[_Group] = []
    offset, w = 0, most
    while offset < width:
        if w <= width - offset:
            groups.append(_Group(offset, w))
            offset += w
        else:
            w //= 2
    return groups


def _ceildiv(e: PrimExpr, k: int) -> PrimExpr:
    return _ceildiv_expr(e, IntImm(k))


def _ceildiv_expr(e: PrimExpr, k: PrimExpr) -> PrimExpr:
    return binary("//", binary("+", e, binary("-", k, IntImm(1))), k)
