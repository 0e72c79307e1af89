"""What one call costs beside its kernels, against TVM's virtual machine, in turn in one process:
`python -m benchmarks.dispatch`.

The programs are so small that the kernels take next to nothing; both sides run the same kernels,
one an operator, on one thread, from arrays of their own kind. The table gives the least time over
many blocks of calls, in microseconds a call, and the ratio of the two. `--output FILE.json` keeps
them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import eqsat
from eqsat.ir import IRModule, print_module

_BLOCKS = 1000
_BLOCK_S = 0.0003

Arguments = Sequence[Sequence[Any]]
"""The arguments of the calls that one measured round makes."""


def _x(*shape: int) -> Any:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _n(value: int) -> Any:
    return np.asarray(value, np.int64)


ONE_KERNEL = """
@R.function
def main(x: R.Tensor((8,), "float32")) -> R.Tensor((8,), "float32"):
    y = R.exp(x)
    return y
"""

FOUR_ARGUMENTS = """
@R.function
def main(
    a: R.Tensor((4, 4), "float32"), b: R.Tensor((4, 4), "float32"),
    c: R.Tensor((4, 4), "float32"), d: R.Tensor((4, 4), "float32"),
) -> R.Tensor((4, 4), "float32"):
    x = R.add(a, b)
    y = R.add(c, d)
    z = R.multiply(x, y)
    return z
"""

_STEPS = "\n".join(f"    x{k + 1} = R.nn.softmax(x{k})" for k in range(20))
CHAIN = f"""
@R.function
def main(x0: R.Tensor((4, 4), "float32")) -> R.Tensor((4, 4), "float32"):
{_STEPS}
    return x20
"""

TUPLE = """
@R.function
def main(x: R.Tensor((8,), "float32")) -> R.Tuple(
    R.Tensor((8,), "float32"), R.Tensor((8,), "float32"), R.Tensor((), "float32")
):
    y = R.exp(x)
    z = R.sin(x)
    s = R.sum(x)
    return (y, z, s)
"""

SYMBOLIC = """
@R.function
def main(
    x: R.Tensor(("n", "m"), "float32"), y: R.Tensor(("m",), "float32")
) -> R.Tensor(("n", "m"), "float32"):
    z = R.add(x, y)
    w = R.exp(z)
    return w
"""

IF = """
@R.function
def main(c: R.Tensor((), "bool"), x: R.Tensor((8,), "float32")) -> R.Tensor((8,), "float32"):
    if c:
        r = R.exp(x)
    else:
        r = R.sin(x)
    return r
"""

BRANCHES = """
@R.function
def main(x: R.Tensor(("n",), "float32")) -> R.Tensor(("n",), "float32"):
    a = R.less(R.sum(x), R.const(1.0, "float32"))
    if a:
        y = R.exp(x)
    else:
        y = R.sin(x)
    b = R.less(R.sum(y), R.const(1.0, "float32"))
    if b:
        z = R.exp(y)
    else:
        z = R.cos(y)
    c = R.less(R.sum(z), R.const(1.0, "float32"))
    if c:
        r = R.exp(z)
    else:
        r = R.tanh(z)
    return r
"""

RECURSION = """
@I.ir_module
class Module:
    @R.function
    def main(n: R.Tensor((), "int64"), x: R.Tensor((8,), "float32")) -> R.Tensor((8,), "float32"):
        cls = Module
        done = R.less_equal(n, R.const(0, "int64"))
        if done:
            r = x
        else:
            y = cls.main(R.subtract(n, R.const(1, "int64")), x)
            r = R.add(y, x)
        return r
"""

LOOP = """
@I.ir_module
class Module:
    @R.function
    def main(n: R.Tensor((), "int64"), x: R.Tensor(("m",), "float32")) -> R.Tensor(
        ("m",), "float32"
    ):
        cls = Module
        done = R.less_equal(n, R.const(0, "int64"))
        if done:
            r = x
        else:
            r = cls.main(R.subtract(n, R.const(1, "int64")), R.sin(x))
        return r
"""

CLOSURE = """
@I.ir_module
class Module:
    @R.function
    def adder(y: R.Tensor((8,), "float32")) -> R.Callable(
        (R.Tensor((8,), "float32"),), R.Tensor((8,), "float32")
    ):
        @R.function
        def inner(x: R.Tensor((8,), "float32")) -> R.Tensor((8,), "float32"):
            s = R.add(x, y)
            return s

        return inner

    @R.function
    def main(x: R.Tensor((8,), "float32")) -> R.Tensor((8,), "float32"):
        cls = Module
        f = cls.adder(x)
        a = f(x)
        return a
