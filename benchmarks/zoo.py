"""The models that the demo, the tests and the benchmarks run; none needs a download.

Convolutional networks are the real graphs that the `onnx` package carries with constant weights;
they get seeded He-scaled weights and a symbolic batch `N` here. The transformer encoder is written
out in ONNX with symbolic batch `N` and sequence length `S`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LIGHT_MODELS = (
    "resnet50",
    "densenet121",
    "squeezenet",
    "inception_v1",
    "inception_v2",
    "shufflenet",
    "bvlc_alexnet",
    "vgg19",
    "zfnet512",
)


def light_model(name: str, *, seed: int = 0, with_softmax: bool = False) -> onnx.ModelProto:
    """Return the graph `light_<name>` of the onnx package with random weights and symbolic batch.

    The final Softmax is cut off unless `with_softmax`: with random weights it saturates and would
    hide errors.
    """
    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    model = onnx.load(path)
    graph = model.graph
    if not with_softmax and graph.node[-1].op_type == "Softmax":
        _cut_last(graph)
    _randomize_weights(graph, np.random.default_rng(seed))
    _make_batch_symbolic(graph)
    model.ir_version = 8  # IR 3 lists every weight among the inputs
    onnx.checker.check_model(model)
    return model


def _cut_last(graph: onnx.GraphProto) -> None:
    last = graph.node[-1]
    graph.output[0].name = last.input[0]
    del graph.node[-1]


def _randomize_weights(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    """Replace each ConstantOfShape by an initializer scaled for the operator that reads it."""
    stored = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    filled = {
        n.output[0]: tuple(int(d) for d in stored[n.input[0]])
        for n in graph.node
        if n.op_type == "ConstantOfShape"
    }
    readers = {name: (n, i) for n in reversed(graph.node) for i, name in enumerate(n.input)}
    kept = [n for n in graph.node if n.op_type != "ConstantOfShape"]
    shape_inputs = {n.input[0] for n in graph.node if n.op_type == "ConstantOfShape"}
    initializers = [i for i in graph.initializer if i.name not in shape_inputs]
    for name, shape in filled.items():
        value = _random_weight(*_reader_of(name, readers), shape, rng)
        initializers.append(numpy_helper.from_array(value, name))
    names = {i.name for i in initializers} | shape_inputs
    inputs = [i for i in graph.input if i.name not in names]
    for field, items in (
        (graph.node, kept),
        (graph.initializer, initializers),
        (graph.input, inputs),
    ):
        del field[:]
        field.extend(items)


def _reader_of(name: str, readers: dict[str, tuple[onnx.NodeProto, int]]) -> tuple[str, int]:
    node, index = readers[name]
    while node.op_type == "Unsqueeze":
        node, index = readers[node.output[0]]
    return node.op_type, index


def _random_weight(
    op_type: str, index: int, shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape, dtype=np.float32)
    match op_type, index:
        case ("Conv", 1):
            return noise * np.float32(np.sqrt(2.0 / np.prod(shape[1:])))
        case ("Gemm" | "MatMul", 1):
            return noise * np.float32(np.sqrt(1.0 / max(shape)))
        case ("BatchNormalization", 4):
            return np.float32(0.5) + np.abs(noise)
        case ("BatchNormalization", 1) | ("Mul", _):
            return np.float32(0.8) + np.float32(0.1) * noise
        case _:
            return np.float32(0.1) * noise


def _make_batch_symbolic(graph: onnx.GraphProto) -> None:
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims) > 1:
            dims[0].dim_param = "N"
    targets = {n.input[1] for n in graph.node if n.op_type == "Reshape"}
    for initializer in graph.initializer:
        if initializer.name in targets:
            target = numpy_helper.to_array(initializer).copy()
            if target[0] == 1:
                target[0] = 0  # ONNX: copy this dim from the input
            initializer.CopyFrom(numpy_helper.from_array(target, initializer.name))


class GraphWriter:
    """Collects ONNX nodes and initializers, naming each value."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def op(self, op_type: str, *inputs: str, **attrs: object) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], **attrs))
        return output

    def const(self, value: object, dtype: type = np.float32) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weight(self, *shape: int) -> str:
        scale = 1.0 / np.sqrt(shape[0])
        return self.const(self.rng.standard_normal(shape) * scale)

    def linear(self, x: str, rows: int, columns: int) -> str:
        product = self.op("MatMul", x, self.weight(rows, columns))
        return self.op("Add", product, self.const(0.1 * self.rng.standard_normal(columns)))

    def layer_norm(self, x: str, size: int) -> str:
        mean = self.op("ReduceMean", x, axes=[-1], keepdims=1)
        centred = self.op("Sub", x, mean)
        squared = self.op("Pow", centred, self.const(2.0))
        variance = self.op("ReduceMean", squared, axes=[-1], keepdims=1)
        deviation = self.op("Sqrt", self.op("Add", variance, self.const(1e-5)))
        normal = self.op("Div", centred, deviation)
        scaled = self.op("Mul", normal, self.const(1 + 0.1 * self.rng.standard_normal(size)))
        return self.op("Add", scaled, self.const(0.1 * self.rng.standard_normal(size)))

    def gelu(self, x: str) -> str:
        erf = self.op("Erf", self.op("Div", x, self.const(np.sqrt(2.0))))
        return self.op(
            "Mul", self.op("Mul", x, self.op("Add", erf, self.const(1.0))), self.const(0.5)
        )

    def heads(self, x: str, num_heads: int, head: int) -> str:
        split = self.op("Reshape", x, self.const([0, 0, num_heads, head], np.int64))
        return self.op("Transpose", split, perm=[0, 2, 1, 3])

    def attention(self, x: str, width: int, num_heads: int) -> str:
        head = width // num_heads
        q, k, v = (self.heads(self.linear(x, width, width), num_heads, head) for _ in range(3))
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        scaled = self.op("Div", scores, self.const(np.sqrt(head)))
        context = self.op("MatMul", self.op("Softmax", scaled, axis=-1), v)
        merged = self.op("Transpose", context, perm=[0, 2, 1, 3])
        flat = self.op("Reshape", merged, self.const([0, 0, width], np.int64))
        return self.linear(flat, width, width)

    def encoder_layer(self, x: str, width: int, num_heads: int) -> str:
        attended = self.op("Add", x, self.attention(x, width, num_heads))
        normal = self.layer_norm(attended, width)
        hidden = self.gelu(self.linear(normal, width, 4 * width))
        return self.layer_norm(self.op("Add", normal, self.linear(hidden, 4 * width, width)), width)


