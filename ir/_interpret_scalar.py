"""What scalar operations mean, on NumPy scalars and arrays alike."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from eqsat.ir._tir import BinaryOp
from eqsat.shapes import EqsatError, convert, dtype_name, numpy_dtype, wide_dtype


def _erf(x: Any) -> Any:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64)


def _unsigned(x: Any) -> Any:
    x = np.asarray(x)
    return x.view(f"u{x.dtype.itemsize}")


def _leading_zeros(x: Any) -> Any:
    x = _unsigned(x)
    lengths = np.frompyfunc(lambda n: int(n).bit_length(), 1, 1)(x)
    return 8 * x.dtype.itemsize - np.asarray(lengths, np.int32)


INTRINSICS: Mapping[str, Callable[..., Any]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "atanh": np.arctanh,
    "bitwise_not": np.invert,
    "ceil": np.ceil,
    "clz": _leading_zeros,
    "copysign": np.copysign,
    "cos": np.cos,
    "cosh": np.cosh,
    "erf": _erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "exp10": lambda x: np.power(10.0, x),
    "expm1": np.expm1,
    "fabs": np.abs,
    "floor": np.floor,
    "fma": lambda a, b, c: a * b + c,
    "fmod": np.fmod,
    "hypot": np.hypot,
    "ignore_loop_partition": np.asarray,
    "assume": np.asarray,
    "isfinite": np.isfinite,
    "isinf": np.isinf,
    "isnan": np.isnan,
    "ldexp": np.ldexp,
    "likely": np.asarray,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "nearbyint": np.rint,
    "nextafter": np.nextafter,
    "popcount": lambda x: np.bitwise_count(_unsigned(x)),
    "pow": np.power,
    "power": np.power,
    "round": np.rint,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
    "tvm_thread_invariant": np.asarray,
    "truncmod": np.fmod,
}


def is_scalar_function(name: str) -> bool:
    """Say whether `apply_intrinsic` knows the function of an `Intrinsic`."""
    return name in INTRINSICS or name == "reinterpret"


def apply_intrinsic(name: str, args: list[Any], dtype: str) -> Any:
    """Return the scalar function `name` of `args` in `dtype`; narrow ones are computed wide."""
    if name == "reinterpret":
        return np.asarray(args[0]).view(numpy_dtype(dtype))
    function = INTRINSICS.get(name)
    if function is None:
        raise EqsatError(
            f"the interpreter knows no intrinsic {name!r}; it knows {', '.join(INTRINSICS)}"
        )
    if name != "nextafter":
        args = [_wide(np.asarray(a)) for a in args]
    return convert(np.asarray(function(*args)), dtype)


def _wide(x: Any) -> Any:
    return convert(x, wide_dtype(dtype_name(x.dtype)))


def apply_cast(value: Any, dtype: str) -> Any:
    """Return `value` converted as C does: floats truncate towards zero, anything but 0 is true."""
    return convert(np.asarray(value), dtype)


# Integers by 0 give 0, the least one by -1 wraps: as in NumPy.
def _divide(a: Any, b: Any) -> Any:
    return a / b if a.dtype.kind not in "iu" else np.floor_divide(a - np.fmod(a, b), b)


def _floor_divide(a: Any, b: Any) -> Any:
    return np.floor(a / b) if a.dtype.kind not in "iu" else np.floor_divide(a, b)


_BINARY: Mapping[BinaryOp, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _divide,
    "//": _floor_divide,
    "%": np.mod,
    "min": np.minimum,
    "max": np.maximum,
    "pow": np.power,
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "&": np.bitwise_and,
    "|": np.bitwise_or,
    "^": np.bitwise_xor,
    "<<": np.left_shift,
    ">>": np.right_shift,
}


def apply_binary(op: BinaryOp, a: Any, b: Any) -> Any:
    """Return `a op b`; narrow ones are computed wide."""
    a, b = np.asarray(a), np.asarray(b)
    result = np.asarray(_BINARY[op](_wide(a), _wide(b)))
    return result if result.dtype == np.bool_ else result.astype(a.dtype, copy=False)
