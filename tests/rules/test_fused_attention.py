"""Attention is put together from what exporters write, where its rule set is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import IRModule, parse_module, print_module
from eqsat.rules import FloatAttr, Tensor, ops, sketch

RULES = [*(s for s in eqsat.default_rules() if s.name != "attention"), "fused_attention"]


@sketch()
def plain(q: Tensor, k: Tensor, v: Tensor, s: FloatAttr) -> Any:
    return ops.nn.attention(q, k, v, scale=s)


@sketch()
def biased(q: Tensor, k: Tensor, v: Tensor, m: Tensor, s: FloatAttr) -> Any:
    return ops.nn.attention(q, k, v, m, scale=s)


def num_attentions(module: IRModule) -> int:
    """Return how many calls of attention there are."""
    return print_module(module).count("R.nn.attention")


PARAMS = (
    'q: R.Tensor(("b", 7, 32), "float32"), k: R.Tensor(("b", "t", 32), "float32"), '
    'v: R.Tensor(("b", "t", 32), "float32"), m: R.Tensor(("b", 1, 1, "t"), "float32")'
)
HEADS = """
    b, t = T.int64(), T.int64()
    with R.dataflow():
        q4 = R.permute_dims(R.reshape(q, (b, 7, 4, 8)), axes=[0, 2, 1, 3])
        k4 = R.permute_dims(R.reshape(k, (b, t, 4, 8)), axes=[0, 2, 1, 3])
        v4 = R.permute_dims(R.reshape(v, (b, t, 4, 8)), axes=[0, 2, 1, 3])
        s = {scores}
        w = R.nn.softmax({masked}, axis=-1)
        o = R.reshape(R.permute_dims(R.matmul(w, v4), axes=[0, 2, 1, 3]), (b, 7, 32))
        R.output(o)
    return o
"""
KEYS = "R.permute_dims(k4, axes=[0, 1, 3, 2])"


@pytest.mark.parametrize(
    ("scores", "masked", "form"),
    [
        (f"R.matmul(q4, {KEYS})", "s", plain),
        (f"R.matmul(q4, {KEYS}) / R.const(8.0 ** 0.5)", "s", plain),  # ONNX
        (f"R.matmul(q4 * R.const(0.25), {KEYS})", "s", plain),
        (f"R.matmul(q4 * R.const(0.5), {KEYS} * R.const(0.5))", "s", plain),  # torch
        (f"R.matmul(q4, {KEYS}) * R.const(0.25)", "s + m", biased),
        (f"R.matmul(q4, {KEYS}) / R.const(8.0 ** 0.5)", "m + s", biased),
        (f"R.matmul(q4, {KEYS})", "m + s", biased),
    ],
)
def test_spellings_of_exporters(scores: str, masked: str, form: Any) -> None:
    body = HEADS.format(scores=scores.replace("8.0 ** 0.5", str(8**0.5)), masked=masked)
    module = parse_module(f"@R.function\ndef main({PARAMS}):{body}")
    result = eqsat.optimize(module, rules=RULES, sketches=[form])
    assert num_attentions(module) == 0
    assert num_attentions(result.module) == 1
    rng = np.random.default_rng(3)
    args = [rng.standard_normal(s).astype(np.float32) for s in ((2, 7, 32), (2, 5, 32), (2, 5, 32))]
    args.append(np.where(rng.random((2, 1, 1, 5)) < 0.3, -1e9, 0).astype(np.float32))
    expected = eqsat.interpret(module, *args)
    np.testing.assert_allclose(eqsat.compile(result, cache=False)(*args), expected, 1e-5, 1e-5)


def test_no_attention_without_the_set() -> None:
    body = HEADS.format(scores=f"R.matmul(q4, {KEYS})", masked="s")
    module = parse_module(f"@R.function\ndef main({PARAMS}):{body}")
    with pytest.raises(eqsat.EqsatError, match="plain"):
        eqsat.optimize(module, sketches=[plain])
