"""Reading modules."""

from __future__ import annotations

import ast

from eqsat.ir._attrs import AttrMap, AttrValue
from eqsat.ir._call_ops import UNIT
from eqsat.ir._expr import (
    Constant,
    ExternFunc,
    Function,
    IRModule,
    Span,
)
from eqsat.ir._tir import PrimFunc
from eqsat.ir._types import PACKED_FUNC, CallableType, DeviceMesh, full_vdevice
from eqsat.ir.script._context import Context, declares_symbol
from eqsat.ir.script._metadata import MetadataError, decode_metadata
from eqsat.ir.script._names import RESERVED_GLOBALS
from eqsat.ir.script._parse_calls import extern_func
from eqsat.ir.script._parse_mesh import MESH_CALLS, device_mesh
from eqsat.ir.script._parse_relax import FunctionReader, read_signature
from eqsat.ir.script._parse_tir import TirReader
from eqsat.ir.script._parse_types import TypeReader
from eqsat.ir.script._print_types import DUMMY_INFO, json_text
from eqsat.ir.script._source import Source
from eqsat.ir.script._syntax import (
    attributes,
    bind,
    callee,
    dotted,
    int_literal,
    literal,
    required,
    sequence,
    text_literal,
)
from eqsat.shapes import EqsatError, is_symbol_name, sym

_HOST_MODULE = "BasePyModule"
"""The class of modules that hold Python functions, `@I.pyfunc`."""

_PRIM_FUNC = CallableType((), UNIT, is_pure=False, opaque=True)
"""The type of a PrimFunc, which writes into its arguments and returns nothing."""


def parse_module(text: str, source_name: str = "<script>") -> IRModule:
    """Return the module that a TVMScript text spells; nothing in it is executed.

    A text of functions without a class around them is read as a module of these functions.

    Raises:
        ParseError: the text is no module; the message shows the line.
        TypeCheckError, ShapeError: a call or an annotation breaks a typing rule.
    """
    source = Source(text, source_name)
    try:
        return _ModuleReader(source).module(source.tree())
    except RecursionError:
        span = Span(source_name, 1, 1, 2)
        raise source.error_at(span, "the text nests too deeply; bind parts to names") from None


def from_tvmscript(text: str) -> IRModule:
    """Return the module that a TVMScript text spells (`parse_module`)."""
    return parse_module(text)


