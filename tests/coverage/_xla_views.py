"""XLA's algebraic simplifier: handlers of what moves elements, and of reductions."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "XLA")
_absent = partial(Row, "XLA", is_inference=False)

FOLDING = "what depends on constants only is computed once (`eqsat/_fold.py`)"
IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"
ALIAS = "a reshape of a tensor in memory is the same memory (`Kernel.is_alias`)"
NO_RNG = "random numbers: programs take them as inputs"
XY = {"x": "n 64", "y": "n 64"}

ROWS: tuple[Row, ...] = (
    # HandleBitcast, HandleCopy.
    _row(
        "HandleBitcast: around a pointwise operator",
        ("relu_of_reshaped", "reshape_of_reshape"),
        program("exp(reshape(nn.relu(reshape(x, (n, 32))), (n, 4, 8)))", x="n 8 4"),
        canonical=True,
    ),
    _row(
        "HandleCopy, HandleReshape: is a bitcast",
        program=program("tanh(reshape(exp(x), (n, 32)))", x="n 4 8"),
        mechanism=ALIAS,
    ),
    # HandleConcatenate.
    _row(
        "HandleConcatenate: of one",
        ("concat_of_one",),
        program("exp(concat([x], axis=1))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleConcatenate: of concatenations",
        ("concat_of_concat_left", "concat_of_concat_right"),
        program("concat([concat([x, y], axis=1), concat([x, z], axis=1)], axis=1)", z="n 64", **XY),
        canonical=True,
    ),
    # HandleBroadcast.
    _row(
        "HandleBroadcast: of a broadcast",
        ("broadcast_of_broadcast",),
        program("exp(broadcast_to(broadcast_to(x, (4, 64)), (n, 4, 64)))", x="64", y="n 4"),
        canonical=True,
    ),
    _row(
        "HandleBroadcast: of an iota",
        program=program("x + broadcast_to(arange(start=0, end=64), (n, 64))", x="int64 n 64"),
        mechanism=IN_LOADS,
    ),
    # HandleReshape.
    _row(
        "HandleReshape: to its own shape",
        ("reshape_to_own_shape",),
        program("exp(reshape(x, (n, 64)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleReshape: of a reshape",
        ("reshape_of_reshape",),
        program("exp(reshape(reshape(x, (n, 4, 8)), (n, 2, 16)))", x="n 32"),
        canonical=True,
    ),
    _absent("HandleReshape, HandleTranspose: of random numbers", reason=NO_RNG),
    _row(
        "HandleReshape: a chain with transposes that moves nothing",
        ("permute_of_unit_axes_is_reshape", "reshape_of_reshape"),
        program(
            "exp(reshape(permute_dims(reshape(x, (n, 1, 64)), axes=(1, 0, 2)), (n, 64)))", x="n 64"
        ),
        canonical=True,
    ),
    _row(
        "HandleReshape: of an iota",
        program=program("(x + reshape(arange(start=0, end=64), (8, 8))) * 3", x="int64 n 8 8"),
        mechanism=FOLDING,
    ),
    _row(
        "HandleReshape: copy and reshape change places",
        program=program("permute_dims(reshape(exp(x), (n, 4, 8)), axes=(0, 2, 1))", x="n 32"),
        mechanism=IN_LOADS,
    ),
    # HandleTranspose.
    _row(
        "HandleTranspose: moves nothing",
        ("permute_that_moves_nothing",),
        program("exp(permute_dims(x, axes=(0, 1, 2)))", x="n 4 8"),
        canonical=True,
    ),
    _row(
        "HandleTranspose: of a transpose",
        ("permute_of_permute",),
        program("exp(permute_dims(permute_dims(x, (0, 2, 1)), (1, 0, 2)))", x="n 8 16"),
        canonical=True,
    ),
    _row(
        "HandleTranspose: of axes of size 1",
        ("permute_of_unit_axes_is_reshape",),
        program("permute_dims(x, axes=(1, 0, 2))", x="n 1 64"),
    ),
    _row(
        "HandleTranspose: space to depth as slices",
        program=program(
            "exp(reshape(permute_dims(reshape(x, (n, 8, 4, 2)), axes=(0, 1, 3, 2)), (n, 64)))",
            x="n 64",
        ),
        mechanism=IN_LOADS,
    ),
    # HandleSlice.
    _row(
        "HandleSlice: of everything",
        ("slice_of_everything",),
        program("exp(strided_slice(x, axes=(1,), begin=(0,), end=(64,)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleSlice: of a slice",
        ("slice_of_slice",),
        program(
            "y = strided_slice(x, axes=(1,), begin=(8,), end=(40,))\n"
            "exp(strided_slice(y, axes=(1,), begin=(4,), end=(16,)))",
            x="n 64",
        ),
        canonical=True,
    ),
    _row(
        "HandleSlice: of a concatenation",
        ("slice_of_concat_is_first",),
        program(
            "exp(strided_slice(concat([x, y], axis=1), axes=(1,), begin=(0,), end=(64,)))", **XY
        ),
        canonical=True,
    ),
    _row(
        "HandleSlice: of a reverse",
        program=program(
            "strided_slice(flip(x, axis=1), axes=(1,), begin=(8,), end=(40,))", x="n 64"
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleReverse: of a pointwise operator",
        program=program("flip(x * 3, axis=1)", x="n 64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleReverse: of a reshape",
        program=program("flip(reshape(exp(x), (n, 1, 64)), axis=2)", x="n 64"),
        mechanism=IN_LOADS,
    ),
    # HandleDynamicSlice, HandleGather.
    _row(
        "HandleDynamicSlice: at a constant",
        ("take_of_one_is_slice",),
        program("nn.relu(take(x, array(3), axis=1))", x="n 16 64"),
    ),
    _row(
        "HandleDynamicSlice: of a transpose",
        program=program("take(permute_dims(x, axes=(0, 2, 1)), i, axis=1)", x="n 8 16", i="int64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleDynamicSlice: of a reshape",
        program=program("take(reshape(exp(x), (n, 1, 64)), i, axis=2)", x="n 64", i="int64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleDynamicSlice: of a broadcast",
        program=program("take(broadcast_to(x, (n, 64)), i, axis=1)", x="64", y="n", i="int64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleDynamicSlice: of a dynamic slice",
        program=program("take(take(x, i, axis=1), j, axis=1)", x="n 8 16", i="int64", j="int64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleGather: of a pad",
        program=program(
            "take(nn.pad(x, pad_width=(0, 0, 1, 1)), i, axis=0)", x="n 64", i="int64 8"
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleGather: of a reshape of a pad",
        program=program(
            "take(reshape(nn.pad(x, pad_width=(0, 0, 1, 1)), (n, 1, 66)), i, axis=0)",
            x="n 64",
            i="int64 8",
        ),
        mechanism=IN_LOADS,
    ),
    # HandlePad.
    _row(
        "HandlePad: by nothing",
        ("pad_by_nothing",),
        program("exp(nn.pad(x, pad_width=(0, 0, 0, 0)))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandlePad: of a broadcast",
        program=program(
            "nn.pad(broadcast_to(reshape(x, (1, 64)), (n, 64)), pad_width=(0, 0, 1, 1))",
            x="64",
            y="n",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandlePad: negative widths are slices",
        program=program("nn.pad(exp(x), pad_width=(0, 0, -1, 2))", x="n 64"),
        mechanism=IN_LOADS,
    ),
    # HandleReduce.
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
        "HandleReduceWindow: of the whole image",
        ("average_pool_of_all_is_mean",),
        program("nn.avg_pool2d(x, (16, 16))", x="n 8 16 16"),
    ),
)
