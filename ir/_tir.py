"""TensorIR: loops over buffers, with blocks, as in TVM.

Expressions are immutable; `Var` and `Buffer` compare by identity. The smart constructors (`add`,
`mul`, … and the operators of `PrimExpr`) fold constants, nothing more.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from eqsat.ir._attrs import Attrs, AttrValue
from eqsat.shapes import Dim, DimNode, SymDim, view

BinaryOp = Literal[
    "+", "-", "*", "/", "//", "%", "min", "max", "pow",
    "==", "!=", "<", "<=", ">", ">=", "and", "or",
    "&", "|", "^", "<<", ">>",
]  # fmt: skip
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
LOGICAL = frozenset({"and", "or"})


class PrimExpr:
    """A scalar expression; every subclass has a `dtype`."""

    __slots__ = ()
    dtype: str

    def __add__(self, other: Scalar) -> PrimExpr:
        return binary("+", self, as_expr(other, self))

    def __radd__(self, other: Scalar) -> PrimExpr:
        return binary("+", as_expr(other, self), self)

    def __sub__(self, other: Scalar) -> PrimExpr:
        return binary("-", self, as_expr(other, self))

    def __rsub__(self, other: Scalar) -> PrimExpr:
        return binary("-", as_expr(other, self), self)

    def __mul__(self, other: Scalar) -> PrimExpr:
        return binary("*", self, as_expr(other, self))

    def __rmul__(self, other: Scalar) -> PrimExpr:
        return binary("*", as_expr(other, self), self)

    def __truediv__(self, other: Scalar) -> PrimExpr:
        return binary("/", self, as_expr(other, self))

    def __rtruediv__(self, other: Scalar) -> PrimExpr:
        return binary("/", as_expr(other, self), self)

    def __floordiv__(self, other: Scalar) -> PrimExpr:
        return binary("//", self, as_expr(other, self))

    def __mod__(self, other: Scalar) -> PrimExpr:
        return binary("%", self, as_expr(other, self))

    def __neg__(self) -> PrimExpr:
        return binary("-", const(0, self.dtype), self)

    def __lt__(self, other: Scalar) -> PrimExpr:
        return binary("<", self, as_expr(other, self))

    def __le__(self, other: Scalar) -> PrimExpr:
        return binary("<=", self, as_expr(other, self))

    def __gt__(self, other: Scalar) -> PrimExpr:
        return binary(">", self, as_expr(other, self))

    def __ge__(self, other: Scalar) -> PrimExpr:
        return binary(">=", self, as_expr(other, self))


Scalar = PrimExpr | int | float | bool


@dataclass(frozen=True, eq=False, slots=True)
class Var(PrimExpr):
    """A scalar variable: loop variable, block iterator, parameter or shape symbol."""

    name: str
    dtype: str = "int64"


@dataclass(frozen=True, slots=True)
class IntImm(PrimExpr):
    """An integer or boolean literal."""

    value: int
    dtype: str = "int64"


@dataclass(frozen=True, slots=True)
class FloatImm(PrimExpr):
    """A floating-point literal; may be nan or an infinity."""

    value: float
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class StringImm(PrimExpr):
    """A string literal, as an argument of an intrinsic."""

    value: str
    dtype: str = "handle"


@dataclass(frozen=True, slots=True)
class Binary(PrimExpr):
    """`a op b`; both sides have the same dtype.

    `/` is the true or truncating division of the dtype, `//` and `%` floor division and modulo.
    """

    op: BinaryOp
    a: PrimExpr
    b: PrimExpr

    @property
    def dtype(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  # computed, not stored
        """Bool for comparisons and logic, else the operands' dtype."""
        return "bool" if self.op in COMPARISONS or self.op in LOGICAL else self.a.dtype


@dataclass(frozen=True, slots=True)
class Not(PrimExpr):
    """Logical not."""

    a: PrimExpr
    dtype: str = "bool"


@dataclass(frozen=True, slots=True)
class Cast(PrimExpr):
    """Numeric conversion to `dtype` (C semantics: float to int truncates)."""

    dtype: str
    value: PrimExpr


