"""Walks and substitutions over TensorIR and tensor expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from eqsat.ir._te import ProducerLoad, Reduce, Tensor
from eqsat.ir._tir import (
    Address,
    Assert,
    Attr,
    Binary,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Cast,
    Evaluate,
    FloatImm,
    For,
    IfThenElse,
    IntImm,
    Intrinsic,
    Jump,
    Let,
    Not,
    PrimExpr,
    Select,
    Seq,
    Stmt,
    StringImm,
    Var,
    While,
    binary,
    select,
)


def children(e: PrimExpr) -> tuple[PrimExpr, ...]:
    """Return the direct operands of `e`, indices included."""
    match e:
        case Binary(_, a, b):
            return (a, b)
        case Not(a) | Cast(_, a):
            return (a,)
        case Select(c, a, b):
            return (c, a, b)
        case Intrinsic(_, args):
            return args
        case BufferLoad(_, indices) | ProducerLoad(_, indices) | Address(_, indices):
            return indices
        case _:
            return ()


def rebuild(e: PrimExpr, new: Sequence[PrimExpr]) -> PrimExpr:
    """Return `e` with its direct operands replaced, constants folded."""
    match e:
        case Binary(op, _, _):
            return binary(op, new[0], new[1])
        case Not():
            return Not(new[0])
        case Cast(dtype, _):
            return Cast(dtype, new[0])
        case Select(_, _, _, lazy):
            return select(new[0], new[1], new[2], lazy=lazy)
        case Intrinsic(name, _, dtype):
            return Intrinsic(name, tuple(new), dtype)
        case BufferLoad(buffer, _):
            return BufferLoad(buffer, tuple(new))
        case ProducerLoad(tensor, _):
            return ProducerLoad(tensor, tuple(new))
        case Address(buffer, _):
            return Address(buffer, tuple(new))
        case Var() | IntImm() | FloatImm() | StringImm():
            return e
        case _:
            raise TypeError(f"not a scalar expression: {e!r}")


def map_expr(e: PrimExpr, f: Callable[[PrimExpr], PrimExpr]) -> PrimExpr:
    """Return `e` with `f` applied to every node once, operands first."""
    old = children(e)
    new = [map_expr(c, f) for c in old]
    if all(n is o for n, o in zip(new, old, strict=True)):
        return f(e)
    built = rebuild(e, new)
    folded = any(built is n for n in new)  # to an operand, which `f` has seen
    return built if folded else f(built)


def substitute_vars(e: PrimExpr, env: Mapping[Var, PrimExpr]) -> PrimExpr:
    """Return `e` with variables replaced."""
    if not env:
        return e
    return map_expr(e, lambda n: env.get(n, n) if isinstance(n, Var) else n)


def walk(e: PrimExpr) -> Iterator[PrimExpr]:
    """Yield `e` and all its operands, parents first."""
    stack = [e]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(children(node)))


def producers(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors that the stage of `tensor` loads, each once, in order of appearance."""
    if tensor.loaded is None:
        value = tensor.body.value if isinstance(tensor.body, Reduce) else tensor.body
        loads = (n.tensor for n in walk(value) if isinstance(n, ProducerLoad)) if value else ()
        object.__setattr__(tensor, "loaded", tuple(dict.fromkeys(loads)))
    return tensor.loaded or ()


def topological_tensors(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return all tensors reachable from `outputs`, producers before consumers, inputs included."""
    done: dict[Tensor, None] = {}
    stack: list[tuple[Tensor, bool]] = [(t, False) for t in reversed(outputs)]
    while stack:
        tensor, expanded = stack.pop()
        if tensor in done:
            continue
        if expanded:
            done[tensor] = None
            continue
        stack.append((tensor, True))
        stack.extend((p, False) for p in reversed(producers(tensor)))
    return list(done)


def walk_statements(s: Stmt) -> Iterator[Stmt]:
    """Yield a statement and all inside it."""
    yield s
    match s:
        case For(body=body) | While(body=body) | Let(body=body) | Attr(body=body):
            yield from walk_statements(body)
        case Block():
            for part in (s.init, s.body):
                if part is not None:
                    yield from walk_statements(part)
        case Seq(stmts):
            for part in stmts:
                yield from walk_statements(part)
        case IfThenElse(_, a, b):
            yield from walk_statements(a)
            if b is not None:
                yield from walk_statements(b)
        case Evaluate() | BufferStore() | Jump() | Assert():
            pass


def own_expressions(s: Stmt) -> Iterator[PrimExpr]:
    """Yield the expressions of a statement, not those of the statements inside it."""
    match s:
        case For():
            yield from (s.min, s.extent)
        case Block():
            for i in s.iters:
                yield from (i.domain.min, i.domain.extent, i.binding)
            yield s.predicate
            for b in s.alloc_buffers:
                yield from b.shape
            for region in (*s.reads, *s.writes):
                for r in region.ranges:
                    yield from (r.min, r.extent)
        case IfThenElse(condition) | While(condition):
            yield condition
        case Let(_, value) | Evaluate(value) | Jump(value=value) | Assert(value):
            yield value
        case BufferStore(_, indices, value):
            yield from indices
            yield value
        case Attr(node, _, value):
            yield from (value,) if isinstance(node, Buffer) else (node, value)
        case Seq():
            pass


def bound_variables(s: Stmt) -> Iterator[Var]:
    """Yield the variables that a statement binds for the statements inside it."""
    match s:
        case For(var) | Let(var):
            yield var
        case Block(iters=iters):
            yield from (i.var for i in iters)
        case _:
            pass


def addressed(s: Stmt) -> Iterator[Buffer]:
    """Yield the buffers whose address a statement takes, those inside it included."""
    for each in walk_statements(s):
        for e in own_expressions(each):
            yield from (n.buffer for n in walk(e) if isinstance(n, Address))


def intrinsics(s: Stmt) -> Iterator[Intrinsic]:
    """Yield the named functions that a statement calls, and those inside it."""
    for each in walk_statements(s):
        for e in own_expressions(each):
            yield from (n for n in walk(e) if isinstance(n, Intrinsic))
