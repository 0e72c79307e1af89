"""What the passes of TVM and of inductor make of programs, ours costs no more."""

from __future__ import annotations

import pytest

from eqsat.ir import IRModule
from tests.coverage import _inductor_pairs, _tvm_pairs
from tests.coverage._rows import Row, assert_same_numbers, optimized, priced_as_given
from tests.coverage._tvm_pairs import Pair

PAIRS = (*_tvm_pairs.PAIRS, *_inductor_pairs.PAIRS)
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
