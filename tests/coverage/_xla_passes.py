"""XLA's passes beside the algebraic simplifier."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "XLA")
_absent = partial(Row, "XLA", is_inference=False)

FUSION = "fusion: kernels are grown over all equal forms (`eqsat/rules/fusion.py`)"
FOLDING = "what depends on constants only is computed once (`eqsat/_fold.py`)"
GRAPH = "the e-graph holds each value once and reads back what the results need"
IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"
PLAN = "the memory plan of the native program (`lowering/_memory_plan.py`)"
LOOPS = "Relax has recursive functions, not loops (`docs/control_flow.md`)"
ONE_DEVICE = "between devices: a program runs on one"

ROWS: tuple[Row, ...] = (
    _row(
        "hlo_cse",
        program=program("nn.relu(x @ w) + exp(x @ w)", x="n 64", w="64 64"),
        mechanism=GRAPH,
    ),
    _row(
        "hlo_dce",
        program=program("y = exp(x)\nz = x @ w\nnn.relu(tanh(x))", x="n 64", w="64 64"),
        mechanism=GRAPH,
    ),
    _row(
        "hlo_constant_folding",
        program=program("x * exp(c) + nn.relu(c)", x="n 64", c="= 64"),
        mechanism=FOLDING,
    ),
    _row(
        "reshape_mover",
        ("relu_of_reshaped", "reshape_of_reshape"),
        program("reshape(nn.relu(reshape(exp(x), (n, 32))), (n, 8, 4))", x="n 8 4"),
        canonical=True,
    ),
    _row(
        "batchnorm_expander",
        ("batch_norm_is_scale_and_shift",),
        program(
            "nn.relu(nn.batch_norm(x, g, b, m, v, axis=1, training=False)[0])",
            x="n 16 28 28",
            g="= 16",
            b="= 16",
            m="= 16",
            v="= + 16",
        ),
        dims={"n": 4},
    ),
    _row(
        "broadcast_canonicalizer, implicit broadcast folding",
        ("multiply_by_broadcast",),
        program("x * broadcast_to(y, (n, 4))", x="n 4", y="4"),
        canonical=True,
    ),
    _row(
        "dot_merger",
        ("parallel_products_merge",),
        program("[x @ v, x @ w]", x="n 256", v="= 256 4", w="= 256 2"),
        dims={"n": 4096},
    ),
    _row(
        "fusion: instruction, multi-output, priority",
        program=program("nn.relu(x @ w + b) * 2.0", x="n 64", w="64 64", b="64"),
        mechanism=FUSION,
    ),
    _row(
        "transpose_folding",
        program=program("x @ permute_dims(y, axes=(0, 2, 1))", x="n 16 64", y="n 16 64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "layout_assignment, layout_normalization",
        program=program(
            "permute_dims(nn.conv2d(permute_dims(x, axes=(0, 3, 1, 2)), w, padding=1), "
            "axes=(0, 2, 3, 1))",
            x="n 16 16 8",
            w="= 16 8 3 3",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "hlo_memory_scheduler, buffer assignment",
        program=program("nn.softmax(nn.relu(x @ w) @ v)", x="n 64", w="64 64", v="64 64"),
        mechanism=PLAN,
    ),
    _absent("while_loop_simplifier and the other passes over loops", reason=LOOPS),
    _absent("hlo_rematerialization", reason="training only"),
    _absent("all_reduce_folder and the other passes over collectives", reason=ONE_DEVICE),
    _absent(
        "rng_expander, rng_bit_generator_expander", reason="programs take random numbers as inputs"
    ),
    _absent("host offloading, asynchronous copies", reason="a device that is not a target yet"),
    _row(
        "zero_sized_hlo_elimination",
        (
            "product_over_nothing",
            "concat_with_nothing_behind",
        ),
        program("concat([x @ w, y], axis=1)", x="n 0", w="0 64", y="n 0"),
    ),
    _row(
        "batch_dot_simplification",
        ("product_with_reshaped_weight",),
        program("x @ reshape(exp(y), (1, 64, 64))", x="n 16 64", y="64 64"),
        canonical=True,
    ),
    _row(
        "degenerate_dimension_rewriter",
        (
            "permute_of_unit_axes_is_reshape",
            "reshape_of_reshape",
        ),
        program("exp(permute_dims(reshape(x, (n, 1, 64)), axes=(0, 2, 1)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "dot_decomposer, dot_dimension_merger",
        (
            "product_of_flattened_rows",
            "reshape_of_reshape",
            "reshape_to_own_shape",
        ),
        program("reshape(reshape(x, (16*n, 64)) @ w, (n, 16, 64))", x="n 16 64", w="= 64 64"),
        canonical=True,
    ),
    _row(
        "gemv_rewriter",
        ("product_with_vector_associates",),
        program("(x @ y) @ v", x="256 256", y="256 256", v="256"),
    ),
    _row(
        "conv_operand_swapper, convolution_group_converter",
        ("channelwise_point_convolution_is_scale",),
        program("nn.relu(nn.conv2d(x, w, groups=8))", x="n 8 16 16", w="8 1 1 1"),
    ),
    _row(
        "gather_simplifier",
        ("take_of_one_is_slice",),
        program("nn.relu(take(x, array(5), axis=1))", x="n 16 64"),
    ),
    _row("sort_simplifier", ("sort_of_one",), program("tanh(sort(x, axis=1))", x="n 1")),
    _row(
        "slice_sinker",
        ("slice_of_concat_is_first",),
        program(
            "exp(strided_slice(concat([x, y], axis=1), axes=(1,), begin=(0,), end=(64,))) + 1",
            x="n 64",
            y="n 64",
        ),
        canonical=True,
    ),
    _row(
        "slice_hoister",
        ("sliced_columns_of_product",),
        program("strided_slice(x @ w, axes=(1,), begin=(0,), end=(16,))", x="64 64", w="64 64"),
    ),
    _row(
        "convert_mover",
        (
            "cast_of_permuted",
            "permute_of_permute",
        ),
        program("permute_dims(astype(permute_dims(x), dtype='float64'))", x="n 64"),
        canonical=True,
    ),
    _row(
        "convert_operand_folder, simplify_fp_conversions",
        (
            "cast_of_exact_cast",
            "cast_to_own_dtype",
        ),
        program("tanh(astype(astype(x, dtype='float64'), dtype='float32'))", x="n 64"),
        canonical=True,
    ),
    _row(
        "reduce_window_rewriter, recognize_reduce_window",
        ("last_prefix_sum_is_sum",),
        program(
            "strided_slice(cumsum(x, axis=1), axes=(1,), begin=(63,), end=(64,)) * 2", x="n 64"
        ),
    ),
    _row(
        "tuple_simplifier, HandleGetTupleElement",
        program=program("a = split(exp(x), 2, axis=1)\na[0] + a[1]", x="n 64"),
        mechanism=GRAPH,
    ),
    _row(
        "logistic_expander", program=program("sigmoid(x) * y", x="n 64", y="n 64"), mechanism=FUSION
    ),
    _row(
        "constant_deferring, constant sinking and splitting",
        program=program("x * exp(c) + nn.relu(c)", x="n 64", c="= 64"),
        mechanism=FOLDING,
    ),
    _absent(
        "float_normalization, hlo_element_type_converter, result_caster, operand_upcaster",
        reason="changes dtypes for devices that lack them; a CPU computes in every dtype",
    ),
    _absent(
        "HandleMap, call_inliner, flatten_call_graph, hlo_computation_deduplicator",
        reason="private functions are inlined before anything else (`eqsat/_inline.py`)",
    ),
    _absent(
        "HandleConditional, conditional_canonicalizer, conditional_simplifier",
        reason="branches are functions of the graph around them (`docs/control_flow.md`)",
    ),
    _absent(
        "dynamic_dimension_simplifier, dynamic_padder",
        reason="sizes that vary are symbols of the types",
    ),
    _absent("tree_reduction_rewriter", reason="for devices that reduce in warps"),
    _absent(
        "cholesky_expander, triangular_solve_expander, eigh_expander",
        reason="Relax has no such operators",
    ),
    _absent(
        "HandleOptimizationBarrier, HandleCustomCall",
        reason="Relax has no barriers and no padding of dynamic sizes",
    ),
)
