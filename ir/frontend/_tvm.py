"""Live TVM modules: read from TVM, and given back to it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from eqsat.ir._expr import IRModule
from eqsat.ir.frontend._errors import ImportModelError
from eqsat.ir.script import parse_module, print_module


def from_tvm(module: Any) -> IRModule:
    """Return the module that a `tvm.IRModule` (or one of its functions) holds, constants included.

    TVM prints it as TVMScript with metadata, and that is read.

    Raises:
        ImportModelError: TVM is not installed, or `module` is none of its objects.
        ParseError, TypeCheckError: something in it has no meaning here; the message shows the line.
    """
    tvm = _tvm("from_tvm")
    functions = (tvm.relax.Function, tvm.tirx.PrimFunc)
    if isinstance(module, functions):
        attrs = module.attrs
        symbol = attrs["global_symbol"] if attrs and "global_symbol" in attrs else "main"
        module = tvm.IRModule({str(symbol): module})
    if not isinstance(module, tvm.IRModule):
        raise ImportModelError(
            f"from_tvm takes a tvm.IRModule or a function of one, got {type(module).__name__}"
        )
    return parse_module(module.script(show_meta=True), "<tvm.IRModule>")


def to_tvm(module: IRModule) -> Any:
    """Return the `tvm.IRModule` of a module, constants included.

    Raises:
        ImportModelError: TVM is not installed, or it cannot hold the module; its message is kept.
    """
    tvm = _tvm("to_tvm")
    text = print_module(module)
    try:
        return tvm.script.from_source(text, check_well_formed=False)
    except tvm.error.DiagnosticError as error:
        raise ImportModelError(f"TVM does not read this module: {error}") from error


def _tvm(what: str) -> Any:  # Any: TVM has no stubs
    try:
        for submodule in ("tvm.relax", "tvm.script"):
            import_module(submodule)
        return import_module("tvm")
    except ImportError as error:
        raise ImportModelError(
            f"{what} needs TVM: pip install apache-tvm==0.27.0.post1 apache-tvm-ffi==0.1.14.post0"
        ) from error
