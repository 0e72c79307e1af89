"""Measures what this machine can do, with native code on the thread team."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import numpy as np

from eqsat.backends._compile import object_code
from eqsat.backends._driver import PARALLEL, RUN_ARGS, STEP_WORDS, attributes
from eqsat.backends._jit import Library, load
from eqsat.backends._memory import address_of, aligned_empty
from eqsat.backends._target import host_target
from eqsat.backends._team import runtime, team

_UNROLL = 4
# A run is long against waking the team, short against the scheduler's time slice.
_RUN_S = 3e-4
_ROUND = 4
_AGREE = 0.05


class NativeProbe:
    """Peaks and bandwidths by generated loops: what a perfect kernel could reach."""

    def __init__(self) -> None:
        self.vector_bits = host_target().vector_bits
        self.num_vector_registers = 32 if self.vector_bits == 512 else 16

    def fma_flops_per_s(self, num_threads: int) -> float:
        """Return the rate of independent vector multiply-adds, two flops each."""
        lanes, accumulators = host_target().f32_lanes, _accumulators()
        data = aligned_empty(4 * lanes * accumulators * num_threads).view(np.float32)
        data[:] = 0.5
        steps = 10_000

        def run() -> float:
            _run("eqsat_fma", [address_of(data), steps], num_threads)
            data[:] = 0.5  # grows without end otherwise
            return 2.0 * lanes * accumulators * steps * num_threads

        return _best_rate(run, budget_s=0.25)

    def read_bytes_per_s(self, footprint_bytes: int, num_threads: int) -> float:
        """Return the rate of reading one half of a footprint and writing the other."""
        step = _UNROLL * host_target().vector_bits // 8
        share = max(step, footprint_bytes // 2 // num_threads // step * step)
        total = 2 * share * num_threads
        data = aligned_empty(total)
        data[:] = 0
        repeat = max(1, int(_RUN_S * 50e9) // total)
        args = [address_of(data), address_of(data) + total // 2, share, repeat]

        def run() -> float:
            _run("eqsat_copy", args, num_threads)
            return float(total * repeat)

        return _best_rate(run, budget_s=0.15)

    def barrier_s(self, num_threads: int) -> float:
        """Return the time from one stage to the next, of stages that do nothing."""
        count = 200
        plan = np.zeros((count, STEP_WORDS), np.int64)
        plan[:, 0], plan[:, 3] = _library().addresses["eqsat_nothing"], PARALLEL
        progress = np.zeros(count * (num_threads + 1), np.int64)
        args = np.zeros(len(RUN_ARGS), np.int64)
        args[6:] = address_of(plan), count, address_of(progress)

        def run() -> float:
            progress.fill(0)
            team().run(runtime().run, address_of(args), num_threads)
            return float(count)

        return 1.0 / _best_rate(run, budget_s=0.1)


def _best_rate(run: Callable[[], float], budget_s: float) -> float:
    """Return the best amount per second of `run`, which returns the amount done.

    Other work on the machine only ever makes a run slower: rounds of runs are repeated until the
    best of a round comes near the best of those before it, so that one lucky run is not enough.
    """
    run()
    best, end = 0.0, time.perf_counter() + budget_s
    while True:
        in_round = 0.0
        for _ in range(_ROUND):
            start = time.perf_counter()
            amount = run()
            in_round = max(in_round, amount / max(time.perf_counter() - start, 1e-9))
        low, best = sorted((best, in_round))
        if low >= (1 - _AGREE) * best or time.perf_counter() > end:
            return best


def _accumulators() -> int:
    """Return more than hide the latency of a multiply-add (4 cycles, two a cycle)."""
    return 24 if host_target().vector_bits == 512 else 12


def _run(name: str, args: list[int], num_threads: int) -> None:
    table = np.array(args, np.int64)
    team().run(_library().addresses[name], address_of(table), num_threads)


@cache
def _library() -> Library:
    code = object_code(_text(), host_target())
    return load([code], ["eqsat_fma", "eqsat_copy", "eqsat_nothing"])


def _text() -> str:
    target = host_target()
    vector = f"<{target.f32_lanes} x float>"
    head = "(ptr %args, i64 %thread, i64 %threads, ptr %team) #0"
    return "\n".join(
        [
            f"declare {vector} @llvm.fmuladd.v{target.f32_lanes}f32({vector}, {vector}, {vector})",
            f"define void @eqsat_fma{head} {{",
            *_fma_lines(vector, target.f32_lanes),
            "}",
            f"define void @eqsat_copy{head} {{",
            *_copy_lines(vector, target.f32_lanes),
            "}",
            "define void @eqsat_nothing(ptr %p, ptr %d, ptr %s, ptr %l, i64 %t, i64 %n) #0 {",
            "  ret void",
            "}",
            attributes(target),
        ]
    )


def _arguments(*fields: tuple[str, str]) -> list[str]:
    lines = ["entry:"]
    for i, (name, kind) in enumerate(fields):
        lines += [
            f"  %{name}_at = getelementptr i64, ptr %args, i64 {i}",
            f"  %{name} = load {kind}, ptr %{name}_at, align 8",
        ]
    return lines


def _again(count: str, step: str) -> list[str]:
    return [
        f"  %next = add i64 %i, {step}",
        f"  %more = icmp slt i64 %next, %{count}",
        "  br i1 %more, label %loop, label %end",
        "end:",
        "  ret void",
    ]


def _fma_lines(vector: str, lanes: int) -> list[str]:
    lines, accumulators = _arguments(("data", "ptr"), ("count", "i64")), _accumulators()
    lines.append(f"  %first = mul i64 %thread, {lanes * accumulators}")
    for k in range(accumulators):
        lines += [
            f"  %o{k} = add i64 %first, {k * lanes}",
            f"  %p{k} = getelementptr float, ptr %data, i64 %o{k}",
            f"  %v{k} = load {vector}, ptr %p{k}, align 4",
        ]
    lines += ["  br label %loop", "loop:", "  %i = phi i64 [ 0, %entry ], [ %next, %loop ]"]
    lines += [
        f"  %a{k} = phi {vector} [ %v{k}, %entry ], [ %n{k}, %loop ]" for k in range(accumulators)
    ]
    fma = f"call {vector} @llvm.fmuladd.v{lanes}f32"
    lines += [
        f"  %n{k} = {fma}({vector} %a{k}, {vector} %v0, {vector} %v1)" for k in range(accumulators)
    ]
    *before_end, end = _again("count", "1")
    stores = [f"  store {vector} %n{k}, ptr %p{k}, align 4" for k in range(accumulators)]
    return [*lines, *before_end, *stores, end]


def _copy_lines(vector: str, lanes: int) -> list[str]:
    fields = (("source", "ptr"), ("target", "ptr"), ("share", "i64"), ("repeat", "i64"))
    lines = _arguments(*fields)
    lines += [
        "  %first = mul i64 %thread, %share",
        "  %from = getelementptr i8, ptr %source, i64 %first",
        "  %to = getelementptr i8, ptr %target, i64 %first",
        "  br label %pass",
        "pass:",
        "  %r = phi i64 [ 0, %entry ], [ %next_r, %passed ]",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [ 0, %pass ], [ %next, %loop ]",
    ]
    for k in range(_UNROLL):
        # Not a plain copy, which LLVM would turn into a call of memcpy.
        lines += [
            f"  %o{k} = add i64 %i, {k * lanes * 4}",
            f"  %p{k} = getelementptr i8, ptr %from, i64 %o{k}",
            f"  %x{k} = load {vector}, ptr %p{k}, align 4",
            f"  %y{k} = fneg {vector} %x{k}",
            f"  %q{k} = getelementptr i8, ptr %to, i64 %o{k}",
            f"  store {vector} %y{k}, ptr %q{k}, align 4",
        ]
    return [
        *lines,
        f"  %next = add i64 %i, {_UNROLL * lanes * 4}",
        "  %more = icmp slt i64 %next, %share",
        "  br i1 %more, label %loop, label %passed",
        "passed:",
        "  %next_r = add i64 %r, 1",
        "  %more_r = icmp slt i64 %next_r, %repeat",
        "  br i1 %more_r, label %pass, label %end",
        "end:",
        "  ret void",
    ]
