"""Snapshots built by hand: program nodes, and equal forms as rules would add them."""

from __future__ import annotations

import numpy as np
import pytest

from eqsat._snapshot import CONSTANT, INPUT, TUPLE_GET_ITEM, EClass, ENode, ShapeOperand, Snapshot
from eqsat.ir import ObjectType, OperandKind, ShapeType, TensorType, TupleType, infer_type, op
from eqsat.shapes import sym


class GraphBuilder:
    """Adds e-nodes; `into` puts one into the class of an equal one."""

    def __init__(self):
        self.types = {}
        self.nodes = {}
        self.constants = set()
        self.num_inputs = 0

    def _new(self, ty, node, into=None, is_constant=False):
        c = len(self.types) if into is None else into
        if into is None:
            self.types[c] = ty
            self.nodes[c] = []
        else:
            assert self.types[c] == ty, (self.types[c], ty)
        self.nodes[c].append(node)
        if is_constant:
            self.constants.add(c)
        return c

    def input(self, *shape, dtype="float32"):
        self.num_inputs += 1
        node = ENode(INPUT, (), {"index": self.num_inputs - 1})
        return self._new(TensorType(tuple(shape), dtype), node)

    def weight(self, *shape):
        node = ENode(CONSTANT, (), {}, "", np.zeros(shape, np.float32))
        return self._new(TensorType(tuple(shape), "float32"), node, is_constant=True)

    def scalar(self, value):
        node = ENode(CONSTANT, (), {}, "", np.asarray(value, np.float32))
        return self._new(TensorType((), "float32"), node, is_constant=True)

    def call(self, name, *args, rule="", into=None, **attrs):
        definition = op(name)
        operands, types = [], []
        padded = (*args, *(None,) * (len(definition.operands) - len(args)))
        for operand, arg in zip(definition.operands, padded, strict=True):
            if arg is None:
                operands.append(None)
                types.append(ObjectType())
            elif operand.kind is OperandKind.SHAPE:
                operands.append(ShapeOperand(tuple(arg)))
                types.append(ShapeType(tuple(arg)))
            elif operand.kind is OperandKind.TENSORS:
                operands.append(tuple(arg))
                types.append(TupleType(tuple(self.types[c] for c in arg)))
            else:
                operands.append(arg)
                types.append(self.types[arg])
        filled = definition.fill_attrs(attrs)
        ty = infer_type(definition, types, filled)
        node = ENode(name, tuple(operands), filled, rule)
        children = node.children
        constant = bool(children) and all(c in self.constants for c in children)
        return self._new(ty, node, into, constant)

    def field(self, c, index, rule="", into=None):
        node = ENode(TUPLE_GET_ITEM, (c,), {"index": index}, rule)
        return self._new(self.types[c].fields[index], node, into)

    def snapshot(self, *outputs):
        classes = {
            c: EClass(c, ty, tuple(self.nodes[c]), c in self.constants)
            for c, ty in self.types.items()
        }
        return Snapshot(classes, tuple(outputs))

    def renamed(self, outputs, order):
        """Return the same e-graph with other ids, classes and e-nodes listed in another order."""
        new = {c: 1000 - i for i, c in enumerate(order)}

        def ref(o):
            if isinstance(o, tuple):
                return tuple(new[c] for c in o)
            return new[o] if isinstance(o, int) else o

        classes = {}
        for c in order:
            nodes = tuple(
                ENode(n.op, tuple(ref(o) for o in n.operands), n.attrs, n.rule, n.value)
                for n in reversed(self.nodes[c])
            )
            classes[new[c]] = EClass(new[c], self.types[c], nodes, c in self.constants)
        return Snapshot(classes, tuple(new[o] for o in outputs))


def layer_norm(b, x, width):
    mean = b.call("mean", x, axis=(-1,), keepdims=True)
    centred = b.call("subtract", x, mean)
    squares = b.call("multiply", centred, centred)
    variance = b.call("mean", squares, axis=(-1,), keepdims=True)
    scale = b.call("rsqrt", b.call("add", variance, b.scalar(1e-5)))
    return b.call(
        "add",
        b.call("multiply", b.call("multiply", centred, scale), b.weight(width)),
        b.weight(width),
    )


def softmax(b, x):
    shifted = b.call("exp", b.call("subtract", x, b.call("max", x, axis=(-1,), keepdims=True)))
    return b.call("divide", shifted, b.call("sum", shifted, axis=(-1,), keepdims=True))


def gelu(b, x):
    inner = b.call("erf", b.call("multiply", x, b.scalar(0.7071)))
    half = b.call("multiply", x, b.scalar(0.5))
    return b.call("multiply", half, b.call("add", inner, b.scalar(1.0)))


