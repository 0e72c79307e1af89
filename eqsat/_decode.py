"""From a cover to a module in which every kernel is a function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from eqsat._fold import Folder
from eqsat._kernel_function import KernelFunction, kernel_function
from eqsat._snapshot import EXTERN, INPUT, Cover, Kernel, Snapshot
from eqsat.ir import (
    Binding,
    BindingBlock,
    Call,
    Constant,
    Expr,
    Function,
    GlobalVar,
    IRModule,
    MatchCast,
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
)
from eqsat.shapes import EqsatError, sym


class DecodeError(EqsatError):
    """A cover does not compute what the program returns."""


def decode(
    snapshot: Snapshot,
    cover: Cover,
    function: Function,
    others: Mapping[str, Function | PrimFunc] | None = None,
) -> IRModule:
    """Return the module that computes `function` by the kernels of `cover`.

    `others` are functions that opaque calls in `function` may name; they stay as they are.

    The function of the same name calls one private function per distinct kernel; kernels that
    differ only in their arguments share one. Constants are folded, parameters and the result's
    structure are those of `function`.

    Raises:
        DecodeError: a kernel reads a class that nothing before it computes.
        FoldError: a constant cannot be computed.
    """
    decoder = _Decoder(snapshot, function, dict(others or {}))
    for kernel in cover.kernels:
        decoder.kernel(kernel)
    main = decoder.main()
    return IRModule({**decoder.functions, function.name: main})


@dataclass(eq=False)
class _Decoder:
    snapshot: Snapshot
    function: Function
    functions: dict[str, Function | PrimFunc] = field(
        default_factory=dict[str, "Function | PrimFunc"]
    )

    def __post_init__(self) -> None:
        self._folder = Folder(self.snapshot)
        self._params = tuple(Var(p.name, p.type) for p in self.function.params)
        self._bindings: list[Binding] = []
        self._exprs: dict[int, Expr] = {}
        self._shared: dict[object, str] = {}
        self._extern_results: dict[int, Expr] = {}
        self._inputs = [e for p in self._params for e in flat_inputs(p, p.type)]
        self._input_exprs: dict[int, Expr] = {}

    def kernel(self, kernel: Kernel) -> None:
        """Emit the call of a kernel."""
        if any(node.op == EXTERN for node in kernel.nodes.values()):
            self._exprs[kernel.root] = self._extern(kernel, kernel.root)
            return
        made = kernel_function(kernel, self.snapshot, self._folder)
        name = self._shared.get(made.key)
        if name is None:
            name = self._shared[made.key] = self._add_function(made)
        args = [self._leaf(c) for c in made.arguments]
        if made.symbols:
            args.append(ShapeExpr(tuple(sym(s) for s in made.symbols)))
        ty = self.snapshot.classes[kernel.root].type
        self._exprs[kernel.root] = self._bind(Call(GlobalVar(name), tuple(args), {}, ty))

    def _add_function(self, made: KernelFunction) -> str:
        name, count = made.function.name, 0
        while name in self.functions or name == self.function.name:
            count += 1
            name = f"{made.function.name}_{count}"
        made.function.name = name
        self.functions[name] = made.function
        return name

    def _bind(self, value: Expr) -> Var:
        var = Var(self._fresh(), value.type, is_dataflow=True)
        self._bindings.append(VarBinding(var, value))
        return var

    def _fresh(self) -> str:
        return f"lv{len(self._bindings) or ''}"

    def _leaf(self, c: int) -> Expr:
        """Return the expression for a class that is in memory."""
        if c not in self._exprs:
            self._exprs[c] = self._given(c)
        return self._exprs[c]

    def _given(self, c: int) -> Expr:
        holder = self.snapshot.classes[c]
        for node in holder.nodes:
            if node.op == INPUT:
                index = node.attrs["index"]
                assert isinstance(index, int)
                return self._input(index)
        if holder.is_constant:
            return Constant(self._folder.value(c))
        raise DecodeError(
            f"class {c} ({holder.type}) is read, but no kernel before computes it; it is no "
            "parameter and no constant"
        )

    def _input(self, index: int) -> Expr:
        if index not in self._input_exprs:
            self._input_exprs[index] = self._named(self._inputs[index])
        return self._input_exprs[index]

    def _named(self, e: Expr) -> Expr:
        """Return `e` with every field access bound to a variable."""
        path: list[int] = []
        while isinstance(e, TupleGetItem):
            path.append(e.index)
            e = e.tuple_value
        for index in reversed(path):
            e = self._bind(TupleGetItem(e, index))
        return e

    def _extern(self, kernel: Kernel, c: int) -> Expr:
        """Return the value of an opaque call, or of a field of its result, emitted once."""
        if c not in kernel.nodes:
            return self._leaf(c)
        node = kernel.nodes[c]
        index = node.attrs["index"]
        assert isinstance(index, int)
        if node.op != EXTERN:
            return self._bind(TupleGetItem(self._extern(kernel, node.children[0]), index))
        if index not in self._extern_results:
            leaves = iter([self._leaf(k) for k in node.children])
            self._extern_results[index] = self._opaque(self.snapshot.externs[index], leaves)
        return self._extern_results[index]

    def _opaque(self, binding: Binding, leaves: Iterator[Expr]) -> Var:
        made = opaque_binding(self._fresh(), binding, leaves)
        self._bindings.append(made)
        return made.var

    def main(self) -> Function:
        """Return the function that calls the kernels."""
        leaves = iter([self._leaf(c) for c in self.snapshot.outputs])
        result = structured(self.function.body.type, leaves)
        for e in _flat_exprs(result):
            if isinstance(e, Var):
                e.is_dataflow = False
        body = SeqExpr((BindingBlock(tuple(self._bindings), is_dataflow=True),), result)
        f = self.function
        return Function(
            f.name, self._params, body, f.ret_type, f.is_pure, f.is_private, f.attrs, f.span
        )


def flat_inputs(e: Expr, ty: Type) -> Iterator[Expr]:
    """Yield what INPUT e-nodes stand for, in the order of their indices."""
    if isinstance(ty, TensorType):
        yield e
    elif isinstance(ty, TupleType):
        for i, each in enumerate(ty.fields):
            yield from flat_inputs(TupleGetItem(e, i), each)


def opaque_binding(name: str, binding: Binding, leaves: Iterator[Expr]) -> Binding:
    """Return a binding that the e-graph does not look into, of these tensors."""
    if isinstance(binding, MatchCast):
        var = Var(name, binding.type, is_dataflow=True)
        return MatchCast(var, _with_leaves(binding.value, leaves), binding.type)
    call = binding.value
    assert isinstance(call, Call)
    args = tuple(_with_leaves(a, leaves) for a in call.args)
    var = Var(name, call.type, is_dataflow=True)
    return VarBinding(var, Call(call.op, args, call.attrs, call.type, call.ty_args, call.span))


def structured(ty: Type, leaves: Iterator[Expr]) -> Expr:
    """Return a value of a type, its tensors taken from `leaves` left to right."""
    if isinstance(ty, TupleType):
        return Tuple(tuple(structured(f, leaves) for f in ty.fields))
    return next(leaves)


def _flat_exprs(e: Expr) -> Iterator[Expr]:
    if isinstance(e, Tuple):
        for each in e.fields:
            yield from _flat_exprs(each)
    else:
        yield e


def _with_leaves(e: Expr, leaves: Iterator[Expr]) -> Expr:
    """Return `e` with its tensors replaced in the order in which encoding met them."""
    match e:
        case Tuple(fields):
            return Tuple(tuple(_with_leaves(f, leaves) for f in fields))
        case Var() | Constant() | TupleGetItem() if isinstance(e.type, (TensorType, TupleType)):
            return structured(e.type, leaves)
        case _:
            return e
