"""The calls whose callee is an operand: their signatures, and their operators.

`args[0]` is the callee, the operands follow; `ty_args` are the declared types of the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from eqsat.ir._expr import Attrs
from eqsat.ir._op import REQUIRED, Attr, OpDef, OpKind
from eqsat.ir._types import Type, TypeCheckError

DPS_CALLS = ("call_tir", "call_tir_inplace", "call_dps_packed")
PACKED_CALLS = (
    "call_pure_packed", "call_inplace_packed", "call_builtin_with_ctx", "invoke_closure",
    "invoke_pure_closure",
)  # fmt: skip
_IMPURE = ("call_inplace_packed", "call_builtin_with_ctx", "invoke_closure")
_INPLACE = (Attr("inplace_indices", "ints", REQUIRED),)


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
        attrs=_INPLACE if "inplace" in name else (),
        is_pure=name not in _IMPURE,
    )
    for name in (*DPS_CALLS, *PACKED_CALLS)
}
"""Operators of these calls, for programs that hold them."""
