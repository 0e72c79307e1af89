"""Explanations: every program of the chain is valid, runs, and computes the same numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest

import eqsat
from benchmarks import graphs, zoo
from eqsat._trace import ExplainError
from eqsat.ir import BlockBuilder, IRModule, check_well_formed, interpret, op, print_module
from eqsat.ir.script import from_tvmscript
from eqsat.shapes import sym
from tests.random_programs import make

ROWS = (sym("n"), 16)


def weight(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def shared_layers() -> IRModule:
    """Two products of one input, a double negation above it, and a neutral element."""
    bb = BlockBuilder()
    x = bb.input("x", ROWS, "float32")
    h = bb.call(op("negative"), bb.call(op("negative"), bb.call(op("exp"), x)))
    left, right = (bb.call(op("matmul"), h, weight(16, k)) for k in (8, 4))
    total = bb.call(op("add"), bb.call(op("nn.relu"), left), np.float32(0))
    return bb.module([total, bb.call(op("divide"), right, np.float32(4))])


def assert_valid(explanation: eqsat.Explanation) -> None:
    """Each program type-checks, and its text reads back as itself."""
    for module in explanation.programs():
        check_well_formed(module)
        text = print_module(module)
        assert print_module(from_tvmscript(text)) == text


def test_the_chain_leads_from_the_program_given_to_the_best_one() -> None:
    explanation = eqsat.optimize(shared_layers(), dims={"n": 1000}, num_threads=1).explain()
    assert_valid(explanation)
    x = weight(3, 16)
    expected = interpret(shared_layers(), x)
    for module in explanation.programs():
        for got, want in zip(interpret(module, x), expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    assert {"negate_twice", "add_zero"} <= set(explanation.rules)
    calls = print_module(explanation.program(len(explanation)))
    assert "R.negative" not in calls


def test_steps_name_rule_value_and_gain() -> None:
    explanation = eqsat.optimize(shared_layers(), dims={"n": 100_000}, num_threads=1).explain()
    step = next(s for s in explanation.steps if s.before == "negative(lv1)")
    assert step.rule == "negate_twice"
    assert step.after == "exp(x)"
    assert step.value == "lv2: float32[n, 16]"
    assert step.numerics == "exact"
    assert not step.is_reversed
    first, last = explanation.estimate_before_s, explanation.steps[-1].estimate_s
    assert first - sum(s.gain_s for s in explanation.steps) == pytest.approx(last)
    assert [s.number for s in explanation.steps] == [*range(1, len(explanation) + 1)]


def test_text_json_and_html_tell_the_same() -> None:
    explanation = eqsat.optimize(shared_layers(), num_threads=1).explain()
    data = json.loads(json.dumps(explanation.as_dict()))
    assert len(data["steps"]) == len(explanation)
    text, html = str(explanation), explanation.as_html()
    for rule, count in explanation.rules.items():
        assert data["rules"][rule] == count
        assert rule in text
        assert rule in html
    assert "<polyline" in html
    assert f"and {len(explanation) - 1} more steps" in explanation.as_text(limit=1)


def test_what_nothing_improves_has_no_steps() -> None:
    bb = BlockBuilder()
    x = bb.input("x", ROWS, "float32")
    explanation = eqsat.optimize(bb.module(bb.call(op("exp"), x)), num_threads=1).explain()
    assert len(explanation) == 0
    assert explanation.replay().errors == ()
    assert str(explanation).startswith("0 steps")
    with pytest.raises(IndexError, match="program 1 of a chain of 0 steps"):
        explanation.program(1)


def test_a_step_that_changes_numbers_is_found() -> None:
    explanation = eqsat.optimize(shared_layers(), num_threads=1).explain()
    (found,) = explanation.traces
    number = next(i for i, s in enumerate(explanation.steps) if s.before == "negative(lv1)")
    step = found.steps[number]
    (operand,) = found.states.proofs.terms[step.link.left].operands  # of the other sign
    wrong = replace(step, link=replace(step.link, right=operand))
    found.steps = [*found.steps[:number], wrong, *found.steps[number + 1 :]]
    replay = explanation.replay()
    assert [e.number for e in replay.failures] == [number + 1]
    assert f"step {number + 1} (negate_twice): value off by 2" in str(replay)


def test_inputs_of_a_replay_are_checked() -> None:
    explanation = eqsat.optimize(shared_layers(), num_threads=1).explain()
    assert not explanation.replay({"x": weight(5, 16)}).failures
    with pytest.raises(eqsat.EqsatError, match="no input is named y; the inputs are"):
        explanation.replay({"y": weight(5, 16)})


def test_ablation_keeps_the_rules_that_matter() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (sym("n"), 256), "float32")
    product = bb.call(op("matmul"), bb.call(op("matmul"), x, bb.input("a", (256, 4), "float32")),
                      bb.input("b", (4, 256), "float32"))  # fmt: skip
    slow = bb.call(op("add"), bb.call(op("negative"), bb.call(op("negative"), product)),
                   np.float32(0))  # fmt: skip
    explanation = eqsat.optimize(bb.module(slow), dims={"n": 64}, num_threads=1).explain()
    ablation = explanation.ablation()
    assert set(ablation.rules) | set(ablation.dropped) == set(explanation.rules)
    assert set(ablation.needed) == set(ablation.rules)
    assert ablation.estimate_s <= 1.02 * ablation.full_estimate_s


def test_a_search_that_cannot_be_repeated_is_an_error() -> None:
    best = eqsat.optimize(shared_layers(), num_threads=1)
    best.search = replace(best.search, settings=replace(best.search.settings, rule_sets=()))
    with pytest.raises(ExplainError, match="optimize with larger limits"):
        best.explain()


BRANCHES = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor(("n", 3), "float32"), c: R.Tensor((), "bool")):
        if c:
            y = R.negative(R.negative(R.exp(x)))
        else:
            y = R.add(R.nn.relu(R.nn.relu(x)), R.const(0, "float32"))
        return y
"""


