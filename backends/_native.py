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
from eqsat.backends._memory import address_of, aligned_empty, owner
from eqsat.backends._team import alone, runtime, team
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


@dataclass(frozen=True, slots=True)
class Sizes:
    """What follows from the input shapes. `fresh` are (slot, bytes) to allocate in each call."""

    env: Mapping[str, int]
    dims: NDArray[np.int64]
    dims_address: int
    workspace: tuple[tuple[int, int], ...]
    workspace_bytes: int
    shared_bytes: int
    scratch_bytes: int
    fresh: tuple[tuple[int, int], ...]
    output_shapes: tuple[tuple[int, ...], ...]


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
        self._table = np.zeros(max(len(program.slots), 1), np.int64)
        self._aliases = [(i, r) for i, r in enumerate(self._roots) if i != r]
        for i, array in self._constants.items():
            self._table[i] = address_of(array)
        launch_slots = [s for launch in program.launches for s in launch.slots]
        self._launch_slots = np.array(launch_slots or [0], np.intp)
        self._pointers = np.zeros(len(self._launch_slots), np.int64)
        self._plan = _plan(program, code)
        self._args = np.zeros(len(RUN_ARGS), np.int64)
        self._args[0] = address_of(self._pointers)
        # Only read and written by native code, for one call at a time.
        self._progress = np.zeros(max(len(self._plan), 1) * (num_threads + 1), np.int64)
        self._args[6:] = address_of(self._plan), len(self._plan), address_of(self._progress)
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
        made: Mapping[int, NDArray[np.uint8]],
        arena: Arena,
        stamps: NDArray[np.int64] | None,
    ) -> None:
        """Run all kernels; `made` are the outputs' buffers by slot, `stamps` gets their times."""
        self._fill_table(sizes, arrays, made, arena)
        self._args[5] = 0 if stamps is None else address_of(stamps)
        self._execute()

    def output_arrays(
        self,
        sizes: Sizes,
        arrays: Sequence[NDArray[Any]],
        made: Mapping[int, NDArray[np.uint8]],
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
            # Copies where memory is shared: the caller may write into each array that it gets.
            if root in made:
                array, is_shared = made[root].view(dtype).reshape(shape), root in seen
            elif root in self._constants:
                array, is_shared = self._constants[root].reshape(shape), True
            else:
                array, is_shared = arrays[program.inputs.index(root)].reshape(shape), True
            results.append(array.copy() if is_shared and not shared else array)
            seen.add(root)
        return results

    def _execute(self) -> None:
        if not self.program.launches:
            return
        if self._is_serial:
            self._alone(address_of(self._args))
        else:
            self._progress.fill(0)
            team().run(self._run, address_of(self._args), self.num_threads)

    def _fill_table(
        self,
        sizes: Sizes,
        arrays: Sequence[NDArray[Any]],
        made: Mapping[int, NDArray[np.uint8]],
        arena: Arena,
    ) -> None:
        table, args = self._table, self._args
        total = sizes.workspace_bytes + sizes.shared_bytes
        total += sizes.scratch_bytes * self.num_threads
        base = arena.at_least(total)
        for slot, array in zip(self.program.inputs, arrays, strict=True):
            table[slot] = array.__array_interface__["data"][0]
        for slot, offset in sizes.workspace:
            table[slot] = base + offset
        for slot, array in made.items():
            table[slot] = array.__array_interface__["data"][0]
        for slot, root in self._aliases:
            table[slot] = table[root]
        np.take(table, self._launch_slots, out=self._pointers, mode="clip")
        args[1] = sizes.dims_address
        args[2] = base + sizes.workspace_bytes
        args[3] = base + sizes.workspace_bytes + sizes.shared_bytes
        args[4] = sizes.scratch_bytes

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
        returned = {self._roots[o] for o in program.outputs}
        fresh: list[tuple[int, int]] = []
        workspace: list[tuple[int, int]] = []
        for i, slot in enumerate(program.slots):
            if self._roots[i] != i or slot.kind in ("input", "constant"):
                continue
            if slot.kind == "output" or i in returned:
                count = evaluate(product(slot.type.dims), env)
                fresh.append((i, count * itemsize(slot.type.dtype)))
            else:
                workspace.append((i, evaluate(slot.offset_bytes, env)))
        launches = self._code.launches
        dims = np.array([env[s] for each in launches for s in each.symbols] or [0], np.int64)
        sizes = Sizes(
            env,
            dims,
            address_of(dims),
            tuple(workspace),
            _aligned(evaluate(program.workspace_bytes, env)),
            _aligned(max((_value(each.shared, env) for each in launches), default=0)),
            _aligned(max((_value(each.scratch, env) for each in launches), default=0)),
            tuple(fresh),
            tuple(
                tuple(evaluate(d, env) for d in program.slots[o].type.dims) for o in program.outputs
            ),
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
