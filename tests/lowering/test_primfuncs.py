"""PrimFuncs called by call_tir: native code equals the interpreter, templates where they apply."""

# ruff: noqa: E501 - TVMScript has long lines

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import (
    IRModule,
    PrimFunc,
    RuntimeCheckError,
    check_well_formed,
    from_tvmscript,
    parse_module,
    print_module,
    tir,
)
from eqsat.shapes import EqsatError, numpy_dtype
from tests.ir.test_corpus import programs

MODULE = """
@I.ir_module
class Module:
{prim}
    @R.function
    def main({params}):
        cls = Module
        lv = {call}
        return lv
"""


def module(prim: str, params: str, call: str) -> IRModule:
    body = "\n".join(f"    {line}" if line else line for line in prim.strip().split("\n"))
    found = from_tvmscript(MODULE.format(prim=body, params=params, call=call))
    check_well_formed(found)
    return found


X = 'x: R.Tensor((6, 10), "float32")'
N = 'x: R.Tensor(("n", "m"), "float32")'
SAME = 'R.call_tir(cls.f, (x,), out_ty=R.Tensor((6, 10), "float32"))'
SAME_N = 'R.call_tir(cls.f, (x,), out_ty=R.Tensor((n, m), "float32"))'.replace(
    "(n, m)", '("n", "m")'
)

# name: (PrimFunc, parameters of main, the call, template of the last kernel)
CASES: dict[str, tuple[str, str, str, str]] = {
    "pointwise": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i, j in T.grid(6, 10):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = T.exp(A[vi, vj]) + T.float32(1)
""",
        X,
        SAME,
        "pointwise",
    ),
    "symbolic": (
        """
@T.prim_func(s_tir=True)
def f(a: T.handle, b: T.handle):
    p = T.int64()
    q = T.int64()
    A = T.match_buffer(a, (p, q), "float32")
    B = T.match_buffer(b, (p, q), "float32")
    for i, j in T.grid(p, q):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = T.max(A[vi, vj], T.float32(0)) * T.float32(2)
""",
        N,
        SAME_N,
        "pointwise",
    ),
    "matmul": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), W: T.Buffer((10, 24), "float32"), C: T.Buffer((6, 24), "float32")):
    for i, j, k in T.grid(6, 24, 10):
        with T.sblock("c"):
            vi, vj, vk = T.axis.remap("SSR", [i, j, k])
            with T.init():
                C[vi, vj] = T.float32(0)
            C[vi, vj] = C[vi, vj] + A[vi, vk] * W[vk, vj]
""",
        X + ', w: R.Tensor((10, 24), "float32")',
        'R.call_tir(cls.f, (x, w), out_ty=R.Tensor((6, 24), "float32"))',
        "contraction",
    ),
    "softmax": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    most = T.sblock_alloc_buffer((6,), "float32")
    power = T.sblock_alloc_buffer((6, 10), "float32")
    total = T.sblock_alloc_buffer((6,), "float32")
    for i, k in T.grid(6, 10):
        with T.sblock("most"):
            vi, vk = T.axis.remap("SR", [i, k])
            with T.init():
                most[vi] = T.float32(-3.4028234663852886e+38)
            most[vi] = T.max(most[vi], A[vi, vk])
    for i, j in T.grid(6, 10):
        with T.sblock("power"):
            vi, vj = T.axis.remap("SS", [i, j])
            power[vi, vj] = T.exp(A[vi, vj] - most[vi])
    for i, k in T.grid(6, 10):
        with T.sblock("total"):
            vi, vk = T.axis.remap("SR", [i, k])
            with T.init():
                total[vi] = T.float32(0)
            total[vi] = total[vi] + power[vi, vk]
    for i, j in T.grid(6, 10):
        with T.sblock("divide"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = power[vi, vj] / total[vi]
""",
        X,
        SAME,
        "row",
    ),
    "transposed": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((10, 6), "float32")):
    for i, j in T.grid(10, 6):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = A[vj, vi]
""",
        X,
        'R.call_tir(cls.f, (x,), out_ty=R.Tensor((10, 6), "float32"))',
        "pointwise",
    ),
    "padded": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((8, 10), "float32")):
    for i, j in T.grid(8, 10):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = T.if_then_else(1 <= vi and vi < 7, A[vi - 1, vj], T.float32(0))
