"""OpenVINO's rewrites of what moves, cuts, joins and reduces tensors."""

from __future__ import annotations

from functools import partial

from eqsat.rules import quantized
from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "OpenVINO")

IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"
FOLDING = "what depends on constants only is computed once (`eqsat/_fold.py`)"
GRAPH = "equal terms are one e-class, and only what the results need is read back"

CONV = {"x": "n 8 16 16", "w": "= 16 8 3 3"}
NCHW, NHWC = "axes=(0, 3, 1, 2)", "axes=(0, 2, 3, 1)"

VIEW_ROWS: tuple[Row, ...] = (
    # --- NopElimination and what runs with it -----------------------------------------------
    _row(
        "EliminateConvert",
        ("cast_to_own_dtype",),
        program("exp(astype(x, dtype='float32'))", x="n 4"),
        canonical=True,
    ),
    _row(
        "EraseRedundantConvertPair",
        ("cast_of_exact_cast",),
        program("exp(astype(astype(x, dtype='float64'), dtype='float32'))", x="n 64"),
    ),
    _row(
        "EliminatePad",
        ("pad_by_nothing",),
        program("nn.relu(nn.pad(x, pad_width=(0, 0, 0, 0)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "EliminateConcat",
        ("concat_of_one",),
        program("nn.relu(concat([x], axis=1))", x="n 64"),
        canonical=True,
    ),
    _row(
        "EliminateSplit",
        ("split_in_one_part",),
        program("nn.relu(split(x, 1, axis=1)[0])", x="n 64"),
        canonical=True,
    ),
    _row(
        "EliminateSplitConcat",
        ("concat_of_split",),
        program("s = split(x, 2, axis=1)\nnn.relu(concat([s[0], s[1]], axis=1))", x="n 64"),
        canonical=True,
    ),
    _row(
        "EliminateConcatStridedSlice",
        ("slice_of_concat_is_second",),
        program(
            "nn.relu(strided_slice(concat([x, y], axis=1), axes=(1,), begin=(8,), end=(24,)))",
            x="n 8",
            y="n 16",
        ),
        canonical=True,
    ),
    _row(
        "EliminateTranspose",
        ("permute_that_moves_nothing",),
        program("nn.relu(permute_dims(x, axes=(0, 1, 2)))", x="n 4 8"),
        canonical=True,
    ),
    _row(
        "EliminateEltwise",
        ("add_zero", "multiply_by_one", "subtract_zero", "divide_by_one"),
        program("exp(((((x + 0) * 1) - 0) / 1))", x="n 64"),
    ),
    _row(
        "EliminateNopBroadcast, NopBroadcast",
        ("broadcast_to_own_shape",),
        program("nn.relu(broadcast_to(x, (n, 64)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "EliminateBroadcast, EliminateTile",
        ("tile_by_ones",),
        program("nn.relu(tile(x, repeats=(1, 1)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "EliminateReshape",
        ("reshape_to_own_shape",),
        program("nn.relu(reshape(x, (n, 64)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "EliminateSqueeze, EliminateUnsqueeze",
        ("reshape_of_reshape", "reshape_to_own_shape"),
        program("nn.relu(squeeze(expand_dims(x, axis=(1,)), axis=(1,)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "EliminateReduceReshape",
        ("reshape_to_own_shape",),
        program("exp(reshape(sum(x, axis=1, keepdims=True), (n, 1)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "EliminateScatterUpdate",
        ("scatter_of_nothing",),
        program("nn.relu(scatter_elements(x, i, u, axis=0))", x="n 64", i="int64 0 64", u="0 64"),
    ),
    _row(
        "EliminateSlice, EliminateStridedSlice",
        ("slice_of_everything",),
        program("sum(strided_slice(x, axes=(1,), begin=(0,), end=(8,)), axis=1)", x="n 8"),
        canonical=True,
    ),
    _row(
        "EliminateGather, GatherNopElimination",
        ("take_of_range_is_slice", "slice_of_everything"),
        program("nn.relu(take(x, arange(start=0, end=8), axis=1))", x="n 8"),
    ),
    _row(
        "EliminateUnsqueezeGather, EliminateGatherUnsqueeze",
        ("take_of_one_is_slice", "slice_of_everything", "reshape_of_reshape"),
        program("nn.relu(take(expand_dims(x, axis=(1,)), array(0), axis=1))", x="n 64"),
        canonical=True,
    ),
    _row(
        "SelectWithOneValueCondition",
        ("where_true",),
        program("where(array([True] * 64), x, y)", x="n 64", y="n 64"),
    ),
    _row(
        "RemoveConcatZeroDimInput",
        ("concat_with_nothing_behind",),
        program("nn.relu(concat([x, y], axis=1))", x="n 64", y="n 0"),
    ),
    # --- shapes -----------------------------------------------------------------------------
    _row(
        "ConstantFolding",
        program=program("x * exp(c) + nn.relu(c)", x="n 64", c="= 64"),
        mechanism=FOLDING,
    ),
    _row(
        "SharedOpOptimization",
        program=program("exp(x + y) * exp(x + y)", x="n 64", y="n 64"),
        mechanism=GRAPH,
    ),
    _row(
        "StridedSliceOptimization: slices of slices",
        ("slice_of_slice",),
        program(
            "nn.relu(strided_slice(strided_slice(x, axes=(1,), begin=(8,), end=(48,)),"
            " axes=(1,), begin=(4,), end=(20,)))",
            x="n 64",
        ),
        canonical=True,
    ),
    _row(
        "StridedSliceOptimization: shared and grouped slices",
        program=program(
            "[nn.relu(strided_slice(x, axes=(1,), begin=(0,), end=(32,))),"
            " nn.relu(strided_slice(x, axes=(1,), begin=(32,), end=(64,))),"
            " exp(strided_slice(x, axes=(1,), begin=(0,), end=(32,)))]",
            x="n 64",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "BroadcastElementwiseFusion",
        ("multiply_by_broadcast",),
        program("x * broadcast_to(y, (n, 64))", x="n 64", y="64"),
        canonical=True,
    ),
    _row(
        "BroadcastTransition",
        ("sum_of_smaller_is_broadcast", "multiply_by_broadcast"),
        program("x * (broadcast_to(y, (n, 64)) + z)", x="n 64", y="n 1", z="n 1"),
        canonical=True,
    ),
    _row(
        "PullThroughReduce",
        ("sum_of_expanded",),
        program("nn.relu(sum(expand_dims(x, axis=(1,)), axis=2))", x="n 64"),
        canonical=True,
    ),
    _row(
        "ReduceReshapeFusion",
        ("reshaped_sum_keeps_axes",),
        program("x / reshape(sum(x, axis=1, keepdims=False), (n, 1))", x="+ n 64"),
        canonical=True,
    ),
    _row(
        "ReduceMerge",
        ("sum_of_sum",),
        program("sum(sum(x, axis=2), axis=1)", x="n 16 64"),
    ),
    _row(
        "ConcatToBroadcast, ConcatToTile",
        ("concat_of_same_is_broadcast",),
        program("concat([x, x], axis=1) * y", x="n 1", y="n 2"),
        canonical=True,
    ),
    _row(
        "ConcatReduceFusion",
        ("max_of_two_joined",),
        program(
            "max(concat([expand_dims(x, axis=(1,)), expand_dims(y, axis=(1,))], axis=1), axis=1)",
            x="n 64",
            y="n 64",
        ),
    ),
    _row(
        "SplitSqueezeConcatFusion",
        program=program(
            "s = split(x, 3, axis=1)\n"
            "concat([squeeze(s[0], axis=(1,)), squeeze(s[1], axis=(1,)),"
            " squeeze(s[2], axis=(1,))], axis=1)",
            x="n 3 64",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "ReshapeSequenceFusion",
        ("reshape_of_reshape",),
        program("nn.relu(reshape(reshape(x, (n, 4, 8)), (n, 2, 16)))", x="n 32"),
        canonical=True,
    ),
    _row(
        "TransposeToReshape",
        ("permute_of_unit_axes_is_reshape",),
        program("nn.relu(reshape(permute_dims(x, axes=(0, 2, 1)), (n, 8, 8)))", x="n 1 64"),
        canonical=True,
    ),
    _row(
        "SymbolicOptimizations: reshapes of products (DeReshapeMatMul, DeReshapeFullyConnected)",
        ("product_of_flattened_rows", "reshape_of_reshape", "reshape_to_own_shape"),
        program("reshape(reshape(x, (16 * n, 64)) @ w, (n, 16, 64))", x="n 16 64", w="= 64 64"),
        canonical=True,
    ),
    _row(
        "SymbolicOptimizations: ChainedMaximumOptimization",
        reason="no rule for an operand that returns",
    ),
    # --- transposes -------------------------------------------------------------------------
    _row(
        "TransposeSinking: TransposeFuse",
        ("permute_of_permute",),
        program("exp(permute_dims(permute_dims(x, (0, 2, 1)), (1, 0, 2)))", x="n 8 16"),
        canonical=True,
    ),
    _row(
        "TransposeSinking: TransposeConvert",
        ("cast_of_permuted",),
        program(
            "h = astype(permute_dims(x, axes=(0, 2, 1)), dtype='float32')\n"
            "permute_dims(h, axes=(0, 2, 1))",
            x="float16 n 8 16",
        ),
    ),
    _row(
        "TransposeSinking: TransposeReduction",
        ("mean_of_permuted",),
        program(f"mean(permute_dims(x, {NHWC}), axis=(1, 2))", x="n 8 16 16"),
    ),
    _row(
        "TransposeSinking: TransposeEltwise",
        ("add_smaller_constant_to_permuted", "relu_of_permuted"),
        program(
            f"permute_dims(nn.relu(permute_dims(x, {NHWC}) + c), {NCHW})", x="n 8 16 16", c="= 8"
        ),
    ),
    _row(
        "TransposeSinking: TransposeFQReduction, PullTransposeThroughFQUp",
        ("quantize_of_permute", "dequantize_of_permute", "permute_of_permute"),
        program(
            f"h = quantize(permute_dims(x, {NHWC}), s, z)\n"
            f"permute_dims(dequantize(h, s, z), {NCHW})",
            x="n 8 16 16",
            s="= +",
            z="= int8",
        ),
        rule_sets=(quantized,),
    ),
    _row(
        "TransposeMatMul",
        program=program("x @ permute_dims(y, axes=(0, 2, 1))", x="n 16 64", y="n 16 64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "TransposeReshapeEliminationForMatmul",
        program=program(
            "permute_dims(reshape(w @ reshape(permute_dims(x, (1, 0, 2)), (64, 8 * n)),"
            " (64, n, 8)), (1, 0, 2))",
            x="n 64 8",
            w="= 64 64",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "MatMulConstTransposesExtraction",
        program=program("nn.relu(x @ permute_dims(w, axes=(1, 0)))", x="n 64", w="= 64 64"),
        mechanism=FOLDING,
    ),
    _row(
        "ReshapeSinkingMatMul",
        ("product_of_flattened_rows", "reshape_of_reshape", "reshape_to_own_shape"),
        program(
            "nn.relu(reshape(reshape(x, (8 * n, 64)) @ w, (n, 8, 64)))", x="n 8 64", w="= 64 64"
        ),
        canonical=True,
    ),
    # --- movement ---------------------------------------------------------------------------
    _row(
        "PadFusion",
        ("pad_into_convolution",),
        program("nn.conv2d(nn.pad(x, pad_width=(0, 0, 0, 0, 1, 1, 1, 1)), w)", **CONV),
    ),
    _row(
        "DepthToSpaceFusion",
        program=program(
            "h = permute_dims(reshape(x, (n, 2, 2, 4, 8, 8)), (0, 3, 4, 1, 5, 2))\n"
            "nn.relu(reshape(h, (n, 4, 16, 16)))",
            x="n 16 8 8",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "ShuffleChannelsFusion",
        program=program(
            "h = permute_dims(reshape(x, (n, 2, 4, 8, 8)), (0, 2, 1, 3, 4))\n"
            "nn.relu(reshape(h, (n, 8, 8, 8)))",
            x="n 8 8 8",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "SpaceToBatchFusion",
        program=program(
            "h = reshape(nn.pad(x, pad_width=(0, 0, 0, 0, 1, 1, 1, 1)), (1, 8, 5, 2, 5, 2))\n"
            "nn.relu(reshape(permute_dims(h, (3, 5, 0, 1, 2, 4)), (4, 8, 5, 5)))",
            x="1 8 8 8",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "BatchToSpaceFusion",
        program=program(
            "h = permute_dims(reshape(x, (2, 2, n, 8, 5, 5)), (2, 3, 4, 0, 5, 1))\n"
            "h = reshape(h, (n, 8, 10, 10))\n"
            "nn.relu(strided_slice(h, axes=(2, 3), begin=(1, 1), end=(9, 9)))",
            x="4*n 8 5 5",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "NearestNeighborUpsamplingFusion",
        program=program(
            "h = broadcast_to(reshape(x, (n, 8, 8, 1, 8, 1)), (n, 8, 8, 2, 8, 2))\n"
            "nn.relu(reshape(h, (n, 8, 16, 16)))",
            x="n 8 8 8",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "SplitConcatPairToInterpolateFusion",
        program=program(
            "s = split(x, 2, axis=2)\nnn.relu(concat([s[0], s[0], s[1], s[1]], axis=2))",
            x="n 8 2 8",
        ),
        mechanism=IN_LOADS,
    ),
)
