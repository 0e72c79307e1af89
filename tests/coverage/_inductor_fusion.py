"""What inductor fuses into convolutions and products, and folds into and packs of their weights.

Of `mkldnn_fusion.py`, `binary_folding.py`, `freezing_patterns.py`, `efficient_conv_bn_eval.py`.
"""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "inductor")

IN_REGISTERS = "fusion: computed on the register tile before it is stored"
PACKED = "operands are packed in whole tiles, padded with zeros (`lowering/schedule/_packing.py`)"
CONV = {"x": "n 8 16 16", "w": "= 16 8 3 3"}
TRANSPOSED = {"x": "n 8 8 8", "w": "= 8 16 2 2"}
PRODUCT = {"x": "n 64", "w": "= 64 64"}
ADDEND = {"y": "n 16 16 16"}
CHANNEL = "= 1 16 1 1"
NORM = {"g": "= 16", "b": "= 16", "m": "= 16", "v": "= + 16"}

_CONV = "nn.conv2d(x, w, padding=1)"
_TRANSPOSED = "nn.conv2d_transpose(x, w, strides=2)"
_NORMALIZED = "nn.batch_norm({}, g, b, m, v, axis=1, training=False)[0]"
_TWO = {"x": "n 256", "u": "= 256 4", "v": "= 256 2"}
_THREE = {**_TWO, "w": "= 256 1"}
_BIASES = {"a": "= 4", "b": "= 2", "c": "= 1"}
_ACTIVATIONS = {
    "relu": "nn.relu(y)",
    "sigmoid": "sigmoid(y)",
    "tanh": "tanh(y)",
    "gelu": "(y * 0.5) * (erf(y * 0.7071067811865476) + 1)",
    "gelu, by tanh": (
        "(y * 0.5) * (tanh((y + ((y * y) * y) * 0.044715) * 0.7978845608028654) + 1)"
    ),
    "hardswish": "(y * clip(y + 3, min=0, max=6)) / 6",
    "hardsigmoid": "clip(y + 3, min=0, max=6) / 6",
    "swish": "y / (exp(-y) + 1)",
    "leaky_relu": "where(greater(y, 0), y, y * 0.1)",
    "hardtanh": "clip(y, min=-1, max=1)",
}

UNARY: tuple[Row, ...] = (
    *(
        _row(
            f"mkldnn unary fusion: convolution, {name}",
            program=program(f"y = {_CONV}\n{text}", **CONV),
            mechanism=IN_REGISTERS,
        )
        for name, text in _ACTIVATIONS.items()
    ),
    *(
        _row(
            f"mkldnn unary fusion: linear, {name}",
            program=program(f"y = x @ w\n{text}", **PRODUCT),
            mechanism=IN_REGISTERS,
        )
        for name, text in _ACTIVATIONS.items()
    ),
    _row(
        "mkldnn unary fusion: transposed convolution",
        program=program(f"nn.relu({_TRANSPOSED})", **TRANSPOSED),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "mkldnn unary fusion: float16",
        program=program(
            "y = astype(x @ w, dtype='float32')\nastype(nn.gelu(y), dtype='float16')",
            x="float16 n 64",
            w="= float16 64 64",
        ),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "mkldnn unary fusion: bfloat16",
        program=program(
            "y = astype(x @ w, dtype='float32')\nastype(nn.gelu(y), dtype='bfloat16')",
            x="bfloat16 n 64",
            w="= bfloat16 64 64",
        ),
        mechanism=IN_REGISTERS,
    ),
)

BINARY: tuple[Row, ...] = (
    _row(
        "mkldnn binary fusion: convolution, add",
        program=program(f"y + {_CONV}", **ADDEND, **CONV),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "mkldnn binary fusion: convolution, sub",
        program=program(f"{_CONV} - y", **ADDEND, **CONV),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "mkldnn binary fusion: linear, add, sub",
        program=program("[x @ w + y, x @ v - y]", y="n 64", v="= 64 64", **PRODUCT),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "mkldnn binary fusion: convolution, add or sub, relu",
        program=program(f"nn.relu({_CONV} + y)", **ADDEND, **CONV),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "mkldnn binary fusion in place",
        program=program(f"nn.relu(nn.relu(y) + {_CONV})", **ADDEND, **CONV),
        mechanism="fusion: the addend is computed on the register tile and reaches no memory",
    ),
    _row(
        "recover_linear: reshapes around a linear layer",
        ("product_of_flattened_rows",),
        program(
            "reshape(reshape(x, (4 * n, 64)) @ w, (n, 4, 32)) + y",
            x="n 4 64",
            w="= 64 32",
            y="n 4 32",
        ),
        canonical=True,
    ),
    _row(
        "recover_linear: bias",
        ("add_vector_to_reshaped_rows",),
        program("reshape(x @ w, (n, 4, 32)) + b", x="4*n 64", w="= 64 32", b="= 32"),
    ),
)