def transformer_encoder(
    *, num_layers: int = 4, width: int = 256, num_heads: int = 8, seed: int = 0
) -> onnx.ModelProto:
    """Return a transformer encoder, input x: f32[N, S, width], both N and S symbolic."""
    writer = GraphWriter(seed)
    value = "x"
    for _ in range(num_layers):
        value = writer.encoder_layer(value, width, num_heads)
    graph = helper.make_graph(
        writer.nodes,
        "transformer_encoder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "S", width])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, ["N", "S", width])],
        writer.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def random_inputs(
    model: onnx.ModelProto, dims: dict[str, int], *, seed: int = 0
) -> dict[str, NDArray[np.generic]]:
    """Return one random array per graph input with the symbols of `dims` filled in."""
    rng = np.random.default_rng(seed)
    given = {i.name for i in model.graph.initializer}
    arrays: dict[str, NDArray[np.generic]] = {}
    for value in model.graph.input:
        if value.name in given:
            continue
        tensor = value.type.tensor_type
        shape = [_size(d, dims) for d in tensor.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        arrays[value.name] = _random_array(value.name, shape, dtype, rng)
    return arrays


def _size(dim: onnx.TensorShapeProto.Dimension, dims: dict[str, int]) -> int:
    if dim.WhichOneof("value") == "dim_value":
        return dim.dim_value
    return int(eval(dim.dim_param, {"__builtins__": {}}, dims))  # an expression over the symbols


def _random_array(
    name: str, shape: list[int], dtype: np.dtype[np.generic], rng: np.random.Generator
) -> NDArray[np.generic]:
    if dtype.kind == "b" or "mask" in name:
        return np.ones(shape, dtype)
    if dtype.kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


CONVOLUTIONAL: dict[str, Callable[[], onnx.ModelProto]] = {
    name: lambda name=name: light_model(name)
    for name in ("resnet50", "densenet121", "squeezenet", "inception_v2", "shufflenet")
}
