"""Programs to executables for the CPU of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from pathlib import Path

from eqsat.backends._cache import ObjectCache, compiler_version, default_directory
from eqsat.backends._canonical import canonical
from eqsat.backends._codegen import Stage, generate
from eqsat.backends._compile import object_code
from eqsat.backends._errors import CodegenError
from eqsat.backends._executable import Executable
from eqsat.backends._jit import Library, load
from eqsat.backends._layout import Layout
from eqsat.backends._native import Code, LaunchCode, NativeCode
from eqsat.backends._open_entry import OpenEntryPoint
from eqsat.backends._target import Target, available_cpus, host_target
from eqsat.backends._team import runtime
from eqsat.backends._vm_executable import VmExecutable
from eqsat.ir.tir import PrimFunc
from eqsat.lowering import NativeProgram, VmProgram

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
    threads = _threads(num_threads)
    return Executable(program, _codes([program], cache, progress, target)[0], threads)


def compile_vm(
    program: VmProgram,
    native: Mapping[str, NativeProgram],
    *,
    open_entries: Mapping[str, OpenEntryPoint] | None = None,
    num_threads: int | None = None,
    cache: bool | str | PathLike[str] = True,
    progress: Progress | None = None,
    target: Target | None = None,
) -> VmExecutable:
    """Compile a program with control flow; `native` are its functions that are straight-line.

    `open_entries` are those that are compiled when they are called.

    The arguments are those of `compile_program`.

    Raises:
        CodegenError: a kernel has no native code.
        CacheError: the cache cannot be written.
    """
    threads = _threads(num_threads)
    programs = [*program.parts, *native.values()]
    codes = _codes(programs, cache, progress, target)
    parts = [NativeCode(p, c, threads) for p, c in zip(program.parts, codes, strict=False)]
    alone = {
        name: Executable(p, c, threads)
        for (name, p), c in zip(native.items(), codes[len(parts) :], strict=True)
    }
    return VmExecutable(program, parts, {**alone, **(open_entries or {})}, threads)


def _threads(num_threads: int | None) -> int:
    threads = available_cpus() if num_threads is None else num_threads
    if threads < 1:
        raise CodegenError(f"num_threads is {threads}; a program runs on at least one thread")
    return threads


def _codes(
    programs: Sequence[NativeProgram],
    cache: bool | str | PathLike[str],
    progress: Progress | None,
    target: Target | None,
) -> list[Code]:
    """Return the code of several programs, which share kernels that are alike."""
    target, store = target or host_target(), _cache(cache)
    builder = _Builder(target, store)
    runtime(builder.text_object)
    funcs = {id(launch.func): launch.func for p in programs for launch in p.launches}
    kernels = {key: _Kernel(func, builder.salt) for key, func in funcs.items()}
    unique = {k.name: k for k in kernels.values()}
    objects = builder.objects(list(unique.values()), progress)
    if builder.compiled and store is not None:
        store.evict()
    stages = [stage.name for k in unique.values() for stage in k.stages]
    library = load(objects, stages)
    return [_linked(p, library, [kernels[id(one.func)] for one in p.launches]) for p in programs]


def _linked(program: NativeProgram, library: Library, kernels: Sequence[_Kernel]) -> Code:
    _check_symbols(program, kernels)
    return Code(
        library,
        tuple(LaunchCode(k.stages, k.symbols, k.layout.scratch, k.layout.shared) for k in kernels),
    )


class _Kernel:
    """A kernel by its content: functions that differ only in names share code."""

    def __init__(self, func: PrimFunc, salt: str) -> None:
        found = canonical(func)
        self.func, self.symbols = func, found.symbols
        digest = hashlib.sha256(f"{salt}\n{found.text}".encode()).hexdigest()
        self.name = f"k{digest[:40]}"
        self.layout = Layout(func)
        self.stages = tuple(
            Stage(f"{self.name}_{i}", is_parallel)
            for i, is_parallel in enumerate(self.layout.stages_are_parallel)
        )


class _Builder:
    """Object code from the cache, or compiled and put there."""

    def __init__(self, target: Target, store: ObjectCache | None) -> None:
        self.target, self.store = target, store
        self.salt = f"{compiler_version()} {target.triple} {target.cpu} {target.features}"
        self.compiled = 0

    def objects(self, kernels: Sequence[_Kernel], progress: Progress | None) -> list[bytes]:
        """Return the code of kernels, in order."""
        found = [self._cached(k.name) for k in kernels]
        missing = [i for i, code in enumerate(found) if code is None]
        done = len(kernels) - len(missing)
        # LLVM works outside of Python's lock: this thread writes the next text meanwhile.
        with ThreadPoolExecutor(1, "eqsat-llvm") as llvm_thread:
            waiting: list[tuple[int, Future[bytes]]] = []
            try:
                for i in missing:
                    text = generate(kernels[i].func, kernels[i].name, self.target).text
                    waiting.append((i, llvm_thread.submit(object_code, text, self.target)))
                for i, future in waiting:
                    found[i] = self._stored(kernels[i].name, future.result())
                    done += 1
                    if progress is not None:
                        progress(done, len(kernels))
            except BaseException:
                llvm_thread.shutdown(cancel_futures=True)
                raise
        if not missing and progress is not None:
            progress(done, len(kernels))
        return [code for code in found if code is not None]

    def text_object(self, text: str) -> bytes:
        """Return the code of LLVM IR."""
        key = "r" + hashlib.sha256(f"{self.salt}\n{text}".encode()).hexdigest()[:40]
        return self._cached(key) or self._stored(key, object_code(text, self.target))

    def _cached(self, key: str) -> bytes | None:
        return None if self.store is None else self.store.load(key)

    def _stored(self, key: str, code: bytes) -> bytes:
        self.compiled += 1
        if self.store is not None:
            self.store.store(key, code)
        return code


def _cache(cache: bool | str | PathLike[str]) -> ObjectCache | None:
    if cache is False:
        return None
    return ObjectCache(default_directory() if cache is True else Path(cache))


def _check_symbols(program: NativeProgram, kernels: Sequence[_Kernel]) -> None:
    for kernel in kernels:
        for name in kernel.symbols:
            if name not in program.symbols:
                known = ", ".join(program.symbols) or "none"
                raise CodegenError(
                    f"kernel {kernel.func.name} uses {name}, which is no symbol of the program "
                    f"(symbols: {known})"
                )
