"""TVM 0.27 reads what we print, and we read what it prints."""

# ruff: noqa: E501 - TVMScript as TVM prints it has long lines.

from __future__ import annotations

import sys
from typing import Any

import pytest

from eqsat.ir import IRModule, PrimFunc
from eqsat.ir._structural import structural_equal
from eqsat.ir._wellformed import check_well_formed
from eqsat.ir.script import parse_module, print_module

pytestmark = pytest.mark.peer
tvm = pytest.importorskip("tvm", reason="TVM is not installed")


def _printed(module: Any, *, pep695: bool = False) -> str:
    return module.script(show_meta=True, extra_config={"relax.use_pep695": pep695})


PROGRAM = """
@I.ir_module
class Module:
    @T.prim_func(private=True, s_tir=True)
    def scale(p: T.handle, q: T.handle):
        T.func_attr({"tirx.noalias": True})
        n = T.int64()
        A = T.match_buffer(p, (n, n * T.int64(2)), "float32")
        B = T.match_buffer(q, (n, n * T.int64(2)), "float32")
        acc = T.sblock_alloc_buffer((n,), "float32", scope="local")
        for i, k in T.grid(n, n * T.int64(2)):
            with T.sblock("sum"):
                vi, vk = T.axis.remap("SR", [i, k])
                T.where(i * T.int64(4) + k < T.int64(30))
                T.reads(A[vi, vk])
                T.writes(acc[vi])
                T.sblock_attr({"x": 1, "layout": "abc"})
                with T.init():
                    acc[vi] = T.float32(0.0)
                acc[vi] = acc[vi] + T.if_then_else(A[vi, vk] > T.float32(0.0) and vi < vk or not vi == vk, T.exp(A[vi, vk]), T.float32("-inf"))
        for i in T.parallel(n):
            for k in T.serial(T.int64(1), n * T.int64(2), annotations={"a": 1}):
                with T.sblock("scale"):
                    vi, vk = T.axis.remap("SS", [i, k])
                    T.reads(acc[vi], A[vi, T.int64(0):n * T.int64(2)])
                    T.writes(B[vi, vk])
                    x: T.let[T.float32] = T.max(acc[vi], T.min(A[vi, vk], T.float32(1.5)))
                    B[vi, vk] = T.Select(vi // T.int64(2) % T.int64(3) == T.int64(1), x, x - (x - T.float32(1e-05)) / x)

    @R.function(private=True)
    def fused(x: R.Tensor((4, "n"), dtype="float32")) -> R.Tensor((4, "n"), dtype="float32"):
        n = T.int64()
        R.func_attr({"Primitive": True, "k": [1, 2]})
        with R.dataflow():
            lv: R.Tensor((4, n), dtype="float32") = R.nn.relu(x)
            gv: R.Tensor((4, n), dtype="float32") = R.multiply(lv, R.const([[1.5], [2.5], [-3.5], [0.0]], "float32"))
            R.output(gv)
        return gv

    @R.function
    def main(x: R.Tensor((4, "n"), dtype="float32"), c: R.Tensor((), dtype="bool"), u: R.Tensor(ndim=2), s: R.Shape(["a", 4]), t: R.Tuple(R.Tensor((2,), dtype="int32"), R.Any)) -> R.Tuple(R.Tensor((4, "n"), dtype="float32"), R.Tensor(dtype="float32", ndim=2)):
        n = T.int64()
        a = T.int64()
        m = T.int64()
        cls = Module
        with R.dataflow():
            lv: R.Tensor((4, n), dtype="float32") = cls.fused(x)
            lv1: R.Tensor((m, m * 2), dtype="float32") = R.match_cast(u, R.Tensor((m, m * 2), dtype="float32"))
            lv2 = R.call_tir(cls.scale, (lv1,), out_ty=R.Tensor((m, m * 2), dtype="float32"))
            lv3 = R.call_dps_packed("foo", (lv2,), out_ty=[R.Tensor((4, 16), dtype="float32"), R.Tensor((n * 2 + 1, 16), dtype="float32")])
            lv4: R.Tensor((4, 16), dtype="float32") = lv3[0]
            lv5: R.Tensor((4, n), dtype="float32") = R.add(lv, R.const(float("-inf"), "float32"))
            lv6: R.Tensor((4, n), dtype="bfloat16") = R.astype(lv5, dtype="bfloat16")
            gv: R.Tensor((4, n), dtype="float32") = R.nn.softmax(lv5, axis=-1)
            R.output(lv4, gv)
        if c:
            z: R.Tensor((4, n), dtype="float32") = R.add(gv, gv)
        else:
            z: R.Tensor((4, n), dtype="float32") = R.subtract(gv, R.const(0.1, "float32"))
        return (z, u)
"""


def test_tvm_reads_our_text_and_we_read_its() -> None:
    module = parse_module(PROGRAM)
    check_well_formed(module)
    theirs = tvm.script.from_source(print_module(module), check_well_formed=False)
    assert structural_equal(module, parse_module(_printed(theirs)))


def test_we_read_type_parameters() -> None:
    theirs = tvm.script.from_source(print_module(parse_module(PROGRAM)), check_well_formed=False)
    for pep695 in (False, sys.version_info >= (3, 12)):
        assert structural_equal(
            parse_module(PROGRAM), parse_module(_printed(theirs, pep695=pep695))
        )
    text = (
        "@R.function\ndef main[n](x: R.Tensor((n, n * 2))) -> R.Tensor((n, n * 2)):\n    return x"
    )
    quoted = '@R.function\ndef main(x: R.Tensor(("n", "n * 2"))) -> R.Tensor(("n", "n * 2")):\n    return x'
    assert structural_equal(parse_module(text), parse_module(quoted))


def test_we_read_what_tvm_lowers_to() -> None:
    module = parse_module(PROGRAM)
    only = {k: v for k, v in module.functions.items() if k == "fused"}
    theirs = tvm.script.from_source(print_module(IRModule(only)))
    lowered = tvm.relax.transform.LegalizeOps()(theirs)
    read = parse_module(_printed(lowered))
    assert sum(isinstance(f, PrimFunc) for f in read.functions.values()) == 2
    check_well_formed(read)
    back = tvm.script.from_source(print_module(read))
    assert structural_equal(parse_module(_printed(back)), read)
