"""XLA's algebraic simplifier: handlers of slices, gathers, scatters and updates."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "XLA")

FOLDING = "what depends on constants only is computed once (`eqsat/_fold.py`)"
IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"
XY = {"x": "n 64", "y": "n 64"}

ROWS: tuple[Row, ...] = (
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
        "HandleDynamicSlice: of everything",
        (
            "take_of_range_is_slice",
            "slice_of_everything",
        ),
        program("exp(take(x, arange(start=0, end=64), axis=1))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleDynamicSlice: of an iota",
        program=program("take(arange(start=0, end=64), i, axis=0) * 2", i="int64 n"),
        mechanism=FOLDING,
    ),
    _row(
        "HandleDynamicUpdateSlice: of everything",
        ("slice_scatter_of_everything",),
        program("exp(slice_scatter(x, y, start=0, end=64, step=1, axis=1))", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleDynamicUpdateSlice: of numbers is a pad",
        program=program(
            "exp(slice_scatter(full((64, 64), 0.5), y, start=8, end=16, step=1, axis=1))", y="64 8"
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleDynamicUpdateSlice: of an update",
        program=program(
            "a = slice_scatter(x, y, start=8, end=16, step=1, axis=1)\n"
            "slice_scatter(a, z, start=16, end=24, step=1, axis=1)",
            x="n 64",
            y="n 8",
            z="n 8",
        ),
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
    _row(
        "HandleGather: of few elements is a chain of selects",
        reason="a gather from a cache line is one load on a CPU; "
        "the chain is a compare and a select for each element",
    ),
    _row(
        "HandleGather: of one element is a broadcast",
        program=program("exp(take(x, i, axis=0))", x="1", i="int64 n"),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleScatter: of no updates",
        ("scatter_of_nothing",),
        program("scatter_elements(exp(x), i, u, axis=1)", x="n 64", i="int64 n 0", u="n 0"),
    ),
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
        "HandleSlice: of a pad",
        ("slice_inside_pad",),
        program(
            "y = nn.pad(x, pad_width=(0, 0, 2, 2))\n"
            "exp(strided_slice(y, axes=(1,), begin=(4,), end=(32,)))",
            x="n 64",
        ),
        canonical=True,
    ),
    _row(
        "HandleSlice: of a pad, undone",
        (
            "slice_inside_pad",
            "slice_of_everything",
        ),
        program(
            "y = nn.pad(x, pad_width=(0, 0, 2, 2))\n"
            "exp(strided_slice(y, axes=(1,), begin=(2,), end=(66,)))",
            x="n 64",
        ),
        canonical=True,
    ),
    _row(
        "HandleSlice: of a concatenation, in part",
        ("slice_of_concat_in_second",),
        program(
            "exp(strided_slice(concat([x, y], axis=1), axes=(1,), begin=(72,), end=(96,)))",
            x="n 64",
            y="n 64",
        ),
        canonical=True,
    ),
    _row(
        "HandleSlice: of a broadcast",
        ("slice_of_broadcast",),
        program(
            "strided_slice(broadcast_to(exp(x), (n, 8, 64)), axes=(1,), begin=(2,), end=(6,)) * y",
            x="64",
            y="n 4 64",
        ),
        canonical=True,
    ),
    _row(
        "HandleSlice: of a reshape",
        (
            "slice_of_reshaped",
            "reshape_of_reshape",
        ),
        program(
            "y = strided_slice(reshape(x, (16, 4, 8)), axes=(0,), begin=(4,), end=(8,))\n"
            "reshape(y, (4, 32))",
            x="16 32",
        ),
        canonical=True,
    ),
    _row(
        "HandleSlice: of prefix sums",
        ("last_prefix_sum_is_sum",),
        program("strided_slice(cumsum(x, axis=1), axes=(1,), begin=(63,), end=(64,))", x="n 64"),
    ),
    _row(
        "HandleSlice: strides beyond the end",
        program=program(
            "exp(strided_slice(x, axes=(1,), begin=(8,), end=(16,), strides=(8,)))", x="n 64"
        ),
        mechanism=IN_LOADS,
    ),
)