def test_a_module_of_several_parts_is_explained_part_by_part() -> None:
    best = eqsat.optimize(from_tvmscript(BRANCHES), num_threads=1)
    explanation = best.explain()
    assert len({s.part for s in explanation.steps}) == 2
    assert not explanation.replay(whole=True).failures
    x = weight(2, 3)
    for module in explanation.programs():
        check_well_formed(module)
        for c in (True, False):
            want = interpret(from_tvmscript(BRANCHES), x, np.asarray(c))
            np.testing.assert_array_equal(interpret(module, x, np.asarray(c)), want)
    with pytest.raises(eqsat.EqsatError, match="takes random inputs"):
        explanation.replay({"x": x})


def test_equal_parts_keep_their_names() -> None:
    other = 'y = R.add(R.nn.relu(R.nn.relu(x)), R.const(0, "float32"))'
    same = BRANCHES.replace(other, "y = R.negative(R.negative(R.exp(x)))")
    explanation = eqsat.optimize(from_tvmscript(same), num_threads=1).explain()
    assert len({s.part for s in explanation.steps}) == 2
    for module in explanation.programs():
        assert all(f.name == name for name, f in module.functions.items())


def test_ablation_keeps_a_normal_form_with_one_of_its_laws() -> None:
    bb = BlockBuilder()
    x, y = (bb.input(n, (sym("n"), 512), "float32") for n in "xy")
    sums = [bb.call(op("nn.softmax"), bb.call(op("add"), *p)) for p in ((x, y), (y, x))]
    module = bb.module(bb.call(op("multiply"), *sums))
    explanation = eqsat.optimize(module, dims={"n": 1000}, num_threads=1).explain()
    ablation = explanation.ablation()
    assert ablation.rules == ("sum_commutes",)
    assert ablation.needed["sum_commutes"] > 1.01 * ablation.full_estimate_s
    assert not explanation.replay(whole=True).failures


@pytest.mark.parametrize("seed", range(25))
def test_random_programs_replay(seed: int) -> None:
    program = make(seed, 12)
    module, args = program.module(), program.arguments({"n": 3, "m": 5}, seed)
    try:
        interpret(module, *args)
    except (eqsat.EqsatError, ValueError):  # a window larger than the axis, max of nothing
        pytest.skip("the program has no meaning at this size")
    explanation = eqsat.optimize(module, num_threads=1).explain()
    names = [p.name for p in module.relax_function().params]
    replay = explanation.replay(dict(zip(names, args, strict=True)), whole=True)
    assert not replay.failures, str(replay)
    assert_valid(explanation)


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "squeezenet": lambda: zoo.light_model("squeezenet"),
    "bert": lambda: zoo.transformer_encoder(num_layers=1, width=32, num_heads=2),
    "vit": lambda: graphs.vit(num_layers=1, width=32, num_heads=2),
    "llama": lambda: graphs.llama_step(num_layers=1),
    "unet": lambda: graphs.unet_block(width=16),
    "lstm": lambda: graphs.lstm(steps=3, num_layers=2, width=16),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_replay_with_the_same_results_after_every_step(name: str) -> None:
    module = eqsat.from_onnx(MODELS[name]())
    explanation = eqsat.optimize(module, num_threads=1).explain()
    replay = explanation.replay(whole=name not in ("squeezenet", "unet"))
    assert not replay.failures, str(replay)
    assert len(replay.errors) >= len(explanation)
    for module in (explanation.program(0), explanation.program(len(explanation))):
        check_well_formed(module)