"""

PROGRAMS: dict[str, tuple[str, Arguments]] = {
    "one kernel": (ONE_KERNEL, [(_x(8),)]),
    "four arguments": (FOUR_ARGUMENTS, [[_x(4, 4)] * 4]),
    "chain of 20": (CHAIN, [(_x(4, 4),)]),
    "tuple of three": (TUPLE, [(_x(8),)]),
    "symbolic sizes": (SYMBOLIC, [(_x(3, 5), _x(5))]),
    "ten sizes in turn": (SYMBOLIC, [(_x(k, 5), _x(5)) for k in range(1, 11)]),
    "if": (IF, [(np.asarray(True), _x(8))]),
    "three ifs": (BRANCHES, [(_x(8),)]),
    "recursion of 50": (RECURSION, [(_n(50), _x(8))]),
    "loop of 50": (LOOP, [(_n(50), _x(8))]),
    "closure": (CLOSURE, [(_x(8),)]),
}


def _ours(module: IRModule, arguments: Arguments, threads: int) -> Callable[[], list[Any]]:
    call = eqsat.compile(module, num_threads=threads)["main"]
    return lambda: [call(*args) for args in arguments]


def _theirs(module: IRModule, arguments: Arguments) -> Callable[[], list[Any]]:
    import tvm
    from tvm import relax

    header = "".join(
        f"# from tvm.script import {dialect}\n" for dialect in ("ir as I", "relax as R", "tir as T")
    )
    parsed = tvm.script.from_source(header + print_module(module), check_well_formed=False)
    lifted = relax.transform.LambdaLift()(parsed)
    call = relax.VirtualMachine(tvm.compile(lifted, target="llvm"), tvm.cpu())["main"]
    given = [[tvm.runtime.tensor(a) for a in args] for args in arguments]
    return lambda: [call(*args) for args in given]


def _as_numpy(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "numpy"):
        return value.numpy()
    return [_as_numpy(v) for v in value]


def _check(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, list):
        for a, b in zip(ours, theirs, strict=True):
            _check(a, b)
    else:
        np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6)


def _least(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the least time of a call of each, in seconds, from blocks that take turns."""
    counts = []
    for call in calls:
        start = time.perf_counter()
        for _ in range(20):
            call()
        counts.append(max(1, int(_BLOCK_S * 20 / (time.perf_counter() - start))))
    best = [float("inf")] * len(calls)
    for _ in range(_BLOCKS):
        for k, (call, count) in enumerate(zip(calls, counts, strict=True)):
            rounds = range(count)
            start = time.perf_counter()
            for _ in rounds:
                call()
            best[k] = min(best[k], (time.perf_counter() - start) / count)
    return best


def measure(name: str, threads: int) -> dict[str, Any]:
    """Return the figures of one program; times in seconds a call."""
    text, arguments = PROGRAMS[name]
    module = eqsat.from_tvmscript(text)
    ours, theirs = _ours(module, arguments, threads), _theirs(module, arguments)
    _check(_as_numpy(ours()), _as_numpy(theirs()))
    ours_s, theirs_s = (t / len(arguments) for t in _least([ours, theirs]))
    return {"program": name, "eqsat_s": ours_s, "tvm_s": theirs_s, "ratio": ours_s / theirs_s}


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=list(PROGRAMS), help="programs to measure")
    parser.add_argument("--threads", type=int, default=1, help="of eqsat")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    if unknown := set(args.names) - set(PROGRAMS):
        parser.error(f"unknown programs {sorted(unknown)}; there are {', '.join(PROGRAMS)}")
    print(f"{'program':>18}  {'eqsat':>9}  {'TVM':>9}  ratio")
    rows: list[dict[str, Any]] = []
    for name in args.names:
        row = measure(name, args.threads)
        rows.append(row)
        ours, theirs = (f"{row[k] * 1e6:.2f} µs" for k in ("eqsat_s", "tvm_s"))
        print(f"{name:>18}  {ours:>9}  {theirs:>9}  {row['ratio']:5.2f}", flush=True)
    if args.output:
        args.output.write_text(json.dumps({"rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
