"""float32 functions on vectors of any length, as LLVM IR without library calls.

Every function states its largest error in units in the last place, measured against float64 over a
dense sample of the range on a CPU with fused multiply-add (tests/backends/test_vector_math.py).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

# Function: largest error in ulp. Results below the least normal number may be off by more.
MAX_ULP: dict[str, float] = {
    "exp": 1.1,
    "exp2": 1.1,
    "expm1": 2.6,
    "log": 1.0,
    "log2": 1.6,
    "log10": 1.6,
    "log1p": 2.1,
    "tanh": 1.9,
    "sigmoid": 2.6,
    "erf": 1.4,
    "sin": 1.5,
    "cos": 1.5,
    "tan": 3.5,
    "rsqrt": 1.5,
}

_MAGIC = 12582912.0  # 1.5 * 2**23: adding it rounds to an integer held in the low bits.


def f32_literal(value: float) -> str:
    """Return a float32 constant as LLVM writes it: the bits of the double of the same value."""
    try:
        single = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        single = float("inf") if value > 0 else float("-inf")
    return f64_literal(single)


def f64_literal(value: float) -> str:
    """Return a double constant as LLVM writes it; every NaN is the same one."""
    value = math.nan if value != value else value
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def function_name(name: str, lanes: int) -> str:
    """Return the LLVM name of the function on `lanes` lanes (1: a scalar)."""
    return f"eqsat.{name}.v{lanes}"


def function_text(name: str, lanes: int) -> tuple[str, set[str]]:
    """Return the definition of a function of `MAX_ULP`, and the declarations it needs."""
    body = _Body(lanes)
    result = _FUNCTIONS[name](body, "%x")
    head = f"define internal {body.f} @{function_name(name, lanes)}({body.f} %x) #1 {{\nentry:"
    end = [f"  ret {body.f} {result}"]
    if name in ("sin", "cos", "tan"):
        end = _else_by_library(body, name, result)
    return "\n".join([head, *body.lines, *end, "}"]), body.declarations


def _else_by_library(b: _Body, name: str, result: str) -> list[str]:
    """Return `result`, computed again by the C library where any lane is too large to reduce."""
    b.lines.clear()
    result = _FUNCTIONS[name](b, "%x")
    large = b.fcmp("ogt", b.call("fabs", "%x"), b.c(2.0**27))
    any_large = large
    if b.lanes > 1:
        reduce = f"llvm.vector.reduce.or.v{b.lanes}i1"
        b.declarations.add(f"declare i1 @{reduce}({b.b})")
        any_large = b.emit(f"call i1 @{reduce}({b.b} {large})")
    b.declarations.add(f"declare float @{name}f(float)")
    end = [f"  br i1 {any_large}, label %slow, label %fast", "fast:", f"  ret {b.f} {result}"]
    if b.lanes == 1:
        call = f"  %slow1 = call float @{name}f(float %x)"
        return [*end, "slow:", call, "  ret float %slow1"]
    end.append("slow:")
    vector = "poison"
    for lane in range(b.lanes):
        end += [
            f"  %a{lane} = extractelement {b.f} %x, i64 {lane}",
            f"  %r{lane} = call float @{name}f(float %a{lane})",
            f"  %v{lane} = insertelement {b.f} {vector}, float %r{lane}, i64 {lane}",
        ]
        vector = f"%v{lane}"
    return [*end, f"  ret {b.f} {vector}"]


class _Body:
    """Writes straight-line vector code."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.lines: list[str] = []
        self.declarations: set[str] = set()
        self.f = self.type("float")
        self.i = self.type("i32")
        self.b = self.type("i1")

    def type(self, element: str) -> str:
        return element if self.lanes == 1 else f"<{self.lanes} x {element}>"

    def suffix(self, element: str) -> str:
        return element if self.lanes == 1 else f"v{self.lanes}{element}"

    def emit(self, text: str) -> str:
        name = f"%t{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return name

    def _splat(self, element: str, literal: str) -> str:
        return literal if self.lanes == 1 else f"splat ({element} {literal})"

    def c(self, value: float) -> str:
        return self._splat("float", f32_literal(value))

    def ci(self, value: int) -> str:
        return self._splat("i32", str(value))

    def op(self, name: str, a: str, b: str) -> str:
        return self.emit(f"{name} {self.f if name[0] == 'f' else self.i} {a}, {b}")

    def add(self, a: str, b: str) -> str:
        return self.op("fadd", a, b)

    def sub(self, a: str, b: str) -> str:
        return self.op("fsub", a, b)

    def mul(self, a: str, b: str) -> str:
        return self.op("fmul", a, b)

    def div(self, a: str, b: str) -> str:
        return self.op("fdiv", a, b)

    def call(self, name: str, *args: str) -> str:
        full = f"llvm.{name}.{self.suffix('f32')}"
        types = ", ".join([self.f] * len(args))
        self.declarations.add(f"declare {self.f} @{full}({types})")
        operands = ", ".join(f"{self.f} {a}" for a in args)
        return self.emit(f"call {self.f} @{full}({operands})")

    def fma(self, a: str, b: str, c: str) -> str:
        return self.call("fmuladd", a, b, c)

    def horner(self, x: str, coefficients: list[float]) -> str:
        result = self.c(coefficients[0])
        for each in coefficients[1:]:
            result = self.fma(result, x, self.c(each))
        return result

    def fcmp(self, op: str, a: str, b: str) -> str:
        return self.emit(f"fcmp {op} {self.f} {a}, {b}")

    def select(self, condition: str, a: str, b: str, element: str = "float") -> str:
        t = self.type(element)
        return self.emit(f"select {self.b} {condition}, {t} {a}, {t} {b}")

    def bits(self, a: str) -> str:
        return self.emit(f"bitcast {self.f} {a} to {self.i}")

    def from_bits(self, a: str) -> str:
        return self.emit(f"bitcast {self.i} {a} to {self.f}")

    def at_most(self, x: str, limit: float) -> str:
        return self.select(self.fcmp("ogt", x, self.c(limit)), self.c(limit), x)

    def at_least(self, x: str, limit: float) -> str:
        return self.select(self.fcmp("olt", x, self.c(limit)), self.c(limit), x)

    def rounded(self, x: str, scale: float) -> tuple[str, str]:
        """Return round(x * scale) as float and as int; small values only, nan stays nan."""
        shifted = self.fma(x, self.c(scale), self.c(_MAGIC))
        as_int = self.op("sub", self.bits(shifted), self.ci(0x4B400000))
        return self.sub(shifted, self.c(_MAGIC)), as_int

    def scaled(self, x: str, n: str) -> str:
        """Return x * 2**n in two steps, so that the range of n is twice that of the exponent."""
        half = self.op("ashr", n, self.ci(1))
        rest = self.op("sub", n, half)
        for power in (half, rest):
            exponent = self.op("shl", self.op("add", power, self.ci(127)), self.ci(23))
            x = self.mul(x, self.from_bits(exponent))
        return x


