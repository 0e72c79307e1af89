"""Closures, printing, assertions and Python functions: what they mean and what is refused."""

# ruff: noqa: E501 - TVMScript as TVM prints it has long lines.

from __future__ import annotations

import numpy as np
import pytest

import eqsat
from eqsat.ir import (
    CallableType,
    RuntimeCheckError,
    TensorType,
    check_well_formed,
    interpret,
    is_base_of,
    printing_to,
    type_lca,
)

PROGRAM = """
@I.ir_module
class Module:
    @R.function(private=True)
    def shifted(x: R.Tensor((2,), "float32"), y: R.Tensor((2,), "float32")) -> R.Tensor((2,), "float32"):
        z = R.subtract(x, y)
        return z

    @R.function(pure=False)
    def main(x: R.Tensor((2,), "float32"), ok: R.Tensor((), "bool")):
        cls = Module
        R.print(x, x, format="{} then {}")
        R.print(x, (x, x))
        R.assert_op(ok, x, format="bad {}")
        closure = R.make_closure(cls.shifted, (x,))
        a = R.invoke_pure_closure(closure, (R.const([1.0, 2.0], "float32"),), ty_args=R.Tensor((2,), "float32"))
        b = R.call_py_func("twice", (a,), out_ty=R.Tensor((2,), "float32"))
        return b
"""
X = np.array([5, 7], "float32")


def _twice(value: np.ndarray) -> np.ndarray:
    return value * 2


def run(ok: bool, lines: list[str]) -> np.ndarray:
    module = eqsat.from_tvmscript(PROGRAM)
    check_well_formed(module)
    with printing_to(lines.append):
        return interpret(module, X, np.array(ok), externs={"twice": _twice})


def test_printing_and_closures() -> None:
    lines: list[str] = []
    # A closure holds the last arguments, as in TVM.
    np.testing.assert_array_equal(run(True, lines), (np.array([1, 2], "float32") - X) * 2)
    assert lines == ["[5. 7.] then [5. 7.]", "[5. 7.] ([5. 7.], [5. 7.])"]


def test_a_failed_assertion_shows_its_values() -> None:
    with pytest.raises(RuntimeCheckError, match=r"^bad \[5\. 7\.\]$"):
        run(False, [])


def test_without_redirection_lines_go_to_the_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "@R.function(pure=False)\ndef main(x: R.Tensor((), 'int8')):\n    R.print(x, format='v={}')\n    return x"
    interpret(eqsat.from_tvmscript(text), np.array(3, "int8"))
    assert capsys.readouterr().out == "v=3\n"


def test_a_format_with_other_braces_is_refused() -> None:
    text = "@R.function(pure=False)\ndef main(x: R.Tensor((), 'int8')):\n    R.print(x, format='{} {}')\n    return x"
    with pytest.raises(RuntimeCheckError, match=r"the format '\{\} \{\}' does not fit 1 values"):
        interpret(eqsat.from_tvmscript(text), np.array(3, "int8"))


def test_functions_have_their_signatures_as_types() -> None:
    module = eqsat.from_tvmscript(PROGRAM)
    tensor = TensorType((2,), "float32")
    shifted = module.relax_function("shifted").type
    assert shifted == CallableType((tensor, tensor), tensor)
    main = module.relax_function().type
    assert not main.is_pure
    common = type_lca(shifted, CallableType((tensor, tensor), tensor, is_pure=False))
    assert is_base_of(common, shifted)
    assert common == CallableType((tensor, tensor), tensor, is_pure=False)


def test_a_call_of_a_function_value_is_typed_by_it() -> None:
    text = """
@I.ir_module
class Module:
    @R.function(private=True)
    def double(x: R.Tensor(("n",), "float32")) -> R.Tensor(("n * 2",), "float32"):
        y = R.concat((x, x))
        return y

    @R.function
    def main(x: R.Tensor((3,), "float32")):
        f = Module.double
        y = f(x)
        return y
"""
    module = eqsat.from_tvmscript(text)
    check_well_formed(module)
    assert module.relax_function().ret_type == TensorType((6,), "float32")
