"""Functions of sizes in annotations: what the dims that they are read as evaluate to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest

from eqsat.ir import ParseError, TensorType, parse_module, print_module
from eqsat.shapes import Dim, evaluate

SIZES = list(itertools.product(range(9), range(5)))
CASES: dict[str, Callable[[int, int], int]] = {
    "T.truncdiv(n, 3)": lambda n, m: n // 3,
    "T.truncdiv(n - 5, 3)": lambda n, m: math.trunc((n - 5) / 3),
    "T.truncdiv(3 - n, m + 1)": lambda n, m: math.trunc((3 - n) / (m + 1)),
    "T.truncmod(n, 3)": lambda n, m: n % 3,
    "T.truncmod(n - 5, 3)": lambda n, m: int(math.fmod(n - 5, 3)),
    "T.shift_left(n, 2)": lambda n, m: n << 2,
    "T.shift_right(n - 4, T.int64(1))": lambda n, m: (n - 4) >> 1,
    "(n << 1) + (n >> 1)": lambda n, m: (n << 1) + (n >> 1),
    "n & 3": lambda n, m: n & 3,
    "T.bitwise_and(7, n - 4)": lambda n, m: (n - 4) & 7,
    "~n + 9": lambda n, m: ~n + 9,
    "T.abs(n - 4)": lambda n, m: abs(n - 4),
    "T.if_then_else(n > 2, n, m)": lambda n, m: n if n > 2 else m,
    "T.if_then_else(n % 2 == 0, n, n + 1)": lambda n, m: n + n % 2,
    "T.Select(T.And(n < m, m != 3), n * m, T.int64(1))": lambda n, m: (
        n * m if n < m and m != 3 else 1
    ),
    "T.Max(T.Add(n, m), T.Mul(n, T.int64(2)))": lambda n, m: max(n + m, 2 * n),
    "T.cast(n, 'int64') + m.astype('int64')": lambda n, m: n + m,
    "T.ceil(n)": lambda n, m: n,
}


def _annotated(dim: str) -> str:
    return f"""
@R.function
def f(x: R.Tensor(("n", "m"), "float32"), y: R.Tensor(ndim=1, dtype="float32")):
    n = T.int64()
    m = T.int64()
    z = R.match_cast(y, R.Tensor(({dim},), "float32"))
    return z
"""


def _read(text: str) -> Dim:
    (function,) = (parse_module(text).relax_function(n) for n in parse_module(text).functions)
    ty = function.body.result.type
    assert isinstance(ty, TensorType)
    return ty.dims[0]


@pytest.mark.parametrize("dim", CASES)
def test_a_function_of_sizes_has_its_values(dim: str) -> None:
    read = _read(_annotated(dim))
    again = _read(print_module(parse_module(_annotated(dim))))
    for n, m in SIZES:
        assert (
            evaluate(read, {"n": n, "m": m})
            == CASES[dim](n, m)
            == evaluate(again, {"n": n, "m": m})
        )


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        ("T.shift_left(1, n)", "a dim is shifted by a known number of bits up to 62, not by n"),
        ("n << 63", "a dim is shifted by a known number of bits up to 62, not by 63"),
        ("n & 5", "& with 5 is no dim; with a power of two less 1 it is, n & 7"),
        ("T.truncdiv(n, m - 1)", "a truncating division by m - 1, which may be below 0, is no dim"),
        ("T.log2(n)", "T.log2(n) is not a dim; a dim is made by +, -, *, //, %, T.min, T.max"),
        ("T.if_then_else(n, n, m)", "n is no condition over sizes"),
    ],
)
def test_what_is_no_dim_is_refused_in_its_place(dim: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_module(_annotated(dim))
    assert str(caught.value).startswith("<script>:6:")
    assert message in str(caught.value)


@pytest.mark.peer
def test_tvm_reads_the_same() -> None:
    tvm = pytest.importorskip("tvm", reason="TVM is not installed")
    for dim in CASES:
        tvm.script.from_source(_annotated(dim), check_well_formed=False)
        tvm.script.from_source(print_module(parse_module(_annotated(dim))), check_well_formed=False)
