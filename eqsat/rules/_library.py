"""The rule sets that ship, and loading a user's own from a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from eqsat.rules._rule import Rule, RuleSet
from eqsat.rules._terms import RuleError
from eqsat.rules.algebra import algebra, constants
from eqsat.rules.composites import composites
from eqsat.rules.concatenation import concatenation
from eqsat.rules.convolution import convolution, merged_convolutions
from eqsat.rules.movement import movement
from eqsat.rules.products import merged_products, products
from eqsat.rules.reductions import reductions

ALL_RULE_SETS: tuple[RuleSet, ...] = (
    algebra,
    constants,
    composites,
    movement,
    concatenation,
    reductions,
    products,
    convolution,
    merged_products,
    merged_convolutions,
)


def all_rules() -> tuple[Rule, ...]:
    """Return every rule that ships, set by set."""
    return tuple(rule for rule_set in ALL_RULE_SETS for rule in rule_set.rules)


def load_rules(path: str | Path) -> tuple[RuleSet, ...]:
    """Run a Python file and return the rule sets it defines at module level.

    Raises:
        RuleError: the file is missing or defines no rule set.
    """
    file = Path(path)
    spec = importlib.util.spec_from_file_location(f"eqsat_rules_{file.stem}", file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise RuleError(f"no Python file with rules at {file}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = tuple(v for v in vars(module).values() if isinstance(v, RuleSet))
    shipped = {id(s) for s in ALL_RULE_SETS}
    own = tuple(s for s in found if id(s) not in shipped)
    if not own:
        raise RuleError(
            f'{file} defines no RuleSet; write mine = RuleSet("mine") and @mine.rule(...)'
        )
    return own
