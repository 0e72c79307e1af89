"""The rules that every module keeps, checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from eqsat.ir._call import infer_type
from eqsat.ir._call_ops import CALL_OPS, UNIT, is_condition
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
from eqsat.ir._op import OpDef, OperandKind
from eqsat.ir._subtyping import fits, result_of_call
from eqsat.ir._tir import Buffer, PrimFunc
from eqsat.ir._types import (
    PACKED_FUNC,
    CallableType,
    DTensorType,
    ObjectType,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
    UnknownShape,
    is_distributed,
)
from eqsat.ir._wellformed_tir import check_primfunc
from eqsat.shapes import Dim, EqsatError, Proof, SymDim, symbols

_ONE_DEVICE_CALLS = (
    "call_pure_packed", "call_inplace_packed", "print", "assert_op", "render_object",
)  # fmt: skip
_TIR_CALLS = ("call_tir", "call_tir_inplace", "call_tir_with_grad", "dist.call_tir_local_view")


def check_well_formed(module: IRModule) -> None:
    """Check a module: names, scopes, symbols, types of calls, arities, blocks and buffers.

    Raises:
        TypeCheckError: a rule is broken; the message names the function and the binding.
    """
    for name, function in module.functions.items():
        if not name.isidentifier():
            raise TypeCheckError(f"function name {name!r} is not an identifier")
        if name in module.extern_funcs:
            raise TypeCheckError(f"{name} names a function and an external function")
        if isinstance(function, PrimFunc):
            check_primfunc(function, name)
        else:
            _FunctionCheck(module, name).function(function, _Scope())


@dataclass(slots=True)
class _Scope:
    """What may be used: variables and symbols."""

    variables: set[Var] = field(default_factory=set[Var])
    symbols: set[str] = field(default_factory=set[str])

    def inner(self) -> _Scope:
        return _Scope(set(self.variables), set(self.symbols))


class _FunctionCheck:
    def __init__(self, module: IRModule, name: str) -> None:
        self._module = module
        self._name = name
        self._bound: set[Var] = set()
        self._hidden: set[Var] = set()
        self._at = ""
        self._is_pure = True

    def _fail(self, reason: str) -> TypeCheckError:
        where = f", binding {self._at}" if self._at else ""
        return TypeCheckError(f"function {self._name}{where}: {reason}")

    def function(self, function: Function, scope: _Scope) -> None:
        outer_purity = self._is_pure
        self._is_pure = function.is_pure and not function.attrs.get("relax.force_pure", False)
        for p in function.params:
            self._bind(p, scope)
            scope.symbols |= _bare_symbols(p.type)
            if p.type == PrimType("int64"):
                scope.symbols.add(p.name)
        for p in function.params:
            self._check_symbols(_dims(p.type), scope, f"parameter {p.name}")
        result = self._sequence(function.body, scope)
        self._at = ""
        if fits(function.ret_type, result) is Proof.NO:
            raise self._fail(f"returns {result}, but declares {function.ret_type}")
        self._is_pure = outer_purity

    def _bind(self, var: Var, scope: _Scope) -> None:
        if var in self._bound:
            raise self._fail(f"variable {var.name} is bound twice")
        self._bound.add(var)
        scope.variables.add(var)

    def _check_symbols(self, dims: Iterator[Dim], scope: _Scope, what: str) -> None:
        for d in dims:
            if unknown := sorted(symbols(d) - scope.symbols):
                raise self._fail(
                    f"{what} uses the symbol {unknown[0]}, which no parameter and no match_cast "
                    "defines"
                )

    def _sequence(self, body: SeqExpr, scope: _Scope) -> Type:
        for block in body.blocks:
            self._block(block, scope)
        self._at = "return"
        return self._expr(body.result, scope)

    def _block(self, block: BindingBlock, scope: _Scope) -> None:
        for b in block.bindings:
            self._at = b.var.name
            if b.var.is_dataflow and not block.is_dataflow:
                raise self._fail("a dataflow variable is bound outside a dataflow block")
            self._binding(b, scope, block.is_dataflow)
        if block.is_dataflow:
            local = {b.var for b in block.bindings if b.var.is_dataflow}
            scope.variables -= local
            self._hidden |= local

    def _binding(self, b: Binding, scope: _Scope, is_dataflow: bool) -> None:
        if isinstance(b.value, If) and is_dataflow:
            raise self._fail("a dataflow block holds no control flow")
        if isinstance(b.value, If):
            found = self._if(b.value, scope)
        elif isinstance(b.value, Function):
            inner = scope.inner()
            inner.variables.add(b.var)
            self.function(b.value, inner)
            self._at = b.var.name
            found = b.value.type
        else:
            found = self._expr(b.value, scope, is_dataflow)
        if isinstance(b, MatchCast):
            self._match_cast(b, found, scope)
        else:
            self._check_symbols(_dims(b.var.type), scope, "its type")
            if fits(b.var.type, found) is Proof.NO:
                raise self._fail(f"has type {b.var.type}, but its value is {found}")
        if b.var.type == PrimType("int64"):
            scope.symbols.add(b.var.name)
        self._bind(b.var, scope)

    def _match_cast(self, b: MatchCast, found: Type, scope: _Scope) -> None:
        scope.symbols |= _bare_symbols(b.type)
        self._check_symbols(_dims(b.type), scope, "its match_cast")
        if fits(b.type, found) is Proof.NO:
            raise self._fail(f"match_cast to {b.type} of a value of type {found}")
        if b.var.type != b.type:
            raise self._fail(f"has type {b.var.type}, but match_cast says {b.type}")

    def _if(self, value: If, scope: _Scope) -> Type:
        condition = self._expr(value.condition, scope)
        match condition:
            case TensorType() if condition.dtype not in ("bool", "void") or condition.ndim > 0:
                raise self._fail(f"a condition is a boolean scalar, got {condition}")
            case ShapeType() | TupleType() | CallableType() | DTensorType():
                raise self._fail(f"a condition is a boolean scalar, got {condition}")
            case _:
                pass
        at = self._at
        for branch in (value.then_branch, value.else_branch):
            result = self._sequence(branch, scope.inner())
            self._at = at
            if fits(value.type, result) is Proof.NO:
                raise self._fail(f"a branch has type {result}, the `if` declares {value.type}")
        return value.type

    # --- expressions ------------------------------------------------------------------------

    def _expr(  # noqa: C901 - one case per node
        self, e: Expr, scope: _Scope, is_dataflow: bool = False
    ) -> Type:
        match e:
            case Var():
                self._use(e, scope)
            case ShapeExpr(dims):
                self._check_symbols(iter(dims), scope, "a shape")
            case PrimValue(value) if isinstance(value, SymDim):
                self._check_symbols(iter((value,)), scope, "a scalar")
            case Tuple(fields):
                for f in fields:
                    self._atom(f, scope)
            case TupleGetItem(value, index):
                self._atom(value, scope)
                ty = value.type
                if isinstance(ty, TupleType) and not 0 <= index < len(ty.fields):
                    raise self._fail(f"field {index} of a tuple of {len(ty.fields)}")
                if not isinstance(ty, (TupleType, ObjectType)):
                    raise self._fail(f"field {index} of {ty}, which is no tuple")
            case Call():
                self._call(e, scope, is_dataflow)
            case GlobalVar(name):
                self._global(name)
            case If() | SeqExpr() | Function():
                raise self._fail(f"a {type(e).__name__} can only be the value of a binding")
            case Constant(distributed=DTensorType(tensor)) if tensor != e.tensor_type:
                raise self._fail(f"a constant is {e.tensor_type}, but its type says {tensor}")
            case (
                Constant() | PrimValue() | StringImm() | DataTypeImm() | ExternFunc() | NullValue()
            ):
                pass
        return e.type

    def _atom(self, e: Expr, scope: _Scope) -> None:
        if isinstance(e, (Call, TupleGetItem)):
            raise self._fail(f"a {type(e).__name__} stands as an argument; bind it to a name first")
        self._expr(e, scope)

    def _use(self, var: Var, scope: _Scope) -> None:
        if var in scope.variables:
            return
        if var in self._hidden:
            raise self._fail(f"dataflow variable {var.name} is used outside its block")
        raise self._fail(f"variable {var.name} is used before it is bound")

    def _global(self, name: str) -> Function | PrimFunc | ExternFunc:
        if name in self._module.functions:
            return self._module.functions[name]
        if name in self._module.extern_funcs:
            return self._module.extern_funcs[name]
        raise self._fail(f"the module has no function {name}")

    def _call(self, call: Call, scope: _Scope, is_dataflow: bool) -> None:
        for a in call.args:
            self._atom(a, scope)
        match call.op:
            case OpDef() as op:
                # An allocation is seen by nobody before it is written.
                if not op.is_pure and (call.type == UNIT or not op.cannot_run):
                    self._effect(op.name, is_dataflow)
                self._operator_call(op, call)
            case GlobalVar(name):
                self._global_call(name, self._global(name), call, is_dataflow)
            case Var() as var:
                self._use(var, scope)
                self._variable_call(var, call, is_dataflow)
            case ExternFunc(name, ty):
                if not (isinstance(ty, CallableType) and ty.is_pure):
                    self._effect(f"external {name}", is_dataflow)

    def _effect(self, what: str, is_dataflow: bool) -> None:
        if is_dataflow:
            raise self._fail(f"{what} may have effects and stands in a dataflow block")
        if self._is_pure:
            raise self._fail(
                f"{what} may have effects and is called from a pure function; declare "
                "@R.function(pure=False)"
            )

    def _variable_call(self, var: Var, call: Call, is_dataflow: bool) -> None:
        ty = var.type
        if not isinstance(ty, CallableType):
            raise self._fail(f"{var.name} is called, but is {ty}")
        if not ty.is_pure:
            self._effect(var.name, is_dataflow)
        if ty.opaque:
            return
        try:
            result = result_of_call(ty.params, ty.result, [a.type for a in call.args], var.name)
        except EqsatError as error:
            raise self._fail(str(error)) from error
        if fits(call.type, result) is Proof.NO:
            raise self._fail(f"{var.name} returns {result}, but the call says {call.type}")

    def _operator_call(self, op: OpDef, call: Call) -> None:
        if CALL_OPS.get(op.name) is op:
            self._declared_call(op, call)
            return
        if len(call.args) > len(op.operands):
            raise self._fail(f"{op.name} takes {len(op.operands)} operands, got {len(call.args)}")
        missing = len(op.operands) - len(call.args)
        types = [*(a.type for a in call.args), *(ObjectType() for _ in range(missing))]
        for operand, ty in zip(op.operands, types, strict=True):
            self._operand(op, operand.name, operand.kind, operand.optional, ty)
        try:
            inferred = infer_type(op, types, op.fill_attrs(call.attrs), call.type)
        except (EqsatError, TypeError) as error:
            raise self._fail(str(error)) from error
        if fits(call.type, inferred) is Proof.NO:
            raise self._fail(f"{op.name} gives {inferred}, but the call says {call.type}")

    def _operand(self, op: OpDef, name: str, kind: OperandKind, optional: bool, ty: Type) -> None:
        if kind is OperandKind.OBJECT:
            return
        wanted = {
            OperandKind.TENSOR: (TensorType, DTensorType),
            OperandKind.ANY_TENSOR: (TensorType, DTensorType),
            OperandKind.TENSORS: TupleType,
            OperandKind.SHAPE: ShapeType,
        }[kind]
        if isinstance(ty, wanted) or (optional and isinstance(ty, ObjectType)):
            return
        raise self._fail(f"operand {name} of {op.name} must be a {kind.name.lower()}, got {ty}")

    def _declared_call(self, op: OpDef, call: Call) -> None:
        self._check_distributed(op.name, call)
        if op.name in ("print", "render_object"):
            return
        if not call.args:
            raise self._fail(f"{op.name} needs its first operand")
        callee = call.args[0]
        if op.name == "assert_op":
            if not is_condition(callee.type):
                raise self._fail(f"assert_op needs a boolean scalar, got {callee.type}")
            return
        if op.name == "make_closure":
            self._make_closure(callee, call)
            return
        if op.name not in _TIR_CALLS or not isinstance(callee, GlobalVar):
            return
        target = self._global(callee.name)
        if not isinstance(target, PrimFunc):
            raise self._fail(f"{op.name} calls {callee.name}, which is no PrimFunc")
        if any(isinstance(a.type, TupleType) for a in call.args[1:]):
            raise self._fail(f"{op.name} takes the fields of a tuple one by one")
        num_outputs = len(call.type.fields) if isinstance(call.type, TupleType) else 1
        num_outputs = 0 if op.name == "call_tir_inplace" else num_outputs
        given = len(call.args) - 1 + num_outputs
        if op.name == "call_tir_inplace":
            self._inplace(call)
        elif given != len(target.params):
            raise self._fail(
                f"{callee.name} has {len(target.params)} parameters; the call gives "
                f"{len(call.args) - 1} arguments and {num_outputs} outputs"
            )
        tensors = [a for a in call.args[1:] if isinstance(a.type, (TensorType, DTensorType))]
        buffers = [p for p in target.params if isinstance(p, Buffer)]
        for a, b in zip(tensors, buffers, strict=False):
            self._buffer_argument(callee.name, a.type, b)

    def _check_distributed(self, name: str, call: Call) -> None:
        """Check, as TVM does, which calls with a declared result take tensors on a mesh."""
        has_distributed = any(isinstance(a.type, DTensorType) for a in call.args)
        if has_distributed and name in _ONE_DEVICE_CALLS:
            raise self._fail(f"{name} takes no distributed tensors; pass one of R.Tensor")
        if name == "call_tir" and is_distributed(call.type) and not has_distributed:
            raise self._fail(
                "R.dist.call_tir needs a distributed tensor among its arguments; "
                "R.dist.call_tir_local_view does without"
            )

    def _inplace(self, call: Call) -> None:
        """Check that each result has its index: an argument, or -1 for a fresh buffer."""
        indices = call.attrs["inplace_indices"]
        listed = indices if isinstance(indices, tuple) else (indices,)
        num_outputs = len(call.type.fields) if isinstance(call.type, TupleType) else 1
        if len(listed) != num_outputs:
            raise self._fail(f"{len(listed)} inplace_indices for {num_outputs} results")
        given = [i for i in listed if i != -1]
        if len(set(given)) != len(given) or not all(
            isinstance(i, int) and 0 <= i < len(call.args) - 1 for i in given
        ):
            raise self._fail(
                f"inplace_indices {list(listed)} are -1 or different arguments, 0 to "
                f"{len(call.args) - 2}"
            )
        if not given:
            raise self._fail("call_tir_inplace reuses no argument; write call_tir")

    def _make_closure(self, callee: Expr, call: Call) -> None:
        ty = callee.type
        if isinstance(callee, GlobalVar):
            target = self._global(callee.name)
            ty = PACKED_FUNC if isinstance(target, PrimFunc) else target.type
        if not isinstance(ty, CallableType):
            raise self._fail(f"make_closure needs a function, got {ty}")
        if not ty.opaque and len(call.args) - 1 > len(ty.params):
            raise self._fail(
                f"make_closure binds {len(call.args) - 1} arguments of a function that takes "
                f"{len(ty.params)}"
            )

    def _buffer_argument(self, name: str, ty: Type, buffer: Buffer) -> None:
        assert isinstance(ty, (TensorType, DTensorType))
        ty = ty.tensor if isinstance(ty, DTensorType) else ty
        if ty.dtype not in (buffer.dtype, "void") or ty.ndim not in (len(buffer.shape), -1):
            raise self._fail(
                f"argument {buffer.name} of {name} is {buffer.dtype} with {len(buffer.shape)} "
                f"dims, got {ty}"
            )

    def _global_call(
        self, name: str, target: Function | PrimFunc | ExternFunc, call: Call, is_dataflow: bool
    ) -> None:
        if isinstance(target, PrimFunc):
            # As in TVM it may write what a pure function allocated.
            if is_dataflow:
                self._effect(f"{name}, called without call_tir,", is_dataflow)
            if len(call.args) != len(target.params):
                raise self._fail(f"{name} has {len(target.params)} parameters")
            return
        if isinstance(target, ExternFunc):
            if not (isinstance(target.type, CallableType) and target.type.is_pure):
                self._effect(name, is_dataflow)
            return
        params = [p.type for p in target.params]
        try:
            result = result_of_call(params, target.ret_type, [a.type for a in call.args], name)
        except EqsatError as error:
            raise self._fail(str(error)) from error
        if fits(call.type, result) is Proof.NO:
            raise self._fail(f"{name} returns {result}, but the call says {call.type}")
        if not target.is_pure:
            self._effect(name, is_dataflow)


def _dims(ty: Type) -> Iterator[Dim]:
    match ty:
        case TensorType(shape=shape) | ShapeType(dims=shape):
            if not isinstance(shape, UnknownShape):
                yield from shape
        case TupleType(fields):
            for f in fields:
                yield from _dims(f)
        case DTensorType(tensor):
            yield from _dims(tensor)
        case _:
            pass


def _bare_symbols(ty: Type) -> set[str]:
    return {str(d) for d in _dims(ty) if isinstance(d, SymDim) and str(d) in d.symbols}