""",
        X,
        'R.call_tir(cls.f, (x,), out_ty=R.Tensor((8, 10), "float32"))',
        "pointwise",
    ),
    "scheduled": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for io in T.parallel(3):
        for ii in T.serial(2):
            for j in T.vectorized(10):
                with T.sblock("b"):
                    vi = T.axis.spatial(6, io * 2 + ii)
                    vj = T.axis.spatial(10, j)
                    B[vi, vj] = A[vi, vj] * A[vi, vj]
""",
        X,
        SAME,
        "as written",
    ),
    "tiled with a cache": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), W: T.Buffer((10, 24), "float32"), C: T.Buffer((6, 24), "float32")):
    local = T.sblock_alloc_buffer((6, 24), "float32", scope="local")
    for i0, j0 in T.grid(2, 3):
        for k in range(10):
            for i1 in T.unroll(3):
                for j1 in T.vectorized(8):
                    with T.sblock("c"):
                        vi = T.axis.spatial(6, i0 * 3 + i1)
                        vj = T.axis.spatial(24, j0 * 8 + j1)
                        vk = T.axis.reduce(10, k)
                        with T.init():
                            local[vi, vj] = T.float32(0)
                        local[vi, vj] = local[vi, vj] + A[vi, vk] * W[vk, vj]
        for i1, j1 in T.grid(3, 8):
            with T.sblock("store"):
                vi = T.axis.spatial(6, i0 * 3 + i1)
                vj = T.axis.spatial(24, j0 * 8 + j1)
                C[vi, vj] = local[vi, vj]
""",
        X + ', w: R.Tensor((10, 24), "float32")',
        'R.call_tir(cls.f, (x, w), out_ty=R.Tensor((6, 24), "float32"))',
        "as written",
    ),
    "binary search": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((24,), "float32"), X: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "int64")):
    for i in T.parallel(6):
        for j in range(10):
            low = T.alloc_local((1,), "int64")
            high = T.alloc_local((1,), "int64")
            low[0] = T.int64(0)
            high[0] = T.int64(24)
            while low[0] < high[0]:
                if A[(low[0] + high[0]) // 2] < X[i, j]:
                    low[0] = (low[0] + high[0]) // 2 + 1
                else:
                    high[0] = (low[0] + high[0]) // 2
            B[i, j] = low[0]
""",
        'a: R.Tensor((24,), "float32"), ' + X,
        'R.call_tir(cls.f, (a, x), out_ty=R.Tensor((6, 10), "int64"))',
        "",
    ),
    "break and continue": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6,), "float32")):
    for i in range(6):
        B[i] = T.float32(0)
        for j in T.unroll(10):
            if A[i, j] < T.float32(-1):
                continue
            for k in range(10):
                if A[i, k] > T.float32(1):
                    break
                B[i] = B[i] + A[i, j]
            if B[i] > T.float32(3):
                break
            B[i] = B[i] * T.float32(2)
""",
        X,
        'R.call_tir(cls.f, (x,), out_ty=R.Tensor((6,), "float32"))',
        "as written",
    ),
    "return before parallel loops": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6,), "float32")):
    for i in T.parallel(6):
        B[i] = T.float32(0)
    for i in range(3):
        if A[i, 0] > T.float32(0):
            return 0
        B[i] = A[i, 0]
    for i in T.parallel(6):
        B[i] = B[i] + T.float32(1)
""",
        X,
        'R.call_tir(cls.f, (x,), out_ty=R.Tensor((6,), "float32"))',
        "as written",
    ),
    "jumps that guard accesses": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6,), "float32")):
    for i in range(8):
        if i >= 6:
            continue
        B[i] = A[i, 0]
    for i in range(20):
        if i == 6:
            return 0
        elif i > 6:
            break
        B[i] = B[i] + T.float32(1)
