"""The rules as documentation."""

from __future__ import annotations

from eqsat.rules import SHIPPED_RULE_SETS
from eqsat.rules._markdown import rules_markdown


def test_every_rule_has_an_entry() -> None:
    page = rules_markdown()
    for rule_set in SHIPPED_RULE_SETS:
        for rule in rule_set.rules:
            assert f"### {rule.name}\n" in page


def test_terms_read_like_rules() -> None:
    page = rules_markdown()
    assert "    (a @ b) @ c  →  a @ (b @ c)" in page
    assert "    x + 0  →  x" in page
