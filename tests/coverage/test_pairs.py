"""What the passes of TVM and of inductor make of programs, ours costs no more."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import IRModule, TensorType, TupleType, Type, interpret, type_symbols
from eqsat.shapes import evaluate
from tests.coverage import _inductor_pairs, _tvm_pairs, _tvm_passes, _tvm_products
from tests.coverage._rows import Row, assert_same_numbers, optimized, priced_as_given
from tests.coverage._tvm_pairs import Pair
from tests.coverage._tvm_passes import MODULES, ModulePair

PAIRS = (
    *_tvm_pairs.PAIRS,
    *_tvm_passes.PAIRS,
    *_tvm_products.PAIRS,
    *_inductor_pairs.PAIRS,
)
SLACK = 1e-9


def least_price_s(module: IRModule, pair: Pair) -> float:
    """Return the estimate of a program as it is, fused or not, whichever is less."""
    unfused = priced_as_given(module, pair.dims).time_s
    return min(unfused, optimized(module, pair.dims, ()).cover.time_s)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.name)
def test_no_dearer_than_what_the_pass_makes(pair: Pair) -> None:
    given, expected = (p() for p in pair.programs)
    ours = optimized(given, pair.dims)
    price_s = min(least_price_s(m, pair) for m in (given, expected))
    assert ours.cover.time_s <= price_s * (1 + SLACK)
    row = Row("", pair.name, program=pair.programs[0], sizes=pair.sizes)
    assert_same_numbers(row, ours, given)
    assert_same_numbers(row, ours, expected)


def drawn(ty: Type, sizes: Mapping[str, int], rng: np.random.Generator) -> Any:
    """Return a value of a type, tuples included."""
    if isinstance(ty, TupleType):
        return tuple(drawn(f, sizes, rng) for f in ty.fields)
    assert isinstance(ty, TensorType)
    shape = tuple(evaluate(d, sizes) for d in ty.dims)
    values = np.asarray(rng.standard_normal(shape))
    return values > 0 if ty.dtype == "bool" else values.astype(ty.dtype)


def flat(value: Any) -> list[Any]:
    return [x for v in value for x in flat(v)] if isinstance(value, tuple) else [value]


@pytest.mark.parametrize("pair", MODULES, ids=lambda p: p.name)
def test_module_is_no_dearer_than_what_the_pass_makes(pair: ModulePair) -> None:
    given, expected = (eqsat.from_tvmscript(t) for t in (pair.given, pair.expected))
    ours, theirs = eqsat.optimize(given), eqsat.optimize(expected, rules=[])
    price_s = min(theirs.report.estimate_s, theirs.report.estimate_before_s)
    assert ours.report.estimate_s <= price_s * (1 + SLACK)
    rng = np.random.default_rng(zlib.crc32(pair.name.encode()))
    params = given.relax_function("main").params
    sizes = {s: pair.sizes[s] for p in params for s in type_symbols(p.type)}
    args = [drawn(p.type, sizes, rng) for p in params]
    wanted = flat(interpret(given, *args))
    for run in (
        lambda *a: interpret(expected, *a),
        lambda *a: interpret(ours.module, *a),
        eqsat.compile(ours, function="main"),
    ):
        for a, b in zip(wanted, flat(run(*args)), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