""",
        X,
        'R.call_tir(cls.f, (x,), out_ty=R.Tensor((6,), "float32"))',
        "",
    ),
    "lanes that part": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i in range(6):
        for j in T.vectorized(10):
            t = T.alloc_local((1,), "float32")
            t[0] = T.abs(A[i, j]) + T.float32(0.01)
            while t[0] < T.float32(1):
                t[0] = t[0] * T.float32(2)
            B[i, j] = t[0]
        for j in T.vectorized(10):
            if A[i, j] > T.float32(0):
                continue
            B[i, j] = B[i, j] + T.Cast("float32", j)
""",
        X,
        SAME,
        "as written",
    ),
    "axes in order": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i, j in T.grid(6, 10):
        with T.sblock("sum"):
            vi = T.axis.opaque(6, i)
            vj = T.axis.scan(10, j)
            T.reads(A[vi, vj], B[vi, 0:10])
            T.writes(B[vi, vj])
            B[vi, vj] = A[vi, vj] + T.if_then_else(vj > 0, B[vi, vj - 1], T.float32(0))
""",
        X,
        SAME,
        "as written",
    ),
    "an index that is written over": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    at = T.alloc_local((1,), "int64")
    for i, j in T.grid(6, 10):
        at[0] = T.Cast("int64", j)
        with T.sblock("b"):
            vi = T.axis.opaque(6, i)
            vj = T.axis.opaque(10, at[0])
            at[0] = T.int64(0)
            B[vi, vj] = A[vi, vj] + T.Cast("float32", at[0])
""",
        X,
        SAME,
        "",
    ),
    "predicate": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i, j0, j1 in T.grid(6, 3, 4):
        with T.sblock("b"):
            vi = T.axis.spatial(6, i)
            vj = T.axis.spatial(10, j0 * 4 + j1)
            T.where(j0 * 4 + j1 < 10)
            B[vi, vj] = A[vi, vj] + T.float32(3)
""",
        X,
        SAME,
        "as written",
    ),
    "prefix sum": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i, j in T.grid(6, 10):
        if j == 0:
            B[i, j] = A[i, j]
        else:
            B[i, j] = B[i, j - 1] + A[i, j]
""",
        X,
        SAME,
        "as written",
    ),
    "integers": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6,), "int32")):
    for i in range(6):
        B[i] = T.int32(0)
        for j in range(10):
            if A[i, j] > T.float32(0):
                B[i] = B[i] + T.int32(1)
""",
        X,
        'R.call_tir(cls.f, (x,), out_ty=R.Tensor((6,), "int32"))',
        "as written",
    ),
    "two results": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32"), C: T.Buffer((6,), "float32")):
    for i, j in T.grid(6, 10):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = A[vi, vj] - T.float32(1)
    for i, k in T.grid(6, 10):
        with T.sblock("c"):
            vi, vk = T.axis.remap("SR", [i, k])
            with T.init():
                C[vi] = T.float32(0)
            C[vi] = C[vi] + B[vi, vk]
""",
        X,
        'R.call_tir(cls.f, (x,), out_ty=[R.Tensor((6, 10), "float32"), R.Tensor((6,), "float32")])',
        "",
    ),
    "scalar parameter": (
        """
@T.prim_func(s_tir=True)
def f(a: T.handle, k: T.int64, b: T.handle):
    p = T.int64()
    q = T.int64()
    A = T.match_buffer(a, (p, q), "float32")
    B = T.match_buffer(b, (p, q), "float32")
    for i, j in T.grid(p, q):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = A[vi, vj] * T.Cast("float32", k + vj)
""",
        N,
        'R.call_tir(cls.f, (x, n * 2), out_ty=R.Tensor(("n", "m"), "float32"))',
        "",
    ),
    "gather": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), I: T.Buffer((4,), "int64"), B: T.Buffer((4, 10), "float32")):
    for i, j in T.grid(4, 10):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = A[I[vi], vj]
""",
        X + ', i: R.Tensor((4,), "int64")',
        'R.call_tir(cls.f, (x, i), out_ty=R.Tensor((4, 10), "float32"))',
        "as written",
    ),
    "rounded positions": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i, j in T.grid(6, 10):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = A[vi, T.max(T.min(T.Cast("int64", T.round(T.Cast("float32", vi) * T.float32(0.7))), 3), 0)]
""",
        X,
        SAME,
        "pointwise",
    ),
    "rounded positions in vectors": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i in range(6):
        for j in T.vectorized(10):
            with T.sblock("b"):
                vi, vj = T.axis.remap("SS", [i, j])
                B[vi, vj] = A[
                    T.max(T.min(T.Cast("int64", T.round(T.Cast("float32", vi) * T.float32(0.7))), 3), 0) % 3,
                    T.max(T.min(T.Cast("int64", T.floor(T.Cast("float32", vj) * T.float32(0.4))), 9), 0),
                ]
