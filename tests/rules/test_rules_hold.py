"""Every rule that ships holds, its certificate is of this text, and false rules are rejected."""

from __future__ import annotations

import pytest

from eqsat.rules import SHIPPED_RULE_SETS, Rule, RuleSet
from eqsat.rules._check import Certificate, Kind, Rejection, check_rule, read_certificates
from eqsat.rules._fingerprint import operators_hash, rule_hash
from eqsat.rules._known_false import known_false
from eqsat.rules._known_false_more import wrong_types, wrong_values

RULES = [(s, r) for s in SHIPPED_RULE_SETS for r in s.rules]
NAMES = [f"{s.name}.{r.name}" for s, r in RULES]
HINT = "run python -m eqsat.rules._check --write"


@pytest.mark.parametrize(("rule_set", "rule"), RULES, ids=NAMES)
def test_rule_holds_as_certified(rule_set: RuleSet, rule: Rule) -> None:
    result = check_rule(rule)
    assert isinstance(result, Certificate), str(result)
    assert not result.idle
    kept = read_certificates(rule_set)
    assert kept.get(rule.name) == result, HINT


@pytest.mark.parametrize("rule_set", SHIPPED_RULE_SETS, ids=lambda s: s.name)
def test_certificates_are_of_these_rules_and_operators(rule_set: RuleSet) -> None:
    kept = read_certificates(rule_set)
    assert set(kept) == {r.name for r in rule_set.rules}, HINT
    for rule in rule_set.rules:
        certificate = kept[rule.name]
        assert certificate.text_hash == rule_hash(rule), f"{rule.name}: {HINT}"
        assert certificate.operators_hash == operators_hash(rule), f"{rule.name}: {HINT}"


ILL_TYPED = {
    *("concat_of_sums", "concat_of_products", "permute_of_permute_in_wrong_order"),
    "concat_of_split_elsewhere",
    *("add_of_broadcast_everywhere", "add_zero_of_any_shape", "grouped_input_scale_into_kernel"),
    "sum_of_sum_without_renumbering",
}
FALSE_RULES = [
    *((r, Kind.TYPES if r.name in ILL_TYPED else Kind.VALUES) for r in known_false.rules),
    *((r, Kind.VALUES) for r in wrong_values.rules),
    *((r, Kind.TYPES) for r in wrong_types.rules),
]


@pytest.mark.parametrize(("rule", "kind"), FALSE_RULES, ids=lambda v: getattr(v, "name", ""))
def test_false_rule_is_rejected_for_what_is_wrong_with_it(rule: Rule, kind: Kind) -> None:
    result = check_rule(rule)
    assert isinstance(result, Rejection)
    assert result.kind is kind, str(result)
    assert result.instance


@pytest.mark.parametrize("seed", range(3))
def test_false_rules_are_rejected_for_any_seed(seed: int) -> None:
    assert [r.name for r, _ in FALSE_RULES if isinstance(check_rule(r, seed), Certificate)] == []


def test_false_rules_are_many() -> None:
    assert len(FALSE_RULES) >= 90
    assert len({r.name for r, _ in FALSE_RULES}) == len(FALSE_RULES)


def test_names_are_unique() -> None:
    names = [w.name for s in SHIPPED_RULE_SETS for r in s.rules for w in r.rewrites]
    assert len(names) == len(set(names))
