"""Composite operators recognised in the spellings of exporters, and batch norm expanded."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from eqsat.ir import AttrValue
from eqsat.rules._language import (
    Dims,
    DtypeAttr,
    Float,
    FloatAttr,
    IntAttr,
    IntsAttr,
    Number,
    Pattern,
    Sides,
    compute,
    ops,
    tensor,
)
from eqsat.rules._resolve import Known
from eqsat.rules._rule import (
    ROUNDING,
    Phase,
    RuleSet,
    predicate,
    types_agree,
)
from eqsat.rules.algebra import cast_is_exact
from eqsat.rules.movement import int_tuple
from eqsat.rules.reductions import reduced_axes
from eqsat.shapes import Equal, Proof, Shape, equal_shapes

composites = RuleSet("composites", Phase.SIMPLIFY)

Images = Annotated[Pattern, tensor("n c h w", dtype="float")]
PerChannel = Annotated[Pattern, tensor("c 1 1", dtype="float")]
PerGroup = Annotated[Pattern, tensor("g", dtype="float")]
Vector = Annotated[Pattern, tensor("c", dtype="float")]

HALF = 0.5
INVERSE_SQRT_2 = 0.7071067811865476
SQRT_2 = 1.4142135623730951
SQRT_2_OVER_PI = 0.7978845608028654
TANH_CUBE = 0.044715


# --- activations ----------------------------------------------------------------------------

LOGISTIC = "sigmoid(x) = 1 / (1 + exp(-x))"


@composites.rule(source=LOGISTIC, numerics=ROUNDING, when=[types_agree])
def sigmoid_from_exp(x: Float) -> Sides:
    return 1 / (ops.exp(-x) + 1), ops.sigmoid(x)


@composites.rule(source="Elfwing, Uchibe, Doya (2018): SiLU", numerics=ROUNDING)
def silu_from_sigmoid(x: Float) -> Sides:
    return x * ops.sigmoid(x), ops.nn.silu(x)


@composites.rule(source="Elfwing, Uchibe, Doya (2018): SiLU", numerics=ROUNDING, when=[types_agree])
def silu_from_exp(x: Float) -> Sides:
    return x / (ops.exp(-x) + 1), ops.nn.silu(x)


GELU = "Hendrycks, Gimpel (2016): GELU, x Phi(x)"


@composites.rule(source=GELU, numerics=ROUNDING, when=[types_agree])
def gelu_halves_the_input(x: Float) -> Sides:
    return (x * HALF) * (ops.erf(x * INVERSE_SQRT_2) + 1), ops.nn.gelu(x)


@composites.rule(source=GELU, numerics=ROUNDING, when=[types_agree])
def gelu_halves_the_product(x: Float) -> Sides:
    return (x * (ops.erf(x * INVERSE_SQRT_2) + 1)) * HALF, ops.nn.gelu(x)


@composites.rule(source=GELU, numerics=ROUNDING, when=[types_agree])
def gelu_halves_the_factor(x: Float) -> Sides:
    return x * ((ops.erf(x * INVERSE_SQRT_2) + 1) * HALF), ops.nn.gelu(x)


@composites.rule(source=GELU, numerics=ROUNDING, when=[types_agree])
def gelu_shifted_by_half(x: Float) -> Sides:
    return x * (ops.erf(x * INVERSE_SQRT_2) * HALF + HALF), ops.nn.gelu(x)


@composites.rule(source=GELU, numerics=ROUNDING, when=[types_agree])
def gelu_halved_and_shifted(x: Float) -> Sides:
    return x * HALF + (x * HALF) * ops.erf(x * INVERSE_SQRT_2), ops.nn.gelu(x)


@composites.rule(source=GELU, numerics=ROUNDING, when=[types_agree])
def erf_argument_divided(x: Float) -> Sides:
    return ops.erf(x / SQRT_2), ops.erf(x * INVERSE_SQRT_2)


def _tanh_argument_from_cube(x: Pattern) -> Pattern:
    return (x + ops.power(x, 3) * TANH_CUBE) * SQRT_2_OVER_PI


def _tanh_argument_from_square(x: Pattern) -> Pattern:
    return (x + (ops.square(x) * x) * TANH_CUBE) * SQRT_2_OVER_PI


@composites.rule(source=f"{GELU}, section 2", numerics=ROUNDING, when=[types_agree])
def gelu_tanh_from_cube(x: Float) -> Sides:
    return (x * HALF) * (ops.tanh(_tanh_argument_from_cube(x)) + 1), ops.nn.gelu_tanh(x)


@composites.rule(source=f"{GELU}, section 2", numerics=ROUNDING, when=[types_agree])
def gelu_tanh_from_square(x: Float) -> Sides:
    return (x * HALF) * (ops.tanh(_tanh_argument_from_square(x)) + 1), ops.nn.gelu_tanh(x)


@composites.rule(source=f"{GELU}, section 2", numerics=ROUNDING, when=[types_agree])
def gelu_tanh_halves_the_factor(x: Float) -> Sides:
    return x * ((ops.tanh(_tanh_argument_from_cube(x)) + 1) * HALF), ops.nn.gelu_tanh(x)


@composites.rule(source=f"{GELU}, section 2", numerics=ROUNDING, when=[types_agree])
def gelu_tanh_halves_the_square_factor(x: Float) -> Sides:
    return x * ((ops.tanh(_tanh_argument_from_square(x)) + 1) * HALF), ops.nn.gelu_tanh(x)


@composites.rule(source=f"{GELU}, section 2", numerics=ROUNDING, when=[types_agree])
def gelu_tanh_halves_the_product(x: Float) -> Sides:
    return (x * (ops.tanh(_tanh_argument_from_cube(x)) + 1)) * HALF, ops.nn.gelu_tanh(x)


@composites.rule(source=f"{GELU}, section 2", numerics=ROUNDING, when=[types_agree])
def gelu_tanh_halves_the_square_product(x: Float) -> Sides:
    return (x * (ops.tanh(_tanh_argument_from_square(x)) + 1)) * HALF, ops.nn.gelu_tanh(x)


# --- softmax --------------------------------------------------------------------------------

SHIFTED = "softmax is invariant under a shift of its row"


@predicate
def is_one_axis(axes: AttrValue) -> bool:
    """The reduction runs over one axis."""
    return axes is not None and len(int_tuple(axes)) == 1


def _only_axis(axes: AttrValue) -> int:
    return int_tuple(axes)[0]


@predicate
def same_axes(x: Known, first: AttrValue, second: AttrValue) -> bool:
    """Both reductions run over the same axes, however they are counted."""
    return reduced_axes(x, first) == reduced_axes(x, second)


ROW = [is_one_axis("b"), same_axes("x", "a", "b")]


@composites.rule(source=SHIFTED, numerics=ROUNDING, when=ROW)
def softmax_from_shifted_exp(x: Float, a: IntsAttr, b: IntsAttr) -> Sides:
    e = ops.exp(x - ops.max(x, axis=a, keepdims=True))
    return (
        e / ops.sum(e, axis=b, keepdims=True),
        ops.nn.softmax(x, axis=compute(_only_axis, b)),
    )


@composites.rule(source=SHIFTED, numerics=ROUNDING, when=[is_one_axis("a")])
def softmax_from_exp(x: Float, a: IntsAttr) -> Sides:
    e = ops.exp(x)
    return (
        e / ops.sum(e, axis=a, keepdims=True),
        ops.nn.softmax(x, axis=compute(_only_axis, a)),
    )


@composites.rule(source=SHIFTED, numerics=ROUNDING, when=ROW)
def log_softmax_from_shifted(x: Float, a: IntsAttr, b: IntsAttr) -> Sides:
    d = x - ops.max(x, axis=a, keepdims=True)
    return (
        d - ops.log(ops.sum(ops.exp(d), axis=b, keepdims=True)),
        ops.nn.log_softmax(x, axis=compute(_only_axis, b)),
    )


@composites.rule(source="definition of log softmax", numerics=ROUNDING)
def log_of_softmax(x: Float, a: IntAttr) -> Sides:
    return ops.log(ops.nn.softmax(x, axis=a)), ops.nn.log_softmax(x, axis=a)


# --- norms ----------------------------------------------------------------------------------


@predicate
def normalizes_trailing(x: Known, axes: AttrValue, weight: Known) -> bool:
    """The axes are the last ones, in the order and sizes of the weight's."""
    if axes is None or weight.ndim == 0:
        return False
    trailing = tuple(range(x.ndim - weight.ndim, x.ndim))
    same = equal_shapes(x.dims[x.ndim - weight.ndim :], weight.dims, x.facts) is Proof.YES
    return weight.ndim <= x.ndim and reduced_axes(x, axes) == trailing and same


