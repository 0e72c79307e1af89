"""Every vector function against float64, over its range, and at the special values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from eqsat.backends import Executable
from eqsat.backends._vector_math import MAX_ULP
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
_erf = np.vectorize(math.erf)
REFERENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "tan": np.tan, "erf": _erf, "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}  # fmt: skip
# Where results are normal numbers.
RANGES: dict[str, tuple[float, float]] = {
    "exp": (-87.0, 88.7), "exp2": (-125.9, 127.9), "expm1": (-20, 88.7), "log": (1e-37, 1e38),
    "log2": (1e-37, 1e38), "log10": (1e-37, 1e38), "log1p": (-0.999, 1e30), "tanh": (-12, 12),
    "sin": (-1e5, 1e5), "cos": (-1e5, 1e5), "tan": (-1e4, 1e4), "erf": (-6, 6),
    "rsqrt": (1e-37, 1e38), "sigmoid": (-80, 80),
}  # fmt: skip
n = shape_var("n")


def unary(name: str, dtype: str = "float32", kind: str = "vectorized") -> PrimFunc:
    x, y, i = Buffer("x", (n,), dtype), Buffer("y", (n,), dtype), Var("i")
    body = BufferStore(y, (i,), Intrinsic(name, (BufferLoad(x, (i,)),), dtype))
    return PrimFunc(name, (x, y), For(i, IntImm(0), n, body, kind))  # type: ignore[arg-type]


def samples(low: float, high: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    parts = [rng.uniform(low, high, 40_000), rng.uniform(max(low, -3), min(high, 3), 40_000)]
    exponents = rng.uniform(-30, math.log10(max(high, 1.0)), 40_000)
    parts.append(10.0**exponents)
    if low < 0:
        parts.append(-(10.0 ** rng.uniform(-30, math.log10(-low), 40_000)))
    x = np.concatenate(parts).astype(np.float32)
    return x[(x >= low) & (x <= high)]


def ulps(got: np.ndarray, wanted: np.ndarray) -> float:
    unit = np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)
    return float(np.max(np.abs(got - wanted) / unit))


@pytest.mark.parametrize("name", sorted(MAX_ULP))
def test_error_bound(name: str, compiled: Compiled) -> None:
    x = samples(*RANGES[name])
    wanted = REFERENCES[name](x.astype(np.float64))
    normal = np.abs(wanted) > 1.2e-38
    error = ulps(compiled(unary(name))(x)[normal], wanted[normal])
    assert error <= MAX_ULP[name]


SPECIALS = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 200.0, -200.0, 1e38, -1e38, 1e-40], np.float32
)


@pytest.mark.parametrize("name", sorted(MAX_ULP))
@pytest.mark.parametrize("kind", ["vectorized", "serial"])
def test_special_values(name: str, kind: str, compiled: Compiled) -> None:
    got = compiled(unary(name, kind=kind))(SPECIALS)
    with np.errstate(all="ignore"):
        wanted = REFERENCES[name](SPECIALS.astype(np.float64)).astype(np.float32)
    if name in ("sin", "cos", "tan"):
        # Of huge arguments the library's float32 function is the reference.
        with np.errstate(all="ignore"):
            wanted = getattr(np, name)(SPECIALS.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1.2e-38)
    zeros = wanted == 0
    assert (np.signbit(got[zeros]) == np.signbit(wanted[zeros])).all()


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "erf", "sin", "sigmoid", "rsqrt"])
def test_float64_uses_the_c_library(name: str, compiled: Compiled) -> None:
    x = np.linspace(0.1, 5, 37)
    np.testing.assert_allclose(compiled(unary(name, "float64"))(x), REFERENCES[name](x), rtol=1e-14)


@pytest.mark.parametrize("name", ["exp", "tanh"])
def test_narrow_floats_are_rounded_once(name: str, compiled: Compiled) -> None:
    x = np.linspace(-3, 3, 50).astype(np.float16)
    wanted = REFERENCES[name](x.astype(np.float32)).astype(np.float16)
    np.testing.assert_allclose(compiled(unary(name, "float16"))(x), wanted, rtol=1e-3)
