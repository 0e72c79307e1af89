"""What the readers of one text share: the module's names and its metadata."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._types import CallableType
from eqsat.ir.script._source import Source


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
