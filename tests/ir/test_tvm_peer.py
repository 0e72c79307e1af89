"""Live TVM modules are read, and given back equal: operators, constants, models, LegalizeOps."""

# ruff: noqa: E501 - TVMScript as TVM prints it has long lines.

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import ALL_OPS, BlockBuilder, Constant, IRModule, PrimFunc, check_well_formed
from eqsat.ir._structural import structural_equal
from eqsat.ir.frontend import ImportModelError
from eqsat.shapes import DTYPES, numpy_dtype
from tests.ir.test_script_ops import R_DOES_NOT_EXPORT, module_of_sample

pytestmark = pytest.mark.peer
tvm = pytest.importorskip("tvm", reason="TVM is not installed")

same_in_tvm = pytest.importorskip("tvm_ffi").structural_equal

DO_NOT_SETTLE = {
    "memory.view": "TVM binds the dtype to a variable, and we read a literal there only",
    "nn.attention_var_len": "TVM prints the operands as they stand, and reads them in another order",
    "to_vdevice": "a module of one call has no global infos, where TVM looks the device up",
}
SAMPLED = [
    n
    for n, o in ALL_OPS.items()
    if o.samples and n not in R_DOES_NOT_EXPORT and n not in DO_NOT_SETTLE
]


def assert_settles(module: IRModule) -> None:
    """What TVM holds is read, and given back it is the same to TVM."""
    theirs = eqsat.to_tvm(module)
    assert same_in_tvm(theirs, eqsat.to_tvm(eqsat.from_tvm(theirs)))


