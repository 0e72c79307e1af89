"""The families of `_families`, natively against onnxruntime: one compilation, many sizes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.models._agree import check_native
from tests.models._families import Writer, family_inputs, llm, mobile, unet, vit, whisper

SIZES = {
    "unet": (unet, ({"n": 2}, {"n": 1}, {"n": 7})),
    "whisper": (
        whisper,
        (
            {"b": 2, "frames": 21, "tokens": 5},
            {"b": 1, "frames": 2, "tokens": 1},
            {"b": 3, "frames": 98, "tokens": 33},
        ),
    ),
    "vit": (vit, ({"n": 2}, {"n": 1}, {"n": 9})),
    "llm": (llm, ({"b": 2, "s": 7}, {"b": 1, "s": 1}, {"b": 3, "s": 65})),
    "mobile": (mobile, ({"n": 2}, {"n": 1}, {"n": 5}, {"n": 0})),
}


@pytest.mark.parametrize("name", SIZES)
def test_family(name: str) -> None:
    make, sizes = SIZES[name]
    model = make()
    del model.graph.output[1:]  # what comes after in `llm` are the best tokens, not numbers
    check_native(model, [family_inputs(model, dims) for dims in sizes])


def test_images_of_any_size() -> None:
    w = Writer(7)
    x = w.op("Relu", w.conv("x", 3, 8, 7, strides=[2, 2], pads=[3, 3, 3, 3]))
    x = w.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = w.op("Add", x, w.conv(x, 8, 8, 3, pads=[1, 1, 1, 1]))
    x = w.op("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    pooled = w.op("Flatten", w.op("GlobalAveragePool", x))
    model = w.model({"x": (1, ["n", 3, "h", "w"])}, x, w.linear(pooled, 8, 5))
    sizes = [{"n": n, "h": h, "w": v} for n, h, v in ((2, 32, 32), (1, 45, 7), (3, 8, 129))]
    check_native(model, [family_inputs(model, dims) for dims in sizes])


def test_a_cache_before_its_first_token() -> None:
    """Decoders are called with an empty cache for the prompt: a size of 0 is a size."""
    w = Writer(8)
    q, k, v = (w.heads(w.linear("x", 8, 8), 2, 4) for _ in range(3))
    k, v = w.op("Concat", "past_k", k, axis=2), w.op("Concat", "past_v", v, axis=2)
    scores = w.op("MatMul", q, w.op("Transpose", k, perm=[0, 1, 3, 2]))
    context = w.op("MatMul", w.op("Softmax", scores, axis=-1), v)
    past: tuple[int, list[int | str]] = (1, ["b", 2, "past", 4])
    model = w.model({"x": (1, ["b", "s", 8]), "past_k": past, "past_v": past}, context, k, v)
    sizes = [{"b": b, "s": s, "past": p} for b, s, p in ((2, 3, 5), (1, 7, 0), (1, 1, 33))]
    inputs = [
        {
            "x": np.random.default_rng(i).standard_normal((d["b"], d["s"], 8)).astype(np.float32),
            **{
                n: np.full((d["b"], 2, d["past"], 4), 0.5, np.float32) for n in ("past_k", "past_v")
            },
        }
        for i, d in enumerate(sizes)
    ]
    check_native(model, inputs)
