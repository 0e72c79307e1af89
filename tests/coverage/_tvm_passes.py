"""More of what TVM Relax's passes are tested with: norms, layouts, bindings and whole modules.

A `Pair` is a straight-line program; a `ModulePair` is text, for what needs functions, branches,
tuples as parameters or sizes bound inside. Ours must not cost more than what the pass makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import indent

from tests.coverage._tvm_pairs import Pair, pair

# --- norms ----------------------------------------------------------------------------------

_CHANNELS = {"g": "8", "b": "8", "m": "8", "v": "+ 8"}
_KERNEL = {"w": "= 8 4 3 3", "g": "= 8", "b": "= 8", "m": "= 8", "v": "= + 8"}


def _batch_norm(x: str, axis: int, *, training: bool) -> str:
    return (
        f"nn.batch_norm({x}, g, b, m, v, axis={axis}, epsilon=1e-5, momentum=0.1, "
        f"training={training})"
    )


def _normal(mean: str, variance: str, shape: str) -> str:
    """Return batch norm with these statistics, one operator per step."""
    return (
        f"(x - reshape({mean}, {shape})) / sqrt(reshape({variance}, {shape}) + 1e-5)"
        f" * reshape(g, {shape}) + reshape(b, {shape})"
    )


def _trained(name: str, x: str, axis: int, dims: Mapping[str, int]) -> Pair:
    others = [a for a in range(4) if a != axis]
    shape = tuple(8 if a == axis else 1 for a in range(4))
    return pair(
        name,
        f"y = {_batch_norm('x', axis, training=True)}\n[y[0], y[1], y[2]]",
        f"mu = mean(x, axis={others})\nnu = variance(x, axis={others})\n"
        f"[{_normal('mu', 'nu', str(shape))}, 0.9 * m + 0.1 * mu, 0.9 * v + 0.1 * nu]",
        dims,
        x=x,
        **_CHANNELS,
    )


def _folded(name: str, x: str, axis: int, layouts: str, kernel: str) -> Pair:
    """Return a convolution whose scale and shift go into its kernel and a bias."""
    by_axis = tuple(8 if a == axis else 1 for a in range(4))
    conv = f"nn.conv2d(x, {{kernel}}, padding=1{layouts})"
    given = conv.format(kernel="w")
    scaled = conv.format(kernel=f"w * reshape(s, {(8, 1, 1, 1)})")
    return pair(
        name,
        f"nn.relu({_batch_norm(given, axis, training=False)}[0])",
        f"s = g / sqrt(v + 1e-5)\nnn.relu({scaled} + reshape(b - m * s, {by_axis}))",
        {"n": 1},
        x=x,
        **{**_KERNEL, "w": kernel},
    )


NORMS = (
    _trained("batchnorm-of-batch", "n 8 14 14", 1, {"n": 4}),
    _trained("batchnorm-of-batch-of-any-size", "n 8 h k", 1, {"n": 4, "h": 28, "k": 28}),
    _trained("batchnorm-of-batch-nhwc", "4 14 14 8", 3, {}),
    pair(
        "batchnorm-keeps-statistics",
        f"y = {_batch_norm('x', 1, training=False)}\n[y[0], y[1], y[2]]",
        f"[{_normal('m', 'v', '(1, 8, 1, 1)')}, m, v]",
        x="2 8 14 14",
        **_CHANNELS,
    ),
    pair(
        "decompose-layernorm",
        "nn.layer_norm(x, g, b, axes=[-2, -1], epsilon=1e-5)",
        "(x - mean(x, axis=[-2, -1], keepdims=True))"
        " / sqrt(variance(x, axis=[-2, -1], keepdims=True) + 1e-5) * g + b",
        x="2 8 28 28",
        g="28 28",
        b="28 28",
    ),
    pair(
        "decompose-layernorm-of-any-size",
        "nn.layer_norm(x, g, b, axes=[-1], epsilon=1e-5)",
        "(x - mean(x, axis=[-1], keepdims=True))"
        " / sqrt(variance(x, axis=[-1], keepdims=True) + 1e-5) * g + b",
        {"n": 1, "s": 128},
        x="n s 128",
        g="128",
        b="128",
    ),
    _folded("fold-batchnorm-nchw", "n 4 14 14", 1, "", "= 8 4 3 3"),
    _folded(
        "fold-batchnorm-nhwc",
        "n 14 14 4",
        3,
        ", data_layout='NHWC', kernel_layout='OHWI'",
        "= 8 3 3 4",
    ),
    _folded("fold-batchnorm-groups", "n 4 14 14", 1, ", groups=4", "= 8 1 3 3"),
)

# --- layouts --------------------------------------------------------------------------------

_NHWC = "data_layout='NHWC', kernel_layout='OHWI'"
_BACK = "permute_dims({0}, (0, 3, 1, 2))"


def _converted(name: str, after: str, then: str, kernel: str = "4 3 3 3", **inputs: str) -> Pair:
    """Return a convolution and what follows, in NCHW and as ConvertLayout has it in NHWC."""
    return pair(
        f"layout-{name}",
        f"c = nn.conv2d(x, w)\n{after}",
        "y = permute_dims(x, (0, 2, 3, 1))\nk = permute_dims(w, (0, 2, 3, 1))\n"
        f"c = nn.conv2d(y, k, {_NHWC})\n{then}",
        x="2 3 28 28",
        w=kernel,
        **inputs,
    )


def _both(name: str, after: str, then: str, **inputs: str) -> Pair:
    return _converted(name, after, _BACK.format(then), **inputs)


LAYOUTS = (
    _both("conv", "c", "c"),
    _both("tanh-of-relu", "tanh(nn.relu(c))", "tanh(nn.relu(c))"),
    _both("sum-of-two", "c + z", "c + permute_dims(z, (0, 2, 3, 1))", z="2 4 26 26"),
    _both("bias", "c + z", "c + permute_dims(z, (0, 2, 3, 1))", z="1 4 1 1"),
    _converted("sum", "sum(c, axis=[2, 3])", "sum(c, axis=[1, 2])"),
    _converted("sum-of-channels", "sum(c, axis=[-3])", "sum(c, axis=[3])"),
    _both(
        "sum-kept",
        "sum(c, axis=[2, 3], keepdims=True)",
        "sum(c, axis=[1, 2], keepdims=True)",
    ),
    _converted("sum-of-all", "sum(c)", "sum(c)"),
    _converted(
        "permute",
        "permute_dims(c, (3, 2, 1, 0))",
        "permute_dims(c, (2, 1, 3, 0))",
        kernel="4 3 3 3",
    ),
    _both("softmax", "nn.softmax(c, axis=1)", "nn.softmax(c, axis=3)"),
    _both("concat", "concat([c, nn.relu(c)], axis=1)", "concat([c, nn.relu(c)], axis=3)"),
    _both(
        "max-pool",
        "nn.max_pool2d(c, pool_size=(2, 2), strides=(2, 2))",
        "nn.max_pool2d(c, pool_size=(2, 2), strides=(2, 2), layout='NHWC')",
    ),
    _both(
        "average-pool",
        "nn.avg_pool2d(c, pool_size=(2, 2), strides=(2, 2))",
        "nn.avg_pool2d(c, pool_size=(2, 2), strides=(2, 2), layout='NHWC')",
    ),
    _both(
        "adaptive-pool",
        "nn.adaptive_avg_pool2d(c, output_size=(13, 13))",
        "nn.adaptive_avg_pool2d(c, output_size=(13, 13), layout='NHWC')",
    ),
    _both(
        "slice",
        "strided_slice(c, axes=(1, 2), begin=(0, 3), end=(3, 20), strides=(1, 2))",
        "strided_slice(c, axes=(3, 1), begin=(0, 3), end=(3, 20), strides=(1, 2))",
    ),
    _both(
        "layer-norm",
        "nn.layer_norm(c, g, b, axes=[-2, -1])",
        "nn.layer_norm(c, g, b, axes=[1, 2])",
        g="26 26",
        b="26 26",
    ),
    _both(
        "resize",
        "image.resize2d(c, (52, 52), layout='NCHW')",
        "image.resize2d(c, (52, 52), layout='NHWC')",
    ),
)

# --- whole modules --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ModulePair:
    """A module as text and what the pass makes of it; `sizes` of dims, for the numbers."""

    name: str
    given: str
    expected: str
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])


_XY = "x: R.Tensor((2, 3), 'float32'), y: R.Tensor((2, 3), 'float32')"


def _module(*functions: str) -> str:
    parts = ["@R.function\n" + f if f.startswith("def") else f for f in functions]
    return "@I.ir_module\nclass Module:\n" + indent("\n".join(parts), "    ")


def _function(name: str, params: str, body: str, result: str) -> str:
    lines = [line.strip("|") for line in body.split("; ")]
    return "\n".join(
        [f"def {name}({params}):", *(f"    {x}" for x in lines), f"    return {result}"]
    )


def _alone(
    name: str, params: str, given: str, expected: str, result: str, sizes: Mapping[str, int] = {}
) -> ModulePair:
    made = (_module(_function("main", params, body, result)) for body in (given, expected))
    return ModulePair(name, *made, sizes)


def _branch(body: str, other: str) -> str:
    return f"if c:; |    {body}; else:; |    {other}"


_SQUARE_AND_SUM = _function("both", "b: R.Tensor((4, 4), 'float32')", "", "(b * b, b + b)").replace(
    "    \n", ""
)
_IS_PRIVATE = "@R.function(private=True)\n"

MODULES = (
    _alone(
        "known-before-the-branch",
        _XY + ", c: R.Tensor((), 'bool')",
        "a = R.add(x, y); " + _branch("d = a * (x * R.add(x, y))", "d = a * (y * R.add(x, y))"),
        "a = R.add(x, y); " + _branch("d = a * (x * a)", "d = a * (y * a)"),
        "d",
    ),
    _alone(
        "once-in-each-branch",
        _XY + ", c: R.Tensor((), 'bool')",
        _branch("d = R.exp(x + y) * (x + y)", "d = R.tanh(x + y) * (x + y)"),
        _branch("d = R.exp(x + y) * (x + y)", "d = R.tanh(x + y) * (x + y)"),
        "d",
    ),
    _alone(
        "condition-is-constant",
        _XY,
        "z = x + y; if R.const(True):; |    d = z * (z + z); else:; |    d = z + z * z",
        "z = x + y; d = z * (z + z)",
        "d",
    ),
    _alone(
        "sizes-have-names-already",
        "x: R.Tensor(('m', 'n'), 'float32')",
        "o = T.int64(); p = T.int64(); z = R.match_cast(x, R.Tensor((o, p), 'float32')); q = z + x",
        "q = x + x",
        "q * x",
        {"m": 2, "n": 5},
    ),
    _alone(
        "sizes-of-a-tuple-have-names-already",
        "x: R.Tuple(R.Tensor(('m', 'n'), 'float32'))",
        "o = T.int64(); p = T.int64(); "
        "z = R.match_cast(x, R.Tuple(R.Tensor((o, p), 'float32'))); q = z[0] + x[0]",
        "q = x[0] + x[0]",
        "q * x[0]",
        {"m": 2, "n": 5},
    ),
    _alone(
        "sizes-are-numbers",
        "s: R.Tensor((16,), 'float32'), a: R.Tensor((8, 16), 'float32'), "
        "b: R.Tensor((4, 16), 'float32')",
        "n = T.int64(); m = T.int64(); k = T.int64(); "
        "u = R.match_cast(a, R.Tensor((n, m), 'float32')); "
        "v = R.match_cast(b, R.Tensor((k, m), 'float32')); "
        "w: R.Tensor((n + k, m), 'float32') = R.concat((u, v), axis=0); "
        "p = R.matmul(w, s)",
        "w = R.concat((a, b), axis=0); p = R.matmul(w, s)",
        "p",
    ),
    _alone(
        "tuple-taken-apart-and-made",
        "p: R.Tuple(R.Tensor((2,), 'float32'), R.Tensor((3,), 'float32'))",
        "a = p[0]; b = p[1]; t = (a, b)",
        "t = p",
        "t",
    ),
    _alone(
        "a-cast-that-says-nothing",
        _XY,
        "a = R.match_cast(x + y, R.Tensor((2, 3), 'float32')); "
        "b = R.match_cast(x + y, R.Tensor((2, 3), 'float32'))",
        "a = x + y; b = a",
        "a * b",
    ),
    ModulePair(
        "unused-output",
        _module(
            _function(
                "main", "a: R.Tensor((4, 4), 'float32')", "t = Module.both(R.exp(a))", "t[1]"
            ),
            _IS_PRIVATE + _SQUARE_AND_SUM,
        ),
        _module(
            _function("main", "a: R.Tensor((4, 4), 'float32')", "b = R.exp(a)", "b + b"),
        ),
    ),
    ModulePair(
        "group-called-twice",
        _module(
            _function(
                "main",
                "a: R.Tensor((4, 4), 'float32')",
                "t = R.tanh(R.exp(a)); u = R.tanh(R.exp(t))",
                "u",
            ),
        ),
        _module(
            _function(
                "main",
                "a: R.Tensor((4, 4), 'float32')",
                "t = Module.fused(a); u = Module.fused(t)",
                "u",
            ),
            _IS_PRIVATE
            + _function(
                "fused",
                "a: R.Tensor((4, 4), 'float32')",
                "R.func_attr({'Primitive': True}); t = R.tanh(R.exp(a))",
                "t",
            ),
        ),
    ),
    ModulePair(
        "local-function",
        _module(
            _function(
                "main",
                "x: R.Tensor((3,), 'float32')",
                "@R.function; |def inner(y: R.Tensor((3,), 'float32')):; "
                "|    a = (y + y) + (y + y); |    return a + a; b = R.multiply(inner(x), inner(x))",
                "b",
            )
        ),
        _module(
            _function(
                "main",
                "x: R.Tensor((3,), 'float32')",
                "s = x + x; a = s + s; b = a + a",
                "b * b",
            )
        ),
    ),
)

PAIRS = (*NORMS, *LAYOUTS)
