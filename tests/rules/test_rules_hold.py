"""Every rule that ships holds, its certificate is of this text, and false rules are rejected."""

from __future__ import annotations

import pytest

from eqsat.rules import SHIPPED_RULE_SETS, Rule, RuleSet
from eqsat.rules._check import Certificate, Kind, Rejection, check_rule, read_certificates
from eqsat.rules._fingerprint import operators_hash, rule_hash
from eqsat.rules._known_false import known_false

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


@pytest.mark.parametrize("rule", known_false.rules, ids=lambda r: r.name)
def test_false_rule_is_rejected(rule: Rule) -> None:
    result = check_rule(rule)
    assert isinstance(result, Rejection)
    assert result.kind is not Kind.UNTESTED


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", known_false.rules[:6], ids=lambda r: r.name)
def test_false_rule_is_rejected_for_any_seed(rule: Rule, seed: int) -> None:
    assert isinstance(check_rule(rule, seed), Rejection)


def test_names_are_unique() -> None:
    names = [w.name for s in SHIPPED_RULE_SETS for r in s.rules for w in r.rewrites]
    assert len(names) == len(set(names))
