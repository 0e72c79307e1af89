"""Reading the signature of a TensorIR function: parameters, symbols, attributes, buffers."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from eqsat.ir._attrs import AttrValue
from eqsat.ir._tir import (
    Buffer,
    IntImm,
    PrimExpr,
    Var,
    shape_var,
)
from eqsat.ir.script._context import Context, type_params
from eqsat.ir.script._parse_tir_displays import DisplayReader, Named
from eqsat.ir.script._parse_tir_expr import TirExprReader
from eqsat.ir.script._parse_tir_views import row_strides
from eqsat.ir.script._syntax import (
    attributes,
    bind,
    bool_literal,
    callee,
    dotted,
    is_none,
    keywords,
    required,
    sequence,
    text_literal,
)
from eqsat.shapes import is_dtype, is_symbol_name

_BUFFER = (
    "shape dtype data strides elem_offset scope align offset_factor buffer_type axis_separators"
)
_ZERO = IntImm(0)
_OPTIONS = {"private", "s_tir", "check_well_formed"}


class SignatureReader:
    """Reads what stands before the body of one PrimFunc; names what it finds in `names`."""

    def __init__(
        self,
        context: Context,
        names: dict[str, Named],
        exprs: TirExprReader,
        displays: DisplayReader,
    ) -> None:
        self._context = context
        self._source = context.source
        self._names = names
        self._exprs = exprs
        self._displays = displays
        self.attrs: dict[str, AttrValue] = {}
        self.params: list[Buffer | Var] = []

    def read(self, node: ast.FunctionDef) -> list[ast.stmt]:
        """Read parameters, attributes, symbols and match_buffers; return what follows them."""
        a = node.args
        if a.vararg or a.kwarg or a.kwonlyargs or a.defaults:
            raise self._source.error(node, "a PrimFunc has plain parameters")
        handles: dict[str, int] = {}
        self._names.update((n, shape_var(n)) for n in type_params(self._context, node))
        # Scalar parameters may be used in the shapes of buffers before them.
        for p in (*a.posonlyargs, *a.args):
            self._scalar_parameter(p)
        for p in (*a.posonlyargs, *a.args):
            self._parameter(p, handles)
        statements = self._matched_buffers(node.body, handles)
        if handles:
            raise self._source.error(node, f"handle {next(iter(handles))} has no T.match_buffer")
        return statements

    def options(self, node: ast.FunctionDef) -> dict[str, bool]:
        """Return the options of the `T.prim_func` decorator."""
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                given = keywords(self._source, decorator)
                if unknown := sorted(set(given) - _OPTIONS):
                    raise self._source.error(
                        given[unknown[0]], f"T.prim_func has no option {unknown[0]}"
                    )
                return {k: bool_literal(self._source, v, k) for k, v in given.items()}
        return {}

    def _scalar_parameter(self, p: ast.arg) -> None:
        if p.annotation is None:
            raise self._source.error(
                p, f"parameter {p.arg} needs a type, such as T.Buffer((4,), ...)"
            )
        name = callee(p.annotation) or dotted(p.annotation)
        if name.startswith("T.") and is_dtype(name[2:]):
            self._names[p.arg] = self._new_var(p.arg, name[2:])

    def _new_var(self, name: str, dtype: str) -> Var:
        # An int64 scalar may be a shape's symbol: then it must be that symbol's variable.
        is_symbol = dtype == "int64" and is_symbol_name(name)
        return shape_var(name) if is_symbol else Var(name, dtype)

    def _parameter(self, p: ast.arg, handles: dict[str, int]) -> None:
        annotation = p.annotation
        assert annotation is not None
        name = callee(annotation) or dotted(annotation)
        if name in ("T.Buffer", "T.Tensor") and isinstance(annotation, ast.Call):
            buffer = self.buffer(p.arg, annotation, quoted=True)
            self._names[p.arg] = buffer
            self.params.append(buffer)
        elif name == "T.handle":
            handles[p.arg] = len(self.params)
            self.params.append(Var(p.arg, "handle"))
        elif isinstance(bound := self._names.get(p.arg), Var) and name[2:] == bound.dtype:
            self.params.append(bound)
        else:
            raise self._source.error(
                annotation, f"unknown parameter type {ast.unparse(annotation)}"
            )

    def _matched_buffers(
        self, statements: list[ast.stmt], handles: dict[str, int]
    ) -> list[ast.stmt]:
        """Read attributes, symbols and match_buffers; return the statements after them."""
        for at, each in enumerate(statements):
            match self._displays.statement(each):
                case ast.Expr(value=ast.Constant(value=str())):
                    pass
                case ast.Expr(value=ast.Call() as call) if callee(call) == "T.func_attr":
                    self._function_attributes(call)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if (
                    self._is_symbol(call)
                ):
                    self._names[name] = self._new_var(name, callee(call)[2:])
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if (
                    len(names) == len(values) and all(self._is_symbol(v) for v in values)
                ):
                    self._declare_symbols(names, values)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if callee(
                    call
                ) == "T.match_buffer" and not _of_region(call):
                    self._match_buffer(name, call, handles)
                case _:
                    return statements[at:]
        return []

    def _declare_symbols(self, names: list[ast.expr], values: list[ast.expr]) -> None:
        """Read `n, m = T.int64(), T.int64()`."""
        for target, value in zip(names, values, strict=True):
            if not isinstance(target, ast.Name):
                raise self._source.error(target, "a symbol is a plain name")
            self._names[target.id] = self._new_var(target.id, callee(value)[2:])

    def _is_symbol(self, call: ast.expr) -> bool:
        name = callee(call)
        is_empty = isinstance(call, ast.Call) and not call.args
        return name.startswith("T.int") and is_dtype(name[2:]) and is_empty

    def _function_attributes(self, call: ast.Call) -> None:
        given = required(self._source, call, bind(self._source, call, "attrs"), "attrs")
        for key, value in attributes(self._source, given, "T.func_attr").items():
            name = "tirx.noalias" if key == "tir.noalias" else key
            self.attrs[name] = value

    def _match_buffer(self, name: str, call: ast.Call, handles: dict[str, int]) -> None:
        if (
            not call.args
            or not isinstance(call.args[0], ast.Name)
            or call.args[0].id not in handles
        ):
            raise self._source.error(
                call, "T.match_buffer takes a handle parameter that is not matched yet"
            )
        rest = ast.copy_location(ast.Call(call.func, call.args[1:], call.keywords), call)
        buffer = self.buffer(name, rest)
        self.params[handles.pop(call.args[0].id)] = buffer
        self._names[name] = buffer

    def buffer(
        self,
        name: str,
        call: ast.Call,
        signature: str = _BUFFER,
        *,
        quoted: bool = False,
        strides: Sequence[PrimExpr] | None = None,
        offset: PrimExpr = _ZERO,
    ) -> Buffer:
        """Return the buffer that a call such as `T.Buffer(shape, dtype)` declares.

        Symbols for its strides and its offset stand for what they are: `strides`, by default those
        of its shape row by row, and `offset`.
        """
        bound = bind(self._source, call, signature)
        shape_node = required(self._source, call, bound, "shape")
        # A name as offset says that the buffer may start anywhere, which is true of ours.
        at = bound.get("elem_offset")
        is_start = is_none(at) or self._stands_for(at, offset) or (_is_zero(at) and offset == _ZERO)
        items = sequence(shape_node)
        items = [shape_node] if items is None else items
        shape = self._exprs.shape_of(shape_node)
        if shape is None:
            shape = tuple(self._dim(item, quoted) for item in items)
        given = bound.get("strides")
        expected = row_strides(shape) if strides is None else strides
        is_strided = not (is_none(given) or self._are_strides(given, expected, len(shape)))
        if is_strided or not is_none(bound.get("data")) or not is_start:
            raise self._source.error(
                call, "buffers with strides, offsets or given data are not supported"
            )
        dtype = "float32"
        if "dtype" in bound:
            dtype = self._exprs.dtype_of(bound["dtype"])
        if not is_dtype(dtype):
            raise self._source.error(bound["dtype"], f"unknown dtype {dtype!r}")
        scope = "global"
        if "scope" in bound:
            scope = text_literal(self._source, bound["scope"], "scope")
        return Buffer(name, shape, dtype, scope)

    def _are_strides(self, node: ast.expr | None, expected: Sequence[PrimExpr], rank: int) -> bool:
        """Say whether strides are the expected ones of the last axes; symbols take their value."""
        items = sequence(node) if node is not None else None
        if items is None or len(items) != rank:
            return items == []
        pairs = zip(items, expected[len(expected) - rank :], strict=True)
        return all(
            self._stands_for(item, e) or _same(self._exprs.index(item), e) for item, e in pairs
        )

    def _stands_for(self, node: ast.expr | None, value: PrimExpr) -> bool:
        """Let a symbol stand for `value`; return whether `node` is one."""
        name = node.value if isinstance(node, ast.Constant) else getattr(node, "id", None)
        if node is None or not isinstance(name, str):
            return False
        known = self._names.get(name)
        if isinstance(known, (Buffer, tuple)) or known in self.params:
            return False
        dtype = value.dtype if known is None else known.dtype
        self._names[name] = self._exprs.converted(node, value, dtype)
        return True

    def _dim(self, node: ast.expr, quoted: bool) -> PrimExpr:
        if quoted and isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                tree = ast.parse(node.value.strip(), mode="eval").body
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                raise self._source.error(
                    node, f"the quoted {node.value!r} is not an expression"
                ) from None
            for inner in ast.walk(tree):
                ast.copy_location(inner, node)
                if isinstance(inner, ast.Name) and is_symbol_name(inner.id) and inner.id != "T":
                    self._names.setdefault(inner.id, shape_var(inner.id))
            node = tree
        return self._exprs.index(node)


def _of_region(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Subscript)


def _is_zero(node: ast.expr | None) -> bool:
    inner = node.args[0] if isinstance(node, ast.Call) and len(node.args) == 1 else node
    return isinstance(inner, ast.Constant) and inner.value == 0


def _same(a: PrimExpr, b: PrimExpr) -> bool:
    return a == b or (isinstance(a, IntImm) and isinstance(b, IntImm) and a.value == b.value)