def _trailing_axes(x: Known, axes: AttrValue) -> tuple[int, ...]:
    return tuple(a - x.ndim for a in reduced_axes(x, axes))


def _number(c: Known) -> float | None:
    return c.number


@predicate
def same_dims(x: Known, y: Known) -> bool:
    """Both weights have one shape."""
    return equal_shapes(x.dims, y.dims, x.facts) is Proof.YES


NORM = [
    normalizes_trailing("x", "a", "g"),
    same_axes("x", "a", "c"),
    same_dims("g", "b"),
    types_agree,
]
LAYER_NORM = "Ba, Kiros, Hinton (2016): layer normalization"


@composites.rule(source=LAYER_NORM, numerics=ROUNDING, when=NORM)
def layer_norm_from_division(
    x: Float, g: Float, b: Float, a: IntsAttr, c: IntsAttr, e: Number
) -> Sides:
    d = x - ops.mean(x, axis=a, keepdims=True)
    variance = ops.mean(ops.square(d), axis=c, keepdims=True)
    return (d / ops.sqrt(variance + e)) * g + b, _layer_norm(x, g, b, a, e)


@composites.rule(source=LAYER_NORM, numerics=ROUNDING, when=NORM)
def layer_norm_from_rsqrt(
    x: Float, g: Float, b: Float, a: IntsAttr, c: IntsAttr, e: Number
) -> Sides:
    d = x - ops.mean(x, axis=a, keepdims=True)
    variance = ops.mean(ops.square(d), axis=c, keepdims=True)
    return (d * ops.rsqrt(variance + e)) * g + b, _layer_norm(x, g, b, a, e)


