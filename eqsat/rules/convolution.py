"""Convolutions: scales into weights, padding, one by one kernels, merging parallel ones."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    IntAttr,
    IntsAttr,
    Number,
    Pattern,
    Sides,
    StrAttr,
    compute,
    ops,
    tensor,
)
from eqsat.rules._predicates import is_constant, is_not_constant
from eqsat.rules._resolve import Known
from eqsat.rules._rule import (
    REASSOCIATES,
    Phase,
    RuleSet,
    predicate,
    profit,
)
from eqsat.rules.movement import int_tuple
from eqsat.shapes import Positive, Shape

convolution = RuleSet("convolution", Phase.EXPLORE)
merged_convolutions = RuleSet("merged_convolutions", Phase.MERGE)

Image = Annotated[Pattern, tensor("n c h w", dtype="float")]
Kernel = Annotated[Pattern, tensor("o i p q", dtype="float")]
OtherKernel = Annotated[Pattern, tensor("u i p q", dtype="float")]
PointKernel = Annotated[Pattern, tensor("o c 1 1", dtype="float")]
OtherPointKernel = Annotated[Pattern, tensor("u i 1 1", dtype="float")]
OutputScale = Annotated[Pattern, tensor("o 1 1", dtype="float")]
BatchedOutputScale = Annotated[Pattern, tensor("1 o 1 1", dtype="float")]
BatchedOtherScale = Annotated[Pattern, tensor("1 u 1 1", dtype="float")]
InputScale = Annotated[Pattern, tensor("c 1 1", dtype="float")]
BatchedInputScale = Annotated[Pattern, tensor("1 c 1 1", dtype="float")]

BILINEAR = "convolution is linear in its weight and in its input"


def conv(
    x: Pattern, w: Pattern, s: object, p: object, d: object, g: object, out: StrAttr | None
) -> Pattern:
    """Return a convolution in the layouts NCHW and OIHW."""
    return ops.nn.conv2d(
        x, w, strides=s, padding=p, dilation=d, groups=g, out_layout=out, out_dtype=None
    )


@predicate
def is_nchw(layout: AttrValue) -> bool:
    """The output has the layout of the input."""
    return layout in (None, "", "NCHW")


def _per_output(w: Known) -> Shape:
    return (w.dims[0], 1, 1, 1)


@convolution.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_constant("c"), is_nchw("out")],
)
def output_scale_into_kernel(
    x: Image,
    w: Kernel,
    c: OutputScale,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    scaled = w * ops.reshape(c, compute(_per_output, w))
    return conv(x, w, s, p, d, g, out) * c, conv(x, scaled, s, p, d, g, out)


@convolution.rule(
    source=BILINEAR,
    numerics=REASSOCIATES,
    when=[is_constant("w"), is_constant("c"), is_nchw("out")],
)
def batched_output_scale_into_kernel(
    x: Image,
    w: Kernel,
    c: BatchedOutputScale,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    scaled = w * ops.reshape(c, compute(_per_output, w))
    return conv(x, w, s, p, d, g, out) * c, conv(x, scaled, s, p, d, g, out)


@convolution.rule(source=BILINEAR, numerics=REASSOCIATES, when=[is_constant("w")])
def number_into_kernel(
    x: Image, w: Kernel, c: Number, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, out: StrAttr
) -> Sides:
    return conv(x, w, s, p, d, g, out) * c, conv(x, w * c, s, p, d, g, out)


@convolution.rule(source=BILINEAR, numerics=REASSOCIATES, when=[is_constant("w"), is_constant("c")])
def input_scale_into_kernel(
    x: Image, w: Kernel, c: InputScale, s: IntsAttr, p: IntsAttr, d: IntsAttr, out: StrAttr
) -> Sides:
    return conv(x * c, w, s, p, d, 1, out), conv(x, w * c, s, p, d, 1, out)


@convolution.rule(source=BILINEAR, numerics=REASSOCIATES, when=[is_constant("w"), is_constant("c")])
def batched_input_scale_into_kernel(
    x: Image, w: Kernel, c: BatchedInputScale, s: IntsAttr, p: IntsAttr, d: IntsAttr, out: StrAttr
) -> Sides:
    return conv(x * c, w, s, p, d, 1, out), conv(x, w * c, s, p, d, 1, out)


# --- padding --------------------------------------------------------------------------------


def four_sides(padding: AttrValue) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) of a padding attribute of 1, 2 or 4 numbers."""
    values = int_tuple(padding)
    match values:
        case (a,):
            return a, a, a, a
        case (a, b):
            return a, b, a, b
        case (a, b, c, d):
            return a, b, c, d
        case _:
            raise ValueError(f"padding of a 2-D window has 1, 2 or 4 numbers, not {values}")


