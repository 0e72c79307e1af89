"""More false rules, by what is wrong with them: from bug reports against other rewriters.

Every rule of `wrong_values` has an instance with other numbers, every one of `wrong_types` one
with another shape or dtype, or with no right side at all.
"""

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    BoolAttr,
    Dims,
    DtypeAttr,
    Float,
    IntAttr,
    IntsAttr,
    Number,
    Pattern,
    ScalarAttr,
    Sides,
    Tensor,
    compute,
    ops,
    tensor,
)
from eqsat.rules._rule import REASSOCIATES, ROUNDING, RuleSet, types_agree

wrong_values = RuleSet("wrong_values")
wrong_types = RuleSet("wrong_types")

Integer = Annotated[Pattern, tensor(dtype="int")]
Image = Annotated[Pattern, tensor("n c h w", dtype="float")]
Kernel = Annotated[Pattern, tensor("o i p q", dtype="float")]
PointKernel = Annotated[Pattern, tensor("o i 1 1", dtype="float")]
Cube = Annotated[Pattern, tensor("n n n")]
Square = Annotated[Pattern, tensor("n n", dtype="float")]

NAN = "NaN and infinity"
SIGNS = "holds for positive numbers only"
WRAPS = "integers wrap around"
ORDER = "floating-point sums depend on their order: not bit-equal"
TASO = "TASO (SOSP 2019) and TENSAT (MLSys 2021): wrong shape under broadcasting"


# --- NaN, infinity, overflow ----------------------------------------------------------------


@wrong_values.rule(source=NAN, when=[types_agree])
def difference_with_itself(x: Float, y: Float) -> Sides:
    return (x - x) + y, y


@wrong_values.rule(source=NAN, when=[types_agree])
def number_equals_itself(x: Float, y: Float, c: Number) -> Sides:
    return ops.where(ops.equal(c, c), x, y), x


@wrong_values.rule(source=NAN)
def sign_times_magnitude_is_square_root(x: Float) -> Sides:
    return ops.sqrt(ops.square(x)), ops.abs(x)


@wrong_values.rule(source=NAN, when=[types_agree])
def sum_minus_summand(x: Float, y: Float) -> Sides:
    return (x + y) - y, x


@wrong_values.rule(source=NAN, when=[types_agree])
def equal_to_itself(x: Float) -> Sides:
    return ops.equal(x, x), ops.logical_not(ops.less(x, x))


@wrong_values.rule(source=NAN)
def not_less_is_greater_equal(x: Float, y: Float) -> Sides:
    return ops.logical_not(ops.less(x, y)), ops.greater_equal(x, y)


@wrong_values.rule(source=NAN)
def maximum_by_where(x: Float, y: Float) -> Sides:
    return ops.maximum(x, y), ops.where(ops.greater(x, y), x, y)


@wrong_values.rule(source=WRAPS)
def maximum_of_shifted(x: Integer, y: Integer, c: Number) -> Sides:
    return ops.maximum(x + c, y + c), ops.maximum(x, y) + c


@wrong_values.rule(source=WRAPS)
def less_of_difference(x: Integer, y: Integer, z: Integer) -> Sides:
    return ops.less(x - z, y - z), ops.less(x, y)


@wrong_values.rule(source=WRAPS, when=[types_agree])
def product_divided_by_factor(x: Integer, c: Number) -> Sides:
    return ops.floor_divide(x * c, c), x


@wrong_values.rule(source=WRAPS)
def magnitude_of_product(x: Integer, y: Integer) -> Sides:
    return ops.abs(ops.maximum(x * y, -(x * y))), ops.maximum(ops.abs(x) * ops.abs(y), x * y)


# --- signs and domains ----------------------------------------------------------------------


@wrong_values.rule(source=SIGNS, numerics=ROUNDING)
def square_of_root(x: Float) -> Sides:
    return ops.square(ops.sqrt(x)), ops.abs(x)


@wrong_values.rule(source=SIGNS, numerics=ROUNDING)
def root_of_square(x: Float) -> Sides:
    return ops.sqrt(ops.square(x)), x


@wrong_values.rule(source=SIGNS, numerics=ROUNDING, when=[types_agree])
def reciprocal_root_of_square(x: Float) -> Sides:
    return ops.rsqrt(x * x), 1 / x


@wrong_values.rule(source=SIGNS, numerics=ROUNDING)
def exp_of_log(x: Float) -> Sides:
    return ops.exp(ops.log(x)), x


@wrong_values.rule(source=SIGNS, numerics=ROUNDING)
def log_of_product(x: Float, y: Float) -> Sides:
    return ops.log(x * y), ops.log(x) + ops.log(y)


