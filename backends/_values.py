"""What scalar and vector values are in LLVM IR.

float16 and bfloat16 values are held as float32, rounded after every operation; bool as i1 (i8 in
memory). A value with `lanes` 0 is a scalar that stands for all lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

from eqsat.backends._errors import CodegenError

LLVM_TYPES = {
    "float32": "float", "float64": "double", "float16": "float", "bfloat16": "float", "bool": "i1",
    **{f"{sign}int{n}": f"i{n}" for sign in ("", "u") for n in (8, 16, 32, 64)},
}  # fmt: skip
_MEMORY = {**LLVM_TYPES, "float16": "half", "bfloat16": "i16", "bool": "i8"}
_BYTES = {"float": 4, "double": 8, "half": 2, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
NARROW = frozenset({"float16", "bfloat16"})


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA name or literal of `dtype`; a vector when `lanes` > 0."""

    text: str
    dtype: str
    lanes: int = 0


def memory_type(dtype: str) -> str:
    """Return the LLVM type of one element in memory.

    Raises:
        CodegenError: the dtype has no native form here.
    """
    if dtype not in _MEMORY:
        raise CodegenError(
            f"dtype {dtype} cannot be compiled for the CPU; convert to one of "
            f"{', '.join(LLVM_TYPES)}"
        )
    return _MEMORY[dtype]


def element_bytes(dtype: str) -> int:
    """Return the bytes of one element in memory."""
    return _BYTES[memory_type(dtype)]


def is_float(dtype: str) -> bool:
    """Say whether values are floating point."""
    return dtype in FLOATS


def vector_of(element: str, lanes: int) -> str:
    """Return the LLVM type of `lanes` elements, the element itself for 0."""
    return f"<{lanes} x {element}>" if lanes else element


def type_of(dtype: str, lanes: int) -> str:
    """Return the LLVM type that holds a value in registers."""
    if dtype not in LLVM_TYPES:
        memory_type(dtype)
    return vector_of(LLVM_TYPES[dtype], lanes)


def wide(dtype: str) -> str:
    """Return the dtype that values are computed in."""
    return "float32" if dtype in NARROW else dtype


def is_unsigned(dtype: str) -> bool:
    """Say whether values are never negative."""
    return dtype.startswith("uint") or dtype == "bool"


def mangled(held: str) -> str:
    """Return the mangled name of an LLVM type: `<8 x float>` is v8f32."""
    short = {"float": "f32", "double": "f64", "half": "f16"}
    if not held.startswith("<"):
        return short.get(held, held)
    lanes, element = held[1:-1].split(" x ")
    return f"v{lanes}{short.get(element, element)}"
