"""Code for lesser CPUs than this one: narrower vectors, no fused multiply-add."""

from __future__ import annotations

import platform
from collections.abc import Callable

import numpy as np
import pytest

from eqsat.backends import Target, compile_program, host_target
from eqsat.ir.tir import (
    Buffer,
    BufferLoad,
    BufferStore,
    For,
    IntImm,
    Intrinsic,
    PrimFunc,
    Seq,
    Var,
    shape_var,
)
from eqsat.lowering import NativeProgram

MakeProgram = Callable[..., NativeProgram]
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 targets")
BASELINE = Target("x86_64-unknown-linux-gnu", "x86-64", "", 128)
HASWELL = Target("x86_64-unknown-linux-gnu", "haswell", "+avx2,+f16c,+fma", 256)
n = shape_var("n")


def runnable(target: Target) -> Target:
    needed = [f[1:] for f in target.features.split(",") if f]
    if not all(host_target().has(f) for f in needed):
        pytest.skip(f"this CPU lacks one of {needed}")
    return target


def functions(names: list[str], dtype: str = "float32") -> PrimFunc:
    i, x = Var("i"), Buffer("x", (n,), dtype)
    outputs = [Buffer(f"y_{name}", (n,), dtype) for name in names]
    stores = tuple(
        BufferStore(y, (i,), Intrinsic(name, (BufferLoad(x, (i,)),), dtype))
        for y, name in zip(outputs, names, strict=True)
    )
    return PrimFunc("f", (x, *outputs), For(i, IntImm(0), n, Seq(stores), "vectorized"))


@pytest.mark.parametrize("target", [BASELINE, HASWELL], ids=["baseline", "haswell"])
def test_vector_functions(target: Target, make_program: MakeProgram) -> None:
    names = ["exp", "log", "tanh", "sin", "cos", "exp2", "log2", "floor", "round", "sqrt"]
    program = make_program(functions(names), num_outputs=len(names))
    exe = compile_program(program, cache=False, target=runnable(target))
    x = np.linspace(0.01, 20, 77, dtype=np.float32)
    for name, got in zip(names, exe(x), strict=True):
        wanted = getattr(np, {"round": "rint"}.get(name, name))(x.astype(np.float64))
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7, err_msg=name)


def test_width_of_vectors_follows_the_target(make_program: MakeProgram) -> None:
    assert (BASELINE.f32_lanes, HASWELL.f32_lanes) == (4, 8)
    assert host_target().f32_lanes in (4, 8, 16)