def _exp_reduced(b: _Body, r: str) -> str:
    """exp(r) for |r| <= ln(2) / 2. Source: Cephes expf."""
    p = b.horner(
        r, [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
            1.6666665459e-1, 5.0000001201e-1],
    )  # fmt: skip
    return b.add(b.fma(p, b.mul(r, r), r), b.c(1.0))


def _exp(b: _Body, x: str) -> str:
    x = b.at_most(b.at_least(x, -104.0), 89.0)
    n, n_int = b.rounded(x, 1.4426950408889634)
    r = b.fma(n, b.c(-0.693145751953125), x)
    r = b.fma(n, b.c(-1.428606765330187e-06), r)
    return b.scaled(_exp_reduced(b, r), n_int)


def _exp2(b: _Body, x: str) -> str:
    x = b.at_most(b.at_least(x, -151.0), 129.0)
    n, n_int = b.rounded(x, 1.0)
    r = b.mul(b.sub(x, n), b.c(0.6931471805599453))
    return b.scaled(_exp_reduced(b, r), n_int)


def _expm1(b: _Body, x: str) -> str:
    series = b.horner(
        x, [1 / 362880, 1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5]
    )  # fmt: skip
    near = b.call("copysign", b.fma(b.mul(x, x), series, x), x)
    far = b.sub(_exp(b, x), b.c(1.0))
    return b.select(b.fcmp("olt", b.call("fabs", x), b.c(0.5)), near, far)


