"""Rules over e-graphs: what they find, and when they stop."""

from __future__ import annotations

import gc
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from eqsat._engine import Engine, EngineError, Symbol
from eqsat._explain import rules_used, without_rule
from eqsat._saturate import Limits, saturate
from eqsat._snapshot import ENode, Snapshot
from eqsat.ir import BlockBuilder, Function, op
from eqsat.rules import (
    Float,
    IntsAttr,
    Number,
    Phase,
    RuleError,
    RuleSet,
    Sides,
    Tensor,
    compute,
    is_constant,
    ops,
    types_agree,
)
from eqsat.rules._resolve import Known
from eqsat.shapes import Facts, sym
from tests.eqsat.programs import plain_cover

sums = RuleSet("sums", Phase.EXPLORE)


@sums.rule(source="ring", both_ways=True)
def addition_associates(x: Float, y: Float, z: Float) -> Sides:
    return (x + y) + z, x + (y + z)


@sums.rule(source="ring")
def addition_commutes(x: Float, y: Float) -> Sides:
    return x + y, y + x


def long_sum(count: int) -> Function:
    bb = BlockBuilder()
    xs = [bb.input(f"x{i}", (sym("n"),), "float32") for i in range(count)]
    y = xs[0]
    for x in xs[1:]:
        y = bb.call(op("add"), y, x)
    return bb.function(y)


def shown(snapshot: Snapshot) -> list[object]:
    """Everything in a snapshot that can be compared."""
    return [
        (c.id, c.type, c.is_constant, c.collapsed_by, [node_text(n) for n in c.nodes])
        for c in snapshot.classes.values()
    ]


def node_text(node: ENode) -> tuple[object, ...]:
    return node.op, node.operands, tuple(node.attrs.items()), node.rule, str(node.value)


def ops_of(snapshot: Snapshot, c: int) -> set[str]:
    return {n.op for n in snapshot.classes[c].nodes}


def test_two_runs_are_identical() -> None:
    first, second = (saturate(long_sum(5), [sums])[0] for _ in range(2))
    assert shown(first) == shown(second)


def test_all_orders_of_a_sum_are_found() -> None:
    snapshot, report = saturate(long_sum(4), [sums], limits=Limits(iterations=20))
    # A class per non-empty subset of the four; two ways to join each split of a subset.
    assert len(snapshot.classes) == 15
    assert sum(len(c.nodes) for c in snapshot.classes.values()) == 4 + 50
    assert report.stop == "saturated"
    assert set(report.matches) == {"addition_associates", "addition_commutes"}


@pytest.mark.parametrize(
    ("limits", "stop"),
    [
        (Limits(num_nodes=500, matches=10**6), "num_nodes"),
        (Limits(time_s=0.0), "time_s"),
        (Limits(memory_bytes=1), "memory_bytes"),
    ],
)
def test_limits_stop_with_what_there_is(limits: Limits, stop: str) -> None:
    snapshot, report = saturate(long_sum(12), [sums], limits=limits)
    assert report.stop == stop
    assert report.num_nodes <= 3 * limits.num_nodes
    assert snapshot.classes[snapshot.outputs[0]].nodes[0].rule == ""


def test_iterations_are_bounded() -> None:
    _, report = saturate(long_sum(12), [sums], limits=Limits(iterations=1))
    assert [(p.name, p.iterations) for p in report.phases][1] == ("explore", 1)


def test_a_rule_with_many_matches_rests_and_comes_back() -> None:
    patient = saturate(long_sum(4), [replaced_phase()], limits=Limits(matches=3, iterations=200))[0]
    eager = saturate(long_sum(4), [replaced_phase()], limits=Limits(iterations=200))[0]
    assert len(patient.classes) == len(eager.classes)
    count = [sum(len(c.nodes) for c in s.classes.values()) for s in (patient, eager)]
    assert count[0] == count[1]


def replaced_phase() -> RuleSet:
    return replace(sums, phase=Phase.SIMPLIFY)


