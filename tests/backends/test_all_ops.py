"""Every operator, compiled: equal to its NumPy reference for every sample, edge, dtype and size.

One program holds all samples of an operator, so the machine code is compiled in one go.
`python -m tests.backends.sweep` runs every sample and edge in every dtype.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

import eqsat
from eqsat.ir import OpDef, op
from eqsat.lowering import LoweringError
from eqsat.shapes import DTYPES
from tests.backends._cases import (
    NATIVE,
    ON_HOST,
    arguments,
    cases,
    edge_cases,
    is_taken,
    num_runs,
    programs,
    run,
    tensors,
    variants,
)

LEAST_COMBINATIONS = 5000
LEAST_EDGES = 10000


@pytest.mark.parametrize("o", NATIVE, ids=lambda o: o.name)
def test_native_code_equals_the_reference(o: OpDef) -> None:
    assert run(cases(o)) > 0, f"{o.name} has no sample"


@pytest.mark.parametrize("o", [*NATIVE, *ON_HOST], ids=lambda o: o.name)
def test_edge_cases_equal_the_reference(o: OpDef) -> None:
    run(edge_cases(o))


def test_thousands_of_combinations_are_checked(record_property: Callable[..., None]) -> None:
    total, edges = (sum(map(num_runs, map(f, (*NATIVE, *ON_HOST)))) for f in (cases, edge_cases))
    record_property("combinations", total)
    record_property("edges", edges)
    assert total >= LEAST_COMBINATIONS
    assert edges >= LEAST_EDGES


def test_every_operator_is_in_every_dtype_that_it_takes() -> None:
    for o in (*NATIVE, *ON_HOST):
        taken = {c.dtypes for s in o.samples() for _, c in variants(o, s) if is_taken(c)}  # type: ignore[misc]
        missing = {d for ds in taken for d in ds} - {d for c in cases(o) for d in c.dtypes}
        assert not missing, f"{o.name} is not tried in {', '.join(sorted(missing))}"
    of_any = {c.dtypes[0] for c in cases(op("add"))}
    assert of_any == set(DTYPES) - {"bool"}


def test_only_operators_without_tensors_have_no_edge() -> None:
    without = [o.name for o in (*NATIVE, *ON_HOST) if not edge_cases(o)]
    assert without == ["eye", "arange", "hamming_window"]


@pytest.mark.parametrize("o", ON_HOST, ids=lambda o: o.name)
def test_an_operator_without_native_code_runs_on_the_host_and_says_so(o: OpDef) -> None:
    assert run(cases(o)) > 0, f"{o.name} has no sample"
    module, called, (env, *_) = next(programs(cases(o)))
    with pytest.raises(LoweringError, match=re.escape(o.name)):
        eqsat.compile(module, cache=False, host_operations="forbid")
    args = [x for k, c in enumerate(called) for x in tensors(arguments(c, env, k))]
    exe = eqsat.compile(module, cache=False, num_threads=1)
    profile = exe.profile(np.zeros(tuple(env.values()), bool), *args, repeat=1)
    assert f"host: {o.name}" in {k.label for k in profile.kernels}
