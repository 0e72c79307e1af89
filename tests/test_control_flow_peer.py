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

# TVM does not compile the others: local functions ("VMShapeLower do not work for local functions"),
# operands of unknown shape (it cannot legalize `add`), scalar variables as dims, and two branches
# that define one symbol by different sizes.
RUN_BY_TVM = (
    "factorial", "fibonacci", "power", "rnn", "beam", "mutual", "nested", "branch_aliases",
    "shapes", "data_dependent", "constants_only", "early_exit",
)  # fmt: skip


def _to_tvm(value: Any) -> Any:
    import tvm

    if isinstance(value, np.ndarray):
        return tvm.runtime.tensor(value)
    if isinstance(value, tuple):
        if all(isinstance(v, int) for v in value):
            return tvm.runtime.ShapeTuple(value)
        return tuple(map(_to_tvm, value))
    return value


def _from_tvm(value: Any) -> Any:
    import tvm

    if isinstance(value, tvm.runtime.Tensor):
        return value.numpy()
    if isinstance(value, tvm.runtime.ShapeTuple):
        return tuple(int(d) for d in value)
    return tuple(map(_from_tvm, value)) if hasattr(value, "__len__") else value


@pytest.mark.parametrize("name", RUN_BY_TVM)
def test_tvm_computes_the_same(name: str) -> None:
    import tvm
    from tvm import relax

    text, calls = PROGRAMS[name]
    module = eqsat.from_tvmscript(text)
    header = "".join(
        f"# from tvm.script import {dialect}\n" for dialect in ("ir as I", "relax as R", "tir as T")
    )
    theirs = tvm.script.from_source(header + print_module(module), check_well_formed=False)
    machine = relax.VirtualMachine(tvm.compile(theirs, target="llvm"), tvm.cpu())
    exe = eqsat.compile(eqsat.optimize(module, num_threads=1), num_threads=1)
    for args in calls:
        _same(exe["main"](*args), _from_tvm(machine["main"](*map(_to_tvm, args))))
