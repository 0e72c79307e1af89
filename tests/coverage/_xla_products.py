"""XLA's algebraic simplifier: handlers of products and convolutions."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "XLA")
_absent = partial(Row, "XLA", is_inference=False)

IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"
PRODUCT = {"x": "n 64", "w": "= 64 64"}
CONV = {"x": "n 8 16 16", "w": "= 16 8 3 3"}

ROWS: tuple[Row, ...] = (
    _row(
        "HandleConvolution: pad of the input",
        ("pad_into_convolution",),
        program("nn.conv2d(nn.pad(x, pad_width=(0, 0, 0, 0, 1, 1, 1, 1)), w)", **CONV),
    ),
    _row(
        "HandleConvolution: pad of the kernel",
        ("zeros_around_kernel",),
        program(
            "nn.conv2d(x, nn.pad(w, pad_width=(0, 0, 0, 0, 1, 1, 1, 1)), padding=2)",
            x="n 8 16 16",
            w="16 8 3 3",
        ),
    ),
    _row(
        "HandleConvolution: is a product",
        ("point_convolution_is_product",),
        program(
            "nn.conv2d(nn.conv2d(x, v), w)",
            x="1 64 32 32",
            v="= 256 64 1 1",
            w="= 64 256 1 1",
        ),
    ),
    _row(
        "HandleConvolution: scalars go to the smallest side",
        ("number_into_kernel", "scalar_of_image", "scalar_of_kernel"),
        program("nn.conv2d(x * 0.5, w, padding=1) * 3", **CONV),
    ),
    _absent("HandleConvolution: promotes bfloat16 for oneDNN", reason="no kernels of oneDNN"),
    _row(
        "HandleConvolution: is a product by element",
        ("channelwise_point_convolution_is_scale",),
        program("nn.conv2d(x, w, groups=8)", x="n 8 16 16", w="8 1 1 1"),
    ),
    _row(
        "HandleConvolution: is a sum of products by element",
        ("channelwise_convolution_of_all_is_sum",),
        program("nn.conv2d(x, w, groups=8)", x="n 8 16 16", w="8 1 16 16"),
    ),
    _absent(
        "HandleConvolution: swaps its operands",
        reason="training only: the kernel is larger than the image in gradients of kernels",
    ),
    _absent(
        "HandleConvolution: dilation of the kernel as interior padding",
        reason="Relax pads at the ends only",
    ),
    _row(
        "HandleDot: associates by flops",
        ("matmul_associates",),
        program("(x @ y) @ z", x="n 256", y="256 256", z="256 4"),
        dims={"n": 512},
    ),
    _row(
        "HandleDot: scalars go to the smallest side",
        ("scale_commutes_with_product", "scale_of_right_operand_leaves_product"),
        program("((x * 0.5) @ (y * 0.25)) * 2", x="n 64", y="64 64"),
    ),
    _row(
        "HandleDot: of a concatenation",
        program=program("concat([x, y], axis=1) @ w", x="n 64", y="n 64", w="= 128 64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleDot: of a gather of constants",
        ("product_of_picked_rows",),
        program("take(a, i, axis=0) @ w", a="= 32 64", i="int64 n", w="= 64 64"),
        dims={"n": 512},
    ),
    _row(
        "HandleDot: axes of size 1",
        ("product_with_reshaped_weight",),
        program("x @ reshape(exp(y), (1, 64, 64))", x="n 16 64", y="64 64"),
        canonical=True,
    ),
    _row(
        "HandleDot: of transposes",
        program=program("permute_dims(x) @ permute_dims(y)", x="64 n", y="64 64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleDot: parameters go to the right",
        program=program("nn.relu(w @ x)", x="64 n", w="= 64 64"),
        mechanism="the contraction template packs either operand (`lowering/schedule/_packing.py`)",
    ),
    _row("HandleDot: over nothing", ("product_over_nothing",), program("x @ w", x="n 0", w="0 64")),
    _row(
        "HandleDot: of one term",
        ("product_of_column_and_row",),
        program("tanh(x @ y)", x="n 1", y="1 64"),
    ),
    _row(
        "HandleDot: is an outer product",
        program=program("tanh(outer(x, y))", x="n", y="64"),
        mechanism="fusion: an outer product is computed where it is used",
    ),
    _row(
        "HandleDot: of a broadcast",
        ("product_of_repeated_column",),
        program("broadcast_to(x, (n, 256)) @ w", x="n 1", w="256 256"),
        dims={"n": 64},
    ),
    _row(
        "HandleDot: of a pad",
        ("product_of_padded_rows",),
        program("nn.pad(x, pad_width=(0, 0, 64, 64)) @ w", x="n 64", w="192 64"),
    ),
    _row(
        "HandleDot: of a reverse",
        ("product_of_reversed_rows",),
        program("flip(x, axis=1) @ w", x="n 64", w="= 64 64"),
        canonical=True,
    ),
    _row(
        "HandleDot: of vectors", ("dot_is_sum_of_products",), program("x @ y", x="4096", y="4096")
    ),
    _row(
        "HandleDot: of permuted terms",
        ("product_of_permuted_terms",),
        program("reshape(permute_dims(x, axes=(0, 2, 1)), (n, 64)) @ w", x="n 8 8", w="= 64 64"),
        canonical=True,
    ),
    _row(
        "HandleSlice: of a product",
        (
            "sliced_columns_of_product",
            "sliced_rows_of_product",
        ),
        program(
            "a = strided_slice(x @ w, axes=(1,), begin=(0,), end=(16,))\n"
            "strided_slice(a, axes=(0,), begin=(0,), end=(8,))",
            x="64 64",
            w="64 64",
        ),
    ),
    _row(
        "HandleTranspose: of a product",
        ("transpose_of_product",),
        program("permute_dims(permute_dims(x) @ permute_dims(y))", x="64 n", y="64 64"),
        canonical=True,
    ),
)