PACKING: tuple[Row, ...] = (
    _row(
        "mkldnn weight packing: convolution",
        program=program(f"nn.relu({_CONV})", **CONV),
        mechanism=PACKED,
    ),
    _row(
        "mkldnn weight packing: transposed convolution",
        program=program(f"tanh({_TRANSPOSED})", **TRANSPOSED),
        mechanism=PACKED,
    ),
    _row(
        "mkldnn weight packing: linear",
        program=program("tanh(x @ w)", **PRODUCT),
        mechanism=PACKED,
    ),
    _row(
        "mkldnn weight packing: LSTM",
        ("sum_of_products_is_product_of_blocks",),
        program(
            "z = split(x @ w + h @ u + b, 4, axis=1)\n"
            "d = sigmoid(z[0]) * c + sigmoid(z[1]) * tanh(z[2])\n"
            "[d, sigmoid(z[3]) * tanh(d)]",
            **dict.fromkeys("xhc", "1 64"),
            **dict.fromkeys("wu", "= 64 256"),
            b="= 256",
        ),
    ),
    _row(
        "eliminate_duplicate_packed_nodes",
        program=program("exp(x @ w) + nn.relu(y @ w)", y="n 64", **PRODUCT),
        mechanism="equal constants are one e-class (`eqsat/_encode.py`)",
    ),
    _row(
        "convert_conv_weights_to_channels_last; layout optimization",
        program=program(f"nn.conv2d(nn.relu({_CONV}), v, padding=1)", v="= 16 16 3 3", **CONV),
        mechanism="the contraction template packs weights in tiles and pixels in panels",
    ),
    _row(
        "convert_1x1_conv_to_mm",
        ("point_convolution_is_product",),
        program("nn.conv2d(nn.conv2d(x, w), v)", x="n 8 16 16", w="= 64 8 1 1", v="= 8 64 1 1"),
    ),
    _row(
        "convert_1x1_conv_to_mm: one axis",
        ("point_convolution_of_line_is_product",),
        program("nn.conv1d(nn.conv1d(x, w), v)", x="n 8 16", w="= 64 8 1", v="= 8 64 1"),
    ),
)

CONCATENATED: tuple[Row, ...] = (
    _row(
        "addmm_patterns: two products",
        ("parallel_products_merge",),
        program("[x @ u, x @ v]", **_TWO),
        dims={"n": 4096},
    ),
    _row(
        "addmm_patterns: three products",
        ("three_parallel_products_merge", "parallel_products_merge"),
        program("[x @ u, x @ v, x @ w]", **_THREE),
        dims={"n": 4096},
    ),
    _row(
        "addmm_patterns: three products and biases",
        (
            "query_key_value_merge",
            "three_parallel_products_merge",
            "parallel_linear_layers_merge",
            "parallel_products_merge",
        ),
        program("[x @ u + a, x @ v + b, x @ w + c]", **_THREE, **_BIASES),
        dims={"n": 4096},
    ),
    _row(
        "addmm_patterns: three products with int8 weights",
        ("three_parallel_products_merge", "parallel_products_merge"),
        program(
            "p, q, r = (astype(each, dtype='float32') for each in (u, v, w))\n"
            "[(x @ p) * a, (x @ q) * b, (x @ r) * c]",
            x="n 256",
            u="= int8 256 4",
            v="= int8 256 2",
            w="= int8 256 1",
            **_BIASES,
        ),
        dims={"n": 4096},
    ),
    _row(
        "group_batch_fusion: batch_linear_lhs",
        ("parallel_products_merge", "parallel_linear_layers_merge"),
        program(
            "[linear(x, u, a), linear(x, v, b)]",
            x="n 256",
            u="= 4 256",
            v="= 2 256",
            a="= 4",
            b="= 2",
        ),
        dims={"n": 4096},
    ),
    _row(
        "grouped_gemm_pass",
        ("parallel_products_merge",),
        program("[tanh(x @ u), exp(x @ v)]", x="n 256", u="= 256 4", v="= 256 4"),
        dims={"n": 4096},
    ),
)

