"""Convolutions over one and three axes, and transposed ones: scales move into their weights."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.rules._language import IntAttr, IntsAttr, Pattern, Sides, compute, ops, tensor
from eqsat.rules._predicates import is_constant
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, Phase, RuleSet
from eqsat.rules.convolution import BILINEAR, Image, all_ones, no_padding
from eqsat.shapes import Shape

other_convolutions = RuleSet("other_convolutions", Phase.EXPLORE)

Line = Annotated[Pattern, tensor("n c w", dtype="float")]
LineKernel = Annotated[Pattern, tensor("o i q", dtype="float")]
LinePointKernel = Annotated[Pattern, tensor("o c 1", dtype="float")]
Volume = Annotated[Pattern, tensor("n c d h w", dtype="float")]
VolumeKernel = Annotated[Pattern, tensor("o i r p q", dtype="float")]
TransposedKernel = Annotated[Pattern, tensor("c o p q", dtype="float")]
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
