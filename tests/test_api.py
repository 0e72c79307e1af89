"""The public calls end to end on small programs; the examples; the report."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

import eqsat
from eqsat.ir import BlockBuilder, IRModule, op
from eqsat.shapes import sym

ROOT = Path(__file__).resolve().parents[1]


def mlp() -> IRModule:
    """Two linear layers with relu over a symbolic batch."""
    rng = np.random.default_rng(0)
    bb = BlockBuilder()
    x = bb.input("x", (sym("n"), 16), "float32")
    w1, w2 = (rng.standard_normal(s).astype(np.float32) for s in ((16, 32), (32, 8)))
    b1 = rng.standard_normal(32).astype(np.float32)
    h = bb.call(op("nn.relu"), bb.call(op("add"), bb.call(op("matmul"), x, w1), b1))
    return bb.module(bb.call(op("matmul"), h, w2))


def test_optimize_compile_run_at_many_sizes() -> None:
    mod = mlp()
    result = eqsat.optimize(mod)
    exe = eqsat.compile(result, cache=False)
    for n in (1, 2, 7, 33):
        x = np.random.default_rng(n).standard_normal((n, 16)).astype(np.float32)
        expected = eqsat.interpret(mod, x)
        np.testing.assert_allclose(
            eqsat.interpret(result.module, x), expected, rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(exe(x), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(exe(x=x), expected, rtol=1e-5, atol=1e-5)


def test_compile_takes_an_unoptimized_module() -> None:
    mod = mlp()
    x = np.ones((3, 16), np.float32)
    np.testing.assert_allclose(
        eqsat.compile(mod, cache=False)(x), eqsat.interpret(mod, x), rtol=1e-5, atol=1e-5
    )


def test_report_has_counts_and_a_gap() -> None:
    report = eqsat.optimize(mlp()).report
    assert report.num_operators == 4
    assert report.num_kernels == 2  # matmul + bias + relu, matmul
    assert report.estimate_s <= report.estimate_before_s
    assert 0 <= report.gap <= 0.01
    json.dumps(report.as_dict())
    assert "kernels after" in report.as_text()
    assert report.as_html().startswith("<table>")


def test_variants_are_different_programs() -> None:
    result = eqsat.optimize(mlp())
    x = np.ones((3, 16), np.float32)
    expected = eqsat.interpret(mlp(), x)
    modules = result.variants(3)
    assert len(modules) == 3
    assert len({eqsat.OptimizeResult.as_text(_with_module(result, m)) for m in modules}) == 3
    for m in modules:
        np.testing.assert_allclose(eqsat.interpret(m, x), expected, rtol=1e-5, atol=1e-5)


def _with_module(result: eqsat.OptimizeResult, module: IRModule) -> eqsat.OptimizeResult:
    return eqsat.OptimizeResult(module, result.report, result.source, result.search)


def test_unknown_target_and_missing_main_are_named() -> None:
    with pytest.raises(eqsat.EqsatError, match="unknown target 'tpu'; the targets are: cpu"):
        eqsat.optimize(mlp(), target="tpu")  # type: ignore[arg-type]
    with pytest.raises(
        eqsat.EqsatError, match=r"no public function; name one: function=\.\.\.; it has none"
    ):
        eqsat.optimize(IRModule({}))


def test_a_users_rule_in_its_own_file_is_checked_and_used() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (sym("n"), 8), "float32")
    mod = bb.module(bb.call(op("maximum"), x, bb.call(op("negative"), x)))
    rules = [*eqsat.default_rules(), ROOT / "examples" / "my_rules.py"]
    result = eqsat.optimize(mod, rules=rules)
    assert "relax.abs" in result.as_text() or "R.abs" in result.as_text()
    assert [g.rule for g in result.rule_gains] == ["absolute_value_from_maximum"]
    value = np.array([[-3, -2, -1, 0, 1, 2, 3, 4]], np.float32)
    np.testing.assert_array_equal(eqsat.compile(result, cache=False)(value), np.abs(value))


def test_a_users_false_rule_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(
        "from eqsat.rules import RuleSet, Sides, Float, ops\n"
        "wrong = RuleSet('wrong')\n"
        "@wrong.rule(source='nobody')\n"
        "def relu_is_identity(x: Float) -> Sides:\n"
        "    return ops.nn.relu(x), x\n"
    )
    with pytest.raises(eqsat.EqsatError, match="relu_is_identity"):
        eqsat.optimize(mlp(), rules=[*eqsat.default_rules(), file])


def test_a_users_operator_in_its_own_file_is_used() -> None:
    from eqsat.ir.ops import ALL_OPS

    example = runpy.run_path(str(ROOT / "examples" / "my_operator.py"))
    try:
        bb = BlockBuilder()
        x = bb.input("x", (sym("n"), 8), "float32")
        soft = bb.call(op("log"), bb.call(op("add"), np.float32(1), bb.call(op("exp"), x)))
        mod = bb.module(bb.call(op("multiply"), x, bb.call(op("tanh"), soft)))
        result = eqsat.optimize(mod, rules=[*eqsat.default_rules(), example["mine"]])
        assert "my.mish" in result.as_text()
        value = np.linspace(-4, 4, 24, dtype=np.float32).reshape(3, 8)
        actual = eqsat.compile(result, cache=False)(value)
        np.testing.assert_allclose(actual, example["reference"](value), rtol=1e-5, atol=1e-6)
    finally:
        ALL_OPS.remove("my.mish")  # type: ignore[attr-defined]
