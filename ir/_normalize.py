"""Copies of function bodies in one plain form: every value has a name, and names are not aliases.

After `normalized` a body has one block; arguments are variables, constants and other leaves, or one
tuple of such; a variable is not bound to another variable of the same type; known tuples and shapes
stand where they are used; nothing pure is computed that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from eqsat.ir._attrs import AttrValue
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
    VarBinding,
)
from eqsat.ir._op import OpDef, OperandKind
from eqsat.ir._reads import variables_read
from eqsat.ir._types import (
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
    has_unknown_dtype,
    substitute_type,
)
from eqsat.shapes import Dim, SymDim, substitute, sym

_LEAVES = (
    Constant, ShapeExpr, PrimValue, StringImm, DataTypeImm, GlobalVar, ExternFunc, NullValue
)  # fmt: skip


def normalized(function: Function) -> Function:
    """Return a copy of `function` in plain form, with variables of its own."""
    return Copier().function(function)


Replace = Callable[[Call], "Inlined | Constant | None"]
ReplaceLocal = Callable[[Call, "LocalFunction"], "Inlined | None"]


@dataclass(frozen=True, eq=False, slots=True)
class Inlined:
    """A body to stand in place of a call, with what its variables and symbols are there."""

    body: SeqExpr
    values: dict[Var, Expr]
    dims: Mapping[str, Dim]


@dataclass(frozen=True, slots=True)
class LocalFunction:
    """A function bound inside another: `var` in the copy, `origin` in what was copied."""

    var: Var
    origin: Var
    function: Function


def keep(call: Call) -> None:
    """Replace no call."""


def keep_local(call: Call, local: LocalFunction) -> None:
    """Replace no call of a local function."""


@dataclass(slots=True)
class Copier:
    """Copies bodies, with variables replaced by `values`, symbols by `dims`, calls by `replace`.

    Calls of local functions are replaced by `replace_local`. With `shares` nothing pure is computed
    that was computed before, which is right where nothing is overwritten.
    """

    values: dict[Var, Expr] = field(default_factory=dict[Var, Expr])
    dims: Mapping[str, Dim] = field(default_factory=dict[str, Dim])
    replace: Replace = keep
    replace_local: ReplaceLocal = keep_local
    shares: bool = False
    _locals: dict[Var, LocalFunction] = field(default_factory=dict[Var, LocalFunction])
    _known: dict[Var, Tuple | ShapeExpr] = field(default_factory=dict[Var, "Tuple | ShapeExpr"])
    _computed: dict[object, Var] = field(default_factory=dict[object, Var])

    def function(self, f: Function) -> Function:
        """Return a copy of a function."""
        params = tuple(self._fresh(p, p.type) for p in f.params)
        body = self.sequence(f.body)
        return replace(f, params=params, body=body, ret_type=self._type(f.ret_type))

    def sequence(self, s: SeqExpr) -> SeqExpr:
        """Return a copy of a body."""
        out: list[Binding] = []
        # What is named inside is not visible outside.
        known, computed, dims = dict(self._known), dict(self._computed), self.dims
        result = self.append(s, out)
        self._known, self._computed, self.dims = known, computed, dims
        kept = _without_unread(out, result)
        return SeqExpr((BindingBlock(kept),) if kept else (), result)

    def append(self, s: SeqExpr, out: list[Binding]) -> Expr:
        """Append copies of the bindings of `s` to `out`; return its result, a leaf or a tuple."""
        for block in s.blocks:
            for b in block.bindings:
                self._binding(b, out)
        return self._atom(s.result, out)

    # --- bindings ---------------------------------------------------------------------------

    def _fresh(self, var: Var, ty: Type) -> Var:
        # A scalar variable is a symbol of the same name.
        is_renamed = declares_symbol(var) and var.name in self.dims
        name = str(self.dims[var.name]) if is_renamed else var.name
        new = Var(name, self._type(ty), span=var.span)
        self.values[var] = new
        return new

    def _binding(self, b: Binding, out: list[Binding]) -> None:
        if isinstance(b.value, Function):
            var = self._fresh(b.var, b.var.type)  # it may call itself
            function = self.function(b.value)
            self._locals[var] = LocalFunction(var, b.var, function)
            out.append(VarBinding(var, function))
            return
        value = self._value(b.value, out)
        if isinstance(b, MatchCast):
            ty = self._type(b.type)
            if value.type == ty and isinstance(value, (Var, Constant)):
                self.values[b.var] = value
            else:
                out.append(MatchCast(self._fresh(b.var, b.type), value, ty))
            return
        declared = self._type(b.var.type)
        if isinstance(value, _LEAVES) or (isinstance(value, Var) and value.type == declared):
            self.values[b.var] = value
            self._define(b.var, value)
            return
        same = self._computed_before(value)
        if same is not None and same.type == declared:
            self.values[b.var] = same
            return
        var = self._fresh(b.var, declared)
        if isinstance(value, Tuple):
            self._known[var] = value
        self._bind(var, value, out)

    def _define(self, var: Var, value: Expr) -> None:
        """Note what a scalar variable is worth as a symbol, its name being one too."""
        if declares_symbol(var):
            match value:
                case PrimValue(dim) if not isinstance(dim, float):
                    self.dims = {**self.dims, var.name: dim}
                case Var(name) if name != var.name:
                    self.dims = {**self.dims, var.name: sym(name)}
                case _:
                    pass

    def _named(self, value: Expr, out: list[Binding], name: str = "gv") -> Var:
        same = self._computed_before(value)
        if same is not None:
            return same
        var = Var(name, value.type, span=getattr(value, "span", None))
        self._bind(var, value, out)
        return var

    def _bind(self, var: Var, value: Expr, out: list[Binding]) -> None:
        out.append(VarBinding(var, value))
        if self.shares and (key := _value_key(value)) is not None:
            self._computed[key] = var

    def _computed_before(self, value: Expr) -> Var | None:
        key = _value_key(value) if self._computed else None
        return None if key is None else self._computed.get(key)

    # --- expressions ------------------------------------------------------------------------

    def _value(self, e: Expr, out: list[Binding]) -> Expr:
        match e:
            case Call():
                return self._call(e, out)
            case If():
                condition = self._atom(e.condition, out)
                if isinstance(condition, Constant):
                    return self.append(e.then_branch if condition.value else e.else_branch, out)
                branches = self.sequence(e.then_branch), self.sequence(e.else_branch)
                return replace(
                    e,
                    condition=condition,
                    then_branch=branches[0],
                    else_branch=branches[1],
                    type=self._type(e.type),
                )
            case SeqExpr():
                return self.append(e, out)
            case TupleGetItem(tuple_value, index):
                owner = self._atom(tuple_value, out)
                known = self._known.get(owner) if isinstance(owner, Var) else owner
                if isinstance(known, Tuple):
                    return known.fields[index]
                return TupleGetItem(owner, index, e.span)
            case Function():
                return self.function(e)
            case Tuple(fields):
                return Tuple(tuple(self._atom(f, out) for f in fields), e.span)
            case _:
                return self._leaf(e)

    def _leaf(self, e: Expr) -> Expr:
        match e:
            case Var():
                return self.values.get(e, e)
            case ShapeExpr(dims):
                return ShapeExpr(tuple(substitute(d, dict(self.dims)) for d in dims), e.span)
            case PrimValue(value) if isinstance(value, SymDim):
                return PrimValue(substitute(value, dict(self.dims)), e.dtype, e.span)
            case _:
                return e

    def _atom(self, e: Expr, out: list[Binding]) -> Expr:
        """Return `e` as it may stand as an argument or a result."""
        value = self._value(e, out)
        if isinstance(value, (Var, Tuple, *_LEAVES)):
            return value
        return self._named(value, out)

    def _call(self, e: Call, out: list[Binding]) -> Expr:
        args = [self._atom(a, out) for a in e.args]
        if isinstance(e.op, OpDef) and e.op.known is not None:
            known = e.op.known([a.type for a in args], e.attrs)
            if isinstance(known, tuple):
                return ShapeExpr(known, e.span)
            if known is not None:
                assert isinstance(e.type, PrimType)
                return PrimValue(known, e.type.dtype, e.span)
        if isinstance(e.op, OpDef) and e.op.operands:
            args = [
                self._operand(o.kind, a, out) for o, a in zip(e.op.operands, args, strict=False)
            ]
        op = e.op
        if isinstance(op, Var):
            target = self.values.get(op, op)
            op = (
                target
                if isinstance(target, (Var, GlobalVar, ExternFunc))
                else self._named(target, out)
            )
        attrs = {k: self._attr(v) for k, v in e.attrs.items()}
        types = tuple(self._type(t) for t in e.ty_args)
        call = Call(op, tuple(args), attrs, self._type(e.type), types, e.span)
        local = self._locals.get(op) if isinstance(op, Var) else None
        found = self.replace(call) if local is None else self.replace_local(call, local)
        if isinstance(found, Inlined):
            inner = Copier(
                found.values,
                found.dims,
                self.replace,
                self.replace_local,
                self.shares,
                self._locals,
                _computed=self._computed,
            )
            return inner.append(found.body, out)
        return call if found is None else found

    def _operand(self, kind: OperandKind, a: Expr, out: list[Binding]) -> Expr:
        """Return an operand of an operator, with its fields or dims in sight."""
        if not isinstance(a, Var):
            return a
        ty = a.type
        if kind is OperandKind.TENSORS and isinstance(ty, TupleType):
            known = self._known.get(a)
            if known is None:
                fields = tuple(
                    self._named(TupleGetItem(a, k), out, f"{a.name}_{k}")
                    for k in range(len(ty.fields))
                )
                known = self._known[a] = Tuple(fields)
            return known
        if isinstance(ty, ShapeType) and not isinstance(ty.dims, UnknownShape):
            return ShapeExpr(ty.dims)
        return a

    # --- types and attributes ---------------------------------------------------------------

    def _type(self, ty: Type) -> Type:
        return substitute_type(ty, dict(self.dims)) if self.dims else ty

    def _attr(self, value: AttrValue) -> AttrValue:
        if isinstance(value, SymDim):
            return substitute(value, dict(self.dims))
        if isinstance(value, tuple):
            return tuple(self._attr(v) for v in value)
        return value


def _without_unread(bindings: list[Binding], result: Expr) -> tuple[Binding, ...]:
    """Drop what is bound and never read, where computing it has no effect."""
    read = set(variables_read(result))
    kept: list[Binding] = []
    for b in reversed(bindings):
        if b.var not in read and isinstance(b, VarBinding) and _is_droppable(b.value):
            continue
        kept.append(b)
        read.update(variables_read(b.value))
    return tuple(reversed(kept))


def _value_key(e: Expr) -> object:
    """Return what only equal values have in common; None where two may differ."""
    match e:
        case Call(OpDef() as op, args, attrs) if op.is_pure and op.operands:
            keys = tuple(_argument_key(a) for a in args)
            return None if None in keys else (op, keys, tuple(attrs.items()), e.type)
        case TupleGetItem(tuple_value, index):
            return (tuple_value, index)
        case _:
            return None


def _argument_key(e: Expr) -> object:
    match e:
        case Var() | Constant():
            return e
        case ShapeExpr(dims):
            return dims
        case PrimValue(value):
            return (value, e.dtype)
        case NullValue():
            return NullValue
        case Tuple(fields):
            keys = tuple(_argument_key(f) for f in fields)
            return None if None in keys else keys
        case _:
            return None


def _is_droppable(e: Expr) -> bool:
    match e:
        case Call(OpDef() as op):
            # A packed function may have effects, whatever the program says of it.
            return op.is_pure and bool(op.operands or not e.args)
        case Tuple() | TupleGetItem() | Function() | Var():
            return True
        case _:
            return isinstance(e, _LEAVES)


def declares_symbol(var: Var) -> bool:
    """Say whether a variable is a shape symbol too: an integer outside of tensors."""
    return var.type == PrimType("int64")


def has_known_shape(ty: Type) -> bool:
    """Say whether a value is tensors only, each of known shape (symbols allowed)."""
    match ty:
        case TensorType(shape=shape):
            return not isinstance(shape, UnknownShape)
        case TupleType(fields):
            return all(has_known_shape(f) for f in fields)
        case _:
            return False


def is_known(ty: Type) -> bool:
    """Say whether a value is tensors only, each of known dtype and shape (symbols allowed)."""
    return has_known_shape(ty) and not has_unknown_dtype(ty)
