"""LLVM IR to object code."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from eqsat.backends._errors import CodegenError
from eqsat.backends._llvm import llvm
from eqsat.backends._target import Target


@cache
def _machine(target: Target) -> Any:  # Any: llvmlite has no types
    found = llvm.Target.from_triple(target.triple)
    return found.create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="default"
    )


def optimized(text: str, target: Target, *, vectorize: bool = False) -> Any:
    """Return the optimized LLVM module of `text`.

    LLVM's own vectorizer and unroller stay off: the schedules have said what to do.
    """
    machine = _machine(target)
    module = _verified(text)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = vectorize
    options.slp_vectorization = False
    options.loop_unrolling = vectorize
    options.loop_interleaving = vectorize
    builder = llvm.create_pass_builder(machine, options)
    passes = builder.getModulePassManager()
    passes.run(module, builder)
    return module


def _verified(text: str) -> Any:
    """Return the LLVM module of `text`. LLVM aborts the process where passes meet an invalid one.

    Raises:
        CodegenError: the code is not valid LLVM IR: an error of this backend.
    """
    module, problem = _parsed(text)
    if not problem:
        return module
    names = re.findall(r"^define void @(\S+?)\(", text, re.MULTILINE)
    raise CodegenError(
        f"the code made for {', '.join(names) or 'a kernel'} is no valid LLVM IR "
        f"({' '.join(problem.split())}); report the program, and until then run it with "
        "eqsat.interpret"
    )


def _parsed(text: str) -> tuple[Any, str]:
    """Return the module of `text` and what is wrong with it."""
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
    except RuntimeError as error:
        return None, str(error)
    try:
        module.verify()
    except RuntimeError as error:
        # Not left to the collector, which may free the context first.
        module.close()
        return None, str(error)
    return module, ""


def object_code(text: str, target: Target) -> bytes:
    """Return relocatable machine code."""
    return bytes(_machine(target).emit_object(optimized(text, target)))


def assembly(text: str, target: Target) -> str:
    """Return the machine code as text."""
    return str(_machine(target).emit_assembly(optimized(text, target)))