@wrong_values.rule(source=SIGNS, numerics=ROUNDING)
def root_of_product(x: Float, y: Float) -> Sides:
    return ops.sqrt(x * y), ops.sqrt(x) * ops.sqrt(y)


@wrong_values.rule(source=SIGNS, numerics=ROUNDING, when=[types_agree])
def power_of_power(x: Float) -> Sides:
    return ops.power(ops.power(x, 2), 0.5), x


@wrong_values.rule(source=SIGNS, numerics=REASSOCIATES)
def magnitude_of_sum(x: Float, y: Float) -> Sides:
    return ops.abs(x + y), ops.abs(x) + ops.abs(y)


@wrong_values.rule(source=SIGNS, numerics=REASSOCIATES)
def product_of_maximum(x: Float, y: Float, z: Float) -> Sides:
    return ops.maximum(x * z, y * z), ops.maximum(x, y) * z


@wrong_values.rule(source="negation turns a maximum around")
def negative_of_maximum(x: Float, y: Float) -> Sides:
    return ops.maximum(-x, -y), -ops.maximum(x, y)


@wrong_values.rule(source="one rounds down, the other towards zero")
def floor_is_trunc(x: Float) -> Sides:
    return ops.floor(x), ops.trunc(x)


@wrong_values.rule(source="round is to even, not up", when=[types_agree])
def round_by_floor(x: Float) -> Sides:
    return ops.floor(x + 0.5), ops.round(x)


@wrong_values.rule(source="rounding does not commute with scaling", when=[types_agree])
def floor_of_doubled(x: Float) -> Sides:
    return ops.floor(x * 2), ops.floor(x) * 2


# --- activations ----------------------------------------------------------------------------


@wrong_values.rule(source="the tanh variant of GELU is another function", numerics=ROUNDING)
def gelu_variants(x: Float) -> Sides:
    return ops.nn.gelu(ops.negative(x)), ops.nn.gelu_tanh(ops.negative(x))


@wrong_values.rule(source="log(softmax) rounds and underflows", when=[types_agree])
def log_softmax_is_exact(x: Float) -> Sides:
    return ops.log(ops.nn.softmax(x)), ops.nn.log_softmax(x)


@wrong_values.rule(source="relu6 is not homogeneous", when=[types_agree])
def scale_behind_relu6(x: Float) -> Sides:
    return ops.nn.relu6(x * 2), ops.nn.relu6(x) * 2


@wrong_values.rule(source="relu is not odd")
def relu_of_negative(x: Float) -> Sides:
    return ops.nn.relu(-x), -ops.nn.relu(x)


@wrong_values.rule(source="crossed bounds: the last clip wins")
def clips_swap(x: Float, a: ScalarAttr, b: ScalarAttr, c: ScalarAttr, d: ScalarAttr) -> Sides:
    return (
        ops.clip(ops.clip(x, min=a, max=b), min=c, max=d),
        ops.clip(ops.clip(x, min=c, max=d), min=a, max=b),
    )


@wrong_values.rule(source="the branches are swapped", when=[types_agree])
def where_with_swapped_branches(c: Tensor, x: Tensor, y: Tensor) -> Sides:
    return ops.where(c, x, y), ops.where(c, y, x)


@wrong_values.rule(source="softmax is no projection", numerics=ROUNDING)
def softmax_twice(x: Float, k: IntAttr) -> Sides:
    return ops.nn.softmax(ops.nn.softmax(x, axis=k), axis=k), ops.nn.softmax(x, axis=k)


@wrong_values.rule(
    source="softmax is not invariant under a factor", numerics=ROUNDING, when=[types_agree]
)
def softmax_of_scaled(x: Float) -> Sides:
    return ops.nn.softmax(x * 2), ops.nn.softmax(x)


# --- sums, means, order ---------------------------------------------------------------------


@wrong_values.rule(source=ORDER)
def sum_associates_exactly(x: Float, y: Float, z: Float) -> Sides:
    return (x + y) + z, x + (y + z)


@wrong_values.rule(source=ORDER)
def factor_distributes_exactly(x: Float, y: Float, z: Float) -> Sides:
    return (x + y) * z, x * z + y * z


@wrong_values.rule(source=ORDER)
def matmul_associates_exactly(a: Square, b: Square, c: Square) -> Sides:
    return (a @ b) @ c, a @ (b @ c)


@wrong_values.rule(source="a quotient rounds once, the other way twice", when=[types_agree])
def reciprocal_product_is_exact(x: Float, y: Float) -> Sides:
    return x * (1 / y), x / y


@wrong_values.rule(source="E[x^2] - E[x]^2 cancels: not bit-equal")
def variance_by_moments(x: Float, a: IntsAttr) -> Sides:
    mean = ops.mean(x, axis=a, keepdims=True)
    moment = ops.mean(ops.square(x), axis=a, keepdims=True)
    return moment - ops.square(mean), ops.variance(x, axis=a, keepdims=True)


