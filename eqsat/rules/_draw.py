"""Random sizes, shapes and attribute values, with the awkward cases on purpose."""

from __future__ import annotations

import math
from random import Random

from eqsat.ir import AttrKind, AttrValue, TensorType, TupleType, Type
from eqsat.shapes import Dim, is_bool, is_float, max_value, min_value

SIZES = (1, 2, 3, 4, 2, 3)
DTYPES = ("float32", "float64", "float64", "float32", "int64", "int32", "bool")
NARROW = ("float16", "int8", "uint8")
OPERAND_DTYPES = ("float64",) * 8 + (
    "float32",
    "float16",
    "int64",
    "int32",
    "int8",
    "uint8",
    "bool",
)
FLOATS = ("float64",) * 5 + ("float32", "float32", "float16")
INTEGERS = ("int64", "int32", "int64", "int8", "uint8", "int16")
LONG = 200_000  # so many products of bytes overflow 32 bits
CHOICES: dict[str, tuple[AttrValue, ...]] = {
    "strides": ((1, 1), (1, 1), (2, 1), (2, 2), 1),
    "dilation": ((1, 1), (1, 1), (2, 1), (2, 2), 1),
    "pool_size": ((1, 1), (2, 2), (3, 2), 2),
    "padding": (
        *((0, 0, 0, 0), (0, 0, 0, 0), (1, 1, 1, 1), (1, 0, 0, 2), (2, 0, 2, 0)),
        *(0, 1, (1, 0)),
    ),
    "groups": (1, 1, 2, 3),
    "layout": ("NCHW", "NHWC"),
    "data_layout": ("NCHW", "NHWC"),
    "kernel_layout": ("OIHW", "OIHW", "HWIO"),
    "out_layout": ("NCHW", "NCHW", None, "NHWC"),
    "epsilon": (1e-5, 0.5),
    "min": (0, 0.0, 0.0, -1.0, 2.0),
    "max": (6, 6.0, 1.0, float("inf"), float("inf"), -0.5),
    "start": (0, 0, 1, 2, -1),
    "mode": ("fast", "fast", "wrap", "clip"),
    "output_padding": ((0, 0), (0, 0), (1, 0), (1, 1)),
    "method": ("nearest_neighbor", "nearest_neighbor", "linear", "cubic"),
    "coordinate_transformation_mode": ("half_pixel", "align_corners", "asymmetric"),
    "rounding_method": ("round", "floor", "ceil"),
    "output_size": (1, (1, 1), (1, 1), (2, 1)),
}
# Numbers that stand in these operands have dtypes and values of their own.
POSITIONS = tuple(float(i) for i in range(-2, 4))
ZERO_POINTS = (0.0, 0.0, 3.0, -2.0, 100.0, 200.0, 32767.0, 1e9)
SCALES = (0.5, 0.1, 2.0, 0.03125, -0.5, 0.0)
ROLES: dict[tuple[str, int], tuple[tuple[str, ...], tuple[float, ...]]] = {
    ("take", 1): (("int64", "int32"), POSITIONS),
    ("quantize", 1): (("float32",), SCALES),
    ("dequantize", 1): (("float32",), SCALES),
    ("quantize", 2): (("int8", "uint8", "int32"), ZERO_POINTS),
    ("dequantize", 2): (("int8", "uint8", "int32"), ZERO_POINTS),
}
"""(operator, operand) → the dtypes and the values of a number there."""


