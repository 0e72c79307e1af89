"""PrimFuncs that call Python and C functions with pointers into their buffers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import RuntimeCheckError, remove_func, run_primfunc

ROWS = """
@I.ir_module
class Module:
    @T.prim_func(s_tir=True)
    def f(A: T.Buffer((4, 8), "float32"), B: T.Buffer((4, 8), "float32")):
        for i in range(4):
            with T.sblock("row"):
                vi = T.axis.spatial(4, i)
                T.reads(A[vi, 0:8])
                T.writes(B[vi, 0:8])
                T.call_packed("test.scaled", A.access_ptr("r", offset=vi * 8, extent=8),
                              T.address_of(B[vi, 0]), vi)
        T.call_packed("test.grown", B)
        T.evaluate(T.call_extern("handle", "memcpy", T.address_of(B[3, 0]), A.data, T.int64(16)))

    @R.function
    def main(x: R.Tensor((8, 4), "float32")) -> R.Tensor((4, 8), "float32"):
        cls = Module
        with R.dataflow():
            t = R.permute_dims(x)
            y = R.call_tir(cls.f, (t,), out_ty=R.Tensor((4, 8), "float32"))
            z = R.add(y, y)
            R.output(z)
        return z
"""
X = np.arange(32, dtype=np.float32).reshape(8, 4)


def _expected() -> Any:
    y = X.T * np.arange(4, dtype=np.float32)[:, None] + 1
    y[3, :4] = X.T[0, :4]
    return 2 * y


def _scaled(a: Any, b: Any, row: Any) -> None:
    assert a.shape == (8,)
    b[:8] = row * a


def _grown(b: Any) -> None:
    assert b.shape == (4, 8)
    b += 1


FUNCTIONS = {"test.scaled": _scaled, "test.grown": _grown}


@pytest.fixture
def _registered() -> Iterator[None]:
    for name, function in FUNCTIONS.items():
        eqsat.register_func(name, function)
    yield
    for name in FUNCTIONS:
        remove_func(name)


def _module(body: str) -> eqsat.ir.IRModule:
    head = 'def f(A: T.Buffer((4, 8), "float32"), B: T.Buffer((), "int32")):'
    lines = "\n    ".join(body.strip().split("\n"))
    return eqsat.from_tvmscript(f"@T.prim_func\n{head}\n    {lines}")


def _run(body: str, a: Any, externs: dict[str, Any] | None = None) -> Any:
    b = np.zeros((), np.int32)
    func = _module(body).functions["f"]
    assert isinstance(func, eqsat.ir.PrimFunc)
    run_primfunc(func, [a, b], externs=externs)
    return b[()]


def test_the_interpreter_gives_functions_arrays() -> None:
    module = eqsat.from_tvmscript(ROWS)
    np.testing.assert_array_equal(eqsat.interpret(module, X, externs=FUNCTIONS), _expected())


@pytest.mark.usefixtures("_registered")
def test_compiled_programs_call_them() -> None:
    module = eqsat.from_tvmscript(ROWS)
    for program in (module, eqsat.optimize(module)):
        np.testing.assert_array_equal(eqsat.compile(program)(X), _expected())


def test_c_functions_take_and_return_numbers() -> None:
    body = 'B[()] = T.call_extern("int32", "abs", -7) + T.call_extern("int32", "atoi", "35")'
    assert _run(body, X.reshape(4, 8)) == 42
    compared = (
        'B[()] = T.call_extern("int32", "memcmp", A.data, T.address_of(A[1, 0]), T.int64(32))'
    )
    assert _run(compared, np.zeros((4, 8), np.float32)) == 0


def test_arrays_are_windows_with_strides() -> None:
    seen: list[list[Any]] = []

    def see(*args: Any) -> None:
        seen.append([np.copy(a) for a in args])

    _run(
        """
T.call_packed("see", T.tvm_stack_make_array(A.data, T.tvm_stack_make_shape(2, 3),
    T.tvm_stack_make_shape(8, 2), 2, "float32", 9), 2.5, "word")
T.call_packed("see", T.handle_add_byte_offset(A.data, 120))
""",
        X.reshape(4, 8),
        {"see": see},
    )
    window, number, word = seen[0]
    np.testing.assert_array_equal(window, X.reshape(4, 8)[1:3, 1:6:2])
    assert (number, word) == (2.5, "word")
    assert seen[1][0].view(np.float32).tolist() == [30, 31]


def test_memory_that_is_not_contiguous_is_written_through() -> None:
    a = np.zeros((8, 4), np.float32).T

    def fill(b: Any) -> None:
        b[:] = np.arange(32)

    _run('T.call_packed("fill", A.data)', a, {"fill": fill})
    np.testing.assert_array_equal(a, np.arange(32).reshape(4, 8))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('T.call_packed("test.none", A)', "no function is registered as 'test.none'"),
        ('T.call_extern("int32", "test_none")', "'test_none' is neither a Python function nor a C"),
        (
            'T.call_packed("f", T.tvm_stack_make_array(A.data, T.tvm_stack_make_shape(40), 0, 1, '
            '"float32", 0))',
            "an array of shape (40,) and rank 1 is made over 32 elements",
        ),
        ('T.call_extern("float16", "hypothetical_f16")', "'hypothetical_f16' is neither"),
    ],
)
def test_what_cannot_be_called_is_refused(body: str, message: str) -> None:
    with pytest.raises(RuntimeCheckError) as caught:
        _run(body, X.reshape(4, 8), {"f": print})
    assert message in str(caught.value)
