"""`collapse_axes`: drop axes of size 1, fuse neighbouring axes that every access treats as one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from eqsat.ir._simplify import simplify
from eqsat.ir.tir import (
    Buffer,
    BufferLoad,
    IntImm,
    PrimExpr,
    PrimFunc,
    Var,
    binary,
    children,
    rebuild,
    walk,
)
from eqsat.lowering.schedule._stages import Stage, naive_func, read_stages, replace_exprs


def collapse_axes(func: PrimFunc, free: Collection[int] = ()) -> PrimFunc:
    """Return `func` with fewer axes and dims; buffers keep their elements in row-major order.

    Terms whose `id` is in `free` do not prevent a fusion; they then index by `//` and `%`.
    """
    stages, params = _drop_units(read_stages(func), func.params)
    merged = _Merging(stages, params, free)
    merged.solve()
    stages, params = merged.apply()
    return naive_func(func.name, params, stages, func.attrs)


def _is_one(e: PrimExpr) -> bool:
    return isinstance(e, IntImm) and e.value == 1


def _buffers(stages: Sequence[Stage], params: Sequence[Buffer | Var]) -> list[Buffer]:
    found = {b: None for b in params if isinstance(b, Buffer)}
    return list(found | {s.buffer: None for s in stages})


def _drop_units(
    stages: Sequence[Stage], params: Sequence[Buffer | Var]
) -> tuple[list[Stage], list[Buffer]]:
    kept: dict[Buffer, list[int]] = {}
    new: dict[Buffer, Buffer] = {}
    for b in _buffers(stages, params):
        kept[b] = [k for k, d in enumerate(b.shape) if not _is_one(d)]
        same = len(kept[b]) == len(b.shape)
        new[b] = b if same else replace(b, shape=tuple(b.shape[k] for k in kept[b]))

    def redirect(load: BufferLoad) -> BufferLoad:
        target = new[load.buffer]
        if target is load.buffer:
            return load
        return BufferLoad(target, tuple(load.indices[k] for k in kept[load.buffer]))

    result: list[Stage] = []
    for s in stages:
        axes = list(zip(s.axes, s.extents, strict=True))
        reduced = list(zip(s.reduce_axes, s.reduce_extents, strict=True))
        units = {v: IntImm(0) for v, e in axes + reduced if _is_one(e)}
        value = map_loads(replace_exprs(s.value, units), redirect)
        axes = [(v, e) for v, e in axes if v not in units]
        reduced = [(v, e) for v, e in reduced if v not in units]
        result.append(
            Stage(
                s.name,
                new[s.buffer],
                tuple(v for v, _ in axes),
                tuple(e for _, e in axes),
                simplify(value, s.ranges()) if units else value,
                s.combiner if reduced else None,
                tuple(v for v, _ in reduced),
                tuple(e for _, e in reduced),
            )
        )
    return result, [new[b] for b in params if isinstance(b, Buffer)]


def map_loads(e: PrimExpr, f: Callable[[BufferLoad], PrimExpr]) -> PrimExpr:
    """Return `e` with `f` applied to every load, inner ones first."""
    memo: dict[int, PrimExpr] = {}

    def visit(n: PrimExpr) -> PrimExpr:
        key = id(n)
        if key not in memo:
            old = children(n)
            args = [visit(c) for c in old]
            same = all(a is o for a, o in zip(args, old, strict=True))
            result = n if same else rebuild(n, args)
            memo[key] = f(result) if isinstance(result, BufferLoad) else result
        return memo[key]

    return visit(e)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Axes `first` and `first + 1` of a stage's nest, or dims of a buffer."""

    owner: int  # id of the stage or buffer
    first: int