@composites.rule(source=LAYER_NORM, numerics=ROUNDING, when=NORM)
def layer_norm_from_variance(
    x: Float, g: Float, b: Float, a: IntsAttr, c: IntsAttr, e: Number
) -> Sides:
    d = x - ops.mean(x, axis=a, keepdims=True)
    variance = ops.variance(x, axis=c, keepdims=True)
    return (d / ops.sqrt(variance + e)) * g + b, _layer_norm(x, g, b, a, e)


def _layer_norm(x: Pattern, g: Pattern, b: Pattern, a: IntsAttr, e: Pattern) -> Pattern:
    return ops.nn.layer_norm(
        x, g, b, axes=compute(_trailing_axes, x, a), epsilon=compute(_number, e)
    )


ROOT = [normalizes_trailing("x", "a", "w"), types_agree]
RMS_NORM = "Zhang, Sennrich (2019): root mean square layer normalization"


@composites.rule(source=RMS_NORM, numerics=ROUNDING, when=ROOT)
def rms_norm_from_rsqrt(x: Float, w: Float, a: IntsAttr, e: Number) -> Sides:
    scale = ops.rsqrt(ops.mean(ops.square(x), axis=a, keepdims=True) + e)
    return (x * scale) * w, _rms_norm(x, w, a, e)