def _log_parts(b: _Body, x: str) -> tuple[str, str, str, str]:
    """Return k, f, f*f/2 and s*(f*f/2 + R) with x = 2**k (1 + f). Source: FreeBSD msun logf."""
    tiny = b.fcmp("olt", x, b.c(1.1754943508222875e-38))
    x = b.select(tiny, b.mul(x, b.c(33554432.0)), x)
    shift = b.select(tiny, b.ci(-25 - 127), b.ci(-127), "i32")
    ix = b.op("add", b.bits(x), b.ci(0x3F800000 - 0x3F3504F3))
    k_int = b.op("add", b.op("lshr", ix, b.ci(23)), shift)
    k = b.emit(f"sitofp {b.i} {k_int} to {b.f}")
    mantissa = b.op("add", b.op("and", ix, b.ci(0x007FFFFF)), b.ci(0x3F3504F3))
    f = b.sub(b.from_bits(mantissa), b.c(1.0))
    s = b.div(f, b.add(f, b.c(2.0)))
    z = b.mul(s, s)
    r = b.mul(b.horner(z, [0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693]), z)
    half_square = b.mul(b.mul(f, b.c(0.5)), f)
    return k, f, half_square, b.mul(s, b.add(half_square, r))


def _log_specials(b: _Body, x: str, result: str) -> str:
    result = b.select(b.fcmp("oeq", x, b.c(float("inf"))), x, result)
    result = b.select(b.fcmp("oeq", x, b.c(0.0)), b.c(float("-inf")), result)
    return b.select(b.fcmp("uge", x, b.c(0.0)), b.select(b.fcmp("uno", x, x), x, result),
                    b.c(float("nan")))  # fmt: skip


def _log(b: _Body, x: str) -> str:
    k, f, half_square, tail = _log_parts(b, x)
    low = b.fma(k, b.c(9.0580006145e-06), tail)
    near = b.add(b.sub(low, half_square), f)
    return _log_specials(b, x, b.fma(k, b.c(6.9313812256e-01), near))


def _log_scaled(b: _Body, x: str, high: float, low: float, k_high: float, k_low: float) -> str:
    k, f, half_square, tail = _log_parts(b, x)
    hi = b.from_bits(b.op("and", b.bits(b.sub(f, half_square)), b.ci(-4096)))
    lo = b.add(b.sub(b.sub(f, hi), half_square), tail)
    total = b.mul(b.add(lo, hi), b.c(low))
    total = b.fma(k, b.c(k_low), total) if k_low else total
    total = b.fma(lo, b.c(high), total)
    total = b.fma(hi, b.c(high), total)
    return _log_specials(b, x, b.fma(k, b.c(k_high), total))


def _log2(b: _Body, x: str) -> str:
    return _log_scaled(b, x, 1.4428710938e00, -1.7605285393e-04, 1.0, 0.0)


def _log10(b: _Body, x: str) -> str:
    return _log_scaled(
        b, x, 4.3432617188e-01, -3.1689971365e-05, 3.0102920532e-01, 7.9034151668e-07
    )


def _log1p(b: _Body, x: str) -> str:
    u = b.add(x, b.c(1.0))
    error = b.div(b.sub(x, b.sub(u, b.c(1.0))), u)
    usual = b.fcmp("olt", b.call("fabs", error), b.c(1.0))
    log_u = _log(b, u)
    result = b.select(usual, b.add(log_u, error), log_u)
    return b.select(b.fcmp("olt", b.call("fabs", x), b.c(2.0**-25)), x, result)


def _tanh(b: _Body, x: str) -> str:
    """Source: Cephes tanhf."""
    z = b.mul(x, x)
    p = b.horner(
        z, [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1,
            -3.33332819422e-1],
    )  # fmt: skip
    near = b.fma(b.mul(p, z), x, x)
    size = b.call("fabs", x)
    grown = b.add(_exp(b, b.add(size, size)), b.c(1.0))
    far = b.call("copysign", b.sub(b.c(1.0), b.div(b.c(2.0), grown)), x)
    return b.select(b.fcmp("olt", size, b.c(0.625)), b.call("copysign", near, x), far)


def _sigmoid(b: _Body, x: str) -> str:
    grown = _exp(b, b.emit(f"fneg {b.f} {x}"))
    return b.div(b.c(1.0), b.add(grown, b.c(1.0)))


