"""The words of TVMScript by TVM's version."""

from __future__ import annotations

from dataclasses import dataclass

from eqsat.shapes import EqsatError

DIALECTS = ("0.16", "0.22", "0.24", "0.25", "0.26", "0.27")
"""The versions that `print_module` can print for."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one version spells what later or earlier ones spell otherwise.

    Source: the tags v0.16 to v0.26 of apache/tvm and its wheel 0.27.
    """

    version: str
    out_type: str = "out_ty"  # the keyword of call_tir for the type of the output
    type_args: str = "ty_args"
    top: str = "R.Any"
    block: str = "T.sblock"
    tir: str = "tirx"
    has_s_tir: bool = True
    has_tir_vars: bool = False
    wraps_scalars: bool = False  # `R.prim_value(1)` and `R.Prim("int64")`
    let: str = "typed"  # `v: T.let[T.float32] = e`, or `with T.LetStmt(e) as v:`
    constants: str = "ir.GenericConst"

    @property
    def alloc(self) -> str:
        """The allocation at the top of a block."""
        return "T.sblock_alloc_buffer" if self.block == "T.sblock" else "T.alloc_buffer"

    @property
    def noalias(self) -> str:
        """The attribute that says that buffers do not overlap."""
        return f"{self.tir}.noalias"


_OLDEST = {
    "out_type": "out_sinfo", "type_args": "sinfo_args", "top": "R.Object", "has_s_tir": False,
    "has_tir_vars": True, "wraps_scalars": True, "constants": "relax.expr.Constant",
}  # fmt: skip
_BEFORE_TIRX = {**_OLDEST, "block": "T.block", "tir": "tir", "let": "scoped"}
_SINCE = {
    "0.16": _BEFORE_TIRX,
    "0.22": _BEFORE_TIRX,
    "0.24": _OLDEST,
    "0.25": {**_OLDEST, "has_s_tir": True},
    "0.26": {"constants": "relax.expr.Constant"},
    "0.27": {},
}
LATEST = Dialect("0.27")


def dialect_of(version: str) -> Dialect:
    """Return the dialect of a TVM version.

    Raises:
        EqsatError: the version is none of `DIALECTS`.
    """
    if version not in _SINCE:
        raise EqsatError(f"no TVMScript dialect {version!r}; there are {', '.join(DIALECTS)}")
    return Dialect(version, **_SINCE[version])  # pyright: ignore[reportArgumentType]  # fields by name
