"""Explains each model and runs the chain of programs again: `python -m benchmarks.replay`.

The table gives the rule applications from the model to the chosen program, the comparisons of
numbers, how many failed, the worst error as a fraction of the greatest element, and the time.
`--whole` compares the results of every program, too, not only the value that each step rewrites.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import eqsat
from benchmarks.saturation import MODELS

FAMILIES = [name for name in MODELS if name != "deep_encoder"]
# Sizes of the symbolic dims, for estimates and inputs.
DIMS = {"N": 1, "S": 128, "P": 128}


def measure(name: str, *, whole: bool) -> dict[str, Any]:
    """Return the figures of one model: counts, fractions and seconds."""
    module = eqsat.from_onnx(MODELS[name]())
    used = {s for p in module.relax_function().params for s in eqsat.ir.type_symbols(p.type)}
    start_s = time.perf_counter()
    best = eqsat.optimize(module, dims={s: DIMS.get(s, 1) for s in used})
    optimized_s = time.perf_counter()
    explanation = best.explain()
    explained_s = time.perf_counter()
    replay = explanation.replay(whole=whole)
    return {
        "model": name,
        "steps": len(explanation),
        "rules": len(explanation.rules),
        "comparisons": len(replay.errors),
        "failures": [str(f) for f in replay.failures],
        "worst_error": replay.worst,
        "optimize_s": optimized_s - start_s,
        "explain_s": explained_s - optimized_s,
        "replay_s": time.perf_counter() - explained_s,
    }


def main() -> int:
    """Measure each model and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=FAMILIES, help=f"of {', '.join(FAMILIES)}")
    parser.add_argument("--whole", action="store_true", help="compare the results of each program")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    if unknown := set(args.names) - set(MODELS):
        parser.error(f"unknown models {sorted(unknown)}; there are {sorted(MODELS)}")
    rows: list[dict[str, Any]] = []
    print(f"{'model':>15}  steps  rules  comparisons  failed  worst error  explain   replay")
    for name in args.names:
        row = measure(name, whole=args.whole)
        rows.append(row)
        print(
            f"{name:>15}  {row['steps']:>5}  {row['rules']:>5}  {row['comparisons']:>11}"
            f"  {len(row['failures']):>6}  {row['worst_error']:>11.1e}"
            f"  {row['explain_s']:>5.1f} s  {row['replay_s']:>5.1f} s",
            flush=True,
        )
        for failure in row["failures"]:
            print(f"{'':>17}{failure}")
    if args.output:
        args.output.write_text(json.dumps(rows, indent=1) + "\n")
    return 1 if any(row["failures"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
