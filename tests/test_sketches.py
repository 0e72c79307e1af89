"""Sketches: forms on the way guide a search where the limits end it before the best program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pytest

import eqsat
from eqsat._guide import SketchError
from eqsat.cli import main
from eqsat.ir import BlockBuilder, Expr, IRModule, check_well_formed, interpret, op, print_module
from eqsat.ir.script import from_tvmscript
from eqsat.rules import (
    Float,
    Pattern,
    RuleError,
    RuleSet,
    Sketch,
    Tensor,
    ops,
    rank_is,
    sketch,
    tensor,
)
from eqsat.shapes import sym

COLUMN = Annotated[Pattern, tensor("k 1")]
DIMS = {"n": 512}


def chain(length: int, *, size: int = 16) -> IRModule:
    """x @ m0 @ m1 … @ v from the left on; from the right on all are products with a column."""
    bb = BlockBuilder()
    value: Expr = bb.input("x", (sym("n"), size), "float32")
    for i in range(length):
        value = bb.call(op("matmul"), value, bb.input(f"m{i}", (size, size), "float32"))
    column = bb.input("v", (size, 1), "float32")
    return bb.module(bb.call(op("matmul"), value, column))


def inputs(mod: IRModule, n: int = 3) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    rng = np.random.default_rng(0)
    shapes = [
        [d if isinstance(d, int) else n for d in p.type.dims] for p in mod.relax_function().params
    ]
    return [(rng.standard_normal(s) / 4).astype(np.float32) for s in shapes]


@sketch()
def column_last(a: Tensor, b: Tensor, v: COLUMN) -> Pattern:
    return a @ (b @ v)


@sketch()
def column_last_twice(a: Tensor, b: Tensor, c: Tensor, v: COLUMN) -> Pattern:
    return a @ (b @ (c @ v))


def test_a_sketch_leads_past_the_limits() -> None:
    mod, limits = chain(20), eqsat.Limits(num_nodes=300)
    alone = eqsat.optimize(mod, dims=DIMS, limits=limits, num_threads=1)
    guided = eqsat.optimize(
        mod,
        dims=DIMS,
        limits=limits,
        num_threads=1,
        sketches=[column_last, column_last_twice],
    )
    assert alone.report.sketches == {}
    assert guided.report.sketches == {"column_last": 1, "column_last_twice": 1}
    assert "by sketch" in guided.report.as_text()
    assert guided.report.estimate_s < 0.8 * alone.report.estimate_s
    assert guided.report.estimate_before_s == alone.report.estimate_before_s
    args = inputs(mod)
    expected = interpret(mod, *args)
    np.testing.assert_allclose(interpret(guided.module, *args), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(eqsat.compile(guided)(*args), expected, rtol=1e-4, atol=1e-6)


def test_the_same_sketches_give_the_same_program() -> None:
    texts = [
        eqsat.optimize(chain(8), dims=DIMS, num_threads=1, sketches=[column_last]).as_text()
        for _ in range(2)
    ]
    assert texts[0] == texts[1]


def test_an_explanation_goes_through_the_form() -> None:
    mod, limits = chain(10), eqsat.Limits(num_nodes=200)
    result = eqsat.optimize(mod, dims=DIMS, limits=limits, num_threads=1, sketches=[column_last])
    explanation = result.explain()
    for module in explanation.programs():
        check_well_formed(module)
        text = print_module(module)
        assert print_module(from_tvmscript(text)) == text
    (milestone,) = explanation.sketches
    assert (milestone.sketch, milestone.part) == ("column_last", "main")
    assert 0 < milestone.number < len(explanation)
    assert _holds_column_last(explanation.program(milestone.number))
    assert not _holds_column_last(explanation.program(0))
    assert not explanation.replay(whole=True).failures
    assert not explanation.replay(dict(zip(("x", "m0"), inputs(mod), strict=False))).failures
    estimates = [explanation.estimate_before_s, *(s.estimate_s for s in explanation.steps)]
    gains = [s.gain_s for s in explanation.steps]
    assert estimates[0] - sum(gains) == pytest.approx(estimates[-1])
    assert "sketch column_last is reached" in str(explanation)
    assert "sketch column_last is reached" in explanation.as_html()
    assert explanation.as_dict()["sketches"][0]["number"] == milestone.number


def test_ablation_searches_by_the_same_sketches() -> None:
    limits = eqsat.Limits(num_nodes=200)
    result = eqsat.optimize(
        chain(10), dims=DIMS, limits=limits, num_threads=1, sketches=[column_last]
    )
    ablation = result.explain().ablation()
    assert ablation.rules == ("matmul_associates",)
    assert ablation.full_estimate_s == pytest.approx(result.report.estimate_s, rel=0.05)


def _holds_column_last(mod: IRModule) -> bool:
    """Whether a product of two inputs is the right operand of another product."""
    bound = {b.var: b.value for block in mod.relax_function().body.blocks for b in block.bindings}
    return any(call.args[1] in bound for call in bound.values())


def test_a_form_that_costs_more_is_a_detour_only() -> None:
    bb = BlockBuilder()
    x, a = bb.input("x", (1, 512), "float32"), bb.input("a", (512, 512), "float32")
    b = bb.input("b", (512, 512), "float32")
    mod = bb.module(bb.call(op("matmul"), bb.call(op("matmul"), x, a), b))

    @sketch()
    def product_first(x: Tensor, a: Tensor, b: Tensor) -> Pattern:
        return x @ (a @ b)

    plain = eqsat.optimize(mod, num_threads=1)
    guided = eqsat.optimize(mod, num_threads=1, sketches=[product_first])
    assert guided.report.sketches == {"product_first": 1}
    assert guided.report.estimate_s == plain.report.estimate_s
    explanation = guided.explain()
    costs = [s.estimate_s for s in explanation.steps]
    assert max(costs) > 10 * plain.report.estimate_s
    assert not explanation.replay(whole=True).failures


def test_constants_are_folded_and_have_no_form() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (sym("n"), 8), "float32")
    ones = np.ones((8, 8), np.float32)
    product = bb.call(op("matmul"), bb.call(op("exp"), ones), ones)
    mod = bb.module(bb.call(op("add"), x, bb.call(op("sum"), product)))

    @sketch()
    def exp_of_any(x: Float) -> Pattern:
        return ops.exp(x)

    with pytest.raises(SketchError, match="exp_of_any"):
        eqsat.optimize(mod, num_threads=1, sketches=[exp_of_any])


TWO_PARTS = """
from tvm.script import ir as I, relax as R

