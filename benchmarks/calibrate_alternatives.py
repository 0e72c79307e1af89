"""Ways to compute the same, measured: what the price model must put in the right order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import eqsat
from benchmarks.calibrate import Arrays, launch_times
from eqsat.ir import Call, Constant, Expr, IRModule, TensorType, Var, VarBinding
from eqsat.ir.script import from_tvmscript


def tensor(*shape: int) -> str:
    """Return the annotation of an f32 tensor."""
    return f'R.Tensor(({", ".join(map(str, shape))},), dtype="float32")'


def function(name: str, template: str, params: Sequence[str], lines: Sequence[str]) -> str:
    """Return the text of a kernel; each line is `name = value`, the last one is returned."""
    last = lines[-1].split(" = ")[0]
    body = "\n".join(f"            {line}" for line in lines)
    attrs = f'R.func_attr({{"primitive": True, "template": "{template}"}})'
    return (
        f"    @R.function(private=True)\n    def {name}({', '.join(params)}):\n        {attrs}\n"
        f"        with R.dataflow():\n{body}\n            R.output({last})\n        return {last}\n"
    )


def main_text(params: Sequence[str], lines: Sequence[str]) -> str:
    """Return the text of `main`."""
    last = lines[-1].split(" = ")[0]
    body = "\n".join(f"            {line}" for line in lines)
    return (
        f"    @R.function\n    def main({', '.join(params)}):\n        cls = Module\n"
        f"        with R.dataflow():\n{body}\n            R.output({last})\n        return {last}\n"
    )


def parsed(functions: Sequence[str], main: str) -> IRModule:
    """Return the module with parameters w… of `main` as constants."""
    head = (
        "from tvm.script import ir as I\nfrom tvm.script import relax as R\n\n"
        "@I.ir_module\nclass Module:\n"
    )
    module = from_tvmscript(head + "\n".join([*functions, main]))
    entry = module.relax_function("main")
    rng = np.random.default_rng(0)
    weights: dict[Expr, Expr] = {
        p: Constant((rng.standard_normal(_shape(p)) * 0.1).astype(np.float32))
        for p in entry.params
        if p.name.startswith("w")
    }
    blocks = tuple(
        replace(block, bindings=tuple(_filled(b, weights) for b in block.bindings))
        for block in entry.body.blocks
    )
    params = tuple(p for p in entry.params if p not in weights)
    changed = replace(entry, params=params, body=replace(entry.body, blocks=blocks))
    return IRModule({**module.functions, "main": changed})


def _shape(v: Var) -> tuple[int, ...]:
    assert isinstance(v.type, TensorType)
    return tuple(d for d in v.type.dims if isinstance(d, int))


def _filled(b: object, weights: dict[Expr, Expr]) -> VarBinding:
    assert isinstance(b, VarBinding)
    assert isinstance(b.value, Call)
    args = tuple(weights.get(a, a) for a in b.value.args)
    return replace(b, value=replace(b.value, args=args))


def measure(module: IRModule, *, rounds: int) -> float:
    """Return the least seconds of all launches of a module together."""
    executable = eqsat.compile(module)
    rng = np.random.default_rng(1)
    inputs: Arrays = {
        p.name: rng.standard_normal(_shape(p)).astype(np.float32)
        for p in module.relax_function("main").params
    }
    return sum(launch_times(executable, inputs, rounds=rounds))


def print_alternatives(*, rounds: int) -> None:
    """Print the time of each alternative."""
    for title, ways in _alternatives().items():
        print(title)
        for name, (functions, main) in ways.items():
            seconds = measure(parsed(functions, main), rounds=rounds)
            print(f"  {name:44} {seconds * 1e6:8.1f} µs")


def print_functions(*, rounds: int) -> None:
    """Print what scalar functions take per element, beside a kernel that only adds."""
    count = 1 << 18
    x = f"x: {tensor(count)}"
    base = measure(parsed([], main_text([x], ["y = R.add(x, x)"])), rounds=rounds)
    for name in ("exp", "erf", "tanh", "sigmoid", "log", "sqrt", "rsqrt", "sin", "negative"):
        module = parsed([], main_text([x], [f"y = R.{name}(x)"]))
        seconds = measure(module, rounds=rounds)
        print(f"  {name:10} {(seconds - base) / count * 1e12:7.1f} ps an element above add")


Ways = dict[str, tuple[list[str], str]]


def _alternatives() -> dict[str, Ways]:
    return {
        "(a) three products or one, 128 x 384": _merged(128, 384),
        "(a) three products or one, 4 x 256": _merged(4, 256),
        "(a) three products or one, 512 x 256": _merged(512, 256),
        "(b) relu between convolutions, the second 1 x 1": _relu_between(1),
        "(b) relu between convolutions, the second 3 x 3": _relu_between(3),
        "(c) convolution or product, 512 x 256 x 196": _pointwise_convolution(),
        "(d) add and layer_norm": _add_norm(),
        "(d) scale, mask and softmax": _masked_softmax(),
    }


def _merged(rows: int, width: int) -> Ways:
    x, out = f"x: {tensor(rows, width)}", 3 * width
    products = [f"q{i} = R.matmul(x, w{i})" for i in range(3)]
    weights = [f"w{i}: {tensor(width, width)}" for i in range(3)]
    last = "z = R.concat((q0, q1, q2), axis=0)"
    merged = "p = R.matmul(x, w)"
    slices = [
        f"q{i} = R.strided_slice(p, axes=[1], begin=[{i * width}], end=[{(i + 1) * width}])"
        for i in range(3)
    ]
    w = f"w: {tensor(width, out)}"
    del last
    return {
        "three products": ([], main_text([x, *weights], [*products[:2], products[2]])),
        "one product, read by views": ([], main_text([x, w], [merged])),
        "one product and three copies": ([], main_text([x, w], [merged, *slices])),
    }


def _relu_between(window: int) -> Ways:
    pad = window // 2
    x, mid = tensor(1, 64, 28, 28), tensor(1, 64, 28, 28)
    w0, w1 = tensor(64, 64, 3, 3), tensor(128, 64, window, window)
    params = [f"x: {x}", f"w0: {w0}", f"w1: {w1}"]
    first = "R.nn.conv2d(x, w0, padding=[1, 1, 1, 1])"
    second = f"R.nn.conv2d(%s, w1, padding=[{pad}, {pad}, {pad}, {pad}])"
    epilogue = function(
        "first",
        "contraction",
        [f"x: {x}", f"w0: {w0}"],
        [f"a = {first}", "b = R.nn.relu(a)"],
    )
    prologue = function(
        "second",
        "contraction",
        [f"m: {mid}", f"w1: {w1}"],
        ["a = R.nn.relu(m)", "b = " + second % "a"],
    )
    return {
        "epilogue of the first": (
            [epilogue],
            main_text(params, ["a = cls.first(x, w0)", "b = " + second % "a"]),
        ),
        "prologue of the second": (
            [prologue],
            main_text(params, [f"a = {first}", "b = cls.second(a, w1)"]),
        ),
        "a kernel of its own": (
            [],
            main_text(params, [f"a = {first}", "r = R.nn.relu(a)", "b = " + second % "r"]),
        ),
    }


def _pointwise_convolution() -> Ways:
    return {
        "convolution": (
            [],
            main_text(
                [f"x: {tensor(1, 256, 14, 14)}", f"w: {tensor(512, 256, 1, 1)}"],
                ["y = R.nn.conv2d(x, w)"],
            ),
        ),
        "product": (
            [],
            main_text([f"x: {tensor(256, 196)}", f"w: {tensor(512, 256)}"], ["y = R.matmul(w, x)"]),
        ),
    }


def _add_norm() -> Ways:
    t, w = tensor(128, 384), tensor(384)
    params = [f"x: {t}", f"y: {t}", f"w0: {w}", f"w1: {w}"]
    norm = "R.nn.layer_norm(a, w0, w1, axes=[-1])"
    lines = ["a = R.add(x, y)", f"b = {norm}"]
    return {
        "one kernel": (
            [function("both", "row", params, lines)],
            main_text(params, ["b = cls.both(x, y, w0, w1)"]),
        ),
        "two kernels": ([], main_text(params, lines)),
    }


def _masked_softmax() -> Ways:
    t, m = tensor(1, 12, 128, 128), tensor(1, 1, 1, 128)
    params = [f"x: {t}", f"m: {m}"]
    lines = ["a = R.multiply(x, x)", "b = R.add(a, m)", "c = R.nn.softmax(b, axis=-1)"]
    return {
        "one kernel": (
            [function("all", "row", params, lines)],
            main_text(params, ["c = cls.all(x, m)"]),
        ),
        "three kernels": ([], main_text(params, lines)),
    }
