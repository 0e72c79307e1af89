"""The graphs of the benchmarks mean the same to onnxruntime and to the native program."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import eqsat
from benchmarks import graphs, saturation, zoo

SMALL: dict[str, tuple[Callable[[], onnx.ModelProto], dict[str, int]]] = {
    "vit": (lambda: graphs.vit(num_layers=2, width=48), {"N": 2}),
    "llama_step": (lambda: graphs.llama_step(num_layers=2, width=64), {"P": 11}),
    "unet_block": (lambda: graphs.unet_block(width=16), {"N": 2}),
    "lstm": (lambda: graphs.lstm(steps=5, width=16), {"N": 3}),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_graph_agrees_with_onnxruntime(name: str) -> None:
    make, dims = SMALL[name]
    model = make()
    inputs = zoo.random_inputs(model, dims)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, inputs)
    got = eqsat.compile(eqsat.optimize(eqsat.from_onnx(model), dims=dims))(**inputs)
    got = got if isinstance(got, tuple) else (got,)
    for g, e in zip(got, expected, strict=True):
        scale = max(1.0, float(np.abs(e).max()))
        np.testing.assert_allclose(g, e, rtol=0, atol=2e-5 * scale)


def test_saturation_is_measured() -> None:
    row = saturation.measure("lstm_unrolled")
    assert row["stop"] == "saturated"
    assert row["nodes"] > row["operators"] > 700
    assert row["grown_bytes"] < 500 * 2**20
