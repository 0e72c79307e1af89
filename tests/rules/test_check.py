"""What the checker sees: unknown sizes, matches that do not pay, broken values, idle guards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from eqsat.ir import AttrValue
from eqsat.rules import IntsAttr, Known, Rule, RuleSet, Sides, Tensor, compute, ops, profit, rank_is
from eqsat.rules._check import Certificate, Kind, Rejection, check_files, check_rule, table
from eqsat.rules._fingerprint import operators_hash, rule_hash
from eqsat.rules.products import products


def test_a_guard_that_only_unknown_sizes_need() -> None:
    (rule,) = (r for r in products.rules if r.name == "product_with_broadcast_weight")
    result = check_rule(replace(rule, when=rule.when[1:]))
    assert isinstance(result, Rejection)
    assert result.kind is Kind.TYPES
    assert result.reason.startswith("with sizes unknown to the guard")


@profit
def has_two_axes(x: Known) -> bool:
    return x.ndim == 2


def test_a_profit_that_truth_needs_is_found() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test", when=[has_two_axes("x")])
    def reverse(x: Tensor) -> Sides:
        return ops.permute_dims(x), ops.permute_dims(x, axes=(1, 0))

    result = check_rule(reverse)
    assert isinstance(result, Rejection)
    assert result.kind is Kind.TYPES


def _first_axis(axes: AttrValue) -> tuple[AttrValue, ...]:
    assert isinstance(axes, tuple)  # forgets that None reverses all
    return axes


def test_a_computed_value_that_fails_is_a_verdict() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test")
    def relu_of_permuted(x: Tensor, p: IntsAttr) -> Sides:
        permuted = ops.permute_dims(ops.abs(x), axes=p)
        return permuted, ops.abs(ops.permute_dims(x, axes=compute(_first_axis, p)))

    result = check_rule(relu_of_permuted)
    assert isinstance(result, Rejection)
    assert result.kind is Kind.FAILS


def _hashed(helper: str) -> Rule:
    """Return a rule whose predicate calls a helper of this text."""
    scope: dict[str, Any] = {"__name__": __name__}
    exec(f"def helper(n):\n    return n {helper}\ndef rank(x):\n    return helper(x.ndim)", scope)
    mine = RuleSet("mine")

    @mine.rule(source="test", when=[replace(rank_is("x", 2), fn=scope["rank"])])
    def negate_twice(x: Tensor) -> Sides:
        return ops.negative(-x), x

    return negate_twice


def test_the_hash_covers_what_a_predicate_uses() -> None:
    (rule,) = (r for r in products.rules if r.name == "product_with_broadcast_weight")
    assert rule_hash(rule) != rule_hash(replace(rule, when=rule.when[1:]))
    assert rule_hash(_hashed("== 2")) == rule_hash(_hashed("== 2"))
    assert rule_hash(_hashed("== 2")) != rule_hash(_hashed(">= 2"))
    assert len(operators_hash(rule)) == 16


def test_idle_guards_are_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from eqsat.rules import RuleSet, Sides, Tensor, ops, rank_is\n"
        'mine = RuleSet("mine")\n'
        '@mine.rule(source="me", when=[rank_is("x", 2)])\n'
        "def negate_twice(x: Tensor) -> Sides:\n"
        "    return ops.negative(-x), x\n"
    )
    checked = check_files([file])
    ((_, (verdict,)),) = checked
    assert isinstance(verdict, Certificate)
    assert verdict.idle == ("rank_is(x, 2)",)
    assert "holds, without rank_is(x, 2) too" in table(checked)
