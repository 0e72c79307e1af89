"""The graph rewrites of OpenVINO: MOCTransformations and CommonOptimizations.

Conversions between versions of one operator, and passes that only mark or name nodes, are no
rewrites and have no rows.
"""

from __future__ import annotations

from functools import partial

from eqsat.rules import quantized
from tests.coverage._openvino_views import VIEW_ROWS
from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "OpenVINO")

FUSED = "fusion: one kernel (`eqsat/rules/fusion.py`)"
IN_REGISTERS = "fusion: computed on the register tile before it is stored"
LOOPS = "rewrites the body of a loop or branch operator, which Relax does not have"

CONV = {"x": "n 8 16 16", "w": "= 16 8 3 3"}
GROUPED = {"x": "n 8 16 16", "w": "= 16 4 3 3"}
PRODUCT = {"x": "n 64", "w": "= 64 64"}
ONE_STEP = {"s": "= +", "z": "= int8"}

HEADS = "nn.softmax((q @ permute_dims(k, axes=(0, 1, 3, 2))) * 0.25, axis=-1) @ v"
LSTM_CELL = """
g = x @ w + h @ r + b
i = sigmoid(strided_slice(g, axes=(1,), begin=(0,), end=(64,)))
f = sigmoid(strided_slice(g, axes=(1,), begin=(64,), end=(128,)))
c = f * c + i * tanh(strided_slice(g, axes=(1,), begin=(128,), end=(192,)))
[c, sigmoid(strided_slice(g, axes=(1,), begin=(192,), end=(256,))) * tanh(c)]
"""
GRU_CELL = """
g = sigmoid(concat([x, h], axis=1) @ w + b)
z = strided_slice(g, axes=(1,), begin=(0,), end=(64,))
r = strided_slice(g, axes=(1,), begin=(64,), end=(128,))
(1 - z) * h + z * tanh(concat([x, r * h], axis=1) @ v + d)
"""
GROUP_NORM = """
h = reshape(x, (n, 4, 512))
d = h - mean(h, axis=(2,), keepdims=True)
reshape(d / sqrt(mean(d * d, axis=(2,), keepdims=True) + 1e-5), (n, 8, 16, 16)) * g + b
"""
MVN = """
d = x - mean(x, axis=(2, 3), keepdims=True)
d / sqrt(mean(power(d, 2), axis=(2, 3), keepdims=True) + 1e-5)
"""
ROPE = """
a = strided_slice(x, axes=(3,), begin=(0,), end=(8,))
b = strided_slice(x, axes=(3,), begin=(8,), end=(16,))
x * c + concat([-b, a], axis=3) * s
"""
SPLIT_OUTPUTS = """
a = nn.conv2d(strided_slice(x, axes=(1,), begin=(0,), end=(4,)), w, padding=1)
b = nn.conv2d(strided_slice(x, axes=(1,), begin=(4,), end=(8,)), v, padding=1)
concat([a, b], axis=1)
"""

