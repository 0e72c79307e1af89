"""Programs that have a form, out of e-graphs built by hand."""

from __future__ import annotations

from typing import Any

from eqsat._guide import SketchGoal
from eqsat._snapshot import Snapshot
from eqsat.extract import REFERENCE_PROFILE, Sizes, extract
from eqsat.rules import Float, Pattern, Tensor, ops, sketch
from tests.extract.conftest import GraphBuilder


@sketch()
def a_sigmoid(x: Float) -> Pattern:
    return ops.sigmoid(x)


@sketch()
def negated(x: Float) -> Pattern:
    return -x


def operators(snapshot: Snapshot, goal: SketchGoal) -> list[str]:
    """Return the operators of the program that the goal takes."""
    assert goal.is_reached(snapshot)
    assert goal.found is not None
    _, cover = goal.found
    return sorted(n.op for k in cover.kernels for n in k.nodes.values())


def goal_of(form: Any) -> SketchGoal:
    return SketchGoal(form, REFERENCE_PROFILE, {})


def test_where_the_cheapest_program_lacks_the_form_a_way_to_it_is_forced() -> None:
    b: Any = GraphBuilder()
    x = b.input(1000, 1000)
    y = b.call("exp", x)
    b.call("tanh", b.call("sigmoid", b.call("log", x)), rule="r", into=y)
    snapshot = b.snapshot(b.call("abs", y))
    plain = extract(snapshot, REFERENCE_PROFILE, Sizes.of(snapshot, {}))
    assert [n.op for k in plain.kernels for n in k.nodes.values() if n.op == "sigmoid"] == []
    assert operators(snapshot, goal_of(a_sigmoid)) == ["abs", "log", "sigmoid", "tanh"]


def test_the_nearest_form_that_leaves_the_outputs_computable_is_taken() -> None:
    """The first sigmoid needs the output itself; the second does not."""
    b: Any = GraphBuilder()
    x = b.input(1000, 1000)
    y = b.call("exp", x)
    b.call("tanh", b.call("sigmoid", y), rule="r", into=y)
    b.call("tanh", b.call("abs", b.call("sigmoid", x)), rule="r", into=y)
    assert operators(b.snapshot(y), goal_of(a_sigmoid)) == ["abs", "sigmoid", "tanh"]


def test_a_form_that_needs_the_output_is_none() -> None:
    b: Any = GraphBuilder()
    x = b.input(1000, 1000)
    y = b.call("exp", x)
    b.call("tanh", b.call("sigmoid", y), rule="r", into=y)
    assert not goal_of(a_sigmoid).is_reached(b.snapshot(y))


def test_forms_that_need_each_other_are_not_all_forced() -> None:
    b: Any = GraphBuilder()
    x = b.input(1000, 1000)
    y = b.call("exp", x)
    z = b.call("negative", y)
    b.call("negative", z, rule="r", into=y)
    u = b.call("log", x)
    b.call("negative", b.call("abs", x), rule="r", into=u)
    found = operators(b.snapshot(y, z, u), goal_of(negated))
    assert found.count("negative") == 2  # one of the circle, and one beside it
    assert "exp" in found or "abs" in found


def test_one_value_in_two_forms_at_once_is_no_form() -> None:
    b: Any = GraphBuilder()
    x = b.input(1000, 1000)
    y = b.call("exp", x)
    b.call("abs", x, rule="r", into=y)

    @sketch()
    def both(x: Tensor) -> Pattern:
        return ops.exp(x) * ops.abs(x)

    snapshot = b.snapshot(b.call("multiply", y, y))
    assert not goal_of(both).is_reached(snapshot)
    miss = goal_of(both).miss(snapshot, "saturated")
    assert "matches, but no program can compute it that way" in miss.text