@I.ir_module
class Module:
    @R.function
    def main(c: R.Tensor((), "bool"), x: R.Tensor(("n", 16), "float32"),
             a: R.Tensor((16, 16), "float32"), v: R.Tensor((16, 1), "float32")
             ) -> R.Tensor(("n", 1), "float32"):
        if c:
            h = R.matmul(x, a)
            y = R.matmul(h, v)
        else:
            y = R.sum(R.exp(x), axis=[1], keepdims=True)
        return y
"""


def test_one_part_that_reaches_a_sketch_is_enough() -> None:
    mod = from_tvmscript(TWO_PARTS)
    result = eqsat.optimize(mod, num_threads=1, sketches=[column_last])
    assert result.report.num_parts == 2
    assert result.report.sketches == {"column_last": 1}
    explanation = result.explain()
    assert not explanation.replay(whole=True).failures
    x, a, v = inputs(chain(1))
    exe = eqsat.compile(result)
    for c in (True, False):
        expected = interpret(mod, np.bool_(c), x, a, v)
        np.testing.assert_allclose(exe(np.bool_(c), x, a, v), expected, rtol=1e-4, atol=1e-6)


def test_a_sketch_out_of_reach_is_an_error_with_the_nearest_miss() -> None:
    @sketch(when=[rank_is("a", 3)])
    def batched(a: Tensor, b: Tensor) -> Pattern:
        return a @ b

    with pytest.raises(SketchError) as error:
        eqsat.optimize(chain(2), dims=DIMS, num_threads=1, sketches=[batched])
    text = str(error.value)
    assert "sketch batched, matmul(a, b, out_dtype=None)" in text
    assert "rank_is(a, 3)" in text
    assert "the search ended by saturated" in text
    assert "raise the limits" in text

    @sketch()
    def tanh(a: Float) -> Pattern:
        return ops.tanh(a)

    with pytest.raises(SketchError, match="no value is made by tanh"):
        eqsat.optimize(chain(2), dims=DIMS, num_threads=1, sketches=[tanh])


def test_malformed_sketches_are_refused_where_they_stand() -> None:
    with pytest.raises(RuleError, match="sketch everything: x alone matches everything"):

        @sketch()
        def everything(x: Tensor) -> Pattern:
            return x

    with pytest.raises(RuleError, match="sketch pair must return one value"):

        @sketch()
        def pair(x: Tensor) -> Pattern:
            return ops.exp(x), ops.log(x)  # pyright: ignore[reportReturnType]

    with pytest.raises(RuleError, match="y not bound"):

        @sketch(when=[rank_is("y", 2)])
        def unbound(x: Tensor) -> Pattern:
            return ops.exp(x)


def test_what_is_no_sketch_is_named() -> None:
    mod = chain(1)
    with pytest.raises(eqsat.EqsatError, match="write sketches="):
        eqsat.optimize(mod, sketches=column_last)  # pyright: ignore[reportArgumentType]
    with pytest.raises(eqsat.EqsatError, match="neither a Sketch nor a path"):
        eqsat.optimize(mod, sketches=[RuleSet("r")])  # pyright: ignore[reportArgumentType]
    with pytest.raises(RuleError, match="no Python file with sketches"):
        eqsat.optimize(mod, sketches=["missing.py"])
    assert isinstance(column_last, Sketch)
    with pytest.raises(RuleError, match="column_last is a sketch"):
        eqsat.why_not(column_last, mod)


FILE = """
from eqsat.rules import Pattern, Tensor, sketch

@sketch()
def right_first(a: Tensor, b: Tensor, c: Tensor) -> Pattern:
    return a @ (b @ c)
"""


def test_sketches_come_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, model = tmp_path / "mine.py", tmp_path / "model.py"
    file.write_text(FILE)
    model.write_text(print_module(chain(3)))
    assert main(["explain", str(model), "--dim", "n=512", "--sketches", str(file)]) == 0
    assert "sketch right_first is reached" in capsys.readouterr().out
    file.write_text("x = 1\n")
    assert main(["optimize", str(model), "--sketches", str(file)]) == 1
    assert "defines no sketch" in capsys.readouterr().err