""",
        X,
        SAME,
        "pointwise",
    ),
    "rounded positions in a nest": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i in range(6):
        for j in range(10):
            B[i, j] = A[i, T.max(T.min(T.Cast("int64", T.round(T.Cast("float32", i) * T.float32(0.7))), 3), 0)]
""",
        X,
        SAME,
        "as written",
    ),
    "buffers of an iteration": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    with T.sblock("b"):
        T.reads()
        T.writes()
        T.attr({"pragma_scope": "seq"})
        for i in T.parallel(6):
            total = T.alloc_local((1,), "float32")
            total[0] = T.float32(0)
            for j in range(10):
                total[0] = total[0] + A[i, j]
            row = T.alloc_buffer((10,), "float32", align=64)
            for j in range(10):
                row[j] = A[i, j] - total[0]
            for j in range(10):
                B[i, j] = row[9 - j] * total[0]
""",
        X,
        SAME,
        "as written",
    ),
    "negative divisors": (
        """
@T.prim_func(s_tir=True)
def f(a: T.handle, b: T.handle):
    p = T.int64()
    q = T.int64()
    A = T.match_buffer(a, (p, q), "float32")
    B = T.match_buffer(b, (p, q), "float32")
    for i, j in T.grid(p, q):
        B[i, j] = A[i, j] + T.Cast("float32", (i * 3 - j) % T.int64(-4) * 100 + (i - j) // T.int64(-3))
""",
        N,
        SAME_N,
        "as written",
    ),
    "bits in an index": (
        """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i, j in T.grid(6, 10):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = A[T.max(T.min(T.bitwise_xor(vi, 1), 5), 0), T.max(T.min(T.shift_left(vi, 1), 9), 0)]
""",
        X,
        SAME,
        "pointwise",
    ),
}


def arguments(main: Any, sizes: dict[str, int]) -> list[Any]:
    rng = np.random.default_rng(0)
    args: list[Any] = []
    for p in main.params:
        shape = tuple(sizes.get(str(d), d) for d in p.type.dims)
        if p.type.dtype == "int64":
            args.append(rng.integers(0, 6, shape))
        else:
            args.append(rng.standard_normal(shape).astype(np.float32))
    return args


def same(got: Any, want: Any) -> None:
    pairs = zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]
    for g, w in pairs:
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)


def templates(exe: Any, args: list[Any]) -> list[str]:
    return [k.template for k in exe.profile(*args).kernels]


@pytest.mark.parametrize("sizes", [{"n": 3, "m": 7}, {"n": 1, "m": 33}], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_a_primfunc_runs_natively(name: str, sizes: dict[str, int]) -> None:
    prim, params, call, template = CASES[name]
    mod = module(prim, params, call)
    args = arguments(mod.relax_function(), sizes)
    exe = eqsat.compile(mod, cache=False, host_operations="forbid")
    same(exe(*args), eqsat.interpret(mod, *args))
    found = templates(exe, args)
    assert "host" not in found
    assert not template or found[-1] == template


def test_an_argument_is_overwritten_in_a_copy() -> None:
    prim = """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32")):
    for i, j in T.grid(6, 10):
        A[i, j] = A[i, j] + T.float32(1)
"""
    call = (
        'R.call_tir_inplace(cls.f, (x,), inplace_indices=[0], out_ty=R.Tensor((6, 10), "float32"))'
    )
    mod = module(prim, X, call)
    x = np.zeros((6, 10), np.float32)
    exe = eqsat.compile(mod, cache=False, host_operations="forbid")
    np.testing.assert_array_equal(exe(x), np.ones((6, 10), np.float32))
    np.testing.assert_array_equal(x, 0)


@pytest.mark.parametrize("index", [-1, 6, 1 << 40])
def test_an_access_outside_raises_and_reads_nothing(index: int) -> None:
    prim, params, call, _ = CASES["gather"]
    exe = eqsat.compile(module(prim, params, call), cache=False)
    x = np.ones((6, 10), np.float32)
    with pytest.raises(RuntimeCheckError, match="PrimFunc f left a buffer: A: index 0"):
        exe(x, np.array([0, index, 2, 3]))
    np.testing.assert_array_equal(exe(x, np.array([0, 1, 2, 3])), np.ones((4, 10), np.float32))


def test_regions_are_stated_and_an_access_is_checked() -> None:
    prim, params, call, _ = CASES["gather"]
    stated = "            T.reads(A[I[vi], vj], I[vi])\n            T.writes(B[vi, vj])\n            B[vi"
    exe = eqsat.compile(module(prim.replace("            B[vi", stated), params, call), cache=False)
    x = np.ones((6, 10), np.float32)
    np.testing.assert_array_equal(exe(x, np.array([0, 1, 2, 3])), np.ones((4, 10), np.float32))
    with pytest.raises(RuntimeCheckError, match="PrimFunc f left a buffer: A: index 0"):
        exe(x, np.array([0, 9, 2, 3]))


@pytest.mark.parametrize("sizes", [(3, 4), (8, 9)], ids=str)
def test_a_size_that_is_too_small_raises(sizes: tuple[int, int]) -> None:
    prim = """
@T.prim_func(s_tir=True)
def f(a: T.handle, b: T.handle):
    p = T.int64()
    q = T.int64()
    A = T.match_buffer(a, (p, q), "float32")
    B = T.match_buffer(b, (p, q), "float32")
    for i, j in T.grid(p, q):
        with T.sblock("b"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = A[vi, vj + 1]
"""
    exe = eqsat.compile(module(prim, N, SAME_N), cache=False)
    with pytest.raises(RuntimeCheckError, match="PrimFunc f left a buffer: A: index 1"):
        exe(np.ones(sizes, np.float32))


@pytest.mark.parametrize("index", [-1, 6, 1 << 40])
def test_a_lane_outside_raises_and_reads_nothing(index: int) -> None:
    prim = """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6,), "float32"), I: T.Buffer((4,), "int64"), B: T.Buffer((4,), "float32")):
    for i in T.vectorized(4):
        B[i] = A[I[i]]
