"""A straight-line program as machine code, with the tables that a call of it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.backends._binding import (
    Parameter,
    arrange,
    as_array,
    bind_symbols,
    check_facts,
    parameter,
)
from eqsat.backends._codegen import Stage
from eqsat.backends._driver import FIRST_OF_LAUNCH, PARALLEL, STEP_WORDS
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._jit import Library
from eqsat.backends._memory import owner
from eqsat.ir import TensorType
from eqsat.ir.tir import PrimExpr
from eqsat.lowering import NativeProgram
from eqsat.shapes import evaluate, itemsize, numpy_dtype, product


@dataclass(frozen=True, slots=True)
class LaunchCode:
    """The stages of one launch, its dims in order, and the bytes it asks for over them."""

    stages: tuple[Stage, ...]
    symbols: tuple[str, ...]
    scratch: PrimExpr
    shared: PrimExpr


@dataclass(frozen=True, slots=True)
class Code:
    """What was compiled: linked code, and for each launch what to call."""

    library: Library
    launches: tuple[LaunchCode, ...]


class NativeCode:
    """The code of one straight-line program, and what all calls of it have in common."""

    def __init__(self, program: NativeProgram, code: Code, num_threads: int) -> None:
        self.program, self.code, self.num_threads = program, code, num_threads
        self.params: list[Parameter] = [
            parameter(program.slots[i].name, program.slots[i].type) for i in program.inputs
        ]
        roots = [_root(program, i) for i in range(len(program.slots))]
        self.constants = _constants(program)
        # For each pointer that the kernels are given, the slot whose memory it leads to.
        self.pointer_slots = [roots[s] for launch in program.launches for s in launch.slots]
        self.returned = [roots[o] for o in program.outputs]
        owned = [
            i
            for i, slot in enumerate(program.slots)
            if roots[i] == i and slot.kind not in ("input", "constant")
        ]
        made = [i for i in owned if program.slots[i].kind == "output" or i in self.returned]
        # Each output has memory of its own; else some are views of others, inputs or constants.
        self.is_plain = sorted(self.returned) == made
        self.made = self.returned if self.is_plain else made
        self.inside = [i for i in owned if i not in made]
        self.plan = _plan(program, code)
        # Only read and written by native code, for one call at a time.
        self.progress = np.zeros(max(len(self.plan), 1) * (num_threads + 1), np.int64)
        stages = [stage for each in code.launches for stage in each.stages]
        self.is_serial = num_threads == 1 or not any(s.is_parallel for s in stages)

    def constant_owners(self) -> set[int]:
        """Return the `id` of the arrays that hold constants which may be returned."""
        return {owner(array) for array in self.constants.values()}

    def arguments(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[NDArray[Any]], Sequence[int]]:
        """Return the inputs as the native entry takes them, and the dims `given`.

        Raises:
            RuntimeCheckError: an argument is missing, unknown, or of another dtype or rank.
        """
        params, given = self.params, self.program.given
        numbers: Sequence[int] = args[len(params) :] if given else ()
        inputs = args[: len(params)] if given else args
        if kwargs or len(inputs) != len(params):
            inputs = arrange(self.program.name, params, inputs, kwargs)
        return [_exact(p, as_array(p, a)) for p, a in zip(params, inputs, strict=True)], numbers

    def env(self, arrays: Sequence[NDArray[Any]], numbers: Sequence[int] = ()) -> dict[str, int]:
        """Return the value of every symbol.

        Raises:
            RuntimeCheckError: a size contradicts another or what the program takes for granted.
        """
        program = self.program
        given = dict(zip(program.given, numbers, strict=True))
        env, bound_by = bind_symbols(self.params, arrays, given)
        missing = [s for s in program.symbols if s not in env]
        if missing:
            raise RuntimeCheckError(
                f"the inputs of {program.name} do not determine the size {missing[0]}"
            )
        _check_sizes(program, env)
        check_facts(program.facts, env, bound_by)
        return env

    def output_forms(self) -> list[tuple[np.dtype[Any], int]]:
        """Return the dtype and rank of each output that native code makes."""
        if not self.is_plain:
            return [(np.dtype(np.uint8), 1)] * len(self.made)
        types = [self.program.slots[o].type for o in self.program.outputs]
        return [(numpy_dtype(t.dtype), t.ndim) for t in types]

    def output_sizes(self, env: Mapping[str, int]) -> list[list[int]]:
        """Return the bytes and then the shape of each output that native code makes."""
        slots = self.program.slots
        sizes = [_num_bytes(slots[i].type, env) for i in self.made]
        if not self.is_plain:
            return [[n, n] for n in sizes]
        shapes = self.output_shapes(env)
        return [[n, *shape] for n, shape in zip(sizes, shapes, strict=True)]

    def output_shapes(self, env: Mapping[str, int]) -> list[tuple[int, ...]]:
        """Return the shapes of the outputs."""
        types = [self.program.slots[o].type for o in self.program.outputs]
        return [tuple([evaluate(d, env) for d in t.dims]) for t in types]


def _exact(p: Parameter, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of no derived class, with the one object that stands for its dtype."""
    if type(array) is not np.ndarray:
        array = array.view(np.ndarray)
    assert p.dtype is not None, f"input {p.name} of native code has a dtype"
    return array if array.dtype is p.dtype else array.view(p.dtype)


def _plan(program: NativeProgram, code: Code) -> NDArray[np.int64]:
    """Return the steps of `eqsat_run`."""
    steps: list[tuple[int, int, int, int]] = []
    pointer = dim = 0
    for launch, each in zip(program.launches, code.launches, strict=True):
        for i, stage in enumerate(each.stages):
            flags = (PARALLEL if stage.is_parallel else 0) | (FIRST_OF_LAUNCH if i == 0 else 0)
            steps.append((code.library.addresses[stage.name], pointer, dim, flags))
        pointer += len(launch.slots)
        dim += len(each.symbols)
    return np.array(steps, np.int64).reshape(len(steps), STEP_WORDS)


def _check_sizes(program: NativeProgram, env: Mapping[str, int]) -> None:
    """Refuse sizes for which something in between would have less than no elements."""
    for slot in program.slots:
        if any(evaluate(d, env) < 0 for d in slot.type.dims):
            sizes = ", ".join(f"{s} = {n}" for s, n in env.items())
            raise RuntimeCheckError(
                f"{program.name} is not defined for {sizes}: {slot.name} would be {slot.type}, "
                f"of shape {tuple(evaluate(d, env) for d in slot.type.dims)}"
            )


def _num_bytes(ty: TensorType, env: Mapping[str, int]) -> int:
    return evaluate(product(ty.dims), env) * itemsize(ty.dtype)


def _root(program: NativeProgram, slot: int) -> int:
    while (target := program.slots[slot].alias_of) is not None:
        slot = target
    return slot


def _constants(program: NativeProgram) -> dict[int, NDArray[Any]]:
    kept: dict[int, NDArray[Any]] = {}
    for i, slot in enumerate(program.slots):
        if slot.kind != "constant" or slot.alias_of is not None:
            continue
        assert slot.value is not None, f"constant slot {slot.name} has no value"
        # Packed weights, which kernels read in vectors, are aligned from the start.
        kept[i] = np.ascontiguousarray(slot.value)
    return kept