@composites.rule(source=RMS_NORM, numerics=ROUNDING, when=ROOT)
def rms_norm_from_division(x: Float, w: Float, a: IntsAttr, e: Number) -> Sides:
    root = ops.sqrt(ops.mean(ops.square(x), axis=a, keepdims=True) + e)
    return (x / root) * w, _rms_norm(x, w, a, e)


@composites.rule(
    source=f"{RMS_NORM}; in float32 for half precision, as transformers writes it",
    numerics=ROUNDING,
    when=[*ROOT, cast_is_exact("x", "d")],
)
def rms_norm_in_wider_dtype(
    x: Float, w: Float, a: IntsAttr, d: DtypeAttr, t: DtypeAttr, e: Number
) -> Sides:
    h = ops.astype(x, dtype=d)
    scale = ops.rsqrt(ops.mean(ops.square(h), axis=a, keepdims=True) + e)
    return ops.astype(h * scale, dtype=t) * w, _rms_norm(x, w, a, e)


def _rms_norm(x: Pattern, w: Pattern, a: IntsAttr, e: Pattern) -> Pattern:
    return ops.nn.rms_norm(x, w, axes=compute(_trailing_axes, x, a), epsilon=compute(_number, e))


# --- expansions -----------------------------------------------------------------------------


def channel_dims(x: Known, gamma: Known, axis: AttrValue) -> Shape:
    """Return the shape that puts a vector of channels on `axis` of x."""
    (a,) = int_tuple(axis)
    return tuple(gamma.dims[0] if i == a % x.ndim else 1 for i in range(x.ndim))


def other_axes(x: Known, axis: AttrValue) -> tuple[int, ...]:
    """Return the axes of x but this one."""
    (a,) = int_tuple(axis)
    return tuple(i for i in range(x.ndim) if i != a % x.ndim)


def _float(e: float) -> float:
    return float(e)


def _rest(t: float) -> float:
    return 1.0 - float(t)


GROUP_NORM = "Wu, He (2018): group normalization, as torch exports it"


@predicate
def splits_channels(x: Known, split: Shape, axes: AttrValue) -> bool:
    """Images of x come apart into groups of channels, and each group is normalized as a whole."""
    if len(split) < 3 or int_tuple(axes) != tuple(range(2, len(split))):
        return False
    channels, groups = x.dims[1], split[1]
    if not isinstance(channels, int) or not isinstance(groups, int) or groups < 1:
        return False
    return channels % groups == 0 and x.proves(Equal(x.dims[0], split[0]))


@predicate
def is_shape_of(shape: Shape, x: Known) -> bool:
    """A reshape leads back to the shape of x."""
    return equal_shapes(shape, x.dims, x.facts) is Proof.YES


def _groups(split: Shape) -> AttrValue:
    return split[1]


def _channels(x: Known) -> Shape:
    return (x.dims[1],)


def _column(u: Known) -> Shape:
    return (*u.dims, 1)


