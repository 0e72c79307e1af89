"""Rules that look right, or were published as right, and are wrong: the checker must reject each.

They test the tester. Never add this set to an optimizer.
"""

from __future__ import annotations

from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    Dims,
    Float,
    IntAttr,
    IntsAttr,
    Number,
    Pattern,
    Sides,
    Tensor,
    compute,
    ops,
    tensor,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import (
    REASSOCIATES,
    ROUNDING,
    RuleSet,
    types_agree,
)

known_false = RuleSet("known_false")

TASO = "TASO (SOSP 2019) and TENSAT (MLSys 2021), published rules"
Rows = Annotated[Pattern, tensor("... m k")]
Square = Annotated[Pattern, tensor("n n", dtype="float")]
Integer = Annotated[Pattern, tensor(dtype="int")]
Image = Annotated[Pattern, tensor("n c h w", dtype="float")]
Kernel = Annotated[Pattern, tensor("o i p q", dtype="float")]
OtherKernel = Annotated[Pattern, tensor("u i p q", dtype="float")]
Scale = Annotated[Pattern, tensor("c 1 1", dtype="float")]
MatrixKN = Annotated[Pattern, tensor("k n")]


@known_false.rule(source="0 x is NaN for NaN and infinity", when=[types_agree])
def product_with_zero(x: Float, y: Float) -> Sides:
    return x * 0 + y, y


@known_false.rule(source="x / x is NaN for zero", when=[types_agree])
def quotient_with_itself(x: Float) -> Sides:
    return (x / x) * x, x


@known_false.rule(source="a negative factor turns the order around", when=[types_agree])
def relu_of_scaled(x: Float, c: Number) -> Sides:
    return ops.nn.relu(x * c), ops.nn.relu(x) * c


@known_false.rule(source="relu is not linear")
def relu_of_sum(x: Float, y: Float) -> Sides:
    return ops.nn.relu(x + y), ops.nn.relu(x) + ops.nn.relu(y)


@known_false.rule(source=f"{TASO}: wrong shape under broadcasting")
def concat_of_sums(x: Float, y: Float, u: Float, v: Float, k: IntAttr) -> Sides:
    return (
        ops.concat([x, y], axis=k) + ops.concat([u, v], axis=k),
        ops.concat([x + u, y + v], axis=k),
    )


@known_false.rule(source=f"{TASO}: wrong shape under broadcasting")
def concat_of_products(x: Float, y: Float, z: Float, k: IntAttr) -> Sides:
    return ops.concat([x * z, y * z], axis=k), ops.concat([x, y], axis=k) * z


@known_false.rule(source="Luminal: division of integers rounds")
def integer_quotient_of_product(x: Integer, y: Integer, z: Integer) -> Sides:
    return (x * y) / z, x * (y / z)


@known_false.rule(source="division of integers rounds", when=[types_agree])
def integer_times_reciprocal(x: Integer, y: Integer) -> Sides:
    return x / y, x * (1 / y)


@known_false.rule(source="a permutation is not its own inverse", when=[types_agree])
def permute_twice(x: Tensor, p: IntsAttr) -> Sides:
    return ops.permute_dims(ops.permute_dims(x, axes=p), axes=p), x


def _composed_wrongly(p: AttrValue, q: AttrValue) -> AttrValue:
    if not isinstance(p, tuple) or not isinstance(q, tuple):
        return None
    return tuple(q[a] for a in p if isinstance(a, int))


@known_false.rule(source="permutations do not commute")
def permute_of_permute_in_wrong_order(x: Tensor, p: IntsAttr, q: IntsAttr) -> Sides:
    return (
        ops.permute_dims(ops.permute_dims(x, axes=p), axes=q),
        ops.permute_dims(x, axes=compute(_composed_wrongly, p, q)),
    )


@known_false.rule(source="(A B)^T = B^T A^T, not A^T B^T", when=[types_agree])
def transpose_keeps_factors(a: Square, b: Square) -> Sides:
    return ops.permute_dims(a @ b), ops.permute_dims(a) @ ops.permute_dims(b)


@known_false.rule(source="matrix products do not commute", when=[types_agree])
def product_commutes(a: Square, b: Square) -> Sides:
    return a @ b, b @ a


@known_false.rule(source="a reshape does not move elements as a permute does", when=[types_agree])
def permute_is_reshape(x: Tensor, p: IntsAttr) -> Sides:
    return ops.permute_dims(x, axes=p), ops.reshape(x, compute(_permuted_dims, x, p))


def _permuted_dims(x: Known, axes: AttrValue) -> tuple[object, ...]:
    order = range(x.ndim - 1, -1, -1) if axes is None else axes
    assert isinstance(order, (range, tuple))
    return tuple(x.dims[a] for a in order if isinstance(a, int))


@known_false.rule(source="softmax over another axis", numerics=ROUNDING)
def softmax_of_permuted(x: Float, p: IntsAttr, a: IntAttr) -> Sides:
    return (
        ops.nn.softmax(ops.permute_dims(x, axes=p), axis=a),
        ops.permute_dims(ops.nn.softmax(x, axis=a), axes=p),
    )


