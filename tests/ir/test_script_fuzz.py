"""Whatever the text, reading it ends soon, in this project's errors with a place or well."""

from __future__ import annotations

import pytest

from tests.ir.script_mutants import escapes, outcome

BUDGET = 3000
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_mutants_are_read_or_refused(part: int) -> None:
    size = BUDGET // PARTS
    counts, found = escapes(range(part * size, (part + 1) * size))
    assert found == []
    assert counts["ParseError"] > size // 4
    assert counts["accepted"] > size // 40


HEAD = "@R.function\ndef f(x: R.Tensor((2,), 'float32')):\n    y = {}\n    return x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "\ud800",
        "@R.function\ndef f(x: R.Tensor((10**30,))):\n    return x",
        f"@R.function\ndef f(x: R.Tensor(({'9' * 5000},))):\n    return x",
        HEAD.format("(" * 5000),
        HEAD.format("(" * 150 + "x" + ")" * 150),
        HEAD.format("-" * 3000 + "x"),
        HEAD.format(" + ".join(["x"] * 3000)),
        HEAD.format("R.const([" * 100 + "1" + "])" * 100),
        HEAD.format("R.zeros((1 << 62, 1 << 62), 'float32')"),
        HEAD.format("R.const(1e400, 'float16')"),
        HEAD.format(f"R.const({'9' * 400}, 'int8')"),
        HEAD.format("R.zeros((" + " * ".join(["n"] * 500) + ",), 'float32')"),
        "@R.function\ndef f(x: R.Tensor(('" + "(" * 500 + "n',))):\n    return x",
        "@R.function\ndef f(x: R.Tensor(('n\0',))):\n    return x",
        "def f[" + "n, " * 3000 + "](x): return x",
        "@R.function\ndef f[n: (1, [2](x: R.Tensor((n,))):\n    return x",
    ],
)
def test_hostile_texts_are_read_or_refused(text: str) -> None:
    outcome(text)
