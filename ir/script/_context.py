"""What the readers of one text share: the module's names and its metadata."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from eqsat.ir._expr import Constant, Var
from eqsat.ir._types import CallableType, DeviceMesh
from eqsat.ir.script._source import Source
from eqsat.ir.script._syntax import callee
from eqsat.shapes import SymDim, is_dtype, is_symbol_name, sym


class ModuleName:
    """What `cls = Module` binds: the module itself."""


MODULE = ModuleName()


@dataclass(slots=True)
class Context:
    """The module around a function.

    `signature` returns the type of a module's function by name, None where there is none such;
    `type_vars` are the symbols declared before the module, `immediates` the variables bound to a
    dtype or a string, or to nothing: TVM binds an argument that is None to a name.
    """

    source: Source
    constants: list[Constant] = field(default_factory=list[Constant])
    module_name: str = "Module"
    type_vars: Mapping[str, object] = field(default_factory=dict[str, object])
    global_infos: dict[str, tuple[str | DeviceMesh, ...]] = field(
        default_factory=dict[str, "tuple[str | DeviceMesh, ...]"]
    )
    signature: Callable[[str, ast.AST], CallableType | None] = lambda name, node: None
    function_names: list[str] = field(default_factory=list[str])
    immediates: dict[Var, str | None] = field(default_factory=dict[Var, "str | None"])


_SYMBOLS = (
    "T.var", "T.Var", "T.SizeVar", "T.size_var", "T.dynamic", "I.dynamic", "TypeVar",
    "typing.TypeVar",
)  # fmt: skip


def declares_symbol(source: Source, node: ast.expr) -> bool:
    """Say whether `name = <node>` declares the symbol of a dim, `T.int64()` in any spelling.

    Raises:
        ParseError: it declares one of another dtype.
    """
    name = callee(node)
    if not isinstance(node, ast.Call) or name not in (*_SYMBOLS, "T.int64", "T.int32"):
        return False
    if name in ("T.int64", "T.int32"):
        if node.args:
            return False
        dtypes = [name[2:]]
    else:
        given = [*node.args, *(k.value for k in node.keywords if k.arg == "dtype")]
        spelled = [a.value for a in given if isinstance(a, ast.Constant)]
        dtypes = [text for text in spelled if isinstance(text, str) and is_dtype(text)]
    if dtypes and dtypes[-1] != "int64":
        raise source.error(node, f"a dim is an int64, so it cannot be declared {dtypes[-1]}")
    return True


def type_params(context: Context, node: ast.FunctionDef) -> dict[str, SymDim]:
    """Return the symbols that `def f[n, m](...)` declares.

    Raises:
        ParseError: one cannot name a dim.
    """
    names = context.source.type_params.get(node.lineno, [])
    for name in names:
        if not is_symbol_name(name):
            raise context.source.error(node, f"{name} cannot name a dim")
    return {name: sym(name) for name in names}
