"""`optimize` over modules of several functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eqsat
import eqsat._search as search
from eqsat.ir import Function, If, IRModule, check_well_formed

F32 = np.float32
X = np.arange(6, dtype=F32).reshape(2, 3) / 4
V = 'R.Tensor(("n", 3), "float32")'


def parsed(text: str) -> IRModule:
    return eqsat.from_tvmscript(text.replace("V3", V))


def relax(module: IRModule) -> dict[str, Function]:
    """Return the functions that are no kernels."""
    return {
        n: f
        for n, f in module.functions.items()
        if isinstance(f, Function) and not f.attrs.get("primitive")
    }


def same(module: IRModule, best: eqsat.OptimizeResult, *args: Any, name: str = "main") -> None:
    check_well_formed(best.module)
    wanted = eqsat.interpret(module, *args, function=name)
    np.testing.assert_allclose(eqsat.interpret(best.module, *args, function=name), wanted, 1e-5)
    exe = eqsat.compile(best, num_threads=1)
    np.testing.assert_allclose(exe[name](*args), wanted, 1e-5)


HELPERS = parsed("""
@I.ir_module
class Module:
    @R.function(private=True)
    def twice(a: R.Tensor(("m", 3), "float32")) -> R.Tensor(("m", 3), "float32"):
        b = R.add(a, a)
        return b

    @R.function(private=True)
    def unused(a: R.Tensor(("m", 3), "float32")) -> R.Tensor(("m", 3), "float32"):
        b = R.exp(a)
        return b

    @R.function
    def main(x: V3) -> V3:
        cls = Module
        y = cls.twice(x)
        z = R.exp(y)
        w = cls.twice(z)
        return w
""")


def test_small_private_functions_are_inlined_and_what_nobody_calls_is_dropped() -> None:
    best = eqsat.optimize(HELPERS, num_threads=1)
    assert set(relax(best.module)) == {"main"}
    assert best.report.num_kernels == 1
    assert best.report.num_operators == 3
    same(HELPERS, best, X)


RECURSION = parsed("""
@I.ir_module
class Module:
    @R.function(private=True)
    def loop(
        x: V3, w: R.Tensor((3, 3), "float32"), fast: R.Tensor((), "bool"),
        k: R.Tensor((), "int64"),
    ) -> V3:
        cls = Module
        done = R.less_equal(k, R.const(0, "int64"))
        if done:
            r = x
        else:
            y = R.matmul(x, R.add(w, w))
            if fast:
                z = R.nn.relu(y)
            else:
                z = R.exp(R.exp(y))
            r = cls.loop(z, w, fast, R.subtract(k, R.const(1, "int64")))
        return r

    @R.function
    def main(x: V3, k: R.Tensor((), "int64")) -> V3:
        cls = Module
        w = R.const([[1.0, 2.0, 0.0], [0.5, 0.25, 1.0], [0.0, 0.0, 1.0]], "float32")
        y = cls.loop(x, w, R.const(True, "bool"), k)
        return y
""")


def test_a_recursive_function_is_specialised_on_constants_and_optimized() -> None:
    best = eqsat.optimize(RECURSION, num_threads=1)
    loop = best.module.relax_function("loop")
    assert [p.name for p in loop.params] == ["x", "k"]
    outer = [b.value for block in loop.body.blocks for b in block.bindings]
    (choice,) = (e for e in outer if isinstance(e, If))
    inner = [b.value for block in choice.else_branch.blocks for b in block.bindings]
    assert not any(isinstance(e, If) for e in inner)  # what the constant decides is decided
    assert "R.exp" not in best.as_text()
    assert "R.add" not in best.as_text()  # w + w is computed
    same(RECURSION, best, X, np.asarray(4))


EQUAL_PARTS = parsed("""
@I.ir_module
class Module:
    @R.function
    def main(x: V3, c: R.Tensor((), "bool")) -> V3:
        if c:
            y = R.exp(R.negative(R.negative(x)))
        else:
            y = R.exp(R.negative(R.negative(x)))
        return y

    @R.function
    def other(x: V3, c: R.Tensor((), "bool")) -> V3:
        if c:
            y = x
        else:
            y = R.exp(R.negative(R.negative(x)))
        return y
