"""The rule sets that ship, and loading a user's own from a file."""

from __future__ import annotations

import importlib.util
import traceback
from pathlib import Path
from typing import Any

from eqsat.rules._rule import Rule, RuleSet, Sketch
from eqsat.rules._terms import RuleError
from eqsat.rules.algebra import algebra, constants
from eqsat.rules.approximate import approximate
from eqsat.rules.attention import attention, fused_attention
from eqsat.rules.blocks import blocks
from eqsat.rules.broadcasts import broadcasts
from eqsat.rules.clamps import clamps
from eqsat.rules.composites import composites
from eqsat.rules.concatenation import concatenation
from eqsat.rules.convolution import convolution, merged_convolutions
from eqsat.rules.cuts import cuts
from eqsat.rules.einsum import einsum
from eqsat.rules.indexing import indexing
from eqsat.rules.layouts import layouts
from eqsat.rules.linearity import linearity
from eqsat.rules.logic import logic
from eqsat.rules.mixed_precision import half_precision, mixed_precision
from eqsat.rules.movement import movement
from eqsat.rules.operands import operands
from eqsat.rules.other_convolutions import other_convolutions
from eqsat.rules.products import linear_layers, merged_products, products
from eqsat.rules.quantized import quantized
from eqsat.rules.quotients import quotients
from eqsat.rules.reduced_views import reduced_views
from eqsat.rules.reductions import merged_reductions, reductions
from eqsat.rules.resizing import resizing
from eqsat.rules.ring import ring
from eqsat.rules.sinking import sinking
from eqsat.rules.spelling import spelling
from eqsat.rules.splits import splits
from eqsat.rules.uniform import uniform
from eqsat.shapes import EqsatError

ALL_RULE_SETS: tuple[RuleSet, ...] = (
    algebra,
    constants,
    ring,
    spelling,
    clamps,
    logic,
    quotients,
    composites,
    linear_layers,
    einsum,
    attention,
    movement,
    uniform,
    sinking,
    broadcasts,
    indexing,
    cuts,
    concatenation,
    splits,
    reductions,
    reduced_views,
    products,
    operands,
    convolution,
    other_convolutions,
    layouts,
    resizing,
    linearity,
    blocks,
    merged_products,
    merged_convolutions,
    merged_reductions,
)

"""The rule sets that `optimize` uses unless told otherwise."""

OPTIONAL_RULE_SETS: tuple[RuleSet, ...] = (
    approximate,
    mixed_precision,
    half_precision,
    quantized,
    fused_attention,
)
"""The rule sets that ship and are never used unless named."""

SHIPPED_RULE_SETS = (*ALL_RULE_SETS, *OPTIONAL_RULE_SETS)


def all_rules() -> tuple[Rule, ...]:
    """Return every rule that ships, set by set."""
    return tuple(r for s in SHIPPED_RULE_SETS for r in s.rules)


def _line_of(error: Exception, file: Path) -> str:
    """Return ":line" of the last place in `file` that the error passed."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename).absolute() == file.absolute()]
    return f":{lines[-1]}" if lines else ""


def load_rules(path: str | Path) -> tuple[RuleSet, ...]:
    """Run a Python file and return the rule sets it defines at module level.

    The name of one of `OPTIONAL_RULE_SETS`, such as "mixed_precision", gives that one.

    Raises:
        RuleError: the file is missing, fails, or defines no rule set.
    """
    if named := tuple(s for s in OPTIONAL_RULE_SETS if s.name == str(path)):
        return named
    if not Path(path).is_file():
        names = ", ".join(s.name for s in OPTIONAL_RULE_SETS)
        raise RuleError(f"no Python file with rules at {path}; the sets with a name are {names}")
    shipped = {id(s) for s in SHIPPED_RULE_SETS}
    found = (v for v in _run_file(Path(path)).values() if isinstance(v, RuleSet))
    own = tuple(s for s in found if id(s) not in shipped)
    if not own:
        raise RuleError(
            f'{path} defines no RuleSet; write mine = RuleSet("mine") and @mine.rule(...)'
        )
    return own


def load_sketches(path: str | Path) -> tuple[Sketch, ...]:
    """Run a Python file and return the sketches it defines at module level, in order.

    Raises:
        RuleError: the file is missing, fails, or defines no sketch.
    """
    if not Path(path).is_file():
        raise RuleError(f"no Python file with sketches at {path}")
    found = tuple(v for v in _run_file(Path(path)).values() if isinstance(v, Sketch))
    if not found:
        raise RuleError(f"{path} defines no sketch; write @sketch() above a function")
    return found


def _run_file(file: Path) -> dict[str, Any]:
    """Run a Python file and return what it defines at module level."""
    spec = importlib.util.spec_from_file_location(f"eqsat_rules_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise RuleError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except EqsatError:
        raise
    except Exception as error:  # whatever a user's file may raise
        line = _line_of(error, file)
        raise RuleError(f"{file}{line}: {type(error).__name__}: {error}") from error
    return vars(module)
