"""The opt-in rule sets: named, never used unasked, within their bounds on whole programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import BlockBuilder, Constant, Expr, IRModule, op
from eqsat.rules import OPTIONAL_RULE_SETS, RuleError, load_rules

K, N = 768, 640
Build = Callable[[Callable[..., Expr], Expr], Expr]


def program(build: Build, *shape: int, dtype: str = "float32") -> IRModule:
    bb = BlockBuilder()
    x = bb.input("x", shape, dtype)
    return bb.module(build(lambda name, *args, **attrs: bb.call(op(name), *args, **attrs), x))


def both(module: IRModule, name: str, x: Any) -> tuple[Any, Any, eqsat.OptimizeResult]:
    """Return what the program gives, what it gives with the set `name`, and that result."""
    plain = eqsat.compile(eqsat.optimize(module))
    result = eqsat.optimize(module, rules=[*eqsat.default_rules(), name])
    return plain(x), eqsat.compile(result)(x), result


def weight(rng: np.random.Generator) -> Any:
    return rng.standard_normal((K, N)).astype(np.float32)


def kept_dtypes(result: eqsat.OptimizeResult) -> set[str]:
    slots = eqsat.compile(result).program.slots
    return {s.type.dtype for s in slots if s.name.endswith("_packed")}


def test_no_optional_set_is_a_default() -> None:
    names = {s.name for s in eqsat.default_rules()}
    assert names.isdisjoint({s.name for s in OPTIONAL_RULE_SETS})
    for s in OPTIONAL_RULE_SETS:
        assert load_rules(s.name) == (s,)
    with pytest.raises(RuleError, match="mixed_precision"):
        load_rules("mixed_precisoin")


@pytest.mark.parametrize(
    ("name", "dtype", "bits"),
    [("mixed_precision", "bfloat16", 8), ("half_precision", "float16", 11)],
)
def test_a_weight_in_half_precision_stays_within_the_bound(
    name: str, dtype: str, bits: int
) -> None:
    rng = np.random.default_rng(0)
    w, x = weight(rng), rng.standard_normal((1, K)).astype(np.float32)
    module = program(lambda o, v: o("matmul", v, Constant(w)), 1, K)
    exact, rounded, result = both(module, name, x)
    assert kept_dtypes(result) == {dtype}
    assert not np.array_equal(exact, rounded)
    bound = 2.0**-bits * (np.abs(x) @ np.abs(w)) + 1e-5
    assert np.all(np.abs(exact - rounded) <= bound)


def test_fast_gelu_is_taken_and_stays_within_the_bound() -> None:
    x = np.linspace(-8, 8, 4096, dtype=np.float32)
    exact, fast, result = both(program(lambda o, v: o("nn.gelu", v), 4096), "approximate", x)
    assert "R.nn.gelu(" not in result.as_text()
    assert 1e-4 < np.abs(exact - fast).max() <= 0.0204


def per_tensor(value: float, dtype: type) -> Constant:
    return Constant(np.asarray(value, dtype))


@pytest.mark.parametrize("zero", [0, 3, None])
def test_a_quantised_weight_stays_in_integers(zero: int | None) -> None:
    rng = np.random.default_rng(1)
    w = rng.integers(-127, 128, (K, N)).astype(np.int8)
    x = rng.standard_normal((1, K)).astype(np.float32)
    if zero is None:
        scale = Constant((0.01 + rng.random(N)).astype(np.float32))
        offset = Constant(np.zeros(N, np.int8))
    else:
        scale, offset = per_tensor(0.02, np.float32), per_tensor(zero, np.int8)

    def build(o: Callable[..., Expr], v: Expr) -> Expr:
        return o("matmul", v, o("dequantize", Constant(w), scale, offset, axis=1))

    exact, moved, result = both(program(build, 1, K), "quantized", x)
    assert kept_dtypes(result) == {"bfloat16" if zero else "int8"}
    np.testing.assert_allclose(moved, exact, rtol=1e-4, atol=1e-4 * np.abs(exact).max())


def test_scales_meet_and_vanish_through_views() -> None:
    scale, zero = per_tensor(0.05, np.float32), per_tensor(2, np.int8)

    def build(o: Callable[..., Expr], q: Expr) -> Expr:
        wide = o("dequantize", q, scale, zero, axis=-1)
        moved = o("permute_dims", o("reshape", wide, (6, 4)), axes=(1, 0))
        return o("quantize", moved, scale, zero, axis=-1)

    q = np.arange(-12, 12, dtype=np.int8).reshape(2, 12)
    exact, moved, result = both(program(build, 2, 12, dtype="int8"), "quantized", q)
    np.testing.assert_array_equal(exact, moved)
    assert "quantize" not in result.as_text()
