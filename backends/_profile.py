"""How long each kernel of a program takes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class KernelTime:
    """A kernel of a profiled call, over all `calls` launches of it.

    What runs on the host has a label that says so: "host: sort" for an operator by its reference,
    "call: name" for a Python function.
    """

    label: str
    template: str
    time_s: float
    flops: int
    bytes_moved: int
    calls: int = 1

    @property
    def gflops(self) -> float:
        """GFLOP/s."""
        return self.flops / self.time_s / 1e9 if self.time_s else 0.0

    @property
    def gbytes(self) -> float:
        """GB/s."""
        return self.bytes_moved / self.time_s / 1e9 if self.time_s else 0.0


def taken_s(stamps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the seconds between stamps, which are rows of seconds and nanoseconds."""
    at = stamps[:, 0] * 1e9 + stamps[:, 1]
    return np.diff(at.astype(np.float64)) * 1e-9


@dataclass(frozen=True, slots=True)
class Profile:
    """The fastest of several calls, kernel by kernel; `str` and notebooks show a table."""

    program: str
    num_threads: int
    kernels: tuple[KernelTime, ...]

    @property
    def total_s(self) -> float:
        """Seconds of all kernels."""
        return sum(k.time_s for k in self.kernels)

    def _table(self) -> Any:  # Any: rich is imported late
        from rich.table import Table  # rich loads when a table is shown

        title = f"{self.program}: {self.total_s * 1e3:.3f} ms, {self.num_threads} threads"
        heads = ("#", "kernel", "template", "calls", "µs", "%", "GFLOP/s", "GB/s")
        table = Table(*heads, title=title)
        for i in (0, 3, 4, 5, 6, 7):
            table.columns[i].justify = "right"
        total = self.total_s or 1.0
        for i, k in enumerate(self.kernels):
            share = f"{100 * k.time_s / total:.1f}"
            rates = (f"{k.gflops:.1f}", f"{k.gbytes:.1f}")
            times = f"{k.time_s * 1e6:.1f}"
            table.add_row(str(i), k.label, k.template, str(k.calls), times, share, *rates)
        return table

    def _rendered(self, *, html: bool) -> str:
        from rich.console import Console  # rich loads when a table is shown

        console = Console(record=True, width=120, file=io.StringIO())
        console.print(self._table())
        return console.export_html(inline_styles=True) if html else console.export_text()

    def __str__(self) -> str:
        return self._rendered(html=False)

    def _repr_html_(self) -> str:
        return self._rendered(html=True)
