"""Evaluates built terms with the operators' NumPy references, exactly wherever possible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from fractions import Fraction
from random import Random
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import Numerics, TensorType, op
from eqsat.rules._resolve import (
    Bindings,
    Built,
    BuiltField,
    BuiltNumber,
    BuiltOp,
    BuiltShape,
    BuiltVar,
)
from eqsat.shapes import is_bool, is_float, numpy_dtype

Array = NDArray[Any]


class Arithmetic(Enum):
    """How the sides are compared."""

    DYADIC = "dyadic values, bit-equal"  # small multiples of 1/2: sums and products are exact
    SPECIAL = "with NaN, infinities and huge values, bit-equal"
    FRACTIONS = "fractions, equal"
    ROUNDED = "floats, to 1e-9 (float32: 1e-4) of the largest value"


POLYNOMIAL = frozenset(
    (
        *("add", "subtract", "multiply", "negative", "square", "matmul", "linear", "sum"),
        *("max", "min", "maximum", "minimum", "abs", "where", "clip", "astype", "take"),
        *("nn.conv2d", "nn.conv1d", "nn.relu", "nn.relu6", "nn.max_pool2d", "nn.pad"),
        *("reshape", "permute_dims", "broadcast_to", "expand_dims", "squeeze", "flatten"),
        *("concat", "split", "strided_slice", "logical_not", "logical_and", "logical_or"),
    )
)
RATIONAL = POLYNOMIAL | {"divide", "mean", "nn.adaptive_avg_pool2d"}
POINTWISE_OR_VIEW = POLYNOMIAL - {"matmul", "sum", "nn.conv2d", "nn.conv1d", "linear"}


def arithmetic_of(
    numerics: Numerics, terms: Iterable[Built], bindings: Bindings
) -> tuple[Arithmetic, ...]:
    """Return the arithmetics to compare in, the strictest that the operators allow."""
    used = {o for t in terms for o in _operators(t)}
    floats = any(is_float(t.dtype) for t in bindings.types.values())
    dyadic = all(n * 64 == int(n * 64) for n in bindings.numbers.values())
    if not floats or (used <= POLYNOMIAL and dyadic):
        special = floats and numerics is Numerics.EXACT and used <= POINTWISE_OR_VIEW
        return (Arithmetic.DYADIC, Arithmetic.SPECIAL) if special else (Arithmetic.DYADIC,)
    if numerics is Numerics.EXACT:
        return (Arithmetic.DYADIC, Arithmetic.SPECIAL)
    if used <= RATIONAL:
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


class Draw:
    """Draws tensor values for an arithmetic; about half the time only positive ones."""

    def __init__(self, rng: Random, arithmetic: Arithmetic) -> None:
        self.rng = rng
        self.arithmetic = arithmetic
        self.low = rng.choice((-4, 1))

    def values(self, ty: TensorType, number: float | None) -> Array:
        """Return an array of the type; all elements are `number` where that is given."""
        shape = tuple(d for d in ty.dims if isinstance(d, int))
        count = int(np.prod(shape, dtype=int))
        if number is not None:
            flat: list[Any] = [number] * count
        else:
            flat = [self._value(ty.dtype) for _ in range(count)]
        if self.arithmetic is Arithmetic.FRACTIONS and is_float(ty.dtype):
            exact = np.empty(count, object)
            exact[:] = [Fraction(v).limit_denominator(1 << 20) for v in flat]
            return exact.reshape(shape)
        return np.array(flat, numpy_dtype(ty.dtype)).reshape(shape)

    def _value(self, dtype: str) -> float | int | bool:
        if is_bool(dtype):
            return self.rng.random() < 0.5
        if not is_float(dtype):
            return self.rng.randint(self.low, 5)
        if self.arithmetic is Arithmetic.SPECIAL and self.rng.random() < 0.3:
            return self.rng.choice((np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0))
        if self.arithmetic is Arithmetic.ROUNDED:
            return self.rng.uniform(min(self.low, 0.25), 3)
        return self.rng.randint(2 * self.low, 8) / 2


def evaluate(term: Built, env: Mapping[str, Array], arithmetic: Arithmetic) -> Array:
    """Return the value of a tensor-typed term."""
    value = _evaluate(term, env, arithmetic)
    assert not isinstance(value, tuple)
    return value


def _evaluate(term: Built, env: Mapping[str, Array], arithmetic: Arithmetic) -> Any:
    match term:
        case BuiltVar(name):
            return env[name]
        case BuiltNumber(value):
            if arithmetic is Arithmetic.FRACTIONS:
                exact = np.empty((), object)
                exact[()] = Fraction(float(value)).limit_denominator(1 << 20)
                return exact
            return value
        case BuiltField():
            return _evaluate(term.tuple_value, env, arithmetic)[term.index]
        case BuiltOp():
            operands = [_operand(o, env, arithmetic) for o in term.operands]
            with np.errstate(all="ignore"):
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


def same_values(a: Array, b: Array, arithmetic: Arithmetic) -> bool:
    """Return whether two results are the same in the sense of the arithmetic."""
    if a.shape != b.shape:
        return False
    if arithmetic is not Arithmetic.ROUNDED or a.dtype.kind not in "fc":
        if a.dtype == object or b.dtype == object:
            return bool(np.all(a == b))
        return a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    tolerance = 1e-4 if a.dtype.itemsize < 8 else 1e-9
    finite = np.abs(a[np.isfinite(a)])
    scale = float(finite.max(initial=1.0))
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True))
