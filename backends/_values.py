"""Scalar and vector values in LLVM IR: types, arithmetic, conversions, functions.

float16 and bfloat16 values are held as float32, rounded after every operation; bool as i1 (i8 in
memory). A value with `lanes` 0 is a scalar that stands for all lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

from eqsat.backends._errors import CodegenError
from eqsat.backends._vector_math import (
    MAX_ULP,
    f32_literal,
    f64_literal,
    function_name,
    function_text,
)
from eqsat.ir.tir import COMPARISONS

_LLVM = {
    "float32": "float", "float64": "double", "float16": "float", "bfloat16": "float", "bool": "i1",
    **{f"{sign}int{n}": f"i{n}" for sign in ("", "u") for n in (8, 16, 32, 64)},
}  # fmt: skip
_MEMORY = {**_LLVM, "float16": "half", "bfloat16": "i16", "bool": "i8"}
_BYTES = {"float": 4, "double": 8, "half": 2, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_NARROW = frozenset({"float16", "bfloat16"})
_ROUND = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "roundeven",
          "nearbyint": "roundeven", "rint": "roundeven"}  # fmt: skip
_LIBRARY = frozenset(
    [
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "tanh",
        "erf",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "asinh",
        "acosh",
        "atanh",
        "cbrt",
        "erfc",
        "lgamma",
        "tgamma",
    ]
)
_LIBRARY2 = {"pow": "pow", "power": "pow", "atan2": "atan2", "fmod": "fmod", "hypot": "hypot"}
_ALIASES = {"fabs": "abs", "erff": "erf"}


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
            f"dtype {dtype} cannot be compiled for the CPU; convert to one of {', '.join(_LLVM)}"
        )
    return _MEMORY[dtype]


def element_bytes(dtype: str) -> int:
    """Return the bytes of one element in memory."""
    return _BYTES[memory_type(dtype)]


def is_float(dtype: str) -> bool:
    """Say whether values are floating point."""
    return dtype in _FLOATS


def vector_of(element: str, lanes: int) -> str:
    """Return the LLVM type of `lanes` elements, the element itself for 0."""
    return f"<{lanes} x {element}>" if lanes else element


def type_of(dtype: str, lanes: int) -> str:
    """Return the LLVM type that holds a value in registers."""
    if dtype not in _LLVM:
        memory_type(dtype)
    return vector_of(_LLVM[dtype], lanes)


class Arithmetic:
    """Emits operations on values into the current block."""

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
        if v.dtype not in _NARROW:
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

    # --- operators --------------------------------------------------------------------------

    def binary(self, op: str, a: Value, b: Value) -> Value:
        """Return `a op b`."""
        (a, b), lanes = self.aligned(a, b)
        if op in COMPARISONS:
            return self._compare(op, a, b, lanes)
        if op in ("and", "or"):
            text = self.emit(f"{op} {type_of('bool', lanes)} {a.text}, {b.text}")
            return Value(text, "bool", lanes)
        if a.dtype in _FLOATS:
            return self.rounded(self._float_binary(op, a, b, lanes))
        return self._int_binary(op, a, b, lanes)

    def _compare(self, op: str, a: Value, b: Value, lanes: int) -> Value:
        held = type_of(a.dtype, lanes)
        names = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
        name = names[op]
        if a.dtype in _FLOATS:
            text = self.emit(f"fcmp {'u' if op == '!=' else 'o'}{name} {held} {a.text}, {b.text}")
        else:
            sign = "" if op in ("==", "!=") else "u" if _unsigned(a.dtype) else "s"
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
        if not b.text.startswith("%"):
            a, b = b, a
        chosen = self.emit(f"fcmp {compare} {held} {a.text}, {b.text}")
        text = self.emit(f"select {mask} {chosen}, {held} {a.text}, {held} {b.text}")
        if not a.text.startswith("%"):
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
        held, unsigned = type_of(a.dtype, lanes), _unsigned(a.dtype)
        plain = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}
        if a.dtype == "bool":
            plain |= {"+": "or", "*": "and", "max": "or", "min": "and"}
        if op in plain:
            return Value(self.emit(f"{plain[op]} {held} {a.text}, {b.text}"), a.dtype, lanes)
        match op:
            case "min" | "max":
                sign = "u" if unsigned else "s"
                name = f"llvm.{sign}{op}.{_suffix(held)}"
                return Value(
                    self.intrinsic(name, held, (held, a.text), (held, b.text)), a.dtype, lanes
                )
            case "<<" | ">>":
                shift = "shl" if op == "<<" else "lshr" if unsigned else "ashr"
                return Value(self.emit(f"{shift} {held} {a.text}, {b.text}"), a.dtype, lanes)
            case "/" | "//" | "%":
                return self._int_division(op, a, b, lanes)
            case "pow":
                return self._int_pow(a, b)
            case _:
                raise CodegenError(f"operator {op} has no meaning on {a.dtype}")

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
            if not _unsigned(a.dtype):
                by_minus_one = self.binary("==", b, self.literal(-1, a.dtype))
                divisor = self.select(by_minus_one, one, divisor)
        elif b.text in ("0", f"splat ({type_of(a.dtype, 0)} 0)"):
            return self.splat(zero, lanes)
        s = "u" if _unsigned(a.dtype) else "s"
        q = Value(self.emit(f"{s}div {held} {a.text}, {divisor.text}"), a.dtype, lanes)
        r = self.binary("-", a, self.binary("*", q, divisor))
        if op != "/" and not _unsigned(a.dtype):
            signs = self.binary(
                "and",
                self.binary("!=", r, zero),
                self.binary("!=", self.binary("<", r, zero), self.binary("<", divisor, zero)),
            )
            q = self.select(signs, self.binary("-", q, one), q)
            r = self.select(signs, self.binary("+", r, divisor), r)
        result = r if op == "%" else q
        if by_minus_one is not None:
            other = zero if op == "%" else self.binary("-", zero, a)
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
        if old in _FLOATS and new in _FLOATS:
            if source != held:
                conversion = "fptrunc" if new != "float64" else "fpext"
                return self.rounded(
                    Value(self.emit(f"{conversion} {source} {v.text} to {held}"), new, v.lanes)
                )
            return self.rounded(Value(v.text, new, v.lanes))
        unsigned = old == "bool" or _unsigned(old)
        if new in _FLOATS:
            conversion = "uitofp" if unsigned else "sitofp"
            text = self.emit(f"{conversion} {source} {v.text} to {held}")
            return self.rounded(Value(text, new, v.lanes))
        if old in _FLOATS:
            conversion = "fptoui" if _unsigned(new) else "fptosi"
            text = self.emit(f"{conversion} {source} {v.text} to {held}")
            return Value(self.emit(f"freeze {held} {text}"), new, v.lanes)
        width_old, width_new = int(_LLVM[old][1:]), int(_LLVM[new][1:])
        if width_old == width_new:
            return Value(v.text, new, v.lanes)
        conversion = "trunc" if width_new < width_old else "zext" if unsigned else "sext"
        return Value(self.emit(f"{conversion} {source} {v.text} to {held}"), new, v.lanes)

    # --- functions --------------------------------------------------------------------------

    def function(self, name: str, args: list[Value], dtype: str) -> Value:
        """Return the named function of `Intrinsic`."""
        name = _ALIASES.get(name, name)
        args, lanes = self.aligned(*args)
        a = args[0]
        if name in ("isnan", "isinf", "isfinite"):
            return self._classify(name, a)
        if a.dtype not in _FLOATS:
            return self._int_function(name, a, lanes)
        if a.dtype in _NARROW:
            wide = [Value(x.text, "float32", x.lanes) for x in args]
            result = self.function(name, wide, "float32")
            return self.rounded(Value(result.text, a.dtype, result.lanes))
        held = type_of(a.dtype, lanes)
        if name in _ROUND:
            return Value(self._llvm(_ROUND[name], held, a), a.dtype, lanes)
        if name in ("abs", "sqrt"):
            llvm_name = "fabs" if name == "abs" else name
            return Value(self._llvm(llvm_name, held, a), a.dtype, lanes)
        if name == "copysign":
            return Value(self._llvm(name, held, *args), a.dtype, lanes)
        if name in ("pow", "power") and (known := self._power(a, args[1])) is not None:
            return known
        if a.dtype == "float32" and name in MAX_ULP:
            return self._vector_function(name, a, held, lanes)
        if name in ("sigmoid", "rsqrt"):
            one = self.literal(1.0, a.dtype)
            if name == "rsqrt":
                return self.binary("/", one, self.function("sqrt", [a], a.dtype))
            grown = self.function("exp", [self.binary("-", self.literal(-0.0, a.dtype), a)], dtype)
            return self.binary("/", one, self.binary("+", one, grown))
        if name in _LIBRARY or name in _LIBRARY2:
            return self._library_call(_LIBRARY2.get(name, name), args, lanes)
        raise CodegenError(f"T.{name} on {a.dtype} has no native code; write it by known functions")

    def _llvm(self, name: str, held: str, *args: Value) -> str:
        return self.intrinsic(f"llvm.{name}.{_suffix(held)}", held, *((held, a.text) for a in args))

    def _vector_function(self, name: str, a: Value, held: str, lanes: int) -> Value:
        full = function_name(name, max(lanes, 1))
        if full not in self.functions:
            self.functions[full], declarations = function_text(name, max(lanes, 1))
            self.declarations |= declarations
        return Value(self.emit(f"call {held} @{full}({held} {a.text})"), a.dtype, lanes)

    def _power(self, a: Value, b: Value) -> Value | None:
        known = {self.literal(x, a.dtype).text: x for x in (0.5, 1.0, 2.0, 3.0, -1.0)}
        text = b.text.removeprefix("splat (").rstrip(")").split()[-1]
        match known.get(text):
            case 1.0:
                return a
            case 2.0:
                return self.binary("*", a, a)
            case 3.0:
                return self.binary("*", self.binary("*", a, a), a)
            case -1.0:
                return self.binary("/", self.literal(1.0, a.dtype), a)
            case _:
                return None

    def _library_call(self, name: str, args: list[Value], lanes: int) -> Value:
        dtype = args[0].dtype
        element, held = type_of(dtype, 0), type_of(dtype, lanes)
        name = f"{name}f" if dtype == "float32" else name
        if not lanes:
            operands = [(element, a.text) for a in args]
            return Value(self.intrinsic(name, element, *operands), dtype)
        vector = "poison"
        for lane in range(lanes):
            scalars = [self.emit(f"extractelement {held} {a.text}, i64 {lane}") for a in args]
            one = self.intrinsic(name, element, *((element, s) for s in scalars))
            vector = self.emit(f"insertelement {held} {vector}, {element} {one}, i64 {lane}")
        return Value(vector, dtype, lanes)

    def _int_function(self, name: str, a: Value, lanes: int) -> Value:
        held = type_of(a.dtype, lanes)
        if name == "abs":
            if _unsigned(a.dtype) or a.dtype == "bool":
                return a
            operands = ((held, a.text), ("i1", "false"))
            return Value(
                self.intrinsic(f"llvm.abs.{_suffix(held)}", held, *operands), a.dtype, lanes
            )
        if name in _ROUND:
            return a
        if name == "popcount":
            text = self.intrinsic(f"llvm.ctpop.{_suffix(held)}", held, (held, a.text))
            return Value(text, a.dtype, lanes)
        raise CodegenError(f"T.{name} on {a.dtype} has no native code; cast to a float first")

    def _classify(self, name: str, a: Value) -> Value:
        if a.dtype not in _FLOATS:
            return self.splat(self.literal(int(name == "isfinite"), "bool"), a.lanes)
        if name == "isnan":
            return self.binary("!=", a, a)
        size = self.function("abs", [Value(a.text, _wide(a.dtype), a.lanes)], _wide(a.dtype))
        return self.binary(
            "==" if name == "isinf" else "<", size, self.literal(float("inf"), size.dtype)
        )

    def reduced(self, op: str, v: Value) -> Value:
        """Return the lanes of `v` combined by + * min max."""
        element, held = type_of(v.dtype, 0), type_of(v.dtype, v.lanes)
        suffix = _suffix(held)
        is_real = v.dtype in _FLOATS
        sign = "u" if _unsigned(v.dtype) else "s"
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


def _wide(dtype: str) -> str:
    return "float32" if dtype in _NARROW else dtype


def _unsigned(dtype: str) -> bool:
    return dtype.startswith("uint") or dtype == "bool"


def _suffix(held: str) -> str:
    """Return the mangled name of an LLVM type: `<8 x float>` is v8f32."""
    short = {"float": "f32", "double": "f64", "half": "f16"}
    if not held.startswith("<"):
        return short.get(held, held)
    lanes, element = held[1:-1].split(" x ")
    return f"v{lanes}{short.get(element, element)}"