class _ModuleReader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._context = Context(source, signature=self._signature)
        self._definitions: dict[str, ast.FunctionDef] = {}
        self._functions: dict[str, Function | PrimFunc] = {}
        self._signatures: dict[str, CallableType] = {}
        self._reading: set[str] = set()
        self._holds_host_functions = False
        self._attrs: dict[str, AttrValue] = {}
        self._extern: dict[str, ExternFunc] = {}
        self._symbols: dict[str, object] = {}
        self._context.type_vars = self._symbols

    def module(self, tree: ast.Module) -> IRModule:
        top: list[ast.stmt] = []
        for statement in tree.body:
            match statement:
                case ast.Import() | ast.ImportFrom():
                    pass
                case ast.Expr(value=ast.Constant(value=str())):
                    pass
                case ast.Assign(targets=[ast.Name(id="metadata")], value=value):
                    self._context.constants = self._metadata(value)
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if declares_symbol(
                    self._source, value
                ):
                    self._declare(statement, name)
                case ast.ClassDef() | ast.FunctionDef():
                    top.append(statement)
                case _:
                    what = type(statement).__name__
                    raise self._source.error(
                        statement, f"a module's text has no statement of kind {what}"
                    )
        self._collect(top)
        for name, node in self._definitions.items():
            self._read(name, node)
        ordered = {name: self._functions[name] for name in self._definitions}
        return IRModule(ordered, self._attrs, self._extern, self._context.global_infos)

    def _declare(self, node: ast.stmt, name: str) -> None:
        if not is_symbol_name(name):
            raise self._source.error(node, f"{name} cannot name a dim")
        self._symbols[name] = sym(name)

    def _collect(self, top: list[ast.stmt]) -> None:
        classes = [s for s in top if isinstance(s, ast.ClassDef)]
        if classes and len(top) > 1:
            raise self._source.error(top[1], "one module class, or functions alone")
        if not top:
            raise self._source.error(ast.Module([], []), "the text holds no module and no function")
        body = classes[0].body if classes else top
        if classes:
            self._context.module_name = classes[0].name
            self._check_class(classes[0])
            self._holds_host_functions = bool(classes[0].bases)
        for statement in body:
            self._member(statement)
        self._context.function_names = [*self._definitions, *self._extern]

    def _check_class(self, node: ast.ClassDef) -> None:
        names = [dotted(d) or callee(d) for d in node.decorator_list]
        bases = [dotted(b) for b in node.bases]
        if (
            names not in (["I.ir_module"], ["R.py_module"])
            or node.keywords
            or (bases and [b.split(".")[-1] for b in bases] != [_HOST_MODULE])
        ):
            raise self._source.error(
                node, "a module is a class with the one decorator @I.ir_module"
            )

    def _member(self, node: ast.stmt) -> None:
        match node:
            case ast.FunctionDef(name=name):
                if name in self._definitions or name in self._extern:
                    raise self._source.error(node, f"function {name} is defined twice")
                if name in RESERVED_GLOBALS:
                    raise self._source.error(node, f"{name} cannot name a function; it is reserved")
                if any(dotted(d) == "I.pyfunc" for d in node.decorator_list):
                    self._host_function(node)
                else:
                    self._definitions[name] = node
            case ast.Expr(value=ast.Call() as call) if callee(call) == "I.module_attrs":
                given = required(
                    self._source, call, bind(self._source, call, "attrs allow"), "attrs"
                )
                self._attrs.update(attributes(self._source, given, "I.module_attrs"))
            case ast.Expr(value=ast.Call() as call) if callee(call) == "I.module_global_infos":
                self._read_global_infos(call)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if (
                callee(call) == "R.ExternFunc"
            ):
                self._extern[name] = self._extern_func(call)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if declares_symbol(
                self._source, value
            ):
                self._declare(node, name)
            case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                pass
            case _:
                raise self._source.error(
                    node, f"{ast.unparse(node).splitlines()[0]} is no part of a module"
                )

    def _host_function(self, node: ast.FunctionDef) -> None:
        """Read `@I.pyfunc def f(...)`: as in TVM the external function f, without its body."""
        if not self._holds_host_functions:
            raise self._source.error(
                node,
                f"@I.pyfunc stands in a class that inherits from {_HOST_MODULE}: "
                f"class {self._context.module_name}({_HOST_MODULE})",
            )
        self._attrs["base_py_module"] = True
        self._extern[node.name] = ExternFunc(node.name, span=self._source.span(node))

    def _extern_func(self, call: ast.Call) -> ExternFunc:
        types = TypeReader(self._source, dict(self._context.type_vars), self._context.global_infos)
        return extern_func(types, call, self._source.span(call))

    def _read_global_infos(self, call: ast.Call) -> None:
        node = required(self._source, call, bind(self._source, call, "infos"), "infos")
        if not isinstance(node, ast.Dict):
            raise self._source.error(node, "I.module_global_infos takes a dict")
        for key, value in zip(node.keys, node.values, strict=True):
            items = sequence(value)
            if key is None or items is None:
                raise self._source.error(value, "an entry is a key and a list")
            kind = text_literal(self._source, key, "the key")
            self._context.global_infos[kind] = tuple(self._global_info(kind, i) for i in items)

    def _global_info(self, kind: str, node: ast.expr) -> str | DeviceMesh:
        if callee(node) in ("I.dummy_global_info", "R.dummy_global_info"):
            return DUMMY_INFO
        if isinstance(node, ast.Call) and callee(node) in MESH_CALLS:
            return device_mesh(self._source, node)
        if callee(node) not in ("I.vdevice", "R.vdevice") or not isinstance(node, ast.Call):
            text = text_literal(self._source, node, "a global info")
            return self._device(node, text) if kind == "vdevice" else text
        bound = bind(self._source, node, "target vdevice_id memory_scope")
        target = literal(self._source, required(self._source, node, bound, "target"), "the target")
        if isinstance(target, str) and (not target or ":" in target):
            raise self._source.error(node, "a target's name is not empty and has no colon")
        if isinstance(target, AttrMap):
            target = json_text(target)
        if not isinstance(target, str):
            raise self._source.error(node, "a target is a string or a dict")
        parts = [target]
        if "vdevice_id" in bound:
            parts.append(str(int_literal(self._source, bound["vdevice_id"], "vdevice_id")))
        if "memory_scope" in bound:
            parts += ["0"] if len(parts) == 1 else []
            parts.append(text_literal(self._source, bound["memory_scope"], "memory_scope"))
        return ":".join(parts)

    def _device(self, node: ast.expr, text: str) -> str:
        try:
            full_vdevice(text)
        except EqsatError as error:
            raise self._source.error(node, str(error)) from None
        return text

    def _metadata(self, node: ast.expr) -> list[Constant]:
        if not isinstance(node, ast.Call) or len(node.args) != 1:
            raise self._source.error(node, "metadata is tvm.ir.load_json(text)")
        try:
            return decode_metadata(text_literal(self._source, node.args[0], "metadata"))
        except MetadataError as error:
            raise self._source.error(node, str(error)) from None

    def _is_primfunc(self, node: ast.FunctionDef) -> bool:
        for decorator in node.decorator_list:
            match dotted(decorator) or callee(decorator):
                case "T.prim_func" | "T.function":
                    return True
                case "R.function":
                    return False
                case _:
                    pass
        raise self._source.error(
            node, f"function {node.name} is neither @R.function nor @T.prim_func"
        )

    def _read(self, name: str, node: ast.FunctionDef) -> None:
        if name in self._functions:
            return
        self._reading.add(name)
        if self._is_primfunc(node):
            self._functions[name] = TirReader(self._context).function(node)
        else:
            reader = FunctionReader(self._context, dict(self._context.type_vars))
            self._functions[name] = reader.function(node)
        self._reading.discard(name)

    def _signature(self, name: str, use: ast.AST) -> CallableType | None:
        """Return the type of a function of the module; one without a result type is read first."""
        if name in self._signatures:
            return self._signatures[name]
        if name in self._extern:
            ty = self._extern[name].type
            return ty if isinstance(ty, CallableType) else PACKED_FUNC
        node = self._definitions.get(name)
        if node is None:
            return None
        self._signatures[name] = found = self._read_signature(name, node, use)
        return found

    def _read_signature(self, name: str, node: ast.FunctionDef, use: ast.AST) -> CallableType:
        if self._is_primfunc(node):
            return _PRIM_FUNC
        params, result = read_signature(self._context, node, dict(self._context.type_vars))
        types = tuple(p.type for p in params)
        if result is not None:
            return CallableType(types, result, FunctionReader(self._context, {}).is_pure(node))
        if name in self._reading:
            raise self._source.error(
                use, f"{name} calls itself, so it needs a result type: def ... -> type"
            )
        self._read(name, node)
        function = self._functions[name]
        assert isinstance(function, Function)
        return CallableType(types, function.ret_type, function.is_pure)
