"""Both sides of every true law of TASO and TENSAT end in one e-class, with the default limits."""

from __future__ import annotations

import numpy as np
import pytest

from eqsat._saturate import saturate
from eqsat.ir import interpret
from eqsat.rules import ALL_RULE_SETS
from eqsat.shapes import Facts
from tests.coverage._programs import seeded_array
from tests.coverage._taso_laws import LAWS, Law

MODES = ("symbolic", "numbers")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_both_sides_are_one_class(law: Law, mode: str) -> None:
    function = law.program(symbolic=mode == "symbolic")().relax_function("main")
    snapshot, report = saturate(function, ALL_RULE_SETS, Facts(positive=False))
    left, right = snapshot.outputs
    assert left == right, f"{law.left}  ≠  {law.right}"
    assert report.stop == "saturated"


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_law_is_true(law: Law) -> None:
    function = law.program(symbolic=False)().relax_function("main")
    args = [seeded_array(p.name, p.type.dims, "float32") for p in function.params]
    left, right = interpret(function, *args)
    assert left.shape == right.shape
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-5 * float(np.abs(left).max()))
