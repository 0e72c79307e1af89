"""Programs as text: what `Executable.as_text` shows."""

from __future__ import annotations

from typing import Literal

from eqsat.backends._codegen import generate
from eqsat.backends._compile import assembly, optimized
from eqsat.backends._target import host_target
from eqsat.ir.script import print_primfunc
from eqsat.lowering import NativeProgram

TextKind = Literal["tir", "llvm", "asm", "vm"]


def program_text(program: NativeProgram, kind: TextKind) -> str:
    """Return the kernels of a program as text, each once.

    Raises:
        ValueError: unknown kind.
    """
    funcs = {id(launch.func): launch.func for launch in program.launches}
    match kind:
        case "tir":
            return "\n\n".join(print_primfunc(f) for f in funcs.values())
        case "llvm" | "asm":
            target = host_target()
            texts: list[str] = []
            for n, f in enumerate(funcs.values()):
                code = generate(f, f"{_identifier(f.name)}_{n}", target)
                made = assembly(code.text, target) if kind == "asm" else None
                texts.append(made or str(optimized(code.text, target)))
            return "\n\n".join(texts)
        case "vm":
            return ""  # nothing stands around the kernels of a straight-line program
        case _:
            raise ValueError(f"as_text knows 'tir', 'llvm', 'asm' and 'vm', not {kind!r}")


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
