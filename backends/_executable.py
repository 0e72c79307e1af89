"""A compiled program, ready to be called."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.backends._binding import Parameter, arrange, as_array, bind_symbols, parameter
from eqsat.backends._codegen import Stage
from eqsat.backends._driver import FIRST_OF_LAUNCH, PARALLEL, RUN_ARGS, STEP_WORDS
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._jit import Library
from eqsat.backends._memory import address_of, aligned_empty
from eqsat.backends._profile import KernelTime, Profile
from eqsat.backends._team import alone, runtime, team
from eqsat.backends._text import TextKind, program_text
from eqsat.ir.tir import Binary, IntImm, PrimExpr, Var
from eqsat.lowering import NativeProgram
from eqsat.shapes import evaluate, itemsize, numpy_dtype, product

_MAX_SIZES = 256


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
class _Sizes:
    """What follows from the input shapes. `fresh` are (slot, bytes) to allocate in each call."""

    env: Mapping[str, int]
    dims: NDArray[np.int64]
    workspace: tuple[tuple[int, int], ...]
    workspace_bytes: int
    shared_bytes: int
    scratch_bytes: int
    fresh: tuple[tuple[int, int], ...]
    output_shapes: tuple[tuple[int, ...], ...]


class Executable:
    """A native program. Call it with NumPy arrays or DLPack tensors, by position or by name.

    Calls from several Python threads are safe and run one after the other.
    """

    def __init__(self, program: NativeProgram, code: Code, num_threads: int) -> None:
        self.program = program
        self.num_threads = num_threads
        self._code = code
        self._params: list[Parameter] = [
            parameter(program.slots[i].name, program.slots[i].type) for i in program.inputs
        ]
        self._roots = [_root(program, i) for i in range(len(program.slots))]
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._sizes: dict[tuple[tuple[int, ...], ...], _Sizes] = {}
        self._workspace = aligned_empty(0)
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
        self._run = runtime().run
        self._alone = alone(self._run)
        self._output_dtypes = [numpy_dtype(program.slots[o].type.dtype) for o in program.outputs]

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(p.name for p in self._params)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs as NumPy arrays: one, or a tuple where the program returns a tuple.

        Raises:
            RuntimeCheckError: the arguments do not fit; the message names the argument.
        """
        outputs, _ = self._call(args, kwargs, None)
        return outputs

    def profile(self, /, *args: Any, repeat: int = 5, **kwargs: Any) -> Profile:
        """Return the time of each kernel: the least over `repeat` calls, after one to warm up."""
        launches = self.program.launches
        best: NDArray[np.float64] | None = None
        env: Mapping[str, int] = {}
        self._call(args, kwargs, None)
        for _ in range(max(repeat, 1)):
            stamps = np.zeros((len(launches) + 1, 2), np.int64)
            _, env = self._call(args, kwargs, stamps)
            at = stamps[:, 0] * 1e9 + stamps[:, 1]
            taken = np.diff(at.astype(np.float64)) * 1e-9
            best = taken if best is None else np.minimum(best, taken)
        assert best is not None
        kernels = tuple(
            KernelTime(
                one.label,
                one.template,
                float(t),
                evaluate(one.flops, env),
                evaluate(one.bytes_moved, env),
            )
            for one, t in zip(launches, best, strict=True)
        )
        return Profile(self.program.name, self.num_threads, kernels)

    def as_text(self, kind: TextKind = "tir") -> str:
        """Return the kernels as TensorIR, optimized LLVM IR, or assembly."""
        return program_text(self.program, kind)

    def __reduce__(self) -> Any:
        raise TypeError(
            "an Executable is machine code of this process and cannot be pickled or copied; "
            "compile the module again where it is needed: the cache makes that quick"
        )

    def __repr__(self) -> str:
        params = ", ".join(f"{p.name}: {p.type}" for p in self._params)
        kernels = len(self.program.launches)
        return f"<Executable {self.program.name}({params}), {kernels} kernels>"

    # --- calls ------------------------------------------------------------------------------

    def _call(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], stamps: NDArray[np.int64] | None
    ) -> tuple[Any, Mapping[str, int]]:
        params = self._params
        given = args
        if kwargs or len(args) != len(params):
            given = arrange(self.program.name, params, args, kwargs)
        arrays = [as_array(p, a) for p, a in zip(params, given, strict=True)]
        key = tuple([a.shape for a in arrays])
        sizes = self._sizes.get(key)
        if sizes is None:
            sizes = self._prepare(key, arrays)
        made = {slot: aligned_empty(num_bytes) for slot, num_bytes in sizes.fresh}
        if self._pid != os.getpid():
            # In a forked child the lock may be held by a thread that is not there.
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            self._fill_table(sizes, arrays, made)
            self._args[5] = 0 if stamps is None else address_of(stamps)
            self._execute()
        return self._outputs(sizes, arrays, made), sizes.env

    def _execute(self) -> None:
        if not self.program.launches:
            return
        if self.num_threads == 1:
            self._alone(address_of(self._args))
        else:
            self._progress.fill(0)
            team().run(self._run, address_of(self._args), self.num_threads)

    def _fill_table(
        self, sizes: _Sizes, arrays: list[NDArray[Any]], made: dict[int, NDArray[np.uint8]]
    ) -> None:
        table, args = self._table, self._args
        total = sizes.workspace_bytes + sizes.shared_bytes
        total += sizes.scratch_bytes * self.num_threads
        if self._workspace.nbytes < total:
            self._workspace = aligned_empty(total)
        base = address_of(self._workspace)
        for slot, array in zip(self.program.inputs, arrays, strict=True):
            table[slot] = array.__array_interface__["data"][0]
        for slot, offset in sizes.workspace:
            table[slot] = base + offset
        for slot, array in made.items():
            table[slot] = array.__array_interface__["data"][0]
        for slot, root in self._aliases:
            table[slot] = table[root]
        np.take(table, self._launch_slots, out=self._pointers, mode="clip")
        args[1] = address_of(sizes.dims)
        args[2] = base + sizes.workspace_bytes
        args[3] = base + sizes.workspace_bytes + sizes.shared_bytes
        args[4] = sizes.scratch_bytes

    def _outputs(
        self, sizes: _Sizes, arrays: list[NDArray[Any]], made: dict[int, NDArray[np.uint8]]
    ) -> Any:
        program = self.program
        results: list[NDArray[Any]] = []
        seen: set[int] = set()
        for slot, shape, dtype in zip(
            program.outputs, sizes.output_shapes, self._output_dtypes, strict=True
        ):
            root = self._roots[slot]
            # Copies where memory is shared: the caller may write into each array that it gets.
            if root in made:
                array = made[root].view(dtype).reshape(shape)
                results.append(array.copy() if root in seen else array)
            elif root in self._constants:
                results.append(self._constants[root].reshape(shape).copy())
            else:
                results.append(arrays[program.inputs.index(root)].reshape(shape).copy())
            seen.add(root)
        return tuple(results) if program.is_tuple else results[0]

    def _prepare(self, key: tuple[tuple[int, ...], ...], arrays: list[NDArray[Any]]) -> _Sizes:
        program = self.program
        env = bind_symbols(self._params, arrays, program.facts)
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
        sizes = _Sizes(
            env,
            np.array([env[s] for each in launches for s in each.symbols] or [0], np.int64),
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
