"""The border to HiGHS."""

from __future__ import annotations

import pytest

from eqsat.extract._highs import Rows, minimize


def test_the_solver_is_right_and_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to what the user asked for: JSON, or a program."""
    rows = Rows()
    rows.add([0, 1], [], 1.0, 2.0)  # one of the first two, and then the third
    rows.add([2], [0], 0.0, 1.0)
    answer = minimize([1.0, 3.0, 1.0], 3, [], rows, [1], 1.0)
    assert [round(v) for v in answer.values] == [1, 0, 1]
    assert answer.bound == pytest.approx(2.0)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