def test_one_interrupt_ends_the_search_and_keeps_what_was_found() -> None:
    calls: list[float] = []

    def interrupt(fraction: float) -> None:
        calls.append(fraction)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    snapshot, report = saturate(long_sum(12), [sums], progress=interrupt)
    assert report.interrupted
    assert report.stop == "interrupted"
    assert len(calls) == 1
    assert snapshot.outputs
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_raises() -> None:
    def interrupt(fraction: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        saturate(long_sum(12), [sums], progress=interrupt)


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_garbage_collector_rests_during_a_search(was_enabled: bool) -> None:
    seen: list[bool] = []

    def fail(_: float) -> None:
        seen.append(gc.isenabled())
        raise OSError("the terminal is gone")

    try:
        if not was_enabled:
            gc.disable()
        with pytest.raises(OSError, match="terminal"):
            saturate(long_sum(4), [sums], progress=fail)
        assert seen == [False]
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()


def test_numbers_match_by_value_whatever_their_shape() -> None:
    rules = RuleSet("numbers")

    @rules.rule(source="ring", when=[types_agree])
    def one_is_neutral(x: Tensor) -> Sides:
        return x * 1.0, x

    bb = BlockBuilder()
    x = bb.input("x", (sym("n"), 4), "float32")
    kept = bb.call(op("multiply"), x, np.ones((2, 1, 1), "float32"))
    gone = bb.call(op("multiply"), x, np.ones((1, 4), "float32"))
    snapshot, _ = saturate(bb.function([kept, gone]), [rules])
    assert ops_of(snapshot, snapshot.outputs[0]) == {"multiply"}
    assert ops_of(snapshot, snapshot.outputs[1]) == {"input"}
    assert snapshot.classes[snapshot.outputs[1]].collapsed_by == ("one_is_neutral",)


def product_of(a: Known, b: Known) -> float:
    assert a.number is not None
    assert b.number is not None
    return a.number * b.number


def test_numbers_are_computed_and_constants_known() -> None:
    rules = RuleSet("numbers")

    @rules.rule(source="ring")
    def factors_join(x: Float, a: Number, b: Number) -> Sides:
        return (x * a) * b, x * compute(product_of, a, b)

    @rules.rule(source="ring", when=[is_constant("c")])
    def constant_first(x: Float, c: Float) -> Sides:
        return x + c, c + x

    bb = BlockBuilder()
    x = bb.input("x", (4,), "float32")
    half = np.asarray(0.5, "float32")
    y = bb.call(op("multiply"), bb.call(op("multiply"), x, half), np.asarray([4], "float32"))
    table = bb.call(op("tanh"), np.arange(4, dtype="float32"))
    z = bb.call(op("add"), y, table)
    snapshot, _ = saturate(bb.function([y, z, bb.call(op("add"), y, x)]), [rules])
    made = [n for n in snapshot.classes[snapshot.outputs[0]].nodes if n.rule == "factors_join"]
    (number,) = (snapshot.classes[c].nodes[0].value for c in made[0].children[1:])
    assert number == np.float32(2.0)
    assert len(snapshot.classes[snapshot.outputs[1]].nodes) == 2
    assert len(snapshot.classes[snapshot.outputs[2]].nodes) == 1


def test_what_becomes_known_late_is_asked_about_again() -> None:
    rules = RuleSet("numbers")

    @rules.rule(source="test", when=[is_constant("c")])
    def constant_goes_first(x: Float, c: Float) -> Sides:
        return x + c, c + x

    @rules.rule(source="test")
    def square_is_named(x: Float) -> Sides:
        return x * x, ops.square(x)

    @rules.rule(source="test", when=[is_constant("c"), types_agree])
    def square_is_no_more_than(x: Float, c: Float) -> Sides:
        return ops.minimum(c, ops.square(x)), ops.tanh(c)

    bb = BlockBuilder()
    x, z = (bb.input(name, (4,), "float32") for name in "xz")
    table = np.arange(4, dtype="float32")
    least = bb.call(op("minimum"), table, bb.call(op("multiply"), z, z))
    snapshot, report = saturate(bb.function(bb.call(op("add"), x, least)), [rules])
    assert report.matches["constant_goes_first"] >= 1
    (output,) = snapshot.outputs
    swapped = [n for n in snapshot.classes[output].nodes if n.rule == "constant_goes_first"]
    assert [snapshot.classes[c].is_constant for n in swapped for c in n.children] == [True, False]


def test_rules_with_the_same_left_side_both_apply() -> None:
    first, second = RuleSet("first", Phase.SIMPLIFY), RuleSet("second", Phase.EXPLORE)

    @first.rule(source="test")
    def sum_commutes(x: Float, y: Float) -> Sides:
        return x + y, y + x

    @second.rule(source="test")
    def sum_is_a_difference(a: Float, b: Float) -> Sides:
        return a + b, a - (-b)

    @second.rule(source="test", when=[is_constant("a")])
    def sum_with_a_constant(a: Float, b: Float) -> Sides:
        return a + b, b - (-a)

    snapshot, report = saturate(long_sum(2), [first, second])
    assert {*report.matches} == {"sum_commutes", "sum_is_a_difference"}
    made = [n.rule for n in snapshot.classes[snapshot.outputs[0]].nodes]
    assert sorted(made) == ["", "sum_commutes", "sum_is_a_difference", "sum_is_a_difference"]


def composed(p: tuple[int, ...], q: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(p[i] for i in q)


def test_attributes_are_bound_and_computed() -> None:
    rules = RuleSet("movement")

    @rules.rule(source="permutations")
    def permutes_compose(x: Tensor, p: IntsAttr, q: IntsAttr) -> Sides:
        inner = ops.permute_dims(x, axes=p)
        return ops.permute_dims(inner, axes=q), ops.permute_dims(x, axes=compute(composed, p, q))

    bb = BlockBuilder()
    x = bb.input("x", (2, sym("n"), 4), "float32")
    y = bb.call(op("permute_dims"), bb.call(op("permute_dims"), x, axes=(1, 2, 0)), axes=(2, 1, 0))
    snapshot, _ = saturate(bb.function(y), [rules])
    made = [n.attrs for n in snapshot.classes[snapshot.outputs[0]].nodes if n.rule]
    assert made == [{"axes": (0, 2, 1)}]


def test_several_outputs_and_ordered_variables() -> None:
    rules = RuleSet("merge", Phase.MERGE)

    @rules.rule(source="blocks", ordered=["a", "b"])
    def parallel_products_join(x: Float, a: Float, b: Float) -> Sides:
        joined = ops.split(ops.matmul(x, ops.concat([a, b], axis=1)), indices_or_sections=2, axis=1)
        return (ops.matmul(x, a), ops.matmul(x, b)), (joined[0], joined[1])

    bb = BlockBuilder()
    x = bb.input("x", (2, 3), "float32")
    a, b = (bb.input(n, (3, 5), "float32") for n in "ab")
    snapshot, report = saturate(
        bb.function([bb.call(op("matmul"), x, a), bb.call(op("matmul"), x, b)]), [rules]
    )
    assert [ops_of(snapshot, c) for c in snapshot.outputs] == [{"matmul", "tuple_get_item"}] * 2
    assert report.matches == {"parallel_products_join": 1}


def test_shapes_equal_by_the_facts_are_equal() -> None:
    rules = RuleSet("numbers")

    @rules.rule(source="sets")
    def maximum_is_idempotent(x: Float) -> Sides:
        return ops.maximum(x, x), x

    facts = Facts().with_equal(sym("n"), sym("m") * 2)
    bb = BlockBuilder()
    x = bb.input("x", (sym("m") * 2,), "float32")
    snapshot, _ = saturate(bb.function(bb.call(op("maximum"), x, x)), [rules], facts)
    assert ops_of(snapshot, snapshot.outputs[0]) == {"input"}
    assert snapshot.facts == facts


def test_types_that_meet_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = RuleSet("wrong")

    @rules.rule(source="wrong on purpose")
    def broadcast_is_lost(x: Float, y: Float) -> Sides:
        return x + y, x

    monkeypatch.setattr("eqsat.rules._resolve.same_type", lambda *_: True)
    bb = BlockBuilder()
    x, y = bb.input("x", (4,), "float32"), bb.input("y", (3, 4), "float32")
    function = bb.function(bb.call(op("add"), x, y))
    with pytest.raises(RuleError, match=r"float32\[3, 4\].*last rules applied: broadcast_is_lost"):
        saturate(function, [rules])


def test_a_rule_whose_sides_differ_in_type_does_not_fire() -> None:
    rules = RuleSet("wrong")

    @rules.rule(source="right where the types agree", when=[types_agree])
    def sum_is_first(x: Float, y: Float) -> Sides:
        return x + y, x

    bb = BlockBuilder()
    x, y = bb.input("x", (4,), "float32"), bb.input("y", (3, 4), "float32")
    snapshot, report = saturate(bb.function(bb.call(op("add"), x, y)), [rules])
    (kept,) = snapshot.classes[snapshot.outputs[0]].nodes
    assert kept.attrs == {"index": 1}  # y + x, spelled the other way, does agree
    assert set(report.matches) == {"sum_is_first"}


def test_errors_of_egglog_are_ours() -> None:
    engine = Engine()
    engine.declare(Symbol("f", 0, 1))
    with pytest.raises(EngineError, match="egglog"):
        engine.load(
            [(Symbol("f", 0, 2), (), (1, 2), 5, 0), (Symbol("f", 0, 1), (9,), (), 5, 0)], [0]
        )


def test_attribution() -> None:
    snapshot, _ = saturate(long_sum(3), [sums])
    cover = plain_cover(snapshot, dict.fromkeys(snapshot.classes, 1))
    used = rules_used(snapshot, cover)
    assert sum(used.values()) >= 1
    rest = snapshot
    for rule in ("addition_associates", "addition_commutes"):
        rest = without_rule(rest, rule)
    assert all(not n.rule for c in rest.classes.values() for n in c.nodes)
    assert len(rest.classes) == 5
