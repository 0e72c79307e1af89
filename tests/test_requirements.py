"""Sizes that typing takes for granted are checked at entry: a wrong call is refused, never run."""

import numpy as np
import pytest

import eqsat
from eqsat.backends import RuntimeCheckError
from eqsat.ir import BlockBuilder, IRModule, TensorType, op, size_requirements
from eqsat.shapes import Equal, dim_min, sym

N, K = sym("n"), sym("k")


def product_of_unproved_size() -> IRModule:
    bb = BlockBuilder()
    x = bb.input("x", (2, N), "float32")
    y = bb.input("y", (K, 3), "float32")
    return bb.module(bb.call(op("matmul"), x, y))


def cast_of_unproved_size() -> IRModule:
    bb = BlockBuilder()
    x = bb.input("x", (N,), "float32")
    table = np.arange(4, dtype=np.float32)
    part = bb.call(op("strided_slice"), table, axes=(0,), begin=(0,), end=(N,), strides=(1,))
    cast = bb.match_cast(part, TensorType((N,), "float32"))
    return bb.module(bb.call(op("add"), x, cast))


def test_requirements_are_found() -> None:
    assert size_requirements(product_of_unproved_size()) == (Equal(N, K),)
    (fact,) = size_requirements(cast_of_unproved_size())
    assert {fact.a, fact.b} == {dim_min(N, 4), N}


@pytest.mark.parametrize("optimized", [False, True])
def test_a_product_of_unequal_sizes_is_refused(optimized: bool) -> None:
    mod = product_of_unproved_size()
    exe = eqsat.compile(eqsat.optimize(mod) if optimized else mod, cache=False)
    ones = np.ones((2, 5), np.float32), np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(exe(*ones), np.full((2, 3), 5, np.float32))
    with pytest.raises(RuntimeCheckError, match=r"n = 5.*k = 6"):
        exe(ones[0], np.ones((6, 3), np.float32))


@pytest.mark.parametrize("optimized", [False, True])
def test_a_cast_that_does_not_hold_is_refused(optimized: bool) -> None:
    mod = cast_of_unproved_size()
    exe = eqsat.compile(eqsat.optimize(mod) if optimized else mod, cache=False)
    np.testing.assert_array_equal(exe(np.zeros(3, np.float32)), np.arange(3, dtype=np.float32))
    with pytest.raises(RuntimeCheckError, match="compiled for"):
        exe(np.zeros(5, np.float32))