@wrong_values.rule(source="the mean of squares is no square of the mean", numerics=ROUNDING)
def mean_of_squares(x: Float, a: IntsAttr) -> Sides:
    return ops.mean(ops.square(x), axis=a), ops.square(ops.mean(x, axis=a))


@wrong_values.rule(source="a maximum is no linear map", numerics=REASSOCIATES)
def max_of_sum(x: Float, y: Float) -> Sides:
    return ops.max(x + y), ops.max(x) + ops.max(y)


@wrong_values.rule(source="ties: the first wins, not the last", when=[types_agree])
def argmax_of_flipped(x: Integer) -> Sides:
    return ops.argmax(x * 0, axis=-1), ops.argmax(x, axis=-1)


@wrong_values.rule(source="argmax of a negative is argmin", when=[types_agree])
def argmax_of_negative(x: Float) -> Sides:
    return ops.argmax(-x, axis=-1), ops.argmax(x, axis=-1)


@wrong_values.rule(source="an exclusive sum leaves the last one out", numerics=REASSOCIATES)
def exclusive_cumsum(x: Float, k: IntAttr) -> Sides:
    return ops.cumsum(x, axis=k, exclusive=True), ops.cumsum(x, axis=k, exclusive=False)


# --- movement -------------------------------------------------------------------------------


@wrong_values.rule(source="the wrong two axes are swapped")
def transposes_of_cube(x: Cube) -> Sides:
    return ops.permute_dims(x, axes=(0, 2, 1)), ops.permute_dims(x, axes=(1, 0, 2))


@wrong_values.rule(source="a reshape does not commute with a permute", when=[types_agree])
def reshape_of_transposed(x: Tensor, s: Dims) -> Sides:
    return ops.reshape(ops.permute_dims(x), s), ops.reshape(x, s)


@wrong_values.rule(source="concatenation does not commute", when=[types_agree])
def concat_commutes(x: Tensor, y: Tensor, k: IntAttr) -> Sides:
    return ops.concat([x, y], axis=k), ops.concat([y, x], axis=k)


@wrong_values.rule(source="repeating elements is not repeating the whole")
def repeat_is_tile(x: Cube) -> Sides:
    return ops.repeat(x, repeats=2, axis=2), ops.tile(x, repeats=(1, 1, 2))


@wrong_values.rule(source="reflected is not repeated", when=[types_agree])
def pad_modes(x: Cube) -> Sides:
    def padded(value: float) -> Pattern:
        return ops.nn.pad(x, pad_width=(0, 0, 0, 0, 1, 1), pad_value=value)

    return padded(0.0), padded(1.0)


@wrong_values.rule(source="padding is zero and exp(0) is not", numerics=ROUNDING)
def exp_behind_pad(x: Float, p: IntsAttr) -> Sides:
    return ops.exp(ops.nn.pad(x, pad_width=p)), ops.nn.pad(ops.exp(x), pad_width=p)


@wrong_values.rule(source="a cast through a narrower dtype loses digits", when=[types_agree])
def cast_chain(x: Float, d: DtypeAttr, e: DtypeAttr) -> Sides:
    return ops.astype(ops.astype(x, dtype=d), dtype=e), ops.astype(x, dtype=e)


@wrong_values.rule(source="a cast to integers rounds before the sum")
def cast_of_sum(x: Float, y: Float) -> Sides:
    return ops.astype(x + y, dtype="int32"), ops.astype(x, dtype="int32") + ops.astype(
        y, dtype="int32"
    )


# --- windows --------------------------------------------------------------------------------


@wrong_values.rule(source="padding counts or does not", numerics=REASSOCIATES)
def average_pool_counts_padding(x: Image, k: IntsAttr, s: IntsAttr, p: IntsAttr) -> Sides:
    def pool(counts: bool) -> Pattern:
        return ops.nn.avg_pool2d(x, pool_size=k, strides=s, padding=p, count_include_pad=counts)

    return pool(True), pool(False)


@wrong_values.rule(source="max pooling is not linear", numerics=REASSOCIATES)
def max_pool_of_sum(x: Image, y: Image, k: IntsAttr) -> Sides:
    def pool(t: Pattern) -> Pattern:
        return ops.nn.max_pool2d(t, pool_size=k)

    return pool(x + y), pool(x) + pool(y)


@wrong_values.rule(source="an average is no maximum", numerics=REASSOCIATES)
def relu_behind_average_pool(x: Image, k: IntsAttr) -> Sides:
    return (
        ops.nn.avg_pool2d(ops.nn.relu(x), pool_size=k),
        ops.nn.relu(ops.nn.avg_pool2d(x, pool_size=k)),
    )


