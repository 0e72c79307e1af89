"""A straight-line program as machine code, with the tables that a call of it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.backends._binding import Parameter, bind_symbols, parameter
from eqsat.backends._codegen import Stage
from eqsat.backends._driver import FIRST_OF_LAUNCH, PARALLEL, RUN_ARGS, STEP_WORDS
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._jit import Library
from eqsat.backends._memory import address_of, aligned_block, aligned_empty, owner
from eqsat.backends._team import alone, runtime, team
from eqsat.ir import TensorType
from eqsat.ir.tir import Binary, IntImm, PrimExpr, Var
from eqsat.lowering import NativeProgram
from eqsat.shapes import evaluate, itemsize, numpy_dtype, product

_MAX_SIZES = 256
_NO_DIMS: Mapping[str, int] = {}


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


Made = list[tuple[NDArray[np.uint8], int]]
"""The buffers of a call's outputs with their addresses, in the order of `Sizes.fresh`."""


@dataclass(eq=False, slots=True)
class _Frame:
    """What native code is given, for one set of sizes: filled once, patched in each call."""

    args: NDArray[np.int64]
    args_address: int
    pointers: NDArray[np.int64]
    base: int = -1  # of the workspace that the pointers are for


@dataclass(frozen=True, slots=True)
class Sizes:
    """What follows from the input shapes. `fresh` are the bytes to allocate in each call."""

    env: Mapping[str, int]
    dims: NDArray[np.int64]
    workspace: tuple[tuple[int, int], ...]
    workspace_bytes: int
    shared_bytes: int
    scratch_bytes: int
    total_bytes: int
    fresh: tuple[int, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    frame: _Frame

    def outputs(self) -> Made:
        """Return new memory for the outputs of a call."""
        return [aligned_block(num_bytes) for num_bytes in self.fresh]


class Arena:
    """The workspace of native code: one allocation that grows to the largest demand."""

    def __init__(self) -> None:
        self._memory = aligned_empty(0)
        self._address = address_of(self._memory)

    def at_least(self, num_bytes: int) -> int:
        """Return the address of `num_bytes` bytes, whose content is not kept."""
        if self._memory.nbytes < num_bytes:
            self._memory = aligned_empty(num_bytes)
            self._address = address_of(self._memory)
        return self._address

    @property
    def num_bytes(self) -> int:
        """What is allocated."""
        return self._memory.nbytes


class NativeCode:
    """The code of one straight-line program. One call at a time: the caller holds a lock."""

    def __init__(self, program: NativeProgram, code: Code, num_threads: int) -> None:
        self.program = program
        self.num_threads = num_threads
        self._code = code
        self.params: list[Parameter] = [
            parameter(program.slots[i].name, program.slots[i].type) for i in program.inputs
        ]
        self._roots = [_root(program, i) for i in range(len(program.slots))]
        self._sizes: dict[tuple[tuple[int, ...], ...], Sizes] = {}
        self._constants = _constants(program)
        self._positions: dict[int, list[int]] = {}  # where the pointer to a slot's memory goes
        launch_slots = [s for launch in program.launches for s in launch.slots]
        for k, slot in enumerate(launch_slots):
            self._positions.setdefault(self._roots[slot], []).append(k)
        self._num_pointers = max(len(launch_slots), 1)
        returned = {self._roots[o] for o in program.outputs}
        owned = [
            i
            for i, slot in enumerate(program.slots)
            if self._roots[i] == i and slot.kind not in ("input", "constant")
        ]
        self._fresh = [i for i in owned if program.slots[i].kind == "output" or i in returned]
        self._inside = [i for i in owned if i not in self._fresh]
        self._fresh_index = {slot: k for k, slot in enumerate(self._fresh)}
        self._input_positions = [self._positions.get(i, []) for i in program.inputs]
        self._fresh_positions = [self._positions.get(i, []) for i in self._fresh]
        self._plan = _plan(program, code)
        # Only read and written by native code, for one call at a time.
        self._progress = np.zeros(max(len(self._plan), 1) * (num_threads + 1), np.int64)
        stages = [stage for each in code.launches for stage in each.stages]
        self._is_serial = num_threads == 1 or not any(s.is_parallel for s in stages)
        self._run = runtime().run
        self._alone = alone(self._run)
        self._output_dtypes = [numpy_dtype(program.slots[o].type.dtype) for o in program.outputs]

    def constant_owners(self) -> set[int]:
        """Return the `id` of the arrays that hold constants which may be returned."""
        return {owner(array) for array in self._constants.values()}

    def sizes(self, arrays: Sequence[NDArray[Any]], given: Mapping[str, int] = _NO_DIMS) -> Sizes:
        """Return what follows from the inputs' shapes and from `given`, the dims passed.

        Raises:
            RuntimeCheckError: a size contradicts another or what the program takes for granted.
        """
        key = tuple([a.shape for a in arrays])
        if given:
            key = (*key, tuple(given.values()))
        return self._sizes.get(key) or self._prepare(key, arrays, given)

    def run(
        self,
        sizes: Sizes,
        arrays: Sequence[NDArray[Any]],
        made: Made,
        arena: Arena,
        stamps: NDArray[np.int64] | None,
    ) -> None:
        """Run all kernels; `made` are the outputs' buffers, `stamps` gets the kernels' times."""
        if not self.program.launches:
            return
        frame = sizes.frame
        base = arena.at_least(sizes.total_bytes)
        if frame.base != base:
            self._fill(sizes, base)
        pointers = frame.pointers
        for positions, array in zip(self._input_positions, arrays, strict=True):
            address = address_of(array)
            for k in positions:
                pointers[k] = address
        for positions, (_, address) in zip(self._fresh_positions, made, strict=True):
            for k in positions:
                pointers[k] = address
        frame.args[5] = 0 if stamps is None else address_of(stamps)
        if self._is_serial:
            self._alone(frame.args_address)
        else:
            self._progress.fill(0)
            team().run(self._run, frame.args_address, self.num_threads)

    def _fill(self, sizes: Sizes, base: int) -> None:
        """Write what stays the same from call to call while the workspace is at `base`."""
        frame = sizes.frame
        for slot, array in self._constants.items():
            frame.pointers[self._positions.get(slot, [])] = address_of(array)
        for slot, offset in sizes.workspace:
            frame.pointers[self._positions.get(slot, [])] = base + offset
        shared = base + sizes.workspace_bytes
        frame.args[:5] = (
            address_of(frame.pointers),
            address_of(sizes.dims),
            shared,
            shared + sizes.shared_bytes,
            sizes.scratch_bytes,
        )
        frame.args[6:] = address_of(self._plan), len(self._plan), address_of(self._progress)
        frame.base = base

    def output_arrays(
        self,
        sizes: Sizes,
        arrays: Sequence[NDArray[Any]],
        made: Made,
        *,
        shared: bool = False,
    ) -> list[NDArray[Any]]:
        """Return the outputs. Those that share memory are copied unless `shared` allows it."""
        program = self.program
        results: list[NDArray[Any]] = []
        seen: set[int] = set()
        for slot, shape, dtype in zip(
            program.outputs, sizes.output_shapes, self._output_dtypes, strict=True
        ):
            root = self._roots[slot]
            place = self._fresh_index.get(root)
            # Copies where memory is shared: the caller may write into each array that it gets.
            if place is not None:
                array, is_shared = made[place][0].view(dtype).reshape(shape), root in seen
            elif root in self._constants:
                array, is_shared = self._constants[root].reshape(shape), True
            else:
                array, is_shared = arrays[program.inputs.index(root)].reshape(shape), True
            results.append(array.copy() if is_shared and not shared else array)
            seen.add(root)
        return results

    def _prepare(
        self,
        key: tuple[tuple[int, ...], ...],
        arrays: Sequence[NDArray[Any]],
        given: Mapping[str, int],
    ) -> Sizes:
        program = self.program
        env = bind_symbols(self.params, arrays, program.facts, given)
        missing = [s for s in program.symbols if s not in env]
        if missing:
            raise RuntimeCheckError(
                f"the inputs of {program.name} do not determine the size {missing[0]}"
            )
        _check_sizes(program, env)
        launches = self._code.launches
        dims = np.array([env[s] for each in launches for s in each.symbols] or [0], np.int64)
        args = np.zeros(len(RUN_ARGS), np.int64)
        workspace = _aligned(evaluate(program.workspace_bytes, env))
        shared = _aligned(max((_value(each.shared, env) for each in launches), default=0))
        scratch = _aligned(max((_value(each.scratch, env) for each in launches), default=0))
        slots = program.slots
        sizes = Sizes(
            env,
            dims,
            tuple((i, evaluate(slots[i].offset_bytes, env)) for i in self._inside),
            workspace,
            shared,
            scratch,
            workspace + shared + scratch * self.num_threads,
            tuple(_num_bytes(slots[i].type, env) for i in self._fresh),
            tuple(tuple(evaluate(d, env) for d in slots[o].type.dims) for o in program.outputs),
            _Frame(args, address_of(args), np.zeros(self._num_pointers, np.int64)),
        )
        if len(self._sizes) >= _MAX_SIZES:
            self._sizes.clear()
        self._sizes[key] = sizes
        return sizes


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


def _aligned(num_bytes: int) -> int:
    return -(-num_bytes // 64) * 64


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


def _value(e: PrimExpr, env: Mapping[str, int]) -> int:
    """Evaluate a size over shape variables."""
    match e:
        case IntImm(value):
            return value
        case Var(name):
            return env[name]
        case Binary(op, a, b):
            x, y = _value(a, env), _value(b, env)
            match op:
                case "+":
                    return x + y
                case "-":
                    return x - y
                case "*":
                    return x * y
                case "//":
                    return x // y
                case "%":
                    return x % y
                case "min":
                    return min(x, y)
                case "max":
                    return max(x, y)
                case _:
                    raise AssertionError(f"no size uses {op}")
        case _:
            raise AssertionError(f"no size: {e!r}")
