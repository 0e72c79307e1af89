"""Distributed programs are TVM's: it reads our text, prints the same, and gives the same types."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import eqsat
from eqsat.ir import (
    ALL_OPS,
    BaseCheck,
    parse_module,
    print_module,
    structural_equal,
    type_base_check,
)
from tests.ir.distributed_programs import HEAD, OPEN, PARAMS, REFUSED, TYPES, program
from tests.ir.test_distributed import PROGRAM

pytestmark = pytest.mark.peer
tvm = pytest.importorskip("tvm", reason="TVM is not installed")


def read_by_tvm(text: str) -> Any:
    # `from tvm.script import relax` lacks DTensor and device_mesh in 0.27; its module has them.
    from tvm.relax.script import parser
    from tvm.script import ir, tirx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tvm.script.parse(text, {"R": parser, "I": ir, "T": tirx, "tvm": tvm})


def printed_by_tvm(module: Any) -> str:
    text: str = module.script(show_meta=True, extra_config={"relax.use_pep695": False})
    return text


def compared(text: str) -> list[str]:
    """Return the lines of a text without imports, symbols and regions, types as TVM has them."""
    for spelled, same in (('"n"', "n"), ('"m"', "m"), ('R.Prim("int64")', "T.int64")):
        text = text.replace(spelled, same)
    lines = map(str.strip, text.rpartition('"""')[2].splitlines())  # without the metadata
    skipped = ("#", "T.reads", "T.writes", "n = ", "m = ")
    return [line for line in lines if line and not line.startswith(skipped)]


def test_tvm_reads_our_text_and_prints_the_same() -> None:
    module = parse_module(PROGRAM)
    text = print_module(module)
    theirs = printed_by_tvm(read_by_tvm(text))
    assert compared(theirs) == compared(text)
    assert structural_equal(parse_module(theirs), module)


def test_modules_go_there_and_back() -> None:
    module = parse_module(PROGRAM)
    assert structural_equal(eqsat.from_tvm(eqsat.to_tvm(module)), module)


@pytest.mark.parametrize("call", TYPES)
def test_tvm_gives_a_call_the_same_type(call: str) -> None:
    symbols = ("n = T.int64()", "m = T.int64()") if "sized" in call else ()
    text = program(*symbols, f"x = {call}", "return x")
    module, there = parse_module(text), parse_module(printed_by_tvm(read_by_tvm(text)))
    assert structural_equal(there, module)


@pytest.mark.parametrize("call", REFUSED)
def test_tvm_refuses_the_same_calls(call: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - TVM's errors have no class in common
        read_by_tvm(program(f"x = {call}", "return x"))


@pytest.mark.parametrize("call", OPEN)
def test_tvm_takes_the_placement_that_is_declared(call: str) -> None:
    text = program(f"x: {OPEN[call]} = {call}", "return x").replace("axis=None, ", "")
    there = parse_module(printed_by_tvm(read_by_tvm(text)))
    assert structural_equal(there, parse_module(text))


def test_the_operators_that_take_distributed_tensors_are_tvms() -> None:
    def is_distributed(name: str) -> bool:
        return tvm.ir.Op.get(name).get_attr("dist.FInferType") is not None

    names = [n for n in tvm.ir.Op.list_op_names() if n.startswith("relax.")]
    theirs = {n.removeprefix("relax.") for n in names if is_distributed(n)}
    ours = {n for n, o in ALL_OPS.items() if o.result_axes is not None or n.startswith("dist.")}
    assert ours == theirs - {"call_tir"}


def test_which_type_is_the_base_of_which() -> None:
    spelled = [*PARAMS.values(), PARAMS["ranked"].replace("float32", ""), "R.Any"]
    params = ", ".join(f"p{k}: {ty}" for k, ty in enumerate(spelled))
    text = f"{HEAD}\n    @R.function\n    def main({params}):\n        return p0\n"
    here = [p.type for p in parse_module(text).relax_function().params]
    there = [p.ty for p in read_by_tvm(text)["main"].params]
    for base, their_base in zip(here, there, strict=True):
        for derived, theirs in zip(here, there, strict=True):
            expected = tvm.relax.analysis.type_base_check(their_base, theirs)
            assert type_base_check(base, derived) is BaseCheck(int(expected)), (base, derived)
