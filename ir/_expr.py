"""Relax expressions, functions and modules.

Expressions compare by identity: a `Var` is bound once, and a program is a list of bindings
(A-normal form), so sharing is explicit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._attrs import Attrs, AttrValue
from eqsat.ir._tir import PrimFunc
from eqsat.ir._types import (
    PACKED_FUNC,
    CallableType,
    DeviceMesh,
    DTensorType,
    ObjectType,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
)
from eqsat.shapes import Dim, Shape, dtype_name

if TYPE_CHECKING:
    from eqsat.ir._op import OpDef


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a source text: line and column from 1."""

    source: str
    line: int
    column: int
    end_column: int = 0


@dataclass(eq=False, slots=True)
class Var:
    """A bound name. `is_dataflow` marks one that is only visible in its dataflow block."""

    name: str
    type: Type
    is_dataflow: bool = False
    span: Span | None = None


@dataclass(eq=False, slots=True)
class Constant:
    """A tensor known at compile time; `distributed` is the type of one that lies on a mesh."""

    value: NDArray[np.generic]
    span: Span | None = None
    distributed: DTensorType | None = None

    @property
    def tensor_type(self) -> TensorType:
        """The shape and the dtype of the value."""
        return TensorType(tuple(self.value.shape), dtype_name(self.value.dtype))

    @property
    def type(self) -> TensorType | DTensorType:
        """The type of the value."""
        return self.distributed or self.tensor_type


@dataclass(eq=False, slots=True)
class ShapeExpr:
    """A shape as a value, `R.shape([n, 4])`."""

    dims: Shape
    span: Span | None = None

    @property
    def type(self) -> ShapeType:
        """The shape type, which carries the dims."""
        return ShapeType(self.dims)


@dataclass(eq=False, slots=True)
class PrimValue:
    """A scalar outside a tensor: a dim (int64) or a number of the given dtype.

    A bool over sizes is a dim that is 0 or 1.
    """

    value: Dim | float
    dtype: str = "int64"
    span: Span | None = None

    @property
    def type(self) -> PrimType:
        """The scalar's type."""
        return PrimType(self.dtype)


@dataclass(eq=False, slots=True)
class StringImm:
    """A string value, `R.str("global")`."""

    value: str
    span: Span | None = None

    @property
    def type(self) -> ObjectType:
        """A string is an object to the type system."""
        return ObjectType()


@dataclass(eq=False, slots=True)
class DataTypeImm:
    """A dtype value, `R.dtype("float32")`."""

    value: str
    span: Span | None = None

    @property
    def type(self) -> ObjectType:
        """A dtype is an object to the type system."""
        return ObjectType()


@dataclass(eq=False, slots=True)
class GlobalVar:
    """A function of the module, by name."""

    name: str
    type: Type = field(default_factory=ObjectType)
    span: Span | None = None


@dataclass(eq=False, slots=True)
class ExternFunc:
    """A function outside the module, by its registered name."""

    name: str
    type: Type = PACKED_FUNC
    span: Span | None = None


@dataclass(eq=False, slots=True)
class Tuple:
    """Several values as one."""

    fields: tuple[Expr, ...]
    span: Span | None = None

    @property
    def type(self) -> TupleType:
        """The tuple of the fields' types."""
        return TupleType(tuple(f.type for f in self.fields))


@dataclass(eq=False, slots=True)
class TupleGetItem:
    """One field of a tuple."""

    tuple_value: Expr
    index: int
    span: Span | None = None

    @property
    def type(self) -> Type:
        """The field's type."""
        ty = self.tuple_value.type
        return ty.fields[self.index] if isinstance(ty, TupleType) else ObjectType()


@dataclass(eq=False, slots=True)
class Call:
    """A call of an operator or a function.

    For an operator `args` are its operands in the order of `OpDef.operands` (an absent one
    is `NullValue`) and `attrs` hold every attribute, defaults filled in. For `call_tir` and its
    kin the callee is `args[0]`, the operands are the rest, and `type` is the declared output type.
    """

    op: OpDef | GlobalVar | ExternFunc | Var
    args: tuple[Expr, ...]
    attrs: Attrs
    type: Type
    ty_args: tuple[Type, ...] = ()
    span: Span | None = None


@dataclass(eq=False, slots=True)
class NullValue:
    """An absent optional operand, `R.null_value()`."""

    span: Span | None = None

    @property
    def type(self) -> ObjectType:
        """Null is an object to the type system."""
        return ObjectType()


@dataclass(eq=False, slots=True)
class VarBinding:
    """`var = value`."""

    var: Var
    value: Expr


@dataclass(eq=False, slots=True)
class MatchCast:
    """`var = R.match_cast(value, type)`: checks at run time and defines new symbols."""

    var: Var
    value: Expr
    type: Type


Binding = VarBinding | MatchCast


@dataclass(eq=False, slots=True)
class BindingBlock:
    """Bindings in order; a dataflow block is pure and has no control flow."""

    bindings: tuple[Binding, ...]
    is_dataflow: bool = False


@dataclass(eq=False, slots=True)
class SeqExpr:
    """Blocks of bindings and the result."""

    blocks: tuple[BindingBlock, ...]
    result: Expr

    @property
    def type(self) -> Type:
        """The result's type."""
        return self.result.type


@dataclass(eq=False, slots=True)
class If:
    """Chooses a branch by a boolean scalar."""

    condition: Expr
    then_branch: SeqExpr
    else_branch: SeqExpr
    type: Type
    span: Span | None = None


@dataclass(eq=False, slots=True)
class Function:
    """A Relax function. Private functions have no global symbol."""

    name: str
    params: tuple[Var, ...]
    body: SeqExpr
    ret_type: Type
    is_pure: bool = True
    is_private: bool = False
    attrs: Mapping[str, AttrValue] = field(default_factory=dict[str, AttrValue])
    span: Span | None = None

    @property
    def type(self) -> CallableType:
        """The function's signature."""
        return CallableType(tuple(p.type for p in self.params), self.ret_type, self.is_pure)


Expr = (
    Var
    | Constant
    | ShapeExpr
    | PrimValue
    | StringImm
    | DataTypeImm
    | GlobalVar
    | ExternFunc
    | Tuple
    | TupleGetItem
    | Call
    | NullValue
    | If
    | SeqExpr
    | Function
)


@dataclass(eq=False, slots=True)
class IRModule:
    """Functions by name, in order: Relax functions and TensorIR PrimFuncs."""

    functions: dict[str, Function | PrimFunc]
    attrs: Mapping[str, AttrValue] = field(default_factory=dict[str, AttrValue])
    extern_funcs: Mapping[str, ExternFunc] = field(default_factory=dict[str, ExternFunc])
    global_infos: Mapping[str, tuple[str | DeviceMesh, ...]] = field(
        default_factory=dict[str, "tuple[str | DeviceMesh, ...]"]
    )

    def __getitem__(self, name: str) -> Function | PrimFunc:
        return self.functions[name]

    def relax_function(self, name: str = "main") -> Function:
        """Return the Relax function `name`.

        Raises:
            KeyError: there is no Relax function of that name.
        """
        function = self.functions[name]
        if not isinstance(function, Function):
            raise KeyError(f"{name} is a PrimFunc, not a Relax function")
        return function
