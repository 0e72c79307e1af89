"""The host: what LLVM calls its CPU, and which vectors it has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from eqsat.backends._llvm import llvm


@dataclass(frozen=True, slots=True)
class Target:
    """A CPU to generate code for.

    `features` is LLVM's list ("+avx2,-avx512f,…"); `vector_bits` the widest vectors worth using.
    """

    triple: str
    cpu: str
    features: str
    vector_bits: int

    @property
    def f32_lanes(self) -> int:
        """Float32 values in one vector."""
        return self.vector_bits // 32

    def has(self, feature: str) -> bool:
        """Say whether the CPU has `feature`, by LLVM's name."""
        return f"+{feature}" in self.features.split(",")


@cache
def host_target() -> Target:
    """Return the machine this runs on."""
    features = llvm.get_host_cpu_features()
    bits = 128
    if features.get("avx512f") and features.get("avx512vl") and features.get("avx512dq"):
        bits = 512
    elif features.get("avx2"):
        bits = 256
    text = ",".join(sorted(features.flatten().split(",")))
    return Target(llvm.get_process_triple(), llvm.get_host_cpu_name(), text, bits)


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
