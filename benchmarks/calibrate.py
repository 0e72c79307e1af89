"""Estimates against measured times, kernel by kernel: `python -m benchmarks.calibrate MODEL…`.

The constants of the price model (`extract/_price.py`, `_product_price.py`, `_profile.py`) come from
here. All times are minima over many short runs: other work on the machine only ever adds time.
`--alternatives` measures ways to compute the same, which the estimates must put in the right order;
`--functions` measures scalar functions.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

import eqsat
from benchmarks import zoo
from eqsat._snapshot import EXTERN, Kernel
from eqsat.backends import Executable
from eqsat.ir import Call, GlobalVar, IRModule, VarBinding

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel of a program."""

    template: str
    label: str
    estimate_s: float
    measured_s: float

    @property
    def log_ratio(self) -> float:
        """The estimate over the measured time, as a power of two."""
        return math.log2(self.estimate_s / self.measured_s)


def launch_times(executable: Executable, inputs: Arrays, *, rounds: int) -> list[float]:
    """Return the least time of each launch; pauses let other work on the machine pass by."""
    best: list[float] | None = None
    for _ in range(rounds):
        times = [k.time_s for k in executable.profile(**inputs, repeat=20).kernels]
        best = times if best is None else [min(a, b) for a, b in zip(best, times, strict=True)]
        time.sleep(0.1)
    assert best is not None
    return best


def kernel_rows(proto: onnx.ModelProto, dims: dict[str, int], *, rounds: int) -> list[Row]:
    """Return the kernels of a model that run, in order."""
    result = eqsat.optimize(eqsat.from_onnx(proto), dims=dims)
    executable = eqsat.compile(result)
    times = launch_times(executable, zoo.random_inputs(proto, dims), rounds=rounds)
    cover = result.search.cover
    kernels = [k for k in cover.kernels if not _is_extern(k)]
    names = _called(result.module)
    program = executable.program
    seen: set[int] = set()
    rows: list[Row] = []
    at = 0
    for name, kernel in zip(names, kernels, strict=True):
        if kernel.is_alias:
            continue
        first, is_done = at, False
        while not is_done:  # a kernel ends with the launch that writes its new result
            launch = program.launches[at]
            new = [s for s in launch.slots if s not in seen]
            seen.update(launch.slots)
            is_done = any(program.slots[s].name == f"{name}_out" for s in new)
            at += 1
        label = program.launches[first].label
        rows.append(Row(kernel.template, label, kernel.time_s, sum(times[first:at])))
    return rows


def _is_extern(kernel: Kernel) -> bool:
    return any(n.op == EXTERN for n in kernel.nodes.values())


def _called(module: IRModule) -> list[str]:
    return [
        b.value.op.name
        for block in module.relax_function("main").body.blocks
        for b in block.bindings
        if isinstance(b, VarBinding)
        and isinstance(b.value, Call)
        and isinstance(b.value.op, GlobalVar)
    ]


def print_rows(title: str, rows: Sequence[Row], *, verbose: bool) -> None:
    """Print ratios by template, and each kernel where `verbose`."""
    estimate, measured = (
        sum(r.estimate_s for r in rows) * 1e3,
        sum(r.measured_s for r in rows) * 1e3,
    )
    print(f"{title}: {len(rows)} kernels, estimated {estimate:.2f} ms, measured {measured:.2f} ms")
    for template in sorted({r.template for r in rows}):
        logs = [r.log_ratio for r in rows if r.template == template]
        spread = sorted(abs(x) for x in logs)
        print(
            f"  {template:12} {len(logs):4}  median ratio {2 ** statistics.median(logs):5.2f}  "
            f"median |log2| {statistics.median(spread):.2f}  "
            f"90th percentile {spread[int(0.9 * (len(spread) - 1))]:.2f}"
        )
    if verbose:
        for r in rows:
            print(
                f"    {r.template:12} estimated {r.estimate_s * 1e6:8.1f}  "
                f"measured {r.measured_s * 1e6:8.1f} µs  {r.label}"
            )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="zoo models, transformer_encoder, or ONNX files")
    parser.add_argument("--dims", default="", help="sizes of symbols, as N=1,S=128")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--alternatives", action="store_true")
    parser.add_argument("--functions", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    every: list[Row] = []
    for name in args.models:
        proto, dims = _model(name)
        if args.dims:
            dims = {k: int(v) for k, v in (d.split("=") for d in args.dims.split(","))}
        rows = kernel_rows(proto, dims, rounds=args.rounds)
        print_rows(name, rows, verbose=args.verbose)
        every += rows
    if len(args.models) > 1:
        print_rows("all", every, verbose=False)
    if args.functions:
        from benchmarks.calibrate_alternatives import print_functions

        print_functions(rounds=args.rounds)
    if args.alternatives:
        from benchmarks.calibrate_alternatives import print_alternatives

        print_alternatives(rounds=args.rounds)


def _model(name: str) -> tuple[onnx.ModelProto, dict[str, int]]:
    if name == "transformer_encoder":
        return zoo.transformer_encoder(), {"N": 1, "S": 128}
    if not name.endswith(".onnx"):
        return zoo.light_model(name), {"N": 1}
    proto = onnx.load(name)
    symbols = {
        d.dim_param for i in proto.graph.input for d in i.type.tensor_type.shape.dim if d.dim_param
    }
    usual = {"batch": 1, "seq": 128, "past": 500}
    return proto, {s: n for s, n in usual.items() if s in symbols}


if __name__ == "__main__":
    main()
