"""Evaluates built terms with the operators' NumPy references, exactly wherever possible."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from fractions import Fraction
from random import Random
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import AttrValue, Numerics, TensorType, op
from eqsat.rules._resolve import (
    Bindings,
    Built,
    BuiltField,
    BuiltNumber,
    BuiltOp,
    BuiltShape,
    BuiltVar,
)
from eqsat.rules._rule import Accuracy
from eqsat.shapes import (
    dtype_name,
    is_bool,
    is_float,
    is_int,
    machine_epsilon,
    max_value,
    min_value,
    numpy_dtype,
)

Array = NDArray[Any]


class Arithmetic(Enum):
    """How the sides are compared. Zeros of either sign are equal, NaN equals NaN."""

    DYADIC = "dyadic values, bit-equal"  # small multiples of 1/2: sums and products are exact
    SIGNIFICANDS = "full significands, bit-equal"
    SPECIAL = "with NaN, infinities, signed zeros and huge values, bit-equal"
    WRAPPING = "integers up to the limits of their dtype, bit-equal"
    FRACTIONS = "fractions, equal"
    BOUNDED = "floats of the rule's domain, to its stated accuracy"
    ROUNDED = "floats, to 1e-9 (float32: 1e-4, float16: 2e-2) of the largest value"


# Library products sum in an order of their own, which says nothing about ours: where a rule claims
# equal bits, these sum one product after the other, and those of convolutions are not compared.
PRODUCTS = frozenset(("matmul", "linear"))
ORDERED_BY_LIBRARY = frozenset(("einsum", "nn.conv1d", "nn.conv2d"))

POLYNOMIAL = frozenset(
    (
        *("add", "subtract", "multiply", "negative", "square", "matmul", "linear", "sum"),
        *("max", "min", "maximum", "minimum", "abs", "where", "clip", "astype", "take"),
        *("nn.conv3d", "nn.conv2d_transpose"),
        *("nn.conv2d", "nn.conv1d", "nn.relu", "nn.relu6", "nn.max_pool2d", "nn.pad"),
        *("reshape", "permute_dims", "broadcast_to", "expand_dims", "squeeze", "flatten"),
        *("concat", "split", "strided_slice", "logical_not", "logical_and", "logical_or"),
    )
)
RATIONAL = POLYNOMIAL | {"divide", "mean", "nn.adaptive_avg_pool2d"}


def arithmetic_of(
    numerics: Numerics, terms: Iterable[Built], bindings: Bindings
) -> tuple[Arithmetic, ...]:
    """Return the arithmetics to compare in, the strictest that the claim and operators allow."""
    if numerics is Numerics.APPROXIMATE:
        return (Arithmetic.BOUNDED,)
    used = {o for t in terms for o in _operators(t)}
    dtypes = {t.dtype for t in bindings.types.values()}
    floats = any(map(is_float, dtypes))
    if not floats:
        wraps = any(map(is_int, dtypes)) and numerics is not Numerics.ROUNDING
        return (Arithmetic.DYADIC, Arithmetic.WRAPPING) if wraps else (Arithmetic.DYADIC,)
    if numerics is Numerics.EXACT:
        if used & ORDERED_BY_LIBRARY:
            return (Arithmetic.DYADIC,)
        return (Arithmetic.DYADIC, Arithmetic.SIGNIFICANDS, Arithmetic.SPECIAL)
    dyadic = all(n * 64 % 1 == 0 for n in bindings.numbers.values())
    narrow = not dtypes.isdisjoint(("float16", "bfloat16"))  # few digits: no sum is exact
    if used <= POLYNOMIAL and dyadic and not narrow:
        return (Arithmetic.DYADIC,)
    if used <= RATIONAL and not narrow:
        return (Arithmetic.FRACTIONS, Arithmetic.ROUNDED)
    return (Arithmetic.ROUNDED,)


def _operators(term: Built) -> Iterator[str]:
    match term:
        case BuiltOp():
            yield term.op
            for operand in term.operands:
                for part in operand if isinstance(operand, tuple) else (operand,):
                    if isinstance(part, (BuiltVar, BuiltNumber, BuiltOp, BuiltField)):
                        yield from _operators(part)
        case BuiltField():
            yield from _operators(term.tuple_value)
        case BuiltVar() | BuiltNumber():
            pass


SPECIAL_VALUES = (np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, -0.0)


class Draw:
    """Draws tensor values for an arithmetic; about half the time only positive ones."""

    def __init__(
        self,
        rng: Random,
        arithmetic: Arithmetic,
        accuracy: Accuracy | None = None,
        *,
        has_steps: bool = False,
    ) -> None:
        self.rng = rng
        self.arithmetic = arithmetic
        self.accuracy = accuracy
        self.fills = has_steps and rng.random() < 0.25
        self.low = rng.choice((-4, 1))

    def values(self, ty: TensorType, number: float | None) -> Array:
        """Return an array of the type; all elements are `number` where that is given."""
        shape = tuple(d for d in ty.dims if isinstance(d, int))
        count = math.prod(shape)
        if number is not None:
            flat: list[Any] = [number] * count
        else:
            flat = self._values(ty.dtype, count)
        if is_float(ty.dtype) and self.arithmetic is Arithmetic.FRACTIONS:
            return _objects([_fraction(v) for v in flat]).reshape(shape)
        return np.array(flat, numpy_dtype(ty.dtype)).reshape(shape)

    def _values(self, dtype: str, count: int) -> list[Any]:
        if self.fills and is_int(dtype):
            ends = (int(min_value(dtype)), int(max_value(dtype)))
            mixed = self.rng.random() < 0.25
            return self.rng.choices(ends, k=count) if mixed else [self.rng.choice(ends)] * count
        return [self._value(dtype) for _ in range(count)]

    def _value(self, dtype: str) -> float | int | bool:
        if is_bool(dtype):
            return self.rng.random() < 0.5
        if not is_float(dtype):
            return self._integer(dtype)
        match self.arithmetic:
            case Arithmetic.BOUNDED:
                return self._in_domain()
            case Arithmetic.SPECIAL if self.rng.random() < 0.3:
                value = self.rng.choice(SPECIAL_VALUES)
                return value if dtype != "float16" or abs(value) != 1e30 else value / 1e26
            case Arithmetic.ROUNDED if self.rng.random() < 0.1:
                return float(self.rng.randint(max(self.low, -2), 2))
            case Arithmetic.ROUNDED | Arithmetic.SIGNIFICANDS:
                return self.rng.uniform(min(self.low, 0.25), 3)
            case _:
                return self.rng.randint(2 * self.low, 8) / 2

    def _in_domain(self) -> float:
        """Return a value of the rule's domain: its ends, anywhere, or near to zero."""
        assert self.accuracy is not None
        low, high = self.accuracy.low, self.accuracy.high
        kind = self.rng.random()
        if kind < 0.1:
            return self.rng.choice((low, high))
        if kind < 0.4:
            return self.rng.uniform(low, high)
        return self.rng.uniform(max(low, -4.0), min(high, 4.0))

    def _integer(self, dtype: str) -> int:
        lowest, highest = int(min_value(dtype)), int(max_value(dtype))
        if self.arithmetic is Arithmetic.WRAPPING and self.rng.random() < 0.4:
            return self.rng.choice((lowest, lowest + 1, highest, highest - 1, highest // 2 + 1))
        return self.rng.randint(max(self.low, lowest), 5)


def _fraction(value: float) -> Fraction:
    return Fraction(value).limit_denominator(1 << 20)


def _objects(items: list[Any]) -> Array:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def has_steps(terms: Iterable[Built]) -> bool:
    """Return whether integers stand for evenly spaced floats, over the whole range of a dtype."""
    return any(o in ("quantize", "dequantize") for t in terms for o in _operators(t))


def _in_order(operands: list[Any], attrs: Mapping[str, AttrValue], *, is_linear: bool) -> Array:
    """Return a matmul or a linear layer, every sum from the first product to the last."""
    x, w, *bias = operands
    if attrs["out_dtype"] is not None:
        raise TypeError("the order of sums in another dtype is not stated")
    w = w.T if is_linear else w
    a, b = np.atleast_2d(x), w if w.ndim > 1 else w[:, None]
    total = a[..., :, :0] @ b[..., :0, :]
    for k in range(a.shape[-1]):
        total = total + a[..., :, k, None] * b[..., k, None, :]
    total = total[..., 0] if w.ndim == 1 else total
    if x.ndim == 1:
        total = total[..., 0] if w.ndim == 1 else total[..., 0, :]
    return total if not bias or bias[0] is None else total + bias[0]


def evaluate(term: Built, env: Mapping[str, Array], arithmetic: Arithmetic) -> Array:
    """Return the value of a tensor-typed term."""
    with np.errstate(all="ignore"):
        value = _evaluate(term, env, arithmetic)
    assert not isinstance(value, tuple)
    return value


def _evaluate(term: Built, env: Mapping[str, Array], arithmetic: Arithmetic) -> Any:
    match term:
        case BuiltVar(name):
            return env[name]
        case BuiltNumber(value):
            if arithmetic is Arithmetic.FRACTIONS:
                return _objects([_fraction(float(value))]).reshape(())
            return value
        case BuiltField():
            return _evaluate(term.tuple_value, env, arithmetic)[term.index]
        case BuiltOp():
            operands = [_operand(o, env, arithmetic) for o in term.operands]
            if term.op in PRODUCTS and arithmetic in (Arithmetic.SIGNIFICANDS, Arithmetic.SPECIAL):
                return _in_order(operands, term.attrs, is_linear=term.op == "linear")
            result: Any = op(term.op).reference(*operands, **term.attrs)
            return np.asarray(result) if not isinstance(result, tuple) else cast(Any, result)


def _operand(
    operand: Built | tuple[Built, ...] | BuiltShape | None,
    env: Mapping[str, Array],
    arithmetic: Arithmetic,
) -> Any:
    match operand:
        case None:
            return None
        case BuiltShape(dims):
            return dims
        case tuple():
            return [_evaluate(each, env, arithmetic) for each in operand]
        case _:
            return _evaluate(operand, env, arithmetic)


def within_bound(left: Array, right: Array, size: Array, accuracy: Accuracy) -> bool:
    """Return whether `right` is as near to `left` as promised; `size` is L of `Accuracy`.

    The rounding of the dtype itself comes on top.
    """
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    a, b, scale = (v.astype(np.float64) for v in (left, right, np.abs(size)))
    rounding = 16 * machine_epsilon(dtype_name(left.dtype)) * np.maximum(scale, np.abs(a))
    bound = accuracy.absolute + accuracy.relative * scale + rounding
    return bool(np.all((np.abs(a - b) <= bound) | (a == b)))


def same_values(a: Array, b: Array, arithmetic: Arithmetic) -> bool:
    """Return whether two results are the same in the sense of the arithmetic."""
    if a.shape != b.shape:
        return False
    if arithmetic is not Arithmetic.ROUNDED or a.dtype.kind not in "fcV":
        if a.dtype == object or b.dtype == object:
            return bool(np.all((a == b) | ((a != a) & (b != b))))  # NaN
        return a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    tolerance = {2: 2e-2, 4: 1e-4}.get(a.dtype.itemsize, 1e-9)
    finite = np.abs(a[np.isfinite(a)])
    scale = float(finite.max(initial=1.0))
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True))
