"""Each rewrite of the peers fires and pays on a program; docs/coverage.md says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coverage import inductor, onnxruntime, openvino, taso, tvm, xla
from tests.coverage._page import coverage_markdown
from tests.coverage._rows import Row, assert_same_numbers, measured, num_operators

PEERS = {
    "TVM Relax": tvm.ROWS,
    "TASO and TENSAT": taso.ROWS,
    "onnxruntime": onnxruntime.ROWS,
    "torch inductor": inductor.ROWS,
    "XLA algebraic simplifier": xla.ROWS,
    "OpenVINO": openvino.ROWS,
}
ROWS = [row for rows in PEERS.values() for row in rows]
COVERED = [row for row in ROWS if row.is_covered]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
# Estimates that differ by less are the same.
SLACK = 1e-9


@pytest.mark.parametrize("row", COVERED, ids=lambda r: r.name)
def test_row_fires_and_pays(row: Row) -> None:
    found = measured(row)
    fired = found.result.saturation.matches
    assert not [name for name in row.rules if name not in fired], "did not fire"
    if row.canonical:
        assert found.after_s <= found.before_s * (1 + SLACK)
        assert found.result.num_operators < num_operators(found.given)
    else:
        assert found.after_s < found.before_s * (1 - SLACK)
    assert_same_numbers(row, found.result, row.module())


def test_other_rows_say_why() -> None:
    assert not [r.name for r in ROWS if not r.is_covered and not r.reason]


def test_rows_are_named_once() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))


def test_page(request: pytest.FixtureRequest) -> None:
    text = coverage_markdown(PEERS)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text)
    hint = "run python -m pytest tests/coverage/test_coverage.py -k page --update-golden"
    assert PAGE.read_text() == text, hint
