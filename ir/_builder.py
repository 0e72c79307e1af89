"""Builds functions binding by binding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from eqsat.ir._attrs import AttrValue
from eqsat.ir._call import Arg, make_call
from eqsat.ir._emit_te import declare_te, te_name
from eqsat.ir._expr import (
    Binding,
    BindingBlock,
    Call,
    Expr,
    Function,
    IRModule,
    MatchCast,
    SeqExpr,
    Tuple,
    TupleGetItem,
    Var,
    VarBinding,
)
from eqsat.ir._op import OpDef
from eqsat.ir._structural import structural_equal
from eqsat.ir._tir import PrimFunc
from eqsat.ir._types import TensorType, Type, TypeCheckError
from eqsat.shapes import Shape


class BlockBuilder:
    """Builds one function with one dataflow block.

    Example:
        bb = BlockBuilder()
        x = bb.input("x", (sym("n"), 4), "float32")
        y = bb.call(ops["nn.relu"], x)
        module = bb.module(y)
    """

    def __init__(self) -> None:
        self._params: list[Var] = []
        self._bindings: list[Binding] = []
        self._prim_funcs: dict[str, PrimFunc] = {}

    def input(self, name: str, shape: Shape, dtype: str) -> Var:
        """Add a tensor parameter."""
        return self.param(name, TensorType(shape, dtype))

    def param(self, name: str, ty: Type) -> Var:
        """Add a parameter of any type."""
        var = Var(name, ty)
        self._params.append(var)
        return var

    def call(self, op: OpDef, *args: Arg, **attrs: AttrValue) -> Var:
        """Emit a call of `op` (see `make_call`) and return its variable."""
        return self.emit(make_call(op, *args, **attrs))

    def emit(self, value: Expr, name: str = "") -> Var:
        """Bind `value` to a new variable."""
        var = Var(name or f"lv{len(self._bindings) or ''}", value.type, is_dataflow=True)
        self._bindings.append(VarBinding(var, value))
        return var

    def call_te(
        self,
        fn: Callable[..., object],
        *args: object,
        primfunc_name_hint: str = "",
        **kwargs: object,
    ) -> Call:
        """Return the `call_tir` of a PrimFunc that computes what `fn` declares with `eqsat.te`.

        Tensors among the arguments come to `fn` as `te` tensors, NumPy arrays as constants too;
        the PrimFunc joins the module. Equal ones are one.

        Raises:
            TypeCheckError: `fn` declares no kernel; the message says why.
        """
        hint = primfunc_name_hint or te_name(fn)
        declared = declare_te(fn, args, kwargs, hint)
        return declared.call(self._joined(declared.func))

    def emit_te(
        self,
        fn: Callable[..., object],
        *args: object,
        name_hint: str = "",
        primfunc_name_hint: str = "",
        **kwargs: object,
    ) -> Var:
        """Bind the call of `call_te` to a new variable."""
        call = self.call_te(fn, *args, primfunc_name_hint=primfunc_name_hint, **kwargs)
        return self.emit(call, name_hint)

    def _joined(self, func: PrimFunc) -> str:
        """Add `func` where there is no equal one yet; return its name in the module."""
        name, count = func.name, 0
        while (known := self._prim_funcs.get(name)) is not None:
            if structural_equal(replace(func, name=name), known):
                return name
            count += 1
            name = f"{func.name}_{count}"
        self._prim_funcs[name] = replace(func, name=name)
        return name

    def get_item(self, value: Expr, index: int) -> Var:
        """Emit a tuple field access."""
        return self.emit(TupleGetItem(value, index))

    def match_cast(self, value: Expr, ty: Type) -> Var:
        """Emit a match_cast, which may define new symbols."""
        var = Var(f"lv{len(self._bindings) or ''}", ty, is_dataflow=True)
        self._bindings.append(MatchCast(var, value, ty))
        return var

    def function(self, result: Expr | Sequence[Expr], name: str = "main") -> Function:
        """Return the function of everything emitted; the results leave the dataflow block."""
        single = not isinstance(result, Sequence)
        outputs = [self._output(e) for e in ([result] if single else result)]
        body = outputs[0] if single else Tuple(tuple(outputs))
        seq = SeqExpr((BindingBlock(tuple(self._bindings), is_dataflow=True),), body)
        return Function(name, tuple(self._params), seq, body.type)

    def _output(self, e: Expr) -> Expr:
        var = e if isinstance(e, Var) else self.emit(e)
        var.is_dataflow = False
        return var

    def module(self, result: Expr | Sequence[Expr], name: str = "main") -> IRModule:
        """Return a module with this function and the PrimFuncs that it calls.

        Raises:
            TypeCheckError: a PrimFunc has the name of the function.
        """
        if name in self._prim_funcs:
            raise TypeCheckError(
                f"{name} is the name of a kernel of emit_te too; give it another by "
                "primfunc_name_hint"
            )
        function = self.function(result, name)
        return IRModule({**self._prim_funcs, name: function})
