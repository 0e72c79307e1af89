"""From a function over tensor expressions to a PrimFunc and the `call_tir` of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._call_ops import CALL_OPS
from eqsat.ir._expr import Call, Constant, Expr, GlobalVar, PrimValue, ShapeExpr, Tuple, Var
from eqsat.ir._normalize import is_known
from eqsat.ir._te import Combiner, ProducerLoad, Reduce, Tensor, placeholder
from eqsat.ir._tir import (
    Binary,
    BinaryOp,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    For,
    IntImm,
    IterVar,
    PrimExpr,
    PrimFunc,
    Range,
    Select,
    Stmt,
    from_dim,
    seq,
    shape_var,
)
from eqsat.ir._tir import Var as TirVar
from eqsat.ir._types import TensorType, TupleType, TypeCheckError
from eqsat.ir._visit import map_expr, topological_tensors, walk
from eqsat.ir._wellformed_tir import check_primfunc
from eqsat.shapes import sym

_OPS: dict[Combiner, BinaryOp] = {"sum": "+", "prod": "*", "max": "max", "min": "min"}


@dataclass(frozen=True, eq=False, slots=True)
class Declared:
    """A PrimFunc and what it is called with: tensors, then scalars, giving `result`."""

    func: PrimFunc
    tensors: tuple[Expr, ...]
    scalars: tuple[PrimValue, ...]
    result: TensorType | TupleType

    def call(self, name: str) -> Call:
        """Return the call of the function under its name in the module."""
        args = (GlobalVar(name), *self.tensors, *self.scalars)
        return Call(CALL_OPS["call_tir"], args, {}, self.result)


def declare_te(
    fn: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object], name: str
) -> Declared:
    """Return the PrimFunc `name` of what `fn` computes from `args`.

    Tensors become `te` tensors wherever they stand in tuples, lists and dicts, a shape becomes its
    dims, an int64 scalar its dim; all else is passed on as it is.

    Raises:
        TypeCheckError: an argument has an unknown shape, `fn` returns no computed tensor, or an
            expression mixes dtypes or uses what is not its own.
    """
    given = _Arguments(name)
    found = fn(
        *(given.convert(a) for a in args), **{k: given.convert(a) for k, a in kwargs.items()}
    )
    outputs = _outputs(found, name)
    func, symbols = _function(name, list(given.tensors), outputs)
    types = tuple(TensorType(t.shape, t.dtype) for t in outputs)
    result = types[0] if isinstance(found, Tensor) else TupleType(types)
    scalars = tuple(PrimValue(sym(s)) for s in symbols)
    return Declared(func, tuple(given.tensors.values()), scalars, result)


@dataclass(eq=False)
class _Arguments:
    name: str
    tensors: dict[Tensor, Expr] = field(default_factory=dict[Tensor, Expr])

    def convert(self, arg: object) -> object:
        match arg:
            case Tuple(fields):
                return tuple(map(self.convert, fields))
            case ShapeExpr(dims):
                return dims
            case PrimValue(value):
                return value
            case _ if isinstance(arg, Expr):
                return self._tensor(arg)
            case np.ndarray() | np.generic():
                return self._tensor(Constant(np.asarray(cast("NDArray[Any]", arg))))
            case tuple() | list():
                items = cast("Sequence[object]", arg)
                converted = [self.convert(a) for a in items]
                return converted if isinstance(arg, list) else tuple(converted)
            case dict():
                named = cast("dict[object, object]", arg)
                return {k: self.convert(v) for k, v in named.items()}
            case _:
                return arg

    def _tensor(self, e: Expr) -> Tensor:
        ty = e.type
        label = e.name if isinstance(e, Var) else f"arg{len(self.tensors)}"
        if not isinstance(ty, TensorType) or not is_known(ty):
            raise TypeCheckError(
                f"{self.name}: {label} is {ty}, but te takes tensors of known shape and dtype; "
                "match_cast it first"
            )
        for known, other in self.tensors.items():
            if other is e:
                return known
        tensor = placeholder(label, ty.dims, ty.dtype)
        self.tensors[tensor] = e
        return tensor


def _outputs(found: object, name: str) -> tuple[Tensor, ...]:
    is_one = not isinstance(found, (tuple, list))
    items = (found,) if is_one else tuple(cast("Sequence[object]", found))
    outputs = tuple(t for t in items if isinstance(t, Tensor) and not t.is_input)
    if not outputs or len(outputs) != len(items):
        wrong = next((t for t in items if t not in outputs), None)
        what = f"its input {wrong.name}" if isinstance(wrong, Tensor) else type(wrong).__name__
        raise TypeCheckError(f"{name}: the function must return te.compute(...), got {what}")
    if len(set(outputs)) < len(outputs):
        raise TypeCheckError(f"{name}: the function returns one tensor twice; return it once")
    return outputs


def _function(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[PrimFunc, list[str]]:
    """Return the function, and the symbols that are scalar parameters of it."""
    stages = [t for t in topological_tensors(outputs) if not t.is_input]
    buffers = {t: _buffer(t) for t in (*inputs, *stages)}
    nests = [_Stage(name, t, buffers).nest() for t in stages]
    symbols = _loose_symbols(stages, [*inputs, *outputs])
    params = (
        *(buffers[t] for t in inputs),
        *(shape_var(s) for s in symbols),
        *(buffers[t] for t in outputs),
    )
    inner = tuple(buffers[t] for t in stages if t not in outputs)
    func = PrimFunc(name, params, seq(*nests), inner, is_private=True)
    check_primfunc(func, name)
    return func, symbols


def _buffer(t: Tensor) -> Buffer:
    return Buffer(t.name, tuple(from_dim(d) for d in t.shape), t.dtype)


def _loose_symbols(stages: Sequence[Tensor], params: Sequence[Tensor]) -> list[str]:
    """Return the symbols that are no axis of a parameter by themselves, so no shape binds them."""
    bound = {v.name for t in params for d in t.shape if isinstance(v := from_dim(d), TirVar)}
    sizes = [from_dim(d) for t in (*params, *stages) for d in t.shape]
    for t in stages:
        value = _value(t)
        own = {*t.axes, *(a.var for a in _axes(t))}
        sizes += [v for v in walk(value) if isinstance(v, TirVar) and v not in own]
        sizes += [a.domain.extent for a in _axes(t)]
    return sorted({v.name for e in sizes for v in walk(e) if isinstance(v, TirVar)} - bound)


def _value(t: Tensor) -> PrimExpr:
    assert t.body is not None
    return t.body.value if isinstance(t.body, Reduce) else t.body


def _axes(t: Tensor) -> tuple[IterVar, ...]:
    return t.body.axes if isinstance(t.body, Reduce) else ()


@dataclass(frozen=True, eq=False, slots=True)
class _Stage:
    """One loop nest around one block, as `te.create_prim_func` writes it."""

    function: str
    tensor: Tensor
    buffers: Mapping[Tensor, Buffer]

    def nest(self) -> Stmt:
        t = self.tensor
        self._check()
        # The iterators of a block are its own, even where two stages share a `reduce_axis`.
        pairs = [(v, from_dim(d), "S") for v, d in zip(t.axes, t.shape, strict=True)]
        pairs += [(a.var, a.domain.extent, "R") for a in _axes(t)]
        fresh = {v: TirVar(v.name, v.dtype) for v, _, _ in pairs}
        loops = [TirVar(v.name.removeprefix("v_"), v.dtype) for v, _, _ in pairs]
        iters = tuple(
            IterVar(fresh[v], Range(IntImm(0), e), "S" if kind == "S" else "R", loop)
            for (v, e, kind), loop in zip(pairs, loops, strict=True)
        )
        stmt: Stmt = self._block(iters, fresh)
        for loop, (_, e, _) in reversed(list(zip(loops, pairs, strict=True))):
            stmt = For(loop, IntImm(0), e, stmt)
        return stmt

    def _block(self, iters: tuple[IterVar, ...], fresh: Mapping[TirVar, TirVar]) -> Block:
        t, buffer = self.tensor, self.buffers[self.tensor]
        at = tuple(fresh[v] for v in t.axes)
        value = map_expr(_value(t), lambda n: self._own(n, fresh))
        init: Stmt | None = None
        if isinstance(t.body, Reduce):
            value = Binary(_OPS[t.body.combiner], BufferLoad(buffer, at), value)
            init = BufferStore(buffer, at, t.body.identity)
        store = BufferStore(buffer, at, value)
        return Block(t.name, iters, (), (), store, init, regions_inferred=False)

    def _own(self, n: PrimExpr, fresh: Mapping[TirVar, TirVar]) -> PrimExpr:
        if isinstance(n, ProducerLoad):
            return BufferLoad(self.buffers[n.tensor], n.indices)
        return fresh.get(n, n) if isinstance(n, TirVar) else n

    def _check(self) -> None:
        own = {*self.tensor.axes, *(a.var for a in _axes(self.tensor))}
        for n in walk(_value(self.tensor)):
            if isinstance(n, ProducerLoad) and n.tensor not in self.buffers:
                raise self._error(f"reads {n.tensor.name}, which is no argument of the function")
            if isinstance(n, TirVar) and n not in own and shape_var(n.name) is not n:
                raise self._error(
                    f"uses the index {n.name.removeprefix('v_')}, which is neither one of its axes "
                    "nor reduced over"
                )
            sides = (n.a, n.b) if isinstance(n, (Binary, Select)) else ()
            if sides and sides[0].dtype != sides[1].dtype:
                raise self._error(
                    f"mixes {sides[0].dtype} and {sides[1].dtype}; te.cast one of them"
                )

    def _error(self, what: str) -> TypeCheckError:
        return TypeCheckError(f"{self.function}: the te.compute of {self.tensor.name} {what}")


def te_name(fn: Callable[..., object]) -> str:
    """Return the name of a function, `te_compute` for one without."""
    name = getattr(fn, "__name__", "")
    return name if name.isidentifier() else "te_compute"
