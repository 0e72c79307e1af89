"""More graphs for measuring the optimizer, written out in ONNX as exporters write them.

Weights are seeded and random; sizes are small where only the shape of the graph matters.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from benchmarks.zoo import GraphWriter, transformer_encoder

Inputs = dict[str, list[int | str]]


def _model(writer: GraphWriter, inputs: Inputs, outputs: list[str]) -> onnx.ModelProto:
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
        for name, dims in inputs.items()
    ]
    results = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
    graph = helper.make_graph(writer.nodes, "graph", infos, results, writer.initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _ints(writer: GraphWriter, *values: int) -> str:
    return writer.const(list(values), np.int64)


def _conv(writer: GraphWriter, x: str, c_in: int, c_out: int, size: int, **attrs: object) -> str:
    weight = writer.const(
        writer.rng.standard_normal((c_out, c_in, size, size)) / np.sqrt(c_in * size * size)
    )
    return writer.op("Conv", x, weight, writer.const(np.zeros(c_out)), **attrs)


def bert() -> onnx.ModelProto:
    """Return a 12-layer encoder; x: f32[N, S, 384]."""
    return transformer_encoder(num_layers=12, width=384, num_heads=6)


def vit(*, num_layers: int = 12, width: int = 192, num_heads: int = 3) -> onnx.ModelProto:
    """Return a vision transformer with 16×16 patches; image: f32[N, 3, 224, 224]."""
    w = GraphWriter(1)
    patches = _conv(w, "image", 3, width, 16, strides=[16, 16])
    flat = w.op("Reshape", patches, _ints(w, 0, width, 196))
    x = w.op("Transpose", flat, perm=[0, 2, 1])
    x = w.op("Add", x, w.const(0.1 * w.rng.standard_normal((1, 196, width))))
    for _ in range(num_layers):
        x = w.op("Add", x, w.attention(w.layer_norm(x, width), width, num_heads))
        hidden = w.gelu(w.linear(w.layer_norm(x, width), width, 4 * width))
        x = w.op("Add", x, w.linear(hidden, 4 * width, width))
    pooled = w.op("ReduceMean", w.layer_norm(x, width), axes=[1], keepdims=0)
    return _model(w, {"image": ["N", 3, 224, 224]}, [w.linear(pooled, width, 1000)])


def _rms_norm(w: GraphWriter, x: str, width: int) -> str:
    squares = w.op("ReduceMean", w.op("Pow", x, w.const(2.0)), axes=[-1], keepdims=1)
    root = w.op("Sqrt", w.op("Add", squares, w.const(1e-6)))
    normal = w.op("Mul", x, w.op("Div", w.const(1.0), root))
    return w.op("Mul", normal, w.const(1 + 0.1 * w.rng.standard_normal(width)))


def _rotated(w: GraphWriter, x: str, head: int) -> str:
    half = head // 2
    low = w.op("Slice", x, _ints(w, 0), _ints(w, half), _ints(w, 3))
    high = w.op("Slice", x, _ints(w, half), _ints(w, head), _ints(w, 3))
    turned = w.op("Concat", w.op("Neg", high), low, axis=-1)
    return w.op("Add", w.op("Mul", x, "cos"), w.op("Mul", turned, "sin"))


def llama_step(
    *, num_layers: int = 8, width: int = 256, num_heads: int = 8, num_kv_heads: int = 2
) -> onnx.ModelProto:
    """Return a decoder step over a cache of symbolic length P; x: f32[1, 1, width]."""
    w, head = GraphWriter(2), width // num_heads
    repeats = num_heads // num_kv_heads
    inputs: Inputs = {"x": [1, 1, width], "cos": [1, head], "sin": [1, head]}
    x, outputs = "x", []

    def heads(y: str, count: int) -> str:
        flat = w.op("MatMul", y, w.weight(width, count * head))
        split = w.op("Reshape", flat, _ints(w, 1, 1, count, head))
        return w.op("Transpose", split, perm=[0, 2, 1, 3])

    def cached(new: str, name: str) -> str:
        inputs[name] = [1, num_kv_heads, "P", head]
        outputs.append(w.op("Concat", name, new, axis=2))
        five = w.op("Unsqueeze", outputs[-1], _ints(w, 2))
        tiled = w.op("Concat", *[five] * repeats, axis=2)
        return w.op("Reshape", tiled, _ints(w, 1, num_heads, -1, head))

    for i in range(num_layers):
        y = _rms_norm(w, x, width)
        q = _rotated(w, heads(y, num_heads), head)
        k = cached(_rotated(w, heads(y, num_kv_heads), head), f"past_k{i}")
        v = cached(heads(y, num_kv_heads), f"past_v{i}")
        scores = w.op("MatMul", q, w.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = w.op("Div", scores, w.const(np.sqrt(head)))
        context = w.op("MatMul", w.op("Softmax", scores, axis=-1), v)
        merged = w.op("Reshape", w.op("Transpose", context, perm=[0, 2, 1, 3]), _ints(w, 1, 1, -1))
        x = w.op("Add", x, w.op("MatMul", merged, w.weight(width, width)))
        z = _rms_norm(w, x, width)
        gate = w.op("MatMul", z, w.weight(width, 3 * width))
        gate = w.op("Mul", gate, w.op("Sigmoid", gate))
        up = w.op("MatMul", z, w.weight(width, 3 * width))
        x = w.op("Add", x, w.op("MatMul", w.op("Mul", gate, up), w.weight(3 * width, width)))
    logits = w.op("MatMul", _rms_norm(w, x, width), w.weight(width, 1000))
    return _model(w, inputs, [logits, *outputs])


def _group_norm(w: GraphWriter, x: str, channels: int, groups: int) -> str:
    grouped = w.op("Reshape", x, _ints(w, 0, groups, -1))
    ones, zeros = w.const(np.ones(groups)), w.const(np.zeros(groups))
    normal = w.op("InstanceNormalization", grouped, ones, zeros)
    back = w.op("Reshape", normal, w.op("Shape", x))
    scaled = w.op("Mul", back, w.const(np.ones((channels, 1, 1))))
    return w.op("Add", scaled, w.const(np.zeros((channels, 1, 1))))


def unet_block(*, width: int = 64) -> onnx.ModelProto:
    """Return two residual blocks and one of attention of a diffusion U-Net.

    Inputs: x f32[N, 4, 32, 32], and t f32[N, 320], the embedded time.
    """
    w = GraphWriter(3)

    def silu(x: str) -> str:
        return w.op("Mul", x, w.op("Sigmoid", x))

    def residual(x: str) -> str:
        h = _conv(w, silu(_group_norm(w, x, width, 8)), width, width, 3, pads=[1, 1, 1, 1])
        time = w.op("Unsqueeze", w.linear(silu("t"), 320, width), _ints(w, 2, 3))
        h = silu(_group_norm(w, w.op("Add", h, time), width, 8))
        return w.op("Add", x, _conv(w, h, width, width, 3, pads=[1, 1, 1, 1]))

    x = residual(_conv(w, "x", 4, width, 3, pads=[1, 1, 1, 1]))
    flat = w.op("Transpose", w.op("Reshape", x, _ints(w, 0, width, 1024)), perm=[0, 2, 1])
    flat = w.encoder_layer(flat, width, 4)
    image = w.op("Transpose", flat, perm=[0, 2, 1])
    x = residual(w.op("Reshape", image, _ints(w, 0, width, 32, 32)))
    return _model(w, {"x": ["N", 4, 32, 32], "t": ["N", 320]}, [x])


def lstm(*, steps: int = 20, num_layers: int = 2, width: int = 64) -> onnx.ModelProto:
    """Return an LSTM written out step by step; x: f32[N, steps, width]."""
    w = GraphWriter(4)
    rows = w.op("Split", "x", _ints(w, *[1] * steps), axis=1)
    w.nodes[-1].output[:] = [f"{rows}_{i}" for i in range(steps)]
    sequence = [w.op("Squeeze", f"{rows}_{i}", _ints(w, 1)) for i in range(steps)]
    zeros = w.op("Sub", sequence[0], sequence[0])
    for _ in range(num_layers):
        read, kept = w.weight(width, 4 * width), w.weight(width, 4 * width)
        bias, h, c = w.const(np.zeros(4 * width)), zeros, zeros
        for t, x in enumerate(sequence):
            sums = w.op("Add", w.op("MatMul", x, read), w.op("MatMul", h, kept))
            gates = w.op("Split", w.op("Add", sums, bias), _ints(w, *[width] * 4), axis=1)
            w.nodes[-1].output[:] = [f"{gates}_{i}" for i in range(4)]
            take, forget, cell, give = (f"{gates}_{i}" for i in range(4))
            added = w.op("Mul", w.op("Sigmoid", take), w.op("Tanh", cell))
            c = w.op("Add", w.op("Mul", w.op("Sigmoid", forget), c), added)
            h = w.op("Mul", w.op("Sigmoid", give), w.op("Tanh", c))
            sequence[t] = h
    return _model(w, {"x": ["N", steps, width]}, [h])


def deep_encoder() -> onnx.ModelProto:
    """Return an encoder of about 10,000 operators; x: f32[N, S, 16]."""
    return transformer_encoder(num_layers=250, width=16, num_heads=2)
