"""Printing modules and functions as TVMScript."""

from __future__ import annotations

from collections.abc import Mapping

from eqsat.ir._attrs import AttrValue
from eqsat.ir._expr import (
    Function,
    IRModule,
)
from eqsat.ir._tir import PrimFunc
from eqsat.ir._types import DeviceMesh
from eqsat.ir.script._dialect import LATEST, Dialect, dialect_of
from eqsat.ir.script._metadata import encode_metadata
from eqsat.ir.script._names import RESERVED_GLOBALS, Names
from eqsat.ir.script._print_relax import INDENT, Constants, RelaxPrinter
from eqsat.ir.script._print_tir import TirPrinter
from eqsat.ir.script._print_types import DUMMY_INFO, TypePrinter, string


def print_module(module: IRModule, *, show_meta: bool = True, dialect: str = "0.27") -> str:
    """Return a module as TVMScript.

    Args:
        module: what to print.
        show_meta: without it constants that are no scalars are left out: the text cannot be read
            back.
        dialect: the TVM version that is to read the text, one of `DIALECTS`; 0.27 reads the
            default, in which only the metadata differs from 0.26.

    Raises:
        EqsatError: there is no such dialect.
    """
    words = dialect_of(dialect)
    constants = Constants(words.constants)
    names = Names(RESERVED_GLOBALS)
    shown = {
        name: names.take(name, any_script=True)
        for name in (*module.functions, *module.extern_funcs)
    }
    meshes = _names_of_meshes(module)
    body: list[str] = [*_module_header(module, shown, meshes)]
    for name, function in module.functions.items():
        if body:
            body.append("")
        if isinstance(function, PrimFunc):
            body += TirPrinter(words).function(function, shown[name], 1)
        else:
            printer = RelaxPrinter(constants, shown, words, meshes)
            body += printer.function(function, shown[name], 1)
    lines = ["@I.ir_module", "class Module:", *(body or [f"{INDENT}pass"])]
    return _document(lines, constants, show_meta, "ITR", words)


def print_function(function: Function, *, show_meta: bool = True) -> str:
    """Return a Relax function alone as TVMScript."""
    constants = Constants()
    name = Names(RESERVED_GLOBALS).take(function.name or "main")
    lines = RelaxPrinter(constants).function(function, name)
    return _document(lines, constants, show_meta, "TR")


def print_primfunc(function: PrimFunc) -> str:
    """Return a TensorIR function alone as TVMScript."""
    name = Names(RESERVED_GLOBALS).take(function.name or "main")
    return _document(TirPrinter().function(function, name), Constants(), True, "T")


def _document(
    lines: list[str],
    constants: Constants,
    show_meta: bool,
    imports: str,
    words: Dialect = LATEST,
) -> str:
    modules = {"I": "ir", "T": words.tir, "R": "relax"}
    head: list[str] = []
    if constants.values and show_meta:
        escaped = (
            encode_metadata(constants.values, constants.key)
            .replace("\\", "\\\\")
            .replace('"', '\\"')
        )
        head = [f'metadata = tvm.ir.load_json("""{escaped}""")']
    head += [f"# from tvm.script import {modules[i]} as {i}" for i in imports]
    if constants.values and not show_meta:
        head.append("# Metadata omitted. Use show_meta=True in print_module to show it.")
    return "\n".join([*head, "", *lines]) + "\n"


def _names_of_meshes(module: IRModule) -> dict[DeviceMesh, str]:
    """Return the name of each mesh among the global infos; the first of equal ones."""
    names: dict[DeviceMesh, str] = {}
    for kind, infos in module.global_infos.items():
        for k, info in enumerate(infos):
            if isinstance(info, DeviceMesh):
                names.setdefault(info, f"{kind}[{k}]")
    return names


def _module_header(
    module: IRModule, shown: Mapping[str, str], meshes: Mapping[DeviceMesh, str]
) -> list[str]:
    lines: list[str] = []
    if module.attrs:
        lines.append(f"{INDENT}I.module_attrs({TypePrinter().attributes(module.attrs)})")
    if module.global_infos:
        items = (
            f"{string(kind)}: [{', '.join(_global_info(kind, i) for i in infos)}]"
            for kind, infos in module.global_infos.items()
        )
        lines.append(f"{INDENT}I.module_global_infos({{{', '.join(items)}}})")
    for name, function in module.extern_funcs.items():
        printer = TypePrinter(meshes=meshes)
        lines.append(f"{INDENT}{shown[name]} = {printer.extern(function)}")
    return lines


def _global_info(kind: str, info: str | DeviceMesh) -> str:
    """Return a device "cuda:0:global" as `I.vdevice("cuda", 0, "global")`."""
    if isinstance(info, DeviceMesh):
        return TypePrinter().mesh(info)
    if info == DUMMY_INFO:
        return "I.dummy_global_info()"
    if kind != "vdevice":
        return string(info)
    end = info.rindex("}") + 1 if info.startswith("{") else 0
    target, _, rest = info[end:].partition(":")
    index, _, scope = rest.partition(":")
    shown = info[:end] or string(target)
    arguments: list[AttrValue] = [int(index)] if index else []
    arguments += [scope] if scope else []
    return f"I.vdevice({', '.join([shown, *map(TypePrinter().attribute, arguments)])})"
