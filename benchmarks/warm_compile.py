"""Compile time with a warm cache, in a second process: `python -m benchmarks.warm_compile`.

The first process compiles into an empty cache; the second one does the same and reports the time of
`eqsat.compile(result)` alone, in seconds. Importing and optimizing come before and do not count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time


def compile_once(name: str) -> float:
    """Return the wall-clock time of compiling the optimized model, in seconds."""
    import eqsat
    from benchmarks.bench import models

    make, dims = models(peers=name in ("minilm", "llama_step"))[name]
    result = eqsat.optimize(eqsat.from_onnx(make()), dims=dims)
    start = time.perf_counter()
    eqsat.compile(result)
    return time.perf_counter() - start


def main() -> int:
    """Measure each model in two processes and print both times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=["resnet50", "densenet121"])
    parser.add_argument("--once", action="store_true", help="compile one model in this process")
    args = parser.parse_args()
    if args.once:
        print(compile_once(args.names[0]))
        return 0
    print(f"{'model':>20}  {'empty cache':>11}  {'second process':>14}")
    for name in args.names:
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = (_in_process(name, cache) for _ in range(2))
        print(f"{name:>20}  {cold:>9.2f} s  {warm:>12.2f} s", flush=True)
    return 0


def _in_process(name: str, cache: str) -> float:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.warm_compile", "--once", name]
    environment = {**os.environ, "EQSAT_CACHE_DIR": cache}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(run.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
