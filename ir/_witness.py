"""Iterations of a PrimFunc at which something goes wrong, found by trying some.

What is found is real; where a value depends on memory or on an unknown size nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from eqsat.ir._tir import Binary, Cast, IntImm, Intrinsic, Not, PrimExpr, Select, Var, binary
from eqsat.shapes import is_int

_VALUES = 8

Env = Mapping[Var, int]


@dataclass(frozen=True, slots=True)
class Loop:
    """A variable that takes each of `extent` values from `low` on."""

    var: Var
    low: PrimExpr
    extent: PrimExpr


@dataclass(frozen=True, slots=True)
class Bound:
    """A variable that has one value."""

    var: Var
    value: PrimExpr


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement stands: what is bound around it, and the conditions that hold there."""

    frames: tuple[Loop | Bound, ...] = ()
    conditions: tuple[PrimExpr, ...] = ()

    def corners(self, sizes: Env) -> Iterator[Env]:
        """Yield iterations where loops are at their ends: all, and each against the others."""
        loops = [f.var for f in self.frames if isinstance(f, Loop)]
        yield from self._at({}, sizes, last=False)
        yield from self._at({}, sizes, last=True)
        for var in loops[:-1] if len(loops) > 1 else ():
            yield from self._at({var: -1}, sizes, last=False)
            yield from self._at({var: 0}, sizes, last=True)

    def neighbours(self, sizes: Env) -> Iterator[Env]:
        """Yield iterations where one loop varies, the others at their first."""
        yield from self._at({}, sizes, last=False)
        for f in self.frames:
            if isinstance(f, Loop):
                for k in (*range(1, _VALUES), -1):
                    yield from self._at({f.var: k}, sizes, last=False)

    def _at(self, given: Env, sizes: Env, *, last: bool) -> Iterator[Env]:
        """Yield the iteration with the given numbers of iterations, if there is one."""
        env = dict(sizes)
        for f in self.frames:
            match f:
                case Bound(var, value):
                    found = value_at(value, env)
                    if found is not None:
                        env[var] = found
                case Loop(var, low, extent):
                    first, count = value_at(low, env), value_at(extent, env)
                    if first is None or count is None:
                        return
                    k = given.get(var, -1 if last else 0)
                    k = count - 1 if k < 0 else k
                    if not 0 <= k < count:
                        return
                    env[var] = first + k
        if all(value_at(c, env) for c in self.conditions):
            yield env

    def told(self, env: Env) -> str:
        """Return the iteration `env` in words."""
        shown = [f"{f.var.name} = {env[f.var]}" for f in self.frames if f.var in env]
        return f" at {', '.join(shown)}" if shown else ""


def value_at(e: PrimExpr, env: Env) -> int | None:
    """Return the value of an integer or a condition, None where it is not known."""
    match e:
        case IntImm(value):
            return value
        case Var():
            return env.get(e)
        case Not(a):
            inner = value_at(a, env)
            return None if inner is None else int(not inner)
        case Cast(dtype, a) if is_int(dtype) and is_int(a.dtype):
            return value_at(a, env)
        case Intrinsic("likely", (a,)):
            return value_at(a, env)
        case Intrinsic("if_then_else", (c, a, b)) | Select(c, a, b):
            chosen = value_at(c, env)
            return None if chosen is None else value_at(a if chosen else b, env)
        case Binary(op, a, b):
            return _folded(op, [value_at(a, env), value_at(b, env)])
        case _:
            return None


def _folded(op: str, values: Iterable[int | None]) -> int | None:
    a, b = values
    absorbing = {"and": 0, "or": 1}.get(op)
    if absorbing is not None and absorbing in (a, b):
        return absorbing
    if a is None or b is None:
        return None
    result = binary(op, IntImm(a), IntImm(b))  # type: ignore[arg-type]
    return result.value if isinstance(result, IntImm) else None