FOLDED: tuple[Row, ...] = (
    _row(
        "binary folding: convolution, add",
        ("constant_summands_join",),
        program(f"({_CONV} + c) + d", c=CHANNEL, d=CHANNEL, **CONV),
    ),
    _row(
        "binary folding: convolution, sub",
        ("subtract_constant", "constant_summands_join"),
        program(f"({_CONV} + c) - d", c=CHANNEL, d=CHANNEL, **CONV),
    ),
    _row(
        "binary folding: convolution, mul",
        ("batched_output_scale_into_kernel",),
        program(f"{_CONV} * c", c=CHANNEL, **CONV),
    ),
    _row(
        "binary folding: convolution and bias, mul",
        ("batched_output_scale_into_kernel", "constant_factor_over_shift"),
        program(f"({_CONV} + b) * c", b=CHANNEL, c=CHANNEL, **CONV),
    ),
    _row(
        "binary folding: convolution, mul by a number",
        ("number_into_kernel", "scalar_of_kernel", "scalar_of_image"),
        program(f"{_CONV} * 0.5", **CONV),
    ),
    _row(
        "binary folding: convolution, div",
        ("divide_by_constant", "batched_output_scale_into_kernel"),
        program(f"{_CONV} / c", c="= + 1 16 1 1", **CONV),
    ),
    _row(
        "binary folding: linear, add",
        ("constant_summands_join",),
        program("(x @ w + c) + d", c="= 64", d="= 64", **PRODUCT),
    ),
    _row(
        "binary folding: linear, sub",
        ("subtract_constant", "constant_summands_join"),
        program("(x @ w + c) - d", c="= 64", d="= 64", **PRODUCT),
    ),
    _row(
        "binary folding: linear, mul",
        ("scale_of_product_into_weight",),
        program("(x @ w) * c", c="= 64", **PRODUCT),
    ),
    _row(
        "binary folding: linear, div",
        ("scale_of_product_into_weight", "divide_by_constant"),
        program("(x @ w) / c", c="= + 64", **PRODUCT),
    ),
    _row(
        "binary folding: linear and reshape, add, sub, mul, div",
        ("multiply_reshaped_rows_by_vector",),
        program("reshape(x @ w, (n, 4, 64)) * c", x="4*n 64", w="= 64 64", c="= 64"),
    ),
    _row(
        "binary folding: mixed dtypes",
        program=program(
            "astype(astype(x @ w, dtype='float32') * c, dtype='float16')",
            x="float16 n 64",
            w="= float16 64 64",
            c="= 64",
        ),
        mechanism="fusion: in float32 on the register tile, since a folded scale would be rounded",
    ),
    _row(
        "fuse_conv_bn, efficient_conv_bn_eval",
        ("batch_norm_is_scale_and_shift", "batched_output_scale_into_kernel"),
        program(_NORMALIZED.format(_CONV), **NORM, **CONV),
    ),
    _row(
        "fuse_conv_bn: one axis",
        ("batch_norm_is_scale_and_shift", "output_scale_into_kernel_of_line"),
        program(_NORMALIZED.format("nn.conv1d(x, w, padding=1)"), x="n 8 16", w="= 16 8 3", **NORM),
    ),
    _row(
        "fuse_conv_bn: three axes",
        ("batch_norm_is_scale_and_shift", "output_scale_into_kernel_of_volume"),
        program(
            _NORMALIZED.format("nn.conv3d(x, w, padding=1)"),
            x="n 8 4 4 4",
            w="= 16 8 3 3 3",
            **NORM,
        ),
    ),
    _row(
        "efficient_conv_bn_eval: transposed convolution",
        ("batch_norm_is_scale_and_shift", "output_scale_into_transposed_kernel"),
        program(_NORMALIZED.format(_TRANSPOSED), **TRANSPOSED, **NORM),
    ),
)

ROWS = (*UNARY, *BINARY, *PACKING, *CONCATENATED, *FOLDED)
