"""Every primitive keeps what a function computes; schedules have a text form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqsat.ir import te
from eqsat.ir._interpret_tir import run_primfunc
from eqsat.ir.tir import PrimFunc
from eqsat.lowering import LoweringError, Target
from eqsat.lowering._to_tir import to_tir
from eqsat.lowering.schedule._schedule import apply, parse_schedule, schedule_text, step
from eqsat.shapes import sym

TARGET = Target(vector_bits=128, num_threads=2)


def matmul_relu(m: Any = 5, k: Any = 7, n: Any = 6) -> PrimFunc:
    a = te.placeholder("a", (m, k), "float32")
    b = te.placeholder("b", (k, n), "float32")
    r = te.reduce_axis(k, "r")
    c = te.compute("c", (m, n), lambda i, j: te.reduce("sum", a[i, r.var] * b[r.var, j], [r]))
    d = te.compute("d", (m, n), lambda i, j: c[i, j] * 2.0 + 1.0)
    return to_tir("f", (a, b, d), (c, d))


def run(func: PrimFunc) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((5, 7)).astype(np.float32)
    b = rng.standard_normal((7, 6)).astype(np.float32)
    out = np.full((5, 6), np.nan, np.float32)
    arrays = {(5, 7): a, (7, 6): b, (5, 6): out}
    run_primfunc(func, [arrays[s] for s in ((5, 7), (7, 6), (5, 6))])
    np.testing.assert_allclose(out, a @ b * 2 + 1, rtol=1e-5, atol=1e-5)
    return out


SCHEDULES = {
    "naive": "",
    "split exact": "split(block='c', loop='j', factor=3)",
    "split with a rest": (
        "split(block='c', loop='i', factor=4)\nsplit(block='d', loop='j', factor=4)"
    ),
    "split reduction": "split(block='c', loop='r', factor=3)",
    "fuse": "fuse(block='d', outer='i', inner='j')\nsplit(block='d', loop='i_j_f', factor=8)",
    "reorder": "reorder(block='c', loops=('r', 'i', 'j'))\ndecompose_reduction(block='c')",
    "kinds": (
        "annotate(block='d', loop='i', kind='parallel')\n"
        "annotate(block='d', loop='j', kind='vectorized')"
    ),
    "collapse": "collapse_axes()",
    "decompose": "decompose_reduction(block='c')",
    "decompose split": "split(block='c', loop='r', factor=3)\ndecompose_reduction(block='c')",
    "window": "collapse_axes()\ntile_window()",
    "rows": "collapse_axes()\ntile_rows(num_row_axes=2, in_output=())",
    "contraction": (
        "tile_contraction(a_mode='in_place', b_mode='packed', mr=2, nr=4, panels=1, "
        "row_tiles=2, block_rows=0)"
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("symbolic", [False, True])
def test_schedule_keeps_the_result(name: str, symbolic: bool) -> None:
    dims = (sym("m"), sym("k"), sym("n")) if symbolic else (5, 7, 6)
    if symbolic and name in ("contraction", "collapse"):
        dims = (sym("m"), 7, sym("n"))
    func = apply(matmul_relu(*dims), parse_schedule(SCHEDULES[name]), TARGET)
    run(func)


def test_inline() -> None:
    x = te.placeholder("x", (4, 6), "float32")
    y = te.compute("y", (4, 6), lambda i, j: x[i, j] * 2.0)
    z = te.compute("z", (6, 4), lambda i, j: y[j, i] + 1.0)
    func = apply(to_tir("f", (x, z), (y, z)), (step("compute_inline", block="y"),), TARGET)
    assert not func.alloc_buffers
    given_x = np.arange(24, dtype=np.float32).reshape(4, 6)
    out = np.zeros((6, 4), np.float32)
    run_primfunc(func, [given_x, out])
    np.testing.assert_array_equal(out, given_x.T * 2 + 1)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from("ijr"))
def test_any_two_splits(first: int, second: int, loop: str) -> None:
    schedule = (
        step("split", block="c", loop=loop, factor=first),
        step("split", block="c", loop=f"{loop}_i", factor=second),
    )
    run(apply(matmul_relu(), schedule, TARGET))


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 6),
    st.sampled_from([4, 8]),
    st.integers(1, 2),
    st.integers(0, 3),
    st.sampled_from(["packed", "in_place"]),
    st.sampled_from(["packed", "in_place"]),
)
def test_any_tiling(mr: int, nr: int, panels: int, row_tiles: int, a: str, b: str) -> None:
    if a == "packed" and not row_tiles:
        row_tiles = 1
    tiling = step(
        "tile_contraction", a_mode=a, b_mode=b, mr=mr, nr=nr, panels=panels, row_tiles=row_tiles
    )
    run(apply(matmul_relu(), (tiling,), TARGET))


def test_text_form_reads_back() -> None:
    for text in SCHEDULES.values():
        assert schedule_text(parse_schedule(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spilt(block='c')", "line 1: no primitive spilt"),
        ("split('c')", "is no step"),
        ("split(block='e', loop='i', factor=2)", "no block e; it has c, d"),
        ("split(block='c', loop='x', factor=2)", "no loop x; it has i, j, r"),
        ("annotate(block='c', loop='r', kind='parallel')", "carries a reduction"),
        ("fuse(block='c', outer='i', inner='r')", "does not stand directly inside"),
        ("compute_inline(block='c')", "is no pointwise block"),
        ("decompose_reduction(block='d')", "has no init"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        apply(matmul_relu(), parse_schedule(text), TARGET)
