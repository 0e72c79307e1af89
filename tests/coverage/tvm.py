"""The passes of TVM Relax."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row
from tests.coverage._tvm_pairs import PAIRS

_row = partial(Row, "TVM")
_BY_NAME = {p.name: p for p in PAIRS}


def _from_pair(rewrite: str, rules: tuple[str, ...], pair: str, *, canonical: bool = False) -> Row:
    """Return the row of a program that the pass is tested with."""
    found = _BY_NAME[pair]
    return _row(rewrite, rules, found.programs[0], dims=found.dims, canonical=canonical)


FUSION = "fusion: kernels are grown over all equal forms (`eqsat/rules/fusion.py`)"
FOLDING = "what depends on constants only is computed once (`eqsat/_fold.py`)"
GRAPH = "the e-graph holds each value once and reads back what the results need"
PLAN = (
    "the memory plan of the native program (`lowering/_memory_plan.py`): the estimate is of fusion"
)
_NHWC = "data_layout='NHWC', kernel_layout='HWIO', padding=1"
GPU = "a device that is not a target yet"

ROWS: tuple[Row, ...] = (
    _from_pair("AdjustMatmulOrder", ("matmul_associates",), "order-lhs"),
    _from_pair(
        "AdjustMatmulOrder: vectors", ("product_with_vector_associates",), "order-rhs-vector"
    ),
    _from_pair(
        "AdjustMatmulOrder: transposed",
        ("transpose_of_product", "matmul_associates"),
        "order-transposed",
    ),
    _from_pair("AdjustMatmulOrder: symbolic sizes", ("matmul_associates",), "order-symbolic-rows"),
    _from_pair("AdjustMatmulOrder: batches", ("matmul_associates",), "order-batch"),
    _from_pair(
        "ExpandMatmulOfSum",
        ("matrix_times_sum_with_product", "matmul_associates"),
        "expand-lora",
    ),
    _from_pair(
        "ExpandMatmulOfSum: transposed",
        ("permute_of_sum_with_product", "transpose_of_product"),
        "expand-lora-transposed",
    ),
    _row(
        "CombineParallelMatmul",
        ("three_parallel_products_merge", "parallel_products_merge"),
        program("[x @ u, x @ v, x @ w]", x="n 256", u="= 256 4", v="= 256 2", w="= 256 1"),
        dims={"n": 4096},
    ),
    _row(
        "CombineParallelMatmul: bias",
        ("parallel_linear_layers_merge", "parallel_products_merge"),
        program("[x @ u + a, x @ v + b]", x="n 256", u="= 256 4", v="= 256 2", a="= 4", b="= 2"),
        dims={"n": 4096},
    ),
    _row(
        "CombineParallelMatmul: activation",
        ("parallel_products_merge", "parallel_linear_layers_merge"),
        program(
            "[nn.relu(x @ u + a), exp(x @ v + b)]",
            x="n 256",
            u="= 256 4",
            v="= 256 2",
            a="= 4",
            b="= 2",
        ),
        dims={"n": 4096},
    ),
    _row(
        "ReorderPermuteDimsAfterConcat",
        ("concat_of_permuted",),
        program("concat([permute_dims(a), permute_dims(b)], axis=1)", a="64 128", b="32 128"),
        canonical=True,
    ),
    _row(
        "ReorderPermuteDimsAfterConcat: three",
        ("concat_of_three_permuted",),
        program(
            "concat([permute_dims(a), permute_dims(b), permute_dims(c)], axis=1)",
            a="64 128",
            b="32 128",
            c="32 128",
        ),
        canonical=True,
    ),
    _from_pair(
        "ReorderTakeAfterMatmul", ("product_with_picked_columns",), "reorder-take-of-static-table"
    ),
    _row(
        "RemoveRedundantReshape",
        ("reshape_of_reshape",),
        program("nn.relu(reshape(reshape(x, (n, 4, 8)), (n, 32)))", x="n 8 4"),
        canonical=True,
    ),
    _from_pair(
        "RemoveRedundantReshape: to its own shape",
        ("reshape_to_own_shape",),
        "reshape-to-itself",
        canonical=True,
    ),
    _from_pair(
        "FuseTransposeMatmul",
        ("product_with_transposed_is_linear",),
        "transpose-into-product",
    ),
    _row(
        "FoldConstant",
        program=program("x * exp(c) + nn.relu(c)", x="n 64", c="= 64"),
        mechanism=FOLDING,
    ),
    _from_pair(
        "FoldBatchnormToConv2D",
        ("batch_norm_is_scale_and_shift", "batched_output_scale_into_kernel"),
        "fold-batchnorm-into-conv",
    ),
    _row(
        "DecomposeOpsForInference",
        ("batch_norm_is_scale_and_shift",),
        program(
            "nn.batch_norm(nn.batch_norm(x, g, b, m, v, axis=1, training=False)[0], g, b, m, v, "
            "axis=1, training=False)[0]",
            x="n 16 28 28",
            g="= 16",
            b="= 16",
            m="= 16",
            v="= + 16",
        ),
        dims={"n": 4},
    ),
    _row(
        "CanonicalizeBindings",
        program=program("y = x\nz = exp(y) + tanh(y)\nw = z\nw * y", x="n 64"),
        mechanism=GRAPH,
    ),
    _row(
        "EliminateCommonSubexpr",
        program=program("nn.relu(x @ w) + exp(x @ w)", x="n 64", w="64 64"),
        mechanism=GRAPH,
    ),
    _row(
        "EliminateCommonSubexpr: commuted operands",
        ("sum_commutes",),
        program("[exp(x + y), tanh(y + x), (x + y) * (y + x)]", x="n 64", y="n 64"),
        dims={"n": 4096},
        canonical=True,
    ),
    _row(
        "DeadCodeElimination",
        program=program("y = exp(x)\nz = x @ w\nnn.relu(tanh(x))", x="n 64", w="64 64"),
        mechanism=GRAPH,
    ),
    _from_pair(
        "ConvertLayout: transposes cancel",
        ("permute_of_permute", "permute_that_moves_nothing"),
        "permute-back",
    ),
    _row(
        "ConvertLayout",
        ("convolution_in_nchw",),
        program(
            f"nn.conv2d(nn.relu(nn.conv2d(x, w, {_NHWC}) + b), v, {_NHWC})",
            x="1 28 28 32",
            w="= 3 3 32 32",
            b="= 32",
            v="= 3 3 32 32",
        ),
    ),
    _row(
        "ConvertLayout: an image permuted",
        ("convolution_of_permuted_image", "permuted_convolution"),
        program(
            "h = nn.conv2d(permute_dims(x, axes=(0, 3, 1, 2)), w)\n"
            "permute_dims(nn.relu(h), axes=(0, 2, 3, 1))",
            x="1 28 28 32",
            w="= 32 32 1 1",
        ),
    ),
    _row(
        "OptimizeLayoutTransform, on layouts written as permute_dims",
        ("permute_of_permute",),
        program("exp(permute_dims(permute_dims(x, (0, 2, 1)), (1, 0, 2)))", x="n 8 16"),
        canonical=True,
    ),
    _row(
        "RewriteDataflowReshape",
        program=program("tanh(reshape(exp(x), (n, 32)))", x="n 4 8"),
        mechanism="a reshape of a tensor in memory is the same memory (`Kernel.is_alias`)",
    ),
    _row(
        "FuseOps, FuseTIR",
        program=program("nn.relu(x @ w + b) * 2.0", x="n 64", w="64 64", b="64"),
        mechanism=FUSION,
    ),
    _row(
        "FuseOpsByPattern",
        program=program(
            "nn.gelu(nn.conv2d(x, w, padding=1) + b)", x="1 8 16 16", w="8 8 3 3", b="8 1 1"
        ),
        mechanism=FUSION,
    ),
    _row(
        "AlterOpImpl, weight prepacking",
        program=program("nn.relu(x @ w)", x="64 256", w="= 256 256"),
        mechanism="constant operands are packed when compiled (`lowering/schedule/_packing.py`)",
    ),
    _row(
        "LiftTransformParams",
        ("scale_of_product_into_weight",),
        program("(x @ w) * c", x="n 64", w="= 64 64", c="= 64"),
        dims={"n": 64},
    ),
    _row(
        "StaticPlanBlockMemory",
        program=program("nn.softmax(nn.relu(x @ w) @ v)", x="n 64", w="64 64", v="64 64"),
        mechanism=PLAN,
    ),
    _row(
        "DataflowUseInplaceCalls",
        program=program("exp(x) + tanh(x)", x="n 64"),
        mechanism="a value that one operator reads stays in registers: " + FUSION,
    ),
    _row(
        "ToMixedPrecision",
        reason="changes results: the opt-in set `mixed_precision`, with its own tests",
        is_inference=False,
    ),
    _row(
        "FastMath",
        reason="changes results: the opt-in set `approximate`, with its own tests",
        is_inference=False,
    ),
    _row("RewriteCUDAGraph", reason=GPU, is_inference=False),
    _row("Gradient", reason="training only", is_inference=False),
)
