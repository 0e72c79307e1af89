"""Runs programs with NumPy: the plain meaning that every other way to run is checked against."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np

from eqsat.ir._call_ops import CALL_OPS, HOST_CALLS
from eqsat.ir._expr import (
    Call,
    Constant,
    DataTypeImm,
    Expr,
    ExternFunc,
    Function,
    GlobalVar,
    If,
    IRModule,
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
from eqsat.ir._externs import Extern, get_func
from eqsat.ir._interpret_bind import RuntimeCheckError, bind_types, check_required, shown
from eqsat.ir._interpret_call import as_result, call_primfunc, empty_tensor, run_operator
from eqsat.ir._interpret_host import Partial, check_assertion, print_values, render
from eqsat.ir._interpret_tir import run_primfunc
from eqsat.ir._one_device import require_one_device
from eqsat.ir._op import OpDef
from eqsat.ir._reads import variables_read
from eqsat.ir._requirements import size_requirements
from eqsat.ir._tir import PrimFunc
from eqsat.ir._types import PrimType, TensorType, TupleType, Type
from eqsat.shapes import Equal, SymDim, evaluate, numpy_dtype


def interpret(
    program: IRModule | Function,
    *args: Any,
    function: str = "main",
    externs: Mapping[str, Extern] | None = None,
) -> Any:
    """Return what `program` computes from `args`.

    Args:
        program: a module, or one function that calls no others.
        args: an array per tensor parameter (a Python number for a scalar one), a tuple of ints per
            shape, a tuple of values per tuple.
        function: the function of the module to call; a PrimFunc gets its outputs passed too.
        externs: what external functions compute, by name: from the operands to the result. A name
            that is not here is looked up among the functions of `register_func`.

    Returns:
        An array for a tensor, a tuple of ints for a shape, a tuple for a tuple.

    Raises:
        RuntimeCheckError: a value does not have the type declared for it, or sizes differ that the
            program needs to be equal.
        TypeCheckError: the program is for several devices.
    """
    module = program if isinstance(program, IRModule) else IRModule({program.name: program})
    name = function if isinstance(program, IRModule) else program.name
    if name not in module.functions:
        raise RuntimeCheckError(f"no function {name!r}; there are {', '.join(module.functions)}")
    require_one_device(module)
    target = module[name]
    required = size_requirements(module, name)
    machine = _Machine(module, externs or {}, {name: required})
    values = [_as_value(a) for a in args]
    if isinstance(target, PrimFunc):
        run_primfunc(target, values, externs=externs)
        return None
    try:
        return machine.call_function(target, values)
    except RecursionError as error:
        raise RuntimeCheckError(
            f"{name} calls itself deeper than the interpreter can follow; raise "
            "sys.setrecursionlimit, or run what eqsat.compile makes: it has no such limit"
        ) from error


def _as_value(a: Any) -> Any:
    """Return an argument as the interpreter holds it."""
    if isinstance(a, (tuple, list)):
        return tuple(_as_value(x) for x in a)
    if isinstance(a, np.generic):
        return np.asarray(a)
    return a


@dataclass(slots=True)
class _Closure:
    """A function value with the frame it was made in."""

    function: Function
    frame: _Frame


@dataclass(slots=True)
class _Frame:
    """The variables and shape symbols of one function call."""

    values: dict[Var, Any]
    symbols: dict[str, int]


class _Machine:
    def __init__(
        self,
        module: IRModule,
        externs: Mapping[str, Extern],
        required: Mapping[str, Sequence[Equal]],
    ) -> None:
        self.module, self.externs, self.required = module, externs, required
        self.dead_after: dict[int, list[list[Var]]] = {}

    def call_function(self, f: Function, args: Sequence[Any], outer: _Frame | None = None) -> Any:
        if len(args) != len(f.params):
            raise RuntimeCheckError(f"{f.name} takes {len(f.params)} arguments, got {len(args)}")
        frame = _Frame(dict(outer.values) if outer else {}, dict(outer.symbols) if outer else {})
        values = [_fit_scalar(p.type, a) for p, a in zip(f.params, args, strict=True)]
        names = [f"argument {p.name} of {f.name}" for p in f.params]
        bind_types(names, [p.type for p in f.params], values, frame.symbols)
        if outer is None:
            check_required(self.required.get(f.name, ()), frame.symbols)
        for p, value in zip(f.params, values, strict=True):
            self.bind(p, value, frame)
        return self.seq(f.body, frame)

    def bind(self, var: Var, value: Any, frame: _Frame) -> None:
        frame.values[var] = value
        if var.type == _DIM and isinstance(value, (int, np.integer)):
            frame.symbols[var.name] = int(value)  # a variable of this type is a symbol too

    def seq(self, s: SeqExpr, frame: _Frame) -> Any:
        bindings = [b for block in s.blocks for b in block.bindings]
        dead = self.dead_after.get(id(s))
        if dead is None:
            dead = self.dead_after[id(s)] = _last_uses(s)
        for binding, gone in zip(bindings, dead, strict=True):
            value = self.eval(binding.value, frame)
            if isinstance(binding, MatchCast):
                bind_types([binding.var.name], [binding.type], [value], frame.symbols)
            self.bind(binding.var, value, frame)
            for var in gone:
                del frame.values[var]
        return self.eval(s.result, frame)

    def eval(self, e: Expr, frame: _Frame) -> Any:  # noqa: C901  # one case per expression
        match e:
            case Var():
                return frame.values[e]
            case Constant(value):
                return value
            case ShapeExpr(dims):
                return tuple(evaluate(d, frame.symbols) for d in dims)
            case PrimValue(value, dtype):
                known = evaluate(value, frame.symbols) if isinstance(value, SymDim) else value
                return bool(known) if dtype == "bool" else known
            case StringImm(value) | DataTypeImm(value):
                return value
            case NullValue():
                return None
            case Tuple(fields):
                return tuple(self.eval(f, frame) for f in fields)
            case TupleGetItem(tuple_value, index):
                return self.eval(tuple_value, frame)[index]
            case Call():
                return self.call(e, frame)
            case If(condition, then_branch, else_branch):
                branch = then_branch if self.truth(condition, frame) else else_branch
                return self.seq(branch, _Frame(dict(frame.values), dict(frame.symbols)))
            case SeqExpr():
                return self.seq(e, _Frame(dict(frame.values), dict(frame.symbols)))
            case Function():
                return _Closure(e, frame)
            case GlobalVar(name):
                return self.global_function(name)
            case ExternFunc(name):
                return self.extern(name)
            case _:
                assert_never(e)

    def truth(self, condition: Expr, frame: _Frame) -> bool:
        value = np.asarray(self.eval(condition, frame))
        if value.shape != () or value.dtype != np.bool_:
            raise RuntimeCheckError(f"the condition of an If must be bool[], got {shown(value)}")
        return bool(value)

    def global_function(self, name: str) -> Function | PrimFunc | Extern:
        if name in self.module.functions:
            return self.module[name]
        if name in self.module.extern_funcs:
            return self.extern(self.module.extern_funcs[name].name)
        raise RuntimeCheckError(f"the module has no function {name!r}")

    def extern(self, name: str) -> Extern:
        found = self.externs.get(name) or get_func(name)
        if found is None:
            raise RuntimeCheckError(
                f"the external function {name!r} has no NumPy meaning; pass it as "
                f"externs={{{name!r}: ...}} or register it with eqsat.register_func"
            )
        return found

    def call(self, e: Call, frame: _Frame) -> Any:
        op = e.op
        if isinstance(op, OpDef):
            if CALL_OPS.get(op.name) is op and op.name in HOST_CALLS:
                return self.host(op, e, frame)
            if op.operands or not e.args or not _has_callee(op):
                return self.operator(op, e, frame)
            return self.foreign(op, e, frame)
        callee = self.eval(op, frame)
        return self.apply(callee, [self.eval(a, frame) for a in e.args])

    def host(self, op: OpDef, e: Call, frame: _Frame) -> Any:
        """Run what the host runs: printing, assertions, the making of closures."""
        values = [self.eval(a, frame) for a in e.args]
        match op.name:
            case "make_closure":
                return Partial(values[0], tuple(values[1:]))
            case "render_object":
                return render(values[0])
            case "print":
                print_values(str(e.attrs["format"]), values)
            case _:
                check_assertion(values[0], str(e.attrs["format"]), values[1:])
        return ()

    def apply(self, callee: Any, args: Sequence[Any]) -> Any:
        match callee:
            case Partial(function, last):
                return self.apply(function, [*args, *last])
            case Function():
                return self.call_function(callee, args)
            case _Closure(function, frame):
                return self.call_function(function, args, frame)
            case PrimFunc():
                raise RuntimeCheckError(f"{callee.name} is a PrimFunc; call it by call_tir")
            case _:
                return _as_value(callee(*args))

    def operator(self, op: OpDef, e: Call, frame: _Frame) -> Any:
        args = [self.eval(a, frame) for a in e.args]
        return run_operator(op, args, e.attrs, e.type, frame.symbols)

    def foreign(self, op: OpDef, e: Call, frame: _Frame) -> Any:
        """Run `call_tir` and its kin: the callee is the first operand."""
        callee, *args = (self.eval(a, frame) for a in e.args)
        if op.name.startswith("invoke"):
            return self.apply(callee, args)
        if not isinstance(callee, PrimFunc):
            if op.name == "call_dps_packed" and self.is_registered(e.args[0]):
                return self.into_outputs(callee, args, e.type, frame)
            return as_result(self.apply(callee, args), e.type)
        inplace = None
        if op.name == "call_tir_inplace":
            given = e.attrs["inplace_indices"]
            listed = given if isinstance(given, tuple) else (given,)
            inplace = [k if isinstance(k, int) else -1 for k in listed]
        return call_primfunc(callee, args, e.type, inplace, frame.symbols, externs=self.externs)

    def is_registered(self, callee: Expr) -> bool:
        """Say whether an external function comes from `register_func`: those write outputs."""
        return isinstance(callee, ExternFunc) and callee.name not in self.externs

    def into_outputs(self, f: Extern, args: list[Any], ty: Type, frame: _Frame) -> Any:
        types = ty.fields if isinstance(ty, TupleType) else (ty,)
        outputs = [empty_tensor(t, frame.symbols) for t in types]
        f(*args, *outputs)
        return tuple(outputs) if isinstance(ty, TupleType) else outputs[0]


_DIM = PrimType("int64")


def _has_callee(op: OpDef) -> bool:
    return op.name.startswith(("call_", "invoke_"))


def _fit_scalar(ty: Type, value: Any) -> Any:
    """Return a Python number as an array where a rank-0 tensor is expected."""
    if isinstance(ty, TensorType) and isinstance(value, (bool, int, float)) and ty.ndim == 0:
        return np.asarray(value, numpy_dtype(ty.dtype))
    return value


def _last_uses(s: SeqExpr) -> list[list[Var]]:
    """Return, for every binding, the variables bound here that nothing reads after it."""
    bindings = [b for block in s.blocks for b in block.bindings]
    kept = set(variables_read(s.result))
    if any(isinstance(b.value, Function) for b in bindings):
        return [[] for _ in bindings]  # a closure keeps its frame
    last = {b.var: k for k, b in enumerate(bindings)}
    for k, b in enumerate(bindings):
        for var in variables_read(b.value):
            if var in last:
                last[var] = k
    dead: list[list[Var]] = [[] for _ in bindings]
    for var, k in last.items():
        if var not in kept:
            dead[k].append(var)
    return dead
