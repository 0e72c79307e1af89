"""Random programs: whatever is optimized or compiled equals what the program means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import product
from random import Random
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import eqsat
from eqsat.ir import BlockBuilder, op, structural_equal
from eqsat.ir.script import from_tvmscript, print_module
from eqsat.shapes import sym
from tests.random_operators import check as check_operators
from tests.random_programs import EDGES, Program, make

LIMITS = eqsat.Limits(num_nodes=3000, time_s=60.0, iterations=12)
WHOLE = 2.0**22
"""Up to here sums and products of whole numbers are whole in float32, in any order."""


def sizes(seed: int, count: int) -> list[dict[str, int]]:
    rng = Random(seed)
    return [{"n": rng.choice(EDGES), "m": rng.choice(EDGES)} for _ in range(count)]


def meaning(module: eqsat.ir.IRModule, args: Sequence[Any]) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        return tuple(np.asarray(x) for x in eqsat.interpret(module, *args))


def is_whole(values: Sequence[Any]) -> bool:
    return all(not v.size or np.max(np.abs(v.astype(np.float64))) < WHOLE for v in values)


def same(got: Sequence[Any], expected: Sequence[Any], where: str, *, is_exact: bool) -> None:
    assert len(got) == len(expected), where
    for k, (g, e) in enumerate(zip(got, expected, strict=True)):
        name = f"{where}, output {k}"
        assert g.shape == e.shape, name
        assert g.dtype == e.dtype, name
        if is_exact or e.dtype.kind != "f":
            np.testing.assert_array_equal(g, e, err_msg=name)
            continue
        finite = np.abs(e[np.isfinite(e)])
        scale = float(finite.max()) if finite.size else 1.0
        np.testing.assert_allclose(g, e, 1e-4, 1e-4 * max(scale, 1.0), err_msg=name)


def check(program: Program, envs: Sequence[Mapping[str, int]], num_variants: int = 3) -> int:
    """Check every road of a program at every size; return how many comparisons were made."""
    module = program.module()
    cases: list[tuple[Mapping[str, int], list[Any], tuple[Any, ...]]] = []
    refused: list[list[Any]] = []
    for k, env in enumerate(envs):
        args = program.arguments(env, k)
        try:
            expected = meaning(module, args)
        except (eqsat.EqsatError, ValueError):  # a window larger than the axis, max of nothing
            refused.append(args)
            continue
        if not program.is_exact or is_whole(expected):
            cases.append((env, args, expected))
    result = eqsat.optimize(module, limits=LIMITS)
    assert structural_equal(from_tvmscript(print_module(result.module)), result.module)
    modules = [result.module, *result.variants(num_variants)]
    executables = {
        "compiled": eqsat.compile(module, cache=False, num_threads=1),
        "optimized and compiled": eqsat.compile(result, cache=False, num_threads=1),
    }
    for args, exe in product(refused, executables.values()):
        with suppress(eqsat.EqsatError):  # it may give what is empty
            exe(*args)
    count = 0
    for env, args, expected in cases:
        for k, each in enumerate(modules):
            name = f"variant {k - 1} at {env}" if k else f"optimized at {env}"
            same(meaning(each, args), expected, name, is_exact=program.is_exact)
        for name, exe in executables.items():
            same(tuple(exe(*args)), expected, f"{name} at {env}", is_exact=program.is_exact)
        count += len(modules) + len(executables)
    return count


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@example(seed=22032, length=5)  # a variant whose kernel read what no kernel wrote
@example(seed=42, length=4)  # a view of a view as output
@example(seed=51, length=5)  # nothing but constants and inputs as outputs
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(5, 12))
def test_every_road_gives_what_the_program_means(seed: int, length: int) -> None:
    program = make(seed, length)
    check(program, sizes(seed, 2), num_variants=2)


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_programs_of_any_operator_give_what_they_mean(first: int) -> None:
    counts = [check_operators(seed) for seed in range(first, first + 20)]
    assert sum(counts) > 100, "most programs run at most sizes"


def _run_everywhere(bb: BlockBuilder, y: Any, *args: Any) -> list[Any]:
    module = bb.module(y)
    with np.errstate(all="ignore"):
        meant = np.asarray(eqsat.interpret(module, *args))
    result = eqsat.optimize(module, limits=LIMITS)
    roads = [eqsat.compile(p, cache=False)(*args) for p in (module, result)]
    for got in roads:
        np.testing.assert_array_equal(got, meant)
    return [meant, *roads]


def test_an_infinite_weight_of_a_transposed_convolution() -> None:
    bb = BlockBuilder()
    x, w = bb.input("x", (1, 1, 3), "float32"), bb.input("w", (1, 1, 2), "float32")
    y = bb.call(op("nn.conv1d_transpose"), x, w, strides=2)
    weight = np.array([[[np.inf, 1.0]]], np.float32)
    found = _run_everywhere(bb, y, np.ones((1, 1, 3), np.float32), weight)
    assert np.isnan(found[0][0, 0, 1]), "0 × ∞ between the elements"


def test_log_add_exp_of_infinities() -> None:
    bb = BlockBuilder()
    x, y = bb.input("x", (4,), "float32"), bb.input("y", (4,), "float32")
    a = np.array([np.inf, np.inf, -np.inf, -np.inf], np.float32)
    b = np.array([np.inf, -np.inf, -np.inf, 1.0], np.float32)
    found = _run_everywhere(bb, bb.call(op("log_add_exp"), x, y), a, b)
    np.testing.assert_array_equal(found[0], [np.inf, np.inf, -np.inf, 1.0])


def test_scales_have_no_negative_numbers() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (3,), "float8_e8m0fnu")
    twice = bb.call(op("negative"), bb.call(op("negative"), x))
    args = np.array([1, 2, 4], ml_dtypes.float8_e8m0fnu)
    found = _run_everywhere(bb, bb.call(op("equal"), twice, x), args)
    assert not found[0].any(), "-x is NaN"


def test_a_quotient_by_one_right_after_a_reduction() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (2, 3), "uint8")
    y = bb.call(op("floor_divide"), bb.call(op("max"), x, axis=(1,)), np.uint8(1))
    _run_everywhere(bb, y, np.arange(6, dtype=np.uint8).reshape(2, 3))


def test_sizes_that_leave_less_than_nothing_are_refused() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (1, 1, sym("n"), 8), "float32")
    exe = eqsat.compile(bb.module(bb.call(op("nn.max_pool2d"), x, pool_size=(5, 5))), cache=False)
    assert exe(np.zeros((1, 1, 6, 8), np.float32)).shape == (1, 1, 2, 4)
    with pytest.raises(eqsat.EqsatError, match=r"not defined for n = 1: .* \(1, 1, -3, 4\)"):
        exe(np.zeros((1, 1, 1, 8), np.float32))


@pytest.mark.parametrize("name", ["nn.layer_norm", "matmul", "linear"])
def test_programs_of_no_elements_are_optimized_and_compiled(name: str) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (0, sym("m")), "float16" if name == "matmul" else "float32")
    if name == "nn.layer_norm":
        g = bb.input("g", (sym("m"),), "float32")
        y = bb.call(op(name), x, g, g, axes=(-1,))
    else:
        w = bb.input("w", (sym("m"), sym("m")), x.type.dtype)  # type: ignore[union-attr]
        y = bb.call(op(name), x, w)
    module = bb.module(y)
    for program in (module, eqsat.optimize(module, limits=LIMITS)):
        exe = eqsat.compile(program, cache=False)
        args = [
            np.zeros([0 if d == 0 else 4 for d in s.type.dims], s.type.dtype)
            for s in (exe.program.slots[k] for k in exe.program.inputs)
        ]
        assert exe(*args).shape == (0, 4)
