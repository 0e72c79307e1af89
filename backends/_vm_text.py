"""Programs of the virtual machine as text."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

from eqsat.ir import OpDef, PrimFunc
from eqsat.lowering import VmFunction, VmProgram
from eqsat.lowering.vm import Instruction, Registers

_REGISTERS = ("args", "results", "result", "value", "condition", "callee", "dead", "dead_otherwise")
_HIDDEN = ("where",)


def vm_text(program: VmProgram) -> str:
    """Return the instructions of every function."""
    return "\n\n".join(_function(f) for f in program.functions.values())


def _function(f: VmFunction) -> str:
    params = ", ".join(f"r{k} {p.name}: {p.type}" for k, p in enumerate(f.params))
    lines = [f"{f.name}({params}) -> {f.result}"]
    lines += [f"      r{r} = {_short(value)}" for r, value in f.constants]
    lines += [f"  {k:3} {_line(one)}" for k, one in enumerate(f.code)]
    return "\n".join(lines)


def _line(one: Instruction) -> str:
    shown: list[str] = []
    for each in fields(one):
        value = getattr(one, each.name)
        if each.name in _HIDDEN or value is None or value is False or value == ():
            continue
        shown.append(f"{each.name}={_operand(each.name, value)}")
    where = f"  # {one.where}" if one.where else ""
    return f"{type(one).__name__} {' '.join(shown)}{where}"


def _operand(name: str, value: Any) -> str:
    if name in _REGISTERS:
        registers = cast("Registers", value) if isinstance(value, tuple) else (value,)
        return ",".join(f"r{r}" for r in registers)
    return value.name if isinstance(value, (OpDef, PrimFunc)) else str(value)


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape:
        return f"{value.dtype.name}{list(shape)}"
    return str(value)
