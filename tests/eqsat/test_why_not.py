"""`why_not` names the first thing that keeps a rule from firing."""

from __future__ import annotations

import json
from typing import Annotated

import numpy as np
import pytest

import eqsat
from eqsat.ir import BlockBuilder, IRModule, op
from eqsat.rules import (
    Pattern,
    Phase,
    RuleError,
    RuleSet,
    Sides,
    Tensor,
    is_constant,
    ops,
    rank_is,
    tensor,
)
from eqsat.shapes import sym

mine = RuleSet("mine")
MK = Annotated[Pattern, tensor("m k")]
KN = Annotated[Pattern, tensor("k n")]


@mine.rule(source="definition")
def twice(x: Tensor) -> Sides:
    return ops.nn.relu(ops.nn.relu(x)), ops.nn.relu(x)


@mine.rule(source="definition", when=[rank_is("x", 2)])
def twice_of_matrices(x: Tensor) -> Sides:
    return ops.nn.relu(ops.nn.relu(x)), ops.nn.relu(x)


@mine.rule(source="definition")
def twice_of_products(x: MK, y: KN) -> Sides:
    return ops.nn.relu(ops.nn.relu(x @ y)), ops.nn.relu(x @ y)


@mine.rule(source="definition", when=[is_constant("x")])
def twice_of_constants(x: Tensor) -> Sides:
    return ops.nn.relu(ops.nn.relu(x)), ops.nn.relu(x)


def program(*names: str, rank: int = 3) -> IRModule:
    """Return unary operators, one after the other, on a tensor of symbolic size."""
    bb = BlockBuilder()
    x = bb.input("x", (sym("n"), *range(4, 3 + rank)), "float32")
    for name in names:
        x = bb.call(op(name), x)
    return bb.module(x)


ONLY = {"rules": (RuleSet("none"),), "num_threads": 2}


def nearest(rule: object, mod: IRModule, **options: object) -> object:
    """Return the nearest place."""
    found = eqsat.why_not(rule, mod, **{**ONLY, **options}).nearest
    assert found is not None
    return found


def test_another_operator_inside() -> None:
    place = nearest(twice, program("exp", "nn.relu"))
    assert (place.verdict, place.kind) == ("no match", "operator")
    assert "nn.relu is expected, there is lv: float32[n, 4, 5], made by exp" in place.reason
    assert place.at == "lv1: float32[n, 4, 5]"


def test_the_operator_does_not_occur() -> None:
    answer = eqsat.why_not(twice, program("exp"), **ONLY)
    assert not answer.places
    assert "No value of the program is made by nn.relu" in str(answer)
    assert "exp" in answer.notes[-1]


def test_a_condition_with_its_values() -> None:
    place = nearest(twice_of_matrices, program("nn.relu", "nn.relu"))
    assert place.kind == "guard"
    assert "rank_is(x, 2) does not hold: The rank is exactly" in place.reason
    assert "x is x: float32[n, 4, 5]" in place.reason


def test_the_first_condition_that_fails_is_named() -> None:
    place = nearest(twice_of_constants, program("nn.relu", "nn.relu"))
    assert "is_constant(x) does not hold" in place.reason


def test_an_attribute() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 5), "float32")
    y = bb.call(op("negative"), bb.call(op("sum"), x, axis=[0], keepdims=True))
    rules = RuleSet("rules")

    @rules.rule(source="none", when=[rank_is("x", 2)])
    def negative_of_sum(x: Tensor) -> Sides:
        return (
            ops.negative(ops.sum(x, axis=(0,), keepdims=False)),
            ops.sum(ops.negative(x), axis=(0,), keepdims=False),
        )

    place = nearest(negative_of_sum, bb.module(y), rules=(RuleSet("r"),))
    assert place.kind == "attribute"
    assert "keepdims=False is expected" in place.reason


def test_an_axis_letter_with_both_sizes() -> None:
    bb = BlockBuilder()
    x, y = bb.input("x", (2, 3, 4), "float32"), bb.input("y", (4, 5), "float32")
    z = bb.call(op("nn.relu"), bb.call(op("nn.relu"), bb.call(op("matmul"), x, y)))
    place = nearest(twice_of_products, bb.module(z))
    assert place.kind == "shape"
    assert "x must have the axes (m k), its rank is 3" in place.reason


def test_chosen_and_not_chosen_and_limits() -> None:
    mod = program("nn.relu", "nn.relu")
    assert nearest(twice, mod).verdict == "chosen"
    rules = RuleSet("worse", Phase.EXPLORE)

    @rules.rule(source="ln and exp are inverse")
    def relu_detour(x: Tensor) -> Sides:
        return ops.nn.relu(x), ops.nn.relu(ops.nn.relu(ops.nn.relu(x)))

    place = nearest(relu_detour, program("nn.relu"), rules=(rules,))
    assert place.verdict == "costs more"
    short = eqsat.why_not(twice, mod, limits=eqsat.Limits(iterations=0), **ONLY)
    assert short.nearest is not None
    assert short.nearest.verdict == "limits"
    assert "rounds" in short.nearest.reason


def test_what_other_rules_made_is_looked_at() -> None:
    place = nearest(twice, program("nn.relu", "negative", "negative", "nn.relu"), rules=None)
    assert place.verdict == "chosen"
    assert "after other rules" in place.reason


def test_it_agrees_with_the_engine_on_every_rule_that_fired() -> None:
    """Where the report counts matches of a rule, `why_not` must see them too."""
    from tests.test_determinism import MODELS

    mod = eqsat.from_onnx(MODELS["bert"]())
    fired = eqsat.optimize(mod, num_threads=2).report.matches
    names = sorted(fired)[::7]
    assert len(names) > 3
    ring = {r.name for s in eqsat.default_rules() if s.name == "ring" for r in s.rules}
    for name in names:
        if name not in ring:
            answer = eqsat.why_not(name, mod, num_threads=2)
            assert answer.matched or not answer.places, str(answer)


def test_names_and_json() -> None:
    with pytest.raises(RuleError, match="no rule is called 'relu_twise'; near it: relu_twice"):
        eqsat.why_not("relu_twise", program("nn.relu"))
    data = eqsat.why_not("relu_twice", program("nn.relu", "nn.relu"), num_threads=2).as_dict()
    assert json.loads(json.dumps(data))["places"][0]["verdict"] == "chosen"
    assert np.isfinite(data["places"][0]["depth"])
