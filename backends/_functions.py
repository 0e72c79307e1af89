"""Functions of scalar and vector values in LLVM IR: those of `Intrinsic`."""

from __future__ import annotations

from eqsat.backends._errors import CodegenError
from eqsat.backends._operators import Operators
from eqsat.backends._values import FLOATS, NARROW, Value, is_unsigned, mangled, type_of
from eqsat.backends._vector_math import MAX_ULP, function_name, function_text
from eqsat.shapes import wide_dtype

_ROUND = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "roundeven",
          "nearbyint": "roundeven", "rint": "roundeven"}  # fmt: skip
_LIBRARY = frozenset({
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "erf", "sin", "cos", "tan",
    "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "cbrt", "erfc", "lgamma",
    "tgamma", "pow", "atan2", "fmod", "hypot", "nextafter",
})  # fmt: skip
_ALIASES = {"fabs": "abs", "erff": "erf", "power": "pow", "truncmod": "fmod"}


class Arithmetic(Operators):
    """Emits operators and functions of values."""

    def function(self, name: str, args: list[Value], dtype: str) -> Value:
        """Return the named function of `Intrinsic`."""
        name = _ALIASES.get(name, name)
        args, lanes = self.aligned(*args)
        a = args[0]
        if name == "fma":
            return self.binary("+", self.binary("*", a, args[1]), args[2])
        if name in ("isnan", "isinf", "isfinite"):
            return self._classify(name, a)
        if a.dtype not in FLOATS:
            return self._int_function(name, args, lanes)
        if a.dtype in NARROW and name != "nextafter":
            up = [self.cast(x, wide_dtype(x.dtype)) for x in args]
            result = self.function(name, up, "float32")
            return self.rounded(Value(result.text, a.dtype, result.lanes))
        return self._float_function(name, args, lanes)

    def _float_function(self, name: str, args: list[Value], lanes: int) -> Value:
        a, held = args[0], type_of(args[0].dtype, lanes)
        if name in _ROUND:
            return Value(self._llvm(_ROUND[name], held, a), a.dtype, lanes)
        if name in ("abs", "sqrt"):
            llvm_name = "fabs" if name == "abs" else name
            return Value(self._llvm(llvm_name, held, a), a.dtype, lanes)
        if name == "copysign":
            return Value(self._llvm(name, held, *args), a.dtype, lanes)
        if name == "ldexp":
            power = self.cast(args[1], "int32")
            kind = type_of("int32", lanes)
            text = self.intrinsic(
                f"llvm.ldexp.{mangled(held)}.{mangled(kind)}",
                held,
                (held, a.text),
                (kind, power.text),
            )
            return Value(text, a.dtype, lanes)
        if name == "pow" and (known := self._power(a, args[1])) is not None:
            return known
        if a.dtype == "float32" and name in MAX_ULP:
            return self._vector_function(name, a, held, lanes)
        if name in _LIBRARY and a.dtype not in NARROW:
            return self._library_call(name, args, lanes)
        return self._composed(name, args)

    def _composed(self, name: str, args: list[Value]) -> Value:
        """Return a function that is written by others."""
        a, dtype = args[0], args[0].dtype
        one = self.literal(1.0, dtype)
        match name:
            case "exp10":
                return self.function("pow", [self.literal(10.0, dtype), a], dtype)
            case "rsqrt":
                return self.binary("/", one, self.function("sqrt", [a], dtype))
            case "sigmoid":
                negative = self.binary("-", self.literal(-0.0, dtype), a)
                grown = self.function("exp", [negative], dtype)
                return self.binary("/", one, self.binary("+", one, grown))
            case _:
                raise CodegenError(
                    f"T.{name} on {dtype} has no native code; write it by known functions"
                )

    def _llvm(self, name: str, held: str, *args: Value) -> str:
        return self.intrinsic(f"llvm.{name}.{mangled(held)}", held, *((held, a.text) for a in args))

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

    def _int_function(self, name: str, args: list[Value], lanes: int) -> Value:
        a, held = args[0], type_of(args[0].dtype, lanes)
        match name:
            case "abs" if is_unsigned(a.dtype):
                return a
            case "abs":
                operands = ((held, a.text), ("i1", "false"))
                text = self.intrinsic(f"llvm.abs.{mangled(held)}", held, *operands)
                return Value(text, a.dtype, lanes)
            case "bitwise_not" if a.dtype == "bool":
                return self.negate(a)
            case "bitwise_not":
                return self.binary("^", a, self.literal(-1, a.dtype))
            case "fmod":
                return self.binary("truncmod", a, args[1])
            case "pow":
                return self.binary("pow", a, args[1])
            case "popcount":
                text = self.intrinsic(f"llvm.ctpop.{mangled(held)}", held, (held, a.text))
                return Value(text, a.dtype, lanes)
            case "clz":
                operands = ((held, a.text), ("i1", "false"))
                text = self.intrinsic(f"llvm.ctlz.{mangled(held)}", held, *operands)
                return self.cast(Value(text, a.dtype, lanes), "int32")
            case _ if name in _ROUND:
                return a
            case _:
                raise CodegenError(
                    f"T.{name} on {a.dtype} has no native code; cast to a float first"
                )

    def _classify(self, name: str, a: Value) -> Value:
        if a.dtype not in FLOATS:
            return self.splat(self.literal(int(name == "isfinite"), "bool"), a.lanes)
        if name == "isnan":
            return self.binary("!=", a, a)
        wide = wide_dtype(a.dtype)
        size = self.function("abs", [self.cast(a, wide)], wide)
        return self.binary(
            "==" if name == "isinf" else "<", size, self.literal(float("inf"), size.dtype)
        )
