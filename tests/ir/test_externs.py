"""Python functions called by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import remove_func

X = np.arange(3, dtype=np.float32)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for name in ("test.double", "test.add_into"):
        remove_func(name)


def _module(call: str) -> eqsat.ir.IRModule:
    return eqsat.from_tvmscript(f"""
@R.function(pure=False)
def main(x: R.Tensor((3,), "float32")) -> R.Tensor((3,), "float32"):
    y = {call}
    return y
""")


PURE = _module('R.call_pure_packed("test.double", x, ty_args=(R.Tensor((3,), "float32"),))')
INTO = _module('R.call_dps_packed("test.add_into", (x, x), out_ty=R.Tensor((3,), "float32"))')


def test_a_registered_function_serves_the_interpreter() -> None:
    @eqsat.register_func("test.double")
    def double(x: Any) -> Any:
        return 2 * x

    assert eqsat.get_func("test.double") is double
    np.testing.assert_array_equal(eqsat.interpret(PURE, X), [0, 2, 4])
    given = eqsat.interpret(PURE, X, externs={"test.double": lambda x: x + 1})
    np.testing.assert_array_equal(given, [1, 2, 3])  # what is passed wins


def test_dps_functions_write_their_output() -> None:
    eqsat.register_func("test.add_into", lambda a, b, out: np.add(a, b, out=out))
    np.testing.assert_array_equal(eqsat.interpret(INTO, X), [0, 2, 4])
    given = eqsat.interpret(INTO, X, externs={"test.add_into": lambda a, b: a - b})
    np.testing.assert_array_equal(given, [0, 0, 0])


def test_names_are_taken_once() -> None:
    eqsat.register_func("test.double", abs)
    with pytest.raises(eqsat.EqsatError, match=r"registered as 'test.double' already"):
        eqsat.register_func("test.double", len)
    eqsat.register_func("test.double", len, override=True)
    assert eqsat.get_func("test.double") is len
    with pytest.raises(eqsat.EqsatError, match="needs a function, got 3"):
        eqsat.register_func("test.other", 3)  # type: ignore[arg-type]


def test_an_unknown_name_says_how_to_register() -> None:
    assert eqsat.get_func("test.double") is None
    with pytest.raises(eqsat.EqsatError, match=r"'test.double' .* eqsat.register_func"):
        eqsat.interpret(PURE, X)
