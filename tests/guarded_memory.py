"""Runs programs with every tensor between pages that must not be touched.

A load or store past either end kills the process, so this is a program of its own:
`python -m tests.guarded_memory programs FIRST COUNT` runs that many random programs, and
`... operators FIRST COUNT STEP` the samples of that many operators.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import eqsat
from eqsat.backends import _call, _entry, _team, compile_program, host_target
from eqsat.backends._memory import address_of
from eqsat.ir import IRModule, OpDef
from eqsat.lowering import NativeProgram, Target, lower_module
from eqsat.shapes import Facts
from tests.backends import _cases as all_ops
from tests.random_programs import Program, make
from tests.test_fuzz import LIMITS, is_whole, meaning, same, sizes

_LIBC = ctypes.CDLL(None, use_errno=True)
_KEPT: list[mmap.mmap] = []


class Guard:
    """Gives out memory whose end, or whose start, is the border of a forbidden page."""

    def __init__(self) -> None:
        self.at_end = True

    def empty(self, num_bytes: int) -> NDArray[np.uint8]:
        """Return bytes right before (`at_end`) or right behind a page that can't be touched."""
        page = mmap.PAGESIZE
        length = -(-max(num_bytes, 1) // page) * page
        memory = mmap.mmap(-1, length + 2 * page)
        _KEPT.append(memory)
        raw = np.frombuffer(memory, np.uint8)
        start = raw.__array_interface__["data"][0]
        for border in (start, start + page + length):
            if _LIBC.mprotect(ctypes.c_void_p(border), page, 0):
                raise OSError(ctypes.get_errno(), "mprotect failed")
        first = page + (length - num_bytes if self.at_end else 0)
        return raw[first : first + num_bytes]

    def allocate(self, num_bytes: int, address_at: int) -> NDArray[np.uint8]:
        """Do as the native allocator of outputs does."""
        made = self.empty(num_bytes)
        ctypes.c_int64.from_address(address_at).value = address_of(made)
        return made

    def copy(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of `array` in guarded memory."""
        place = self.empty(array.nbytes).view(array.dtype).reshape(array.shape)
        place[...] = array
        return place


def all_outside(p: NativeProgram) -> tuple[NativeProgram, list[NDArray[Any]]]:
    """Return `p` with constants as inputs and intermediates as outputs, and the constants."""
    slots, inputs, outputs = list(p.slots), list(p.inputs), list(p.outputs)
    constants: list[NDArray[Any]] = []
    for k, s in enumerate(p.slots):
        if s.alias_of is not None:
            continue
        if s.kind == "constant":
            assert s.value is not None
            slots[k] = replace(s, kind="input", value=None, name=f"given{k}")
            inputs.append(k)
            constants.append(np.ascontiguousarray(s.value).reshape(s.type.dims))
        elif s.kind == "workspace":
            slots[k] = replace(s, kind="output")
            outputs.append(k)
    changed = replace(
        p, slots=tuple(slots), inputs=tuple(inputs), outputs=tuple(outputs), is_tuple=True
    )
    return changed, constants


def lowered(module: IRModule, num_threads: int) -> NativeProgram:
    bits = host_target().vector_bits
    registers = 32 if bits == 512 else 16
    target = Target(bits, registers, num_threads)
    return lower_module(module, target=target, facts=Facts(positive=False))


def run_guarded(
    guard: Guard, module: IRModule, calls: Sequence[Sequence[Any]], num_threads: int
) -> list[tuple[Any, ...]]:
    """Return the outputs of every call, each run before and behind a forbidden page."""
    program = lowered(module, num_threads)
    count = len(program.outputs)
    outside, constants = all_outside(program)
    exe = compile_program(outside, num_threads=num_threads, cache=False)
    results: list[tuple[Any, ...]] = []
    for args in calls:
        for guard.at_end in (True, False):
            given = [guard.copy(a) for a in (*args, *constants)]
            results.append(tuple(np.array(x) for x in exe(*given)[:count]))
            exe._arena.grow(0)  # so that the next call is guarded exactly too
            _KEPT.clear()
    return results


def check(guard: Guard, program: Program, seed: int) -> int:
    """Run the program, optimized and not, at several sizes; return the number of runs."""
    module = program.module()
    calls, expected = [], []
    for k, env in enumerate(sizes(seed, 3)):
        args = program.arguments(env, k)
        try:
            meant = meaning(module, args)
        except (eqsat.EqsatError, ValueError):
            continue
        if not program.is_exact or is_whole(meant):
            calls.append(args)
            expected += [meant, meant]
    best = eqsat.optimize(module, limits=LIMITS).module
    for each, threads in ((module, 1), (best, 1), (best, 2)):
        for got, meant in zip(run_guarded(guard, each, calls, threads), expected, strict=True):
            same(got, meant, f"seed {seed}", is_exact=program.is_exact)
    return 3 * len(expected)


def check_operators(guard: Guard, o: OpDef) -> int:
    """Run every sample of an operator; return the number of runs."""
    runs = 0
    for module, called, several in all_ops.programs(all_ops.cases(o)):
        calls = []
        for k, env in enumerate(several):
            given = [all_ops.arguments(c, env, 100 * k + j) for j, c in enumerate(called)]
            sizes_given = np.zeros(tuple(env.values()), bool)
            calls.append([sizes_given, *(x for args in given for x in all_ops.tensors(args))])
        runs += len(run_guarded(guard, module, calls, 1)) * len(called)
    return runs


def main(what: str, first: int, count: int, step: int = 1) -> None:
    """Run `count` random programs or operators from the number `first` on."""
    guard = Guard()
    _call.aligned_empty = guard.empty  # type: ignore[assignment]
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_int64, ctypes.c_int64)
    allocate = kind(guard.allocate)
    shared = _team.runtime()
    address = ctypes.cast(allocate, ctypes.c_void_p).value
    assert address is not None
    _entry._WORK_OF_TEAM = 0  # small sizes are run by several threads, too
    _team._loaded[:] = [replace(shared, allocate=address)]
    warnings.simplefilter("ignore")
    runs = 0
    for k in range(first, first + count * step, step):
        if what == "programs":
            print("program", k, flush=True)
            runs += check(guard, make(k, 4 + k % 7), k)
        elif k < len(all_ops.NATIVE):
            print("operator", all_ops.NATIVE[k].name, flush=True)
            runs += check_operators(guard, all_ops.NATIVE[k])
    print(runs, "guarded runs")


if __name__ == "__main__":
    main(sys.argv[1], *(int(a) for a in sys.argv[2:]))
