"""Stages of tensor expressions → naive TensorIR, one block per stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eqsat.ir.te import ProducerLoad, Reduce, Tensor
from eqsat.ir.tir import Buffer, BufferLoad, PrimExpr, PrimFunc, children, from_dim, rebuild
from eqsat.lowering.schedule._stages import Stage, naive_func


def buffer_of(t: Tensor) -> Buffer:
    """Return a global buffer for `t`."""
    return Buffer(t.name, tuple(from_dim(d) for d in t.shape), t.dtype)


def stage_of(t: Tensor, buffers: Mapping[Tensor, Buffer]) -> Stage:
    """Return the stage of `t` over buffers."""
    assert t.body is not None
    extents = tuple(from_dim(d) for d in t.shape)
    if not isinstance(t.body, Reduce):
        return Stage(t.name, buffers[t], t.axes, extents, _loads(t.body, buffers))
    value = _loads(t.body.value, buffers)
    if not t.body.axes:
        return Stage(t.name, buffers[t], t.axes, extents, value)
    return Stage(
        t.name,
        buffers[t],
        t.axes,
        extents,
        value,
        t.body.combiner,
        tuple(a.var for a in t.body.axes),
        tuple(a.domain.extent for a in t.body.axes),
    )


def to_tir(name: str, params: Sequence[Tensor], stages: Sequence[Tensor]) -> PrimFunc:
    """Return the naive function that computes `stages` in order.

    `params` name the buffers that are arguments, inputs and outputs in the order of the signature;
    other stages are allocated inside.
    """
    buffers = {t: buffer_of(t) for t in dict.fromkeys((*params, *stages))}
    return naive_func(name, [buffers[p] for p in params], [stage_of(t, buffers) for t in stages])


def _loads(e: PrimExpr, buffers: Mapping[Tensor, Buffer]) -> PrimExpr:
    memo: dict[int, PrimExpr] = {}

    def visit(n: PrimExpr) -> PrimExpr:
        key = id(n)
        if key in memo:
            return memo[key]
        old = children(n)
        args = [visit(c) for c in old]
        if isinstance(n, ProducerLoad):
            result: PrimExpr = BufferLoad(buffers[n.tensor], tuple(args))
        else:
            same = all(a is o for a, o in zip(args, old, strict=True))
            result = n if same else rebuild(n, args)
        memo[key] = result
        return result

    return visit(e)
