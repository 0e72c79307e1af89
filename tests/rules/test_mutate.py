"""The checker rejects rules that were changed in one place."""

from __future__ import annotations

from collections import Counter
from random import Random

from eqsat.rules import EXACT, REASSOCIATES, RuleSet, Sides, Tensor, types_agree
from eqsat.rules._mutate import LEAST_SCORE, all_mutants, fate_of, mutants, score, why_equal

SAMPLE = 200


def test_a_sample_of_mutants_is_rejected() -> None:
    counted = [m for m in all_mutants() if why_equal(m) is None]
    sample = Random(7).sample(counted, SAMPLE)
    fates = [fate_of(m) for m in sample]
    survivors = [str(m) for m, f in zip(sample, fates, strict=True) if f == "survived"]
    assert score(fates) >= LEAST_SCORE, survivors
    assert Counter(fates)["never fires"] < SAMPLE // 20


def test_every_way_to_change_a_rule() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test", numerics=REASSOCIATES, when=[types_agree])
    def scaled_difference(x: Tensor, y: Tensor) -> Sides:
        return (x - y) * 2, x * 2 - y * 2

    changes = {m.change for m in mutants(scaled_difference)}
    assert {
        "without _types_agree",
        "right side: add instead of subtract",
        "right side: operands of subtract swapped",
        "right side: multiply of y instead of x",
        "right side: multiply of 3 instead of 2",
        "right side: subtract dropped, multiply(x, 2) stays",
    } <= changes
    assert all(fate_of(m) == "rejected" for m in mutants(scaled_difference))


def test_a_mutant_that_is_a_true_rule_survives() -> None:
    mine = RuleSet("mine")

    @mine.rule(source="test", numerics=EXACT, when=[types_agree])
    def add_nothing(x: Tensor) -> Sides:
        return x - 0, x

    (added,) = (m for m in mutants(add_nothing) if "add instead" in m.change)
    assert fate_of(added) == "equal"
    assert why_equal(added) == "it is add_zero, which ships"
