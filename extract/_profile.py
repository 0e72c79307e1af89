"""What the machine can do, measured once and remembered."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import log
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

_FORMAT = 7
# A level is probed with this part of its capacity; main memory with this much more than fits.
_PROBED_PART = 0.6
_DRAM_FACTOR = 5.0
# Several cores get at least this many times what one gets of a shared level.
_SHARED_SPEEDUP = 1.5

# In flops at the efficiency of pointwise kernels. Source: measured by benchmarks/calibrate.py
# --functions; what is not measured there follows from the polynomial beside it.
_TRANSCENDENTAL_FLOPS: Mapping[str, float] = {
    "exp": 15.0,
    "exp2": 13.0,
    "log": 22.0,
    "log2": 22.0,
    "log10": 23.0,
    "log1p": 25.0,
    "sqrt": 5.0,
    "rsqrt": 8.0,
    "tanh": 23.0,
    "erf": 38.0,
    "sigmoid": 16.0,
    "sin": 29.0,
    "cos": 29.0,
    "tan": 45.0,
    "pow": 42.0,
}
_OTHER_TRANSCENDENTAL_FLOPS = 30.0
_MOST_BARRIER_S = 0.6e-6
_CHEAP_INTRINSICS = frozenset(
    {"abs", "fabs", "floor", "ceil", "round", "trunc", "isnan", "isfinite", "isinf"}
)


@dataclass(frozen=True, slots=True)
class MemoryLevel:
    """A cache level (of all threads used together) or main memory."""

    name: str
    capacity_bytes: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What kernel prices are made of.

    Attributes:
        device: what was measured.
        num_threads: the threads that a kernel runs on.
        fma_flops_per_s: the peak of f32 multiply-adds, all threads together, two flops each.
        levels: smallest first; the last holds everything.
        kernel_overhead_s: start and end of one kernel inside the native function.
        barrier_s: one barrier between kernels.
        vector_bits: the widest vectors that are used.
        num_vector_registers: how many a core has.
        transcendental_flops: cost of a scalar function in flops.
        efficiency: per template, the part of the peak that its arithmetic reaches.
    """

    device: str
    num_threads: int
    fma_flops_per_s: float
    levels: tuple[MemoryLevel, ...]
    kernel_overhead_s: float = 0.3e-6
    barrier_s: float = 1.0e-6
    vector_bits: int = 256
    num_vector_registers: int = 16
    transcendental_flops: Mapping[str, float] = field(
        default_factory=lambda: dict(_TRANSCENDENTAL_FLOPS)
    )
    efficiency: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_EFFICIENCY))

    def bytes_per_s(self, footprint_bytes: float) -> float:
        """Return the bandwidth of a footprint: between levels it falls by and by."""
        last = len(self.levels) - 1
        below = self.levels[0]
        if footprint_bytes <= below.capacity_bytes * _PROBED_PART:
            return below.bytes_per_s
        at = below.capacity_bytes * _PROBED_PART
        for i in range(1, last + 1):
            level = self.levels[i]
            end = level.capacity_bytes * _PROBED_PART if i < last else at * _DRAM_FACTOR
            if footprint_bytes < end:
                part = log(footprint_bytes / at) / log(end / at)
                return below.bytes_per_s * (level.bytes_per_s / below.bytes_per_s) ** part
            below, at = level, end
        return below.bytes_per_s

    def intrinsic_flops(self, name: str) -> float:
        """Return what one call of the scalar function costs, in flops."""
        if name in _CHEAP_INTRINSICS:
            return 1.0
        return self.transcendental_flops.get(name, _OTHER_TRANSCENDENTAL_FLOPS)


# Parts of the FMA peak. Source: measured by benchmarks/calibrate.py.
DEFAULT_EFFICIENCY: Mapping[str, float] = {
    "contraction": 0.95,
    "window": 0.35,
    "pointwise": 0.5,
    "view": 0.5,
    "gather": 0.2,
    "reduction": 0.4,
    "row": 0.5,
    "opaque": 0.02,
}

