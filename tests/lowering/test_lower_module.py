"""Whole modules: slots, aliases, outputs, sharing of code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eqsat.ir import ALL_OPS, BlockBuilder, Constant
from eqsat.lowering import LoweringError, Target, lower_module
from eqsat.shapes import sym

n = sym("n")


def test_unoptimised_module_is_lowered_op_by_op(check: Any, random: Any) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (n, 6), "float32")
    h = bb.call(ALL_OPS["nn.relu"], bb.call(ALL_OPS["matmul"], x, random(6, 9)))
    y = bb.call(ALL_OPS["nn.softmax"], bb.call(ALL_OPS["add"], h, random(9)))
    program = check(bb.module(y), random(5, 6), n=5)
    assert [launch.label for launch in program.launches] == ["matmul", "relu", "add", "softmax"]
    assert program.symbols == ("n",)


def test_two_outputs_and_a_returned_input(check: Any, random: Any) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 6), "float32")
    y = bb.call(ALL_OPS["nn.relu"], x)
    program = check(bb.module([y, x, bb.call(ALL_OPS["exp"], y)]), random(4, 6))
    assert program.is_tuple
    assert [program.slots[o].kind for o in program.outputs] == ["output", "input", "output"]


def test_reshapes_are_aliases(check: Any, random: Any) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 6), "float32")
    flat = bb.call(ALL_OPS["reshape"], x, (24,))
    y = bb.call(ALL_OPS["reshape"], bb.call(ALL_OPS["nn.relu"], flat), (2, 12))
    program = check(bb.module(y), random(4, 6))
    assert [launch.label for launch in program.launches] == ["relu"]
    assert program.workspace_bytes == 0


def test_returned_view_of_an_input_is_a_copy(check: Any, random: Any) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 6), "float32")
    program = check(bb.module(bb.call(ALL_OPS["reshape"], x, (24,))), random(4, 6))
    assert [launch.label for launch in program.launches] == ["copy"]


def test_value_and_its_view_are_both_returned(check: Any, random: Any) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 6), "float32")
    y = bb.call(ALL_OPS["nn.relu"], x)
    check(bb.module([y, bb.call(ALL_OPS["reshape"], y, (24,))]), random(4, 6))
    check(bb.module([bb.call(ALL_OPS["reshape"], y, (24,)), y]), random(4, 6))


def test_split_has_several_outputs(check: Any, random: Any) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 6), "float32")
    parts = bb.call(ALL_OPS["split"], x, indices_or_sections=2, axis=1)
    a, b = bb.get_item(parts, 0), bb.get_item(parts, 1)
    check(bb.module(bb.call(ALL_OPS["multiply"], a, b)), random(4, 6))


def test_equal_kernels_are_one_function(check: Any, random: Any) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 6), "float32")
    for _ in range(3):
        x = bb.call(ALL_OPS["nn.relu"], bb.call(ALL_OPS["matmul"], x, random(6, 6)))
    program = check(bb.module(x), random(4, 6))
    assert len({launch.func for launch in program.launches}) == 2


def test_one_weight_is_packed_once(check: Any, random: Any) -> None:
    bb = BlockBuilder()
    x, w = bb.input("x", (4, 6), "float32"), Constant(random(6, 6))
    for _ in range(2):
        x = bb.call(ALL_OPS["matmul"], x, w)
    program = check(bb.module(x), random(4, 6))
    assert len([s for s in program.slots if s.name.endswith("packed")]) == 1


def test_workspace_is_reused() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (64, 64), "float32")
    for _ in range(8):
        x = bb.call(ALL_OPS["nn.softmax"], x)
    program = lower_module(bb.module(x), target=Target())
    assert program.workspace_bytes == 2 * 64 * 64 * 4


def test_operator_without_loops_is_an_error() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4,), "float32")
    module = bb.module(bb.call(ALL_OPS["sort"], x))
    with pytest.raises(LoweringError, match=r"sort in kernel sort has no loop-level meaning"):
        lower_module(module, target=Target())


def test_narrow_floats(random: Any) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 6), "float16")
    y = bb.call(ALL_OPS["matmul"], x, random(6, 6).astype(np.float16))
    assert lower_module(bb.module(y), target=Target()).launches


def test_symbol_that_no_input_binds_is_an_error() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (1, 4), "float32")
    module = bb.module(bb.call(ALL_OPS["broadcast_to"], x, (n, 4)))
    with pytest.raises(LoweringError, match=r"no input's shape has n"):
        lower_module(module, target=Target())


def test_view_of_a_constant_is_a_constant(check: Any, random: Any) -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 6), "float32")
    w = bb.call(ALL_OPS["reshape"], Constant(random(3, 2, 5)), (6, 5))
    program = check(bb.module(bb.call(ALL_OPS["matmul"], x, w)), random(4, 6))
    assert any(s.name.endswith("packed") for s in program.slots)
