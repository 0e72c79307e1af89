"""The instructions of one function while they are written: registers, constants, values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, assert_never

import numpy as np

from eqsat.ir import (
    Call,
    Constant,
    DataTypeImm,
    Expr,
    ExternFunc,
    Function,
    GlobalVar,
    If,
    IRModule,
    NullValue,
    PrimType,
    PrimValue,
    SeqExpr,
    ShapeExpr,
    ShapeType,
    StringImm,
    TensorType,
    Tuple,
    TupleGetItem,
    TupleType,
    Type,
    Var,
)
from eqsat.lowering._errors import LoweringError
from eqsat.lowering._vm_program import (
    Check,
    ExternRef,
    FunctionRef,
    GetField,
    Instruction,
    MakeScalar,
    MakeShape,
    MakeTuple,
    Registers,
)
from eqsat.shapes import SymDim, symbols

Value = int | tuple["Value", ...]
"""A register, or a tuple of which each field is in one."""


class Code:
    """The code of one function.

    `calls` is told the functions of the module that it needs, `on_host` what has no native code.
    """

    def __init__(
        self,
        module: IRModule,
        name: str,
        calls: Callable[[str], None],
        on_host: Callable[[str], None],
    ) -> None:
        self.module, self.name = module, name
        self.calls, self.on_host = calls, on_host
        self.instructions: list[Instruction] = []
        self.values: dict[Var, Value] = {}
        self.constants: dict[int, Any] = {}
        self.known: set[str] = set()  # the symbols that have values
        self.where = ""
        self.num_registers = 0
        self._constant_registers: dict[object, int] = {}

    def new(self) -> int:
        """Return a register that nothing uses yet."""
        self.num_registers += 1
        return self.num_registers - 1

    def emit(self, one: Instruction) -> int:
        """Append an instruction; return its place."""
        self.instructions.append(replace(one, where=self.where))
        return len(self.instructions) - 1

    def _constant(self, key: object, value: Any) -> int:
        if key not in self._constant_registers:
            r = self._constant_registers[key] = self.new()
            self.constants[r] = value
        return self._constant_registers[key]

    def register(self, e: Expr) -> int:  # noqa: C901  # one case per expression
        """Return the register that holds `e`."""
        match e:
            case Var():
                return self.whole(self.variable(e))
            case Constant(value):
                return self._constant(("array", id(value)), _frozen(value))
            case ShapeExpr(dims):
                if not symbols(dims):
                    return self._constant(("shape", dims), dims)
                r = self.new()
                self.emit(MakeShape(dims, r))
                return r
            case PrimValue(value, dtype):
                if not isinstance(value, SymDim):
                    number = bool(value) if dtype == "bool" else value
                    return self._constant((type(number).__name__, repr(number)), number)
                r = self.new()
                self.emit(MakeScalar(value, r, is_condition=dtype == "bool"))
                return r
            case StringImm(value) | DataTypeImm(value):
                return self._constant(("text", value), value)
            case NullValue():
                return self._constant("null", None)
            case GlobalVar(name):
                return self._constant(("function", name), self._function_value(name))
            case ExternFunc(name):
                return self._constant(("extern", name), ExternRef(name))
            case Tuple() | TupleGetItem():
                return self.whole(self.value(e))
            case Call() | If() | SeqExpr() | Function():
                raise AssertionError("bodies are in plain form")
            case _:
                assert_never(e)

    def registers(self, args: Sequence[Expr]) -> Registers:
        """Return the registers of several expressions."""
        return tuple([self.register(a) for a in args])

    def _function_value(self, name: str) -> FunctionRef | ExternRef:
        if name in self.module.extern_funcs:
            return ExternRef(self.module.extern_funcs[name].name)
        target = self.module.functions.get(name)
        if not isinstance(target, Function):
            raise self.error(f"{name} is no Relax function of the module, so it is no value")
        self.calls(name)
        return FunctionRef(name)

    def variable(self, var: Var) -> Value:
        """Return where a variable is."""
        if var not in self.values:
            raise self.error(f"{var.name} is used before it is bound")
        return self.values[var]

    def whole(self, value: Value) -> int:
        """Return the one register that holds `value`."""
        if isinstance(value, int):
            return value
        r = self.new()
        self.emit(MakeTuple(tuple([self.whole(v) for v in value]), r))
        return r

    def error(self, what: str) -> LoweringError:
        """Return an error that names the place."""
        at = f" at {self.where}" if self.where else ""
        return LoweringError(f"{self.name}{at}: {what}")

    def value(self, e: Expr) -> Value:
        """Return where `e` is."""
        match e:
            case Tuple(fields):
                return tuple([self.value(f) for f in fields])
            case Var():
                return self.variable(e)
            case TupleGetItem(tuple_value, index):
                owner = self.value(tuple_value)
                if not isinstance(owner, int):
                    return owner[index]
                r = self.new()
                self.emit(GetField(owner, index, r))
                return r
            case _:
                return self.register(e)

    def check(self, r: int, ty: Type, what: str) -> None:
        """Write a check of a value, where its type says something."""
        if is_checkable(ty):
            self.emit(Check(r, ty, what))


def is_checkable(ty: Type) -> bool:
    """Say whether a value can be seen not to be of the type."""
    match ty:
        case TensorType() | ShapeType() | PrimType():
            return True
        case TupleType(fields):
            return bool(fields)
        case _:
            return False


def _frozen(value: Any) -> Any:
    view = np.asarray(value).view()
    view.flags.writeable = False
    return view
