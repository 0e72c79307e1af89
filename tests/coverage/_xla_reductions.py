"""XLA's algebraic simplifier: handlers of reductions and windows."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "XLA")
_absent = partial(Row, "XLA", is_inference=False)

FOLDING = "what depends on constants only is computed once (`eqsat/_fold.py`)"
IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"
XY = {"x": "n 64", "y": "n 64"}

ROWS: tuple[Row, ...] = (
    _row(
        "HandleReduce: of axes of size 1",
        ("sum_over_unit_axes_is_reshape",),
        program("exp(sum(x, axis=1))", x="n 1 64"),
    ),
    _row(
        "HandleReduce: of a transpose",
        ("sum_of_permuted",),
        program("sum(permute_dims(x, axes=(0, 2, 3, 1)), axis=(1, 2))", x="n 8 16 16"),
    ),
    _row(
        "HandleReduce: of a reduction",
        ("sum_of_sum",),
        program("sum(sum(x, axis=2), axis=1)", x="n 16 16"),
    ),
    _row(
        "HandleReduce: of a negation",
        ("sum_of_negative",),
        program("tanh(sum(-x, axis=1)) + sum(x, axis=1)", x="n 4096"),
    ),
    _row(
        "HandleReduce: of a product",
        ("sum_of_rows_of_product",),
        program("sum(x @ y, axis=0)", x="256 256", y="256 256"),
    ),
    _row(
        "HandleReduce: of a product, over its columns",
        ("sum_of_columns_of_product",),
        program("sum(x @ y, axis=1)", x="256 256", y="256 256"),
    ),
    _row(
        "HandleReduce: of a batch of products",
        ("sum_of_batch_of_products",),
        program("sum(x @ y, axis=0)", x="16 64 64", y="16 64 64"),
    ),
    _row(
        "HandleReduce: of a transpose that stays",
        ("permute_behind_sum",),
        program("permute_dims(sum(permute_dims(x, axes=(2, 1, 0)), axis=1))", x="n 16 16"),
        canonical=True,
    ),
    _row(
        "HandleReduce: of a reshape of what is reduced",
        ("sum_of_reshaped",),
        program("sum(reshape(x, (n, 64)), axis=1)", x="n 8 8"),
        canonical=True,
    ),
    _row(
        "HandleReduce: of a reshape of what is kept",
        (
            "reshape_behind_sum",
            "reshape_to_own_shape",
        ),
        program("reshape(sum(reshape(x, (4*n, 8)), axis=1), (n, 4))", x="n 4 8"),
        canonical=True,
    ),
    _row(
        "HandleReduce: of a concatenation",
        program=program("sum(concat([x, y], axis=1), axis=1)", x="n 64", y="n 64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleReduce: sum of a broadcast",
        ("sum_of_repeated",),
        program("sum(broadcast_to(x, (16, 64)), axis=0)", x="64"),
    ),
    _row(
        "HandleReduce: maximum of a broadcast",
        ("max_of_repeated",),
        program("max(broadcast_to(x, (16, 64)), axis=0)", x="64"),
    ),
    _row(
        "HandleReduce: of the axes before a broadcast",
        ("sum_of_own_axes",),
        program("sum(broadcast_to(x, (64, 16, 256)), axis=2)", x="16 256"),
    ),
    _row(
        "HandleReduce: argmax of a constant",
        program=program("(argmax(c, axis=1) + i) * 2", c="= 8 64", i="int64 n 8"),
        mechanism=FOLDING,
    ),
    _absent("HandleReduce: maximum and argmax in one", reason="Relax has no reduction of pairs"),
    _absent(
        "HandleReduce, HandleReduceWindow: variadic with one result",
        reason="Relax has no reduction of tuples",
    ),
    _row(
        "HandleReduceWindow: of the whole image",
        ("average_pool_of_all_is_mean",),
        program("nn.avg_pool2d(x, (16, 16))", x="n 8 16 16"),
    ),
    _row(
        "HandleReduceWindow: of one element",
        ("max_pool_of_one",),
        program("exp(nn.max_pool2d(x, (1, 1)))", x="n 8 16 16"),
    ),
    _row(
        "HandleReduceWindow: maximum of the whole image",
        ("max_pool_of_all_is_max",),
        program("nn.max_pool2d(x, (16, 16))", x="n 8 16 16"),
    ),
    _row(
        "HandleReduceWindow: of a pad",
        ("pad_into_max_pool",),
        program(
            "y = nn.pad(x, pad_width=(0, 0, 0, 0, 1, 1, 1, 1), pad_value=float('-inf'))\n"
            "nn.max_pool2d(y, (2, 2))",
            x="n 8 16 16",
        ),
    ),
    _row(
        "HandleReduceWindow: average of a pad",
        ("pad_into_average_pool",),
        program(
            "y = nn.pad(x, pad_width=(0, 0, 0, 0, 1, 1, 1, 1))\n"
            "nn.avg_pool2d(y, (2, 2), count_include_pad=True)",
            x="n 8 16 16",
        ),
    ),
    _row(
        "HandleReduceWindow: prefix sums of one number",
        ("cumsum_of_full",),
        program("cumsum(full((n, 64), array(0.5, 'float32')), axis=1) + x", x="n 64"),
    ),
)