""")


def test_equal_parts_are_saturated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(function: Function, *args: Any, **options: Any) -> Any:
        calls.append(function.name)
        return saturate(function, *args, **options)

    saturate = search.saturate
    monkeypatch.setattr(search, "saturate", counted)
    best = eqsat.optimize(EQUAL_PARTS, num_threads=1)
    assert len(calls) == 1
    assert best.report.num_parts == 3
    assert [n for n in best.module.functions if n not in relax(best.module)] == ["exp"]
    assert best.report.num_operators == 9
    assert best.report.num_kernels == 3
    assert "parts" in best.report.as_text()
    for name in ("main", "other"):
        for c in (True, False):
            same(EQUAL_PARTS, best, X, np.asarray(c), name=name)


TWO_CHAINS = parsed("""
@R.function
def main(x: V3, c: R.Tensor((), "bool")) -> V3:
    w = R.const([[1.0, 2.0, 0.0], [0.5, 0.25, 1.0], [0.0, 0.0, 1.0]], "float32")
    if c:
        y = R.nn.relu(R.add(R.matmul(x, w), x))
    else:
        y = R.negative(R.negative(R.nn.softmax(R.matmul(x, w))))
    return y
""")


def test_rule_gains_and_variants_are_over_all_parts() -> None:
    best = eqsat.optimize(TWO_CHAINS, num_threads=1)
    assert "negate_twice" in {g.rule for g in best.rule_gains}
    modules = best.variants(4)
    assert len({eqsat.ir.print_module(m) for m in modules}) == len(modules) >= 2
    for m in modules:
        check_well_formed(m)
        for c in (np.asarray(True), np.asarray(False)):
            wanted = eqsat.interpret(TWO_CHAINS, X, c)
            np.testing.assert_allclose(eqsat.interpret(m, X, c), wanted, 1e-5)


REQUIRED = parsed("""
@I.ir_module
class Module:
    @R.function
    def main(
        x: R.Tensor((2, "a"), "float32"), y: R.Tensor(("b", 3), "float32"), c: R.Tensor((), "bool")
    ):
        if c:
            z = R.matmul(x, y)
        else:
            z = R.zeros(R.shape([2, 3]), "float32")
        return z
""")


@pytest.mark.parametrize("optimized", [False, True])
def test_sizes_taken_for_granted_are_checked_where_they_matter(optimized: bool) -> None:
    program = eqsat.optimize(REQUIRED, num_threads=1) if optimized else REQUIRED
    exe = eqsat.compile(program, num_threads=1)
    np.testing.assert_allclose(exe(X, np.ones((3, 3), F32), True), X @ np.ones((3, 3), F32), 1e-6)
    with pytest.raises(eqsat.EqsatError, match=r"a = 3 and b = 4, .*compiled for a == b"):
        exe(X, np.ones((4, 3), F32), True)
    np.testing.assert_array_equal(exe(X, np.ones((4, 3), F32), False), np.zeros((2, 3), F32))


def test_what_optimize_made_can_be_optimized_again() -> None:
    first = eqsat.optimize(RECURSION, num_threads=1)
    again = eqsat.optimize(eqsat.from_tvmscript(first.as_text()), num_threads=1)
    assert again.report.num_kernels <= first.report.num_kernels
    same(RECURSION, again, X, np.asarray(3))


def test_progress_goes_up_over_all_parts() -> None:
    seen: dict[str, list[float]] = {}
    eqsat.optimize(EQUAL_PARTS, progress=lambda what, f: seen.setdefault(what, []).append(f))
    for fractions in seen.values():
        assert fractions == sorted(fractions)
        assert fractions[0] >= 0
        assert fractions[-1] <= 1


def test_functions_go_by_the_names_that_the_module_has_for_them() -> None:
    main = TWO_CHAINS.relax_function("main")
    module = IRModule({"first": main, "second": HELPERS.relax_function("twice")})
    best = eqsat.optimize(module, num_threads=1)
    assert list(best.module.functions)[-1] == "first"
    assert "second" not in best.module.functions  # private, and nothing calls it
    exe = eqsat.compile(best, num_threads=1)
    assert exe.functions == ("first",)
    wanted = eqsat.interpret(TWO_CHAINS, X, np.asarray(True))
    np.testing.assert_allclose(exe["first"](X, True), wanted, 1e-5)
