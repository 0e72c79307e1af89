"""The graph rewrites of onnxruntime."""

from __future__ import annotations

from functools import partial

from eqsat.rules import quantized
from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "onnxruntime")

FUSED = "fusion: one kernel (`eqsat/rules/fusion.py`)"
IN_REGISTERS = "fusion: computed on the register tile before it is stored"
IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"
CONV = {"x": "n 8 16 16", "w": "= 16 8 3 3"}
PRODUCT = {"x": "n 64", "w": "= 64 64"}

_HEADS = "permute_dims(reshape({}, (n, 16, 4, 16)), axes=(0, 2, 1, 3))"
ATTENTION = f"""
q = {_HEADS.format("x @ a + d")}
k = {_HEADS.format("x @ b + e")}
v = {_HEADS.format("x @ c + f")}
s = nn.softmax((q @ permute_dims(k, axes=(0, 1, 3, 2))) / 4.0, axis=-1)
reshape(permute_dims(s @ v, axes=(0, 2, 1, 3)), (n, 16, 64)) @ o
"""
GROUPED_QUERIES = """
k = reshape(broadcast_to(expand_dims(k, axis=(2,)), (n, 2, 2, t, 16)), (n, 4, t, 16))
v = reshape(broadcast_to(expand_dims(v, axis=(2,)), (n, 2, 2, t, 16)), (n, 4, t, 16))
nn.softmax((q @ permute_dims(k, axes=(0, 1, 3, 2))) * 0.25, axis=-1) @ v
"""
LAYER_NORM = """
d = x - mean(x, axis=-1, keepdims=True)
(d / sqrt(mean(power(d, 2), axis=-1, keepdims=True) + 1e-5)) * g + b
"""
EMBEDDED = """
h = take(a, i, axis=0) + take(p, j, axis=0) + take(s, k, axis=0)
nn.layer_norm(h, g, b, axes=[-1])
"""
NCHW, NHWC = "axes=(0, 3, 1, 2)", "axes=(0, 2, 3, 1)"

