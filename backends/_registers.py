"""Values in LLVM IR: constants, vectors of them, and their form in memory."""

from __future__ import annotations

from eqsat.backends._errors import CodegenError
from eqsat.backends._values import NARROW, Value, memory_type, type_of, vector_of
from eqsat.backends._vector_math import f32_literal, f64_literal


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
            case "float32":
                return Value(f32_literal(value), dtype)
            case "float16" | "bfloat16":
                return self.rounded(Value(f32_literal(value), dtype))
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
        held = type_of(v.dtype, v.lanes)
        match v.dtype:
            case "bool":
                return self.emit(f"zext {held} {v.text} to {vector_of('i8', v.lanes)}")
            case "float16":
                self._need_half()
                return self.emit(f"fptrunc {held} {v.text} to {vector_of('half', v.lanes)}")
            case "bfloat16":
                return self._to_bfloat16(v)
            case _:
                return v.text

    def _need_half(self) -> None:
        if not self.has_half:
            raise CodegenError(
                "this CPU has no float16 conversions (F16C); convert the program to float32"
            )

    def _to_bfloat16(self, v: Value) -> str:
        held, wide = type_of(v.dtype, v.lanes), vector_of("i32", v.lanes)

        def const(number: int) -> str:
            return f"splat (i32 {number})" if v.lanes else str(number)

        bits = self.emit(f"bitcast {held} {v.text} to {wide}")
        high = self.emit(f"lshr {wide} {bits}, {const(16)}")
        odd = self.emit(f"and {wide} {high}, {const(1)}")
        bias = self.emit(f"add {wide} {odd}, {const(0x7FFF)}")
        total = self.emit(f"add {wide} {bits}, {bias}")
        nearest = self.emit(f"lshr {wide} {total}, {const(16)}")
        quiet = self.emit(f"or {wide} {high}, {const(0x40)}")
        is_nan = self.emit(f"fcmp uno {held} {v.text}, {v.text}")
        mask = vector_of("i1", v.lanes)
        chosen = self.emit(f"select {mask} {is_nan}, {wide} {quiet}, {wide} {nearest}")
        return self.emit(f"trunc {wide} {chosen} to {vector_of('i16', v.lanes)}")

    def from_memory(self, text: str, dtype: str, lanes: int) -> Value:
        """Return what was loaded as a value."""
        stored, held = vector_of(memory_type(dtype), lanes), type_of(dtype, lanes)
        match dtype:
            case "bool":
                zero = "zeroinitializer" if lanes else "0"
                text = self.emit(f"icmp ne {stored} {text}, {zero}")
            case "float16":
                self._need_half()
                text = self.emit(f"fpext {stored} {text} to {held}")
            case "bfloat16":
                wide = vector_of("i32", lanes)
                sixteen = "splat (i32 16)" if lanes else "16"
                text = self.emit(f"zext {stored} {text} to {wide}")
                text = self.emit(f"shl {wide} {text}, {sixteen}")
                text = self.emit(f"bitcast {wide} {text} to {held}")
            case _:
                pass
        return Value(text, dtype, lanes)
