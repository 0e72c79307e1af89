"""Every rule that ships holds, and its certificate is of this text."""

from __future__ import annotations

import pytest

from eqsat.rules import ALL_RULE_SETS, Rule, RuleSet
from eqsat.rules._check import Certificate, Rejection, check_rule, read_certificates
from eqsat.rules._known_false import known_false

RULES = [(s, r) for s in ALL_RULE_SETS for r in s.rules]
NAMES = [f"{s.name}.{r.name}" for s, r in RULES]


@pytest.mark.parametrize(("rule_set", "rule"), RULES, ids=NAMES)
def test_rule_holds(rule_set: RuleSet, rule: Rule) -> None:
    result = check_rule(rule)
    assert isinstance(result, Certificate), str(result)


@pytest.mark.parametrize(("rule_set", "rule"), RULES, ids=NAMES)
def test_certificate_is_of_this_rule(rule_set: RuleSet, rule: Rule) -> None:
    kept = read_certificates(rule_set)
    hint = "run python -m eqsat.rules._check --write"
    assert rule.name in kept, hint
    assert kept[rule.name].text_hash == rule.text_hash, hint


@pytest.mark.parametrize("rule_set", ALL_RULE_SETS, ids=lambda s: s.name)
def test_no_certificate_without_rule(rule_set: RuleSet) -> None:
    assert set(read_certificates(rule_set)) == {r.name for r in rule_set.rules}


@pytest.mark.parametrize("rule_set", ALL_RULE_SETS, ids=lambda s: s.name)
def test_no_guard_is_idle(rule_set: RuleSet) -> None:
    for certificate in read_certificates(rule_set).values():
        assert set(certificate.guards.values()) <= {"needed", "profit"}, certificate


@pytest.mark.parametrize("rule", known_false.rules, ids=lambda r: r.name)
def test_false_rule_is_rejected(rule: Rule) -> None:
    result = check_rule(rule)
    assert isinstance(result, Rejection)
    assert "never instantiated" not in result.reason


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", known_false.rules[:6], ids=lambda r: r.name)
def test_false_rule_is_rejected_for_any_seed(rule: Rule, seed: int) -> None:
    assert isinstance(check_rule(rule, seed), Rejection)


def test_names_are_unique() -> None:
    names = [w.name for s in ALL_RULE_SETS for r in s.rules for w in r.rewrites]
    assert len(names) == len(set(names))
