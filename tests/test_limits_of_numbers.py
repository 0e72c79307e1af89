"""Infinities, NaN, the ends of integers: every road gives what IEEE 754 and wrapping say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import BlockBuilder, Constant, Expr, IRModule, op

LIMITS = eqsat.Limits(num_nodes=1000, time_s=60.0, iterations=8)
INF, NAN = np.inf, np.nan
Build = Callable[..., Expr]


def call(name: str) -> Build:
    """Return what calls an operator; numbers among its operands take the dtype of its first."""

    def of(bb: BlockBuilder, x: Expr, *numbers: float, **attrs: Any) -> Expr:
        dtype = x.type.dtype  # type: ignore[union-attr]
        constants = [Constant(np.asarray(c, dtype)) for c in numbers]
        return bb.call(op(name), x, *constants, **attrs)

    return of


add, divide, multiply = call("add"), call("divide"), call("multiply")
maximum, minimum, relu = call("maximum"), call("minimum"), call("nn.relu")
clip, total = call("clip"), call("sum")


def module(build: Callable[[BlockBuilder, Expr], Expr], x: np.ndarray) -> IRModule:
    bb = BlockBuilder()
    return bb.module(build(bb, bb.input("x", x.shape, x.dtype.name)))


def results(program: IRModule, x: np.ndarray) -> dict[str, Any]:
    """Return the result of each road."""
    best = eqsat.optimize(program, limits=LIMITS)
    with np.errstate(all="ignore"):
        return {
            "interpreted": eqsat.interpret(program, x),
            "compiled": eqsat.compile(program, cache=False, num_threads=1)(x),
            "optimized": eqsat.interpret(best.module, x),
            "optimized and compiled": eqsat.compile(best, cache=False, num_threads=1)(x),
        }


FLOATS = np.array([[0.0, -2.0, 3.0, INF, -INF, NAN]], np.float32)
LONG = 2**62 + 1  # not a float64
INT64 = np.array([[0, LONG, LONG + 2, -LONG, 2**63 - 1, -(2**63)]])
INT32 = np.array([[-5, 5, -(2**31), 2**31 - 1]], np.int32)
BETWEEN = np.clip(INT64, -LONG, LONG)

CASES: dict[str, tuple[Callable[[BlockBuilder, Expr], Expr], np.ndarray, Any]] = {
    "bounded by infinity": (
        lambda bb, x: minimum(bb, maximum(bb, x, 0), INF),
        FLOATS,
        [[0, 0, 3, INF, 0, NAN]],
    ),
    "bounded by minus infinity": (
        lambda bb, x: maximum(bb, minimum(bb, x, 2), -INF),
        FLOATS,
        [[0, -2, 2, 2, -INF, NAN]],
    ),
    "rectified up to infinity": (
        lambda bb, x: minimum(bb, relu(bb, x), INF),
        FLOATS,
        [[0, 0, 3, INF, 0, NAN]],
    ),
    "a sum divided by infinity": (
        lambda bb, x: divide(bb, total(bb, x, axis=(1,)), INF),
        FLOATS[:, :3],
        [0],
    ),
    "the larger of NaN": (lambda bb, x: maximum(bb, x, NAN), FLOATS, [[NAN] * 6]),
    "the smaller of NaN": (lambda bb, x: minimum(bb, x, NAN), FLOATS, [[NAN] * 6]),
    "clipped at NaN": (lambda bb, x: clip(bb, x, min=0.0, max=NAN), FLOATS, [[NAN] * 6]),
    "bounds that are no floats": (
        lambda bb, x: minimum(bb, maximum(bb, x, -LONG), LONG),
        INT64,
        BETWEEN,
    ),
    "clipped at no floats": (lambda bb, x: clip(bb, x, min=-LONG, max=LONG), INT64, BETWEEN),
    "the least integer divided": (
        lambda bb, x: divide(bb, x, 2),
        INT32,
        [[-2, 2, -(2**30), 2**30 - 1]],
    ),
    "the least integer divided by a negative one": (
        lambda bb, x: divide(bb, x, -3),
        INT32,
        [[1, -1, 715827882, -715827882]],
    ),
    "the least integer divided by minus one": (
        lambda bb, x: divide(bb, x, -1),
        INT32,
        [[5, -5, -(2**31), -(2**31) + 1]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_road_gives_the_number(name: str) -> None:
    build, x, expected = CASES[name]
    for road, got in results(module(build, x), x).items():
        np.testing.assert_array_equal(got, np.asarray(expected, x.dtype), err_msg=road)


def scaled_product(bb: BlockBuilder, x: Expr) -> Expr:
    return bb.call(op("matmul"), multiply(bb, x, 0.01), bb.call(op("permute_dims"), x))


HALVES = np.array([[0, 0.01, 1, -2]], np.float16)
HUNDREDS = np.full((1, 512), 100, np.float16)
IN_RANGE: dict[str, tuple[Callable[[BlockBuilder, Expr], Expr], np.ndarray, Any]] = {
    "a quotient by what has no reciprocal": (
        lambda bb, x: divide(bb, x, 1e-5),
        HALVES,
        [[0, 1000, INF, -INF]],
    ),
    "two large factors": (
        lambda bb, x: multiply(bb, multiply(bb, x, 300), 300),
        HALVES,
        [[0, 900, INF, -INF]],
    ),
    "two small factors": (
        lambda bb, x: multiply(bb, multiply(bb, x, 1e-4), 1e-4),
        60_000 * HALVES[:, 1:3],
        [[6e-6, 6e-4]],
    ),
    "a scaled sum": (
        lambda bb, x: total(bb, multiply(bb, x, 0.01), axis=(1,)),
        HUNDREDS * 10,
        [5120],
    ),
    "a scaled product": (scaled_product, HUNDREDS, [[51200]]),
    "two quotients": (
        lambda bb, x: divide(bb, divide(bb, x, 1e-4), 1e-4),
        HALVES[:, :1],
        [[0]],
    ),
    "as many equal terms as float16 does not count": (
        lambda bb, x: total(bb, bb.call(op("broadcast_to"), x, (70_000, 1, 2)), axis=(0,)),
        HALVES[:, :2] / 2,
        [[0, 350]],
    ),
    "a float32 without reciprocal": (
        lambda bb, x: divide(bb, x, 1e-40),
        np.array([[0, 1e-30]], np.float32),
        [[0, 1e10]],
    ),
}


@pytest.mark.parametrize("name", IN_RANGE)
def test_rules_leave_no_value_out_of_range(name: str) -> None:
    build, x, expected = IN_RANGE[name]
    for road, got in results(module(build, x), x).items():
        np.testing.assert_allclose(got, expected, rtol=0.02, err_msg=road)


def test_a_number_that_is_no_float_is_joined_whole() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (2,), "int64")
    odd = Constant(np.full(3, 2**53 + 1))
    program = bb.module(bb.call(op("concat"), [x, odd], axis=0))
    for road, got in results(program, np.array([1, 2])).items():
        np.testing.assert_array_equal(got, [1, 2, *[2**53 + 1] * 3], err_msg=road)


def test_a_fill_that_is_no_float_is_written_whole() -> None:
    bb = BlockBuilder()
    x, mask = bb.input("x", (2,), "int64"), bb.input("mask", (2,), "bool")
    program = bb.module(bb.call(op("masked_fill"), x, mask, value=LONG))
    args = (np.array([1, 2]), np.array([True, False]))
    exe = eqsat.compile(program, cache=False, num_threads=1)
    for got in (eqsat.interpret(program, *args), exe(*args)):
        np.testing.assert_array_equal(got, [LONG, 2])


def test_an_axis_that_is_left_out_stops_no_rule() -> None:
    bb = BlockBuilder()
    x, y = bb.input("x", (3,), "float32"), bb.input("y", (2,), "float32")
    program = bb.module(bb.call(op("concat"), [x, y, x], axis=None))
    args = (np.arange(3, dtype=np.float32), np.ones(2, np.float32))
    exe = eqsat.compile(eqsat.optimize(program, limits=LIMITS), cache=False, num_threads=1)
    np.testing.assert_array_equal(exe(*args), [0, 1, 2, 1, 1, 0, 1, 2])
