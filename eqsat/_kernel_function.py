"""One kernel as a private Relax function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eqsat._fold import Folder
from eqsat._snapshot import (
    CONSTANT,
    TUPLE_GET_ITEM,
    ENode,
    Kernel,
    OperandRef,
    ShapeOperand,
    Snapshot,
)
from eqsat._values import type_tagged
from eqsat.ir import (
    AttrValue,
    BindingBlock,
    Call,
    Constant,
    Expr,
    Function,
    NullValue,
    SeqExpr,
    ShapeExpr,
    ShapeType,
    TensorType,
    Tuple,
    TupleGetItem,
    TupleType,
    Type,
    Var,
    VarBinding,
    op,
)
from eqsat.shapes import Shape, SymDim, sym, symbols

# A longer name helps nobody.
_MAX_NAME_PARTS = 8


@dataclass(frozen=True, eq=False, slots=True)
class KernelFunction:
    """A kernel's function and how to call it.

    Attributes:
        key: equal for kernels that one function serves.
        arguments: the classes passed, in the order of the parameters.
        symbols: passed as a shape after them, since no parameter's shape shows them.
    """

    function: Function
    key: object
    arguments: tuple[int, ...]
    symbols: tuple[str, ...]


def kernel_function(kernel: Kernel, snapshot: Snapshot, folder: Folder) -> KernelFunction:
    """Return the function that computes the root of `kernel` from its leaves.

    Constants of rank 0 stand inside it.
    """
    classes = snapshot.classes
    inlined = {c for c in kernel.leaves if classes[c].is_constant and _is_scalar(classes[c].type)}
    arguments = tuple(c for c in kernel.leaves if c not in inlined)
    order = _topological(kernel)
    exprs: dict[int, Expr] = {}
    for c in kernel.leaves:
        if c in inlined:
            exprs[c] = Constant(folder.value(c))
    params = [Var(f"p{i}", classes[c].type) for i, c in enumerate(arguments)]
    exprs.update(zip(arguments, params, strict=True))
    bindings: list[VarBinding] = []
    for c in order:
        node = kernel.nodes[c]
        if node.op == CONSTANT:
            assert node.value is not None
            exprs[c] = Constant(node.value)
            continue
        name = f"lv{len(bindings) or ''}" if c != kernel.root else "gv"
        var = Var(name, classes[c].type, is_dataflow=c != kernel.root)
        bindings.append(VarBinding(var, _expr(node, classes[c].type, exprs)))
        exprs[c] = var
    missing = _unbound_symbols(kernel, snapshot, [p.type for p in params])
    if missing:
        params.append(Var("symbols", ShapeType(tuple(sym(s) for s in missing))))
    body = SeqExpr((BindingBlock(tuple(bindings), is_dataflow=True),), exprs[kernel.root])
    function = Function(
        name=_name([kernel.nodes[c] for c in order]),
        params=tuple(params),
        body=body,
        ret_type=classes[kernel.root].type,
        is_private=True,
        attrs={"primitive": True, "template": kernel.template},
    )
    key = _key(kernel, snapshot, folder, order, arguments, inlined)
    return KernelFunction(function, key, arguments, missing)


def _is_scalar(ty: Type) -> bool:
    return isinstance(ty, TensorType) and ty.ndim == 0


def _topological(kernel: Kernel) -> list[int]:
    """Return the classes of `kernel.nodes` that the root needs, operands first."""
    done: dict[int, None] = {}
    stack = [(kernel.root, False)]
    while stack:
        c, expanded = stack.pop()
        if c in done or c not in kernel.nodes:
            continue
        if expanded:
            done[c] = None
            continue
        stack.append((c, True))
        stack.extend((k, False) for k in reversed(kernel.nodes[c].children))
    return list(done)


def _expr(node: ENode, ty: Type, exprs: dict[int, Expr]) -> Expr:
    if node.op == TUPLE_GET_ITEM:
        index = node.attrs["index"]
        assert isinstance(index, int)
        return TupleGetItem(exprs[node.children[0]], index)
    args: list[Expr] = []
    for operand in node.operands:
        match operand:
            case None:
                args.append(NullValue())
            case ShapeOperand(dims):
                args.append(ShapeExpr(dims))
            case tuple():
                args.append(Tuple(tuple(exprs[c] for c in operand)))
            case _:
                args.append(exprs[operand])
    return Call(op(node.op), tuple(args), dict(node.attrs), ty)


def _name(nodes: Sequence[ENode]) -> str:
    parts = [n.op.rpartition(".")[2] for n in nodes if n.op not in (CONSTANT, TUPLE_GET_ITEM)]
    if len(parts) == 1:
        return parts[0]
    shown = parts[:_MAX_NAME_PARTS]
    return "_".join(("fused", *shown, *(["more"] if len(parts) > len(shown) else [])))


def _unbound_symbols(
    kernel: Kernel, snapshot: Snapshot, param_types: Sequence[Type]
) -> tuple[str, ...]:
    """Return the symbols that the kernel uses and no parameter's shape shows as such, sorted."""
    used: set[str] = set()
    for c in (*kernel.nodes, *kernel.leaves):
        used.update(_type_symbols(snapshot.classes[c].type))
    for node in kernel.nodes.values():
        for value in node.attrs.values():
            used.update(_value_symbols(value))
        for operand in node.operands:
            if isinstance(operand, ShapeOperand):
                used.update(_value_symbols(operand.dims))
    shown: set[str] = set()
    for ty in param_types:
        if isinstance(ty, TensorType):
            shown.update(s for d in ty.dims for s in symbols(d) if d == sym(s))
    return tuple(sorted(used - shown))


def _type_symbols(ty: Type) -> Iterator[str]:
    match ty:
        case TensorType():
            yield from _value_symbols(ty.dims)
        case TupleType(fields):
            for each in fields:
                yield from _type_symbols(each)
        case _:
            return


def _value_symbols(value: AttrValue | Shape) -> Iterator[str]:
    if isinstance(value, tuple):
        for each in value:
            yield from _value_symbols(each)
    elif isinstance(value, SymDim):
        yield from symbols(value)


def _key(
    kernel: Kernel,
    snapshot: Snapshot,
    folder: Folder,
    order: Sequence[int],
    arguments: Sequence[int],
    inlined: set[int],
) -> object:
    """Return what tells kernels apart: structure, types, attributes and scalars."""
    names: dict[int, object] = {c: ("p", i) for i, c in enumerate(arguments)}
    for c in inlined:
        value = folder.value(c)
        names[c] = ("number", value.dtype.name, value.tobytes())
    lines: list[object] = []
    for i, c in enumerate(order):
        node = kernel.nodes[c]
        names[c] = ("lv", i)
        operands = tuple(_operand_key(o, names) for o in node.operands)
        attrs = tuple((k, type_tagged(v)) for k, v in node.attrs.items())
        value = node.value
        constant = None if value is None else (value.dtype.name, value.shape, value.tobytes())
        lines.append((node.op, operands, attrs, constant, snapshot.classes[c].type))
    params = tuple(snapshot.classes[c].type for c in arguments)
    return kernel.template, params, tuple(lines)


def _operand_key(operand: OperandRef, names: dict[int, object]) -> object:
    match operand:
        case int():
            return names[operand]
        case tuple():
            return tuple(_operand_key(c, names) for c in operand)
        case _:
            return operand
