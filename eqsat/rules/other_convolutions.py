"""Convolutions over one and three axes, transposed ones, and those in groups."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import IntAttr, IntsAttr, Pattern, Sides, StrAttr, compute, ops, tensor
from eqsat.rules._predicates import is_constant
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, Phase, RuleSet, predicate
from eqsat.rules.convolution import (
    BILINEAR,
    BatchedInputScale,
    Image,
    Kernel,
    all_ones,
    conv,
    no_padding,
)
from eqsat.rules.movement import int_tuple
from eqsat.shapes import Equal, Shape

other_convolutions = RuleSet("other_convolutions", Phase.EXPLORE)

Line = Annotated[Pattern, tensor("n c w", dtype="float")]
LineKernel = Annotated[Pattern, tensor("o i q", dtype="float")]
LinePointKernel = Annotated[Pattern, tensor("o c 1", dtype="float")]
Volume = Annotated[Pattern, tensor("n c d h w", dtype="float")]
VolumeKernel = Annotated[Pattern, tensor("o i r p q", dtype="float")]
TransposedKernel = Annotated[Pattern, tensor("c o p q", dtype="float")]
NextPointKernel = Annotated[Pattern, tensor("u o 1 1", dtype="float")]
OutputScale = Annotated[Pattern, tensor("1 f 1 1", dtype="float")]
LineScale = Annotated[Pattern, tensor("1 o 1", dtype="float")]
ImageScale = Annotated[Pattern, tensor("1 o 1 1", dtype="float")]
VolumeScale = Annotated[Pattern, tensor("1 o 1 1 1", dtype="float")]


def _on_first_axis(w: Known) -> Shape:
    return (w.dims[0], *(1,) * (w.ndim - 1))


@other_convolutions.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_constant("c")],
)
def output_scale_into_kernel_of_line(
    x: Line, w: LineKernel, c: LineScale, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr
) -> Sides:
    def conv(kernel: Pattern) -> Pattern:
        return ops.nn.conv1d(x, kernel, strides=s, padding=p, dilation=d, groups=g)

    return conv(w) * c, conv(w * ops.reshape(c, compute(_on_first_axis, w)))


@other_convolutions.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_constant("c")],
)
def output_scale_into_kernel_of_volume(
    x: Volume, w: VolumeKernel, c: VolumeScale, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr
) -> Sides:
    def conv(kernel: Pattern) -> Pattern:
        return ops.nn.conv3d(x, kernel, strides=s, padding=p, dilation=d, groups=g)

    return conv(w) * c, conv(w * ops.reshape(c, compute(_on_first_axis, w)))


@other_convolutions.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_constant("c")],
)
def output_scale_into_transposed_kernel(
    x: Image, w: TransposedKernel, c: ImageScale, s: IntsAttr, p: IntsAttr, u: IntsAttr, d: IntsAttr
) -> Sides:
    def conv(kernel: Pattern) -> Pattern:
        return ops.nn.conv2d_transpose(
            x, kernel, strides=s, padding=p, output_padding=u, dilation=d, groups=1
        )

    return conv(w) * c, conv(w * c)


def _weight_matrix(w: Known) -> Shape:
    return w.dims[:2]


@other_convolutions.rule(
    source="a 1x1 convolution is a product per position",
    numerics=REASSOCIATES,
    when=[all_ones("s"), no_padding("p")],
)
def point_convolution_of_line_is_product(
    x: Line, w: LinePointKernel, s: IntsAttr, p: IntsAttr, d: IntsAttr
) -> Sides:
    matrix = ops.reshape(w, compute(_weight_matrix, w))
    return ops.nn.conv1d(x, w, strides=s, padding=p, dilation=d, groups=1), matrix @ x


# --- groups ---------------------------------------------------------------------------------


def _in_groups(w: Known, groups: AttrValue) -> Shape | None:
    """Return (groups, channels of the first axis in each, ...), where there are several groups."""
    first, *rest = w.dims
    (count,) = int_tuple(groups)
    if not isinstance(first, int) or count < 2 or first % count:
        return None
    return (count, first // count, *rest)


def _scale_per_group(w: Known, groups: AttrValue) -> Shape:
    (count,) = int_tuple(groups)
    return (count, 1, w.dims[1], 1, 1)


def _dims(w: Known) -> Shape:
    return w.dims


def _scaled_groups(w: Pattern, c: Pattern, g: IntAttr) -> Pattern:
    """Return w with the second axis of each group times the group's part of c."""
    in_groups = ops.reshape(w, compute(_in_groups, w, g))
    factors = ops.reshape(c, compute(_scale_per_group, w, g))
    return ops.reshape(in_groups * factors, compute(_dims, w))


