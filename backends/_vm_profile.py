"""Times of a call of the virtual machine, kernel by kernel and host operation by host operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eqsat.backends._profile import KernelTime, taken_s
from eqsat.lowering import NativeProgram
from eqsat.shapes import evaluate


class Recorder:
    """What one call did. Launches of the same kernel are summed."""

    def __init__(self) -> None:
        self._found: dict[object, KernelTime] = {}

    @property
    def kernels(self) -> tuple[KernelTime, ...]:
        """In the order in which they ran first."""
        return tuple(self._found.values())

    @property
    def total_s(self) -> float:
        """Seconds of all."""
        return sum(k.time_s for k in self._found.values())

    def part(
        self,
        number: int,
        program: NativeProgram,
        stamps: NDArray[np.int64],
        env: Mapping[str, int],
    ) -> None:
        """Add a run of a native part."""
        for k, (one, time_s) in enumerate(zip(program.launches, taken_s(stamps), strict=True)):
            flops, num_bytes = evaluate(one.flops, env), evaluate(one.bytes_moved, env)
            self._add(
                (number, k), KernelTime(one.label, one.template, float(time_s), flops, num_bytes)
            )

    def host(self, what: str, time_s: float) -> None:
        """Add an operation that ran outside of native code."""
        self._add(what, KernelTime(what, "host", time_s, 0, 0))

    def _add(self, key: object, one: KernelTime) -> None:
        have = self._found.get(key)
        if have is not None:
            one = replace(
                have,
                time_s=have.time_s + one.time_s,
                flops=have.flops + one.flops,
                bytes_moved=have.bytes_moved + one.bytes_moved,
                calls=have.calls + 1,
            )
        self._found[key] = one
