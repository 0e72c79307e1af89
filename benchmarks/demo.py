"""The main job, on models that need no download: `python -m benchmarks.demo`.

For each model: import, optimize, compile, run at several sizes from one compilation, and compare
with the NumPy interpreter. Exits with 1 where an error is out of tolerance.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

import eqsat
from benchmarks import zoo
from eqsat._progress import shown_progress

TOLERANCE = 1e-4  # of the largest output, float32


@dataclass(frozen=True)
class Case:
    """A model and the sizes to run it at; the first is the representative one."""

    title: str
    model: onnx.ModelProto
    sizes: tuple[dict[str, int], ...]


@dataclass(frozen=True)
class Outcome:
    """What the demo shows for one model; times are medians in seconds."""

    case: Case
    result: eqsat.OptimizeResult
    errors: Mapping[str, float]
    time_before_s: float
    time_after_s: float
    compile_s: float


def cases() -> tuple[Case, ...]:
    """Return the demo's models."""
    return (
        Case("ResNet-50", zoo.light_model("resnet50"), ({"N": 1}, {"N": 3})),
        Case(
            "transformer encoder",
            zoo.transformer_encoder(),
            ({"N": 1, "S": 128}, {"N": 2, "S": 37}),
        ),
    )


def relative_error(actual: Any, expected: Any) -> float:
    """Return the largest difference over all outputs, relative to the largest expected element."""
    pairs = zip(_as_tuple(actual), _as_tuple(expected), strict=True)
    return max(float(np.abs(a - e).max() / max(np.abs(e).max(), 1e-30)) for a, e in pairs)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def median_time(call: Any, *, repeat: int = 15) -> float:
    """Return the median time of a call in seconds, after one call to warm up."""
    call()
    times: list[float] = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run_case(case: Case, progress: Any) -> Outcome:
    """Import, optimize, compile, run and check one model."""
    progress("import", 0.0)
    mod = eqsat.from_onnx(case.model)
    result = eqsat.optimize(
        mod, dims=case.sizes[0], progress=lambda w, f: progress(w, 0.05 + 0.25 * f)
    )
    start = time.perf_counter()
    after = eqsat.compile(result, progress=lambda w, f: progress(w, 0.3 + 0.2 * f))
    compile_s = time.perf_counter() - start
    progress("compile the program as given", 0.5)
    before = eqsat.compile(mod)
    errors: dict[str, float] = {}
    for i, dims in enumerate(case.sizes):
        progress("compare with the interpreter", 0.7 + 0.2 * i / len(case.sizes))
        inputs = zoo.random_inputs(case.model, dims)
        expected = eqsat.interpret(mod, *inputs.values())
        label = ", ".join(f"{k}={v}" for k, v in dims.items())
        errors[label] = relative_error(after(**inputs), expected)
    progress("measure", 0.9)
    inputs = zoo.random_inputs(case.model, case.sizes[0])
    time_before = median_time(lambda: before(**inputs))
    time_after = median_time(lambda: after(**inputs))
    return Outcome(case, result, errors, time_before, time_after, compile_s)


def show(outcome: Outcome, console: Any) -> None:
    """Print the tables of one model."""
    from rich.table import Table

    report = outcome.result.report
    table = Table(title=f"{outcome.case.title}  ({outcome.case.sizes[0]})", title_justify="left")
    for name in ("", "before", "after"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("operators", str(report.num_operators), "")
    table.add_row("kernels", str(report.num_kernels_before), str(report.num_kernels))
    table.add_row("estimated time", _ms(report.estimate_before_s), _ms(report.estimate_s))
    table.add_row("measured time", _ms(outcome.time_before_s), _ms(outcome.time_after_s))
    table.add_row("optimize", "", f"{report.time_s:.2f} s")
    table.add_row("compile", "", f"{outcome.compile_s:.2f} s")
    table.add_row("proven gap", "", f"{report.gap:.2%}")
    for label, error in outcome.errors.items():
        mark = "ok" if error <= TOLERANCE else "OUT OF TOLERANCE"
        table.add_row(f"max error at {label}", "", f"{error:.1e} {mark}")
    console.print(table)
    rules = Table(
        title="rules that paid off (estimated time lost without each)", title_justify="left"
    )
    for name in ("rule", "e-nodes used", "gain"):
        rules.add_column(name, justify="left" if name == "rule" else "right")
    for gain in (g for g in outcome.result.rule_gains if g.gain_s > 0):
        rules.add_row(gain.rule, str(gain.num_nodes), f"{gain.gain_s * 1e6:.1f} µs")
    console.print(rules)


def _ms(time_s: float) -> str:
    return f"{time_s * 1e3:.2f} ms"


def main() -> int:
    """Run the demo and return the exit code."""
    from rich.console import Console

    console = Console()
    worst = 0.0
    for case in cases():
        console.print(f"{case.title}: importing, optimizing, compiling, checking …")
        with shown_progress(case.title) as progress:
            outcome = run_case(case, progress)
        show(outcome, console)
        worst = max(worst, *outcome.errors.values())
    if not worst <= TOLERANCE:  # also catches nan
        console.print(f"error {worst:.1e} is out of tolerance {TOLERANCE:.0e}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
