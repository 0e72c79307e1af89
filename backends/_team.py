"""The threads that run kernels: Python threads that wait in native code for work."""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.backends import _driver
from eqsat.backends._call import interfaces
from eqsat.backends._call_text import call_text
from eqsat.backends._compile import object_code
from eqsat.backends._jit import load
from eqsat.backends._memory import address_of, aligned_empty
from eqsat.backends._target import host_target


@dataclass(frozen=True, eq=False, slots=True)
class Runtime:
    """What all programs share: addresses of native functions, and the functions of the team."""

    run: int
    allocate: int
    call: int
    worker: Any  # Any: ctypes function objects
    submit: Any


_kept: list[object] = []
_loaded: list[Runtime] = []


def runtime(compiled: Callable[[str], bytes] | None = None) -> Runtime:
    """Return the runtime, loaded once; `compiled` makes its code, from a cache perhaps."""
    if not _loaded:
        target = host_target()
        text = call_text() + _driver.team_text(target)
        code = object_code(text, target) if compiled is None else compiled(text)
        names = ["eqsat_run", "eqsat_worker", "eqsat_submit", "eqsat_allocate", "eqsat_call"]
        library = load([code], names, interfaces())
        # The code must outlive threads that sleep in it.
        _kept.append(library)
        pointer, i64, i32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
        at = library.addresses
        worker = ctypes.CFUNCTYPE(None, pointer, i64, i32)(at["eqsat_worker"])
        submit = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, i64, i32)(at["eqsat_submit"])
        _loaded.append(
            Runtime(at["eqsat_run"], at["eqsat_allocate"], at["eqsat_call"], worker, submit)
        )
    return _loaded[0]


class Team:
    """Worker threads, started when first needed. One job runs at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._places: dict[threading.Thread, int] = {}  # the CPU of a worker that keeps to one
        self._memory: NDArray[np.int32] = aligned_empty(_driver.TEAM_BYTES).view(np.int32)
        self._memory[:] = 0
        self._memory[[at // 4 for at in _driver.LIMITS]] = _driver.MOST_SPINS
        self.address = address_of(self._memory)

    def run(self, function: int, args: int, threads: int) -> None:
        """Call `function(args, thread, threads, team)` on `threads` threads at once."""
        functions = runtime()
        with self._lock, self._settled(threads, functions.worker):
            functions.submit(self.address, function, args, threads, len(self._threads))

    @contextmanager
    def _settled(self, threads: int, worker: Any) -> Generator[None]:
        """Start workers that are missing; where the team fills all CPUs, give each thread its own.

        The system wakes a thread where its waker runs and lets both share that CPU until it
        balances its load: on two CPUs, the first ten calls of SqueezeNet after a pause took 6 ms
        instead of 3.
        """
        self._grow(threads - 1, worker)
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
        if len(cpus) != threads:
            yield
            return
        for thread, cpu in zip(self._threads, cpus[1:], strict=False):
            if self._places.get(thread) != cpu and thread.native_id is not None:
                os.sched_setaffinity(thread.native_id, {cpu})
                self._places[thread] = cpu
        os.sched_setaffinity(0, {cpus[0]})
        try:
            yield
        finally:
            os.sched_setaffinity(0, cpus)

    def _grow(self, workers: int, worker: Any) -> None:
        _watch_process()
        while len(self._threads) < workers:
            generation = int(self._memory[_driver.JOB_GENERATION // 4])
            number = len(self._threads) + 1
            thread = threading.Thread(
                target=worker,
                args=(self.address, number, generation),
                name=f"eqsat-{number}",
                daemon=True,
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the worker threads."""
        if not self._threads:
            return
        with self._lock:
            runtime().submit(self.address, None, None, 0, 0)
            for thread in self._threads:
                thread.join(1.0)
            self._threads.clear()
            self._places.clear()


@cache
def team() -> Team:
    """Return the team of this process."""
    return Team()


def _restart() -> None:
    # The child of a fork has the memory of the team, but none of its threads.
    _kept.append(team())
    team.cache_clear()


def _stop() -> None:
    team().stop()


@cache
def _watch_process() -> None:
    """Have forked children start their own team, and the end of the process end this one."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_restart)
    atexit.register(_stop)
