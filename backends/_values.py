"""What scalar and vector values are in LLVM IR.

Floats narrower than float32 are held as float32, rounded after every operation. Integers and bool
are held in as many bits as they have; in memory each value has whole bytes, as in a NumPy array. A
value with `lanes` 0 is a scalar that stands for all lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

from eqsat.backends._errors import CodegenError
from eqsat.shapes import DTYPES, bits, is_bool, is_float, is_signed, itemsize


def _held(dtype: str) -> str:
    if is_float(dtype):
        return "double" if dtype == "float64" else "float"
    return "i1" if is_bool(dtype) else f"i{bits(dtype)}"


LLVM_TYPES = {dtype: _held(dtype) for dtype in DTYPES}
FLOATS = frozenset(filter(is_float, DTYPES))
NARROW = frozenset(d for d in FLOATS if bits(d) < 32)


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA name or literal of `dtype`; a vector when `lanes` > 0."""

    text: str
    dtype: str
    lanes: int = 0


def memory_type(dtype: str) -> str:
    """Return the LLVM type of one element in memory."""
    return f"i{8 * itemsize(dtype)}" if dtype in NARROW or not is_float(dtype) else _held(dtype)


def vector_of(element: str, lanes: int) -> str:
    """Return the LLVM type of `lanes` elements, the element itself for 0."""
    return f"<{lanes} x {element}>" if lanes else element


def type_of(dtype: str, lanes: int) -> str:
    """Return the LLVM type that holds a value in registers.

    Raises:
        CodegenError: no value has this dtype, such as that of a handle.
    """
    if dtype not in LLVM_TYPES:
        raise CodegenError(f"dtype {dtype} has no value; known: {', '.join(LLVM_TYPES)}")
    return vector_of(LLVM_TYPES[dtype], lanes)


def is_unsigned(dtype: str) -> bool:
    """Say whether values are never negative."""
    return not is_signed(dtype)


def mangled(held: str) -> str:
    """Return the mangled name of an LLVM type: `<8 x float>` is v8f32."""
    short = {"float": "f32", "double": "f64", "half": "f16"}
    if not held.startswith("<"):
        return short.get(held, held)
    lanes, element = held[1:-1].split(" x ")
    return f"v{lanes}{short.get(element, element)}"
