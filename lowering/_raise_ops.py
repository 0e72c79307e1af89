"""Calls of PrimFuncs written as calls of operators, so that rules and fusion see inside them.

A PrimFunc is written so where each of its stages is elementwise arithmetic, a reduction of it, or a
product of matrices over whole tensors: read as they are, transposed or broadcast. What reads at
other places stays a PrimFunc, and is raised when it is lowered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eqsat.ir import (
    BindingBlock,
    Call,
    Constant,
    Copier,
    Expr,
    Function,
    Inlined,
    IRModule,
    PrimFunc,
    SeqExpr,
    Tuple,
    TypeCheckError,
    Var,
    VarBinding,
    make_call,
    op,
)
from eqsat.ir.tir import (
    Binary,
    Buffer,
    BufferLoad,
    Cast,
    FloatImm,
    IntImm,
    Intrinsic,
    Not,
    PrimExpr,
    Select,
    walk,
)
from eqsat.ir.tir import Var as TirVar
from eqsat.lowering._errors import LoweringError
from eqsat.lowering._kernel import to_dim
from eqsat.lowering._primfuncs import PrimCall, prim_call
from eqsat.lowering._raise import COMBINERS, RaisedStage, read_raised, same_extent
from eqsat.shapes import EqsatError, ShapeError, is_float, numpy_dtype

_BINARY = {
    "+": "add", "-": "subtract", "*": "multiply", "max": "maximum", "min": "minimum",
    "==": "equal", "!=": "not_equal", "<": "less", "<=": "less_equal", ">": "greater",
    ">=": "greater_equal", "and": "logical_and", "or": "logical_or",
}  # fmt: skip
_FLOAT_INTRINSICS = {
    **{
        name: name
        for name in (
            "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp",
            "floor", "log", "rsqrt", "sigmoid", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
        )
    },
    "abs": "abs",
    "fabs": "abs",
    "pow": "power",
}  # fmt: skip


def calls_as_operators(module: IRModule) -> IRModule:
    """Return `module` with calls of PrimFuncs written as operators wherever that says the same."""
    if not any(isinstance(f, PrimFunc) for f in module.functions.values()):
        return module

    def replacement(call: Call) -> Inlined | None:
        p = prim_call(module, call)
        return None if p is None or any(k >= 0 for k in p.inplace) else _as_operators(p, call)

    functions = {
        n: Copier(replace=replacement).function(f)
        if isinstance(f, Function) and not f.attrs.get("primitive")
        else f
        for n, f in module.functions.items()
    }
    return IRModule(functions, module.attrs, module.extern_funcs, module.global_infos)


def _as_operators(p: PrimCall, call: Call) -> Inlined | None:
    stages = read_raised(p.func, len(p.tensors))
    buffers = [b for b in p.func.params if isinstance(b, Buffer)]
    outputs = buffers[len(p.tensors) :]
    if stages is None or not set(outputs) <= {s.buffer for s in stages}:
        return None
    params = [Var(b.name, e.type) for b, e in zip(buffers, p.tensors, strict=False)]
    writer = _Writer(dict(zip(buffers, params, strict=False)))
    try:
        for s in stages:
            writer.stage(s)
    except (_NoOperatorError, TypeCheckError, ShapeError, LoweringError):
        return None  # no operator takes these dtypes or sizes
    results = [writer.tensors[b] for b in outputs]
    if [r.type for r in results] != list(p.outputs):
        return None
    result = Tuple(tuple(results)) if len(results) > 1 else results[0]
    body = SeqExpr((BindingBlock(tuple(writer.bindings), is_dataflow=False),), result)
    return Inlined(body, dict(zip(params, p.tensors, strict=True)), {})


class _NoOperatorError(EqsatError):
    """An expression that no operator computes."""


@dataclass(eq=False)
class _Writer:
    tensors: dict[Buffer, Expr]
    bindings: list[VarBinding] = field(default_factory=list[VarBinding])

    def stage(self, s: RaisedStage) -> None:
        """Bind what stands for the buffer of a stage."""
        product = _product(s)
        if product is not None:
            self.tensors[s.buffer] = self._multiply(product, s)
            return
        space = _space(s)
        value = _Elements(self, space).value(s.value)
        sizes = _sizes(s)
        if s.combiner is not None:
            axes = tuple(space.index(i.var) for i in s.reduced)
            value = self.emit(s.combiner, value, axis=axes, keepdims=False)
            if s.init is not None:
                symbol = next(b for b, c in COMBINERS.items() if c == s.combiner)
                value = self.emit(_BINARY.get(symbol, ""), value, _number(s.init))
        shape = tuple(to_dim(sizes[v]) for v in s.axes if v is not None)
        if getattr(value.type, "shape", None) != shape:
            value = self.emit("broadcast_to", value, shape)
        ones = tuple(k for k, v in enumerate(s.axes) if v is None)
        if ones:
            value = self.emit("expand_dims", value, axis=ones)
        if getattr(value.type, "dtype", "") != s.buffer.dtype:
            raise _NoOperatorError(f"{s.buffer.name} has another dtype")
        self.tensors[s.buffer] = value

    def _multiply(self, p: _Product, s: RaisedStage) -> Expr:
        """Bind a product of matrices, its axes where the stage has them."""
        operands: list[Expr] = []
        for load, order in ((p.left, p.left_order), (p.right, p.right_order)):
            tensor = self.tensors[load.buffer]
            axes = tuple(load.indices.index(v) for v in order)
            operands.append(self._permuted(tensor, axes))
        product = self.emit("matmul", *operands, out_dtype=s.buffer.dtype)
        order = [*p.left_order[:-1], *p.right_order[len(p.batch) + 1 :]]
        return self._permuted(product, tuple(order.index(v) for v in s.axes if v is not None))

    def _permuted(self, tensor: Expr, axes: tuple[int, ...]) -> Expr:
        if axes == tuple(range(len(axes))):
            return tensor
        return self.emit("permute_dims", tensor, axes=axes)

    def emit(self, name: str, *args: object, **attrs: object) -> Expr:
        """Bind the call of an operator."""
        if not name:
            raise _NoOperatorError("no operator combines so")
        call = make_call(op(name), *args, **attrs)  # type: ignore[arg-type]
        var = Var(name.rpartition(".")[2], call.type)
        self.bindings.append(VarBinding(var, call))
        return var


@dataclass(frozen=True, eq=False, slots=True)
class _Product:
    """A sum of products: `left` over batch, rows, `summed`; `right` over batch, it and columns."""

    left: BufferLoad
    right: BufferLoad
    batch: tuple[TirVar, ...]
    rows: tuple[TirVar, ...]
    columns: tuple[TirVar, ...]
    summed: TirVar

    @property
    def left_order(self) -> tuple[TirVar, ...]:
        return (*self.batch, *self.rows, self.summed)

    @property
    def right_order(self) -> tuple[TirVar, ...]:
        return (*self.batch, self.summed, *self.columns)


def _product(s: RaisedStage) -> _Product | None:
    """Return the product of matrices that a stage is; None where it is none."""
    if s.combiner != "sum" or s.init is not None or len(s.reduced) != 1 or None in s.axes:
        return None
    if not isinstance(s.value, Binary) or s.value.op != "*":
        return None
    left, right = _factor(s.value.a, s), _factor(s.value.b, s)
    (k,) = (i.var for i in s.reduced)
    if left is None or right is None or k not in left.indices or k not in right.indices:
        return None
    spatial = [v for v in s.axes if v is not None]
    batch = tuple(v for v in spatial if v in left.indices and v in right.indices)
    rows = tuple(v for v in spatial if v in left.indices and v not in right.indices)
    columns = tuple(v for v in spatial if v in right.indices and v not in left.indices)
    if len(batch) + len(rows) + len(columns) != len(spatial) or len(columns) != 1:
        return None
    if not rows or (batch and len(rows) > 1):
        return None
    return _Product(left, right, batch, rows, columns, k)


def _factor(e: PrimExpr, s: RaisedStage) -> BufferLoad | None:
    """Return the load of a whole tensor, an axis for each index, that a factor is."""
    inner = e.value if isinstance(e, Cast) and e.dtype == s.buffer.dtype else e
    if not isinstance(inner, BufferLoad) or len(set(inner.indices)) < len(inner.indices):
        return None
    sizes = _sizes(s)
    for i, d in zip(inner.indices, inner.buffer.shape, strict=True):
        if not isinstance(i, TirVar) or i not in sizes or not same_extent(sizes[i], d):
            return None
    return inner


@dataclass(eq=False)
class _Elements:
    """Writes the elements over `space` as tensors that broadcast over it."""

    writer: _Writer
    space: Sequence[TirVar]
    known: dict[int, Expr] = field(default_factory=dict[int, Expr])

    def value(self, e: PrimExpr) -> Expr:
        """Return the tensor of `e`."""
        if id(e) not in self.known:
            self.known[id(e)] = self._value(e)
        return self.known[id(e)]

    def _value(self, e: PrimExpr) -> Expr:
        emit = self.writer.emit
        match e:
            case FloatImm() | IntImm():
                return _number(e)
            case Binary("/", a, b) if is_float(e.dtype):
                return emit("divide", self.value(a), self.value(b))
            case Binary(symbol, a, b) if symbol in _BINARY and a.dtype == b.dtype:
                return emit(_BINARY[symbol], self.value(a), self.value(b))
            case Intrinsic(name, args) if name in _FLOAT_INTRINSICS and is_float(e.dtype):
                return emit(_FLOAT_INTRINSICS[name], *(self.value(a) for a in args))
            case Select(condition, a, b):
                return emit("where", self.value(condition), self.value(a), self.value(b))
            case Not(a):
                return emit("logical_not", self.value(a))
            case Cast(dtype, a):
                return emit("astype", self.value(a), dtype=dtype)
            case BufferLoad():
                return self._load(e)
            case _:
                raise _NoOperatorError(f"no operator computes {type(e).__name__}")

    def _load(self, e: BufferLoad) -> Expr:
        """Return the tensor with its axes where the space has them."""
        tensor = self.writer.tensors[e.buffer]
        places = _places(e, self.space)
        if _broadcasts(places, len(self.space)):
            return tensor
        ones = tuple(k for k, p in enumerate(places) if p is None)
        if ones:
            tensor = self.writer.emit("squeeze", tensor, axis=ones)
        kept = [p for p in places if p is not None]
        order = sorted(range(len(kept)), key=lambda k: kept[k])
        if order != list(range(len(kept))):
            tensor = self.writer.emit("permute_dims", tensor, axes=tuple(order))
        first = min(kept, default=len(self.space))
        missing = tuple(k - first for k in range(first, len(self.space)) if k not in kept)
        return self.writer.emit("expand_dims", tensor, axis=missing) if missing else tensor


def _number(e: PrimExpr) -> Constant:
    if not isinstance(e, (FloatImm, IntImm)):
        raise _NoOperatorError("a reduction begins with what is no number")
    return Constant(np.asarray(e.value, numpy_dtype(e.dtype)))


def _sizes(s: RaisedStage) -> dict[TirVar, PrimExpr]:
    sizes = {v: d for v, d in zip(s.axes, s.buffer.shape, strict=True) if v is not None}
    return sizes | {i.var: i.domain.extent for i in s.reduced}


def _space(s: RaisedStage) -> list[TirVar]:
    """Return the indices of a stage in the order in which its tensors have them as axes.

    Raises:
        _NoOperatorError: a load reads other than whole axes, or a reduction has no tensor of all.
    """
    sizes = _sizes(s)
    loads = [n for n in walk(s.value) if isinstance(n, BufferLoad)]
    for load in loads:
        for i, d in zip(load.indices, load.buffer.shape, strict=True):
            if isinstance(i, TirVar) and i in sizes and same_extent(sizes[i], d):
                continue
            if not (isinstance(i, IntImm) and i.value == 0 and d == IntImm(1, d.dtype)):
                raise _NoOperatorError(f"{load.buffer.name} is read in part")
    spatial = [v for v in s.axes if v is not None]
    if s.combiner is None:
        return spatial
    for load in loads:
        space = [i for i in load.indices if isinstance(i, TirVar)]
        is_whole = len(space) == len(sizes) == len(set(space))
        if is_whole and [v for v in space if v in spatial] == spatial:
            return space
    raise _NoOperatorError("no tensor has all axes of the reduction")


def _places(load: BufferLoad, space: Sequence[TirVar]) -> list[int | None]:
    places = [space.index(i) if isinstance(i, TirVar) else None for i in load.indices]
    kept = [p for p in places if p is not None]
    if len(set(kept)) < len(kept):
        raise _NoOperatorError(f"{load.buffer.name} is read along a diagonal")
    return places


def _broadcasts(places: Sequence[int | None], rank: int) -> bool:
    """Say whether NumPy's broadcasting puts each axis at its place."""
    skip = rank - len(places)
    return skip >= 0 and all(p is None or p == k + skip for k, p in enumerate(places))
