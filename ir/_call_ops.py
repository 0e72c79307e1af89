"""The calls whose callee is an operand, and those that the host runs: their operators.

`args[0]` is the callee, the operands follow; `ty_args` are the declared types of the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from eqsat.ir._attrs import Attrs
from eqsat.ir._op import REQUIRED, Attr, OpDef, OpKind
from eqsat.ir._types import (
    ObjectType,
    PrimType,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
)

DPS_CALLS = (
    "call_tir", "call_tir_inplace", "call_tir_with_grad", "call_dps_packed", "call_py_func",
    "dist.call_tir_local_view",
)  # fmt: skip
PACKED_CALLS = (
    "call_pure_packed", "call_inplace_packed", "call_builtin_with_ctx", "invoke_closure",
    "invoke_pure_closure",
)  # fmt: skip
CLOSURE_CALLS = ("invoke_closure", "invoke_pure_closure")
HOST_CALLS = ("make_closure", "print", "assert_op", "render_object")
"""Calls that the host runs: `print` and `assert_op` have their format in the attribute `format`."""

ON_A_MESH = "for tensors on a mesh of devices; a program here runs on one"
"""Why the operators of distributed programs are not run."""
UNIT = TupleType(())
"""The type of what returns nothing."""

_IMPURE = ("call_inplace_packed", "call_builtin_with_ctx", "invoke_closure", "print", "assert_op")
_INPLACE = (Attr("inplace_indices", "ints", REQUIRED),)
_FORMAT = (Attr("format", "str", ""),)
_ATTRS = {
    "call_tir_inplace": _INPLACE,
    "call_inplace_packed": _INPLACE,
    "call_tir_with_grad": (
        Attr("te_grad_name", "str", REQUIRED),
        Attr("te_grad_kwargs", "dict", None, optional=True),
    ),
    "print": _FORMAT,
    "assert_op": _FORMAT,
}


def _infer(types: Sequence[Type], attrs: Attrs) -> NoReturn:
    raise TypeCheckError("the type of this call is declared, not inferred")


def _reference(*args: object, **attrs: object) -> NoReturn:
    raise TypeCheckError("a call of another function has no NumPy meaning of its own")


CALL_OPS: dict[str, OpDef] = {
    name: OpDef(
        name=name,
        operands=(),
        infer=_infer,
        reference=_reference,
        kind=OpKind.OPAQUE,
        attrs=_ATTRS.get(name, ()),
        is_pure=name not in _IMPURE,
        cannot_run=ON_A_MESH if name.startswith("dist.") else "",
    )
    for name in (*DPS_CALLS, *PACKED_CALLS, *HOST_CALLS)
}
"""Operators of these calls, for programs that hold them."""


def is_condition(ty: Type) -> bool:
    """Say whether a value of type `ty` may be a boolean scalar."""
    match ty:
        case TensorType():
            return ty.dtype in ("bool", "void") and ty.ndim in (0, -1)
        case PrimType(dtype):
            return dtype == "bool"
        case ObjectType():
            return True
        case _:
            return False
