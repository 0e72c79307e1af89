"""What a function takes for granted of its symbols, to be checked where they get their values."""

from __future__ import annotations

from collections.abc import Iterator

from eqsat.ir._expr import Binding, Call, Function, GlobalVar, IRModule, MatchCast
from eqsat.ir._op import OpDef
from eqsat.ir._types import TensorType
from eqsat.shapes import EqsatError, Equal, Proof, assumptions, parse_dim, prove

REQUIRES = "requires"
"""The function attribute that keeps requirements of a program that rewriting has removed, as
"a == b; c == d"."""


def size_requirements(module: IRModule, name: str = "main") -> tuple[Equal, ...]:
    """Return the equalities that the types in function `name` need and that are not proved.

    They come from operators (both `k` of a matrix product), from match_casts that define no symbol,
    and from the attribute `REQUIRES`; called functions count where they use the same symbols.
    """
    found: dict[Equal, None] = {}
    done: set[str] = set()
    pending = [name]
    while pending:
        current = pending.pop()
        function = module.functions.get(current)
        if current in done or not isinstance(function, Function):
            continue
        done.add(current)
        found.update(dict.fromkeys(stated_requirements(function)))
        for block in function.body.blocks:
            for binding in block.bindings:
                found.update(dict.fromkeys(_of_binding(binding)))
                called = binding.value.op if isinstance(binding.value, Call) else None
                if isinstance(called, GlobalVar):
                    pending.append(called.name)
    return tuple(found)


def requirement_text(facts: tuple[Equal, ...]) -> str:
    """Return the value of the attribute `REQUIRES`."""
    return "; ".join(f"{f.a} == {f.b}" for f in facts)


def stated_requirements(function: Function) -> Iterator[Equal]:
    """Yield the equalities in the attribute `REQUIRES`."""
    text = function.attrs.get(REQUIRES, "")
    for part in str(text).split(";") if text else ():
        a, separator, b = part.partition("==")
        if not separator:
            raise EqsatError(
                f"{function.name}: the attribute {REQUIRES} has {part!r}, not 'a == b'"
            )
        yield Equal(parse_dim(a.strip()), parse_dim(b.strip()))


def _of_binding(binding: Binding) -> Iterator[Equal]:
    if isinstance(binding, MatchCast):
        yield from _of_cast(binding)
    elif isinstance(binding.value, Call) and isinstance(binding.value.op, OpDef):
        call = binding.value
        if len(call.args) > len(binding.value.op.operands):  # call_tir and its kin infer nothing
            return
        with assumptions() as found:
            binding.value.op.infer([a.type for a in call.args], call.attrs)
        yield from found


def _of_cast(binding: MatchCast) -> Iterator[Equal]:
    before = binding.value.type
    if not (isinstance(before, TensorType) and isinstance(binding.type, TensorType)):
        return
    if isinstance(before.shape, tuple) and isinstance(binding.type.shape, tuple):
        for a, b in zip(before.shape, binding.type.shape, strict=True):
            if prove(Equal(a, b)) is not Proof.YES:
                yield Equal(a, b)