def attention(b, x, n, s, width, heads):
    weights = [b.weight(width, width) for _ in range(3)]
    biases = [b.weight(width) for _ in range(3)]
    parts = [b.call("add", b.call("matmul", x, w), v) for w, v in zip(weights, biases, strict=True)]
    # One product for all three, as the merge rule gives it.
    w = b.call("concat", weights, axis=1, rule="merge")
    v = b.call("concat", biases, axis=0, rule="merge")
    merged = b.call("add", b.call("matmul", x, w, rule="merge"), v, rule="merge")
    pieces = b.call("split", merged, indices_or_sections=3, axis=-1, rule="merge")
    for i, part in enumerate(parts):
        b.field(pieces, i, rule="merge", into=part)
    heads_of = []
    for part, axes in zip(parts, ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)), strict=True):
        shaped = b.call("reshape", part, (n, s, heads, width // heads))
        heads_of.append(b.call("permute_dims", shaped, axes=axes))
    q, k, value = heads_of
    scores = b.call("multiply", b.call("matmul", q, k), b.scalar(0.125))
    mixed = b.call("matmul", softmax(b, scores), value)
    joined = b.call("permute_dims", mixed, axes=(0, 2, 1, 3))
    flat = b.call("reshape", joined, (n, s, width))
    return b.call("add", b.call("matmul", flat, b.weight(width, width)), b.weight(width))


def transformer(layers, width=384, heads=12):
    """Return the builder and outputs of an encoder with symbolic batch and sequence length."""
    b = GraphBuilder()
    n, s = sym("n"), sym("s")
    x = b.input(n, s, width)
    for _ in range(layers):
        x = layer_norm(b, b.call("add", x, attention(b, x, n, s, width, heads)), width)
        hidden = b.call("add", b.call("matmul", x, b.weight(width, 4 * width)), b.weight(4 * width))
        out = b.call("matmul", gelu(b, hidden), b.weight(4 * width, width))
        out = b.call("add", out, b.weight(width))
        x = layer_norm(b, b.call("add", x, out), width)
    return b, (x,)


def conv(b, x, c_in, c_out, k=1, strides=1, rule="", into=None):
    pad = k // 2
    return b.call(
        "nn.conv2d",
        x,
        b.weight(c_out, c_in, k, k),
        strides=(strides, strides),
        padding=(pad, pad, pad, pad),
        rule=rule,
        into=into,
    )


def conv_norm(b, x, c_in, c_out, k=1, strides=1):
    """Return a convolution and its normalisation, and the folded form as rules give it."""
    y = conv(b, x, c_in, c_out, k, strides)
    scaled = b.call("multiply", y, b.weight(c_out, 1, 1))
    shifted = b.call("add", scaled, b.weight(c_out, 1, 1))
    folded = conv(b, x, c_in, c_out, k, strides, rule="fold")
    b.call("add", folded, b.weight(c_out, 1, 1), rule="fold", into=shifted)
    return shifted


def relu(b, x):
    return b.call("nn.relu", x)


def resnet(blocks=(3, 4, 6, 3)):
    """Return the builder and outputs of a bottleneck residual network."""
    b = GraphBuilder()
    x = b.input(sym("n"), 3, 224, 224)
    x = relu(b, conv_norm(b, x, 3, 64, 7, 2))
    x = b.call("nn.max_pool2d", x, pool_size=(3, 3), strides=(2, 2), padding=(1, 1, 1, 1))
    c_in = 64
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for i in range(count):
            strides = 2 if stage and not i else 1
            y = relu(b, conv_norm(b, x, c_in, width))
            y = relu(b, conv_norm(b, y, width, width, 3, strides))
            y = conv_norm(b, y, width, 4 * width)
            skip = x if i else conv_norm(b, x, c_in, 4 * width, 1, strides)
            x = relu(b, b.call("add", y, skip))
            c_in = 4 * width
    x = b.call("mean", x, axis=(2, 3), keepdims=False)
    return b, (b.call("add", b.call("matmul", x, b.weight(c_in, 1000)), b.weight(1000)),)


def scale_shift(b, x, channels):
    scaled = b.call("multiply", x, b.weight(channels, 1, 1))
    return relu(b, b.call("add", scaled, b.weight(channels, 1, 1)))


def densenet(blocks=(6, 12, 24, 16), growth=32):
    """Return the builder and outputs of a densely connected network."""
    b = GraphBuilder()
    x = b.input(sym("n"), 3, 224, 224)
    x = relu(b, conv_norm(b, x, 3, 64, 7, 2))
    x = b.call("nn.max_pool2d", x, pool_size=(3, 3), strides=(2, 2), padding=(1, 1, 1, 1))
    channels = 64
    for stage, count in enumerate(blocks):
        for _ in range(count):
            y = conv(b, scale_shift(b, x, channels), channels, 4 * growth)
            y = conv(b, scale_shift(b, y, 4 * growth), 4 * growth, growth, 3)
            x = b.call("concat", (x, y), axis=1)
            channels += growth
        if stage < len(blocks) - 1:
            x = conv(b, scale_shift(b, x, channels), channels, channels // 2)
            channels //= 2
            x = b.call("nn.avg_pool2d", x, pool_size=(2, 2), strides=(2, 2))
    x = b.call("mean", scale_shift(b, x, channels), axis=(2, 3), keepdims=False)
    return b, (b.call("matmul", x, b.weight(channels, 1000)),)


@pytest.fixture
def builder():
    return GraphBuilder()


@pytest.fixture
def models():
    return {"transformer": transformer, "resnet": resnet, "densenet": densenet}


@pytest.fixture(scope="session")
def graph_builder():
    return GraphBuilder
