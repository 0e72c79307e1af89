"""Small models of the families that matter, written out in ONNX the way exporters write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


class Writer:
    """Collects nodes and weights; every method returns the name of a value."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attrs: Any) -> Any:
        names = [f"{op_type.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, **attrs))
        return names[0] if outputs == 1 else names

    def const(self, value: object, dtype: str = "float32") -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.const(values, "int64")

    def weight(self, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
        return self.const(self.rng.standard_normal(shape) / np.sqrt(fan_in))

    def near(self, centre: float, *shape: int) -> str:
        return self.const(centre + 0.1 * self.rng.standard_normal(shape))

    def conv(self, x: str, c_in: int, c_out: int, k: int, **attrs: Any) -> str:
        return self.op("Conv", x, self.weight(c_out, c_in, k, k), self.near(0, c_out), **attrs)

    def linear(self, x: str, rows: int, columns: int) -> str:
        return self.op(
            "Add", self.op("MatMul", x, self.weight(rows, columns)), self.near(0, columns)
        )

    def silu(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def gelu(self, x: str) -> str:
        erf = self.op("Erf", self.op("Div", x, self.const(np.sqrt(2.0))))
        doubled = self.op("Mul", x, self.op("Add", erf, self.const(1.0)))
        return self.op("Mul", doubled, self.const(0.5))

    def layer_norm(self, x: str, width: int) -> str:
        return self.op("LayerNormalization", x, self.near(1, width), self.near(0, width), axis=-1)

    def group_norm(self, x: str, channels: int, groups: int) -> str:
        """GroupNorm as torch exports it before opset 21, by InstanceNormalization."""
        shape = self.op("Shape", x)
        grouped = self.op("Reshape", x, self.ints(0, groups, -1))
        ones, zeros = self.const(np.ones(groups)), self.const(np.zeros(groups))
        normal = self.op("InstanceNormalization", grouped, ones, zeros)
        back = self.op("Reshape", normal, shape)
        scaled = self.op("Mul", back, self.near(1, channels, 1, 1))
        return self.op("Add", scaled, self.near(0, channels, 1, 1))

    def heads(self, x: str, num_heads: int, head: int) -> str:
        """(b, s, heads * head) to (b, heads, s, head), sizes read from the tensor."""
        shape = self.op("Shape", x)
        b, s = (self.op("Gather", shape, self.const(i, "int64"), axis=0) for i in (0, 1))
        sizes = [self.op("Unsqueeze", d, self.ints(0)) for d in (b, s)]
        target = self.op("Concat", *sizes, self.ints(num_heads), self.ints(head), axis=0)
        return self.op("Transpose", self.op("Reshape", x, target), perm=[0, 2, 1, 3])

    def attention(self, x: str, width: int, num_heads: int, mask: str = "") -> str:
        head = width // num_heads
        q, k, v = self.op("Split", self.linear(x, width, 3 * width), outputs=3, axis=-1)
        q, k, v = (self.heads(t, num_heads, head) for t in (q, k, v))
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = self.op("Mul", scores, self.const(head**-0.5))
        if mask:
            scores = self.op("Add", scores, mask)
        context = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        flat = self.op(
            "Reshape", self.op("Transpose", context, perm=[0, 2, 1, 3]), self.ints(0, 0, -1)
        )
        return self.linear(flat, width, width)

    def transformer_layer(self, x: str, width: int, num_heads: int, mask: str = "") -> str:
        attended = self.attention(self.layer_norm(x, width), width, num_heads, mask)
        x = self.op("Add", x, attended)
        hidden = self.gelu(self.linear(self.layer_norm(x, width), width, 2 * width))
        return self.op("Add", x, self.linear(hidden, 2 * width, width))

    def model(
        self, inputs: dict[str, tuple[int, list[int | str]]], *results: str, opset: int = 17
    ) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(n, kind, dims) for n, (kind, dims) in inputs.items()]
        outputs = [helper.make_tensor_value_info(r, TensorProto.FLOAT, None) for r in results]
        graph = helper.make_graph(self.nodes, "family", infos, outputs, self.weights)
        opsets = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def unet() -> onnx.ModelProto:
    """One level of a diffusion U-Net.

    Residual blocks with a time embedding, attention over the image, down by a strided convolution,
    up by Resize and by ConvTranspose, a skip connection.
    """
    w, c = Writer(1), 8
    half = w.const(np.exp(-np.log(10000.0) * np.arange(4) / 4)[None])
    angle = w.op("Mul", w.op("Unsqueeze", w.op("Cast", "t", to=1), w.ints(1)), half)
    time = w.op("Concat", w.op("Cos", angle), w.op("Sin", angle), axis=-1)
    time = w.silu(w.linear(time, 8, c))

    def residual(x: str, c_in: int) -> str:
        h = w.conv(w.silu(w.group_norm(x, c_in, 4)), c_in, c, 3, pads=[1, 1, 1, 1])
        h = w.op("Add", h, w.op("Unsqueeze", w.linear(time, c, c), w.ints(2, 3)))
        h = w.conv(w.silu(w.group_norm(h, c, 2)), c, c, 3, pads=[1, 1, 1, 1])
        return w.op("Add", h, x if c_in == c else w.conv(x, c_in, c, 1))

    first = residual(w.conv("x", 4, c, 3, pads=[1, 1, 1, 1]), c)
    down = w.conv(first, c, c, 3, strides=[2, 2], pads=[1, 1, 1, 1])
    shape = w.op("Shape", down)
    flat = w.op("Transpose", w.op("Reshape", down, w.ints(0, 0, -1)), perm=[0, 2, 1])
    mixed = w.transformer_layer(flat, c, 2)
    middle = w.op("Reshape", w.op("Transpose", mixed, perm=[0, 2, 1]), shape)
    up = w.op("Resize", middle, "", w.const([1, 1, 2, 2]), mode="nearest",
              coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    up = w.conv(up, c, c, 3, pads=[1, 1, 1, 1])
    other = w.op("ConvTranspose", middle, w.weight(c, c, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])
    joined = residual(w.op("Concat", up, other, first, axis=1), 3 * c)
    return w.model({"x": (1, ["n", 4, 8, 12]), "t": (7, ["n"])}, w.conv(joined, c, 4, 1))


def whisper() -> onnx.ModelProto:
    """An audio encoder (two conv1d with GELU, positions, transformer), a causal decoder on it."""
    w, width, mels = Writer(2), 16, 6
    x = w.op("Conv", "mel", w.weight(width, mels, 3), w.near(0, width), pads=[1, 1])
    x = w.op(
        "Conv", w.gelu(x), w.weight(width, width, 3), w.near(0, width), pads=[1, 1], strides=[2]
    )
    x = w.op("Transpose", w.gelu(x), perm=[0, 2, 1])
    length = w.op("Shape", x, start=1, end=2)
    positions = w.op("Slice", w.near(0, 50, width), w.ints(0), length, w.ints(0))
    encoded = w.transformer_layer(w.op("Add", x, positions), width, 2)
    tokens = w.op("Gather", w.near(0, 30, width), "ids")
    n = w.op("Shape", "ids", start=1, end=2)
    square = w.op("Concat", n, n, axis=0)
    ones = w.op("ConstantOfShape", square, value=numpy_helper.from_array(np.ones(1, np.float32)))
    above = w.op("Cast", w.op("Trilu", ones, w.const(1, "int64"), upper=1), to=9)
    mask = w.op("Where", above, w.const(-np.inf), w.const(0.0))
    decoded = w.layer_norm(w.transformer_layer(tokens, width, 2, mask), width)
    scores = w.op("MatMul", decoded, w.op("Transpose", encoded, perm=[0, 2, 1]))
    context = w.op("MatMul", w.op("Softmax", scores, axis=-1), encoded)
    pooled = w.op("ReduceMax", context, axes=[1], keepdims=0)
    return w.model(
        {"mel": (1, ["b", mels, "frames"]), "ids": (7, ["b", "tokens"])}, context, pooled
    )


def vit() -> onnx.ModelProto:
    """A vision transformer: patches by convolution, class token, positions, transformer, a head."""
    w, width = Writer(3), 12
    patches = w.conv("image", 3, width, 4, strides=[4, 4])
    tokens = w.op("Transpose", w.op("Reshape", patches, w.ints(0, width, -1)), perm=[0, 2, 1])
    batch = w.op("Shape", "image", start=0, end=1)
    target = w.op("Concat", batch, w.ints(-1), w.ints(-1), axis=0)
    ones = w.op("ConstantOfShape", w.ints(3), value=numpy_helper.from_array(np.ones(1, np.int64)))
    kept = w.op("Equal", target, w.op("Mul", ones, w.ints(-1)))
    target = w.op("Where", kept, ones, target)
    cls = w.op("Expand", w.near(0, 1, 1, width), target)
    x = w.op("Add", w.op("Concat", cls, tokens, axis=1), w.near(0, 1, 13, width))
    for _ in range(2):
        x = w.transformer_layer(x, width, 3)
    first = w.op("Gather", w.layer_norm(x, width), w.const(0, "int64"), axis=1)
    logits = w.op("Gemm", first, w.weight(10, width), w.near(0, 10), transB=1)
    return w.model({"image": (1, ["n", 3, 12, 16])}, logits)


def llm() -> onnx.ModelProto:
    """A decoder layer in the operators of opset 23.

    RMS norm, rotary embedding, grouped heads, causal mask, gated MLP.
    """
    w, width, heads, kv_heads, head = Writer(4), 16, 4, 2, 4
    x = w.op("Gather", w.near(0, 20, width), "ids")
    y = w.op("RMSNormalization", x, w.near(1, width), axis=-1, epsilon=1e-6)
    q = w.heads(w.op("MatMul", y, w.weight(width, width)), heads, head)
    k, v = (w.heads(w.op("MatMul", y, w.weight(width, 8)), kv_heads, head) for _ in range(2))
    n = w.op("Squeeze", w.op("Shape", "ids", start=1), w.ints(0))
    place = w.op("Range", w.const(0, "int64"), n, w.const(1, "int64"))
    angles = w.op(
        "MatMul", w.op("Unsqueeze", w.op("Cast", place, to=1), w.ints(1)), w.const([[1.0, 0.1]])
    )
    angles = w.op("Concat", angles, angles, axis=-1)

    def rotate(t: str) -> str:
        low, high = w.op("Split", t, outputs=2, axis=-1, num_outputs=2)
        turned = w.op("Concat", w.op("Neg", high), low, axis=-1)
        return w.op(
            "Add", w.op("Mul", t, w.op("Cos", angles)), w.op("Mul", turned, w.op("Sin", angles))
        )

    def repeated(t: str) -> str:
        b, s = (w.op("Shape", t, start=i, end=i + 1) for i in (0, 2))
        five = w.op("Concat", b, w.ints(kv_heads, 2), s, w.ints(head), axis=0)
        four = w.op("Concat", b, w.ints(heads), s, w.ints(head), axis=0)
        return w.op("Reshape", w.op("Expand", w.op("Unsqueeze", t, w.ints(2)), five), four)

    q, k, v = rotate(q), repeated(rotate(k)), repeated(v)
    scores = w.op("MatMul", q, w.op("Transpose", k, perm=[0, 1, 3, 2]))
    rows = w.op("Unsqueeze", place, w.ints(1))
    future = w.op("Greater", w.op("Unsqueeze", place, w.ints(0)), rows)
    masked = w.op("Where", future, w.const(np.finfo(np.float32).min), scores)
    context = w.op("Transpose", w.op("MatMul", w.op("Softmax", masked), v), perm=[0, 2, 1, 3])
    context = w.op("Reshape", context, w.op("Shape", x))
    x = w.op("Add", x, w.op("MatMul", context, w.weight(width, width)))
    z = w.op("RMSNormalization", x, w.near(1, width), axis=-1)
    gated = w.op(
        "Mul",
        w.silu(w.op("MatMul", z, w.weight(width, 24))),
        w.op("MatMul", z, w.weight(width, 24)),
    )
    x = w.op("Add", x, w.op("MatMul", gated, w.weight(24, width)))
    tokens, best = w.op("TopK", w.op("MatMul", x, w.weight(width, 20)), w.ints(3), outputs=2)
    return w.model({"ids": (7, ["b", "s"])}, x, tokens, w.op("Cast", best, to=1), opset=23)


def mobile() -> onnx.ModelProto:
    """A mobile CNN block: expansion, depthwise convolution, squeeze and excitation, hard swish."""
    w = Writer(5)
    x = w.op("HardSwish", w.conv("x", 3, 8, 3, strides=[2, 2], auto_pad="SAME_UPPER"))
    h = w.op("Clip", w.conv(x, 8, 16, 1), w.const(0.0), w.const(6.0))
    h = w.op("Conv", h, w.weight(16, 1, 3, 3), pads=[1, 1, 1, 1], group=16)
    scale, bias, mean = w.near(1, 16), w.near(0, 16), w.near(0, 16)
    h = w.op("BatchNormalization", h, scale, bias, mean, w.near(1, 16))
    squeezed = w.op("Relu", w.conv(w.op("GlobalAveragePool", h), 16, 4, 1))
    h = w.op("Mul", h, w.op("HardSigmoid", w.conv(squeezed, 4, 16, 1), alpha=1 / 6))
    x = w.op("Add", x, w.conv(h, 16, 8, 1))
    x = w.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    pooled = w.op("Flatten", w.op("ReduceMean", x, axes=[2, 3]))
    return w.model({"x": (1, ["n", 3, 17, 15])}, w.op("Softmax", w.linear(pooled, 8, 5)))


FAMILIES = {
    "unet": (unet, ({"n": 1}, {"n": 2})),
    "whisper": (whisper, ({"b": 1, "frames": 8, "tokens": 3}, {"b": 2, "frames": 11, "tokens": 1})),
    "vit": (vit, ({"n": 1}, {"n": 3})),
    "llm": (llm, ({"b": 1, "s": 5}, {"b": 2, "s": 1})),
    "mobile": (mobile, ({"n": 1}, {"n": 2})),
}


def family_inputs(model: onnx.ModelProto, dims: dict[str, int]) -> dict[str, NDArray[Any]]:
    """Return one array per input; integers are small."""
    rng = np.random.default_rng(6)
    arrays: dict[str, NDArray[Any]] = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [d.dim_value or dims[d.dim_param] for d in tensor.shape.dim]
        if tensor.elem_type == TensorProto.INT64:
            arrays[value.name] = rng.integers(0, 20, shape)
        else:
            arrays[value.name] = rng.standard_normal(shape).astype(np.float32)
    return arrays
