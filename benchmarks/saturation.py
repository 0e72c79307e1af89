"""Time and memory of saturation with default limits: `python -m benchmarks.saturation`.

Each model is read in a process of its own; the table gives its operators, the e-nodes at the end,
what stopped the search, the time of `saturate` alone and the memory that it took at its peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from benchmarks import graphs, zoo

MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "resnet50": zoo.CONVOLUTIONAL["resnet50"],
    "densenet121": zoo.CONVOLUTIONAL["densenet121"],
    "bert12": graphs.bert,
    "vit12": graphs.vit,
    "llama_step": graphs.llama_step,
    "unet_block": graphs.unet_block,
    "lstm_unrolled": graphs.lstm,
    "deep_encoder": graphs.deep_encoder,
}


def measure(name: str) -> dict[str, Any]:
    """Return the figures of one model: seconds, bytes and counts."""
    import eqsat
    from eqsat._saturate import saturate
    from eqsat.rules import ALL_RULE_SETS
    from eqsat.shapes import Facts

    main = eqsat.from_onnx(MODELS[name]()).relax_function()
    before = _reset_peak_bytes()
    _, report = saturate(main, ALL_RULE_SETS, Facts(positive=False))
    return {
        "model": name,
        "operators": sum(len(b.bindings) for b in main.body.blocks),
        "nodes": report.num_nodes,
        "classes": report.num_classes,
        "time_s": report.time_s,
        "grown_bytes": _peak_bytes() - before,
        "stop": report.stop,
    }


def _reset_peak_bytes() -> int:
    """Forget the peak so far where Linux allows it, and return what is resident now."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return _peak_bytes()


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> int:
    """Measure each model in its own process and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--once", action="store_true", help="measure one model in this process")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    if unknown := set(args.names) - set(MODELS):
        parser.error(f"unknown models {sorted(unknown)}; there are {sorted(MODELS)}")
    if args.once:
        print(json.dumps(measure(args.names[0])))
        return 0
    rows: list[dict[str, Any]] = []
    print(f"{'model':>15}  operators  e-nodes     time    memory  stop")
    for name in args.names:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.saturation", "--once", name]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(run.stdout.splitlines()[-1])
        rows.append(row)
        print(
            f"{row['model']:>15}  {row['operators']:>9}  {row['nodes']:>7}  {row['time_s']:>5.2f} s"
            f"  {row['grown_bytes'] / 2**20:>4.0f} MiB  {row['stop']}",
            flush=True,
        )
    if args.output:
        args.output.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
