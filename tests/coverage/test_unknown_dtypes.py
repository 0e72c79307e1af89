"""Programs whose tensors have no dtype are optimized too: TVM's own pass tests leave it out."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

from eqsat.ir import UNKNOWN_DTYPE, Function, TensorType, interpret
from eqsat.shapes import EqsatError, evaluate, is_dtype
from tests.coverage import _tvm_pairs, _tvm_products
from tests.coverage._rows import optimized
from tests.coverage._tvm_pairs import Pair
from tests.coverage.test_pairs import SLACK, flat, least_price_s

DTYPES = ("float32", "float64", "int32", "int8", "bool")


def _has_numbers(pair: Pair) -> bool:
    """Say whether a number or a constant in the program settles a dtype."""
    return "*" in pair.given or any("=" in t for t in pair.inputs.values())


def _with_dtype(pair: Pair, dtype: str) -> Pair:
    """Return the pair with `dtype` for the inputs that name none."""
    named = {n: t if is_dtype(t.split()[0]) else f"{dtype} {t}" for n, t in pair.inputs.items()}
    return replace(pair, inputs=named)


PAIRS = [
    p
    for p in (*_tvm_pairs.ORDER, *_tvm_products.PAIRS)
    if not _has_numbers(p) and not any("float" in t for t in p.inputs.values())
]


def _arguments(function: Function, pair: Pair, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(pair.name.encode()))
    sizes = {"m": 2, "n": 3, "p": 4, "q": 2, "r": 5, "t": 2, **pair.sizes}
    types = [p.type for p in function.params]
    shapes = [tuple(evaluate(d, sizes) for d in t.dims) for t in types if isinstance(t, TensorType)]
    own = [t.dtype for t in types if isinstance(t, TensorType)]
    return [
        np.asarray(rng.integers(-2, 3, shape)).astype(dtype)
        if each == UNKNOWN_DTYPE
        else np.zeros(shape, each)
        for shape, each in zip(shapes, own, strict=True)
    ]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.name)
def test_no_dearer_and_the_same_numbers_in_every_dtype(pair: Pair) -> None:
    given, expected = (p() for p in _with_dtype(pair, "void").programs)
    ours = optimized(given, pair.dims)
    price_s = min(least_price_s(m, pair) for m in (given, expected))
    assert ours.cover.time_s <= price_s * (1 + SLACK)
    assert ours.module.relax_function("main").ret_type == given.relax_function("main").ret_type
    num_run = 0
    for dtype in DTYPES:
        try:
            known = _with_dtype(pair, dtype).programs[0]()
        except EqsatError:
            continue  # an operator that does not take it
        args = _arguments(ours.function, pair, dtype)
        wanted = flat(interpret(known, *args))
        for module in (given, expected, ours.module):
            for a, b in zip(wanted, flat(interpret(module, *args)), strict=True):
                assert a.dtype == b.dtype == np.dtype(dtype)
                np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
        num_run += 1
    assert num_run >= 2
