"""Sums and products by their normal form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eqsat._saturate import saturate
from eqsat._snapshot import Snapshot
from eqsat.ir import BlockBuilder, Var, op
from eqsat.rules import RuleSet
from eqsat.rules.ring import ring
from eqsat.shapes import sym
from tests.coverage._programs import program


def classes(text: str, *rule_sets: RuleSet, **inputs: str) -> Snapshot:
    function = program(text, **(inputs or dict.fromkeys("xyz", "n 4")))().relax_function("main")
    return saturate(function, rule_sets or [ring])[0]


def are_one(text: str, *rule_sets: RuleSet, **inputs: str) -> bool:
    left, right = classes(text, *rule_sets, **inputs).outputs
    return left == right


def test_a_long_sum_in_another_order_needs_no_new_e_nodes() -> None:
    bb = BlockBuilder()
    xs = [bb.input(f"x{i}", (sym("n"),), "float32") for i in range(12)]

    def total(terms: list[Var]) -> Var:
        result = terms[0]
        for x in terms[1:]:
            result = bb.call(op("add"), result, x)
        return result

    function = bb.function([total(xs), total(xs[::-1])])
    snapshot, report = saturate(function, [ring])
    assert snapshot.outputs[0] == snapshot.outputs[1]
    assert report.num_nodes == 12 + 2 * 11
    assert report.matches == {"sum_associates": 1}


@pytest.mark.parametrize(
    ("text", "law"),
    [
        ("[x + y, y + x]", "sum_commutes"),
        ("[x + (y + z), (z + x) + y]", "sum_associates"),
        ("[x * y, y * x]", "product_commutes"),
        ("[x * (y * z), (z * x) * y]", "product_associates"),
        ("[x * (y - z), x * y - z * x]", "product_distributes"),
        ("[x + x, x * 2.0]", "like_terms_join"),
        ("[(x + y) + x, x * 2.0 + y]", "like_terms_join"),
    ],
)
def test_the_law_is_named(text: str, law: str) -> None:
    snapshot = classes(text)
    assert snapshot.outputs[0] == snapshot.outputs[1]
    assert law in snapshot.classes[snapshot.outputs[0]].collapsed_by


@pytest.mark.parametrize(
    "text",
    [
        "[(x - x) + y, y + 0.0 * z]",  # x - x is NaN where x is infinite
        "[(x + y) - y, x * 1.0]",
        "[x - y, y - x]",
        "[x * y, x + y]",
        "[x * 0.5, x * 0.25]",
    ],
)
def test_what_differs_stays_apart(text: str) -> None:
    assert not are_one(text)


def test_values_of_different_shapes_stay_apart() -> None:
    # As polynomials both are x: the product with ones repeats it.
    assert not are_one("[x * ones((n, 4), 'float32'), x * 1.0]", x="4", y="n 4")


def test_all_laws_are_needed() -> None:
    for law in ring.rules:
        fewer = replace(ring, rules=[r for r in ring.rules if r is not law])
        assert not are_one("[x + y, y + x]", fewer)


def test_a_large_polynomial_is_an_atom() -> None:
    inputs = {f"x{i}": "n" for i in range(8)}
    left = "(x0 + x1 + x2 + x3) * (x4 + x5 + x6 + x7)"
    right = "(x3 + x2 + x1 + x0) * (x4 + x5 + x6 + x7)"
    # The factors are one class, so the products are, though neither is multiplied out.
    assert are_one(f"[{left}, {right}]", **inputs)