def same_constant(value: Any) -> bool:
    bb = BlockBuilder()
    module = bb.module(bb.emit(Constant(np.asarray(value))))
    return structural_equal(module, eqsat.from_tvm(eqsat.to_tvm(module)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_constants_of_every_dtype(dtype: str) -> None:
    values = np.array([[0, 1, 1], [1, 0, 1]]).astype(numpy_dtype(dtype))
    assert same_constant(values)
    assert same_constant(values[0, 1])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_constants_that_are_not_finite(dtype: str) -> None:
    values = np.array([np.inf, -np.inf, np.nan, -0.0]).astype(numpy_dtype(dtype))
    assert same_constant(values)
    assert all(same_constant(v) for v in values)


def test_large_and_empty_constants() -> None:
    assert same_constant(np.random.default_rng(0).standard_normal((512, 1024)))
    assert same_constant(np.zeros((0, 3), "float32"))


@pytest.mark.parametrize("start", range(8))
def test_operators_settle(start: int) -> None:
    for name in SAMPLED[start::8]:
        o = ALL_OPS[name]
        assert o.samples is not None
        assert_settles(module_of_sample(o, o.samples()[0]))


ITEMS = """
@I.ir_module
class Module:
    I.module_attrs({"a": {"b": [1, 2], "c": {"d": "e"}}, "f": True, "g": 1.5})
    I.module_global_infos({"vdevice": [I.vdevice("llvm"), I.vdevice({"kind": "llvm", "mcpu": "core-avx2"}, 0, "global")], "test": [I.dummy_global_info()]})
    ext = R.ExternFunc("my_ext")

    @R.function(private=True)
    def helper(x: R.Tensor(("n", 3), "float32"), y: R.Tensor(("n", 3), "float32")) -> R.Tensor(("n", 3), "float32"):
        z = R.add(x, y)
        return z

    @R.function(pure=False)
    def main(x: R.Tensor(("n", 3), "float32", "llvm:0"), c: R.Prim("bool")):
        R.func_attr({"a": {"b": 1}, "l": [1, 2.5, "x"]})
        n = T.int64()
        cls = Module
        R.print(x, format="v {}")
        R.assert_op(c, x, format="x: {}")
        clo = R.make_closure(cls.helper, (x,))
        z = R.invoke_pure_closure(clo, (x,), ty_args=R.Tensor((n, 3), "float32"))

        @R.function
        def local(y: R.Tensor((n, 3), "float32"), w: R.Tensor(("k",), "float32")) -> R.Tensor((n, 3), "float32"):
            k = T.int64()
            r = R.add(y, z)
            return r

        q = R.zeros((4,), "float32")
        s = local(x, q)
        p = R.call_py_func("f", (s,), out_ty=R.Tensor((n, 3), "float32"))
        return (p, R.str("a"), R.dtype("int8"), R.prim_value(1.5), R.null_value())
"""


def test_every_kind_of_item_settles() -> None:
    module = eqsat.from_tvmscript(ITEMS)
    check_well_formed(module)
    assert_settles(module)
    once = eqsat.from_tvm(eqsat.to_tvm(module))
    assert once.attrs == module.attrs
    assert once["main"].attrs == module["main"].attrs
    assert len(once.global_infos["vdevice"]) == 2
    assert [f.name for f in once.extern_funcs.values()] == ["my_ext"]


class _Mlp(tvm.relax.frontend.nn.Module):
    def __init__(self) -> None:
        self.first = tvm.relax.frontend.nn.Linear(16, 32)
        self.norm = tvm.relax.frontend.nn.LayerNorm(32)
        self.last = tvm.relax.frontend.nn.Linear(32, 4, bias=False)

    def forward(self, x: Any) -> Any:
        y = tvm.relax.frontend.nn.op.silu(self.norm(self.first(x)))
        return tvm.relax.frontend.nn.op.softmax(self.last(y), axis=-1)


def mlp() -> Any:
    spec = tvm.relax.frontend.nn.spec
    return _Mlp().export_tvm({"forward": {"x": spec.Tensor(["n", 16], "float32")}})[0]


def exported(dynamic: bool) -> Any:
    torch = pytest.importorskip("torch")
    from_exported_program = import_module("tvm.relax.frontend.torch").from_exported_program

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.norm = torch.nn.BatchNorm2d(4)
            self.linear = torch.nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.norm(self.conv(x)))
            return torch.softmax(self.linear(y.mean((2, 3))), -1)

    torch.manual_seed(0)
    shapes = {"x": {0: torch.export.Dim("batch", min=2, max=64)}} if dynamic else None
    program = torch.export.export(Net().eval(), (torch.ones(2, 3, 8, 8),), dynamic_shapes=shapes)
    return from_exported_program(program)


TORCH_WARNS = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@TORCH_WARNS
@pytest.mark.parametrize("make", [mlp, lambda: exported(False), lambda: exported(True)])
def test_imported_models_and_what_they_lower_to(make: Any) -> None:
    theirs = make()
    read = eqsat.from_tvm(theirs)
    check_well_formed(read)
    assert_settles(read)
    lowered = eqsat.from_tvm(tvm.relax.transform.LegalizeOps()(theirs))
    check_well_formed(lowered)
    assert sum(isinstance(f, PrimFunc) for f in lowered.functions.values()) > 3
    assert_settles(lowered)


@TORCH_WARNS
def test_a_model_means_the_same_here() -> None:
    theirs = tvm.relax.transform.LegalizeOps()(exported(False))
    read = eqsat.from_tvm(theirs)
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype("float32")
    ours = eqsat.interpret(read, x)
    machine = tvm.relax.VirtualMachine(tvm.compile(theirs, "llvm"), tvm.cpu())
    result = machine["main"](tvm.runtime.tensor(x))
    np.testing.assert_allclose(ours[0], result[0].numpy(), rtol=1e-4, atol=1e-5)


def test_a_function_alone() -> None:
    f = tvm.script.from_source("@R.function\ndef f(x: R.Tensor((2,), 'int8')):\n    return x")
    f = f["f"] if isinstance(f, tvm.IRModule) else f
    assert list(eqsat.from_tvm(f).functions) == ["f"]


def test_what_is_not_tvms_is_refused() -> None:
    with pytest.raises(ImportModelError, match=r"takes a tvm\.IRModule .*, got int"):
        eqsat.from_tvm(3)
