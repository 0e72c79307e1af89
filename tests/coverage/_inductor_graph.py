"""What inductor does to any graph, in `joint_graph.py`, `post_grad.py`, `pre_grad.py`."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "inductor")

FUSED = "fusion: one kernel (`eqsat/rules/fusion.py`)"
IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"
IN_REGISTERS = "fusion: computed on the register tile before it is stored"
FOLDED = "what depends on constants only is computed once (`eqsat/_fold.py`)"
ONE_CLASS = "equal terms are one e-class (`eqsat/_encode.py`)"
PACKED = "operands are packed in whole tiles, padded with zeros (`lowering/schedule/_packing.py`)"

_SOFTMAX = """
d = s - max(s, axis=1, keepdims=True)
e = exp(d)
e / sum(e, axis=1, keepdims=True)
"""

NO_OPS: tuple[Row, ...] = (
    _row(
        "remove_no_ops: + 0, - 0, * 1, / 1",
        ("add_zero", "subtract_zero", "multiply_by_one", "divide_by_one"),
        program("exp((((x + 0) - 0) * 1) / 1)", x="n 4"),
    ),
    _row(
        "remove_noop_ops: slice",
        ("slice_of_everything",),
        program("exp(strided_slice(x, axes=(1,), begin=(0,), end=(8,)))", x="n 8"),
        canonical=True,
    ),
    _row(
        "remove_noop_ops: slice_scatter",
        ("slice_scatter_of_everything",),
        program("exp(slice_scatter(x, y, axis=1, start=0, end=8, step=1))", x="n 8", y="n 8"),
    ),
    _row(
        "remove_noop_ops: repeat",
        ("tile_by_ones", "repeat_by_one"),
        program("exp(repeat(tile(x, (1, 1)), 1, axis=0))", x="n 8"),
        canonical=True,
    ),
    _row(
        "remove_noop_ops: ceil, floor, round, trunc of integers",
        ("ceil_of_integers", "floor_of_integers", "round_of_integers", "trunc_of_integers"),
        program("ceil(floor(x)) + round(trunc(y))", x="int32 n 8", y="int32 n 8"),
        canonical=True,
    ),
    _row(
        "remove_noop_ops: constant_pad_nd",
        ("pad_by_nothing",),
        program("exp(nn.pad(x, pad_width=(0, 0, 0, 0)))", x="n 8"),
        canonical=True,
    ),
    _row(
        "remove_noop_ops: convert_element_type; unnecessary_dtype_convert",
        ("cast_to_own_dtype",),
        program("exp(astype(x, dtype='float32'))", x="n 8"),
        canonical=True,
    ),
    _row("remove_noop_ops: pow", ("power_one",), program("exp(power(x, 1))", x="n 8")),
    _row(
        "remove_noop_ops: cat",
        ("concat_of_one",),
        program("exp(concat([x], axis=0))", x="n 8"),
        canonical=True,
    ),
    _row(
        "remove_noop_ops: view; pointless_view",
        ("reshape_to_own_shape",),
        program("exp(reshape(x, (n, 8)))", x="n 8"),
        canonical=True,
    ),
    _row(
        "remove_noop_ops: copy, alias, clone; remove_identity",
        program=program("y = x\nz = y\nexp(z) + tanh(x)", x="n 64"),
        mechanism="values do not change, so a variable is its value (`eqsat/_encode.py`)",
    ),
    _row(
        "pointless_view_pair",
        ("reshape_of_reshape", "reshape_to_own_shape"),
        program("exp(reshape(reshape(x, (n, 2, 4)), (n, 8)))", x="n 8"),
        canonical=True,
    ),
    _row(
        "pointless_permute_pair",
        ("permute_of_permute", "permute_that_moves_nothing"),
        program("exp(permute_dims(permute_dims(x, (0, 2, 1)), (0, 2, 1)))", x="n 8 16"),
        canonical=True,
    ),
    _row(
        "pointless_convert",
        ("cast_of_exact_cast",),
        program("exp(astype(astype(x, dtype='float32'), dtype='float16'))", x="float16 n 4"),
        canonical=True,
    ),
    _row(
        "remove_redundant_views",
        program=program("exp(reshape(x, (n, 2, 4))) + tanh(reshape(x, (n, 2, 4)))", x="n 8"),
        mechanism=ONE_CLASS,
    ),
)

VALUES: tuple[Row, ...] = (
    _row(
        "constant_fold",
        program=program("x * exp(c) + nn.relu(c)", x="n 64", c="= 64"),
        mechanism=FOLDED,
    ),
    _row(
        "constant_fold_uniform_value",
        (
            "add_full_of_zeros",
            "subtract_full_of_zeros",
            "multiply_by_full_of_ones",
            "divide_by_full_of_ones",
        ),
        program("z, e = full((n, 4), 0.0), full((n, 4), 1.0)\nexp(((x + z) * e) / e) - z", x="n 4"),
        canonical=True,
    ),
    _row(
        "constant_fold_uniform_value: zeros and ones",
        ("add_zeros", "subtract_zeros", "multiply_by_ones", "divide_by_ones"),
        program("z, e = zeros((n, 4)), ones((n, 4))\nexp(((x + z) * e) / e) - z", x="n 4"),
        canonical=True,
    ),
    _row(
        "constant_fold_uniform_value: integers times zero",
        ("integers_times_zero", "add_zeros_like"),
        program("y + x * 0", x="int32 n 4", y="int32 n 4"),
    ),
    _row(
        "pointless_cumsum_replacement",
        ("cumsum_of_full",),
        program("x + cumsum(full((n, 64), 2.0), axis=1)", x="n 64"),
    ),
    _row(
        "scatter_upon_const_tensor",
        ("scatter_of_one_per_row_is_where",),
        program(
            "z = full((n, 64), 0.0)\n"
            "x + scatter_elements(z, i, full((n, 1), 1.0), axis=1, reduction='update')",
            x="n 64",
            i="int64 n 1",
        ),
    ),
    _row(
        "register_partial_reduction_pattern",
        ("max_begun_by_another", "min_begun_by_another"),
        program("[max(x, axis=1), max(x), min(x, axis=0), min(x)]", x="256 256"),
    ),
    _row(
        "fx_graph_cse",
        program=program("nn.relu(x @ w) + exp(x @ w)", x="n 64", w="64 64"),
        mechanism=ONE_CLASS,
    ),
    _row(
        "eliminate_dead_code",
        program=program("y = exp(x)\nz = x @ w\nnn.relu(tanh(x))", x="n 64", w="64 64"),
        mechanism="only what the results need is encoded and extracted",
    ),
    _row(
        "mul_softmax_pattern",
        program=program("s = x * 0.5\n" + _SOFTMAX, x="n 64"),
        mechanism="fusion: a row kernel computes the scaled row once",
    ),
    _row(
        "div_softmax_pattern",
        program=program("s = x / 0.7\n" + _SOFTMAX, x="n 64"),
        mechanism="fusion: a row kernel computes the scaled row once",
    ),
    _row(
        "prepare_softmax_online",
        program=program("s = x\n" + _SOFTMAX, x="n 4096"),
        mechanism="fusion: the passes of a row kernel run over a row while it is in cache",
    ),
    _row(
        "reorder_for_locality",
        program=program("a = exp(x)\nb = tanh(y)\n[nn.relu(b), nn.relu(a)]", x="n 64", y="n 64"),
        mechanism="fusion: what only one kernel reads is computed inside it",
    ),
)

PRODUCTS: tuple[Row, ...] = (
    _row(
        "mm_plus_mm",
        ("sum_of_products_is_product_of_blocks",),
        program("nn.relu(x @ v + h @ w)", x="1 64", h="1 64", v="= 64 256", w="= 64 256"),
    ),
    _row(
        "addmm",
        program=program("x @ w + b", x="n 64", w="64 64", b="64"),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "decompose_mm_pass: mm, addmm, bmm of few rows",
        program=program("x @ w + b", x="1 64", w="64 64", b="64"),
        mechanism="the contraction template has tiles of few rows; the rest is fused into it",
    ),
    _row(
        "einsum_to_pointwise_pass",
        ("einsum_of_two_is_product",),
        program(
            "einsum([x, w], subscripts='abc,abcd->abd') + b", x="n 8 32", w="n 8 32 64", b="64"
        ),
    ),
    _row(
        "linear_permute_fusion",
        program=program(
            "permute_dims(linear(x, w, b), (0, 2, 1))", x="n 16 64", w="= 32 64", b="= 32"
        ),
        mechanism="fusion: the tile is stored where the permutation puts it",
    ),
    _row(
        "permute_linear_fusion",
        program=program(
            "linear(permute_dims(x, (0, 2, 1)), w, b)", x="n 64 16", w="= 32 64", b="= 32"
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "permute_matmul_fusion",
        program=program(
            "permute_dims(x, (0, 2, 1)) @ permute_dims(y, (0, 2, 1))", x="n 64 16", y="n 32 64"
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "sink_cat_after_pointwise",
        program=program("tanh(reshape(concat([x, y], axis=1), (n, 2, 32)))", x="n 32", y="n 32"),
        mechanism=IN_LOADS,
    ),
    _row(
        "pad_mm, pad_addmm, pad_bmm",
        program=program("nn.relu(x @ w)", x="33 65", w="= 65 67"),
        mechanism=PACKED,
    ),
)

ROWS = (*NO_OPS, *VALUES, *PRODUCTS)
