"""What TVM Relax's passes are tested with: a program, and the one that the pass makes of it.

Written after the passes' own tests, in our form. Ours must not cost more than the better of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.coverage._programs import Program, program


@dataclass(frozen=True, eq=False)
class Pair:
    """A program and what the pass makes of it.

    Attributes:
        name: the pass and the case.
        given: the text of the program.
        expected: the text of the pass's result.
        inputs: of both.
        dims: sizes for the estimate.
        sizes: sizes for the numbers; 3 where nothing is said.
    """

    name: str
    given: str
    expected: str
    inputs: Mapping[str, str]
    dims: Mapping[str, int] = field(default_factory=dict[str, int])
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def programs(self) -> tuple[Program, Program]:
        """Both programs."""
        return program(self.given, **self.inputs), program(self.expected, **self.inputs)


def pair(
    name: str,
    given: str,
    expected: str,
    dims: Mapping[str, int] | None = None,
    sizes: Mapping[str, int] | None = None,
    **inputs: str,
) -> Pair:
    return Pair(name, given, expected, inputs, dims or {}, sizes or {})


BATCHNORM = (
    "nn.batch_norm(nn.conv2d(x, w, padding=1), g, b, m, v, axis=1, epsilon=1e-5, center=True, "
    "scale=True, momentum=0.1, training=False)[0]"
)
NORM_INPUTS = {"g": "= 16", "b": "= 16", "m": "= 16", "v": "= + 16"}

ORDER = (
    pair("order-lhs", "x @ (a @ b)", "(x @ a) @ b", x="1 16", a="16 2", b="2 32"),
    pair("order-rhs-vector", "(a @ b) @ x", "a @ (b @ x)", a="32 2", b="2 16", x="16"),
    pair("order-lhs-vector", "x @ (a @ b)", "(x @ a) @ b", x="16", a="16 2", b="2 32"),
    pair(
        "order-transposed",
        "x @ permute_dims(a @ b)",
        "(x @ permute_dims(b)) @ permute_dims(a)",
        x="1 16",
        a="32 2",
        b="2 16",
    ),
    pair(
        "order-transposed-on-the-left",
        "permute_dims(a @ b) @ x",
        "permute_dims(b) @ (permute_dims(a) @ x)",
        x="16 1",
        a="16 2",
        b="2 32",
    ),
    pair(
        "order-symbolic-rank", "x @ (a @ b)", "(x @ a) @ b", {"r": 4}, x="1 16", a="16 r", b="r 32"
    ),
    pair(
        "order-symbolic-rows",
        "x @ (a @ b)",
        "(x @ a) @ b",
        {"n": 1, "r": 4},
        x="n 64",
        a="64 r",
        b="r 64",
    ),
    pair(
        "order-symbolic-many-rows",
        "(x @ a) @ b",
        "x @ (a @ b)",
        {"n": 4096, "r": 256},
        x="n 64",
        a="64 r",
        b="r 64",
    ),
    pair("order-batch", "x @ (a @ b)", "(x @ a) @ b", {"n": 4}, x="n 1 16", a="n 16 2", b="n 2 32"),
    pair(
        "order-batch-of-rows",
        "x @ (a @ b)",
        "(x @ a) @ b",
        {"n": 4},
        x="n 1 16",
        a="16 2",
        b="2 32",
    ),
    pair(
        "order-chain-of-four",
        "((x @ a) @ b) @ c",
        "x @ (a @ (b @ c))",
        x="512 64",
        a="64 128",
        b="128 128",
        c="128 1",
    ),
)

EXPAND = (
    pair("expand-rhs", "x @ (a + b)", "x @ a + x @ b", x="16 16", a="16 32", b="16 32"),
    pair(
        "expand-lora",
        "x @ (a + b @ c)",
        "x @ a + (x @ b) @ c",
        x="1 256",
        a="256 256",
        b="256 4",
        c="4 256",
    ),
    pair(
        "expand-lora-transposed",
        "x @ permute_dims(a + b @ c)",
        "x @ permute_dims(a) + (x @ permute_dims(c)) @ permute_dims(b)",
        x="1 256",
        a="256 256",
        b="256 4",
        c="4 256",
    ),
    pair(
        "expand-lora-symbolic",
        "x @ (a + b @ c)",
        "x @ a + (x @ b) @ c",
        {"n": 2, "r": 4},
        x="n 256",
        a="256 256",
        b="256 r",
        c="r 256",
    ),
    pair(
        "expand-lora-batch",
        "x @ (a + b @ c)",
        "x @ a + x @ (b @ c)",
        {"n": 2},
        x="n 1 64",
        a="64 64",
        b="64 4",
        c="4 64",
    ),
)


def _split(parts: int, cut: str) -> str:
    fields = ", ".join(f"s[{i}]" for i in range(parts))
    return f"s = split(y, {cut}, axis=-1)\n[{fields}]"


COMBINE = (
    pair(
        "combine-three",
        "[x @ u, x @ v, x @ w]",
        "y = x @ concat([u, v, w], axis=1)\n" + _split(3, "[640, 1280]"),
        x="2 64 640",
        u="640 640",
        v="640 640",
        w="640 640",
    ),
    pair(
        "combine-constant-weights",
        "[x @ u, x @ v, x @ w]",
        "y = x @ concat([u, v, w], axis=1)\n" + _split(3, "[64, 128]"),
        {"n": 256},
        x="n 64",
        u="= 64 64",
        v="= 64 64",
        w="= 64 64",
    ),
    pair(
        "combine-different-widths",
        "[x @ u, x @ v, x @ w]",
        "y = x @ concat([u, v, w], axis=1)\n" + _split(3, "[64, 96]"),
        {"n": 256},
        x="n 64",
        u="= 64 64",
        v="= 64 32",
        w="= 64 16",
    ),
    pair(
        "combine-bias-and-activation",
        "[nn.relu(x @ u + a), nn.relu(x @ v + b)]",
        "y = nn.relu(x @ concat([u, v], axis=1) + concat([a, b], axis=0))\n" + _split(2, "[64]"),
        {"n": 256},
        x="n 64",
        u="= 64 64",
        v="= 64 32",
        a="= 64",
        b="= 32",
    ),
    pair(
        "combine-gelu-and-silu",
        "[nn.gelu(x @ u + a), nn.silu(x @ v)]",
        "y = x @ concat([u, v], axis=1)\ns = split(y, [64], axis=-1)\n"
        "[nn.gelu(s[0] + a), nn.silu(s[1])]",
        {"n": 256},
        x="n 64",
        u="= 64 64",
        v="= 64 32",
        a="= 64",
    ),
    pair(
        "combine-two-inputs",
        "[x @ u, x @ v, z @ u, z @ v]",
        "y = x @ concat([u, v], axis=1)\ns = split(y, [64], axis=-1)\n"
        "t = split(z @ concat([u, v], axis=1), [64], axis=-1)\n[s[0], s[1], t[0], t[1]]",
        {"n": 64},
        x="n 64",
        z="n 64",
        u="= 64 64",
        v="= 64 32",
    ),
    pair(
        "combine-into-product",
        "nn.silu(x @ u) * (x @ v)",
        "y = x @ concat([u, v], axis=1)\ns = split(y, [128], axis=-1)\nnn.silu(s[0]) * s[1]",
        {"n": 64},
        x="n 64",
        u="= 64 128",
        v="= 64 128",
    ),
    pair(
        "combine-symbolic-width",
        "[x @ u, x @ v]",
        "y = x @ concat([u, v], axis=1)\n[x @ u, x @ v]",
        {"n": 64},
        x="n 64",
        u="64 n",
        v="64 32",
    ),
)

REORDER = (
    pair(
        "reorder-permute-behind-concat",
        "concat([permute_dims(a), permute_dims(b)], axis=1)",
        "permute_dims(concat([a, b], axis=0))",
        a="64 128",
        b="32 128",
    ),
    pair(
        "reorder-permute-behind-concat-of-three",
        "x @ concat([permute_dims(a), permute_dims(b), permute_dims(c)], axis=1)",
        "x @ permute_dims(concat([a, b, c], axis=0))",
        {"n": 16},
        x="n 128",
        a="64 128",
        b="32 128",
        c="32 128",
    ),
    pair(
        "reorder-permute-of-rank-four",
        "concat([permute_dims(a, (0, 2, 3, 1)), permute_dims(b, (0, 2, 3, 1))], axis=3)",
        "permute_dims(concat([a, b], axis=1), (0, 2, 3, 1))",
        {"n": 2},
        a="n 8 16 16",
        b="n 8 16 16",
    ),
    pair(
        "reorder-take-behind-product",
        "x @ take(w, i, axis=1)",
        "take(x @ w, i, axis=1)",
        {"t": 16},
        x="1 16",
        w="16 t",
        i="int64 32",
    ),
    pair(
        "reorder-take-of-static-table",
        "x @ take(w, i, axis=1)",
        "take(x @ w, i, axis=1)",
        x="1 64",
        w="64 32",
        i="int64 1024",
    ),
    pair(
        "reorder-take-of-batch",
        "x @ take(w, i, axis=0)",
        "p = reshape(permute_dims(w, (1, 0, 2)), (16, 128))\n"
        "y = permute_dims(reshape(x @ p, (4, 1, 4, 32)), (2, 0, 1, 3))\n"
        "z = reshape(take(y, i, axis=0), (16, 1, 32))\n"
        "take(z, array([0, 5, 10, 15]), axis=0)",
        x="4 1 16",
        w="4 16 32",
        i="int64 4",
    ),
)

NORMALIZE = (
    pair(
        "fold-batchnorm-into-conv",
        BATCHNORM,
        "nn.conv2d(x, w * reshape(g / sqrt(v + 1e-5), (16, 1, 1, 1)), padding=1)"
        " + reshape(b - m * g / sqrt(v + 1e-5), (1, 16, 1, 1))",
        {"n": 1},
        x="n 8 28 28",
        w="= 16 8 3 3",
        **NORM_INPUTS,
    ),
    pair(
        "fold-batchnorm-and-relu",
        f"nn.relu({BATCHNORM})",
        "nn.relu(nn.conv2d(x, w * reshape(g / sqrt(v + 1e-5), (16, 1, 1, 1)), padding=1)"
        " + reshape(b - m * g / sqrt(v + 1e-5), (1, 16, 1, 1)))",
        {"n": 1},
        x="n 8 28 28",
        w="= 16 8 3 3",
        **NORM_INPUTS,
    ),
    pair(
        "decompose-batchnorm",
        "nn.batch_norm(x, g, b, m, v, axis=1, training=False)[0]",
        "(x - reshape(m, (1, 16, 1, 1))) / sqrt(reshape(v, (1, 16, 1, 1)) + 1e-5)"
        " * reshape(g, (1, 16, 1, 1)) + reshape(b, (1, 16, 1, 1))",
        {"n": 1},
        x="n 16 28 28",
        g="16",
        b="16",
        m="16",
        v="+ 16",
    ),
)

LAYOUT = (
    pair(
        "convert-layout-of-conv",
        "nn.relu(nn.conv2d(x, w, padding=1))",
        "y = permute_dims(x, (0, 2, 3, 1))\nk = permute_dims(w, (0, 2, 3, 1))\n"
        "z = nn.relu(nn.conv2d(y, k, padding=1, data_layout='NHWC', kernel_layout='OHWI'))\n"
        "permute_dims(z, (0, 3, 1, 2))",
        {"n": 1},
        x="n 8 28 28",
        w="= 16 8 3 3",
    ),
    pair(
        "convert-layout-of-two",
        "nn.conv2d(nn.relu(nn.conv2d(x, w, padding=1)), u, padding=1)",
        "y = permute_dims(x, (0, 2, 3, 1))\nk = permute_dims(w, (0, 2, 3, 1))\n"
        "l = permute_dims(u, (0, 2, 3, 1))\n"
        "z = nn.relu(nn.conv2d(y, k, padding=1, data_layout='NHWC', kernel_layout='OHWI'))\n"
        "o = nn.conv2d(z, l, padding=1, data_layout='NHWC', kernel_layout='OHWI')\n"
        "permute_dims(o, (0, 3, 1, 2))",
        {"n": 1},
        x="n 8 28 28",
        w="= 16 8 3 3",
        u="= 8 16 3 3",
    ),
    pair(
        "convert-layout-of-pool",
        "nn.max_pool2d(x, pool_size=(2, 2), strides=2)",
        "y = permute_dims(x, (0, 2, 3, 1))\n"
        "z = nn.max_pool2d(y, pool_size=(2, 2), strides=2, layout='NHWC')\n"
        "permute_dims(z, (0, 3, 1, 2))",
        {"n": 1},
        x="n 8 28 28",
    ),
)

RESHAPES = (
    pair(
        "reshape-twice",
        "reshape(reshape(x, (n, 32)), (n, 4, 8))",
        "reshape(x, (n, 4, 8))",
        x="n 8 4",
    ),
    pair(
        "reshape-back", "nn.relu(reshape(reshape(x, (n, 32)), (n, 8, 4)))", "nn.relu(x)", x="n 8 4"
    ),
    pair("reshape-to-itself", "exp(reshape(x, (n, 8, 4)))", "exp(x)", x="n 8 4"),
    pair("squeeze-of-expand", "exp(squeeze(expand_dims(x, (1,)), (1,)))", "exp(x)", x="n 8"),
    pair(
        "flatten-of-reshape",
        "exp(flatten(reshape(x, (n, 2, 4))))",
        "exp(reshape(x, (n * 8,)))",
        x="n 8",
    ),
    pair(
        "transpose-is-a-reshape",
        "exp(permute_dims(x, (0, 2, 1)))",
        "exp(reshape(x, (n, 8, 1)))",
        x="n 1 8",
    ),
    pair(
        "permute-back",
        "exp(permute_dims(permute_dims(x, (0, 2, 1)), (0, 2, 1)))",
        "exp(x)",
        x="n 4 8",
    ),
    pair(
        "transpose-into-product",
        "x @ permute_dims(w)",
        "linear(x, w)",
        {"n": 64},
        x="n 64",
        w="32 64",
    ),
)

CLEAN = (
    pair("cse", "(x + y) * exp(x + y)", "z = x + y\nz * exp(z)", x="n 64", y="n 64"),
    pair("cse-commuted", "(x + y) * exp(y + x)", "z = x + y\nz * exp(z)", x="n 64", y="n 64"),
    pair(
        "cse-of-products",
        "nn.relu(x @ w) + exp(x @ w)",
        "z = x @ w\nnn.relu(z) + exp(z)",
        {"n": 64},
        x="n 64",
        w="64 64",
    ),
    pair("dce", "y = exp(x)\nz = tanh(x)\nz", "tanh(x)", x="n 64"),
    pair(
        "dce-of-tuple-field", "split(exp(x), 2, axis=1)[0]", "exp(split(x, 2, axis=1)[0])", x="n 64"
    ),
    pair("canonicalize", "y = x\nz = y\nz + z", "x + x", x="n 64"),
    pair("fold-constants", "x + exp(a) * c", "x + exp(a) * c", x="n 64", a="= 64", c="= 64"),
    pair("fold-two-constants", "(x + a) + b", "x + (a + b)", x="n 64", a="= 64", b="= 64"),
    pair(
        "fold-transposed-weight",
        "x @ permute_dims(w)",
        "x @ permute_dims(w)",
        {"n": 8},
        x="n 64",
        w="= 32 64",
    ),
    pair("cast-to-itself", "exp(astype(x, 'float32'))", "exp(x)", x="n 64"),
    pair("cast-there-and-back", "exp(astype(astype(x, 'float64'), 'float32'))", "exp(x)", x="n 64"),
)

PAIRS = (*ORDER, *EXPAND, *COMBINE, *REORDER, *NORMALIZE, *LAYOUT, *RESHAPES, *CLEAN)
