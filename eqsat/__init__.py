"""eqsat: equality saturation for Relax tensor programs.

    mod = eqsat.from_onnx("model.onnx")
    best = eqsat.optimize(mod)
    exe = eqsat.compile(best)
    y = exe(x)

Names load when first used, so importing `eqsat` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqsat._api import (
        Limits,
        OptimizeResult,
        Report,
        compile,
        default_rules,
        from_onnx,
        from_tvm,
        from_tvmscript,
        interpret,
        optimize,
        to_tvm,
    )
    from eqsat._explanation import Explanation
    from eqsat._why_not import why_not
    from eqsat.ir import get_func, register_func
    from eqsat.rules import RuleSet, load_rules
    from eqsat.shapes import EqsatError

__version__ = "0.1.0"

_HOME = {
    "Explanation": "eqsat._explanation",
    "Limits": "eqsat._limits",
    "OptimizeResult": "eqsat._api",
    "Report": "eqsat._api",
    "compile": "eqsat._api",
    "default_rules": "eqsat._api",
    "from_onnx": "eqsat._api",
    "from_tvm": "eqsat._api",
    "from_tvmscript": "eqsat._api",
    "interpret": "eqsat._api",
    "optimize": "eqsat._api",
    "to_tvm": "eqsat._api",
    "why_not": "eqsat._why_not",
    "get_func": "eqsat.ir",
    "register_func": "eqsat.ir",
    "RuleSet": "eqsat.rules",
    "load_rules": "eqsat.rules",
    "EqsatError": "eqsat.shapes",
}

__all__ = [
    "EqsatError",
    "Explanation",
    "Limits",
    "OptimizeResult",
    "Report",
    "RuleSet",
    "__version__",
    "compile",
    "default_rules",
    "from_onnx",
    "from_tvm",
    "from_tvmscript",
    "get_func",
    "interpret",
    "load_rules",
    "optimize",
    "register_func",
    "to_tvm",
    "why_not",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'eqsat' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
