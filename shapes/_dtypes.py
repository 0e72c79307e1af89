"""Dtypes by the names TVM gives them, and what they can hold."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from eqsat.shapes._errors import ShapeError

DtypeKind: TypeAlias = Literal["bool", "int", "uint", "float"]


@dataclass(frozen=True, slots=True)
class _Dtype:
    kind: DtypeKind
    bits: int


_DTYPES: dict[str, _Dtype] = {
    "bool": _Dtype("bool", 8),
    **{f"int{bits}": _Dtype("int", bits) for bits in (2, 4, 8, 16, 32, 64)},
    **{f"uint{bits}": _Dtype("uint", bits) for bits in (2, 4, 8, 16, 32, 64)},
    **{f"float{bits}": _Dtype("float", bits) for bits in (16, 32, 64)},
    "bfloat16": _Dtype("float", 16),
    "float8_e3m4": _Dtype("float", 8),
    "float8_e4m3": _Dtype("float", 8),
    "float8_e4m3b11fnuz": _Dtype("float", 8),
    "float8_e4m3fn": _Dtype("float", 8),
    "float8_e4m3fnuz": _Dtype("float", 8),
    "float8_e5m2": _Dtype("float", 8),
    "float8_e5m2fnuz": _Dtype("float", 8),
    "float8_e8m0fnu": _Dtype("float", 8),
    "float6_e2m3fn": _Dtype("float", 6),
    "float6_e3m2fn": _Dtype("float", 6),
    "float4_e2m1fn": _Dtype("float", 4),
}
DTYPES: tuple[str, ...] = tuple(_DTYPES)
"""Every dtype name that is understood."""

UNKNOWN_DTYPE = "void"  # TVM's spelling of "any dtype", which is none of them

_NUMPY = frozenset(
    ["bool", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


def _lookup(name: str) -> _Dtype:
    found = _DTYPES.get(name)
    if name == UNKNOWN_DTYPE:
        raise ShapeError(
            "the dtype is not known, and is needed here; annotate it where the tensor comes from: "
            'R.Tensor((16,), "float32")'
        )
    if found is None:
        raise ShapeError(f"unknown dtype {name!r}; known: {', '.join(DTYPES)}")
    return found


def is_dtype(name: str) -> bool:
    """Say whether `name` is a dtype."""
    return name in _DTYPES


def is_float(name: str) -> bool:
    """Say whether values are floating point, of any width."""
    return _lookup(name).kind == "float"


def is_int(name: str) -> bool:
    """Say whether values are integers, signed or not; bool is none."""
    return _lookup(name).kind in ("int", "uint")


def is_bool(name: str) -> bool:
    """Say whether values are truth values."""
    return _lookup(name).kind == "bool"


def is_signed(name: str) -> bool:
    """Say whether negative values exist."""
    return _lookup(name).kind in ("int", "float") and name != "float8_e8m0fnu"


def bits(name: str) -> int:
    """Return the bits of one value; 8 for bool."""
    return _lookup(name).bits


_DLPACK_CODES = {
    "int": 0, "uint": 1, "float": 2, "bfloat": 4, "bool": 6,
    "float8_e3m4": 7, "float8_e4m3": 8, "float8_e4m3b11fnuz": 9, "float8_e4m3fn": 10,
    "float8_e4m3fnuz": 11, "float8_e5m2": 12, "float8_e5m2fnuz": 13, "float8_e8m0fnu": 14,
    "float6_e2m3fn": 15, "float6_e3m2fn": 16, "float4_e2m1fn": 17,
}  # fmt: skip


def dlpack_code(name: str) -> int:
    """Return DLPack's type code; floats of 8 bits and fewer carry their format in it."""
    _lookup(name)
    return _DLPACK_CODES[name if name in _DLPACK_CODES else name.rstrip("0123456789")]


EXACT_IN_FLOAT32 = ("int8", "uint8", "bfloat16", "float16", "int16")
"""The dtypes that float32 holds exactly and constants of float32 are kept in, best first."""


def itemsize(name: str) -> int:
    """Return the bytes of one value in an array; 1 for the sub-byte dtypes, kept unpacked."""
    return (_lookup(name).bits + 7) // 8


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype; from ml_dtypes where NumPy has none."""
    _lookup(name)
    if name in _NUMPY:
        return np.dtype(name)
    import ml_dtypes  # noqa: PLC0415  # most programs need no narrow dtype

    return np.dtype(getattr(ml_dtypes, name))


def wide_dtype(name: str) -> str:
    """Return the dtype that values are computed in: float32 for narrower floats, else 8 bits."""
    dtype = _lookup(name)
    if dtype.kind == "float":
        return name if dtype.bits >= 32 else "float32"
    return name if dtype.bits >= 8 else f"{dtype.kind}8"


def convert(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return `array` in the dtype `name`, as C converts: floats are cut off towards zero.

    By way of the wide dtype: ml_dtypes knows no conversion between some of its own, and none of
    infinity that agrees with NumPy's.
    """
    wide = array.astype(numpy_dtype(wide_dtype(dtype_name(array.dtype))), copy=False)
    return wide.astype(numpy_dtype(name))


@cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name of a NumPy or ml_dtypes dtype, whatever its byte order.

    Raises:
        ShapeError: complex, text, object and structured dtypes have no name here.
    """
    if dtype.name not in _DTYPES:
        raise ShapeError(f"NumPy dtype {dtype!r} has no tensor dtype; known: {', '.join(DTYPES)}")
    return dtype.name


def promote(a: str, b: str) -> str:
    """Return the dtype of a binary operation: both must be the same, nothing is converted.

    Raises:
        ShapeError: the dtypes differ.
    """
    if _lookup(a) != _lookup(b) or a != b:
        raise ShapeError(f"operands have dtypes {a} and {b}; convert one with astype")
    return a


def min_value(name: str) -> int | float:
    """Return the least finite value."""
    return _limits(name)[0]


def max_value(name: str) -> int | float:
    """Return the greatest finite value."""
    return _limits(name)[1]


@cache
def _limits(name: str) -> tuple[int | float, int | float]:
    dtype = _lookup(name)
    match dtype.kind:
        case "bool":
            return 0, 1
        case "uint":
            return 0, 2**dtype.bits - 1
        case "int":
            return -(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1) - 1
        case "float":
            info = _finfo(name)
            return float(info.min), float(info.max)


@cache
def has_infinity(name: str) -> bool:
    """Say whether infinity is a value; some narrow floats make NaN or the greatest value of it."""
    infinity = np.asarray(np.inf, np.float32)
    return is_float(name) and bool(np.isinf(infinity.astype(numpy_dtype(name))))


@cache
def machine_epsilon(name: str) -> float:
    """Return the gap between 1 and the next larger value of a float dtype."""
    if not is_float(name):
        raise ShapeError(f"machine epsilon asked of {name}, which is no float dtype")
    return float(_finfo(name).eps)


def _finfo(name: str) -> Any:  # Any: ml_dtypes.finfo mimics numpy's without sharing a type
    if name in _NUMPY:
        return cast("Any", np.finfo(numpy_dtype(name)))
    import ml_dtypes  # noqa: PLC0415  # most programs need no narrow dtype

    return cast("Any", ml_dtypes.finfo(numpy_dtype(name)))
