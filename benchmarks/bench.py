"""Times against onnxruntime, measured in turn in one process: `python -m benchmarks.bench`.

Each model runs on the same inputs in both, in alternating blocks of calls; the table gives medians
and their ratio. `--output FILE.json` keeps the figures with the 10th and 90th percentile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import eqsat
from benchmarks import zoo
from benchmarks.demo import relative_error

_BLOCK = 5
_PAUSE_S = 0.2

Model = tuple[Callable[[], onnx.ModelProto], dict[str, int]]


def models(*, peers: bool) -> dict[str, Model]:
    """Return each model's maker and sizes; `peers` adds those that torch exports."""
    listed: dict[str, Model] = {n: (make, {"N": 1}) for n, make in zoo.CONVOLUTIONAL.items()}
    listed["transformer_encoder"] = (zoo.transformer_encoder, {"N": 1, "S": 128})
    if peers:
        from benchmarks import torch_models

        listed["minilm"] = (lambda: torch_models.minilm(dynamo=True), {"batch": 1, "seq": 128})
        listed["llama_step"] = (lambda: torch_models.llama_step(dynamo=True), {"past": 500})
    return listed


def measure(name: str, model: Model, *, repeat: int, threads: int) -> dict[str, Any]:
    """Return the figures of one model; times in seconds."""
    import onnxruntime as ort

    make, dims = model
    proto = make()
    inputs = zoo.random_inputs(proto, dims)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    result = eqsat.optimize(eqsat.from_onnx(proto), dims=dims, num_threads=threads)
    start = time.perf_counter()
    executable = eqsat.compile(result, num_threads=threads)
    compile_s = time.perf_counter() - start
    outputs = executable(**inputs)
    expected = session.run(None, inputs)
    ours, theirs = _alternate(
        lambda: executable(**inputs), lambda: session.run(None, inputs), repeat
    )
    return {
        "model": name,
        "dims": dims,
        "eqsat_s": _summary(ours),
        "onnxruntime_s": _summary(theirs),
        "ratio": float(np.median(ours) / np.median(theirs)),
        "max_error": relative_error(outputs, tuple(expected) if len(expected) > 1 else expected[0]),
        "kernels": result.report.num_kernels,
        "optimize_s": result.report.time_s,
        "gap": result.report.gap,
        "compile_s": compile_s,
    }


def _alternate(
    first: Callable[[], Any], second: Callable[[], Any], repeat: int
) -> tuple[list[float], list[float]]:
    """Time both in alternating blocks of calls.

    A pause and an untimed call come before each block, so that neither runtime meets threads of the
    other that still spin, or its cache contents. Turns without a pause are harder on eqsat:
    `benchmarks/results/README.md` has both.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(-(-repeat // _BLOCK)):
        for call, kept in zip((first, second), times, strict=True):
            time.sleep(_PAUSE_S)
            call()
            for _ in range(_BLOCK):
                start = time.perf_counter()
                call()
                kept.append(time.perf_counter() - start)
    return times


def _summary(times: list[float]) -> dict[str, float]:
    low, median, high = (float(q) for q in np.percentile(times, [10, 50, 90]))
    return {"p10": low, "median": median, "p90": high}


_COLUMNS = (
    ("model", 20),
    ("eqsat", 11),
    ("onnxruntime", 11),
    ("ratio", 6),
    ("max error", 9),
    ("kernels", 7),
    ("optimize", 8),
    ("gap", 6),
    ("compile", 8),
)
_HEADER = "  ".join(f"{name:>{width}}" for name, width in _COLUMNS)


def _line(row: dict[str, Any]) -> str:
    cells = (
        row["model"],
        f"{row['eqsat_s']['median'] * 1e3:.2f} ms",
        f"{row['onnxruntime_s']['median'] * 1e3:.2f} ms",
        f"{row['ratio']:.2f}",
        f"{row['max_error']:.1e}",
        str(row["kernels"]),
        f"{row['optimize_s']:.2f} s",
        f"{row['gap']:.2%}",
        f"{row['compile_s']:.2f} s",
    )
    return "  ".join(f"{c:>{width}}" for c, (_, width) in zip(cells, _COLUMNS, strict=True))


def machine() -> str:
    """Return the CPU by family, model and vector extension, as far as the system tells."""
    from eqsat.backends import host_target

    target = host_target()
    return f"{target.cpu}, {target.vector_bits}-bit vectors, {platform.system()}"


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="models to measure; all without any")
    parser.add_argument("--peers", action="store_true", help="also the models that torch exports")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    listed = models(peers=args.peers)
    if unknown := set(args.names) - set(listed):
        parser.error(f"unknown models {sorted(unknown)}; there are {sorted(listed)}")
    rows: list[dict[str, Any]] = []
    print(_HEADER)
    for name in args.names or listed:
        rows.append(measure(name, listed[name], repeat=args.repeat, threads=args.threads))
        print(_line(rows[-1]), flush=True)
    if args.output:
        record = {
            "machine": platform.processor() or platform.machine(),
            "threads": args.threads,
            "rows": rows,
        }
        args.output.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
