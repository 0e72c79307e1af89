"""A primitive function as tensor expressions: the ops' `compute` composed and inlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import (
    Call,
    Constant,
    Expr,
    Function,
    MatchCast,
    NullValue,
    OpDef,
    OperandKind,
    ShapeExpr,
    ShapeType,
    TensorType,
    Tuple,
    TupleGetItem,
    UnknownShape,
    Var,
    te,
)
from eqsat.ir._simplify import simplify
from eqsat.ir.te import ProducerLoad, Reduce, Tensor
from eqsat.ir.tir import (
    FloatImm,
    IntImm,
    Intrinsic,
    PrimExpr,
    children,
    const,
    from_dim,
    producers,
    rebuild,
    topological_tensors,
    walk,
)
from eqsat.ir.tir import Var as ScalarVar
from eqsat.lowering._errors import LoweringError
from eqsat.shapes import Shape

EXPENSIVE = frozenset(
    [
        "exp",
        "exp2",
        "exp10",
        "log",
        "log2",
        "log10",
        "log1p",
        "tanh",
        "erf",
        "sigmoid",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "asinh",
        "acosh",
        "atanh",
        "pow",
        "atan2",
        "fmod",
    ]
)
# A body larger than this is kept as a stage of its own: inlining repeats shared terms.
MAX_INLINED_NODES = 400


@dataclass(frozen=True, eq=False, slots=True)
class Composed:
    """The stages of one kernel.

    `params` are the function's tensors, in order, then the tensors lifted from constants of its
    body, whose values are `lifted`. `stages`, in dependence order, are all that is stored.
    """

    name: str
    params: tuple[Tensor, ...]
    lifted: tuple[NDArray[np.generic], ...]
    stages: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    op_names: tuple[str, ...]


_Value = Tensor | tuple["_Value", ...]


class _Composer:
    def __init__(self, function: Function) -> None:
        self.function = function
        self.lifted: list[tuple[Tensor, NDArray[np.generic]]] = []
        self.env: dict[Var, _Value] = {}
        self.op_names: list[str] = []
        self.params: list[Tensor] = []
        for p in function.params:
            tensor = _placeholder(p, function.name)
            self.env[p] = tensor
            self.params.append(tensor)

    def run(self) -> tuple[Tensor, ...]:
        for block in self.function.body.blocks:
            for b in block.bindings:
                self.env[b.var] = self.value(b.value)
                if isinstance(b, MatchCast) and not isinstance(b.type, TensorType):
                    raise LoweringError(f"kernel {self.function.name}: match_cast to {b.type}")
        result = self.value(self.function.body.result)
        return tuple(_flatten(result))

    def value(self, e: Expr) -> _Value:
        match e:
            case Var():
                return self.env[e]
            case Constant():
                return self.constant(e)
            case Tuple(fields):
                return tuple(self.value(f) for f in fields)
            case TupleGetItem(tuple_value, index):
                items = self.value(tuple_value)
                if not isinstance(items, tuple):
                    raise LoweringError(f"kernel {self.function.name}: a field of no tuple is read")
                return items[index]
            case Call(OpDef() as op):
                return self.call(op, e)
            case _:
                raise LoweringError(
                    f"kernel {self.function.name} holds a {type(e).__name__}; only operator "
                    "calls are lowered to native code"
                )

    def constant(self, e: Constant) -> Tensor:
        ty = e.tensor_type
        if e.value.ndim == 0:
            literal = const(e.value.item(), ty.dtype)
            return te.compute("c", (), lambda: literal)
        tensor = te.placeholder(f"const{len(self.lifted)}", tuple(e.value.shape), ty.dtype)
        self.lifted.append((tensor, e.value))
        return tensor

    def call(self, op: OpDef, e: Call) -> _Value:
        if op.compute is None:
            raise LoweringError(
                f"{op.name} in kernel {self.function.name} has no loop-level meaning (`compute`); "
                "run it in the virtual machine or give its OpDef a compute"
            )
        self.op_names.append(op.name.rsplit(".", 1)[-1])
        args = [self.operand(k.kind, a) for k, a in zip(op.operands, e.args, strict=False)]
        args += [None] * (len(op.operands) - len(args))
        result = op.compute(args, e.attrs, e.type)
        return tuple(result) if isinstance(result, tuple) else result

    def operand(self, kind: OperandKind, e: Expr) -> Tensor | list[Tensor] | Shape | None:
        if isinstance(e, NullValue):
            return None
        match kind:
            case OperandKind.TENSOR:
                value = self.value(e)
                assert isinstance(value, Tensor)
                return value
            case OperandKind.TENSORS:
                return list(_flatten(self.value(e)))
            case OperandKind.OBJECT | OperandKind.ANY_TENSOR:
                raise LoweringError(f"kernel {self.function.name} reads a value that is no tensor")
            case OperandKind.SHAPE:
                return _shape_of(e, self.function.name)


def _shape_of(e: Expr, kernel: str) -> Shape:
    if isinstance(e, ShapeExpr):
        return e.dims
    if isinstance(e.type, ShapeType) and not isinstance(e.type.dims, UnknownShape):
        return e.type.dims
    raise LoweringError(f"kernel {kernel}: a shape operand whose dims are not known")


def _placeholder(p: Var, kernel: str) -> Tensor:
    if not isinstance(p.type, TensorType) or isinstance(p.type.shape, UnknownShape):
        raise LoweringError(
            f"kernel {kernel}: parameter {p.name} is {p.type}, not a tensor of known shape"
        )
    return te.placeholder(p.name, p.type.shape, p.type.dtype)


def _flatten(value: _Value) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [t for v in value for t in _flatten(v)]


def compose(function: Function) -> Composed:
    """Return the stages of a primitive function, everything cheap inlined.

    Raises:
        LoweringError: an operator has no `compute`, or a parameter is no tensor of known shape.
    """
    composer = _Composer(function)
    outputs = composer.run()
    lifted = composer.lifted
    params = (*composer.params, *(t for t, _ in lifted))
    outputs = tuple(_own_stage(t, params, outputs[:i]) for i, t in enumerate(outputs))
    stages, outputs = _inline(outputs)
    return Composed(
        function.name,
        params,
        tuple(v for _, v in lifted),
        stages,
        outputs,
        tuple(composer.op_names),
    )


def _own_stage(t: Tensor, params: Sequence[Tensor], before: Sequence[Tensor]) -> Tensor:
    """Return `t`, copied where it is a parameter or an output already."""
    if t not in params and t not in before:
        return t
    return te.compute(f"{t.name}_copy", t.shape, lambda *i: t[i])


def _inline(outputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    order = topological_tensors(outputs)
    uses = _count_uses(order)
    roots = _roots(order, outputs)
    new: dict[Tensor, Tensor] = {}
    inlined: dict[Tensor, Tensor] = {}
    kept: list[Tensor] = []
    for t in order:
        if t.body is None:
            new[t] = t
            continue
        value = t.body.value if isinstance(t.body, Reduce) else t.body
        value = _substitute_loads(value, new, inlined)
        value = simplify(value, ranges_of(t))
        body = Reduce(t.body.combiner, t.body.axes, value) if isinstance(t.body, Reduce) else value
        stage = Tensor(t.name, t.shape, t.dtype, t.axes, body)
        new[t] = stage
        is_shared = len(roots[t]) > 1
        if t in outputs or isinstance(body, Reduce) or _worth_keeping(value, uses[t], is_shared):
            kept.append(stage)
        else:
            inlined[stage] = stage
    return tuple(kept), tuple(new[t] for t in outputs)


def ranges_of(t: Tensor) -> dict[ScalarVar, tuple[PrimExpr, PrimExpr]]:
    """Return the range (min, extent) of every iterator of the stage of `t`."""
    ranges: dict[ScalarVar, tuple[PrimExpr, PrimExpr]] = {
        v: (IntImm(0), from_dim(d)) for v, d in zip(t.axes, t.shape, strict=True)
    }
    if isinstance(t.body, Reduce):
        ranges |= {a.var: (a.domain.min, a.domain.extent) for a in t.body.axes}
    return ranges


def _count_uses(order: Sequence[Tensor]) -> dict[Tensor, int]:
    uses = dict.fromkeys(order, 0)
    for t in order:
        if t.body is None:
            continue
        value = t.body.value if isinstance(t.body, Reduce) else t.body
        for n in walk(value):
            if isinstance(n, ProducerLoad):
                uses[n.tensor] += 1
    return uses


def _roots(order: Sequence[Tensor], outputs: Sequence[Tensor]) -> dict[Tensor, set[Tensor]]:
    """Return which reductions and outputs would hold the value of each inlined tensor."""
    roots: dict[Tensor, set[Tensor]] = {t: set() for t in order}
    for t in reversed(order):
        own = {t} if t in outputs or isinstance(t.body, Reduce) else roots[t]
        for p in producers(t):
            roots[p] |= own
    return roots


def _worth_keeping(value: PrimExpr, uses: int, is_shared: bool) -> bool:
    """Say whether a value is stored rather than computed where it is read.

    Within one root equal terms are computed once anyway; two roots would each compute it.
    """
    if uses <= 1 or isinstance(value, (IntImm, FloatImm)):
        return False
    nodes = list(walk(value))
    is_expensive = any(isinstance(n, Intrinsic) and n.name in EXPENSIVE for n in nodes)
    return (is_expensive and is_shared) or len(nodes) * uses > MAX_INLINED_NODES


def _substitute_loads(
    e: PrimExpr, new: Mapping[Tensor, Tensor], inlined: Mapping[Tensor, Tensor]
) -> PrimExpr:
    """Return `e` with loads of rewritten tensors redirected, and of inlined ones replaced."""
    memo: dict[int, PrimExpr] = {}

    def visit(n: PrimExpr) -> PrimExpr:
        key = id(n)
        if key in memo:
            return memo[key]
        old = children(n)
        args = [visit(c) for c in old]
        result = n if all(a is o for a, o in zip(args, old, strict=True)) else rebuild(n, args)
        if isinstance(n, ProducerLoad):  # `result` may be an operand, which is redirected already
            target, indices = new[n.tensor], children(result)
            if target in inlined:
                assert isinstance(target.body, PrimExpr)
                result = _replace(target.body, dict(zip(target.axes, indices, strict=True)))
            else:
                result = ProducerLoad(target, indices)
        memo[key] = result
        return result

    return visit(e)


def _replace(e: PrimExpr, env: Mapping[ScalarVar, PrimExpr]) -> PrimExpr:
    memo: dict[int, PrimExpr] = {}

    def visit(n: PrimExpr) -> PrimExpr:
        if isinstance(n, ScalarVar):
            return env.get(n, n)
        key = id(n)
        if key not in memo:
            old = children(n)
            args = [visit(c) for c in old]
            same = all(a is o for a, o in zip(args, old, strict=True))
            memo[key] = n if same else rebuild(n, args)
        return memo[key]

    return visit(e)
