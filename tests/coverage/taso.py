"""The laws that TASO and TENSAT search with, where one pays or makes a program smaller.

That each law is provable, both sides in one e-class, is tested in `test_taso_laws.py`.
"""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "TASO")

# In each sum the same value stands in another order; as one value it is computed once.
_XYZ = {"x": "n 64", "y": "n 64", "z": "n 64"}
_IMAGES = {"x": "1 8 32 32", "y": "1 8 32 32"}

ROWS: tuple[Row, ...] = (
    _row(
        "sums commute and associate",
        ("sum_commutes", "sum_associates"),
        program("[exp(x + (y + z)), tanh((z + x) + y), nn.relu(x + y) - nn.relu(y + x)]", **_XYZ),
        dims={"n": 4096},
    ),
    _row(
        "products commute and associate",
        ("product_commutes", "product_associates"),
        program("[exp(x * (y * z)), tanh((z * x) * y), nn.relu(x * y) - nn.relu(y * x)]", **_XYZ),
        dims={"n": 4096},
    ),
    _row(
        "distributivity",
        ("product_distributes",),
        program("[(x * (y - z)) @ w, (x * y - x * z) @ w]", **_XYZ, w="64 64"),
        dims={"n": 4096},
    ),
    _row(
        "scalar factors through a product",
        ("scalar_of_left_factor",),
        program("[(x * s) @ w, (x @ w) * s]", x="n 64", w="64 64", s=""),
        dims={"n": 512},
    ),
    _row(
        "scalar factors through transpose",
        ("scalar_of_permuted",),
        program("permute_dims(permute_dims(x) * s) + x", x="64 64", s=""),
        canonical=True,
    ),
    _row(
        "scalar factors through concat",
        ("scalar_of_concat",),
        program("concat([x * s, y * s], axis=1)", x="n 64", y="n 64", s=""),
        dims={"n": 64},
        canonical=True,
    ),
    _row(
        "scalar factors through a convolution",
        ("scalar_of_kernel",),
        program(
            "nn.conv2d(x, w * s, padding=1) + nn.conv2d(x, w, padding=1) * s",
            x="1 8 32 32",
            w="8 8 3 3",
            s="",
        ),
    ),
    _row(
        "relu and concat",
        ("concat_of_relus",),
        program("concat([nn.relu(x), nn.relu(y)], axis=1)", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "relu and transpose",
        ("relu_of_permuted", "permute_of_relu"),
        program("permute_dims(nn.relu(permute_dims(x)))", x="64 32"),
    ),
    _row(
        "fused activation of a convolution",
        program=program("nn.relu(nn.conv2d(x, w, padding=1))", x="1 8 32 32", w="8 8 3 3"),
        mechanism="fusion: an epilogue in registers (`eqsat/rules/fusion.py`)",
    ),
    _row(
        "products associate",
        ("matmul_associates",),
        program("(x @ a) @ b", x="512 64", a="64 512", b="512 4"),
    ),
    _row(
        "a product distributes on the right",
        ("products_with_same_right_factor_add",),
        program("x @ w + y @ w", x="n 64", y="n 64", w="64 64"),
        dims={"n": 512},
    ),
    _row(
        "a product distributes on the left",
        ("products_with_same_left_factor_add",),
        program("x @ v + x @ w", x="n 64", v="64 64", w="64 64"),
        dims={"n": 512},
    ),
    _row(
        "(A B)^T = B^T A^T",
        ("transpose_of_product",),
        program("permute_dims(permute_dims(b) @ permute_dims(a))", a="256 64", b="64 64"),
        canonical=True,
    ),
    _row(
        "concat of products, right operands",
        ("columns_of_products_join", "slices_that_meet"),
        program("concat([x @ v, x @ w], axis=1)", x="n 64", v="= 64 4", w="= 64 4"),
        dims={"n": 4096},
    ),
    _row(
        "concat of products, left operands",
        ("rows_of_products_join",),
        program("concat([x @ w, y @ w], axis=0)", x="64 64", y="64 64", w="64 64"),
    ),
    _row(
        "A B + C D = [A C] [B; D]",
        ("sum_of_products_is_product_of_blocks",),
        program("nn.relu(x @ v + h @ w)", x="1 64", h="1 64", v="= 64 256", w="= 64 256"),
    ),
    _row(
        "a convolution is linear in its weight",
        ("convolutions_of_same_image_add",),
        program(
            "nn.conv2d(x, v, padding=1) + nn.conv2d(x, w, padding=1)",
            x="1 8 32 32",
            v="8 8 3 3",
            w="8 8 3 3",
        ),
    ),
    _row(
        "a convolution is linear in its input",
        ("convolutions_with_same_kernel_add",),
        program("nn.conv2d(x, w, padding=1) + nn.conv2d(y, w, padding=1)", **_IMAGES, w="8 8 3 3"),
    ),
    _row(
        "concat of convolutions over the batch",
        ("batches_of_convolutions_join",),
        program(
            "concat([nn.conv2d(x, w), nn.conv2d(y, w)], axis=0)",
            x="1 8 6 6",
            y="1 8 6 6",
            w="8 8 3 3",
        ),
    ),
    _row(
        "concat of convolutions over output channels",
        ("outputs_of_convolutions_join",),
        program(
            "concat([nn.conv2d(x, v), nn.conv2d(x, w)], axis=1)",
            x="1 8 6 6",
            v="8 8 3 3",
            w="8 8 3 3",
        ),
        canonical=True,
    ),
    _row(
        "sum of convolutions is a convolution of concats",
        ("sum_of_convolutions_is_convolution_of_channels",),
        program(
            "nn.conv2d(x, v) + nn.conv2d(y, w)",
            x="1 8 6 6",
            y="1 8 6 6",
            v="= 8 8 3 3",
            w="= 8 8 3 3",
        ),
    ),
    _row(
        "an enlarged kernel",
        ("zeros_around_kernel",),
        program(
            "nn.conv2d(x, nn.pad(w, [0, 0, 0, 0, 1, 1, 1, 1]), padding=1)",
            x="1 8 32 32",
            w="8 8 1 1",
        ),
    ),
    _row(
        "convolutions of unequal kernels merge",
        ("outputs_of_window_and_point_kernel_join", "window_and_point_convolution_merge"),
        program(
            "concat([nn.conv2d(x, v, padding=1), nn.conv2d(x, w)], axis=1)",
            x="1 2 8 8",
            v="= 2 2 3 3",
            w="= 2 2 1 1",
        ),
    ),
    _row(
        "grouped convolutions merge",
        ("convolutions_are_groups",),
        program(
            "concat([nn.conv2d(x, v), nn.conv2d(y, w)], axis=1)",
            x="1 8 6 6",
            y="1 8 6 6",
            v="= 8 8 3 3",
            w="= 8 8 3 3",
        ),
    ),
    _row(
        "a convolution with a constant is an average",
        ("convolution_with_constant_is_average",),
        program("nn.conv2d(x, full((8, 1, 3, 3), 1 / 9), padding=1, groups=8)", x="1 8 32 32"),
    ),
    _row(
        "an identity matrix, an identity kernel",
        ("product_with_identity", "identity_times_matrix"),
        program("eye(64) @ (x @ eye(64))", x="64 64"),
    ),
    _row(
        "average pooling of a concat of channels",
        ("concat_of_averages",),
        program(
            "concat([nn.avg_pool2d(x, (2, 2)), nn.avg_pool2d(y, (2, 2))], axis=1)",
            x="1 2 8 8",
            y="1 2 8 8",
        ),
    ),
    _row(
        "max pooling of a concat",
        ("concat_of_max_pools",),
        program(
            "concat([nn.max_pool2d(x, (2, 2)), nn.max_pool2d(y, (2, 2))], axis=1)",
            x="1 2 8 8",
            y="1 2 8 8",
        ),
    ),
    _row(
        "concat of concats",
        ("concat_of_concat_left",),
        program("concat([concat([x, y], axis=1), z], axis=1)", **_XYZ),
        dims={"n": 64},
        canonical=True,
    ),
    _row(
        "split of a concat",
        ("first_part_of_concat", "slice_of_concat_is_first", "slice_of_concat_in_first"),
        program("exp(split(concat([x, y], axis=1), [64], axis=1)[0])", x="n 64", y="n 64"),
        dims={"n": 512},
    ),
    _row(
        "two products share an operand",
        ("parallel_products_merge",),
        program("[x @ v, x @ w]", x="n 256", v="= 256 4", w="= 256 2"),
        dims={"n": 4096},
    ),
    _row(
        "two convolutions share an operand",
        ("parallel_convolutions_merge",),
        program(
            "[nn.conv2d(x, v), nn.conv2d(x, w)]", x="1 256 32 32", v="= 1 256 1 1", w="= 1 256 1 1"
        ),
    ),
    _row(
        "a split of a merged product comes apart",
        ("first_columns_of_product", "sliced_columns_of_product"),
        program(
            "split(x @ concat([v, w], axis=1), [4], axis=1)[0]", x="n 256", v="256 4", w="256 64"
        ),
        dims={"n": 512},
    ),
    _row(
        "a split of relu",
        ("first_part_of_relu", "first_part_of_concat"),
        program("split(nn.relu(concat([x, y], axis=1)), [64], axis=1)[0]", x="n 64", y="n 64"),
        dims={"n": 512},
    ),
)