class _Merging:
    def __init__(self, stages: list[Stage], params: list[Buffer], free: Collection[int]) -> None:
        self.stages = stages
        self.params = params
        self.free = free
        self.merged: set[_Pair] = set()
        self.links: list[tuple[_Pair, _Pair]] = []

    def solve(self) -> None:
        blocked: set[_Pair] = set()
        for b in _buffers(self.stages, self.params):
            self.merged |= {_Pair(id(b), k) for k in range(len(b.shape) - 1)}
        for s in self.stages:
            axes, extents = _all_axes(s)
            pairs = {k for k in range(len(axes) - 1) if k + 1 != len(s.axes)}
            self.merged |= {_Pair(id(s), k) for k in pairs}
            self.merged -= {_Pair(id(s), k) for k in range(len(axes) - 1) if k not in pairs}
            for buffer, indices, is_free in _accesses(s, self.free):
                blocked |= self.access(s, axes, extents, buffer, indices, is_free)
        self.merged -= blocked
        changed = True
        while changed:
            changed = False
            for a, b in self.links:
                if (a in self.merged) != (b in self.merged):
                    self.merged -= {a, b}
                    changed = True

    def access(
        self,
        s: Stage,
        axes: Sequence[Var],
        extents: Sequence[PrimExpr],
        buffer: Buffer,
        indices: Sequence[PrimExpr],
        is_free: bool,
    ) -> set[_Pair]:
        """Record the links of one access; return what it forbids."""
        if is_free:
            return {_Pair(id(buffer), d) for d in range(len(indices) - 1)}
        position = {v: k for k, v in enumerate(axes)}
        linked_axes: set[int] = set()
        linked_dims: set[int] = set()
        for d in range(len(indices) - 1):
            index = indices[d]
            k = position.get(index) if isinstance(index, Var) else None
            if k is None or k + 1 >= len(axes) or indices[d + 1] is not axes[k + 1]:
                continue
            # The outer extent may differ (a slice of rows): only the inner one shapes the address.
            if extents[k + 1] != buffer.shape[d + 1] or extents[k] != buffer.shape[d]:
                continue
            self.links.append((_Pair(id(s), k), _Pair(id(buffer), d)))
            linked_axes.add(k)
            linked_dims.add(d)
        blocked = {_Pair(id(buffer), d) for d in range(len(indices) - 1) if d not in linked_dims}
        # An axis may be fused with a neighbour only where every index that has it is linked.
        for d, index in enumerate(indices):
            for v in {n for n in walk(index) if isinstance(n, Var)}:
                k = position.get(v)
                if k is None:
                    continue
                if not (isinstance(index, Var) and k in linked_axes and d in linked_dims):
                    blocked.add(_Pair(id(s), k))
                if not (isinstance(index, Var) and k - 1 in linked_axes and d - 1 in linked_dims):
                    blocked.add(_Pair(id(s), k - 1))
        return blocked

    def apply(self) -> tuple[list[Stage], list[Buffer]]:
        new = {b: self._merged_buffer(b) for b in _buffers(self.stages, self.params)}
        return [self._merged_stage(s, new) for s in self.stages], [new[b] for b in self.params]

    def _groups(self, owner: object, count: int) -> list[list[int]]:
        groups: list[list[int]] = []
        for k in range(count):
            if groups and _Pair(id(owner), k - 1) in self.merged:
                groups[-1].append(k)
            else:
                groups.append([k])
        return groups

    def _merged_buffer(self, b: Buffer) -> Buffer:
        groups = self._groups(b, len(b.shape))
        if len(groups) == len(b.shape):
            return b
        return replace(b, shape=tuple(_product([b.shape[k] for k in g]) for g in groups))

    def _merged_stage(self, s: Stage, new: dict[Buffer, Buffer]) -> Stage:
        axes, extents = _all_axes(s)
        env: dict[Var, PrimExpr] = {}
        fused: list[tuple[Var, PrimExpr, bool]] = []
        ranges: dict[Var, tuple[PrimExpr, PrimExpr]] = {}
        for g in self._groups(s, len(axes)):
            var = axes[g[0]] if len(g) == 1 else Var(f"v_{''.join(_short(axes[k]) for k in g)}")
            extent = _product([extents[k] for k in g])
            fused.append((var, extent, g[0] < len(s.axes)))
            ranges[var] = (IntImm(0), extent)
            if len(g) > 1:
                env |= _split_index(var, [axes[k] for k in g], [extents[k] for k in g])

        def redirect(load: BufferLoad) -> BufferLoad:
            target = new[load.buffer]
            if target is load.buffer:
                return load
            groups = self._groups(load.buffer, len(load.buffer.shape))
            flat: list[PrimExpr] = []
            for g in groups:
                index: PrimExpr = load.indices[g[0]]
                for k in g[1:]:
                    index = binary("*", index, load.buffer.shape[k])
                    index = binary("+", index, load.indices[k])
                flat.append(index)
            return BufferLoad(target, tuple(flat))

        value = s.value
        if env or any(b is not c for b, c in new.items()):
            value = simplify(replace_exprs(map_loads(value, redirect), env), ranges)
        return replace(
            s,
            buffer=new[s.buffer],
            axes=tuple(v for v, _, spatial in fused if spatial),
            extents=tuple(e for _, e, spatial in fused if spatial),
            value=value,
            reduce_axes=tuple(v for v, _, spatial in fused if not spatial),
            reduce_extents=tuple(e for _, e, spatial in fused if not spatial),
        )


def _short(v: Var) -> str:
    return v.name.removeprefix("v_")


def _product(extents: Sequence[PrimExpr]) -> PrimExpr:
    result = extents[0]
    for e in extents[1:]:
        result = binary("*", result, e)
    return result


def _split_index(var: Var, axes: Sequence[Var], extents: Sequence[PrimExpr]) -> dict[Var, PrimExpr]:
    """Return each axis as a function of the fused variable."""
    env: dict[Var, PrimExpr] = {}
    inner: PrimExpr = IntImm(1)
    for k in range(len(axes) - 1, -1, -1):
        index = binary("//", var, inner)
        env[axes[k]] = binary("%", index, extents[k]) if k else index
        inner = binary("*", inner, extents[k])
    return env


def _all_axes(s: Stage) -> tuple[tuple[Var, ...], tuple[PrimExpr, ...]]:
    return (*s.axes, *s.reduce_axes), (*s.extents, *s.reduce_extents)


def _accesses(
    s: Stage, free: Collection[int]
) -> Iterator[tuple[Buffer, tuple[PrimExpr, ...], bool]]:
    """Yield every access; an axis used outside of loads (a mask) is one that fuses nothing."""
    yield s.buffer, s.axes, False
    stack: list[tuple[PrimExpr, bool]] = [(s.value, False)]
    while stack:
        n, is_free = stack.pop()
        is_free = is_free or id(n) in free
        if isinstance(n, BufferLoad):
            yield n.buffer, n.indices, is_free
            stack.extend((c, True) for c in n.indices if not isinstance(c, Var))
        elif isinstance(n, Var) and not is_free:
            yield _SCALARS, (n,), False
        else:
            stack.extend((c, is_free) for c in children(n))


_SCALARS = Buffer("scalars", (IntImm(1),), "int64")
