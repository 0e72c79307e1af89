"""The conditions of the fusion rules."""

from __future__ import annotations

from typing import assert_never

from eqsat.extract._candidate import Candidate
from eqsat.extract._form import Form
from eqsat.extract._graph import Graph
from eqsat.rules.fusion import (
    BIJECTIVE_VIEWS,
    FUSION_RULES,
    MAX_PROLOGUE_FLOPS,
    MAX_SELECTS,
    Condition,
    FusionRule,
)

_RULES: dict[tuple[str, str], tuple[FusionRule, ...]] = {}
for _rule in FUSION_RULES:
    _key = (_rule.consumer, _rule.producer)
    _RULES[_key] = (*_RULES.get(_key, ()), _rule)


def matching_rule(graph: Graph, form: Form, operand: int, inner: Candidate) -> FusionRule | None:
    """Return the first rule by which `form` takes in `inner` as its operand, None if none does."""
    for rule in _RULES.get((form.kind, inner.template), ()):
        if inner.is_closed and rule.condition != "bijective":
            continue
        if holds(rule.condition, graph, form, operand, inner):
            return rule
    return None


def holds(condition: Condition, graph: Graph, form: Form, operand: int, inner: Candidate) -> bool:
    """Tell whether the condition holds for `form` taking in `inner` as its operand."""
    match condition:
        case "always":
            return True
        case "few_selects":
            return form.selects + inner.selects <= MAX_SELECTS
        case "cheap_prologue":
            few = inner.selects <= MAX_SELECTS
            return few and inner.element_flops <= MAX_PROLOGUE_FLOPS
        case "same_shape":
            return form.aligned[operand]
        case "bijective":
            return form.is_bijective
        case "row_input":
            return form.rows is not None and inner.selects <= MAX_SELECTS
        case "same_rows":
            return _same_rows(graph, form, inner)
        case "row_statistic":
            return _row_statistic(graph, form, inner)
        case _:
            assert_never(condition)


def _same_rows(graph: Graph, form: Form, inner: Candidate) -> bool:
    rows = inner.rows
    if rows is None:
        return False
    produced, result = graph.classes[inner.root].shape, graph.classes[form.root].shape
    if form.kind != "pointwise":
        return form.rows == rows and produced == rows.full
    if result == rows.full:
        return produced == rows.full or rows.is_kept(produced)
    return rows.is_statistic(result) and produced == result


def _row_statistic(graph: Graph, form: Form, inner: Candidate) -> bool:
    rows = inner.rows
    produced, result = graph.classes[inner.root].shape, graph.classes[form.root].shape
    if rows is None or not rows.is_statistic(produced):
        return False
    if form.op == "broadcast_to":
        return rows.is_kept(produced) and result == rows.full
    return form.op in BIJECTIVE_VIEWS and rows.is_statistic(result)