def _of_groups(x: Known, u: Known) -> Shape:
    return (*u.dims, x.dims[1] // u.dims[0])


@composites.rule(
    source=GROUP_NORM,
    numerics=ROUNDING,
    when=[
        splits_channels("x", "s", "a"),
        is_shape_of("t", "x"),
    ],
)
def group_norm_from_instance_norm(
    x: Images, u: PerGroup, z: PerGroup, w: PerChannel, b: PerChannel,
    s: Dims, t: Dims, a: IntsAttr, e: FloatAttr,
) -> Sides:  # fmt: skip
    def each(v: Pattern) -> Pattern:
        whole = compute(_of_groups, x, u)
        repeated = ops.broadcast_to(ops.reshape(v, compute(_column, u)), whole)
        return ops.reshape(repeated, compute(_channels, x))

    own = {"epsilon": e, "center": True, "scale": True}
    normal = ops.nn.instance_norm(ops.reshape(x, s), u, z, channel_axis=1, axes=a, **own)
    scale, shift = (ops.reshape(v, compute(_channels, x)) for v in (w, b))
    return ops.reshape(normal, t) * w + b, ops.nn.group_norm(
        x,
        scale * each(u),
        shift + scale * each(z),
        num_groups=compute(_groups, s),
        channel_axis=1,
        axes=(2, 3),
        **own,
    )


BATCH_NORM = "Ioffe, Szegedy (2015): batch normalization"


def _batch_norm(
    operands: Sequence[Pattern], a: IntAttr, e: FloatAttr, t: FloatAttr, *, training: bool
) -> Pattern:
    return ops.nn.batch_norm(
        *operands, axis=a, epsilon=e, center=True, scale=True, momentum=t, training=training
    )


@composites.rule(source=f"{BATCH_NORM}, at inference", numerics=ROUNDING)
def batch_norm_is_scale_and_shift(
    x: Float, g: Vector, b: Vector, m: Vector, v: Vector, a: IntAttr, e: FloatAttr, t: FloatAttr
) -> Sides:
    scale = g * ops.rsqrt(v + compute(_float, e))
    shift = b - m * scale
    shape = compute(channel_dims, x, g, a)
    normal = _batch_norm((x, g, b, m, v), a, e, t, training=False)
    return normal[0], x * ops.reshape(scale, shape) + ops.reshape(shift, shape)


@composites.rule(source=f"{BATCH_NORM}, at inference")
def batch_norm_keeps_mean(
    x: Float, g: Vector, b: Vector, m: Vector, v: Vector, a: IntAttr, e: FloatAttr, t: FloatAttr
) -> Sides:
    return _batch_norm((x, g, b, m, v), a, e, t, training=False)[1], m


@composites.rule(source=f"{BATCH_NORM}, at inference")
def batch_norm_keeps_variance(
    x: Float, g: Vector, b: Vector, m: Vector, v: Vector, a: IntAttr, e: FloatAttr, t: FloatAttr
) -> Sides:
    return _batch_norm((x, g, b, m, v), a, e, t, training=False)[2], v


@composites.rule(source=f"{BATCH_NORM}, in training", numerics=ROUNDING)
def batch_norm_uses_statistics_of_batch(
    x: Float, g: Vector, b: Vector, m: Vector, v: Vector, a: IntAttr, e: FloatAttr, t: FloatAttr
) -> Sides:
    axes, shape = compute(other_axes, x, a), compute(channel_dims, x, g, a)
    mean, variance = ops.mean(x, axis=axes), ops.variance(x, axis=axes)
    normal = _batch_norm((x, g, b, m, v), a, e, t, training=True)
    # The mean is taken off first: where the batch hardly varies, the scale is large.
    centered = x - ops.reshape(mean, shape)
    scaled = centered * ops.rsqrt(ops.reshape(variance, shape) + compute(_float, e))
    return normal[0], scaled * ops.reshape(g, shape) + ops.reshape(b, shape)


@composites.rule(source=f"{BATCH_NORM}, in training", numerics=ROUNDING)
def batch_norm_moves_mean(
    x: Float, g: Vector, b: Vector, m: Vector, v: Vector, a: IntAttr, e: FloatAttr, t: FloatAttr
) -> Sides:
    mean = ops.mean(x, axis=compute(other_axes, x, a))
    normal = _batch_norm((x, g, b, m, v), a, e, t, training=True)
    return normal[1], m * compute(_rest, t) + mean * compute(_float, t)


@composites.rule(source=f"{BATCH_NORM}, in training", numerics=ROUNDING)
def batch_norm_moves_variance(
    x: Float, g: Vector, b: Vector, m: Vector, v: Vector, a: IntAttr, e: FloatAttr, t: FloatAttr
) -> Sides:
    variance = ops.variance(x, axis=compute(other_axes, x, a))
    normal = _batch_norm((x, g, b, m, v), a, e, t, training=True)
    return normal[2], v * compute(_rest, t) + variance * compute(_float, t)
