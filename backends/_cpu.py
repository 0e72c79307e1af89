"""Programs to executables for the CPU of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from eqsat.backends._cache import ObjectCache, compiler_version, default_directory
from eqsat.backends._canonical import canonical_text
from eqsat.backends._codegen import Stage, generate
from eqsat.backends._compile import object_code
from eqsat.backends._driver import KernelCall, run_text
from eqsat.backends._errors import CodegenError
from eqsat.backends._executable import Code, Executable
from eqsat.backends._jit import load
from eqsat.backends._layout import Layout, free_symbols
from eqsat.backends._target import Target, available_cpus, host_target
from eqsat.ir.tir import PrimFunc
from eqsat.lowering import NativeProgram

Progress = Callable[[int, int], None]


def compile_program(
    program: NativeProgram,
    *,
    num_threads: int | None = None,
    cache: bool | str | PathLike[str] = True,
    progress: Progress | None = None,
    target: Target | None = None,
) -> Executable:
    """Compile for this machine.

    Args:
        program: scheduled kernels over slots.
        num_threads: threads of a call; None for all CPUs that this process may use.
        cache: True for the default directory of compiled code, False for none, or a directory.
        progress: called with (kernels done, kernels in all).
        target: a lesser CPU that this machine can stand for; None for this machine.

    Raises:
        CodegenError: a kernel has no native code.
        CacheError: the cache cannot be written.
    """
    threads = available_cpus() if num_threads is None else num_threads
    if threads < 1:
        raise CodegenError(f"num_threads is {threads}; a program runs on at least one thread")
    target, store = target or host_target(), _cache(cache)
    salt = f"{compiler_version()} {target.triple} {target.cpu} {target.features}"
    kernels = [_kernel(launch.func, salt) for launch in program.launches]
    unique = {k.name: k for k in kernels}
    objects: list[bytes] = []
    compiled = 0
    for i, kernel in enumerate(unique.values()):
        code = None if store is None else store.load(kernel.name)
        if code is None:
            compiled += 1
            code = object_code(generate(kernel.func, kernel.name, target).text, target)
            if store is not None:
                store.store(kernel.name, code)
        objects.append(code)
        if progress is not None:
            progress(i + 1, len(unique))
    objects.append(_run_object(program, kernels, target, store, salt))
    if compiled and store is not None:
        store.evict()
    library = load(objects, ["run"])
    scratch = tuple(k.layout.scratch for k in kernels)
    shared = tuple(k.layout.shared for k in kernels)
    return Executable(program, Code(library, scratch, shared), threads)


class _Kernel:
    """A kernel by its content: functions that differ only in names share code."""

    def __init__(self, func: PrimFunc, symbols: tuple[str, ...], salt: str) -> None:
        self.func, self.symbols = func, symbols
        text = canonical_text(func, symbols)
        digest = hashlib.sha256(f"{salt}\n{text}".encode()).hexdigest()
        self.name = f"k{digest[:40]}"
        self.layout = Layout(func)
        self.stages = tuple(
            Stage(f"{self.name}_{i}", is_parallel)
            for i, is_parallel in enumerate(self.layout.stages_are_parallel)
        )


def _kernel(func: PrimFunc, salt: str) -> _Kernel:
    return _Kernel(func, free_symbols(func), salt)


def _cache(cache: bool | str | PathLike[str]) -> ObjectCache | None:
    if cache is False:
        return None
    return ObjectCache(default_directory() if cache is True else Path(cache))


def _run_object(
    program: NativeProgram,
    kernels: list[_Kernel],
    target: Target,
    store: ObjectCache | None,
    salt: str,
) -> bytes:
    number = {name: i for i, name in enumerate(program.symbols)}
    calls: list[KernelCall] = []
    for launch, kernel in zip(program.launches, kernels, strict=True):
        unknown = [s for s in kernel.symbols if s not in number]
        if unknown:
            known = ", ".join(program.symbols) or "none"
            raise CodegenError(
                f"kernel {launch.func.name} uses {unknown[0]}, which is no symbol of the program "
                f"(symbols: {known})"
            )
        dims = tuple(number[s] for s in kernel.symbols)
        calls.append(KernelCall(kernel.stages, launch.slots, dims))
    text = run_text(calls, target)
    key = "r" + hashlib.sha256(f"{salt}\n{text}".encode()).hexdigest()[:40]
    code = None if store is None else store.load(key)
    if code is None:
        code = object_code(text, target)
        if store is not None:
            store.store(key, code)
    return code
