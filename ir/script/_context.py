"""What the readers of one text share: the module's names and its metadata."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._types import CallableType
from eqsat.ir.script._source import Source
from eqsat.shapes import SymDim, is_symbol_name, sym


class ModuleName:
    """What `cls = Module` binds: the module itself."""


MODULE = ModuleName()


@dataclass(slots=True)
class Context:
    """The module around a function.

    `signature` returns the type of a module's function by name, None where there is none such;
    `type_vars` are the symbols declared before the module.
    """

    source: Source
    constants: list[NDArray[np.generic]] = field(default_factory=list[NDArray[np.generic]])
    module_name: str = "Module"
    type_vars: Mapping[str, object] = field(default_factory=dict[str, object])
    signature: Callable[[str, ast.AST], CallableType | None] = lambda name, node: None
    function_names: list[str] = field(default_factory=list[str])


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
