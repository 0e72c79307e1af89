"""Floats narrower than float32: every code and every kind of rounding, bit for bit as NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from eqsat.backends import Target, compile_program, host_target
from eqsat.ir.tir import (
    Buffer,
    BufferLoad,
    BufferStore,
    Cast,
    For,
    IntImm,
    PrimFunc,
    Var,
    shape_var,
)
from eqsat.lowering import NativeProgram
from eqsat.shapes import DTYPES, bits, is_float, itemsize, numpy_dtype

MakeProgram = Callable[..., NativeProgram]
NARROW = [d for d in DTYPES if is_float(d) and bits(d) < 32]
# The half that is cut off at any width down to 16 bits: none, a tie, and both its neighbours.
LOW_HALVES = (0, 1, 0xFFF, 0x1000, 0x1001, 0x3FFF, 0x7FFF, 0x8000, 0x8001, 0xFFFF)
TARGETS = [pytest.param(True, id="host"), pytest.param(False, id="no-f16c")]


def singles() -> NDArray[np.float32]:
    """Return each upper half of a float32 with several lower ones."""
    high = np.arange(1 << 16, dtype=np.uint32) << 16
    return np.concatenate([high | low for low in LOW_HALVES]).view(np.float32)


def as_numpy(x: NDArray[Any], dtype: str) -> NDArray[Any]:
    with np.errstate(all="ignore"):
        return x.astype(numpy_dtype(dtype))


def codes(dtype: str) -> NDArray[Any]:
    """Return every value of a dtype, NaN in each of its forms."""
    return np.arange(1 << bits(dtype)).astype(f"u{itemsize(dtype)}").view(numpy_dtype(dtype))


def without_f16c() -> Target:
    host = host_target()
    kept = [f for f in host.features.split(",") if f[1:] not in ("f16c", "avx512fp16")]
    return dataclasses.replace(host, features=",".join([*kept, "-f16c", "-avx512fp16"]))


def cast(
    make_program: MakeProgram, old: str, new: str, x: NDArray[Any], kind: str, *, has_f16c: bool
) -> NDArray[Any]:
    n, i = shape_var("n"), Var("i")
    a, b = Buffer("a", (n,), old), Buffer("b", (n,), new)
    body = BufferStore(b, (i,), Cast(new, BufferLoad(a, (i,))))
    func = PrimFunc("cast", (a, b), For(i, IntImm(0), n, body, kind))  # type: ignore[arg-type]
    target = None if has_f16c else without_f16c()
    return compile_program(make_program(func), num_threads=1, cache=False, target=target)(x)


def assert_same_bits(got: NDArray[Any], wanted: NDArray[Any]) -> None:
    """Assert equality in every bit but those of a NaN."""
    differ = got.view(f"u{got.itemsize}") != wanted.view(f"u{got.itemsize}")
    differ &= ~(np.isnan(got) & np.isnan(wanted))
    assert not differ.any(), (got[differ][:5], wanted[differ][:5], np.flatnonzero(differ)[:5])


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
@pytest.mark.parametrize("has_f16c", TARGETS)
def test_float32_is_rounded(
    dtype: str, kind: str, has_f16c: bool, make_program: MakeProgram
) -> None:
    x = singles()
    got = cast(make_program, "float32", dtype, x, kind, has_f16c=has_f16c)
    assert_same_bits(got, as_numpy(x, dtype))


@pytest.mark.parametrize("dtype", NARROW)
def test_float64_is_rounded_once(dtype: str, make_program: MakeProgram) -> None:
    """The neighbours of a tie in float64 are ties in float32."""
    x = singles()[: 1 << 18]
    x = x[~np.isnan(x)].astype(np.float64)
    x = np.concatenate([x, np.nextafter(x, np.inf), np.nextafter(x, -np.inf), [1e300, -1e-300]])
    got = cast(make_program, "float64", dtype, x, "vectorized", has_f16c=True)
    assert_same_bits(got, as_numpy(x, dtype))


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
@pytest.mark.parametrize("has_f16c", TARGETS)
def test_every_code_is_read(
    dtype: str, kind: str, has_f16c: bool, make_program: MakeProgram
) -> None:
    x = codes(dtype)
    got = cast(make_program, dtype, "float32", x, kind, has_f16c=has_f16c)
    assert_same_bits(got, x.astype(np.float32))
