"""docs/operators.md is current and complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from eqsat.ir import ALL_OPS
from tests.ir._operators_page import RELAX, num_complete, operators_markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators.md"


def test_page(request: pytest.FixtureRequest) -> None:
    text = operators_markdown()
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "run pytest tests/ir/test_operators_page.py --update-golden"


def test_two_hundred_operators_are_complete() -> None:
    assert num_complete() >= 200
    for name in RELAX:
        o = ALL_OPS.get(name)
        assert o is None or o.cannot_run or (o.samples and o.samples())


@pytest.mark.peer
def test_the_list_is_what_tvm_registers() -> None:
    tvm = pytest.importorskip("tvm", reason="TVM is not installed")
    names = tvm.ir.Op.list_op_names()
    assert sorted(n.removeprefix("relax.") for n in names if n.startswith("relax.")) == RELAX
