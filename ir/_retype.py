"""Functions made anew for arguments whose dtypes are known only at a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from eqsat.ir._call import infer_type
from eqsat.ir._expr import (
    Binding,
    BindingBlock,
    Call,
    Expr,
    Function,
    GlobalVar,
    If,
    IRModule,
    MatchCast,
    SeqExpr,
    Tuple,
    TupleGetItem,
    Var,
    VarBinding,
)
from eqsat.ir._op import OpDef
from eqsat.ir._tir import PrimFunc
from eqsat.ir._types import Type, has_unknown_dtype, with_dtypes_of
from eqsat.shapes import EqsatError


def with_argument_types(module: IRModule, name: str, types: Sequence[Type]) -> IRModule:
    """Return the module with function `name` for arguments of these types.

    Dtypes that follow are filled in; shapes stay as they are declared. A function that it calls is
    made anew for each list of argument types, under another name.

    Raises:
        EqsatError: an operator does not take the dtypes; a note names the place.
    """
    retyper = _Retyper(module)
    made = retyper.function(module.relax_function(name), types)
    return replace(module, functions={**module.functions, **retyper.made, name: made})


@dataclass(eq=False)
class _Retyper:
    module: IRModule
    made: dict[str, Function | PrimFunc] = field(default_factory=dict[str, "Function | PrimFunc"])

    def __post_init__(self) -> None:
        self._vars: dict[Var, Var] = {}
        self._names: dict[tuple[str, tuple[Type, ...]], str] = {}

    def function(self, f: Function, types: Sequence[Type]) -> Function:
        """Return `f` with parameters of the dtypes in `types`."""
        for p, ty in zip(f.params, types, strict=True):
            self._var(p, ty)
        params = tuple(self._vars[p] for p in f.params)
        body = self._sequence(f.body)
        return replace(f, params=params, body=body, ret_type=with_dtypes_of(f.ret_type, body.type))

    def _var(self, var: Var, found: Type) -> Var:
        made = self._vars[var] = replace(var, type=with_dtypes_of(var.type, found))
        return made

    def _sequence(self, s: SeqExpr) -> SeqExpr:
        blocks = tuple(
            BindingBlock(tuple(map(self._binding, block.bindings)), block.is_dataflow)
            for block in s.blocks
        )
        return SeqExpr(blocks, self._expr(s.result))

    def _binding(self, b: Binding) -> Binding:
        if isinstance(b.value, Function):  # it may call itself
            var = self._var(b.var, b.var.type)
            return VarBinding(var, self._expr(b.value))
        try:
            value = self._expr(b.value)
        except EqsatError as error:
            error.add_note(f"at {b.var.name}")
            raise
        if isinstance(b, MatchCast):
            ty = with_dtypes_of(b.type, value.type)
            return MatchCast(self._var(b.var, ty), value, ty)
        return VarBinding(self._var(b.var, value.type), value)

    def _expr(self, e: Expr) -> Expr:
        match e:
            case Var():
                return self._vars.get(e, e)
            case Tuple(fields):
                return replace(e, fields=tuple(map(self._expr, fields)))
            case TupleGetItem(owner):
                return replace(e, tuple_value=self._expr(owner))
            case Call():
                return self._call(e)
            case If():
                branches = self._sequence(e.then_branch), self._sequence(e.else_branch)
                return replace(
                    e,
                    condition=self._expr(e.condition),
                    then_branch=branches[0],
                    else_branch=branches[1],
                    type=_of_both(e.type, branches[0].type, branches[1].type),
                )
            case SeqExpr():
                return self._sequence(e)
            case Function():
                return self.function(e, [p.type for p in e.params])
            case _:
                return e

    def _call(self, e: Call) -> Call:
        args = tuple(map(self._expr, e.args))
        types = [a.type for a in args]
        match e.op:
            case OpDef() as op if op.operands and types != [a.type for a in e.args]:
                found = infer_type(op, types, dict(e.attrs))
                return replace(e, args=args, type=with_dtypes_of(e.type, found))
            case GlobalVar(name) if isinstance(self.module.functions.get(name), Function):
                op, found = self._callee(e.op, types)
                return replace(e, op=op, args=args, type=with_dtypes_of(e.type, found))
            case Var() as callee:
                return replace(e, op=self._vars.get(callee, callee), args=args)
            case _:
                return replace(e, args=args)

    def _callee(self, called: GlobalVar, types: Sequence[Type]) -> tuple[GlobalVar, Type]:
        """Return the function for arguments of these types, and what it returns."""
        f = self.module.relax_function(called.name)
        if not any(has_unknown_dtype(p.type) for p in f.params) or len(types) != len(f.params):
            return called, f.ret_type
        key = (called.name, tuple(map(with_dtypes_of, [p.type for p in f.params], types)))
        if key not in self._names:
            name = self._names[key] = self._free_name(called.name)
            self.made[name] = replace(f, name=name)  # what a call of itself inside finds
            around, self._vars = self._vars, {}
            made = self.function(f, types)
            self._vars = around
            self.made[name] = replace(made, name=name, is_private=True)
        made = self.made[self._names[key]]
        assert isinstance(made, Function)
        return GlobalVar(made.name, made.type, called.span), made.ret_type

    def _free_name(self, base: str) -> str:
        name, k = base, 0
        while name in self.module.functions or name in self.made:
            name, k = f"{base}_{k}", k + 1
        return name


def _of_both(declared: Type, first: Type, second: Type) -> Type:
    """Return the type of an If with the dtypes that both of its branches have."""
    ty = with_dtypes_of(declared, first)
    return ty if ty == with_dtypes_of(declared, second) else declared
