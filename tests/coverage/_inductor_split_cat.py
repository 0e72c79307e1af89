"""Inductor's passes over split, cat, stack and unbind (`split_cat.py`).

`torch.unbind` is a split whose parts are squeezed.
"""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "inductor")

IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"

_THREE = "p = split(x, (8, 16), axis=1)\n"
_UNBOUND = """
p = split(x, 2, axis={0})
a, b = squeeze(p[0], axis=({0},)), squeeze(p[1], axis=({0},))
"""

ROWS: tuple[Row, ...] = (
    _row(
        "normalization_pass: squeeze, reshape, clamp",
        (
            "squeeze_is_reshape",
            "expand_dims_is_reshape",
            "flatten_is_reshape",
            "reshape_of_reshape",
            "clip_is_relu",
        ),
        program(
            "y = squeeze(expand_dims(flatten(x), axis=(0,)), axis=(0,))\n"
            "clip(y, min=0, max=float('inf'))",
            x="4 8",
        ),
        canonical=True,
    ),
    _row(
        "remove_split_with_size_one_pass",
        ("split_in_one_part",),
        program("exp(split(x, 1, axis=1)[0])", x="n 8"),
        canonical=True,
    ),
    _row(
        "merge_splits_pass",
        ("first_part_is_slice", "second_part_is_slice", "slice_of_slice"),
        program(
            "p = split(x, (8,), axis=1)\nq = split(p[1], 2, axis=1)\nexp(q[0]) + tanh(p[0]) + q[1]",
            x="n 24",
        ),
    ),
    _row(
        "split_cat_pass: parts squeezed",
        program=program(_UNBOUND.format(1) + "exp(a) + tanh(b)", x="n 2 8"),
        mechanism=IN_LOADS,
    ),
    _row(
        "split_cat_pass: all parts",
        ("concat_of_three_way_split", "slices_that_meet"),
        program(_THREE + "exp(concat([p[0], p[1], p[2]], axis=1))", x="n 24"),
    ),
    _row(
        "split_cat_pass: some parts and others",
        ("first_part_is_slice", "second_part_is_slice", "slices_that_meet_in_front"),
        program(_THREE + "exp(concat([p[0], p[1], y], axis=1))", x="n 24", y="n 8"),
    ),
    _row(
        "unbind_stack_pass, unbind_stack_aten_pass",
        ("stack_of_two_is_concat", "concat_of_split"),
        program(_UNBOUND.format(1) + "exp(stack([a, b], axis=1))", x="n 2 8"),
    ),
    _row(
        "merge_getitem_cat_pass",
        ("first_part_is_slice", "second_part_is_slice", "slices_that_meet"),
        program(_THREE + "[exp(concat([p[0], p[1]], axis=1)), tanh(p[2])]", x="n 24"),
    ),
    _row(
        "mutate_cat_pass: all parts, also used by themselves",
        ("concat_of_split", "slices_that_meet"),
        program(
            "p = split(x, 2, axis=1)\n[exp(concat([p[0], p[1]], axis=1)), tanh(p[0])]", x="n 24"
        ),
    ),
    _row(
        "mutate_cat_pass: some parts, also used by themselves",
        ("second_part_is_slice", "third_part_is_slice", "slices_that_meet"),
        program(_THREE + "[exp(concat([p[1], p[2]], axis=1)), tanh(p[1])]", x="n 24"),
    ),
    _row(
        "split_cat_to_slices_pass, split_cat_aten_pass",
        ("second_part_is_slice", "third_part_is_slice", "slices_that_meet_behind"),
        program(_THREE + "exp(concat([y, p[1], p[2]], axis=1))", x="n 24", y="n 8"),
    ),
    _row(
        "unbind_cat_to_view_pass",
        ("concat_of_reshaped_blocks", "concat_of_split"),
        program(_UNBOUND.format(0) + "exp(concat([a, b], axis=0))", x="2 16 8"),
    ),
    _row(
        "split_stack_to_cats_pass",
        program=program("p = split(x, 2, axis=1)\nexp(stack([p[0], p[1]], axis=0))", x="n 16"),
        mechanism=IN_LOADS,
    ),
    _row(
        "unbind_stack_to_slices_pass",
        ("stack_of_two_is_concat", "slices_that_meet"),
        program(
            "p = split(x, 3, axis=1)\n"
            "exp(stack([squeeze(p[0], axis=(1,)), squeeze(p[1], axis=(1,))], axis=1))",
            x="n 3 8",
        ),
    ),
    _row(
        "move_reshape_out_of_split_stack_pass",
        program=program(
            "p = split(x, 2, axis=1)\n"
            "exp(stack([reshape(p[0], (n, 2, 4)), reshape(p[1], (n, 2, 4))], axis=0))",
            x="n 16",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "move_view_after_cat_aten_pass",
        program=program(
            "p = split(x, 2, axis=1)\n"
            "exp(concat([reshape(p[0], (n, 2, 4)), reshape(p[1], (n, 2, 4))], axis=0))",
            x="n 16",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "select_cat_aten_pass",
        ("take_of_one_is_slice", "slices_that_meet"),
        program(
            "exp(concat([take(x, array([0]), axis=1), take(x, array([1]), axis=1)], axis=1))",
            x="n 2 8",
        ),
    ),
    _row(
        "splitwithsizes_cat_replace",
        ("concat_of_split", "slices_that_meet"),
        program("p = split(x, (8,), axis=1)\nexp(concat([p[0], p[1]], axis=1))", x="n 24"),
    ),
    _row(
        "cat_splitwithsizes_replace",
        ("first_part_of_concat", "second_part_of_concat"),
        program(
            "p = split(concat([x, y], axis=1), (8,), axis=1)\nexp(p[0]) + tanh(p[1])",
            x="n 8",
            y="n 8",
        ),
        canonical=True,
    ),
    _row(
        "cat_splitwithsizes_replace: three parts",
        ("first_part_of_three", "second_part_of_three", "third_part_of_three"),
        program(
            "p = split(concat([x, y, z], axis=1), (8, 16), axis=1)\nexp(p[0]) + tanh(p[1]) + p[2]",
            **dict.fromkeys("xyz", "n 8"),
        ),
    ),
    _row(
        "cat_slice_cat",
        ("concat_of_concat_left", "slice_of_concat_in_first"),
        program(
            "c = concat([x, y], axis=1)\n"
            "exp(concat([c, strided_slice(c, axes=(1,), begin=(0,), end=(4,))], axis=1))",
            x="n 8",
            y="n 8",
        ),
    ),
)