"""
    call = 'R.call_tir(cls.f, (x, i), out_ty=R.Tensor((4,), "float32"))'
    params = 'x: R.Tensor((6,), "float32"), i: R.Tensor((4,), "int64")'
    exe = eqsat.compile(module(prim, params, call), cache=False)
    x = np.arange(6, dtype=np.float32)
    with pytest.raises(RuntimeCheckError, match="PrimFunc f left a buffer: A: index 0"):
        exe(x, np.array([0, 5, index, 3]))
    np.testing.assert_array_equal(exe(x, np.array([0, 5, 2, 3])), [0, 5, 2, 3])


def test_a_store_outside_raises_and_writes_nothing() -> None:
    prim = """
@T.prim_func(s_tir=True)
def f(I: T.Buffer((4,), "int64"), B: T.Buffer((6,), "float32")):
    for i in range(6):
        B[i] = T.float32(0)
    for i in range(4):
        B[I[i]] = B[I[i]] + T.float32(1)
"""
    call = 'R.call_tir(cls.f, (i,), out_ty=R.Tensor((6,), "float32"))'
    exe = eqsat.compile(module(prim, 'i: R.Tensor((4,), "int64")', call), cache=False)
    np.testing.assert_array_equal(exe(np.array([0, 2, 2, 5])), [1, 0, 2, 0, 0, 1])
    with pytest.raises(RuntimeCheckError, match="PrimFunc f left a buffer"):
        exe(np.array([0, 2, 6, 5]))


def test_threads_of_a_gpu_are_refused() -> None:
    prim = """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32")):
    for i in T.thread_binding(6, thread="threadIdx.x"):
        for j in range(10):
            B[i, j] = A[i, j]
"""
    with pytest.raises(eqsat.EqsatError, match="bound to threadIdx"):
        eqsat.compile(module(prim, X, SAME), cache=False)


SUM_UNTIL = """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6,), "float32"), B: T.Buffer((1,), "float32")):
    at = T.alloc_local((1,), "int64")
    at[0] = T.int64(0)
    B[0] = T.float32(0)
    while {condition}:
        B[0] = B[0] + A[at[0]]
        at[0] = at[0] + T.int64(1)