REFERENCE_PROFILE = DeviceProfile(
    device="reference",
    num_threads=2,
    fma_flops_per_s=197e9,
    levels=(
        MemoryLevel("L1", 2 * 32e3, 300e9),
        MemoryLevel("L2", 2 * 512e3, 120e9),
        MemoryLevel("L3", 32e6, 60e9),
        MemoryLevel("DRAM", float("inf"), 20e9),
    ),
)
"""A fixed profile for tests: two Zen 3 cores."""


# Constants of the price model: those of the running version count, not those of the cache.
_NOT_MEASURED = ("transcendental_flops", "efficiency", "kernel_overhead_s")


class Probe(Protocol):
    """Measures with native code; `backends/` has one, NumPy stands in otherwise."""

    @property
    def vector_bits(self) -> int:
        """The widest vectors that kernels use."""
        ...

    @property
    def num_vector_registers(self) -> int:
        """How many of them a core has."""
        ...

    def fma_flops_per_s(self, num_threads: int) -> float:
        """Return the peak of f32 multiply-adds over all threads, two flops each."""
        ...

    def read_bytes_per_s(self, footprint_bytes: int, num_threads: int) -> float:
        """Return the bandwidth of reading and writing a footprint, over all threads."""
        ...

    def barrier_s(self, num_threads: int) -> float:
        """Return the time of one barrier of all threads."""
        ...


