"""Values in LLVM IR: constants, vectors of them, and their form in memory."""

from __future__ import annotations

from eqsat.backends._narrow_floats import decode, encode, format_of
from eqsat.backends._values import NARROW, Value, is_float, memory_type, type_of, vector_of
from eqsat.backends._vector_math import f32_literal, f64_literal
from eqsat.shapes import numpy_dtype


class Registers:
    """Emits instructions into the current block."""

    def __init__(self) -> None:
        self.count = 0
        # A list in the list is filled later.
        self.lines: list[str | list[str]] = []
        self.declarations: set[str] = set()
        self.functions: dict[str, str] = {}
        self.has_half = True

    def fresh(self) -> str:
        """Return an unused SSA name."""
        self.count += 1
        return f"%v{self.count}"

    def emit(self, text: str) -> str:
        """Append an instruction and return its name."""
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return name

    def intrinsic(self, name: str, result: str, *operands: tuple[str, str]) -> str:
        """Call an LLVM intrinsic or C function, declaring it; operands are (type, text)."""
        types = ", ".join(t for t, _ in operands)
        self.declarations.add(f"declare {result} @{name}({types.replace(' zeroext', '')})")
        arguments = ", ".join(f"{t} {v}" for t, v in operands)
        return self.emit(f"call {result} @{name}({arguments})")

    # --- shapes of values -------------------------------------------------------------------

    def literal(self, value: float, dtype: str) -> Value:
        """Return a constant."""
        match dtype:
            case "float64":
                return Value(f64_literal(value), dtype)
            case _ if is_float(dtype):
                return Value(f32_literal(float(numpy_dtype(dtype).type(value))), dtype)
            case "bool":
                return Value("true" if value else "false", dtype)
            case _:
                type_of(dtype, 0)
                return Value(str(int(value)), dtype)

    def splat(self, v: Value, lanes: int) -> Value:
        """Return a vector of `lanes` copies; a vector as it is."""
        if v.lanes or not lanes:
            return v
        element, vector = type_of(v.dtype, 0), type_of(v.dtype, lanes)
        if not v.text.startswith("%"):
            return Value(f"splat ({element} {v.text})", v.dtype, lanes)
        one = self.emit(f"insertelement {vector} poison, {element} {v.text}, i64 0")
        zeros = f"<{lanes} x i32> zeroinitializer"
        text = self.emit(f"shufflevector {vector} {one}, {vector} poison, {zeros}")
        return Value(text, v.dtype, lanes)

    def aligned(self, *values: Value) -> tuple[list[Value], int]:
        """Return the values with one number of lanes, and that number."""
        lanes = max(v.lanes for v in values)
        return [self.splat(v, lanes) for v in values], lanes

    def rounded(self, v: Value) -> Value:
        """Return a float32 result rounded to a narrow dtype, still held as float32."""
        if v.dtype not in NARROW:
            return v
        return self.from_memory(self.to_memory(v), v.dtype, v.lanes)

    def to_memory(self, v: Value) -> str:
        """Return the value as it stands in memory."""
        held, stored = type_of(v.dtype, v.lanes), vector_of(memory_type(v.dtype), v.lanes)
        if v.dtype == "float16" and self.has_half:
            half = vector_of("half", v.lanes)
            text = self.emit(f"fptrunc {held} {v.text} to {half}")
            return self.emit(f"bitcast {half} {text} to {stored}")
        if v.dtype in NARROW:
            return encode(self.emit, v.text, v.lanes, format_of(v.dtype))
        return v.text if held == stored else self.emit(f"zext {held} {v.text} to {stored}")

    def from_memory(self, text: str, dtype: str, lanes: int) -> Value:
        """Return what was loaded as a value."""
        stored, held = vector_of(memory_type(dtype), lanes), type_of(dtype, lanes)
        if dtype == "bool":
            zero = "zeroinitializer" if lanes else "0"
            text = self.emit(f"icmp ne {stored} {text}, {zero}")
        elif dtype == "float16" and self.has_half:
            half = vector_of("half", lanes)
            text = self.emit(f"bitcast {stored} {text} to {half}")
            text = self.emit(f"fpext {half} {text} to {held}")
        elif dtype in NARROW:
            text = decode(self.emit, text, lanes, format_of(dtype))
        elif held != stored:
            text = self.emit(f"trunc {stored} {text} to {held}")
        return Value(text, dtype, lanes)
