"""What a PrimFunc reads and writes, checked: bounds, regions, domains of axes, parallel loops.

A program is refused for an iteration at which it is wrong. Accesses that are not decided here are
checked where they run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import assert_never

from eqsat.ir._jumps import ALWAYS, falls_through, stays_in
from eqsat.ir._tir import (
    Address,
    Assert,
    Attr,
    Block,
    Buffer,
    BufferLoad,
    BufferRegion,
    BufferStore,
    Evaluate,
    For,
    IfThenElse,
    Jump,
    Let,
    Not,
    PrimExpr,
    PrimFunc,
    Select,
    Seq,
    Stmt,
    Var,
    While,
)
from eqsat.ir._visit import children, walk
from eqsat.ir._witness import Bound, Env, Loop, Place, value_at

_SIZE = 7  # of what has no known size

Fail = Callable[[str, str], Exception]
"""Returns the error that a block (its name, "" outside of any) is wrong for a reason."""


@dataclass(frozen=True, slots=True)
class _Access:
    buffer: Buffer
    indices: tuple[PrimExpr, ...]
    place: Place
    is_store: bool
    block: str


@dataclass(eq=False, slots=True)
class _Axis:
    """A parallel loop or a spatial axis, and what is accessed under it."""

    var: Var
    what: str
    remedy: str
    private: set[Buffer] = field(default_factory=set[Buffer])
    accesses: list[_Access] = field(default_factory=list[_Access])


def check_accesses(function: PrimFunc, fail: Fail) -> None:
    """Raise what `fail` gives if an access is outside, in no stated region, or races."""
    _Accesses(function, fail).statement(function.body)


class _Accesses:
    def __init__(self, function: PrimFunc, fail: Fail) -> None:
        self.fail = fail
        self.place: Place = Place()
        self.blocks: list[tuple[Block, set[Buffer]]] = []
        self.axes: list[_Axis] = []
        self.sizes: Env = {
            v: _SIZE
            for p in function.params
            for e in (p.shape if isinstance(p, Buffer) else (p,))
            for v in walk(e)
            if isinstance(v, Var)
        }

    @property
    def block(self) -> str:
        return self.blocks[-1][0].name if self.blocks else ""

    # --- statements -------------------------------------------------------------------------

    def statement(self, s: Stmt) -> None:
        match s:
            case Seq(stmts):
                self.sequence(stmts)
            case For():
                self.loop(s)
            case Block():
                self.check_block(s)
            case IfThenElse(condition, then_body, else_body):
                self.expr(condition)
                with self.under(condition):
                    self.statement(then_body)
                if else_body is not None:
                    with self.under(Not(condition)):
                        self.statement(else_body)
            case Let(var, value, body):
                self.expr(value)
                with self.inside(Bound(var, value)):
                    self.statement(body)
            case While(condition, body):
                self.expr(condition)
                with self.under(condition), self.under(stays_in(body)):
                    self.statement(body)
            case Jump(value=value) | Evaluate(value):
                self.expr(value)
            case Attr(body=body):
                self.statement(body)
            case Assert(condition):
                self.expr(condition)
            case BufferStore(buffer, indices, value):
                self.expr(value)
                self.access(buffer, indices, is_store=True)
            case _:
                assert_never(s)

    def sequence(self, stmts: Sequence[Stmt]) -> None:
        """Check statements in order, each where those before it do not jump."""
        outer = self.place
        for each in stmts:
            self.statement(each)
            condition = falls_through(each)
            if condition != ALWAYS:
                conditions = (*self.place.conditions, condition)
                self.place = replace(self.place, conditions=conditions)
        self.place = outer

    def loop(self, s: For) -> None:
        self.expr(s.min)
        self.expr(s.extent)
        with self.inside(Loop(s.var, s.min, s.extent)), self.under(stays_in(s.body)):
            if s.kind != "parallel":
                self.statement(s.body)
                return
            axis = _Axis(s.var, f"parallel loop {s.var.name}", "make the loop serial")
            with self.along(axis):
                self.statement(s.body)

    def check_block(self, s: Block) -> None:
        for i in s.iters:
            self.expr(i.binding)
        self.domains(s)
        bound = [Bound(i.var, i.binding) for i in s.iters]
        axes = [
            _Axis(
                i.var,
                f"spatial axis {i.var.name}",
                f"make {i.var.name} a reduction axis (R)",
                set(s.alloc_buffers),
            )
            for i in s.iters
            if i.kind == "S"
        ]
        for axis in self.axes:
            axis.private.update(s.alloc_buffers)
        self.blocks.append((s, set()))
        for _, inner in self.blocks:
            inner.update(s.alloc_buffers)
        with self.inside(*bound), self.under(s.predicate), self.along(*axes):
            if s.init is not None:
                self.statement(s.init)
            self.statement(s.body)
        self.blocks.pop()

    def domains(self, s: Block) -> None:
        with self.under(s.predicate):
            for i in s.iters:
                # TVM states wrong extents for axes that are bound to the start of their domain.
                if i.binding == i.domain.min:
                    continue
                for env in self.place.corners({}):
                    value = value_at(i.binding, env)
                    low, extent = value_at(i.domain.min, env), value_at(i.domain.extent, env)
                    if value is None or low is None or extent is None:
                        continue
                    if not low <= value < low + extent:
                        raise self.fail(
                            s.name,
                            f"axis {i.var.name} is bound to {value}{self.place.told(env)}, outside "
                            f"of its domain [{low}, {low + extent}); widen the domain, or leave "
                            "such iterations out by T.where",
                        )

    @contextmanager
    def inside(self, *frames: Loop | Bound) -> Generator[None]:
        outer = self.place
        self.place = replace(outer, frames=(*outer.frames, *frames))
        yield
        self.place = outer

    @contextmanager
    def under(self, condition: PrimExpr) -> Generator[None]:
        outer = self.place
        self.place = replace(outer, conditions=(*outer.conditions, condition))
        yield
        self.place = outer

    @contextmanager
    def along(self, *axes: _Axis) -> Generator[None]:
        self.axes += axes
        yield
        for axis in axes:
            self.races(axis)
            self.axes.remove(axis)

    # --- accesses ---------------------------------------------------------------------------

    def expr(self, e: PrimExpr) -> None:
        match e:
            case Select(condition, a, b, True):
                self.expr(condition)
                with self.under(condition):
                    self.expr(a)
                with self.under(Not(condition)):
                    self.expr(b)
            case BufferLoad(buffer, indices):
                self.access(buffer, indices, is_store=False)
            case Address(buffer, indices):
                self.address(buffer, indices)
            case _:
                for c in children(e):
                    self.expr(c)

    def address(self, buffer: Buffer, indices: tuple[PrimExpr, ...]) -> None:
        """Check that an address is inside, and that the block around says what may be accessed."""
        for i in indices:
            self.expr(i)
        if indices:
            self.bounds(_Access(buffer, indices, self.place, False, self.block))
        for s, own in self.blocks:
            stated = {r.buffer for r in (*s.reads, *s.writes)}
            if s.regions_inferred and stated and buffer not in own | stated:
                raise self.fail(
                    s.name,
                    f"passes the address of {buffer.name}, which neither T.reads nor T.writes "
                    "lists; add it",
                )

    def access(self, buffer: Buffer, indices: tuple[PrimExpr, ...], *, is_store: bool) -> None:
        for i in indices:
            self.expr(i)
        access = _Access(buffer, indices, self.place, is_store, self.block)
        self.bounds(access)
        for s, own in self.blocks:
            if buffer not in own:
                self.region(access, s)
        for axis in self.axes:
            if buffer not in axis.private and buffer.scope == "global":
                axis.accesses.append(access)

    def bounds(self, a: _Access) -> None:
        for env in a.place.corners({}):
            for k, (index, size) in enumerate(zip(a.indices, a.buffer.shape, strict=True)):
                value, end = value_at(index, env), value_at(size, env)
                if value is not None and end is not None and not 0 <= value < end:
                    raise self.fail(
                        a.block,
                        f"index {k} of {a.buffer.name} is {value}{a.place.told(env)}, outside of "
                        f"its {end} elements; correct it, or access only under a condition "
                        "(T.if_then_else, T.where)",
                    )

    def region(self, a: _Access, s: Block) -> None:
        """Check an access against what the block around says that it reads or writes."""
        stated = s.writes if a.is_store else s.reads
        if not s.regions_inferred or not stated:
            return
        # What a block writes it may read, as a reduction does.
        regions = [r for r in (*stated, *s.writes) if r.buffer is a.buffer]
        verb, form = ("writes", "T.writes") if a.is_store else ("reads", "T.reads")
        if not regions:
            raise self.fail(s.name, f"{verb} {a.buffer.name}, which {form} does not list; add it")
        for env in a.place.corners(self.sizes):
            values = [value_at(i, env) for i in a.indices]
            if any(_may_cover(r, values, env) for r in regions):
                continue
            at = ", ".join("?" if v is None else str(v) for v in values)
            raise self.fail(
                s.name,
                f"{verb} {a.buffer.name}[{at}]{a.place.told(env)}, outside of the region that "
                f"{form} lists; widen the region",
            )

    # --- parallel loops ---------------------------------------------------------------------

    def races(self, axis: _Axis) -> None:
        """Check that no element is written in one iteration and accessed in another."""
        written: dict[tuple[Buffer, tuple[int, ...]], tuple[int, Env]] = {}
        for a in sorted(axis.accesses, key=lambda a: not a.is_store):
            for env, element in self._elements(a):
                here = env.get(axis.var)
                if here is None:
                    continue
                key = (a.buffer, element)
                there, other = written.get(key, (here, env))
                if there != here:
                    at = ", ".join(map(str, element))
                    verb = "written again" if a.is_store else "read"
                    name = axis.var.name
                    raise self.fail(
                        a.block,
                        f"{a.buffer.name}[{at}] is written at {name} = {there} and {verb} at "
                        f"{name} = {here} of the {axis.what}, whose iterations run in any order; "
                        f"{axis.remedy}, or index {a.buffer.name} by it",
                    )
                if a.is_store:
                    written[key] = (here, other)

    def _elements(self, a: _Access) -> Iterator[tuple[Env, tuple[int, ...]]]:
        for env in a.place.neighbours(self.sizes):
            values = [value_at(i, env) for i in a.indices]
            known = [v for v in values if v is not None]
            if len(known) == len(values):
                yield env, tuple(known)


def _may_cover(region: BufferRegion, values: Sequence[int | None], env: Env) -> bool:
    for value, r in zip(values, region.ranges, strict=True):
        low, extent = value_at(r.min, env), value_at(r.extent, env)
        if value is None or low is None or extent is None:
            continue
        if not low <= value < low + extent:
            return False
    return True