class NumpyProbe:
    """Measures with what NumPy brings: OpenBLAS products and copies.

    OpenBLAS runs on all cores, so the figure is scaled to the threads asked for. A product reaches
    about 85 % of the FMA peak.
    """

    vector_bits = 256
    num_vector_registers = 16

    def fma_flops_per_s(self, num_threads: int) -> float:
        """Return the peak of f32 multiply-adds over all threads, two flops each."""
        n = 768
        a = np.ones((n, n), np.float32)
        out = np.empty_like(a)
        seconds = _best_s(lambda: np.matmul(a, a, out=out), budget_s=0.25)
        return 2.0 * n**3 / seconds / 0.85 * min(1.0, num_threads / _num_cores())

    def read_bytes_per_s(self, footprint_bytes: int, num_threads: int) -> float:
        """Return the bandwidth of copies, times the threads while caches are private."""
        count = max(64, footprint_bytes // 8)
        source = np.ones(count, np.float32)
        target = np.empty_like(source)
        seconds = _best_s(lambda: np.copyto(target, source), budget_s=0.08)
        scale = num_threads if footprint_bytes < 4e6 else min(num_threads, 1.5)
        return 8.0 * count / seconds * scale

    def barrier_s(self, num_threads: int) -> float:
        """Return what a barrier of spinning threads takes on a quiet machine."""
        return 0.0 if num_threads == 1 else 0.5e-6


def _best_s(run: Callable[[], object], budget_s: float) -> float:
    run()
    best, end = float("inf"), time.perf_counter() + budget_s
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return max(best, 1e-9)


def load_profile(num_threads: int | None = None, probe: Probe | None = None) -> DeviceProfile:
    """Return the profile of this machine for `num_threads` (by default all), measured once.

    The result is kept as JSON in the cache directory ($EQSAT_CACHE_DIR or ~/.cache/eqsat), by CPU
    model and number of threads. A directory that cannot be written only means measuring again.
    """
    num_threads = num_threads or _num_cores()
    cpu = _cpu_model()
    probed_by = type(probe).__name__ if probe is not None else "NumpyProbe"
    key = hashlib.sha256(f"{_FORMAT}|{cpu}|{num_threads}|{probed_by}".encode()).hexdigest()[:16]
    path = _cache_dir() / f"profile-{key}.json"
    if (known := _load(path)) is not None:
        return known
    profile = _measure(cpu, num_threads, probe if probe is not None else NumpyProbe())
    # Measuring takes seconds: what another process kept meanwhile is what later calls will read.
    if (known := _load(path)) is not None:
        return known
    _store(path, profile)
    return profile


def _measure(cpu: str, num_threads: int, probe: Probe) -> DeviceProfile:
    l1, l2, l3 = _cache_sizes()
    cores = min(num_threads, _num_cores(physical=True))
    levels: list[MemoryLevel] = []
    for name, each in (("L1", l1), ("L2", l2)):
        rate = _of_all(probe.read_bytes_per_s, int(each * _PROBED_PART), num_threads, cores)
        levels.append(MemoryLevel(name, float(each * num_threads), rate))
    dram = min(int(l3 * _PROBED_PART * _DRAM_FACTOR), 192 << 20)
    for name, capacity, probed in (
        ("L3", float(l3), int(l3 * _PROBED_PART)),
        ("DRAM", float("inf"), dram),
    ):
        alone = probe.read_bytes_per_s(probed, 1) * min(cores, _SHARED_SPEEDUP)
        rate = max(alone, probe.read_bytes_per_s(probed, num_threads))
        levels.append(MemoryLevel(name, capacity, rate))
    # Noise must not make a larger level look faster than a smaller one.
    for i in range(len(levels) - 2, -1, -1):
        fastest = max(levels[i].bytes_per_s, levels[i + 1].bytes_per_s)
        levels[i] = MemoryLevel(levels[i].name, levels[i].capacity_bytes, fastest)
    return DeviceProfile(
        cpu,
        num_threads,
        max(probe.fma_flops_per_s(num_threads), cores * probe.fma_flops_per_s(1)),
        tuple(levels),
        # On a machine that does other work too, a barrier waits for the scheduler: not the rule.
        barrier_s=min(probe.barrier_s(num_threads), _MOST_BARRIER_S),
        vector_bits=probe.vector_bits,
        num_vector_registers=probe.num_vector_registers,
    )


def _of_all(
    rate: Callable[[int, int], float], each_bytes: int, num_threads: int, cores: int
) -> float:
    """Return the rate of caches that each core has to itself.

    Another program on one of the cores halves what all threads reach together, but not what one
    thread reaches: the larger of both views is the machine's own.
    """
    return max(rate(each_bytes * num_threads, num_threads), cores * rate(each_bytes, 1))


def _num_cores(*, physical: bool = False) -> int:
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cpus = os.sched_getaffinity(0)
    return len({_siblings(c) for c in cpus}) if physical else len(cpus)


def _siblings(cpu: int) -> str:
    """Return the CPUs that share a core with `cpu`."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return str(cpu)


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return " ".join(fields.get(k, "") for k in ("model name", "cpu family", "model")).strip()


def _cache_sizes() -> tuple[int, int, int]:
    """Return the bytes of L1 data, L2 and L3 as the kernel reports them."""
    sizes = {1: 32 << 10, 2: 512 << 10, 3: 16 << 20}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind = (index / "type").read_text().strip()
            level = int((index / "level").read_text())
            text = (index / "size").read_text().strip()
        except (OSError, ValueError):
            continue
        if kind != "Instruction" and text[:-1].isdigit() and text[-1] in "KM":
            sizes[level] = int(text[:-1]) << (10 if text[-1] == "K" else 20)
    return sizes[1], sizes[2], sizes[3]


def _cache_dir() -> Path:
    given = os.environ.get("EQSAT_CACHE_DIR")
    return Path(given) if given else Path.home() / ".cache" / "eqsat"


def _load(path: Path) -> DeviceProfile | None:
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
        levels = tuple(MemoryLevel(**level) for level in raw.pop("levels"))
        return DeviceProfile(**cast("dict[str, Any]", raw), levels=levels)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # absent or not ours: measure


def _store(path: Path, profile: DeviceProfile) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            measured = asdict(profile)
            for name in _NOT_MEASURED:
                del measured[name]
            json.dump(measured, file)
        os.replace(temporary, path)
    except OSError:
        return