def _erf(b: _Body, x: str) -> str:
    """Source: N. Juffa's minimax approximation of erff (published 2-clause BSD)."""
    t, s = b.call("fabs", x), b.mul(x, x)
    capped = b.at_most(t, 4.0)
    square = b.mul(capped, capped)
    r = b.fma(b.c(-1.72853470e-5), capped, b.c(3.83197126e-4))
    u = b.fma(b.c(-3.88396438e-3), capped, b.c(2.42546219e-2))
    r = b.fma(r, square, u)
    for c in (-1.06777877e-1, -6.34846687e-1, -1.28717512e-1):
        r = b.fma(r, capped, b.c(c))
    r = b.fma(r, capped, b.emit(f"fneg {b.f} {capped}"))
    far = b.call("copysign", b.sub(b.c(1.0), _exp(b, r)), x)
    p = b.horner(
        s, [-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1,
            1.28379166e-1],
    )  # fmt: skip
    near = b.fma(p, x, x)
    return b.select(b.fcmp("ogt", t, b.c(0.927734375)), far, near)


def _sin_cos(b: _Body, x: str) -> tuple[str, str, str]:
    """Return the quadrant, and sine and cosine of the rest, for |x| < 2**28.

    Reduced in double, where quadrant * pi/2 is exact. Source: FreeBSD msun sinf, Cephes sinf, cosf.
    """
    double, long = b.type("double"), b.type("i64")

    def const(value: float) -> str:
        literal = f64_literal(value)
        return literal if b.lanes == 1 else f"splat (double {literal})"

    magic = 6755399441055744.0
    wide = b.emit(f"fpext {b.f} {x} to {double}")
    shifted = b.emit(f"fmul {double} {wide}, {const(0.6366197723675814)}")
    shifted = b.emit(f"fadd {double} {shifted}, {const(magic)}")
    quadrant = b.emit(f"bitcast {double} {shifted} to {long}")
    quadrant = b.emit(f"trunc {long} {quadrant} to {b.i}")
    n = b.emit(f"fsub {double} {shifted}, {const(magic)}")
    for part in (1.57079631090164184570e00, 1.58932547735281966916e-08):
        product = b.emit(f"fmul {double} {n}, {const(part)}")
        wide = b.emit(f"fsub {double} {wide}, {product}")
    r = b.emit(f"fptrunc {double} {wide} to {b.f}")
    z = b.mul(r, r)
    p = b.horner(z, [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1])
    sine = b.fma(b.mul(p, z), r, r)
    q = b.horner(z, [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2])
    head = b.fma(z, b.c(-0.5), b.c(1.0))
    lost = b.fma(z, b.c(-0.5), b.sub(b.c(1.0), head))
    cosine = b.add(head, b.fma(b.mul(q, z), z, lost))
    return quadrant, sine, cosine


def _turned(b: _Body, quadrant: str, even: str, odd: str) -> str:
    """Return `even` or `odd` by the quadrant's parity, negated in its upper half."""
    parity = b.op("and", quadrant, b.ci(1))
    is_even = b.emit(f"icmp eq {b.i} {parity}, {b.ci(0)}")
    value = b.select(is_even, even, odd)
    sign = b.op("shl", b.op("and", quadrant, b.ci(2)), b.ci(30))
    return b.from_bits(b.op("xor", b.bits(value), sign))


def _sin(b: _Body, x: str) -> str:
    quadrant, sine, cosine = _sin_cos(b, x)
    # The sign of zero comes back as it went in.
    return b.select(b.fcmp("oeq", x, b.c(0.0)), x, _turned(b, quadrant, sine, cosine))


def _cos(b: _Body, x: str) -> str:
    quadrant, sine, cosine = _sin_cos(b, x)
    return _turned(b, b.op("add", quadrant, b.ci(1)), sine, cosine)


def _tan(b: _Body, x: str) -> str:
    quadrant, sine, cosine = _sin_cos(b, x)
    upper = _turned(b, quadrant, sine, cosine)
    ratio = b.div(upper, _turned(b, b.op("add", quadrant, b.ci(1)), sine, cosine))
    return b.select(b.fcmp("oeq", x, b.c(0.0)), x, ratio)


def _rsqrt(b: _Body, x: str) -> str:
    return b.div(b.c(1.0), b.call("sqrt", x))


_FUNCTIONS: dict[str, Callable[[_Body, str], str]] = {
    "exp": _exp, "exp2": _exp2, "expm1": _expm1, "log": _log, "log2": _log2, "log10": _log10,
    "log1p": _log1p, "tanh": _tanh, "sigmoid": _sigmoid, "erf": _erf, "sin": _sin, "cos": _cos,
    "tan": _tan, "rsqrt": _rsqrt,
}  # fmt: skip