@dataclass(frozen=True, slots=True)
class Select(PrimExpr):
    """`condition ? a : b`.

    `lazy` (`T.if_then_else`) evaluates only the chosen side, so a load out of bounds on the other
    side is not executed; `T.Select` may evaluate both.
    """

    condition: PrimExpr
    a: PrimExpr
    b: PrimExpr
    lazy: bool = False

    @property
    def dtype(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  # computed, not stored
        """The dtype of both sides."""
        return self.a.dtype


@dataclass(frozen=True, slots=True)
class Intrinsic(PrimExpr):
    """A named scalar function, by TVM's `T.` names.

    exp log log2 sqrt rsqrt tanh erf sigmoid sin cos tan floor ceil round (half to even) trunc abs
    fabs pow isnan isfinite isinf …
    """

    name: str
    args: tuple[PrimExpr, ...]
    dtype: str


@dataclass(frozen=True, eq=False, slots=True)
class Buffer:
    """A typed region of memory in row-major order.

    `scope`: "global" (argument or workspace), "local" (registers or stack of one thread).
    """

    name: str
    shape: tuple[PrimExpr, ...]
    dtype: str
    scope: str = "global"


@dataclass(frozen=True, slots=True)
class BufferLoad(PrimExpr):
    """`buffer[indices]`."""

    buffer: Buffer
    indices: tuple[PrimExpr, ...]

    @property
    def dtype(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  # computed, not stored
        """The buffer's dtype."""
        return self.buffer.dtype


@dataclass(frozen=True, slots=True)
class Address(PrimExpr):
    """The address of `buffer[indices]`, of the buffer's first element without indices."""

    buffer: Buffer
    indices: tuple[PrimExpr, ...] = ()
    dtype: str = "handle"


@dataclass(frozen=True, slots=True)
class Range:
    """`min` ≤ i < `min + extent`."""

    min: PrimExpr
    extent: PrimExpr


@dataclass(frozen=True, slots=True)
class BufferRegion:
    """A box of a buffer that a block reads or writes."""

    buffer: Buffer
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class BufferStore:
    """`buffer[indices] = value`."""

    buffer: Buffer
    indices: tuple[PrimExpr, ...]
    value: PrimExpr


LoopKind = Literal["serial", "parallel", "vectorized", "unroll", "thread_binding"]


Annotation: TypeAlias = "PrimExpr | str | tuple[Annotation, ...] | Mapping[str, Annotation] | None"
"""What a loop or a block is annotated with: a number, a word, None, a list or a dict of these."""

AxisKind = Literal["S", "R", "opaque", "scan"]
"""Spatial axes run in any order; reductions, scans and opaque axes in that of the loops."""


@dataclass(frozen=True, slots=True)
class For:
    """A loop over `min` ≤ var < `min + extent`; `thread` names the axis of a thread binding."""

    var: Var
    min: PrimExpr
    extent: PrimExpr
    body: Stmt
    kind: LoopKind = "serial"
    thread: str = ""
    annotations: Mapping[str, Annotation] = field(default_factory=dict[str, Annotation])


@dataclass(frozen=True, slots=True)
class IterVar:
    """A block iterator: domain, kind ("S" spatial, "R" reduction …) and the value bound to it."""

    var: Var
    domain: Range
    kind: AxisKind
    binding: PrimExpr


@dataclass(frozen=True, slots=True)
class Block:
    """A computation with its iterators bound where it stands (TVM's SBlockRealize and SBlock).

    `init` runs where every reduction iterator is at its minimum. Empty `reads`/`writes` with
    `regions_inferred` False mean "not stated": printers and passes infer them.
    """

    name: str
    iters: tuple[IterVar, ...]
    reads: tuple[BufferRegion, ...]
    writes: tuple[BufferRegion, ...]
    body: Stmt
    init: Stmt | None = None
    predicate: PrimExpr = IntImm(1, "bool")
    alloc_buffers: tuple[Buffer, ...] = ()
    annotations: Mapping[str, Annotation] = field(default_factory=dict[str, Annotation])
    regions_inferred: bool = True


@dataclass(frozen=True, slots=True)
class Seq:
    """Statements in order."""

    stmts: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class IfThenElse:
    """A branch on a scalar."""

    condition: PrimExpr
    then_body: Stmt
    else_body: Stmt | None = None


@dataclass(frozen=True, slots=True)
class While:
    """The body, again and again while the condition holds before it."""

    condition: PrimExpr
    body: Stmt


JumpKind = Literal["break", "continue", "return"]


@dataclass(frozen=True, slots=True)
class Jump:
    """Leaves the loop around, its iteration, or the function.

    A PrimFunc that `call_tir` calls gives its results in buffers: the `value` of a return is its
    status, which nobody reads.
    """

    kind: JumpKind
    value: PrimExpr = IntImm(0, "int32")


@dataclass(frozen=True, slots=True)
class Assert:
    """Ends the program with an error of that kind and message unless the condition holds."""

    condition: PrimExpr
    message: str
    kind: str = "RuntimeError"


@dataclass(frozen=True, slots=True)
class Let:
    """`var = value` for the statements of `body`."""

    var: Var
    value: PrimExpr
    body: Stmt


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An expression for its effect."""

    value: PrimExpr


@dataclass(frozen=True, slots=True)
class Attr:
    """Advice for `body` that says nothing of what it computes: `node` is what it is about."""

    node: PrimExpr | Buffer
    key: str
    value: PrimExpr
    body: Stmt


Stmt = For | While | Block | Seq | IfThenElse | Let | Evaluate | BufferStore | Jump | Assert | Attr


@dataclass(frozen=True, eq=False, slots=True)
class PrimFunc:
    """A function over buffers and scalars; its implicit root block has `alloc_buffers` and `body`.

    Shape symbols in buffer shapes are the interned variables of `shape_var` and are bound by the
    arguments' shapes at a call.
    """

    name: str
    params: tuple[Buffer | Var, ...]
    body: Stmt
    alloc_buffers: tuple[Buffer, ...] = ()
    attrs: Attrs = field(default_factory=dict[str, AttrValue])
    is_private: bool = False


_SHAPE_VARS: dict[str, Var] = {}


def shape_var(name: str) -> Var:
    """Return the int64 variable that stands for the shape symbol `name`, one object per name."""
    return _SHAPE_VARS.setdefault(name, Var(name, "int64"))


def from_dim(dim: Dim) -> PrimExpr:
    """Return `dim` as an int64 expression over shape variables."""
    return IntImm(dim) if isinstance(dim, int) else _from_node(view(dim))


def _from_node(node: DimNode) -> PrimExpr:
    args = [_from_node(a) for a in node.args]
    match node.kind:
        case "int":
            return IntImm(node.value)
        case "sym":
            return shape_var(node.name)
        case "add":
            return _fold("+", args)
        case "mul":
            return _fold("*", args)
        case "floordiv":
            return binary("//", *args)
        case "mod":
            return binary("%", *args)
        case "min" | "max":
            return _fold(node.kind, args)


def _fold(op: BinaryOp, args: list[PrimExpr]) -> PrimExpr:
    result = args[0]
    for a in args[1:]:
        result = binary(op, result, a)
    return result


def const(value: int | float | bool, dtype: str) -> PrimExpr:
    """Return a literal of `dtype`."""
    if dtype.startswith(("float", "bfloat")):
        return FloatImm(float(value), dtype)
    return IntImm(int(value), dtype)


def as_expr(value: Scalar | SymDim, like: PrimExpr | None = None) -> PrimExpr:
    """Return `value` as an expression; a number takes the dtype of `like`, int64 without it."""
    if isinstance(value, PrimExpr):
        return value
    if isinstance(value, SymDim):
        return from_dim(value)
    if like is not None:
        return const(value, like.dtype)
    return FloatImm(value) if isinstance(value, float) else IntImm(int(value))


def binary(op: BinaryOp, a: PrimExpr, b: PrimExpr) -> PrimExpr:
    """Return `a op b`, folding integer constants and the neutral elements of + and *."""
    if isinstance(a, IntImm) and isinstance(b, IntImm):
        folded = _fold_ints(op, a.value, b.value)
        if folded is not None:
            is_bool = op in COMPARISONS or op in LOGICAL
            return IntImm(folded, "bool" if is_bool else a.dtype)
    is_zero_a, is_zero_b = _is_int(a, 0), _is_int(b, 0)
    match op:
        case "+" if is_zero_a:
            return b
        case "+" | "-" if is_zero_b:
            return a
        case "*" if is_zero_a or _is_int(b, 1):
            return a
        case "*" if is_zero_b or _is_int(a, 1):
            return b
        case "//" if _is_int(b, 1):
            return a
        case "%" if _is_int(b, 1):
            return const(0, a.dtype)
        case "and" if _is_int(a, 1):
            return b
        case "and" if _is_int(b, 1):
            return a
        case _:
            return Binary(op, a, b)


def _is_int(e: PrimExpr, value: int) -> bool:
    return isinstance(e, IntImm) and e.value == value


def _fold_ints(op: BinaryOp, a: int, b: int) -> int | None:
    if op in _DIVISIONS and b == 0:
        return None
    fold = _INT_FOLDS.get(op)
    return None if fold is None else int(fold(a, b))


_DIVISIONS = frozenset({"//", "%"})
_INT_FOLDS: dict[BinaryOp, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": lambda a, b: a // b,
    "%": operator.mod,
    "min": min,
    "max": max,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
}


def equal(a: PrimExpr, b: Scalar) -> PrimExpr:
    """Return `a == b` (the operator `==` compares the nodes themselves)."""
    return binary("==", a, as_expr(b, a))


def conjunction(*conditions: PrimExpr) -> PrimExpr:
    """Return the logical and of all conditions; True for none."""
    result: PrimExpr = IntImm(1, "bool")
    for c in conditions:
        result = binary("and", result, c)
    return result


def select(condition: PrimExpr, a: PrimExpr, b: PrimExpr, *, lazy: bool = False) -> PrimExpr:
    """Return `condition ? a : b`, decided at once for a constant condition."""
    if isinstance(condition, IntImm):
        return a if condition.value else b
    return Select(condition, a, b, lazy)


def seq(*stmts: Stmt) -> Stmt:
    """Return the statements as one, flattened."""
    flat: list[Stmt] = []
    for s in stmts:
        flat.extend(s.stmts if isinstance(s, Seq) else (s,))
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))
