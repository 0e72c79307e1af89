"""Both sides of every true law of TASO and TENSAT end in one e-class, with the default limits."""

from __future__ import annotations

import numpy as np
import pytest

from eqsat._saturate import saturate
from eqsat.ir import Function, interpret
from eqsat.rules import ALL_RULE_SETS
from eqsat.shapes import Facts
from tests.coverage._programs import seeded_array
from tests.coverage._taso_laws import LAWS, Law


def by_name(law: Law) -> str:
    return law.name


def check(function: Function, law: Law) -> None:
    snapshot, report = saturate(function, ALL_RULE_SETS, Facts(positive=False))
    left, right = snapshot.outputs
    assert left == right, f"{law.left}  ≠  {law.right}"
    assert report.stop == "saturated"


@pytest.mark.parametrize("law", LAWS, ids=by_name)
def test_both_sides_are_one_class(law: Law) -> None:
    check(law.program(symbolic=True)().relax_function("main"), law)


@pytest.mark.parametrize("law", [w for w in LAWS if w.is_about_sizes], ids=by_name)
def test_with_sizes_that_are_numbers(law: Law) -> None:
    check(law.program(symbolic=False)().relax_function("main"), law)


@pytest.mark.parametrize("law", [w for w in LAWS if w.has_scalars], ids=by_name)
def test_with_scalars_that_are_numbers(law: Law) -> None:
    check(law.program(symbolic=True, numbers=True)().relax_function("main"), law)


@pytest.mark.parametrize("law", LAWS, ids=by_name)
def test_law_is_true(law: Law) -> None:
    function = law.program(symbolic=False)().relax_function("main")
    args = [seeded_array(p.name, p.type.dims, "float32") for p in function.params]
    left, right = interpret(function, *args)
    assert left.shape == right.shape
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-5 * float(np.abs(left).max()))