@predicate
def pads_only_space(widths: AttrValue) -> bool:
    """Batch and channels are not padded, and nothing is cut off."""
    values = int_tuple(widths)
    return len(values) == 8 and not any(values[:4]) and min(values) >= 0


def joined_padding(padding: AttrValue, widths: AttrValue) -> tuple[int, int, int, int]:
    """Return the padding of a window over what was padded in space before."""
    top, left, bottom, right = four_sides(padding)
    above, below, before, behind = int_tuple(widths)[4:]
    return top + above, left + before, bottom + below, right + behind


@convolution.rule(
    source="a convolution pads with zeros", numerics=REASSOCIATES, when=[pads_only_space("e")]
)
def pad_into_convolution(
    x: Image,
    w: Kernel,
    e: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    padded = ops.nn.pad(x, pad_width=e, pad_mode="constant", pad_value=0.0)
    return (
        conv(padded, w, s, p, d, g, out),
        conv(x, w, s, compute(joined_padding, p, e), d, g, out),
    )


def _padding_left(
    kernel: Known, padding: AttrValue, dilation: AttrValue, widths: AttrValue
) -> tuple[int, int, int, int] | None:
    """Return the padding that is left where zeros around a kernel are taken away.

    An empty kernel would be left with a window of negative size.
    """
    if not all(kernel.proves(Positive(d)) for d in kernel.dims[2:]):
        return None
    top, left, bottom, right = four_sides(padding)
    above, below, before, behind = int_tuple(widths)[4:]
    steps = int_tuple(dilation)
    down, across = steps if len(steps) == 2 else (steps[0], steps[0])
    rest = (
        top - above * down,
        left - before * across,
        bottom - below * down,
        right - behind * across,
    )
    return rest if min(rest) >= 0 else None


@convolution.rule(
    source="TASO (SOSP 2019): enlarged kernels", numerics=REASSOCIATES, when=[pads_only_space("e")]
)
def zeros_around_kernel(
    x: Image,
    w: Kernel,
    e: IntsAttr,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    out: StrAttr,
) -> Sides:
    enlarged = ops.nn.pad(w, pad_width=e, pad_mode="constant", pad_value=0.0)
    return (
        conv(x, enlarged, s, p, d, g, out),
        conv(x, w, s, compute(_padding_left, w, p, d, e), d, g, out),
    )


def kernel_margin(
    v: Known, w: Known, padding: AttrValue, inner_padding: AttrValue
) -> tuple[int, ...] | None:
    """Return the zeros around w that give it the size of v and take up the padding difference."""
    outer, inner = four_sides(padding), four_sides(inner_padding)
    top, left, bottom, right = (a - b for a, b in zip(outer, inner, strict=True))
    grown = (w.dims[2] + top + bottom, w.dims[3] + left + right)
    if min(top, left, bottom, right) < 0 or grown != v.dims[2:]:
        return None
    return (0, 0, 0, 0, top, bottom, left, right)


# --- one by one -----------------------------------------------------------------------------


@predicate
def all_ones(values: AttrValue) -> bool:
    """Every number is 1."""
    return set(int_tuple(values)) == {1}


@predicate
def no_padding(values: AttrValue) -> bool:
    """Every number is 0."""
    return not any(int_tuple(values))


def _weight_matrix(w: Known) -> Shape:
    return w.dims[:2]


def _pixels(x: Known) -> Shape:
    n, c, h, w = x.dims
    return (n, c, h * w)


def _image(x: Known, w: Known) -> Shape:
    n, _, height, width = x.dims
    return (n, w.dims[0], height, width)


@convolution.rule(
    source="a 1x1 convolution is a product per pixel",
    numerics=REASSOCIATES,
    when=[all_ones("s"), no_padding("p"), is_nchw("out")],
)
def point_convolution_is_product(
    x: Image, w: PointKernel, s: IntsAttr, p: IntsAttr, d: IntsAttr, out: StrAttr
) -> Sides:
    matrix = ops.reshape(w, compute(_weight_matrix, w))
    pixels = ops.reshape(x, compute(_pixels, x))
    return conv(x, w, s, p, d, 1, out), ops.reshape(matrix @ pixels, compute(_image, x, w))


# --- merging --------------------------------------------------------------------------------

MERGE = "TASO (SOSP 2019): convolutions of one input are one over concatenated output channels"


def _first_outputs(w: Known) -> tuple[int, ...] | None:
    first = w.dims[0]
    return (first,) if isinstance(first, int) else None


TWO_KERNELS = (is_not_constant("x"), is_constant("v"), is_constant("w"), is_nchw("out"))


@merged_convolutions.rule(source=MERGE, numerics=REASSOCIATES, when=TWO_KERNELS, ordered=("v", "w"))
def parallel_convolutions_merge(
    x: Image, v: Kernel, w: OtherKernel, s: IntsAttr, p: IntsAttr, d: IntsAttr, out: StrAttr
) -> Sides:
    both = conv(x, ops.concat([v, w], axis=0), s, p, d, 1, out)
    parts = ops.split(both, indices_or_sections=compute(_first_outputs, v), axis=1)
    return (conv(x, v, s, p, d, 1, out), conv(x, w, s, p, d, 1, out)), (parts[0], parts[1])


@profit
def is_window(w: Known) -> bool:
    """The kernel is larger than one by one."""
    return w.ndim == 4 and w.dims[2:] != (1, 1)


@merged_convolutions.rule(
    source="TASO (SOSP 2019): enlarged kernels",
    numerics=REASSOCIATES,
    when=[*TWO_KERNELS, is_window("v")],
)
def window_and_point_convolution_merge(
    x: Image, v: Kernel, w: OtherPointKernel, s: IntsAttr, p: IntsAttr, q: IntsAttr, out: StrAttr
) -> Sides:
    enlarged = ops.nn.pad(w, pad_width=compute(kernel_margin, v, w, p, q))
    both = conv(x, ops.concat([v, enlarged], axis=0), s, p, (1, 1), 1, out)
    parts = ops.split(both, indices_or_sections=compute(_first_outputs, v), axis=1)
    apart = conv(x, v, s, p, (1, 1), 1, out), conv(x, w, s, q, (1, 1), 1, out)
    return apart, (parts[0], parts[1])


TWO_BIASES = (*TWO_KERNELS, is_constant("a"), is_constant("b"))


@merged_convolutions.rule(source=MERGE, numerics=REASSOCIATES, when=TWO_BIASES, ordered=("v", "w"))
def parallel_biased_convolutions_merge(
    x: Image,
    v: Kernel,
    w: OtherKernel,
    a: BatchedOutputScale,
    b: BatchedOtherScale,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    out: StrAttr,
) -> Sides:
    both = conv(x, ops.concat([v, w], axis=0), s, p, d, 1, out) + ops.concat([a, b], axis=1)
    parts = ops.split(both, indices_or_sections=compute(_first_outputs, v), axis=1)
    one, other = conv(x, v, s, p, d, 1, out) + a, conv(x, w, s, p, d, 1, out) + b
    return (one, other), (parts[0], parts[1])


@merged_convolutions.rule(source=MERGE, numerics=REASSOCIATES, when=TWO_BIASES, ordered=("v", "w"))
def parallel_rectified_convolutions_merge(
    x: Image,
    v: Kernel,
    w: OtherKernel,
    a: BatchedOutputScale,
    b: BatchedOtherScale,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    out: StrAttr,
) -> Sides:
    both = conv(x, ops.concat([v, w], axis=0), s, p, d, 1, out) + ops.concat([a, b], axis=1)
    parts = ops.split(ops.nn.relu(both), indices_or_sections=compute(_first_outputs, v), axis=1)
    one, other = conv(x, v, s, p, d, 1, out) + a, conv(x, w, s, p, d, 1, out) + b
    return (ops.nn.relu(one), ops.nn.relu(other)), (parts[0], parts[1])


# --- pooling --------------------------------------------------------------------------------


@predicate
def is_not_empty(x: Known) -> bool:
    """Height and width are at least 1."""
    return all(x.proves(Positive(d)) for d in x.dims[2:])


@predicate
def smaller_than_window(padding: AttrValue, window: AttrValue) -> bool:
    """No window lies in the padding alone."""
    top, left, bottom, right = four_sides(padding)
    sizes = int_tuple(window)
    height, width = sizes if len(sizes) == 2 else (sizes[0], sizes[0])
    return max(top, bottom) < height and max(left, right) < width


@convolution.rule(
    source="max and relu are monotone",
    when=[is_not_empty("x"), smaller_than_window("p", "k"), all_ones("d")],
)
def relu_behind_max_pool(
    x: Image, k: IntsAttr, s: IntsAttr, p: IntsAttr, d: IntsAttr, out: StrAttr
) -> Sides:
    pooled = ops.nn.max_pool2d(
        ops.nn.relu(x), pool_size=k, strides=s, padding=p, dilation=d, out_layout=out
    )
    after = ops.nn.max_pool2d(x, pool_size=k, strides=s, padding=p, dilation=d, out_layout=out)
    return pooled, ops.nn.relu(after)