ROWS: tuple[Row, ...] = (
    *VIEW_ROWS,
    # --- activations ------------------------------------------------------------------------
    _row("SoftPlusFusion", program=program("log(exp(x) + 1)", x="n 64"), mechanism=FUSED),
    _row(
        "SoftPlusToMishFusion",
        program=program("x * tanh(nn.softplus(x))", x="n 64"),
        mechanism=FUSED,
    ),
    _row(
        "SwishFusion",
        ("silu_from_exp",),
        program("x / (1 + exp(-x))", x="n 64"),
    ),
    _row(
        "HSwishFusion",
        ("divide_by_constant",),
        program("x * nn.relu6(x + 3) / 6", x="n 64"),
    ),
    _row(
        "HSigmoidFusion",
        ("clip_is_relu6", "divide_by_constant"),
        program("clip(x + 3, min=0, max=6) / 6", x="n 64"),
    ),
    _row(
        "GeluFusion",
        ("gelu_halves_the_product",),
        program("x * (erf(x / 1.4142135623730951) + 1) * 0.5", x="n 64"),
        canonical=True,
    ),
    _row("LeakyReluFusion", program=program("maximum(x, x * 0.01)", x="n 64"), mechanism=FUSED),
    _row(
        "PReluFusion",
        program=program("nn.relu(x) + nn.relu(-x) * a", x="n 64", a="= 64"),
        mechanism=FUSED,
    ),
    _row(
        "ClampFusion",
        program=program("minimum(maximum(x, -1), 2)", x="n 64"),
        mechanism=FUSED,
    ),
    _row(
        "GLUFusion",
        program=program(
            "g = strided_slice(x, axes=(1,), begin=(0,), end=(64,))\n"
            "g * sigmoid(g) * strided_slice(x, axes=(1,), begin=(64,), end=(128,))",
            x="n 128",
        ),
        mechanism=FUSED,
    ),
    # --- rows -------------------------------------------------------------------------------
    _row(
        "SoftmaxFusion",
        program=program(
            "e = exp(x - max(x, axis=-1, keepdims=True))\ne / sum(e, axis=-1, keepdims=True)",
            x="n 64",
        ),
        mechanism=FUSED,
    ),
    _row("MVNFusion", ("divide_by_sqrt",), program(MVN, x="n 8 16 16")),
    _row(
        "NormalizeL2Fusion",
        ("divide_by_sqrt",),
        program("x / sqrt(sum(x * x, axis=-1, keepdims=True) + 1e-6)", x="n 64"),
    ),
    _row(
        "RMSFusion",
        ("divide_by_sqrt",),
        program("x / sqrt(mean(x * x, axis=-1, keepdims=True) + 1e-6) * w", x="n 64", w="= 64"),
    ),
    _row(
        "GroupNormalizationFusion",
        program=program(GROUP_NORM, x="n 8 16 16", g="= 8 1 1", b="= 8 1 1"),
        mechanism=FUSED,
    ),
    _row("RoPEFusion", program=program(ROPE, x="n 4 8 16", c="8 16", s="8 16"), mechanism=FUSED),
    _row(
        "SDPAFusion",
        program=program(HEADS, q="n 4 16 16", k="n 4 16 16", v="n 4 16 16"),
        mechanism=FUSED,
    ),
    # --- cells ------------------------------------------------------------------------------
    _row(
        "LSTMCellFusion",
        program=program(
            LSTM_CELL, x="n 64", h="n 64", c="n 64", b="= 256", w="= 64 256", r="= 64 256"
        ),
        mechanism=FUSED,
    ),
    _row(
        "GRUCellFusion",
        program=program(
            GRU_CELL, x="n 64", h="n 64", w="= 128 128", b="= 128", v="= 128 64", d="= 64"
        ),
        mechanism=FUSED,
    ),
    # --- convolutions and products ----------------------------------------------------------
    _row(
        "BatchNormDecomposition",
        ("batch_norm_is_scale_and_shift", "batched_output_scale_into_kernel"),
        program(
            "nn.batch_norm(nn.conv2d(x, w, padding=1), g, b, m, v, axis=1, training=False)[0]",
            **dict.fromkeys("gbm", "= 16"),
            v="= + 16",
            **CONV,
        ),
    ),
    _row(
        "ConvolutionMultiplyFusion",
        ("batched_output_scale_into_kernel",),
        program("nn.conv2d(x, w, padding=1) * b", b="= 1 16 1 1", **CONV),
    ),
    _row(
        "GroupConvolutionMultiplyFusion",
        ("batched_output_scale_into_kernel",),
        program("nn.conv2d(x, w, padding=1, groups=2) * b", b="= 1 16 1 1", **GROUPED),
    ),
    _row(
        "ConvolutionBackpropDataMultiplyFusion",
        ("output_scale_into_transposed_kernel",),
        program(
            "nn.conv2d_transpose(x, w, padding=1) * b",
            b="= 1 16 1 1",
            x="n 8 16 16",
            w="= 8 16 3 3",
        ),
    ),
    _row(
        "GroupConvolutionBackpropDataMultiplyFusion",
        ("output_scale_into_grouped_transposed_kernel",),
        program(
            "nn.conv2d_transpose(x, w, padding=1, groups=2) * b",
            b="= 1 16 1 1",
            x="n 8 16 16",
            w="= 8 8 3 3",
        ),
    ),
    _row(
        "MultiplyConvolutionFusion",
        ("batched_input_scale_into_kernel",),
        program("nn.conv2d(x * b, w, padding=1)", b="= 1 8 1 1", **CONV),
    ),
    _row(
        "MultiplyGroupConvolutionFusion",
        ("input_scale_into_grouped_kernel",),
        program("nn.conv2d(x * b, w, padding=1, groups=2)", b="= 1 8 1 1", **GROUPED),
    ),
    _row(
        "MultiplyConvolutionBackpropDataFusion",
        ("input_scale_into_transposed_kernel",),
        program(
            "nn.conv2d_transpose(x * b, w, padding=1)", b="= 1 8 1 1", x="n 8 16 16", w="= 8 16 3 3"
        ),
    ),
    _row(
        "MultiplyGroupConvolutionBackpropDataFusion",
        ("input_scale_into_transposed_kernel",),
        program(
            "nn.conv2d_transpose(x * b, w, padding=1, groups=2)",
            b="= 1 8 1 1",
            x="n 8 16 16",
            w="= 8 8 3 3",
        ),
    ),
    _row(
        "MatMulMultiplyFusion",
        ("scale_of_product_into_weight",),
        program("(x @ w) * c", c="= 64", **PRODUCT),
        dims={"n": 64},
    ),
    _row(
        "ConvolutionToGroupConvolutionFusion",
        ("convolutions_are_groups",),
        program(SPLIT_OUTPUTS, x="n 8 16 16", w="= 8 4 3 3", v="= 8 4 3 3"),
    ),
    _row(
        "StridesOptimization",
        ("strides_of_point_convolution_move_up",),
        program("nn.conv2d(nn.conv2d(x, w, padding=1), v, strides=2)", v="= 16 16 1 1", **CONV),
    ),
    _row(
        "StridesOptimization: over activations",
        ("strides_move_up_over_biased_relu",),
        program(
            "nn.conv2d(nn.relu(nn.conv2d(x, w, padding=1) + b), v, strides=2)",
            b="= 1 16 1 1",
            v="= 16 16 1 1",
            **CONV,
        ),
    ),
    _row(
        "FullyConnectedHorizontalFusion",
        ("three_parallel_products_merge", "parallel_products_merge"),
        program("[x @ u, x @ v, x @ w]", x="n 256", u="= 256 4", v="= 256 2", w="= 256 1"),
        dims={"n": 4096},
    ),
    _row(
        "InterpolateSequenceFusion",
        ("resize_of_other_axis",),
        program(
            "image.resize2d(image.resize2d(x, (32, 16)), (32, 32))",
            x="n 8 16 16",
        ),
    ),
    _row(
        "ReverseInputChannelsFusion",
        ("flip_of_channels_into_kernel",),
        program("nn.conv2d(flip(x, axis=1), w, padding=1)", **CONV),
    ),
    _row(
        "AdaptivePoolToReduce",
        ("global_average_pool_is_mean",),
        program("nn.adaptive_avg_pool2d(x, output_size=(1, 1)) * 2", x="n 8 16 16"),
    ),
    _row(
        "LoraSubgraphFusion",
        program=program("x @ w + (x @ a) @ b", x="n 256", w="256 256", a="256 4", b="4 256"),
        mechanism=IN_REGISTERS,
        dims={"n": 64},
    ),
    # --- arithmetic -------------------------------------------------------------------------
    _row(
        "DivideFusion",
        ("power_minus_one_is_reciprocal", "multiply_by_reciprocal"),
        program("x * power(y, -1)", x="n 64", y="+ n 64"),
    ),
    _row(
        "SubtractFusion",
        ("multiply_by_minus_one", "add_of_negative"),
        program("x + y * -1", x="n 64", y="n 64"),
    ),
    _row("ConvertDivideWithConstant", ("divide_by_constant",), program("exp(x / 3)", x="n 64")),
    _row(
        "ConvertSubtractWithConstant",
        ("subtract_constant", "constant_summands_join"),
        program("(x - b) + c", x="n 64", b="= 64", c="= 64"),
    ),
    _row(
        "ConvertNegative",
        ("negative_times_constant",),
        program("exp((-x) * c)", x="n 64", c="= 64"),
    ),
    _row(
        "LinOpSequenceFusion: AddMultiplyFusion",
        ("constant_factor_over_shift",),
        program("((x + a) * b) + c", x="n 64", a="= 64", b="= 64", c="= 64"),
    ),
    _row(
        "LinOpSequenceFusion: AddAddFusion",
        ("constant_summands_join",),
        program("(x + a) + b", x="n 64", a="= 64", b="= 64"),
    ),
    _row(
        "LinOpSequenceFusion: MultiplyMultiplyFusion",
        ("constant_factors_join",),
        program("(x * a) * b", x="n 64", a="= 64", b="= 64"),
    ),
    _row(
        "ReduceL1Decomposition",
        program=program("sum(abs(x), axis=1)", x="n 64"),
        mechanism=FUSED,
    ),
    _row(
        "ReduceL2Decomposition",
        program=program("sqrt(sum(x * x, axis=1))", x="n 64"),
        mechanism=FUSED,
    ),
    _row(
        "LogSoftmaxDecomposition",
        program=program("nn.log_softmax(x + y, axis=-1)", x="n 64", y="n 64"),
        mechanism=FUSED,
    ),
    _row(
        "EinsumDecomposition",
        ("einsum_of_two_is_product",),
        program("nn.relu(einsum([x, w], subscripts='ij,jk->ik'))", **PRODUCT),
    ),
    _row(
        "DropoutWithRandomUniformReplacer",
        ("dropout_is_identity",),
        program("nn.relu(nn.dropout(x, rate=0.5)[0])", x="n 64"),
        canonical=True,
    ),
    # --- quantised programs: opt-in ---------------------------------------------------------
    _row(
        "ConvertQuantizeDequantize",
        ("quantize_of_dequantize",),
        program("quantize(dequantize(x, s, z), s, z)", x="int8 n 64", **ONE_STEP),
        rule_sets=(quantized,),
    ),
    _row(
        "WeightsDequantizeToFakeQuantize",
        ("scale_of_weight_leaves_product", "symmetric_scale_leaves_product"),
        program("x @ dequantize(w, s, z)", x="n 512", w="= int8 512 512", **ONE_STEP),
        rule_sets=(quantized,),
        dims={"n": 1},
    ),
    _row("ConvertU4WeightsZeroPointToScalar", reason="zero points that are alike stay a vector"),
    _row(
        "FakeQuantizeReshapeFusion",
        ("dequantize_of_reshape", "quantize_of_reshape"),
        program(
            "reshape(dequantize(quantize(reshape(x, (n, 8, 8)), s, z), s, z), (n, 64))",
            x="n 64",
            **ONE_STEP,
        ),
        canonical=True,
        rule_sets=(quantized,),
    ),
    _row(
        "FakeQuantizeMulFusion",
        ("number_into_scale",),
        program("dequantize(quantize(x, s, z), s, z) * 0.5", x="n 64", **ONE_STEP),
        rule_sets=(quantized,),
    ),
    _row(
        "ReluFakeQuantizeFusion",
        ("quantize_of_relu",),
        program("quantize(nn.relu(x), s, z, out_dtype='uint8')", x="n 64", s="= +", z="= uint8"),
        rule_sets=(quantized,),
    ),
    _row(
        "AddFakeQuantizeFusion",
        program=program("quantize(x + c, s, z)", x="n 64", c="= 64", **ONE_STEP),
        mechanism=FUSED,
    ),
    _row(
        "MulFakeQuantizeFusion",
        program=program("quantize(x * c, s, z)", x="n 64", c="= 64", **ONE_STEP),
        mechanism=FUSED,
    ),
    # --- what does not apply ----------------------------------------------------------------
    *(
        _row(name, reason=LOOPS, is_inference=False)
        for name in (
            "SequenceFusion",
            "ConvertTensorIteratorToSequence",
            "BidirectionalSequenceDecomposition",
            "LSTMStatesBroadcast",
            "EliminateDuplicateTIInputs",
            "EliminateLoopInputsOutputs",
            "RemoveMultiSubGraphOpDanglingParamsResults",
            "FoldSubgraphEmptyInputs",
            "PushConstantToSubgraph",
            "UnrollIf",
        )
    ),
    _row(
        "RandomUniformFusion",
        reason="Relax has no operator that draws random numbers",
        is_inference=False,
    ),
    _row(
        "CompressFloatConstants",
        reason="changes results: the opt-in set `mixed_precision`, with its own tests",
        is_inference=False,
    ),
    _row(
        "AlignEltwiseInputRanks",
        reason="operands of different rank are no other program here: operators broadcast",
        is_inference=False,
    ),
    _row(
        "ConvertConvertPromoteTypes",
        reason="operands of different dtypes are a type error in Relax",
        is_inference=False,
    ),
    _row(
        "BinarizeWeights, ConvToBinaryConv",
        reason="Relax has no convolution of binary weights",
        is_inference=False,
    ),
    _row(
        "FuseFilteringBoxesBySize",
        reason="Relax has no operator that generates proposals",
        is_inference=False,
    ),
    _row(
        "ConvertNmsGatherPathToUnsigned",
        reason="makes negative indices invalid on purpose; here they are as Relax defines them",
        is_inference=False,
    ),
    _row(
        "SimplifyShapeOfSubGraph",
        reason="sizes are expressions in the types, not values that operators compute",
        is_inference=False,
    ),
    _row(
        "ConvertTiledMoeBlockToGatherMatmuls",
        reason="no rule leaves out the experts that are not chosen",
    ),
    _row(
        "DilatedConvolutionConverter",
        reason="no rule for pixels regrouped around a convolution, which is how dilation was once "
        "written",
    ),
    _row(
        "ConvertScatterElementsToScatter",
        reason="no rule for indices that are the same along a row",
    ),
)
