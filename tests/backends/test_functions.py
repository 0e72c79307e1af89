"""Scalar functions of TensorIR: native code equals the interpreter."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from eqsat.backends import CodegenError, Executable
from eqsat.ir._interpret_tir import run_primfunc
from eqsat.ir.script._intrinsics import FUNCTIONS, result_dtype
from eqsat.ir.tir import (
    Buffer,
    BufferLoad,
    BufferStore,
    For,
    IntImm,
    Intrinsic,
    PrimFunc,
    Var,
    shape_var,
)

Compiled = Callable[..., Executable]
rng = np.random.default_rng(7)
n, i = shape_var("n"), Var("i")
REALS = ["float32", "float64", "float16"]
WHOLE = ["int8", "int32", "int64", "uint8", "uint32"]
REAL_FUNCTIONS = sorted(FUNCTIONS - {"popcount", "clz", "bitwise_not", "likely", "assume"})
WHOLE_FUNCTIONS = ["abs", "bitwise_not", "clz", "floor", "fma", "fmod", "popcount", "truncmod"]
ARITIES = {"fma": 3, **dict.fromkeys(["atan2", "copysign", "fmod", "hypot", "ldexp", "nextafter",
                                      "pow", "truncmod"], 2)}  # fmt: skip


def function_of(name: str, dtype: str, kind: str) -> PrimFunc:
    dtypes = [dtype] * ARITIES.get(name, 1)
    if name == "ldexp":
        dtypes[1] = "int32"
    inputs = [Buffer(f"x{a}", (n,), d) for a, d in enumerate(dtypes)]
    args = tuple(BufferLoad(x, (i,)) for x in inputs)
    out = result_dtype(name, args)
    y = Buffer("y", (n,), out)
    body = BufferStore(y, (i,), Intrinsic(name, args, out))
    return PrimFunc("f", (*inputs, y), For(i, IntImm(0), n, body, kind))  # type: ignore[arg-type]


def compared(f: PrimFunc, args: list[object], compiled: Compiled, **tolerance: float) -> None:
    *_, output = f.params
    assert isinstance(output, Buffer)
    expected = np.zeros(41, output.dtype)
    run_primfunc(f, [*args, expected])
    np.testing.assert_allclose(
        compiled(f)(*args).astype(float), expected.astype(float), **tolerance
    )


@pytest.mark.parametrize("name", REAL_FUNCTIONS)
@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_functions_of_reals(name: str, dtype: str, kind: str, compiled: Compiled) -> None:
    f = function_of(name, dtype, kind)
    low, high = {"acosh": (1, 9), "log1p": (0, 9)}.get(name, (0.01, 0.99))
    args: list[object] = [rng.uniform(low, high, 41).astype(dtype) for _ in f.params[:-1]]
    if name == "ldexp":
        args[1] = rng.integers(-9, 9, 41).astype(np.int32)
    if name in ("fmod", "truncmod"):
        args = [rng.uniform(-9, 9, 41).astype(dtype), args[1]]
    if name == "nextafter" and dtype == "float16":
        with pytest.raises(CodegenError, match=r"T\.nextafter on float16 has no native code"):
            compiled(f)
        return
    rtol = {"float16": 2e-3, "float32": 2e-6, "float64": 1e-14}[dtype]
    exact = name in ("nextafter", "ldexp", "copysign")
    compared(f, args, compiled, rtol=0 if exact else rtol, atol=0 if exact else rtol / 10)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*itertools.product(WHOLE_FUNCTIONS, WHOLE), ("bitwise_not", "bool")],
)
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_functions_of_integers(name: str, dtype: str, kind: str, compiled: Compiled) -> None:
    f = function_of(name, dtype, kind)
    low, high = (0, 2) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    args: list[object] = [rng.integers(low, high, 41).astype(dtype) for _ in f.params[:-1]]
    if name in ("fmod", "truncmod"):
        args[0] = np.concatenate([[low, low, 7, high], args[0]])[:41].astype(dtype)  # type: ignore[list-item]
        small = np.concatenate([[-1, 0, 0, 3], rng.integers(1, 5, 41)])[:41]
        args[1] = (small * rng.choice([-1, 1], 41) if low < 0 else np.abs(small)).astype(dtype)
    compared(f, args, compiled, rtol=0, atol=0)
