"""Splits functions into native parts: straight-line functions that the rest of the body calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from eqsat.ir import (
    Binding,
    BindingBlock,
    Call,
    CallableType,
    Constant,
    Copier,
    Expr,
    Function,
    GlobalVar,
    If,
    IRModule,
    MatchCast,
    OpDef,
    PrimFunc,
    SeqExpr,
    ShapeExpr,
    TensorType,
    Tuple,
    TupleGetItem,
    TupleType,
    Type,
    Var,
    VarBinding,
    has_known_shape,
    is_known,
    normalized,
    symbols_read,
    type_symbols,
    variables_read,
)
from eqsat.lowering._native_ops import PART, is_kernel, is_native_call, is_native_part
from eqsat.shapes import sym, symbols

IsNative = Callable[[IRModule, Call], bool]


def outline(
    module: IRModule, names: Sequence[str] | None = None, *, is_native: IsNative = is_native_call
) -> IRModule:
    """Return `module` with every maximal run of native bindings in a function of its own.

    Parts are private, have the attribute `PART`, and take tensors, then the symbols that no
    parameter's shape shows as one shape. Functions that are kernels or parts stay as they are.

    Args:
        module: what to split.
        names: the functions to split; all by default.
        is_native: which calls may stand in a part.
    """
    functions: dict[str, Function | PrimFunc] = dict(module.functions)
    for name, f in module.functions.items():
        if not isinstance(f, Function) or is_native_part(f) or is_kernel(f):
            continue
        if names is None or name in names:
            functions[name] = _Outliner(module, name, functions, is_native).function(normalized(f))
    return replace(module, functions=functions)


class _Outliner:
    def __init__(
        self,
        module: IRModule,
        name: str,
        functions: dict[str, Function | PrimFunc],
        is_native: IsNative,
    ) -> None:
        self.module, self.name, self.functions = module, name, functions
        self.is_native = is_native

    def function(self, f: Function) -> Function:
        """Return `f` with its parts outlined; `f` is in plain form."""
        return replace(f, body=self.sequence(f.body))

    def sequence(self, s: SeqExpr) -> SeqExpr:
        bindings = [b for block in s.blocks for b in block.bindings]
        run = _Run(self, bindings, s.result)
        for k, b in enumerate(bindings):
            run.add(k, b)
        run.flush(len(bindings))
        return SeqExpr((BindingBlock(tuple(run.out)),) if run.out else (), s.result)

    def inside(self, b: Binding) -> Binding:
        """Return a binding with the bodies that it holds outlined."""
        match b.value:
            case If(_, then_branch, else_branch):
                value = replace(
                    b.value,
                    then_branch=self.sequence(then_branch),
                    else_branch=self.sequence(else_branch),
                )
                return replace(b, value=value)
            case Function():
                return replace(b, value=self.function(b.value))
            case _:
                return b

    def part(self, bindings: Sequence[VarBinding], outputs: Sequence[Var]) -> tuple[str, Call]:
        """Add the function of a run; return its name and the call of it."""
        bound = {b.var for b in bindings}
        reads = [v for b in bindings for v in variables_read(b.value)]
        outside = [v for v in dict.fromkeys(reads) if v not in bound]
        used = {s for b in bindings for s in symbols_read(b.value) | type_symbols(b.var.type)}
        used |= {s for v in outside for s in type_symbols(v.type)}
        missing = tuple(sorted(used - _bare([v.type for v in outside])))
        copier = Copier({v: Var(v.name, v.type, span=v.span) for v in outside})
        params = [copier.values[v] for v in outside]
        args: list[Expr] = [*outside]
        if missing:
            shape = ShapeExpr(tuple(sym(s) for s in missing))
            params.append(Var("symbols", shape.type))
            args.append(shape)
        result: Expr = outputs[0] if len(outputs) == 1 else Tuple(tuple(outputs))
        body = copier.sequence(SeqExpr((BindingBlock(tuple(bindings)),), result))
        body = _as_dataflow(body)
        name = self._free_name(f"{self.name}_part")
        self.functions[name] = Function(
            name,
            tuple(p for p in params if isinstance(p, Var)),
            body,
            result.type,
            is_private=True,
            attrs={PART: True},
        )
        ty = CallableType(tuple(p.type for p in params), result.type)
        return name, Call(GlobalVar(name, ty), tuple(args), {}, result.type)

    def _free_name(self, base: str) -> str:
        k = 0
        while f"{base}{k}" in self.functions or f"{base}{k}" in self.module.extern_funcs:
            k += 1
        return f"{base}{k}"


class _Run:
    """The native bindings met and not yet in a part, and what waits for them."""

    def __init__(self, outliner: _Outliner, bindings: Sequence[Binding], result: Expr) -> None:
        self.outliner = outliner
        self.out: list[Binding] = []
        self.pending: list[VarBinding] = []
        self.later: list[Binding] = []  # tuples and fields of pending values
        self.computed: set[Var] = set()  # what `pending` binds
        self.held: set[Var] = set()  # what `later` binds
        self.last_read = dict.fromkeys(variables_read(result), len(bindings))
        for k in reversed(range(len(bindings))):
            for v in variables_read(bindings[k].value):
                self.last_read.setdefault(v, k)

    def add(self, k: int, b: Binding) -> None:
        if self._is_native(b):
            assert isinstance(b, VarBinding)
            if any(v in self.held for v in variables_read(b.value)):
                self.flush(k)
            self.pending.append(b)
            self.computed.add(b.var)
        elif not self._depends(b):
            if isinstance(b.value, (If, Call)) and not _may_pass(b.value):
                self.flush(k)
            self.out.append(self.outliner.inside(b))
        elif isinstance(b, VarBinding) and isinstance(b.value, (Tuple, TupleGetItem)):
            self.later.append(b)
            self.held.add(b.var)
        else:
            self.flush(k)
            self.out.append(self.outliner.inside(b))

    def _is_native(self, b: Binding) -> bool:
        if not isinstance(b, VarBinding):
            return False
        match b.value:
            case Call():
                return self.outliner.is_native(self.outliner.module, b.value)
            case TupleGetItem(Var() as owner):
                return owner in self.computed
            case _:
                return False

    def _depends(self, b: Binding) -> bool:
        return any(v in self.computed or v in self.held for v in variables_read(b.value))

    def flush(self, k: int) -> None:
        """Put the pending bindings into a part; what binding `k` and later ones read comes out."""
        wanted = {v for b in self.later for v in variables_read(b.value)}
        wanted |= {b.var for b in self.pending if self.last_read.get(b.var, -1) >= k}
        outputs = [b.var for b in self.pending if b.var in wanted]
        if outputs:
            self._emit(outputs)
        self.out += self.later
        self.pending, self.later = [], []
        self.computed.clear()
        self.held.clear()

    def _emit(self, outputs: list[Var]) -> None:
        leaves: list[Var] = []
        tuples: list[Binding] = []
        for v in outputs:
            if isinstance(v.type, TupleType):
                fields = [self._field(v, i) for i in range(len(v.type.fields))]
                leaves += fields
                tuples.append(VarBinding(v, Tuple(tuple(fields))))
            else:
                leaves.append(v)
        leaves = list(dict.fromkeys(leaves))
        name, call = self.outliner.part(self.pending, leaves)
        if len(leaves) == 1:
            self.out.append(VarBinding(leaves[0], call))
        else:
            whole = Var(f"{name}_results", call.type)
            self.out.append(VarBinding(whole, call))
            self.out += [VarBinding(v, TupleGetItem(whole, i)) for i, v in enumerate(leaves)]
        self.out += tuples

    def _field(self, v: Var, index: int) -> Var:
        """Return the variable of a field of a native tuple."""
        assert isinstance(v.type, TupleType)
        for b in self.pending:
            e = b.value
            if isinstance(e, TupleGetItem) and e.tuple_value is v and e.index == index:
                return b.var
        var = Var(f"{v.name}_{index}", v.type.fields[index])
        self.pending.append(VarBinding(var, TupleGetItem(v, index)))
        return var


def _may_pass(e: Expr) -> bool:
    """Say whether `e` may run before native bindings that stand before it: it has no effect."""
    return isinstance(e, Call) and isinstance(e.op, OpDef) and e.op.is_pure and bool(e.op.operands)


def _bare(types: Sequence[Type]) -> set[str]:
    """Return the symbols that are a size of a tensor by themselves."""
    sized = [ty for ty in types if isinstance(ty, TensorType) and has_known_shape(ty)]
    dims = [d for ty in sized for d in ty.dims]
    return {s for d in dims for s in symbols(d) if d == sym(s)}


def _as_dataflow(body: SeqExpr) -> SeqExpr:
    """Return a body whose one block is a dataflow block, which rules may rewrite."""
    returned = set(variables_read(body.result))
    bindings = [b for block in body.blocks for b in block.bindings]
    for b in bindings:
        b.var.is_dataflow = b.var not in returned
    return SeqExpr((BindingBlock(tuple(bindings), is_dataflow=True),), body.result)


def is_straight_line(module: IRModule, function: Function) -> bool:
    """Say whether `function` is one native part as it stands, sizes found from its inputs."""
    known = frozenset(s for p in function.params for s in type_symbols(p.type))
    if not all(isinstance(p.type, TensorType) and is_known(p.type) for p in function.params):
        return False
    for block in function.body.blocks:
        for b in block.bindings:
            if isinstance(b, MatchCast):
                if not is_known(b.type) or not type_symbols(b.type) <= known:
                    return False
            elif isinstance(b.value, ShapeExpr):
                continue
            elif not _is_straight(module, b.value) or not symbols_read(b.value) <= known:
                return False
    return _is_straight(module, function.body.result)


def _is_straight(module: IRModule, e: Expr) -> bool:
    match e:
        case Var() | Constant():
            return is_known(e.type)
        case Tuple(fields):
            return bool(fields) and all(_is_straight(module, f) for f in fields)
        case TupleGetItem():
            return is_known(e.type)
        case Call():
            return is_native_call(module, e)
        case _:
            return False