@known_false.rule(source="the sum runs over another axis", numerics=ROUNDING)
def softmax_from_exp_over_any_axes(x: Float, a: IntsAttr) -> Sides:
    return ops.exp(x) / ops.sum(ops.exp(x), axis=a, keepdims=True), ops.nn.softmax(x)


@known_false.rule(source="split and concat along different axes")
def concat_of_split_elsewhere(x: Tensor, i: IntAttr, j: IntAttr) -> Sides:
    parts = ops.split(x, indices_or_sections=2, axis=i)
    return ops.concat([parts[0], parts[1]], axis=j), x


@known_false.rule(source="the parts of a split are in order", when=[types_agree])
def concat_of_split_reversed(x: Tensor, i: IntAttr) -> Sides:
    parts = ops.split(x, indices_or_sections=2, axis=i)
    return ops.concat([parts[1], parts[0]], axis=i), x


@known_false.rule(source="broadcasting loses the outer shape")
def add_of_broadcast_everywhere(x: Tensor, y: Tensor, s: Dims) -> Sides:
    return x + ops.broadcast_to(y, s), x + y


@known_false.rule(source="a 0 with more axes than x gives the sum its shape")
def add_zero_of_any_shape(x: Tensor) -> Sides:
    return x + 0, x


@known_false.rule(source="zeros that broadcast x are summed with it", when=[types_agree])
def sum_with_zeros(x: Float, a: IntsAttr) -> Sides:
    return ops.sum(x + 0, axis=a, keepdims=True), ops.sum(x, axis=a, keepdims=True)


@known_false.rule(source="the groups of a mean may differ in size", numerics=ROUNDING)
def mean_of_concat(x: Float, y: Float) -> Sides:
    return ops.mean(ops.concat([x, y], axis=0)), (ops.mean(x) + ops.mean(y)) * 0.5


def _axes_as_they_stand(a: AttrValue, b: AttrValue) -> AttrValue:
    if not isinstance(a, tuple) or not isinstance(b, tuple):
        return None
    return tuple(dict.fromkeys((*a, *b)))


@known_false.rule(source="the inner sum renumbers the axes", numerics=REASSOCIATES)
def sum_of_sum_without_renumbering(x: Tensor, a: IntsAttr, b: IntsAttr) -> Sides:
    return (
        ops.sum(ops.sum(x, axis=a, keepdims=False), axis=b, keepdims=False),
        ops.sum(x, axis=compute(_axes_as_they_stand, a, b), keepdims=False),
    )


@known_false.rule(source="a cast that loses digits", when=[types_agree])
def cast_there_and_back(x: Float) -> Sides:
    return ops.astype(ops.astype(x, dtype="int32"), dtype="float64"), ops.astype(x, dtype="float64")


@known_false.rule(source="a linear map does not keep an offset", numerics=REASSOCIATES)
def shift_leaves_product(x: Rows, w: MatrixKN, c: Number) -> Sides:
    return (x + c) @ w, x @ w + c


def _conv(x: Pattern, w: Pattern, s: IntsAttr, p: IntsAttr, g: object) -> Pattern:
    return ops.nn.conv2d(x, w, strides=s, padding=p, groups=g)


@known_false.rule(source=f"{TASO}: wrong with groups > 1", numerics=REASSOCIATES)
def grouped_convolutions_merge(
    x: Image, v: Kernel, w: OtherKernel, s: IntsAttr, p: IntsAttr, g: IntAttr
) -> Sides:
    both = _conv(x, ops.concat([v, w], axis=0), s, p, g)
    return ops.concat([_conv(x, v, s, p, g), _conv(x, w, s, p, g)], axis=1), both


@known_false.rule(source=f"{TASO}: wrong with groups > 1", numerics=REASSOCIATES)
def grouped_input_scale_into_kernel(
    x: Image, w: Kernel, c: Scale, s: IntsAttr, p: IntsAttr, g: IntAttr
) -> Sides:
    return _conv(x * c, w, s, p, g), _conv(x, w * c, s, p, g)


@known_false.rule(source="padding is zero, not the shift", numerics=REASSOCIATES)
def shift_of_padded_input(
    x: Image, w: Kernel, c: Number, s: IntsAttr, p: IntsAttr, g: IntAttr
) -> Sides:
    ones = ops.nn.conv2d(x * 0 + c, w, strides=s, padding=(0, 0, 0, 0), groups=g)
    return _conv(x + c, w, s, p, g), _conv(x, w, s, p, g) + ones


@known_false.rule(source="a window in the padding alone has the maximum -inf, not 0")
def relu_behind_any_max_pool(x: Image, k: IntsAttr, s: IntsAttr, p: IntsAttr) -> Sides:
    def pool(t: Pattern) -> Pattern:
        return ops.nn.max_pool2d(t, pool_size=k, strides=s, padding=p)

    return pool(ops.nn.relu(x)), ops.nn.relu(pool(x))


@known_false.rule(source="a max pool of a negative factor is a min pool", when=[types_agree])
def scale_behind_max_pool(x: Image, c: Number, k: IntsAttr, s: IntsAttr) -> Sides:
    return (
        ops.nn.max_pool2d(x * c, pool_size=k, strides=s),
        ops.nn.max_pool2d(x, pool_size=k, strides=s) * c,
    )
