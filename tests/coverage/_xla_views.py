"""XLA's algebraic simplifier: handlers of what moves elements."""

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
    _row(
        "HandleBitcast: around a pointwise operator",
        ("relu_of_reshaped", "reshape_of_reshape"),
        program("exp(reshape(nn.relu(reshape(x, (n, 32))), (n, 4, 8)))", x="n 8 4"),
        canonical=True,
    ),
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
    _row(
        "HandleBroadcast: is a reshape",
        ("broadcast_of_everything_is_reshape",),
        program("broadcast_to(x, (1, n, 64))", x="n 64"),
    ),
    _row(
        "HandleBroadcast: of a reshape",
        ("broadcast_of_leading_ones",),
        program("exp(broadcast_to(reshape(x, (1, 64)), (n, 64))) + y", x="64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleBroadcast: sinks below pointwise operators",
        (
            "exp_of_broadcast",
            "tanh_of_broadcast",
            "sum_of_broadcasts",
        ),
        program(
            "tanh(exp(broadcast_to(x, (n, 4096))) + broadcast_to(y, (n, 4096)))",
            x="4096",
            y="4096",
            z="n 1",
        ),
        dims={"n": 64},
    ),
    _row(
        "HandleBroadcast: of a number, permuted",
        (
            "permute_of_broadcast",
            "reshape_of_broadcast",
        ),
        program(
            "permute_dims(reshape(broadcast_to(exp(x), (n, 4, 8)), (n, 32))) + y", x="", y="32 n"
        ),
        canonical=True,
    ),
    _row(
        "HandleBroadcast: permutes",
        program=program(
            "permute_dims(broadcast_to(reshape(exp(x), (64, 1)), (64, n)))", x="64", y="n"
        ),
        mechanism=IN_LOADS,
    ),
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
    _row(
        "HandleConcatenate: of empty operands",
        ("concat_with_nothing_behind",),
        program("exp(concat([x, y], axis=1))", x="n 64", y="n 0"),
        canonical=True,
    ),
    _row(
        "HandleConcatenate: of neighbouring slices",
        ("slices_that_meet",),
        program(
            "a = strided_slice(x, axes=(1,), begin=(8,), end=(16,))\n"
            "b = strided_slice(x, axes=(1,), begin=(16,), end=(32,))\n"
            "concat([a, b], axis=1)",
            x="n 64",
        ),
    ),
    _row(
        "HandleConcatenate: with a number is a pad",
        ("concat_with_number_behind_is_pad",),
        program("concat([exp(x), full((64, 8), 0.5)], axis=1)", x="64 64"),
    ),
    _row(
        "HandleConcatenate: of the same is a broadcast",
        ("concat_of_three_same_is_broadcast",),
        program("tanh(concat([exp(x), exp(x), exp(x)], axis=0))", x="1 4096"),
    ),
    _row(
        "HandleConvolution, HandleGather, HandlePad, HandleReduce: of no elements",
        reason="a kernel over nothing costs one call",
    ),
    _row(
        "HandleCopy, HandleReshape: is a bitcast",
        program=program("tanh(reshape(exp(x), (n, 32)))", x="n 4 8"),
        mechanism=ALIAS,
    ),
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
    _absent("HandlePad: interior padding", reason="Relax pads at the ends only"),
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
    _row(
        "HandleReshape: hoists a transpose",
        program=program(
            "exp(reshape(permute_dims(reshape(x, (n, 2, 4, 8)), axes=(0, 3, 1, 2)), (n, 8, 8)))",
            x="n 64",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "HandleReshape: of a broadcast",
        ("reshape_of_broadcast",),
        program("exp(reshape(broadcast_to(x, (n, 4, 64)), (4*n, 64))) + y", x="64", y="4*n 64"),
        canonical=True,
    ),
    _row(
        "HandleReshape: of an update of a slice",
        program=program(
            "exp(reshape(slice_scatter(x, y, start=2, end=4, step=1, axis=1), (n, 64)))",
            x="n 8 8",
            y="n 2 8",
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
    _row(
        "HandleReverse: twice",
        ("flip_twice",),
        program("exp(flip(flip(x, axis=1), axis=1))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleReverse: of one element",
        ("flip_of_one",),
        program("exp(flip(x, axis=1))", x="n 1"),
        canonical=True,
    ),
    _absent("HandleRng", reason="random numbers: programs take them as inputs"),
    _row(
        "HandleSelect: of an update of a slice",
        program=program(
            "where(c, x, slice_scatter(x, y, start=8, end=16, step=1, axis=1))",
            c="bool",
            x="n 64",
            y="n 8",
        ),
        mechanism=IN_LOADS,
    ),
    _row("HandleSort: of one element", ("sort_of_one",), program("exp(sort(x, axis=1))", x="n 1")),
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
    _row(
        "HandleTranspose: of a broadcast",
        ("permute_of_broadcast",),
        program(
            "permute_dims(broadcast_to(x, (n, 4, 64)), axes=(1, 0, 2)) * y", x="64", y="4 n 64"
        ),
        canonical=True,
    ),
    _row(
        "HandleTranspose: of a scatter",
        reason="a scatter is a kernel of its own, and reads no transpose in its loads",
    ),
)
