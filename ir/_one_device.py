"""Refuses programs for several devices, where one is to run."""

from __future__ import annotations

from collections.abc import Iterator

from eqsat.ir._expr import Call, Function, If, IRModule, SeqExpr
from eqsat.ir._op import OpDef
from eqsat.ir._types import TypeCheckError, is_distributed


def require_one_device(module: IRModule) -> None:
    """Check that no value of a module lies on a mesh of devices.

    Raises:
        TypeCheckError: one does, or an operator is to place one; the message names it.
    """
    for name, function in module.functions.items():
        if not isinstance(function, Function):
            continue
        for reason in _on_meshes(function):
            raise TypeCheckError(
                f"function {name}, {reason}, but a program here runs on one device; run it in TVM, "
                "or write it for one: R.Tensor for R.DTensor, R.call_tir for R.dist.call_tir, "
                "without R.dist.annotate_sharding and R.dist.redistribute"
            )


def _on_meshes(function: Function) -> Iterator[str]:
    """Yield the place of what lies on a mesh, and what it is."""
    for p in function.params:
        if is_distributed(p.type):
            yield f"parameter {p.name}: it is {p.type}"
    yield from _in_sequence(function.body)
    if is_distributed(function.ret_type):
        yield f"return: it is {function.ret_type}"


def _in_sequence(body: SeqExpr) -> Iterator[str]:
    for block in body.blocks:
        for b in block.bindings:
            match b.value:
                case If(then_branch=first, else_branch=second):
                    yield from _in_sequence(first)
                    yield from _in_sequence(second)
                case Function() as inner:
                    yield from _on_meshes(inner)
                case Call(op=OpDef(name=name)) if name.startswith("dist."):
                    yield f"binding {b.var.name}: {name} is for several devices"
                case Call(args=args) if any(is_distributed(a.type) for a in args):
                    yield f"binding {b.var.name}: an operand is a distributed tensor"
                case _:
                    pass
            if is_distributed(b.var.type):
                yield f"binding {b.var.name}: it is {b.var.type}"
