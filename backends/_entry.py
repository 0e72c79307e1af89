"""The native entry of one program: its table, and a row for each combination of sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.backends._call import Arena, python_function, table, words
from eqsat.backends._call_text import (
    AT_ONCE,
    BY_TEAM,
    HASH_FACTOR,
    HASH_SHIFT,
    NUM_SLOTS,
    ROW,
    UNLOCKED,
)
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._memory import address_of
from eqsat.backends._native import NativeCode
from eqsat.backends._team import runtime, team
from eqsat.lowering import to_dim
from eqsat.shapes import evaluate, numpy_dtype

_MAX_ROWS = 256
_MOST_BYTES = 1 << 62
# Operations, and bytes by four, below which it costs more than it gains to call the team, and to
# let other threads of Python run. Measured by exp, add, softmax and products of many sizes on two
# CPUs (Zen 5): the team takes 14 µs and wins from 200 000 to 4 000 000 on; a core does 1000 in 0.02
# to 0.3 µs.
_WORK_OF_TEAM, _WORK_OF_LOCK = 100_000, 5_000


def entry(
    native: NativeCode,
    arena: Arena,
    *,
    shared: bool = False,
    stamps: NDArray[np.int64] | None = None,
) -> Callable[..., Any]:
    """Return the program as a Python function of the inputs and then the dims `given`.

    Calls of the functions of one arena run one after the other.

    Args:
        native: the program.
        arena: the workspace, which several programs may share.
        shared: outputs may share memory with each other, with inputs and with constants;
            they are copies otherwise.
        stamps: gets the times of the kernels.
    """
    rows = _Rows(native, stamps)
    admit = rows.admit
    function = python_function(_table(native, arena, rows.slots, admit), runtime().call)
    if native.is_plain:
        return function

    def call(*args: Any, **kwargs: Any) -> Any:
        given = admit(*args, **kwargs)
        return _views(native, given, function(*given), shared)

    return call


def _table(
    native: NativeCode, arena: Arena, slots: NDArray[np.int64], admit: Callable[..., Any]
) -> NDArray[np.int64]:
    program, made = native.program, native.made
    inputs = [(id(p.dtype), p.type.ndim) for p in native.params]
    num_params = len(inputs) + len(program.given)
    places = {slot: k for k, slot in enumerate(program.inputs)}
    places |= {slot: num_params + k for k, slot in enumerate(made)}
    params = _pairs([*inputs, *[(0, 0)] * len(program.given)])
    outputs = _pairs([(id(dtype), ndim) for dtype, ndim in native.output_forms()])
    patches = _pairs([(places[s], k) for k, s in enumerate(native.pointer_slots) if s in places])

    def by_team(args: int) -> None:
        native.progress.fill(0)
        team().run(runtime().run, args, native.num_threads)

    values = {
        "num_params": num_params,
        "num_sizes": sum(ndim for _, ndim in inputs) + len(program.given),
        "num_outputs": len(outputs),
        "num_patches": len(patches),
        "is_tuple": int(program.is_tuple or not native.is_plain),
        "params": address_of(params),
        "outputs": address_of(outputs),
        "patches": address_of(patches),
        "slots": address_of(slots),
        "arena": address_of(arena.words),
        "admit": id(admit),
        "team": id(by_team),
        "allocate": runtime().allocate,
        "run": runtime().run,
    }
    return table(values, (params, outputs, patches, slots, arena, admit, by_team))


def _views(
    native: NativeCode, given: Sequence[Any], made: Sequence[NDArray[Any]], shared: bool
) -> Any:
    """Return the outputs. Those that share memory are copied unless `shared` allows it."""
    program, num_inputs = native.program, len(native.params)
    memory = dict(zip(program.inputs, given, strict=False)) | native.constants
    fresh = dict(zip(native.made, made, strict=True))
    shapes = native.output_shapes(native.env(given[:num_inputs], given[num_inputs:]))
    results: list[NDArray[Any]] = []
    seen: set[int] = set()
    for slot, root, shape in zip(program.outputs, native.returned, shapes, strict=True):
        dtype = numpy_dtype(program.slots[slot].type.dtype)
        array = fresh[root].view(dtype) if root in fresh else memory[root]
        # The caller may write into each array that it gets.
        is_shared = root not in fresh or root in seen
        view = array.reshape(shape)
        results.append(view.copy() if is_shared and not shared else view)
        seen.add(root)
    return tuple(results) if program.is_tuple else results[0]


def _pairs(pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    return np.array(pairs, np.int64).reshape(len(pairs), 2)


class _Rows:
    """The rows of one entry; `slots` has the first row for each hash, a row leads to the next."""

    def __init__(self, native: NativeCode, stamps: NDArray[np.int64] | None) -> None:
        self._native, self._stamps = native, stamps
        self._shared = [to_dim(each.shared) for each in native.code.launches]
        self._scratch = [to_dim(each.scratch) for each in native.code.launches]
        self.slots = np.zeros(NUM_SLOTS, np.int64)
        self._rows: dict[tuple[int, ...], NDArray[np.int64]] = {}

    def admit(self, /, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return arguments in the form that the native entry takes, for sizes that have a row.

        Raises:
            RuntimeCheckError: they do not fit the program.
        """
        arrays, numbers = self._native.arguments(args, kwargs)
        key = (*(n for a in arrays for n in a.shape), *numbers)
        if key not in self._rows:
            self._add(key, self._row(key, self._native.env(arrays, numbers)))
        return (*arrays, *numbers)

    def _add(self, key: tuple[int, ...], row: NDArray[np.int64]) -> None:
        if len(self._rows) >= _MAX_ROWS:
            self.slots.fill(0)
            self._rows.clear()
        slot = _hash(key)
        row[ROW.index("next")] = self.slots[slot]
        self._rows[key] = row
        self.slots[slot] = id(row)

    def _row(self, key: tuple[int, ...], env: Mapping[str, int]) -> NDArray[np.int64]:
        native = self._native
        program, launches = native.program, native.code.launches
        workspace = _aligned(evaluate(program.workspace_bytes, env))
        shared = _aligned(max((evaluate(d, env) for d in self._shared), default=0))
        scratch = _aligned(max((evaluate(d, env) for d in self._scratch), default=0))
        total = workspace + shared + scratch * native.num_threads
        outputs = native.output_sizes(env)
        if max(total, *(n for n, *_ in outputs), 0) > _MOST_BYTES:
            raise RuntimeCheckError(f"{program.name} would need more memory than can be addressed")
        offsets = {i: evaluate(program.slots[i].offset_bytes, env) for i in native.inside}
        constants = {slot: address_of(array) for slot, array in native.constants.items()}
        fills = [(k, offsets[s]) for k, s in enumerate(native.pointer_slots) if s in offsets]
        tables = {
            "key": list(key),
            "fills": [n for pair in fills for n in pair],
            "sizes": [n for sizes in outputs for n in sizes],
            "pointers": [constants.get(s, 0) for s in native.pointer_slots],
            "dims": [env[s] for each in launches for s in each.symbols],
        }
        row = np.array([0] * len(ROW) + [n for t in tables.values() for n in t], np.int64)
        values = {
            "next": 0,
            "base": 0,
            "total_bytes": total,
            "shared_at": workspace,
            "scratch_at": workspace + shared,
            "mode": _mode(native, env),
            "num_fills": len(fills),
            "shared": 0,
            "scratch_all": 0,
            "stride": scratch,
            "times": 0 if self._stamps is None else address_of(self._stamps),
            "plan": address_of(native.plan),
            "count": len(native.plan),
            "progress": address_of(native.progress),
        }
        at = address_of(row) + 8 * len(ROW)
        for name, numbers in tables.items():
            values[name] = at
            at += 8 * len(numbers)
        row[: len(ROW)] = words(ROW, values)
        return row


def _mode(native: NativeCode, env: Mapping[str, int]) -> int:
    """Return how to run the kernels for these sizes."""
    work = 0.0
    for each in native.program.launches:
        if each.flops == 0 and each.bytes_moved == 0:  # not known
            work = inf
            break
        work += evaluate(each.flops, env) + evaluate(each.bytes_moved, env) / 4
    if work < _WORK_OF_LOCK:
        return AT_ONCE
    return UNLOCKED if native.is_serial or work < _WORK_OF_TEAM else BY_TEAM


def _hash(key: Sequence[int]) -> int:
    """Return the slot of sizes, as native code computes it."""
    found = 0
    for n in key:
        found = ((found ^ n) * HASH_FACTOR) % (1 << 64)
    return found >> HASH_SHIFT


def _aligned(num_bytes: int) -> int:
    return -(-num_bytes // 64) * 64
