"""Floats narrower than float32 in memory, converted bit for bit as NumPy and ml_dtypes do.

The codes of such a dtype order its magnitudes: exponent, then significand, under a sign bit. What a
dtype makes of infinity, NaN and -0 is read off its codes, so a new one needs no table here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from eqsat.backends._values import vector_of
from eqsat.backends._vector_math import f32_literal
from eqsat.shapes import is_signed, itemsize, machine_epsilon, max_value, numpy_dtype

Emit = Callable[[str], str]
"""Appends an instruction and returns the name of its result."""

_FLOAT_BITS, _FLOAT_BIAS, _INFINITY, _NAN = 23, 127, 0x7F800000, 0x7FC00000


@dataclass(frozen=True, slots=True)
class Format:
    """How a narrow float stands in memory.

    Attributes:
        sign: the bit of the sign, 0 where all values are positive.
        significand_bits: those that are stored.
        bias: what the exponent of 1 is stored as.
        largest: the code of the largest finite value.
        infinity: the code that infinity and what is beyond `largest` become.
        nan: the code that NaN becomes.
        memory: the LLVM type of a code.
    """

    sign: int
    significand_bits: int
    bias: int
    largest: int
    infinity: int
    nan: int
    memory: str

    @property
    def shift(self) -> int:
        """Return how many bits a significand of float32 has more."""
        return _FLOAT_BITS - self.significand_bits

    @property
    def has_one_zero(self) -> bool:
        """Whether NaN has the code that -0 has elsewhere: neither has a sign."""
        return self.sign == self.nan == self.infinity


@cache
def format_of(dtype: str) -> Format:
    """Return the format of a float dtype of less than 32 bits."""

    def code(value: float) -> int:
        array = np.asarray(value, np.float32).astype(numpy_dtype(dtype))
        return int(array.view(f"u{itemsize(dtype)}"))

    significand_bits = -int(np.log2(machine_epsilon(dtype)))
    with np.errstate(all="ignore"):
        return Format(
            sign=code(1) ^ code(-1) if is_signed(dtype) else 0,
            significand_bits=significand_bits,
            bias=code(1) >> significand_bits,
            largest=code(max_value(dtype)),
            infinity=code(np.inf),
            nan=code(np.nan),
            memory=f"i{8 * itemsize(dtype)}",
        )


def encode(emit: Emit, value: str, lanes: int, f: Format) -> str:
    """Return the codes of float32 values: the nearest, of two the even one."""
    w = _Words(emit, lanes)
    word = w.from_float(value)
    size = w.op("and", word, 0x7FFFFFFF)
    code = _code_of_size(w, size, f) if f.sign else _code_of_power_of_two(w, size)
    code = w.select("ugt", code, f.largest, f.infinity, code)
    code = w.select("ugt", size, _INFINITY, f.nan, code)
    if not f.sign:
        code = w.select("slt", word, 0, f.nan, code)
        code = w.select("eq", size, 0, f.nan, code)
    else:
        sign = w.op("and", w.op("lshr", word, 31 - _position(f.sign)), f.sign)
        if f.has_one_zero:
            below = w.op("sub", code, 1)
            sign = w.select("ult", below, f.largest, sign, 0)
        code = w.op("xor", code, sign)
    return emit(f"trunc {w.type} {code} to {vector_of(f.memory, lanes)}")


def _code_of_size(w: _Words, size: str, f: Format) -> str:
    odd = w.op("and", w.op("lshr", size, f.shift), 1)
    up = w.op("add", w.op("add", size, (1 << f.shift - 1) - 1), odd)
    code = w.op("lshr", up, f.shift)
    if f.bias == _FLOAT_BIAS:
        return code
    code = w.op("sub", code, _FLOAT_BIAS - f.bias << f.significand_bits)
    # Below the least normal value: an addition that puts the last bit of the code last.
    exponent = 1 - f.bias - f.significand_bits + _FLOAT_BITS
    number = f32_literal(2.0**exponent)
    moved = w.float_op("fadd", size, number)
    small = w.op("sub", moved, exponent + _FLOAT_BIAS << _FLOAT_BITS)
    least_normal = 1 - f.bias + _FLOAT_BIAS << _FLOAT_BITS
    return w.select("ult", size, least_normal, small, code)


def _code_of_power_of_two(w: _Words, size: str) -> str:
    """Return the exponent of the nearest power of two, of two the larger one."""
    half = 1 << _FLOAT_BITS - 1
    code = w.op("lshr", w.op("add", size, half), _FLOAT_BITS)
    return w.select("eq", size, half, 0, code)  # 2 ** -127 is exact


def decode(emit: Emit, code: str, lanes: int, f: Format) -> str:
    """Return the float32 values of codes."""
    w = _Words(emit, lanes)
    code = emit(f"zext {vector_of(f.memory, lanes)} {code} to {w.type}")
    size = w.op("and", code, f.sign - 1) if f.sign else code
    word = w.op("shl", size, f.shift)
    if f.bias < _FLOAT_BIAS:
        word = w.float_op("fmul", word, f32_literal(2.0 ** (_FLOAT_BIAS - f.bias)))
        if f.infinity not in (f.largest, f.nan):
            word = w.select("eq", size, f.infinity, _INFINITY, word)
            word = w.select("ugt", size, f.infinity, _NAN, word)
        elif not f.has_one_zero:
            word = w.select("ugt", size, f.largest, _NAN, word)
    if not f.sign:
        word = w.select("eq", code, 0, 1 << _FLOAT_BITS - 1, word)
        word = w.select("eq", code, f.nan, _NAN, word)
    else:
        sign = w.op("shl", w.op("and", code, f.sign), 31 - _position(f.sign))
        word = w.op("or", word, sign)
        if f.has_one_zero:
            word = w.select("eq", code, f.nan, _NAN, word)
    return w.to_float(word)


def to_odd_float32(emit: Emit, value: str, lanes: int) -> str:
    """Return float64 values as float32; what is not exact has its last bit set.

    Rounded again to a narrower float that gives the nearest value, as one rounding would.
    """
    w, double = _Words(emit, lanes), vector_of("double", lanes)
    single = emit(f"fptrunc {double} {value} to {w.float}")
    back = emit(f"fpext {w.float} {single} to {double}")
    sizes: list[str] = []
    for v in (back, value):
        bits = emit(f"bitcast {double} {v} to {vector_of('i64', lanes)}")
        one = "splat (i64 1)" if lanes else "1"
        sizes.append(emit(f"shl {vector_of('i64', lanes)} {bits}, {one}"))
    mask = vector_of("i1", lanes)
    inexact = emit(f"fcmp one {double} {back}, {value}")
    below = emit(f"icmp ult {vector_of('i64', lanes)} {sizes[0]}, {sizes[1]}")
    word = w.from_float(single)
    even = w.compare("eq", w.op("and", word, 1), 0)
    step = emit(f"select {mask} {below}, {w.type} {w.number(1)}, {w.type} {w.number(-1)}")
    changed = emit(f"and {mask} {inexact}, {even}")
    moved = w.op("add", word, step)
    return w.to_float(emit(f"select {mask} {changed}, {w.type} {moved}, {w.type} {word}"))


def _position(bit: int) -> int:
    return bit.bit_length() - 1


class _Words:
    """Emits arithmetic on words of 32 bits; operands are names or numbers."""

    def __init__(self, emit: Emit, lanes: int) -> None:
        self.emit, self.lanes = emit, lanes
        self.type, self.float = vector_of("i32", lanes), vector_of("float", lanes)

    def number(self, value: int) -> str:
        return f"splat (i32 {value})" if self.lanes else str(value)

    def _text(self, operand: str | int) -> str:
        return operand if isinstance(operand, str) else self.number(operand)

    def op(self, name: str, a: str, b: str | int) -> str:
        return self.emit(f"{name} {self.type} {a}, {self._text(b)}")

    def compare(self, name: str, a: str, b: int) -> str:
        return self.emit(f"icmp {name} {self.type} {a}, {self.number(b)}")

    def select(self, name: str, a: str, b: int, yes: str | int, no: str | int) -> str:
        """Return `yes` where `a` compares with `b` as `name` says, else `no`."""
        chosen, mask = self.compare(name, a, b), vector_of("i1", self.lanes)
        sides = f"{self.type} {self._text(yes)}, {self.type} {self._text(no)}"
        return self.emit(f"select {mask} {chosen}, {sides}")

    def from_float(self, value: str) -> str:
        return self.emit(f"bitcast {self.float} {value} to {self.type}")

    def to_float(self, word: str) -> str:
        return self.emit(f"bitcast {self.type} {word} to {self.float}")

    def float_op(self, name: str, word: str, number: str) -> str:
        operand = f"splat (float {number})" if self.lanes else number
        return self.from_float(self.emit(f"{name} {self.float} {self.to_float(word)}, {operand}"))