"""
ONE = 'R.call_tir(cls.f, (x,), out_ty=R.Tensor((1,), "float32"))'
SIX = 'x: R.Tensor((6,), "float32")'


@pytest.mark.parametrize("condition", ["A[at[0]] != T.float32(0)", "True"])
def test_a_while_loop_that_leaves_a_buffer_ends(condition: str) -> None:
    mod = module(SUM_UNTIL.format(condition=condition), SIX, ONE)
    exe = eqsat.compile(mod, cache=False, host_operations="forbid")
    with pytest.raises(RuntimeCheckError, match="PrimFunc f left a buffer: A: index 0"):
        exe(np.ones(6, np.float32))
    with pytest.raises(IndexError):
        eqsat.interpret(mod, np.ones(6, np.float32))


def test_what_is_read_in_the_condition_of_a_while_loop_is_checked_only_where_it_is_read() -> None:
    condition = "at[0] < T.int64(6) and A[at[0]] != T.float32(0)"
    mod = module(SUM_UNTIL.format(condition=condition), SIX, ONE)
    exe = eqsat.compile(mod, cache=False, host_operations="forbid")
    np.testing.assert_array_equal(exe(np.ones(6, np.float32)), [6])
    np.testing.assert_array_equal(exe(np.array([1, 2, 0, 4, 5, 6], np.float32)), [3])


STALE = {
    "a condition": """
    if 0 <= I[0] and I[0] < 6:
        I[0] = T.int64(1 << 40)
        A[I[0]] = T.float32(1)
""",
    "a condition of a loop": """
    for k in range(2):
        if k == 1 or (0 <= I[0] and I[0] < 6):
            A[T.max(I[0], 0)] = T.float32(1)
        I[0] = T.int64(1 << 40)
""",
    "a condition of a while loop": """
    while 0 <= I[0] and I[0] < 6:
        I[0] = T.int64(1 << 40)
        A[I[0]] = T.float32(1)
""",
    "a jump": """
    for k in range(2):
        if I[0] < 0 or I[0] >= 6:
            continue
        I[0] = T.int64(1 << 40)
        A[I[0]] = T.float32(1)
""",
    "a variable": """
    v: T.let[T.int64] = I[0] + T.int64(1 << 40)
    I[0] = T.int64(-(1 << 40))
    if 0 <= v + I[0]:
        A[v] = T.float32(1)
""",
    "the bounds of a loop": """
    for k in range(I[0], I[0] + T.int64(2)):
        I[0] = T.int64(-100)
        A[k - I[0]] = T.float32(1)
""",
}


@pytest.mark.parametrize("name", STALE)
def test_what_was_known_of_a_value_ends_where_it_is_written(name: str) -> None:
    head = """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6,), "float32"), I: T.Buffer((1,), "int64")):
"""
    call = 'R.call_tir_inplace(cls.f, (x, i), inplace_indices=[0, 1], out_ty=[R.Tensor((6,), "float32"), R.Tensor((1,), "int64")])'
    mod = module(head.strip() + STALE[name], SIX + ', i: R.Tensor((1,), "int64")', call)
    exe = eqsat.compile(mod, cache=False, host_operations="forbid")
    with pytest.raises(RuntimeCheckError, match="PrimFunc f left a buffer: A: index 0"):
        exe(np.ones(6, np.float32), np.array([3]))


def test_sizes_that_change_places_are_replaced_once() -> None:
    prim = """
@T.prim_func(s_tir=True)
def f(a: T.handle, b: T.handle):
    n = T.int64()
    m = T.int64()
    A = T.match_buffer(a, (n, m), "float32")
    B = T.match_buffer(b, (n, m), "float32")
    for i, j in T.grid(n, m):
        B[i, j] = T.if_then_else(T.bool(True), A[i, j], T.float32(0)) + T.Cast("float32", n + i * 0)
"""
    call = 'R.call_tir(cls.f, (x,), out_ty=R.Tensor(("m", "n"), "float32"))'
    mod = module(prim, 'x: R.Tensor(("m", "n"), "float32")', call)
    exe = eqsat.compile(mod, cache=False, host_operations="forbid")
    np.testing.assert_array_equal(exe(np.zeros((2, 5), np.float32)), np.full((2, 5), 2))


def test_an_assertion_ends_the_program() -> None:
    prim = """
