"""Printing Relax functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._call_ops import CLOSURE_CALLS, DPS_CALLS, HOST_CALLS, PACKED_CALLS
from eqsat.ir._expr import (
    Binding,
    BindingBlock,
    Call,
    Constant,
    DataTypeImm,
    Expr,
    ExternFunc,
    Function,
    GlobalVar,
    If,
    MatchCast,
    NullValue,
    PrimValue,
    SeqExpr,
    ShapeExpr,
    StringImm,
    Tuple,
    TupleGetItem,
    Var,
)
from eqsat.ir._op import OpDef, OperandKind
from eqsat.ir._types import DeviceMesh, DTensorType, PrimType, TupleType, is_distributed
from eqsat.ir.script._conditions import condition_text
from eqsat.ir.script._dialect import LATEST, Dialect
from eqsat.ir.script._metadata import CONSTANTS
from eqsat.ir.script._names import Names, legal
from eqsat.ir.script._print_types import TypePrinter, number, string
from eqsat.ir.script._symbols import symbols_of_function
from eqsat.shapes import Dim, sym

INDENT = "    "


class Constants:
    """The constants that a script keeps in its metadata."""

    def __init__(self, key: str = CONSTANTS) -> None:
        self.key = key
        self.values: list[Constant] = []
        self._positions: dict[tuple[int, DTensorType | None], int] = {}

    def reference(self, e: Constant) -> str:
        """Return the text that refers to `e`; one array is stored once."""
        identity = (id(e.value), e.distributed)
        if identity not in self._positions:
            self._positions[identity] = len(self.values)
            self.values.append(e)
        return f'metadata["{self.key}"][{self._positions[identity]}]'


def scalar_text(value: NDArray[np.generic]) -> str | None:
    """Return the literal of a rank-0 constant, None where no literal gives the same bits."""
    if value.ndim or value.dtype.name.startswith(("float4", "float6")):
        return None  # TVM 0.27 reads no literal of these
    kind = value.dtype.kind
    if kind == "b":
        return str(bool(value))
    if kind in "iu":
        return str(int(value))
    # Through the text, so that a nan loses the payload that no literal has.
    exact = float(repr(float(value)))
    # The shortest text of the dtype reads back to the same bits and is nicer than the exact one.
    short = float(str(value)) if value.dtype.kind == "f" else exact
    for candidate in (short, exact):
        if np.asarray(candidate).astype(value.dtype).tobytes() == value.tobytes():
            return number(candidate)
    return None


class RelaxPrinter:
    """Prints one function; `globals_` and `meshes` map what the module holds to its names."""

    def __init__(
        self,
        constants: Constants,
        globals_: Mapping[str, str] | None = None,
        dialect: Dialect = LATEST,
        meshes: Mapping[DeviceMesh, str] | None = None,
    ) -> None:
        self._dialect = dialect
        self._meshes = dict(meshes or {})
        self._constants = constants
        self._globals = dict(globals_ or {})
        self._lines: list[str] = []
        self._vars: dict[Var, str] = {}
        self._names = Names()
        self._symbols: frozenset[str] = frozenset()
        self._used: frozenset[Var] = frozenset()
        self._types = TypePrinter(dialect=dialect, meshes=self._meshes)

    def function(self, function: Function, name: str, depth: int = 0) -> list[str]:
        """Return the lines of a function."""
        symbols = symbols_of_function(function)
        names = Names()
        renamed = {s: sym(names.take(s)) for s in symbols}
        shown = [str(renamed[s]) for s in symbols]
        changed = {s: d for s, d in renamed.items() if s != str(d)}
        self._types = TypePrinter(changed, self._dialect, self._meshes)
        self._names = names
        self._symbols = frozenset(symbols)
        self._used = _used(function)
        return self._function(function, name, depth, shown)

    def _function(
        self, function: Function, name: str, depth: int, symbols: Sequence[str]
    ) -> list[str]:
        options = ["private=True"] if function.is_private else []
        options += [] if function.is_pure else ["pure=False"]
        self._emit(depth, f"@R.function({', '.join(options)})" if options else "@R.function")
        params = ", ".join(map(self._param, function.params))
        result = self._types.type(function.ret_type, quoted=True)
        self._emit(depth, f"def {name}({params}) -> {result}:")
        bound = {self._vars[p] for p in function.params if p.type == PrimType("int64")}
        for s in symbols:
            if s not in bound:
                self._emit(depth + 1, f"{s} = T.int64()")
        if function.attrs:
            self._emit(depth + 1, f"R.func_attr({self._types.attributes(function.attrs)})")
        if _calls_globals(function.body):
            self._emit(depth + 1, "cls = Module")
        self._sequence(function.body, depth + 1)
        self._emit(depth + 1, f"return {self._value(function.body.result)}")
        return self._lines

    def _param(self, p: Var) -> str:
        """Return a parameter; a scalar that is a symbol is tied to it, by its name or as value."""
        ty = self._types.type(p.type, quoted=True)
        if p.type != PrimType("int64") or p.name not in self._symbols:
            return f"{self._define(p)}: {ty}"
        symbol = self._types.dim(sym(p.name))
        if self._dialect.wraps_scalars:
            return f'{self._define(p)}: R.Prim(value="{symbol}")'
        self._vars[p] = symbol
        # From here on the name stands bare: in quotes it is a new symbol to TVM.
        self._types = self._types.knowing(p.name)
        return f"{symbol}: {ty}"

    def _local_function(self, function: Function, name: str, depth: int) -> None:
        """Print a function in this one; its own symbols are new names."""
        outer, known = self._types, self._symbols
        own = [s for s in symbols_of_function(function) if s not in known]
        renamed = {s: sym(self._names.take(s)) for s in own}
        self._types = outer.inside(known, {s: d for s, d in renamed.items() if s != str(d)})
        self._symbols = known | frozenset(own)
        self._function(function, name, depth, [str(renamed[s]) for s in own])
        self._types, self._symbols = outer, known

    def _emit(self, depth: int, text: str) -> None:
        self._lines.append(INDENT * depth + text)

    def _define(self, var: Var) -> str:
        name = self._names.take(var.name)
        self._vars[var] = name
        return name

    def _sequence(self, body: SeqExpr, depth: int) -> None:
        for block in body.blocks:
            self._block(block, depth)

    def _block(self, block: BindingBlock, depth: int) -> None:
        if not block.is_dataflow:
            for b in block.bindings:
                self._binding(b, depth)
            return
        self._emit(depth, "with R.dataflow():")
        for b in block.bindings:
            self._binding(b, depth + 1)
        outputs = [self._vars[b.var] for b in block.bindings if not b.var.is_dataflow]
        self._emit(depth + 1, f"R.output({', '.join(outputs)})")

    def _binding(self, binding: Binding, depth: int) -> None:
        value = binding.value
        if isinstance(binding, MatchCast):
            target = self._types.type(binding.type)
            text = f"R.match_cast({self._value(value)}, {target})"
            self._emit(depth, f"{self._annotated(binding.var)} = {text}")
        elif isinstance(value, If):
            self._if(binding.var, value, depth)
        elif isinstance(value, Function):
            self._local_function(value, self._define(binding.var), depth)
        elif self._stands_alone(binding.var, value):
            self._define(binding.var)
            self._emit(depth, self._value(value))
        elif isinstance(value, Call) and _declares_type(value):
            text = self._value(value)
            self._emit(depth, f"{self._define(binding.var)} = {text}")
        else:
            text = self._value(value)
            self._emit(depth, f"{self._annotated(binding.var)} = {text}")

    def _stands_alone(self, var: Var, value: Expr) -> bool:
        is_unnamed = var.name == "_" and var not in self._used
        return is_unnamed and var.type == TupleType(()) and is_effect(value)

    def _annotated(self, var: Var) -> str:
        name = self._define(var)
        return f"{name}: {self._types.type(var.type)}"

    def _if(self, var: Var, value: If, depth: int) -> None:
        condition = self._value(value.condition)
        self._emit(depth, f"if {condition}:")
        name = self._names.take(var.name)
        self._branch(name, value.then_branch, depth + 1)
        self._emit(depth, "else:")
        self._branch(name, value.else_branch, depth + 1)
        self._vars[var] = name

    def _branch(self, name: str, body: SeqExpr, depth: int) -> None:
        self._sequence(body, depth)
        target = f"{name}: {self._types.type(body.result.type)}"
        self._emit(depth, f"{target} = {self._value(body.result)}")

    def _value(self, e: Expr) -> str:  # noqa: C901 - one case per node
        match e:
            case Var():
                return self._vars[e] if e in self._vars else legal(e.name)
            case Constant():
                return self._constant(e)
            case ShapeExpr(dims):
                return f"R.shape([{self._types.dims(dims)}])"
            case PrimValue():
                return self._prim_value(e)
            case StringImm(value):
                return f"R.str({string(value)})"
            case DataTypeImm(value):
                return f"R.dtype({string(value)})"
            case GlobalVar(name):
                return f"cls.{self._globals.get(name, legal(name))}"
            case ExternFunc():
                return self._types.extern(e)
            case Tuple(fields):
                return self._tuple(fields) if fields else "R.tuple()"
            case TupleGetItem(value, index):
                return f"{self._value(value)}[{index}]"
            case Call():
                return self._call(e)
            case NullValue():
                return "R.null_value()"
            case If() | SeqExpr() | Function():
                raise ValueError(f"a {type(e).__name__} can only be the value of a binding")
            case _:
                assert_never(e)

    def _constant(self, e: Constant) -> str:
        text = scalar_text(e.value)
        if text is None:
            return self._constants.reference(e)
        if e.distributed is not None:
            return f"R.dist.const({text}, {self._types.type(e.distributed)})"
        return f'R.const({text}, "{e.value.dtype.name}")'

    def _prim_value(self, e: PrimValue) -> str:
        if isinstance(e.value, float):
            spelled = repr(e.value) if math.isfinite(e.value) else f'"{e.value}"'
            return self._scalar(f"T.{e.dtype}({spelled})")
        if e.dtype == "bool" and not isinstance(e.value, int):
            return f"R.prim_value({condition_text(e.value, self._types.dim)})"
        text = self._types.dim(e.value)
        if e.dtype == "int64":
            return f"R.prim_value({text})"
        return self._scalar(f"T.{e.dtype}({bool(e.value) if e.dtype == 'bool' else text})")

    def _scalar(self, text: str) -> str:
        """Return a scalar; before 0.26 it is wrapped to be a Relax value."""
        return f"R.prim_value({text})" if self._dialect.wraps_scalars else text

    def _tuple(self, fields: Sequence[Expr]) -> str:
        comma = "," if len(fields) == 1 else ""
        return f"({', '.join(self._value(f) for f in fields)}{comma})"

    def _call(self, call: Call) -> str:
        match call.op:
            case OpDef(name=name) if name in DPS_CALLS:
                return self._dps_call(name, call)
            case OpDef(name=name) if name in PACKED_CALLS:
                return self._packed_call(name, call.args[0], call.args[1:], call)
            case OpDef(name=name) if name in HOST_CALLS:
                return self._host_call(name, call)
            case OpDef() as op:
                return self._operator(op, call)
            case ExternFunc() as function:
                return self._packed_call("call_packed", function, call.args, call)
            case GlobalVar() | Var() as function if call.ty_args:
                return self._packed_call("call_packed", function, call.args, call)
            case GlobalVar() | Var() as function:
                return f"{self._value(function)}({', '.join(map(self._value, call.args))})"
            case _:
                assert_never(call.op)

    def _callee(self, e: Expr) -> str:
        return string(e.name) if isinstance(e, ExternFunc) else self._value(e)

    def _extra(self, call: Call) -> list[str]:
        return [f"{k}={self._types.attribute(v)}" for k, v in call.attrs.items()]

    def _dps_call(self, name: str, call: Call) -> str:
        out = self._types.type(call.type)
        if isinstance(call.type, TupleType) and len(call.type.fields) != 1:
            out = f"[{', '.join(map(self._types.type, call.type.fields))}]"
        function, args = self._callee(call.args[0]), list(call.args[1:])
        extra = self._extra(call)
        if self._dialect.has_tir_vars and name != "call_py_func":
            args, scalars = _trailing_scalars(args)
            if scalars:
                extra.append(
                    f"tir_vars=R.shape([{', '.join(self._types.dim(d) for d in scalars)}])"
                )
        word = self._dialect.out_type
        parts = [function, self._arguments(args), *extra, f"{word}={out}"]
        if name == "call_tir" and is_distributed(call.type):
            name = "dist.call_tir"
        return f"R.{name}({', '.join(parts)})"

    def _arguments(self, args: Sequence[Expr]) -> str:
        return self._tuple(args) if args else "R.tuple()"

    def _packed_call(self, name: str, function: Expr, args: Sequence[Expr], call: Call) -> str:
        types = call.ty_args or (call.type,)
        shown = ", ".join(self._types.type(t) for t in types)
        comma = "," if len(types) == 1 else ""
        listed = f"{self._dialect.type_args}=({shown}{comma})"
        operands = [*map(self._value, args)]
        if name in (*CLOSURE_CALLS, "call_builtin_with_ctx"):
            operands = [self._tuple(args) if args else "R.tuple()"]
        parts = [self._callee(function), *operands, *self._extra(call), listed]
        return f"R.{name}({', '.join(parts)})"

    def _host_call(self, name: str, call: Call) -> str:
        args = list(map(self._value, call.args))
        if name == "make_closure":
            args = [args[0], self._arguments(call.args[1:])]
        if name == "assert_op" and len(args) > 2:
            args = [args[0], f"[{', '.join(args[1:])}]"]
        args += [f"{k}={self._types.attribute(v)}" for k, v in call.attrs.items()]
        return f"R.{name}({', '.join(args)})"

    def _operator(self, op: OpDef, call: Call) -> str:
        arguments: list[str] = []
        gap = False
        for operand, a in zip(op.operands, call.args, strict=False):
            if isinstance(a, NullValue):
                gap = True
                continue
            text = self._value(a)
            if operand.kind is OperandKind.TENSORS and isinstance(a, Tuple):
                text = self._tuple(a.fields)
            arguments.append(f"{operand.name}={text}" if gap else text)
        for attr in op.attrs:
            if attr.name in call.attrs:
                value = call.attrs[attr.name]
                text = str(value) if attr.kind == "code" else self._types.attribute(value)
                if attr.kind == "scalar" and isinstance(value, float) and abs(value) < 3e38:
                    # TVM gives a bare Python float float64, and its results that dtype.
                    text = f"T.float32({text})"
                arguments.append(f"{attr.name}={text}")
        return f"R.{op.name}({', '.join(arguments)})"


def is_effect(value: Expr) -> bool:
    """Say whether `value` may stand as a statement of its own."""
    return isinstance(value, Call) and not (isinstance(value.op, OpDef) and value.op.is_pure)


def _trailing_scalars(args: list[Expr]) -> tuple[list[Expr], list[Dim]]:
    """Split the integers off the end of the arguments: they were `tir_vars` once."""
    count = len(args)
    while count and isinstance(last := args[count - 1], PrimValue) and last.dtype == "int64":
        count -= 1
    dims = [a.value for a in args[count:] if isinstance(a, PrimValue)]
    return args[:count], [d for d in dims if not isinstance(d, float)]


def _declares_type(call: Call) -> bool:
    if not isinstance(call.op, OpDef) or call.op.name == "dist.call_tir_local_view":
        return False
    return call.op.name in DPS_CALLS


def any_expr(e: Expr, found: Callable[[Expr], bool]) -> bool:
    """Say whether `found` holds for `e` or a part of it."""
    if found(e):
        return True
    match e:
        case Tuple(fields):
            parts: Sequence[Expr] = fields
        case TupleGetItem(value):
            parts = (value,)
        case Call():
            parts = e.args if isinstance(e.op, OpDef) else (e.op, *e.args)
        case If():
            parts = (e.condition, e.then_branch, e.else_branch)
        case SeqExpr():
            parts = (*(b.value for block in e.blocks for b in block.bindings), e.result)
        case Function():
            parts = (e.body,)
        case _:
            parts = ()
    return any(any_expr(p, found) for p in parts)


def _used(function: Function) -> frozenset[Var]:
    """Return the variables that values of `function` read."""
    found: set[Var] = set()

    def note(e: Expr) -> bool:
        if isinstance(e, Var):
            found.add(e)
        return False

    any_expr(function, note)
    return frozenset(found)


def _calls_globals(e: Expr) -> bool:
    return any_expr(e, lambda x: isinstance(x, GlobalVar))
