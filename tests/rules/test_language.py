"""The rule language: tracing, spelling, errors, conditions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest

from eqsat.ir import TensorType
from eqsat.rules import (
    ROUNDING,
    AttrConst,
    Bindings,
    BuiltNumber,
    BuiltOp,
    Dims,
    Float,
    IntAttr,
    Number,
    NumberLit,
    OpTerm,
    Pattern,
    PatVar,
    RuleError,
    RuleSet,
    Sides,
    Tensor,
    compute,
    is_constant,
    load_rules,
    ops,
    rank_is,
    resolve,
    tensor,
    types_agree,
)
from eqsat.rules._check import Certificate, Rejection, check_rule
from eqsat.shapes import EqsatError, sym

MatrixMK = Annotated[Pattern, tensor("m k")]
MatrixKN = Annotated[Pattern, tensor("k n")]


def test_sides_are_data() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test")
    def relu_of_doubled(x: Float) -> Sides:
        return ops.nn.relu(x * 2), ops.nn.relu(x) * 2

    (lhs,), (rhs,) = relu_of_doubled.sides
    assert lhs == OpTerm("nn.relu", (OpTerm("multiply", (PatVar("x"), NumberLit(2.0)), ()),), ())
    assert str(rhs) == "multiply(nn.relu(x), 2)"


def test_omitted_attributes_are_defaults() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test")
    def log_softmax(x: Float) -> Sides:
        return ops.log(ops.nn.softmax(x)), ops.nn.log_softmax(x)

    (lhs,), _ = log_softmax.sides
    assert isinstance(lhs, OpTerm)
    inner = lhs.operands[0]
    assert isinstance(inner, OpTerm)
    assert inner.attrs == (("axis", AttrConst(-1)),)


def test_commutative_operands_are_spelled_both_ways_but_constants_stay_right() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test", when=[is_constant("c")])
    def product(x: Tensor, y: Tensor, c: Tensor) -> Sides:
        return (x + ops.exp(y)) * c, x * c + ops.exp(y) * c

    assert [str(w.lhs[0]) for w in product.rewrites] == [
        "multiply(add(x, exp(y)), c)",
        "multiply(add(exp(y), x), c)",
    ]
    assert [w.name for w in product.rewrites] == ["product", "product_2"]


def test_both_ways_makes_the_reverse() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test", both_ways=True)
    def doubled(x: Tensor) -> Sides:
        return ops.exp(-x), 1 / ops.exp(x)

    assert [w.name for w in doubled.rewrites] == ["doubled", "doubled_reversed"]


def test_resolve_infers_types_and_numbers() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test")
    def product(a: MatrixMK, b: MatrixKN) -> Sides:
        return ops.exp(a @ b), 1 + a @ b

    n = sym("n")
    types = {"a": TensorType((n, 4), "float16"), "b": TensorType((4, 3), "float16")}
    expected = TensorType((n, 3), "float16")
    built = resolve(product.rewrites[0], Bindings(types), (expected,))
    assert built is not None
    assert isinstance(built[0], BuiltOp)
    assert built[0].type == expected
    one = built[0].operands[0]
    assert isinstance(one, BuiltNumber)
    assert str(one.value.dtype) == "float16"


def test_resolve_fails_closed_on_unknown_sizes() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test")
    def product(a: MatrixMK, b: MatrixKN) -> Sides:
        return ops.exp(a @ b), 1 + a @ b

    types = {"a": TensorType((2, sym("p")), "float32"), "b": TensorType((sym("q"), 3), "float32")}
    expected = TensorType((2, 3), "float32")
    assert resolve(product.rewrites[0], Bindings(types), (expected,)) is None


def test_number_bounds() -> None:
    assert NumberLit(0.5).bounds == (0.5, 0.5)
    low, high = NumberLit(0.7071067811865476).bounds
    assert low < 0.70710677 < high


def _unbound(x: Tensor, y: Tensor) -> Sides:
    return ops.exp(x), x + y


def _everything(x: Tensor) -> Sides:
    return x, ops.exp(x)


def _bare(x: int) -> Sides:
    return ops.exp(x), x


def _unknown(x: Tensor) -> Sides:
    return ops.expp(x), x


def _half(x: Tensor) -> Pattern:
    return ops.exp(x)


@pytest.mark.parametrize(
    ("fn", "text"),
    [
        (_unbound, "y not bound by the left side"),
        (_everything, "x alone matches everything"),
        (_bare, "rule _bare: annotate x with a pattern type"),
        (_unknown, "there is no operator 'expp'"),
        (_half, "must return"),
    ],
)
def test_errors_name_rule_and_place(fn: Callable[..., object], text: str) -> None:
    mine = RuleSet("mine")
    mine.rule(source="test")(fn)
    with pytest.raises(EqsatError, match=text):
        _ = mine.rules[0].rewrites


def test_condition_needs_a_bound_variable() -> None:
    def relu_again(x: Tensor) -> Sides:
        return ops.nn.relu(ops.nn.relu(x)), ops.nn.relu(x)

    mine = RuleSet("mine")
    mine.rule(source="test", when=[rank_is("z", 2)])(relu_again)
    with pytest.raises(RuleError, match="z not bound"):
        _ = mine.rules[0].rewrites


def test_duplicate_name() -> None:
    mine = RuleSet("mine")

    def same(x: Tensor) -> Sides:
        return ops.negative(-x), x

    mine.rule(source="test")(same)
    with pytest.raises(RuleError, match="already has a rule same"):
        mine.rule(source="test")(same)


def test_checker_reports_guards() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test", when=[rank_is("x", 2), types_agree])
    def transpose(x: Tensor) -> Sides:
        return ops.permute_dims(x, axes=(1, 0)), ops.permute_dims(x)

    result = check_rule(transpose)
    assert isinstance(result, Certificate)
    assert result.guards == {"rank_is(x, 2)": "not seen needed", "types_agree": "not seen needed"}
    assert result.symbolic > 0


def test_checker_rejects_what_never_fires() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test", when=[rank_is("x", 9)])
    def negate(x: Float) -> Sides:
        return ops.negative(-x), x

    result = check_rule(negate)
    assert isinstance(result, Rejection)
    assert "never instantiated" in result.reason


def _first(k: int) -> int:
    return k


def test_attribute_variables_and_shapes() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test", numerics=ROUNDING)
    def softmax(x: Float, k: IntAttr, s: Dims, c: Number) -> Sides:
        inner = ops.nn.softmax(ops.reshape(x, s) + c, axis=k)
        return ops.log(inner), ops.nn.log_softmax(ops.reshape(x, s) + c, axis=compute(_first, k))

    assert isinstance(check_rule(softmax), Certificate)


USER_FILE = """
from eqsat.rules import EXACT, RuleSet, Sides, Tensor, ops

mine = RuleSet("mine")


@mine.rule(numerics=EXACT, source="my own")
def abs_twice(x: Tensor) -> Sides:
    return ops.abs(ops.abs(x)), ops.abs(x)
"""


def test_user_file(tmp_path: Path) -> None:
    file = tmp_path / "own_rules.py"
    file.write_text(USER_FILE)
    (mine,) = load_rules(file)
    assert [r.name for r in mine.rules] == ["abs_twice"]
    assert isinstance(check_rule(mine.rules[0]), Certificate)
    with pytest.raises(RuleError, match="no Python file with rules"):
        load_rules(tmp_path / "missing.py")


def test_import_is_light() -> None:
    heavy = ["egglog", "sympy", "onnx", "llvmlite", "highspy", "rich"]
    code = f"import sys, eqsat.rules; print([m for m in {heavy} if m in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"