@T.prim_func(s_tir=True)
def f(A: T.Buffer((6,), "float32"), B: T.Buffer((6,), "float32")):
    for i in T.parallel(6):
        assert A[i] >= T.float32(0), "a root of a negative number"
        B[i] = T.sqrt(A[i])
    assert B[0] < T.float32(10), ("ValueError", ["too ", "large"])
"""
    mod = module(prim, SIX, 'R.call_tir(cls.f, (x,), out_ty=R.Tensor((6,), "float32"))')
    exe = eqsat.compile(mod, cache=False, host_operations="forbid")
    np.testing.assert_array_equal(exe(np.full(6, 4, np.float32)), np.full(6, 2, np.float32))
    for value, message in ((-1, "a root of a negative number"), (900, "too large")):
        x = np.full(6, value, np.float32)
        for run in (exe, lambda x: eqsat.interpret(mod, x)):
            with pytest.raises(RuntimeCheckError, match=f"PrimFunc f: {message}"):
                run(x)


NOT_NATIVE = {
    "bound_threads": "this backend has no threads",
    "evaluate_and_calls": "no native code",
    "launch_threads": "this backend has no threads",
    "launch_threads_as_scopes": "this backend has no threads",
    "loop_kinds": "this backend has no threads",
    "threads_of_the_environment": "this backend has no threads",
    "names_of_addresses": "no native code",
    "names_of_pointers": "no native code",
    "pointers_in_blocks": "no native code",
    "pointers_in_calls": "no native code",
    "pointers_of_buffers": "no native code",
}
"""Programs of the corpus that call nobody's functions or run on a GPU: what their error says."""


def in_place(program: IRModule) -> tuple[IRModule, list[Any]] | None:
    """Return a module whose main runs a PrimFunc of fixed sizes on its arguments, and these."""
    (name, func), *others = program.functions.items()
    if others or not isinstance(func, PrimFunc):
        return None
    buffers = [p for p in func.params if isinstance(p, tir.Buffer)]
    fixed = [[d.value for d in b.shape if isinstance(d, tir.IntImm)] for b in buffers]
    if len(buffers) != len(func.params) or any(
        len(s) != len(b.shape) for s, b in zip(fixed, buffers, strict=True)
    ):
        return None
    rng = np.random.default_rng(0)
    args = [
        (rng.random(s) * 4).astype(numpy_dtype(b.dtype))
        for s, b in zip(fixed, buffers, strict=True)
    ]
    types = [f'R.Tensor({tuple(s)}, "{b.dtype}")' for s, b in zip(fixed, buffers, strict=True)]
    names = [f"x{k}" for k in range(len(args))]
    text = (
        print_module(program)
        + f"""
    @R.function
    def main({", ".join(f"{n}: {t}" for n, t in zip(names, types, strict=True))}):
        cls = Module
        lv = R.call_tir_inplace(cls.{name}, ({", ".join(names)},), inplace_indices={list(range(len(args)))}, out_ty=[{", ".join(types)}])
        return lv
"""
    )
    return from_tvmscript(text), args


IN_PLACE = {
    f[0]: found
    for f, text in programs("tensorir.txt")
    if (found := in_place(parse_module(text))) is not None
}


@pytest.mark.parametrize("name", sorted(set(IN_PLACE) - {"explicit_root"} - set(NOT_NATIVE)))
def test_a_program_of_the_corpus_runs_natively(name: str) -> None:
    """All but `explicit_root`, which reads elements that it leaves unwritten."""
    mod, args = IN_PLACE[name]
    exe = eqsat.compile(mod, cache=False, host_operations="forbid")
    same(exe(*args), eqsat.interpret(mod, *args))


@pytest.mark.parametrize("name", NOT_NATIVE)
def test_what_has_no_native_code_says_why(name: str) -> None:
    mod, args = IN_PLACE[name]
    with pytest.raises(EqsatError, match=NOT_NATIVE[name]):
        eqsat.compile(mod, cache=False, host_operations="forbid")(*args)