ROWS: tuple[Row, ...] = (
    # Level 1: what changes nothing, or less.
    _row(
        "EliminateIdentity",
        ("permute_that_moves_nothing",),
        program("nn.relu(permute_dims(x, axes=(0, 1, 2)))", x="n 4 8"),
        canonical=True,
    ),
    _row(
        "EliminateSlice",
        ("slice_of_everything",),
        program("sum(strided_slice(x, axes=(1,), begin=(0,), end=(8,)), axis=1)", x="n 8"),
        canonical=True,
    ),
    _row(
        "EliminateDropout",
        ("dropout_is_identity",),
        program("nn.relu(nn.dropout(x, rate=0.5)[0])", x="n 8"),
        canonical=True,
    ),
    _row(
        "UnsqueezeElimination",
        ("reshape_of_reshape", "reshape_to_own_shape"),
        program("nn.relu(squeeze(expand_dims(x, axis=(0,)), axis=(0,)))", x="n 4"),
        canonical=True,
    ),
    _row(
        "ExpandElimination",
        ("multiply_by_broadcast",),
        program("x * broadcast_to(y, (n, 4))", x="n 4", y="4"),
        canonical=True,
    ),
    _row(
        "CastElimination",
        ("cast_to_own_dtype",),
        program("exp(astype(x, dtype='float32'))", x="n 4"),
        canonical=True,
    ),
    _row(
        "CastChainElimination",
        ("cast_of_exact_cast",),
        program("astype(astype(x, dtype='float32'), dtype='float64')", x="float16 n 4"),
    ),
    _row(
        "NoopElimination",
        ("add_zero", "multiply_by_one", "subtract_zero"),
        program("exp(((x + 0) * 1) - 0)", x="n 4"),
    ),
    _row("DivMulFusion", ("multiply_by_reciprocal",), program("(1 / x) * y", x="+ n 4", y="n 4")),
    _row("FuseReluClip", ("clip_of_relu",), program("clip(nn.relu(x), min=-1, max=6)", x="n 4")),
    _row(
        "GemmSumFusion",
        program=program("(x @ w) + y", y="n 64", **PRODUCT),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "GemmTransposeFusion",
        program=program("permute_dims(x, axes=(1, 0)) @ w", x="64 n", w="= 64 64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "NotWhereFusion",
        ("where_of_logical_not",),
        program("where(logical_not(c), x, y)", c="bool n 4", x="n 4", y="n 4"),
        canonical=True,
    ),
    _row(
        "ConvAddFusion",
        program=program("nn.conv2d(x, w, padding=1) + b", b="= 1 16 1 1", **CONV),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "ConvMulFusion",
        ("batched_output_scale_into_kernel",),
        program("nn.conv2d(x, w, padding=1) * b", b="= 1 16 1 1", **CONV),
    ),
    _row(
        "ConvBNFusion",
        ("batch_norm_is_scale_and_shift", "batched_output_scale_into_kernel"),
        program(
            "nn.batch_norm(nn.conv2d(x, w, padding=1), g, b, m, v, axis=1, training=False)[0]",
            **dict.fromkeys("gbm", "= 16"),
            v="= + 16",
            **CONV,
        ),
    ),
    _row(
        "PadFusion",
        ("pad_into_convolution",),
        program("nn.conv2d(nn.pad(x, pad_width=(0, 0, 0, 0, 1, 1, 1, 1)), w)", **CONV),
    ),
    _row(
        "MatmulBNFusion",
        ("batch_norm_is_scale_and_shift", "scale_of_product_into_weight"),
        program(
            "nn.batch_norm(x @ w, g, b, m, v, axis=1, training=False)[0]",
            **dict.fromkeys("gbm", "= 64"),
            v="= + 64",
            **PRODUCT,
        ),
    ),
    _row(
        "ConstantSharing",
        program=program("nn.relu(x + c) * (y + c)", x="n 64", y="n 64", c="= 64"),
        mechanism="equal constants are one e-class (`eqsat/_encode.py`)",
    ),
    _row(
        "CommonSubexpressionElimination",
        program=program("exp(x + y) * exp(x + y)", x="n 64", y="n 64"),
        mechanism="equal terms are one e-class",
    ),
    _row(
        "ConstantFolding",
        program=program("x * exp(c) + nn.relu(c)", x="n 64", c="= 64"),
        mechanism="constants are folded when the result is written (`eqsat/_fold.py`)",
    ),
    _row("MatMulAddFusion", program=program("x @ w + b", b="= 64", **PRODUCT), mechanism=FUSED),
    _row(
        "ReshapeFusion",
        ("reshape_of_reshape",),
        program("nn.relu(reshape(reshape(x, (n, 4, 8)), (n, 2, 16)))", x="n 32"),
        canonical=True,
    ),
    _row(
        "TransposeOptimizer",
        ("add_smaller_constant_to_permuted", "relu_of_permuted"),
        program(
            f"permute_dims(nn.relu(permute_dims(x, {NHWC}) + c), {NCHW})", x="n 8 16 16", c="= 8"
        ),
    ),
    _row(
        "TransposeOptimizer: Softmax",
        ("softmax_of_permuted",),
        program(
            "permute_dims(nn.softmax(permute_dims(x, axes=(0, 2, 1)), axis=1), axes=(0, 2, 1))",
            x="n 8 16",
        ),
    ),
    _row(
        "TransposeOptimizer: Concat",
        (
            "concat_of_permuted",
            "permute_of_concat_with_permuted_behind",
            "permute_of_concat_with_permuted_in_front",
        ),
        program(
            f"z = concat([permute_dims(x, {NHWC}), permute_dims(y, {NHWC})], axis=3)\n"
            f"permute_dims(z, {NCHW})",
            x="n 8 16 16",
            y="n 8 16 16",
        ),
    ),
    _row(
        "TransposeOptimizer: ReduceMean",
        ("mean_of_permuted",),
        program(f"mean(permute_dims(x, {NHWC}), axis=(1, 2))", x="n 8 16 16"),
    ),
    # Quantised programs: opt-in.
    _row(
        "QDQPropagation",
        ("dequantize_of_permute", "dequantize_of_reshape", "quantize_of_dequantize"),
        program(
            "h = permute_dims(reshape(dequantize(x, s, z), (n, 4, 8)), axes=(0, 2, 1))\n"
            "quantize(h, s, z)",
            x="int8 n 32",
            s="= +",
            z="= int8",
        ),
        rule_sets=(quantized,),
    ),
    _row(
        "QDQSelection",
        ("scale_of_weight_leaves_product", "symmetric_scale_leaves_product"),
        program("x @ dequantize(w, s, z)", x="n 512", w="= int8 512 512", s="= +", z="= int8"),
        rule_sets=(quantized,),
        dims={"n": 1},
    ),
    _row(
        "MatMulNBits",
        ("scale_of_weight_leaves_product", "symmetric_scale_leaves_product"),
        program("x @ dequantize(w, s, z)", x="n 768", w="= uint8 768 768", s="= +", z="= uint8"),
        rule_sets=(quantized,),
        dims={"n": 1},
    ),
    # Level 2: fusions.
    _row(
        "ConvActivationFusion",
        program=program("nn.relu(nn.conv2d(x, w, padding=1))", **CONV),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "ConvAddActivationFusion",
        program=program("nn.relu(nn.conv2d(x, w, padding=1) + y)", y="n 16 16 16", **CONV),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "GemmActivationFusion",
        program=program("nn.relu(x @ w + b)", b="= 64", **PRODUCT),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "MatMulActivationFusion",
        program=program("nn.gelu(x @ w)", **PRODUCT),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "GeluFusion",
        ("gelu_halves_the_product",),
        program("x * (erf(x / 1.4142135623730951) + 1) * 0.5", x="n 64"),
        canonical=True,
    ),
    _row("BiasGeluFusion", program=program("nn.gelu(x + b)", x="n 64", b="= 64"), mechanism=FUSED),
    _row(
        "FastGeluFusion",
        ("gelu_tanh_from_cube", "gelu_tanh_halves_the_product", "power_three_is_cube"),
        program(
            "(x * 0.5) * (tanh((x + power(x, 3) * 0.044715) * 0.7978845608028654) + 1)", x="n 64"
        ),
    ),
    _row(
        "FastGeluFusion: as transformers writes it",
        ("number_leaves_cube",),
        program(
            "x * (0.5 * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))))", x="n 64"
        ),
        canonical=True,
    ),
    _row("QuickGeluFusion", program=program("x * sigmoid(x * 1.702)", x="n 64"), mechanism=FUSED),
    _row(
        "LayerNormFusion",
        ("power_two_is_square", "divide_by_sqrt"),
        program(LAYER_NORM, x="n 64", g="= 64", b="= 64"),
    ),
    _row(
        "SimplifiedLayerNormFusion",
        program=program(
            "x * rsqrt(mean(x * x, axis=-1, keepdims=True) + 1e-6) * w", x="n 64", w="= 64"
        ),
        mechanism=FUSED,
    ),
    _row(
        "SkipLayerNormFusion",
        program=program(
            "nn.layer_norm(x + y + b, g, c, axes=[-1])",
            x="n 64",
            y="n 64",
            b="= 64",
            g="= 64",
            c="= 64",
        ),
        mechanism=FUSED,
    ),
    _row(
        "EmbedLayerNormFusion",
        program=program(
            EMBEDDED,
            a="= 100 64",
            p="= 50 64",
            s="= 2 64",
            g="= 64",
            b="= 64",
            **dict.fromkeys("ijk", "int64 n 16"),
        ),
        mechanism=FUSED,
    ),
    _row(
        "AttentionFusion",
        (
            "query_key_value_merge",
            "three_parallel_products_merge",
            "parallel_products_merge",
            "parallel_linear_layers_merge",
        ),
        program(
            ATTENTION,
            x="n 16 64",
            **dict.fromkeys("abco", "= 64 64"),
            **dict.fromkeys("def", "= 64"),
        ),
    ),
    _row(
        "GroupQueryAttentionFusion",
        program=program(GROUPED_QUERIES, q="n 4 1 16", k="n 2 t 16", v="n 2 t 16"),
        mechanism="fusion: repeated heads are read where they lie",
        dims={"n": 1, "t": 64},
    ),
    _row(
        "GatherSliceToSplitFusion",
        program=program(
            "[nn.relu(strided_slice(x, axes=(1,), begin=(0,), end=(32,))),"
            " nn.relu(strided_slice(x, axes=(1,), begin=(32,), end=(64,)))]",
            x="n 64",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "GatherToSliceFusion",
        ("take_of_range_is_slice",),
        program("nn.relu(take(x, arange(start=4, end=8), axis=1))", x="n 64"),
    ),
    _row(
        "GatherToSliceFusion: one index",
        ("take_of_one_is_slice",),
        program("nn.relu(take(x, array(3), axis=1))", x="n 16 64"),
    ),
    _row(
        "MatmulTransposeFusion",
        program=program("x @ permute_dims(y, axes=(0, 2, 1))", x="n 16 64", y="n 16 64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "BiasSoftmaxFusion",
        program=program("nn.softmax(x + m, axis=-1)", x="n 4 16 16", m="n 1 1 16"),
        mechanism=FUSED,
    ),
    _row(
        "MatMulScaleFusion",
        ("scale_commutes_with_product", "scale_of_right_operand_leaves_product"),
        program("((x * 0.5) @ (y * 0.25)) * 2", x="n 64", y="64 64"),
    ),
    # Level 3: layouts.
    _row(
        "NchwcTransformer",
        program=program(
            "nn.conv2d(nn.relu(nn.conv2d(x, w, padding=1)), v, padding=1)", v="= 16 16 3 3", **CONV
        ),
        mechanism="the contraction template packs weights in tiles and pixels in panels",
    ),
    _row(
        "NhwcTransformer",
        program=program(
            f"permute_dims(nn.conv2d(permute_dims(x, {NCHW}), w, padding=1), {NHWC})",
            x="n 16 16 8",
            w="= 16 8 3 3",
        ),
        mechanism=IN_LOADS,
    ),
)
