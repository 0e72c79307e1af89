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
    _row(
        "HandleTranspose: of a product",
        ("transpose_of_product",),
        program("permute_dims(permute_dims(x) @ permute_dims(y))", x="64 n", y="64 64"),
        canonical=True,
    ),
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
)
