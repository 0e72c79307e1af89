"""Operators on scalar and vector values in LLVM IR: arithmetic, conversions, reductions."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from eqsat.backends._errors import CodegenError
from eqsat.backends._narrow_floats import to_odd_float32
from eqsat.backends._registers import Registers
from eqsat.backends._values import (
    FLOATS,
    LLVM_TYPES,
    Value,
    is_unsigned,
    mangled,
    type_of,
)
from eqsat.backends._vector_math import f64_literal
from eqsat.ir.tir import COMPARISONS
from eqsat.shapes import bits

_NAN = f64_literal(math.nan)


def _is_number(v: Value) -> bool:
    """Return whether a float is known to be no NaN: it is a literal, and another one."""
    return not v.text.startswith("%") and _NAN not in v.text


class Operators(Registers, ABC):
    """Emits operators on values."""

    @abstractmethod
    def function(self, name: str, args: list[Value], dtype: str) -> Value:
        """Return the named function of `Intrinsic`."""

    def binary(self, op: str, a: Value, b: Value) -> Value:
        """Return `a op b`."""
        (a, b), lanes = self.aligned(a, b)
        if op in COMPARISONS:
            return self._compare(op, a, b, lanes)
        if op in ("and", "or"):
            text = self.emit(f"{op} {type_of('bool', lanes)} {a.text}, {b.text}")
            return Value(text, "bool", lanes)
        if a.dtype in FLOATS:
            return self.rounded(self._float_binary(op, a, b, lanes))
        return self._int_binary(op, a, b, lanes)

    def _compare(self, op: str, a: Value, b: Value, lanes: int) -> Value:
        held = type_of(a.dtype, lanes)
        names = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
        name = names[op]
        if a.dtype in FLOATS:
            text = self.emit(f"fcmp {'u' if op == '!=' else 'o'}{name} {held} {a.text}, {b.text}")
        else:
            sign = "" if op in ("==", "!=") else "u" if is_unsigned(a.dtype) else "s"
            text = self.emit(f"icmp {sign}{name} {held} {a.text}, {b.text}")
        return Value(text, "bool", lanes)

    def _float_binary(self, op: str, a: Value, b: Value, lanes: int) -> Value:
        held = type_of(a.dtype, lanes)
        names = {"+": "fadd contract", "-": "fsub contract", "*": "fmul contract", "/": "fdiv"}
        match op:
            case "+" | "-" | "*" | "/":
                text = self.emit(f"{names[op]} {held} {a.text}, {b.text}")
            case "min" | "max":
                text = self._float_extremum("olt" if op == "min" else "ogt", a, b, lanes)
            case "pow":
                return self.function("pow", [a, b], a.dtype)
            case "//":
                quotient = Value(self.emit(f"fdiv {held} {a.text}, {b.text}"), a.dtype, lanes)
                return self.function("floor", [quotient], a.dtype)
            case "%":
                return self._float_mod(a, b)
            case _:
                raise CodegenError(f"operator {op} has no meaning on {a.dtype}")
        return Value(text, a.dtype, lanes)

    def _float_extremum(self, compare: str, a: Value, b: Value, lanes: int) -> str:
        held, mask = type_of(a.dtype, lanes), type_of("bool", lanes)
        # The second side is what an unordered comparison takes, so a literal goes first: nan stays.
        if _is_number(b):
            a, b = b, a
        if a.text == self.splat(self.literal(math.nan, a.dtype), lanes).text:
            return a.text
        chosen = self.emit(f"fcmp {compare} {held} {a.text}, {b.text}")
        text = self.emit(f"select {mask} {chosen}, {held} {a.text}, {held} {b.text}")
        if _is_number(a):
            return text
        is_nan = self.emit(f"fcmp uno {held} {a.text}, {a.text}")
        return self.emit(f"select {mask} {is_nan}, {held} {a.text}, {held} {text}")

    def _float_mod(self, a: Value, b: Value) -> Value:
        """Floor modulo: the remainder of C, moved to the sign of the divisor."""
        r = self.function("fmod", [a, b], a.dtype)
        zero = self.literal(0.0, a.dtype)
        nonzero = self.binary("!=", r, zero)
        signs = self.binary("!=", self.binary("<", r, zero), self.binary("<", b, zero))
        moved = self.binary("+", r, b)
        return self.select(self.binary("and", nonzero, signs), moved, r)

    def _int_binary(self, op: str, a: Value, b: Value, lanes: int) -> Value:
        held, unsigned = type_of(a.dtype, lanes), is_unsigned(a.dtype)
        plain = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}
        if a.dtype == "bool":
            plain |= {"+": "or", "*": "and", "max": "or", "min": "and"}
        if op in plain:
            return Value(self.emit(f"{plain[op]} {held} {a.text}, {b.text}"), a.dtype, lanes)
        match op:
            case "min" | "max":
                sign = "u" if unsigned else "s"
                name = f"llvm.{sign}{op}.{mangled(held)}"
                return Value(
                    self.intrinsic(name, held, (held, a.text), (held, b.text)), a.dtype, lanes
                )
            case "<<" | ">>":
                return self._shift(op, a, b, lanes)
            case "/" | "//" | "%" | "truncmod":
                return self._int_division(op, a, b, lanes)
            case "pow":
                return self._int_pow(a, b)
            case _:
                raise CodegenError(f"operator {op} has no meaning on {a.dtype}")

    def _shift(self, op: str, a: Value, b: Value, lanes: int) -> Value:
        """Shift; by the width or more leaves the sign or nothing, as in NumPy."""
        held, width = type_of(a.dtype, lanes), bits(a.dtype)
        inside = self.emit(
            f"icmp ult {held} {b.text}, {self.splat(self.literal(width, a.dtype), lanes).text}"
        )
        is_inside = Value(inside, "bool", lanes)
        if op == ">>" and not is_unsigned(a.dtype):
            b = self.select(is_inside, b, self.literal(width - 1, a.dtype))
            return Value(self.emit(f"ashr {held} {a.text}, {b.text}"), a.dtype, lanes)
        shift = "shl" if op == "<<" else "lshr"
        shifted = Value(self.emit(f"{shift} {held} {a.text}, {b.text}"), a.dtype, lanes)
        return self.select(is_inside, shifted, self.literal(0, a.dtype))

    def _int_pow(self, a: Value, b: Value) -> Value:
        text = b.text.removeprefix("splat (").rstrip(")").split()[-1]
        if not text.isdigit() or int(text) > 64:
            raise CodegenError(f"an integer power needs a constant exponent of 0 to 64, got {text}")
        result = self.literal(1, a.dtype)
        for _ in range(int(text)):
            result = self.binary("*", result, a)
        return result

    def _int_division(self, op: str, a: Value, b: Value, lanes: int) -> Value:
        """Division that never traps: by zero gives 0, as in NumPy; the least value by -1 wraps."""
        held = type_of(a.dtype, lanes)
        zero, one = self.literal(0, a.dtype), self.literal(1, a.dtype)
        is_literal = not b.text.startswith("%")
        divisor = b
        by_zero = by_minus_one = None
        if not is_literal:
            by_zero = self.binary("==", b, zero)
            divisor = self.select(by_zero, one, b)
            if not is_unsigned(a.dtype):
                by_minus_one = self.binary("==", b, self.literal(-1, a.dtype))
                divisor = self.select(by_minus_one, one, divisor)
        elif b.text in ("0", f"splat ({type_of(a.dtype, 0)} 0)"):
            return self.splat(zero, lanes)
        s = "u" if is_unsigned(a.dtype) else "s"
        q = Value(self.emit(f"{s}div {held} {a.text}, {divisor.text}"), a.dtype, lanes)
        r = self.binary("-", a, self.binary("*", q, divisor))
        if op in ("//", "%") and not is_unsigned(a.dtype):
            signs = self.binary(
                "and",
                self.binary("!=", r, zero),
                self.binary("!=", self.binary("<", r, zero), self.binary("<", divisor, zero)),
            )
            q = self.select(signs, self.binary("-", q, one), q)
            r = self.select(signs, self.binary("+", r, divisor), r)
        is_rest = op in ("%", "truncmod")
        result = r if is_rest else q
        if by_minus_one is not None:
            other = zero if is_rest else self.binary("-", zero, a)
            result = self.select(by_minus_one, other, result)
        return result if by_zero is None else self.select(by_zero, zero, result)

    def negate(self, a: Value) -> Value:
        """Return logical not."""
        true = "splat (i1 true)" if a.lanes else "true"
        return Value(self.emit(f"xor {type_of('bool', a.lanes)} {a.text}, {true}"), "bool", a.lanes)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """Return `condition ? a : b`, both evaluated."""
        lanes = max(condition.lanes, a.lanes, b.lanes)
        a, b = self.splat(a, lanes), self.splat(b, lanes)
        held = type_of(a.dtype, lanes)
        mask = type_of("bool", condition.lanes)
        text = self.emit(f"select {mask} {condition.text}, {held} {a.text}, {held} {b.text}")
        return Value(text, a.dtype, lanes)

    # --- conversions ------------------------------------------------------------------------

    def cast(self, v: Value, dtype: str) -> Value:
        """Return `v` converted with the semantics of C."""
        old, new = v.dtype, dtype
        if old == new:
            return v
        source, held = type_of(old, v.lanes), type_of(new, v.lanes)
        if new == "bool":
            return self.binary("!=", v, self.literal(0, old))
        if old in FLOATS and new in FLOATS:
            if old == "float64" and new == "float16":  # ml_dtypes' own go through float32
                v = Value(to_odd_float32(self.emit, v.text, v.lanes), new, v.lanes)
            elif source != held:
                conversion = "fptrunc" if new != "float64" else "fpext"
                return self.rounded(
                    Value(self.emit(f"{conversion} {source} {v.text} to {held}"), new, v.lanes)
                )
            return self.rounded(Value(v.text, new, v.lanes))
        unsigned = old == "bool" or is_unsigned(old)
        if new in FLOATS:
            conversion = "uitofp" if unsigned else "sitofp"
            text = self.emit(f"{conversion} {source} {v.text} to {held}")
            return self.rounded(Value(text, new, v.lanes))
        if old in FLOATS and bits(new) < 32:  # wraps, as NumPy's conversion does
            return self.cast(self.cast(v, "int32"), new)
        if old in FLOATS:
            conversion = "fptoui" if is_unsigned(new) else "fptosi"
            text = self.emit(f"{conversion} {source} {v.text} to {held}")
            return Value(self.emit(f"freeze {held} {text}"), new, v.lanes)
        width_old, width_new = int(LLVM_TYPES[old][1:]), int(LLVM_TYPES[new][1:])
        if width_old == width_new:
            return Value(v.text, new, v.lanes)
        conversion = "trunc" if width_new < width_old else "zext" if unsigned else "sext"
        return Value(self.emit(f"{conversion} {source} {v.text} to {held}"), new, v.lanes)

    def reduced(self, op: str, v: Value) -> Value:
        """Return the lanes of `v` combined by + * min max."""
        element, held = type_of(v.dtype, 0), type_of(v.dtype, v.lanes)
        suffix = mangled(held)
        is_real = v.dtype in FLOATS
        sign = "u" if is_unsigned(v.dtype) else "s"
        match op:
            case "+" | "*" if is_real:
                name = "fadd" if op == "+" else "fmul"
                start = self.literal(0.0 if op == "+" else 1.0, "float64" if element == "double"
                                     else "float32")  # fmt: skip
                full = f"llvm.vector.reduce.{name}.{suffix}"
                self.declarations.add(f"declare {element} @{full}({element}, {held})")
                text = self.emit(
                    f"call reassoc {element} @{full}({element} {start.text}, {held} {v.text})"
                )
            case "+" | "*":
                name = "add" if op == "+" else "mul"
                text = self.intrinsic(
                    f"llvm.vector.reduce.{name}.{suffix}", element, (held, v.text)
                )
            case "min" | "max" if is_real:
                return self._reduced_by_halves(op, v)
            case "min" | "max":
                full = f"llvm.vector.reduce.{sign}{op}.{suffix}"
                text = self.intrinsic(full, element, (held, v.text))
            case _:
                raise CodegenError(f"operator {op} cannot combine the lanes of a vectorized loop")
        return self.rounded(Value(text, v.dtype))

    def _reduced_by_halves(self, op: str, v: Value) -> Value:
        lanes = v.lanes
        while lanes > 1:
            keep = (lanes + 1) // 2
            held = type_of(v.dtype, lanes)
            parts: list[Value] = []
            for start in (0, lanes - keep):
                picks = ", ".join(f"i32 {start + i}" for i in range(keep))
                text = self.emit(
                    f"shufflevector {held} {v.text}, {held} poison, <{keep} x i32> <{picks}>"
                )
                parts.append(Value(text, v.dtype, keep))
            v, lanes = self.binary(op, parts[0], parts[1]), keep
        held = type_of(v.dtype, 1)
        return Value(self.emit(f"extractelement {held} {v.text}, i64 0"), v.dtype)