def over_axes(operator: str, value: AttrValue) -> AttrValue:
    """Return what stands for two axes and four sides for the axes that the operator has."""
    line, volume = ("1d" in operator, "3d" in operator)
    if isinstance(value, str) and (line or volume):
        return None
    if not isinstance(value, tuple) or not (line or volume):
        return value
    first, second = value[: len(value) // 2], value[len(value) // 2 :]
    if len(value) == 2:
        return first if line else (*value, *second)
    return (first[0], second[0]) if line else (*first, first[0], *second, second[0])


def size(rng: Random) -> int:
    """Return a small size."""
    return rng.choice(SIZES)


def held_by(value: float, dtype: str) -> float:
    """Return the number, or one near it that `dtype` can hold."""
    if is_bool(dtype):
        return float(bool(value))
    if is_float(dtype):
        return value
    if value % 1 != 0:
        return 2.0
    return min(max(value, float(min_value(dtype))), float(max_value(dtype)))


def broadcast_target(rng: Random, dims: tuple[int, ...], base: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape that `dims` broadcasts to, often `base`."""
    if rng.random() < 0.2:
        return dims
    if len(base) >= len(dims) and rng.random() < 0.7:
        return base
    grown = tuple(size(rng) if d == 1 and rng.random() < 0.5 else d for d in dims)
    return (*(rng.choice(((), (2,), (1,), (3, 1)))), *grown)


def full_target(rng: Random, base: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape to fill with a number: any, or that of a kernel with one input channel."""
    if rng.random() < 0.3:
        return base
    return (rng.choice((1, 2, 3)), 1, rng.choice((1, 2)), rng.choice((1, 2)))


def resize_target(rng: Random, dims: tuple[int, ...]) -> tuple[int, ...]:
    """Return a height and width for images of NCHW, one of them often as it is."""
    return tuple(d if d and rng.random() < 0.5 else size(rng) for d in dims[-2:])


def reshape_target(rng: Random, dims: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape of as many elements: the same, merged, shuffled or with ones."""
    kind = rng.random()
    if 0 in dims and kind < 0.5:
        return (rng.choice((0, *SIZES)), 0)
    if kind < 0.15:
        return dims
    if kind < 0.3:
        return (*(1,) * rng.randint(1, 2), *dims)
    if kind < 0.5 and len(dims) >= 2:
        return (math.prod(dims[:-1]), dims[-1])
    if kind < 0.65 and len(dims) >= 2:
        return (*dims[:-2], dims[-2] * dims[-1])
    if kind < 0.8:
        merged = list(dims)
        rng.shuffle(merged)
        return tuple(merged)
    return (math.prod(dims),)


def by_kind(rng: Random, kind: AttrKind) -> AttrValue:
    """Return a value for an attribute of which nothing but its kind is known."""
    match kind:
        case "bool":
            return rng.random() < 0.5
        case "int":
            return rng.choice((0, 1, 2))
        case "float":
            return rng.choice((0.1, 0.5, 1.0))
        case _:
            return None


def permutation(rng: Random, rank: int) -> AttrValue:
    """Return a permutation: often of the last two axes or none, some axes negative."""
    kind = rng.random()
    axes = list(range(rank))
    if kind < 0.1:
        return None
    if kind < 0.4 and rank >= 2:
        axes[-2:] = axes[:-3:-1]
    elif kind < 0.85:
        rng.shuffle(axes)
    return tuple(a - rank if rng.random() < 0.2 else a for a in axes)


def axes(rng: Random, name: str, rank: int, dims: tuple[int, ...]) -> AttrValue:
    """Return axes of a reduction, expand_dims or squeeze: often trailing, some negative."""
    if name == "expand_dims":
        return (rng.randrange(-rank - 1, rank + 1),)
    if name == "squeeze":
        units = [a for a in range(rank) if dims[a] == 1]
        return tuple(rng.sample(units, rng.randint(1, len(units)))) if units else None
    if rng.random() < 0.1 or rank == 0:
        return None
    if rng.random() < 0.45:
        count = rng.choice((1, 1, rng.randint(1, rank)))
        chosen = list(range(rank - count, rank))
    else:
        chosen = rng.sample(range(rank), rng.randint(1, rank))
    return tuple(a - rank if rng.random() < 0.4 else a for a in chosen)


def repeats(rng: Random, rank: int) -> AttrValue:
    """Return how often each of the last axes is repeated: often once, now and then one more."""
    count = rng.choice((rank, rank, max(rank - 1, 0), rank + 1))
    return tuple(rng.choice((1, 1, 1, 2)) for _ in range(count))


def pad_width(rng: Random, rank: int) -> AttrValue:
    """Return padding, often none or only on the last two of four axes."""
    if rng.random() < 0.3:
        return (0,) * (2 * rank)
    quiet = 4 if rank == 4 and rng.random() < 0.8 else 0
    return (*(0,) * quiet, *(rng.choice((0, 1, 2)) for _ in range(2 * rank - quiet)))


def subscripts(rng: Random, operands: Type) -> AttrValue:
    """Return what `einsum` may do with tensors: most axes of one size are shared."""
    assert isinstance(operands, TupleType)
    letters = iter("abcdefghijklmnop")
    sizes: dict[str, Dim] = {}
    terms: list[str] = []
    for each in operands.fields:
        assert isinstance(each, TensorType)
        term = ""
        for d in each.dims:
            same = [c for c in sizes if sizes[c] == d and (c not in term or rng.random() < 0.05)]
            term += rng.choice(same) if same and rng.random() < 0.7 else next(letters)
            sizes[term[-1]] = d
        terms.append(term)
    shared = [c for c in sizes if all(c in t for t in terms)]
    kept = [c for c in sizes if rng.random() < (0.5 if c in shared else 0.98)]
    rng.shuffle(kept)
    return ",".join(terms) + (f"->{''.join(kept)}" if rng.random() < 0.9 else "")


CUTS = frozenset(
    (
        *(("strided_slice", name) for name in ("begin", "end", "strides")),
        *(("slice_scatter", name) for name in ("start", "end", "step")),
    )
)
"""(operator, attribute) of what is drawn with the sizes of the tensor in view."""

BY_RANK = {"pad_width": pad_width, "repeats": repeats}
"""Attributes that are drawn from the rank alone."""
