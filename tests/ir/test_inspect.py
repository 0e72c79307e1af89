"""Operators on a tensor's header: known from its type, or read where the program runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import parse_module, print_module, structural_equal
from eqsat.shapes import DTYPES, bits, dlpack_code, numpy_dtype

OPERATORS = {
    "tensor_ndim(x)": "x.ndim",
    "tensor_dtype_code(x)": "x.dtype.type_code",
    "tensor_dtype_bits(x)": "x.dtype.bits",
    "tensor_dtype_lanes(x)": "x.dtype.lanes",
    "tensor_shape_i(x, 1)": "x.shape[1]",
    "tensor_stride_i(x, 0)": "x.strides[0]",
    "tensor_byte_offset(x)": "x.byte_offset",
    "tensor_elem_offset(x)": "x.elem_offset",
}


def program(tensor: str, calls: list[str]) -> str:
    lines = [f"    v{k} = {call}\n" for k, call in enumerate(calls)]
    results = ", ".join(f"v{k}" for k in range(len(calls)))
    return (
        f"@R.function\ndef main(x: R.{tensor}):\n" + "".join(lines) + f"    return ({results},)\n"
    )


def both(tensor: str) -> tuple[eqsat.ir.IRModule, eqsat.ir.IRModule]:
    """Return a program that asks for everything, by operators and by attributes."""
    by_name = parse_module(program(tensor, [f"R.inspect.{call}" for call in OPERATORS]))
    return by_name, parse_module(program(tensor, [*OPERATORS.values()]))


TENSORS = ["Tensor((n, 3), {})", "Tensor({}, ndim=2)", "Tensor((5, 3))", "Tensor(ndim=2)", "Tensor"]


@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_headers_are_read(tensor: str, dtype: str) -> None:
    by_name, by_attribute = both(tensor.format(repr(dtype)).replace("(n, 3)", '("n", 3)'))
    assert structural_equal(by_name, by_attribute)
    assert structural_equal(parse_module(print_module(by_name)), by_name)
    x = np.zeros((5, 3), numpy_dtype(dtype))
    expected = (2, dlpack_code(dtype), bits(dtype), 1, 3, 3, 0, 0)
    assert eqsat.interpret(by_name, x) == expected
    assert eqsat.compile(by_name, cache=False)(x) == expected
    assert eqsat.compile(eqsat.optimize(by_name), cache=False)(x) == expected


def test_what_the_type_says_needs_no_host_operation() -> None:
    by_name, _ = both('Tensor(("n", 3), "float16")')
    exe = eqsat.compile(by_name, cache=False, host_operations="forbid")
    assert exe(np.zeros((4, 3), np.float16)) == (2, 2, 16, 1, 3, 3, 0, 0)
    unknown, _ = both('Tensor("float32")')
    with pytest.raises(eqsat.EqsatError, match=r"inspect\.tensor_ndim at v0 of main"):
        eqsat.compile(unknown, cache=False, host_operations="forbid")


@pytest.mark.parametrize(
    ("spelled", "message"),
    [
        ("x.shape[2]", "axis 2 of a tensor of 2 axes"),
        ("x.strides[-1]", "axis -1 of a tensor of 2 axes"),
        ("x.shape", "needs the attribute axis"),
        ("x.ndim[0]", "has no attribute axis"),
        ("x.dtype", "is not a Relax expression"),
        ("x.size", "is not a Relax expression"),
        ("R.inspect.tensor_ndim(R.shape([2]))", "must be a tensor"),
    ],
)
def test_what_a_header_does_not_say_is_refused(spelled: str, message: str) -> None:
    with pytest.raises(eqsat.EqsatError, match="<script>:3:") as error:
        parse_module(program('Tensor((2, 3), "float32")', [spelled]))
    assert message in str(error.value)


def test_an_axis_that_is_not_there_is_found_at_run_time() -> None:
    exe = eqsat.compile(parse_module(program("Tensor", ["x.shape[2]"])), cache=False)
    assert exe(np.zeros((1, 2, 3), bool)) == (3,)
    with pytest.raises(eqsat.EqsatError, match="axis 2 of a tensor of 2 axes"):
        exe(np.zeros((1, 2), bool))


@pytest.mark.peer
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "uint64", "bool"])
def test_tvm_reads_the_same(dtype: str) -> None:
    import tvm
    from tvm import relax, tirx

    x = relax.Var("x", relax.TensorType((5, 3), dtype))
    bb = relax.BlockBuilder()
    with bb.function("main", [x]):
        values: list[Any] = []
        for call in OPERATORS:
            name, _, axis = call.partition("(x")
            extra = [tirx.IntImm("int64", int(axis[2]))] if axis[0] == "," else []
            operator = tvm.ir.Op.get(f"relax.inspect.{name}")
            values.append(bb.emit(relax.Call(operator, [x, *extra])))
        bb.emit_func_output(relax.Tuple(values))
    theirs = bb.get()
    ours, _ = both(f"Tensor((5, 3), {dtype!r})")
    machine = relax.VirtualMachine(tvm.compile(theirs, "llvm"), tvm.cpu())
    value = tvm.runtime.empty((5, 3), dtype)
    expected = tuple(int(v) for v in machine["main"](value))
    assert eqsat.interpret(ours, np.zeros((5, 3), numpy_dtype(dtype))) == expected
    assert eqsat.interpret(eqsat.from_tvm(theirs), np.zeros((5, 3), numpy_dtype(dtype))) == expected
