"""Reading TensorIR functions."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

from eqsat.ir._tir import (
    Binary,
    Block,
    Buffer,
    BufferRegion,
    BufferStore,
    Evaluate,
    For,
    IfThenElse,
    IntImm,
    IterVar,
    Let,
    LoopKind,
    PrimExpr,
    PrimFunc,
    Range,
    Stmt,
    Var,
    binary,
    seq,
    shape_var,
)
from eqsat.ir.script._context import Context, type_params
from eqsat.ir.script._parse_tir_expr import TirExprReader
from eqsat.ir.script._syntax import (
    attributes,
    bind,
    bool_literal,
    callee,
    dotted,
    keywords,
    required,
    sequence,
    text_literal,
)
from eqsat.shapes import SymDim, is_dtype, is_symbol_name

_LOOPS: dict[str, LoopKind] = {
    "T.serial": "serial", "T.parallel": "parallel", "T.vectorized": "vectorized",
    "T.unroll": "unroll", "T.thread_binding": "thread_binding",
}  # fmt: skip
_BLOCKS = ("T.sblock", "T.block")
_ALLOCATIONS = ("T.sblock_alloc_buffer", "T.alloc_buffer")
_BLOCK_ATTRS = ("T.sblock_attr", "T.block_attr")
_SPATIAL = ("T.axis.spatial", "T.axis.S")
_REDUCE = ("T.axis.reduce", "T.axis.R")
_BUFFER = "shape dtype scope elem_offset strides data"
_OPTIONS = {"private", "s_tir", "check_well_formed"}
AttrScalar = str | int | float | bool


class BlockParts:
    """What the statements at the top of a block declare."""

    def __init__(self) -> None:
        self.iters: list[IterVar] = []
        self.reads: tuple[BufferRegion, ...] | None = None
        self.writes: tuple[BufferRegion, ...] | None = None
        self.init: Stmt | None = None
        self.predicate: PrimExpr = IntImm(1, "bool")
        self.allocations: list[Buffer] = []
        self.annotations: Mapping[str, PrimExpr | str] = {}


class TirReader:
    """Reads one PrimFunc."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._source = context.source
        self._names: dict[str, Var | Buffer] = {
            n: shape_var(n) for n, v in context.type_vars.items() if isinstance(v, SymDim)
        }
        self._exprs = TirExprReader(context.source, self._names)
        self._loops: dict[Var, Range] = {}
        self._attrs: dict[str, AttrScalar] = {}
        self._params: list[Buffer | Var] = []

    def function(self, node: ast.FunctionDef) -> PrimFunc:
        """Return the function of a definition.

        Raises:
            ParseError: it is no TensorIR function.
        """
        options = self._options(node)
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
        parts = BlockParts()
        statements = self._matched_buffers(node.body, handles)
        if handles:
            raise self._source.error(node, f"handle {next(iter(handles))} has no T.match_buffer")
        root = self._root(statements)
        body = self._block_body(root, parts)
        if parts.iters or parts.init is not None:
            raise self._source.error(node, "axes and T.init stand inside a T.sblock")
        return PrimFunc(
            node.name,
            tuple(self._params),
            body,
            tuple(parts.allocations),
            self._attrs,
            options.get("private", False),
        )

    def _options(self, node: ast.FunctionDef) -> dict[str, bool]:
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call):
                given = keywords(self._source, decorator)
                if unknown := sorted(set(given) - _OPTIONS):
                    raise self._source.error(
                        given[unknown[0]], f"T.prim_func has no option {unknown[0]}"
                    )
                return {k: bool_literal(self._source, v, k) for k, v in given.items()}
        return {}

    # --- parameters -------------------------------------------------------------------------

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
        if name == "T.Buffer" and isinstance(annotation, ast.Call):
            buffer = self._buffer(p.arg, annotation, _BUFFER, quoted=True)
            self._names[p.arg] = buffer
            self._params.append(buffer)
        elif name == "T.handle":
            handles[p.arg] = len(self._params)
            self._params.append(Var(p.arg, "handle"))
        elif isinstance(bound := self._names.get(p.arg), Var) and name[2:] == bound.dtype:
            self._params.append(bound)
        else:
            raise self._source.error(
                annotation, f"unknown parameter type {ast.unparse(annotation)}"
            )

    def _matched_buffers(
        self, statements: list[ast.stmt], handles: dict[str, int]
    ) -> list[ast.stmt]:
        """Read attributes, symbols and match_buffers; return the statements after them."""
        for at, statement in enumerate(statements):
            match statement:
                case ast.Expr(value=ast.Constant(value=str())):
                    pass
                case ast.Expr(value=ast.Call() as call) if callee(call) == "T.func_attr":
                    self._function_attributes(call)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if (
                    self._is_symbol(call)
                ):
                    self._names[name] = self._new_var(name, callee(call)[2:])
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if (
                    callee(call) == "T.match_buffer"
                ):
                    self._match_buffer(name, call, handles)
                case _:
                    return statements[at:]
        return []

    def _is_symbol(self, call: ast.Call) -> bool:
        name = callee(call)
        return name.startswith("T.int") and is_dtype(name[2:]) and not call.args

    def _function_attributes(self, call: ast.Call) -> None:
        given = required(self._source, call, bind(self._source, call, "attrs"), "attrs")
        for key, value in attributes(self._source, given, "T.func_attr").items():
            name = "tirx.noalias" if key == "tir.noalias" else key
            if not isinstance(value, (str, int, float)):
                raise self._source.error(given, f"attribute {key} must be a number or a string")
            self._attrs[name] = value

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
        buffer = self._buffer(name, rest, _BUFFER)
        self._params[handles.pop(call.args[0].id)] = buffer
        self._names[name] = buffer

    def _buffer(self, name: str, call: ast.Call, signature: str, *, quoted: bool = False) -> Buffer:
        bound = bind(self._source, call, signature)
        shape_node = required(self._source, call, bound, "shape")
        # A name as offset says that the buffer may start anywhere, which is true of ours.
        offset = bound.get("elem_offset")
        if (
            "strides" in bound
            or "data" in bound
            or not (offset is None or isinstance(offset, ast.Name))
        ):
            raise self._source.error(
                call, "buffers with strides, offsets or given data are not supported"
            )
        items = sequence(shape_node)
        items = [shape_node] if items is None else items
        shape = tuple(self._dim(item, quoted) for item in items)
        dtype = "float32"
        if "dtype" in bound:
            dtype = text_literal(self._source, bound["dtype"], "dtype")
        if not is_dtype(dtype):
            raise self._source.error(bound["dtype"], f"unknown dtype {dtype!r}")
        scope = "global"
        if "scope" in bound:
            scope = text_literal(self._source, bound["scope"], "scope")
        return Buffer(name, shape, dtype, scope)

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

    # --- statements -------------------------------------------------------------------------

    def _root(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Return the statements inside an explicit root block, which says nothing by itself."""
        match statements:
            case [ast.With(items=[item], body=body)] if self._is_root(item.context_expr):
                for statement in body:
                    value = statement.value if isinstance(statement, ast.Expr) else None
                    if callee(value) in _BLOCK_ATTRS:
                        raise self._source.error(
                            statement, "attributes of the root block are not supported"
                        )
                return [s for s in body if not _is_region(s)]
            case _:
                return statements

    def _is_root(self, node: ast.expr) -> bool:
        match node:
            case ast.Call(args=[ast.Constant(value="root")]) if callee(node) in _BLOCKS:
                return True
            case _:
                return False

    def _block_body(self, statements: list[ast.stmt], parts: BlockParts) -> Stmt:
        """Read the declarations at the top of a block into `parts`; return its body."""
        for at, statement in enumerate(statements):
            if not self._declaration(statement, parts):
                return self._body(statements[at:])
        return seq()

    def _body(self, statements: list[ast.stmt]) -> Stmt:
        read: list[Stmt] = []
        for at, statement in enumerate(statements):
            binding = self._let(statement)
            if binding is not None:
                var, value = binding
                self._names[var.name] = var
                read.append(Let(var, value, self._body(statements[at + 1 :])))
                return seq(*read)
            if isinstance(statement, ast.Pass):
                continue
            read.append(self._statement(statement))
        return seq(*read)

    def _scoped_body(self, statements: list[ast.stmt]) -> Stmt:
        before = dict(self._names)
        body = self._body(statements)
        self._names.clear()
        self._names.update(before)
        return body

    def _statement(self, node: ast.stmt) -> Stmt:
        match node:
            case ast.For():
                return self._loop(node)
            case ast.With(items=[item], body=body):
                return self._with(node, item, body)
            case ast.If(test=test, body=body, orelse=orelse):
                condition = self._exprs.condition(test)
                other = self._scoped_body(orelse) if orelse else None
                return IfThenElse(condition, self._scoped_body(body), other)
            case ast.Assign(targets=[ast.Subscript() as target], value=value):
                return self._store(target, value)
            case ast.AugAssign(target=ast.Subscript() as target, op=op, value=value):
                load = ast.copy_location(
                    ast.Subscript(target.value, target.slice, ast.Load()), node
                )
                whole = ast.copy_location(ast.BinOp(load, op, value), node)
                return self._store(target, whole)
            case ast.Expr(value=ast.Call() as call):
                return self._evaluate(call)
            case _:
                what = ast.unparse(node).split("\n")[0]
                raise self._source.error(node, f"not a TensorIR statement here: {what}")

    def _evaluate(self, call: ast.Call) -> Stmt:
        if callee(call) == "T.evaluate":
            bound = bind(self._source, call, "value")
            return Evaluate(self._exprs.expr(required(self._source, call, bound, "value")))
        if callee(call) in ("T.call_extern", "T.call_pure_extern", "T.call_intrin"):
            return Evaluate(self._exprs.expr(call))
        raise self._source.error(
            call, f"{callee(call) or 'this call'} cannot stand here as a statement"
        )

    def _store(self, target: ast.Subscript, value: ast.expr) -> Stmt:
        buffer = self._exprs.buffer(target.value)
        indices = tuple(self._exprs.index(i) for i in self._exprs.indices(target, buffer))
        stored = self._exprs.converted(value, self._exprs.expr(value), buffer.dtype)
        return BufferStore(buffer, indices, stored)

    def _let(self, node: ast.stmt) -> tuple[Var, PrimExpr] | None:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                dtype = self._let_dtype(node.annotation)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if callee(value) in (
                "T.bind",
                "T.let",
            ) and isinstance(value, ast.Call):
                bound = bind(self._source, value, "value")
                value = required(self._source, value, bound, "value")
                dtype = ""
            case _:
                return None
        read = self._exprs.expr(value)
        if dtype:
            read = self._exprs.converted(node, read, dtype)
        return Var(name, read.dtype), read

    def _let_dtype(self, node: ast.expr) -> str:
        inner = (
            node.slice
            if isinstance(node, ast.Subscript) and dotted(node.value) == "T.let"
            else node
        )
        name = callee(inner) or dotted(inner)
        if name == "T.let":
            return ""
        if not name.startswith("T.") or not is_dtype(name[2:]):
            raise self._source.error(
                node, f"a binding's type is T.let[T.<dtype>], got {ast.unparse(node)}"
            )
        return name[2:]

    # --- loops ------------------------------------------------------------------------------

    def _loop(self, node: ast.For) -> Stmt:
        call = node.iter
        if node.orelse or not isinstance(call, ast.Call):
            raise self._source.error(
                node, "a loop is `for i in range(n)`, T.serial, T.grid and their kin"
            )
        targets = [node.target] if isinstance(node.target, ast.Name) else sequence(node.target)
        names = [t.id for t in targets or () if isinstance(t, ast.Name)]
        if not targets or len(names) != len(targets):
            raise self._source.error(node.target, "loop variables are plain names")
        name = callee(call)
        if name == "T.grid":
            return self._grid(node, call, names)
        kind = "serial" if name == "range" else _LOOPS.get(name)
        if kind is None:
            raise self._source.error(call, f"unknown loop {name or ast.unparse(call)}")
        if len(names) != 1:
            raise self._source.error(node.target, f"{name} has one loop variable")
        loop = self._one_loop(names[0], call, kind)
        return replace(loop, body=self._in_loop({names[0]: loop}, node.body))

    def _one_loop(self, name: str, call: ast.Call, kind: LoopKind) -> For:
        bound = bind(self._source, call, "start stop thread annotations step")
        if "thread" in bound and kind != "thread_binding" and len(call.args) < 3:
            raise self._source.error(call, "only T.thread_binding has a thread")
        if "step" in bound or (len(call.args) > 2 and kind == "serial"):
            raise self._source.error(call, "loops with a step are not supported")
        first = self._exprs.index(required(self._source, call, bound, "start"))
        low: PrimExpr = IntImm(0, first.dtype)
        extent = first
        if "stop" in bound and not _is_text(bound["stop"]):
            high = self._exprs.index(bound["stop"])
            low, high = self._exprs.matched(call, first, high)
            extent = difference(high, low)
        thread_node = bound.get("thread", bound.get("stop"))
        thread = ""
        if kind == "thread_binding":
            if thread_node is None:
                raise self._source.error(call, "T.thread_binding needs thread=...")
            thread = text_literal(self._source, thread_node, "thread")
        annotations: Mapping[str, PrimExpr | str] = {}
        if "annotations" in bound:
            annotations = self._annotations(bound["annotations"])
        var = Var(name, low.dtype)
        return For(var, low, extent, seq(), kind, thread, annotations)

    def _grid(self, node: ast.For, call: ast.Call, names: list[str]) -> Stmt:
        extents = [self._exprs.index(a) for a in call.args]
        if len(extents) != len(names) or call.keywords or not names:
            raise self._source.error(
                node, f"T.grid has {len(extents)} extents for {len(names)} variables"
            )
        loops = [For(Var(n, e.dtype), IntImm(0, e.dtype), e, seq())
                 for n, e in zip(names, extents, strict=True)]  # fmt: skip
        result = self._in_loop(dict(zip(names, loops, strict=True)), node.body)
        for loop in reversed(loops):
            result = replace(loop, body=result)
        return result

    def _in_loop(self, loops: dict[str, For], statements: list[ast.stmt]) -> Stmt:
        before = dict(self._names)
        for name, loop in loops.items():
            self._names[name] = loop.var
            self._loops[loop.var] = Range(loop.min, loop.extent)
        body = self._body(statements)
        self._names.clear()
        self._names.update(before)
        return body

    def _annotations(self, node: ast.expr) -> Mapping[str, PrimExpr | str]:
        if not isinstance(node, ast.Dict):
            raise self._source.error(node, "annotations are a dict")
        found: dict[str, PrimExpr | str] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise self._source.error(node, "annotations are a dict with string keys")
            name = text_literal(self._source, key, "a key")
            if name == "layout_free_placeholders":
                continue  # names buffers; advice to TVM's own layout rewriting
            found[name] = (
                value.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str)
                else self._exprs.expr(value)
            )
        return found

    # --- blocks -----------------------------------------------------------------------------

    def _with(self, node: ast.With, item: ast.withitem, body: list[ast.stmt]) -> Stmt:
        call = item.context_expr
        name = callee(call)
        if name == "T.LetStmt" and isinstance(call, ast.Call):
            if not isinstance(item.optional_vars, ast.Name):
                raise self._source.error(node, "with T.LetStmt(value) as name")
            bound = bind(self._source, call, "value")
            value = self._exprs.expr(required(self._source, call, bound, "value"))
            var = Var(item.optional_vars.id, value.dtype)
            before = dict(self._names)
            self._names[var.name] = var
            inner = self._body(body)
            self._names.clear()
            self._names.update(before)
            return Let(var, value, inner)
        if name not in _BLOCKS or not isinstance(call, ast.Call):
            raise self._source.error(node, f"unknown scope {ast.unparse(call)}")
        bound = bind(self._source, call, "name no_realize")
        label = text_literal(self._source, bound["name"], "the name") if "name" in bound else ""
        before = dict(self._names)
        parts = BlockParts()
        inner = self._block_body(body, parts)
        self._names.clear()
        self._names.update(before)
        return Block(
            label,
            tuple(parts.iters),
            parts.reads or (),
            parts.writes or (),
            inner,
            parts.init,
            parts.predicate,
            tuple(parts.allocations),
            parts.annotations,
            regions_inferred=parts.reads is not None or parts.writes is not None,
        )

    def _declaration(self, node: ast.stmt, parts: BlockParts) -> bool:
        match node:
            case ast.Assign(targets=[target], value=ast.Call() as call):
                return self._declared_names(target, call, parts)
            case ast.Expr(value=ast.Call() as call):
                return self._declared_property(call, parts)
            case ast.With(items=[item], body=body) if callee(item.context_expr) == "T.init":
                parts.init = self._scoped_body(body)
                return True
            case _:
                return False

    def _declared_names(self, target: ast.expr, call: ast.Call, parts: BlockParts) -> bool:
        name = callee(call)
        if name in _ALLOCATIONS and isinstance(target, ast.Name):
            buffer = self._buffer(target.id, call, "shape dtype data strides elem_offset scope")
            parts.allocations.append(buffer)
            self._names[target.id] = buffer
            return True
        if name == "T.axis.remap":
            self._remap(target, call, parts)
            return True
        if name in (*_SPATIAL, *_REDUCE):
            if not isinstance(target, ast.Name):
                raise self._source.error(target, "an axis has one name")
            self._axis(target.id, call, parts)
            return True
        if name.startswith("T.axis."):
            raise self._source.error(call, f"axes of kind {name} are not supported")
        return False

    def _axis(self, name: str, call: ast.Call, parts: BlockParts) -> None:
        bound = bind(self._source, call, "dom value dtype")
        domain_node = required(self._source, call, bound, "dom")
        binding = self._exprs.index(required(self._source, call, bound, "value"))
        items = sequence(domain_node)
        if items is None:
            extent = self._exprs.index(domain_node)
            domain = Range(IntImm(0, extent.dtype), extent)
        elif len(items) == 2:
            low, high = (self._exprs.index(i) for i in items)
            low, high = self._exprs.matched(call, low, high)
            domain = Range(low, difference(high, low))
        else:
            raise self._source.error(domain_node, "a domain is an extent or (begin, end)")
        kind: Literal["S", "R"] = "S" if callee(call) in _SPATIAL else "R"
        self._add_iter(name, domain, kind, binding, parts)

    def _add_iter(
        self,
        name: str,
        domain: Range,
        kind: Literal["S", "R"],
        binding: PrimExpr,
        parts: BlockParts,
    ) -> None:
        var = Var(name, domain.extent.dtype)
        self._names[name] = var
        parts.iters.append(IterVar(var, domain, kind, binding))

    def _remap(self, target: ast.expr, call: ast.Call, parts: BlockParts) -> None:
        bound = bind(self._source, call, "kinds bindings")
        kinds = text_literal(self._source, required(self._source, call, bound, "kinds"), "kinds")
        items = sequence(required(self._source, call, bound, "bindings")) or []
        targets = [target] if isinstance(target, ast.Name) else sequence(target) or []
        if not len(kinds) == len(items) == len(targets) or set(kinds) - {"S", "R"}:
            raise self._source.error(
                call, "T.axis.remap needs one S or R and one loop for each name"
            )
        loops: list[Var] = []
        for item in items:
            var = self._exprs.expr(item)
            if not isinstance(var, Var) or var not in self._loops:
                raise self._source.error(item, f"{ast.unparse(item)} is not a loop variable")
            loops.append(var)
        for t, kind, var in zip(targets, kinds, loops, strict=True):
            if not isinstance(t, ast.Name):
                raise self._source.error(t, "an axis has one name")
            self._add_iter(t.id, self._loops[var], cast('Literal["S", "R"]', kind), var, parts)

    def _declared_property(self, call: ast.Call, parts: BlockParts) -> bool:
        match callee(call):
            case "T.where":
                bound = bind(self._source, call, "predicate")
                node = required(self._source, call, bound, "predicate")
                parts.predicate = self._exprs.condition(node)
            case "T.reads":
                parts.reads = self._regions(call)
            case "T.writes":
                parts.writes = self._regions(call)
            case name if name in _BLOCK_ATTRS:
                bound = bind(self._source, call, "attrs")
                parts.annotations = self._annotations(required(self._source, call, bound, "attrs"))
            case _:
                return False
        return True

    def _regions(self, call: ast.Call) -> tuple[BufferRegion, ...]:
        items = list(call.args)
        if len(items) == 1 and (listed := sequence(items[0])) is not None:
            items = listed
        return tuple(self._region(item) for item in items)

    def _region(self, node: ast.expr) -> BufferRegion:
        if not isinstance(node, ast.Subscript):
            raise self._source.error(node, "a region is written as an access, A[i, 0:16]")
        buffer = self._exprs.buffer(node.value)
        items = self._exprs.indices(node, buffer)
        pairs = zip(items, buffer.shape, strict=True)
        return BufferRegion(buffer, tuple(self._range(i, d) for i, d in pairs))

    def _range(self, node: ast.expr, size: PrimExpr) -> Range:
        if not isinstance(node, ast.Slice):
            index = self._exprs.index(node)
            return Range(index, IntImm(1, index.dtype))
        if node.step is not None:
            raise self._source.error(node, "regions have no step")
        low = IntImm(0, size.dtype) if node.lower is None else self._exprs.index(node.lower)
        high = size if node.upper is None else self._exprs.index(node.upper)
        low, high = self._exprs.matched(node, low, high)
        return Range(low, difference(high, low))


def difference(high: PrimExpr, low: PrimExpr) -> PrimExpr:
    """Return `high - low`; `low + extent` gives back the extent."""
    if isinstance(low, IntImm) and low.value == 0:
        return high
    if isinstance(high, Binary) and high.op == "+" and high.a == low:
        return high.b
    if high == low:
        return IntImm(0, low.dtype)
    return binary("-", high, low)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_region(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return callee(value) in ("T.reads", "T.writes")