@wrong_values.rule(source="a convolution does not commute with relu", numerics=REASSOCIATES)
def relu_behind_convolution(x: Image, w: Kernel) -> Sides:
    return ops.nn.conv2d(ops.nn.relu(x), w), ops.nn.relu(ops.nn.conv2d(x, w))


# --- types ----------------------------------------------------------------------------------


@wrong_types.rule(source=TASO)
def split_of_sum(x: Float, y: Float, k: IntAttr) -> Sides:
    both = ops.split(x + y, indices_or_sections=2, axis=k)
    one = ops.split(x, indices_or_sections=2, axis=k)
    return both[0], one[0] + ops.split(y, indices_or_sections=2, axis=k)[0]


@wrong_types.rule(source=TASO)
def concat_of_shared_summand(x: Float, y: Float, z: Float, k: IntAttr) -> Sides:
    return ops.concat([x + z, y + z], axis=k), ops.concat([x, y], axis=k) + z


@wrong_types.rule(source=TASO)
def factor_leaves_concat(x: Float, y: Float, k: IntAttr) -> Sides:
    return ops.concat([x * y, x], axis=k), x * ops.concat([y, y], axis=k)


@wrong_types.rule(source=f"{TASO}; kernels of two sizes", numerics=REASSOCIATES)
def sum_of_convolutions(x: Image, v: Kernel, w: PointKernel) -> Sides:
    return ops.nn.conv2d(x, v) + ops.nn.conv2d(x, w), ops.nn.conv2d(x, v + w)


@wrong_values.rule(source="the product of vectors has another rank", numerics=REASSOCIATES)
def matmul_associates_with_vectors(a: Float, b: Float, c: Float) -> Sides:
    return (a @ b) @ c, a @ (b @ c)


@wrong_types.rule(source="a reduced axis stays or goes", numerics=REASSOCIATES)
def keepdims_forgotten(x: Float, a: IntsAttr, k: BoolAttr) -> Sides:
    return ops.sum(ops.negative(x), axis=a, keepdims=k), ops.negative(ops.sum(x, axis=a))


@wrong_types.rule(source="axes are inserted in the other order")
def expand_dims_commute(x: Tensor, a: IntsAttr, b: IntsAttr) -> Sides:
    return (
        ops.expand_dims(ops.expand_dims(x, axis=a), axis=b),
        ops.expand_dims(ops.expand_dims(x, axis=b), axis=a),
    )


@wrong_types.rule(source="squeeze takes one axis, the other stays")
def squeeze_of_expand_dims(x: Tensor, a: IntsAttr) -> Sides:
    return ops.squeeze(ops.expand_dims(x, axis=a)), x


@wrong_types.rule(source="TVM, ConvertLayout: repeat over no axis flattens first")
def repeat_of_permuted(x: Tensor, p: IntsAttr) -> Sides:
    return (
        ops.repeat(ops.permute_dims(x, axes=p), repeats=2, axis=None),
        ops.permute_dims(ops.repeat(x, repeats=2, axis=None), axes=p),
    )


@wrong_types.rule(source="the mean of integers is no integer's business", numerics=ROUNDING)
def cast_dropped(x: Tensor, d: DtypeAttr) -> Sides:
    return ops.astype(ops.abs(x), dtype=d), ops.abs(x)


def _one_more(axis: AttrValue) -> AttrValue:
    return axis + 1 if isinstance(axis, int) else None


@wrong_values.rule(source="the axis moves by one only in front of it", numerics=ROUNDING)
def softmax_of_expanded(x: Float, k: IntAttr) -> Sides:
    return (
        ops.expand_dims(ops.nn.softmax(x, axis=k), axis=(0,)),
        ops.nn.softmax(ops.expand_dims(x, axis=(0,)), axis=compute(_one_more, k)),
    )


INDUCTOR = "torch inductor"


@wrong_values.rule(
    source=f"{INDUCTOR}, apply_gumbel_max_trick: quotients that round to one number tie"
)
def argmax_of_quotient_is_argmax_of_difference(x: Float, y: Float, k: IntAttr) -> Sides:
    likely = ops.nn.softmax(x, axis=k) / ops.exp(y)
    return ops.argmax(likely, axis=k), ops.argmax(x - y, axis=k)


@wrong_values.rule(
    source=f"{INDUCTOR}, mul_softmax without the sign: a negative factor turns the order around",
    numerics=REASSOCIATES,
    when=[types_agree],
)
def factor_leaves_shifted_row(x: Float, c: Number, a: IntsAttr) -> Sides:
    scaled = x * c
    shifted = x - ops.max(x, axis=a, keepdims=True)
    return scaled - ops.max(scaled, axis=a, keepdims=True), shifted * c