@other_convolutions.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_constant("c")],
)
def input_scale_into_grouped_kernel(
    x: Image,
    w: Kernel,
    c: BatchedInputScale,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    return conv(x * c, w, s, p, d, g, out), conv(x, _scaled_groups(w, c, g), s, p, d, g, out)


@predicate
def scales_outputs_of_groups(c: Known, w: Known, groups: AttrValue) -> bool:
    """There is one factor for each output channel of each group."""
    return c.proves(Equal(c.dims[1], w.dims[1] * int_tuple(groups)[0]))


@other_convolutions.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_constant("c"), scales_outputs_of_groups("c", "w", "g")],
)
def output_scale_into_grouped_transposed_kernel(
    x: Image,
    w: TransposedKernel,
    c: OutputScale,
    s: IntsAttr,
    p: IntsAttr,
    u: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
) -> Sides:
    def transposed(kernel: Pattern) -> Pattern:
        return ops.nn.conv2d_transpose(
            x, kernel, strides=s, padding=p, output_padding=u, dilation=d, groups=g
        )

    return transposed(w) * c, transposed(_scaled_groups(w, c, g))


@other_convolutions.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_constant("c")],
)
def input_scale_into_transposed_kernel(
    x: Image,
    w: TransposedKernel,
    c: BatchedInputScale,
    s: IntsAttr,
    p: IntsAttr,
    u: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
) -> Sides:
    def transposed(image: Pattern, kernel: Pattern) -> Pattern:
        return ops.nn.conv2d_transpose(
            image, kernel, strides=s, padding=p, output_padding=u, dilation=d, groups=g
        )

    scaled = w * ops.reshape(c, compute(_on_first_axis, w))
    return transposed(x * c, w), transposed(x, scaled)


# --- channels in another order --------------------------------------------------------------


@predicate
def is_channels(axis: AttrValue) -> bool:
    """The axis is that of channels in NCHW."""
    return axis in (1, -3)


@other_convolutions.rule(
    source="a sum over channels does not depend on their order",
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_channels("k")],
)
def flip_of_channels_into_kernel(
    x: Image, w: Kernel, k: IntAttr, s: IntsAttr, p: IntsAttr, d: IntsAttr, out: StrAttr
) -> Sides:
    return (
        conv(ops.flip(x, axis=k), w, s, p, d, 1, out),
        conv(x, ops.flip(w, axis=1), s, p, d, 1, out),
    )


# --- strides --------------------------------------------------------------------------------

STRIDES = "a 1x1 convolution with strides reads only every other pixel"


def _pair(values: AttrValue) -> tuple[int, int]:
    numbers = int_tuple(values)
    return numbers[0], numbers[-1]


def _joined_strides(first: AttrValue, second: AttrValue) -> tuple[int, int]:
    (a, b), (c, d) = _pair(first), _pair(second)
    return a * c, b * d


def _unit_strides(strides: AttrValue) -> tuple[int, int] | None:
    """Return the strides that are left, where there are some to move."""
    return None if all(n == 1 for n in int_tuple(strides)) else (1, 1)


SKIPPED = [no_padding("q")]


@other_convolutions.rule(source=STRIDES, numerics=REASSOCIATES, when=SKIPPED)
def strides_of_point_convolution_move_up(
    x: Image,
    w: Kernel,
    v: NextPointKernel,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    t: IntsAttr,
    q: IntsAttr,
    e: IntsAttr,
) -> Sides:
    fewer = conv(x, w, compute(_joined_strides, s, t), p, d, g, None)
    return (
        conv(conv(x, w, s, p, d, g, None), v, t, q, e, 1, None),
        conv(fewer, v, compute(_unit_strides, t), q, e, 1, None),
    )


@other_convolutions.rule(source=STRIDES, numerics=REASSOCIATES, when=SKIPPED)
def strides_move_up_over_relu(
    x: Image,
    w: Kernel,
    v: NextPointKernel,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    t: IntsAttr,
    q: IntsAttr,
    e: IntsAttr,
) -> Sides:
    fewer = ops.nn.relu(conv(x, w, compute(_joined_strides, s, t), p, d, g, None))
    return (
        conv(ops.nn.relu(conv(x, w, s, p, d, g, None)), v, t, q, e, 1, None),
        conv(fewer, v, compute(_unit_strides, t), q, e, 1, None),
    )


@other_convolutions.rule(source=STRIDES, numerics=REASSOCIATES, when=[*SKIPPED, is_constant("b")])
def strides_move_up_over_biased_relu(
    x: Image,
    w: Kernel,
    b: OutputScale,
    v: NextPointKernel,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    t: IntsAttr,
    q: IntsAttr,
    e: IntsAttr,
) -> Sides:
    fewer = ops.nn.relu(conv(x, w, compute(_joined_strides, s, t), p, d, g, None) + b)
    return (
        conv(ops.nn.relu(conv(x, w, s, p, d, g, None) + b), v, t, q, e, 1, None),
        conv(fewer, v, compute(_unit_strides, t), q, e, 1, None),
    )
