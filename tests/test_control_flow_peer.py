"""Programs with control flow: compiled here and in TVM's virtual machine, to the same numbers."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import print_module
from tests.test_control_flow import PROGRAMS, _same

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(importlib.util.find_spec("tvm") is None, reason="tvm is not installed"),
]

NOT_RUN = {
    "branch_sizes": "TVM takes a symbol that both branches define for one size",
    "scalar_symbols": "TVM computes no size from a scalar variable",
    "shape_casts": "TVM lowers no reshape to a shape that is a variable",
    "unknown_shapes": "TVM lowers no operator on operands of unknown shape",
}
NUM_RUN = 14


def to_tvm(value: Any) -> Any:
    import tvm

    if isinstance(value, np.ndarray):
        return tvm.runtime.tensor(value)
    if isinstance(value, tuple):
        if all(isinstance(v, int) for v in value):
            return tvm.runtime.ShapeTuple(value)
        return tuple(map(to_tvm, value))
    return value


def from_tvm(value: Any) -> Any:
    import tvm

    if isinstance(value, tvm.runtime.Tensor):
        return value.numpy()
    if isinstance(value, tvm.runtime.ShapeTuple):
        return tuple(int(d) for d in value)
    is_tuple = hasattr(value, "__len__") and not isinstance(value, str)
    return tuple(map(from_tvm, value)) if is_tuple else value


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n not in NOT_RUN])
def test_tvm_computes_the_same(name: str) -> None:
    import tvm
    from tvm import relax

    text, calls = PROGRAMS[name]
    module = eqsat.from_tvmscript(text)
    header = "".join(
        f"# from tvm.script import {dialect}\n" for dialect in ("ir as I", "relax as R", "tir as T")
    )
    theirs = tvm.script.from_source(header + print_module(module), check_well_formed=False)
    lifted = relax.transform.LambdaLift()(theirs)
    machine = relax.VirtualMachine(tvm.compile(lifted, target="llvm"), tvm.cpu())
    exe = eqsat.compile(eqsat.optimize(module, num_threads=1), num_threads=1)
    for args in calls:
        _same(exe["main"](*args), from_tvm(machine["main"](*map(to_tvm, args))))


def test_every_other_program_is_accounted_for() -> None:
    assert set(NOT_RUN) <= set(PROGRAMS)
    assert len(PROGRAMS) - len(NOT_RUN) == NUM_RUN
