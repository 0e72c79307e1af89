"""Every template over static, symbolic, tail and empty shapes, against operators' references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from eqsat.ir.script import print_primfunc
from eqsat.lowering import Target
from eqsat.lowering._compose import compose
from eqsat.lowering._to_tir import to_tir
from eqsat.lowering.schedule import apply, parse_schedule, schedule_text
from eqsat.lowering.schedule._packing import narrowest_dtype
from eqsat.lowering.templates import schedule
from eqsat.shapes import sym

n, s = sym("n"), sym("s")
Build = Callable[..., Any]
SCALE = np.array(0.25, np.float32)


def conv_bias_relu(stride: int = 1, pad: int = 1, groups: int = 1) -> Build:
    def kernel(o: Any, x: Any, w: Any, b: Any, *rest: Any) -> Any:
        y = o("nn.conv2d", x, w, strides=(stride, stride), padding=(pad,) * 4, groups=groups)
        y = o("add", y, b)
        for r in rest:
            y = o("add", y, r)
        return o("nn.relu", y)

    return kernel


def linear_gelu(o: Any, x: Any, w: Any, b: Any) -> Any:
    return o("nn.gelu", o("add", o("matmul", x, w), b))


def matmul(o: Any, x: Any, y: Any) -> Any:
    return o("matmul", x, y)


def scores(o: Any, q: Any, k: Any) -> Any:
    return o("multiply", o("matmul", q, o("permute_dims", k, axes=(0, 1, 3, 2))), SCALE)


def split_heads(o: Any, x: Any, w: Any) -> Any:
    return o("permute_dims", o("reshape", o("matmul", x, w), (1, 6, 3, 8)), axes=(0, 2, 1, 3))


def join_heads(o: Any, p: Any, v: Any) -> Any:
    return o("reshape", o("permute_dims", o("matmul", p, v), axes=(0, 2, 1, 3)), (1, 6, 24))


def layer_norm(o: Any, x: Any, g: Any, b: Any) -> Any:
    d = o("subtract", x, o("mean", x, axis=(-1,), keepdims=True))
    v = o("mean", o("multiply", d, d), axis=(-1,), keepdims=True)
    inverse = o("rsqrt", o("add", v, np.array(1e-5, np.float32)))
    return o("add", o("multiply", o("multiply", d, inverse), g), b)


def softmax(axis: int) -> Build:
    return lambda o, x: o("nn.softmax", x, axis=axis)


def attributes(name: str, **attrs: Any) -> Build:
    return lambda o, *args: o(name, *args, **attrs)


def relu_matmul(o: Any, x: Any, w: Any) -> Any:
    return o("matmul", o("nn.gelu", x), w)


def add_relu(o: Any, x: Any, y: Any) -> Any:
    return o("nn.relu", o("add", x, y))


def concat_relu(o: Any, x: Any, y: Any) -> Any:
    return o("nn.relu", o("concat", [x, y], axis=1))


C = "constant"
# name: kernel, operands (shape, or (C, shape) for a constant), template, sizes of symbols
CASES: dict[str, tuple[Build, tuple[Any, ...], str, dict[str, int]]] = {
    "conv3x3": (
        conv_bias_relu(),
        ((1, 3, 6, 6), (C, (10, 3, 3, 3)), (C, (1, 10, 1, 1))),
        "contraction",
        {},
    ),
    "conv3x3 wide": (
        conv_bias_relu(),
        ((1, 2, 5, 19), (C, (5, 2, 3, 3)), (C, (1, 5, 1, 1))),
        "contraction",
        {},
    ),
    "conv stride 2": (
        conv_bias_relu(2),
        ((2, 3, 7, 9), (C, (6, 3, 3, 3)), (C, (1, 6, 1, 1))),
        "contraction",
        {},
    ),
    "conv1x1 residual": (
        conv_bias_relu(1, 0),
        ((1, 6, 5, 5), (C, (9, 6, 1, 1)), (C, (1, 9, 1, 1)), (1, 9, 5, 5)),
        "contraction",
        {},
    ),
    "conv weight is input": (
        conv_bias_relu(),
        ((1, 3, 6, 6), (7, 3, 3, 3), (1, 7, 1, 1)),
        "contraction",
        {},
    ),
    "conv symbolic batch": (
        conv_bias_relu(),
        ((n, 2, 5, 5), (C, (6, 2, 3, 3)), (C, (1, 6, 1, 1))),
        "contraction",
        {"n": 2},
    ),
    "conv symbolic image": (
        conv_bias_relu(),
        ((1, 2, n, s), (C, (6, 2, 3, 3)), (C, (1, 6, 1, 1))),
        "contraction",
        {"n": 4, "s": 11},
    ),
    "conv groups": (
        conv_bias_relu(1, 1, 2),
        ((1, 4, 5, 5), (C, (10, 2, 3, 3)), (C, (1, 10, 1, 1))),
        "contraction",
        {},
    ),
    "depthwise": (
        conv_bias_relu(1, 1, 3),
        ((1, 3, 5, 9), (C, (3, 1, 3, 3)), (C, (1, 3, 1, 1))),
        "window",
        {},
    ),
    "matmul constant": (matmul, ((9, 7), (C, (7, 21))), "contraction", {}),
    "matmul": (matmul, ((9, 7), (7, 21)), "contraction", {}),
    "matmul small m": (matmul, ((3, 7), (7, 21)), "contraction", {}),
    "matmul symbolic rows": (matmul, ((n, 5), (C, (5, 14))), "contraction", {"n": 7}),
    "matmul symbolic columns": (matmul, ((5, 6), (6, n)), "contraction", {"n": 19}),
    "matmul symbolic all": (matmul, ((n, s), (s, n)), "contraction", {"n": 9, "s": 5}),
    "matmul batches": (matmul, ((2, 3, 5, 4), (3, 4, 9)), "contraction", {}),
    "matmul rows of batches": (matmul, ((n, s, 6), (C, (6, 9))), "contraction", {"n": 2, "s": 3}),
    "vector by constant": (matmul, ((1, 9), (C, (9, 30))), "contraction", {}),
    "vector by matrix": (matmul, ((1, 9), (9, 30)), "contraction", {}),
    "matrix by vector": (matmul, ((30, 9), (9, 1)), "row", {}),
    "matmul no k": (matmul, ((3, 0), (0, 5)), "window", {}),
    "linear gelu": (linear_gelu, ((1, 7, 6), (C, (6, 18)), (C, (18,))), "contraction", {}),
    "gelu linear": (relu_matmul, ((9, 6), (C, (6, 18))), "contraction", {}),
    "gelu linear symbolic": (relu_matmul, ((n, 6), (C, (6, 18))), "contraction", {"n": 11}),
    "scores": (scores, ((1, 3, 6, 8), (1, 3, 6, 8)), "contraction", {}),
    "scores symbolic": (scores, ((n, 3, s, 8), (n, 3, s, 8)), "contraction", {"n": 2, "s": 5}),
    "split heads": (split_heads, ((1, 6, 5), (C, (5, 24))), "contraction", {}),
    "join heads": (join_heads, ((1, 3, 6, 6), (1, 3, 6, 8)), "contraction", {}),
    "softmax": (softmax(-1), ((3, 5, 13),), "row", {}),
    "softmax symbolic": (softmax(-1), ((n, s),), "row", {"n": 3, "s": 21}),
    "softmax of columns": (softmax(1), ((2, 7, 5),), "row", {}),
    "layer norm": (layer_norm, ((2, 3, 22), (C, (22,)), (C, (22,))), "row", {}),
    "layer norm symbolic": (
        layer_norm,
        ((n, s, 10), (C, (10,)), (C, (10,))),
        "row",
        {"n": 2, "s": 3},
    ),
    "mean of images": (attributes("mean", axis=(2, 3)), ((1, 5, 3, 7),), "row", {}),
    "sum of rows": (attributes("sum", axis=(0,)), ((6, 9),), "window", {}),
    "sum of all": (attributes("sum"), ((6, 9),), "row", {}),
    "max symbolic": (attributes("max", axis=(1,)), ((n, s, 3),), "window", {"n": 2, "s": 5}),
    "add relu": (add_relu, ((2, 3, 5), (2, 3, 5)), "pointwise", {}),
    "add broadcast": (add_relu, ((2, 3, 5), (3, 1)), "pointwise", {}),
    "add symbolic": (add_relu, ((n, s), (1, s)), "pointwise", {"n": 3, "s": 11}),
    "add scalar": (add_relu, ((), ()), "pointwise", {}),
    "permute": (attributes("permute_dims", axes=(0, 2, 1)), ((2, 3, 9),), "pointwise", {}),
    "concat": (concat_relu, ((2, 3, 5), (2, 2, 5)), "pointwise", {}),
}


def operands_of(case: tuple[Any, ...], random: Any) -> list[Any]:
    return [random(*o[1]) if o and o[0] == C else o for o in case]


@pytest.mark.parametrize("name", CASES)
def test_template(name: str, check: Any, build: Any, random: Any) -> None:
    kernel, operands, template, env = CASES[name]
    given = operands_of(operands, random)
    inputs = [
        random(*(env[str(d)] if not isinstance(d, int) else d for d in o))
        for o in given
        if isinstance(o, tuple)
    ]
    program = check(build(kernel, *given), *inputs, **env)
    assert [launch.template for launch in program.launches] == [template]
    for launch in program.launches:
        assert print_primfunc(launch.func)


def test_kernel_that_no_template_takes_whole_is_several_launches(
    check: Any, build: Any, random: Any
) -> None:
    def kernel(o: Any, x: Any, w: Any) -> Any:
        return o("nn.softmax", o("matmul", x, w), axis=-1)

    program = check(build(kernel, (6, 5), random(5, 9)), random(6, 5))
    assert [launch.template for launch in program.launches] == ["contraction", "row"]


def test_empty_output_launches_nothing(check: Any, build: Any, random: Any) -> None:
    assert not check(build(add_relu, (0, 5), (0, 5)), random(0, 5), random(0, 5)).launches


def test_flops_of_matmul(check: Any, build: Any, random: Any) -> None:
    program = check(build(matmul, (n, 5), (5, 7)), random(4, 5), random(5, 7), n=4)
    assert program.launches[0].flops == 70 * n
    assert program.launches[0].bytes_moved == 4 * (5 * n + 35 + 7 * n)


def test_expensive_term_that_is_read_twice_stays_pointwise(
    check: Any, build: Any, random: Any
) -> None:
    def kernel(o: Any, x: Any) -> Any:
        y = o("exp", x)
        return o("divide", y, o("add", y, np.array(1, np.float32)))

    program = check(build(kernel, (3, 5)), random(3, 5))
    assert [launch.template for launch in program.launches] == ["pointwise"]


def test_deep_sharing_does_not_blow_up(check: Any, build: Any, random: Any) -> None:
    def kernel(o: Any, x: Any) -> Any:
        for _ in range(14):
            x = o("multiply", x, o("tanh", x))
        return x

    assert check(build(kernel, (3, 9)), random(3, 9)).launches


EXACT = {
    "int8": lambda x: np.rint(8 * x).astype(np.int8).astype(np.float32),
    "uint8": lambda x: (128 + np.rint(8 * x)).astype(np.uint8).astype(np.float32),
    "bfloat16": lambda x: (8 * x).astype(ml_dtypes.bfloat16).astype(np.float32),
    "float16": lambda x: x.astype(np.float16).astype(np.float32),
    "float32": lambda x: x,
}


@pytest.mark.parametrize("rows", [1, 9, n])
@pytest.mark.parametrize("dtype", EXACT)
def test_a_constant_is_kept_in_the_narrowest_dtype_that_holds_it(
    dtype: str, rows: Any, check: Any, build: Any, random: Any
) -> None:
    weight = EXACT[dtype](random(5, 22))
    x = random(7 if rows is n else rows, 5)
    program = check(build(linear_gelu, (rows, 5), weight, random(22)), x, n=7)
    kept = {s.type.dtype for s in program.slots if s.name.endswith("_packed")}
    assert kept == {dtype}


def test_a_dtype_that_changes_one_value_is_not_taken() -> None:
    many = np.zeros(9000, np.float32)
    assert narrowest_dtype(many) == "int8"
    for value, dtype in (
        (-0.0, "bfloat16"),
        (128, "uint8"),
        (256, "bfloat16"),
        (257, "float16"),
        (0.1, "float32"),
    ):
        many[-1] = value
        assert narrowest_dtype(many) == dtype
    for value in (np.inf, 3e38, 1e-45):
        many[-1] = value
        assert narrowest_dtype(many) in ("bfloat16", "float32")
        assert_same_bits(many, many.astype(narrowest_dtype(many)).astype(np.float32))


def assert_same_bits(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32))


@pytest.mark.parametrize("name", CASES)
def test_steps_make_the_function(name: str, build: Any, random: Any) -> None:
    kernel, operands, _, _ = CASES[name]
    given = operands_of(operands, random)
    composed = compose(build(kernel, *given)["kernel"])
    if len(composed.outputs) > 1:
        return
    naive = to_tir("f", (*composed.params, *composed.outputs), composed.stages)
    target = Target(vector_bits=128)
    known = {k: narrowest_dtype(o) for k, o in enumerate(given) if isinstance(o, np.ndarray)}
    found = schedule(naive, known, target)
    assert found is not None
    again = apply(naive, parse_schedule(schedule_text(found.steps)), target)
    assert print_primfunc(again) == print_primfunc(found.func)
