"""Reading TensorIR functions: statements, loops and blocks."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace

from eqsat.ir._tir import (
    Annotation,
    Assert,
    Attr,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Evaluate,
    For,
    IfThenElse,
    IntImm,
    Jump,
    JumpKind,
    Let,
    LoopKind,
    PrimExpr,
    PrimFunc,
    Range,
    Stmt,
    StringImm,
    Var,
    While,
    binary,
    seq,
    shape_var,
)
from eqsat.ir._visit import substitute_vars, walk
from eqsat.ir.script._context import Context
from eqsat.ir.script._parse_tir_bind import BindingReader, allocating
from eqsat.ir.script._parse_tir_block import BLOCK_ATTRS, BlockParts, DeclarationReader
from eqsat.ir.script._parse_tir_displays import DisplayReader, Named, plain
from eqsat.ir.script._parse_tir_expr import TirExprReader
from eqsat.ir.script._parse_tir_pointers import PointerReader
from eqsat.ir.script._parse_tir_signature import SignatureReader
from eqsat.ir.script._parse_tir_vectors import as_access, lanes_in, over_lanes
from eqsat.ir.script._parse_tir_views import difference
from eqsat.ir.script._syntax import (
    bind,
    callee,
    required,
    sequence,
    text_literal,
)
from eqsat.shapes import SymDim

_LOOPS: dict[str, LoopKind] = {
    "T.serial": "serial", "T.parallel": "parallel", "T.vectorized": "vectorized",
    "T.unroll": "unroll", "T.thread_binding": "thread_binding",
}  # fmt: skip
_LAUNCH = "T.launch_thread"
_JUMPS: dict[str, JumpKind] = {
    "T.Break": "break", "T.Continue": "continue",
    "T.break_loop": "break", "T.continue_loop": "continue", "T.thread_return": "return",
}  # fmt: skip
_BLOCKS = ("T.sblock", "T.block")


class TirReader:
    """Reads one PrimFunc."""

    def __init__(self, context: Context) -> None:
        self._source = context.source
        self._names: dict[str, Named] = {
            n: shape_var(n) for n, v in context.type_vars.items() if isinstance(v, SymDim)
        }
        self._exprs = TirExprReader(context.source, self._names)
        pointers = PointerReader(self._exprs)
        self._exprs.functions |= pointers.functions
        self._exprs.methods |= pointers.methods
        self._loops: dict[Var, Range] = {}
        self._displays = DisplayReader(context.source, self._names)
        self._signature = SignatureReader(context, self._names, self._exprs, self._displays)
        self._declarations = DeclarationReader(
            context.source, self._names, self._exprs, self._signature, self._loops, self._displays
        )
        self._bindings = BindingReader(
            context.source, self._names, self._exprs, self._declarations, self._displays
        )

    def function(self, node: ast.FunctionDef) -> PrimFunc:
        """Return the function of a definition.

        Raises:
            ParseError: it is no TensorIR function.
        """
        options = self._signature.options(node)
        parts = BlockParts()
        root = self._root(self._signature.read(node))
        body = self._block_body(root, parts)
        if parts.iters or parts.init is not None:
            raise self._source.error(node, "axes and T.init stand inside a T.sblock")
        return PrimFunc(
            node.name,
            tuple(self._signature.params),
            body,
            tuple(parts.allocations),
            self._signature.attrs,
            options.get("private", False),
        )

    # --- statements -------------------------------------------------------------------------

    def _root(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Return the statements inside an explicit root block, which says nothing by itself."""
        match statements:
            case [ast.With(items=[item], body=body)] if self._is_root(item.context_expr):
                for statement in body:
                    value = statement.value if isinstance(statement, ast.Expr) else None
                    if callee(value) in BLOCK_ATTRS:
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
        for at, each in enumerate(statements):
            if not self._declaration(self._displays.statement(each), parts):
                return self._body(statements[at:])
        return seq()

    def _body(self, statements: list[ast.stmt]) -> Stmt:
        read: list[Stmt] = []
        for at, each in enumerate(statements):
            statement = self._displays.statement(each)
            around = self._bindings.read(statement, statements[at + 1 :])
            if around is not None:
                read.append(around(self._body(statements[at + 1 :])))
                return seq(*read)
            launched = self._launch(statement)
            if launched is not None:
                rest = self._in_loop({launched.var.name: launched}, statements[at + 1 :])
                read.append(replace(launched, body=rest))
                return seq(*read)
            if isinstance(statement, ast.Pass):
                continue
            call = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(call, ast.Call) and callee(call) == "T.attr":
                read.append(self._advised(call, statements[at + 1 :]))
                return seq(*read)
            read.append(self._statement(statement))
        return seq(*read)

    def _launch(self, node: ast.stmt) -> For | None:
        """Return the loop of `i = T.launch_thread(thread, n)`, which binds the statements after."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if callee(value) == _LAUNCH:
                return self._thread_loop(name, value)
            case ast.Expr(value=ast.Call(args=[ast.Name(id=name), *_]) as value) if (
                callee(value) == _LAUNCH
            ):
                return self._thread_loop(name, value)
            case _:
                return None

    def _thread_loop(self, name: str, call: ast.expr) -> For:
        assert isinstance(call, ast.Call)
        bound = bind(self._source, call, "thread extent")
        thread_node = required(self._source, call, bound, "thread")
        extent = self._exprs.index(required(self._source, call, bound, "extent"))
        thread = self._thread(thread_node)
        low = IntImm(0, extent.dtype)
        return For(Var(name, extent.dtype), low, extent, seq(), "thread_binding", thread)

    def _thread(self, node: ast.expr) -> str:
        """Return the name of a thread axis, which `T.env_thread` may have bound to a name."""
        named = self._names.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(named, StringImm):
            return named.value
        return text_literal(self._source, node, "thread")

    def _scoped_body(self, statements: list[ast.stmt]) -> Stmt:
        before = dict(self._names)
        body = self._body(statements)
        self._names.clear()
        self._names.update(before)
        return body

    def _statement(self, node: ast.stmt) -> Stmt:  # noqa: C901 - one case per node
        match node:
            case ast.For():
                return self._loop(node)
            case ast.With(items=[item], body=body):
                return self._with(node, item, body)
            case ast.If(test=test, body=body, orelse=orelse):
                condition = self._exprs.condition(test)
                other = self._scoped_body(orelse) if orelse else None
                return IfThenElse(condition, self._scoped_body(body), other)
            case ast.Assign(targets=[ast.Subscript() | ast.Name() as target], value=value):
                return self._assign(target, value)
            case ast.AugAssign(target=ast.Subscript() | ast.Name() as target, op=op, value=value):
                whole = ast.copy_location(ast.BinOp(target, op, value), node)
                return self._assign(target, whole)
            case ast.Expr(value=ast.Call() as call):
                return self._evaluate(call)
            case ast.Expr(value=ast.Subscript() as value):
                return Evaluate(self._exprs.expr(value))
            case ast.While(test=test, body=body):
                if node.orelse:
                    raise self._source.error(node, "a while loop has no else")
                return While(self._exprs.condition(test), self._scoped_body(body))
            case ast.Break():
                return Jump("break")
            case ast.Continue():
                return Jump("continue")
            case ast.Return(value=None):
                return Jump("return")
            case ast.Return(value=ast.expr() as value):
                return self._return(value)
            case ast.Assert(test=test, msg=told):
                return self._assertion(node, test, told)
            case _:
                what = ast.unparse(node).split("\n")[0]
                raise self._source.error(node, f"not a TensorIR statement here: {what}")

    def _evaluate(self, call: ast.Call) -> Stmt:
        if callee(call) == "T.evaluate":
            value = required(self._source, call, bind(self._source, call, "value"), "value")
            if isinstance(value, ast.Call) and callee(value) in (*_JUMPS, "T.ret"):
                return self._evaluate(value)
            return Evaluate(self._exprs.expr(value))
        stored = self._called_store(call)
        if stored is not None:
            return self._assign(*stored)
        if callee(call) in ("T.ret", "T.Return"):
            return self._return(
                required(self._source, call, bind(self._source, call, "val"), "val")
            )
        if callee(call) == "T.Assert":
            return self._called_assertion(call)
        if callee(call) in _JUMPS:
            bind(self._source, call, "")
            return Jump(_JUMPS[callee(call)])
        if self._exprs.is_function(callee(call)):
            return Evaluate(self._exprs.expr(call))
        raise self._source.error(
            call, f"{callee(call) or 'this call'} cannot stand here as a statement"
        )

    def _called_store(self, call: ast.Call) -> tuple[ast.Subscript, ast.expr] | None:
        """Return target and value of `T.buffer_store(B, value, at)` and `B.vstore(at, value)`."""
        if callee(call) == "T.buffer_store":
            bound = bind(self._source, call, "buffer value indices")
            buffer, at, value = (
                required(self._source, call, bound, k) for k in ("buffer", "indices", "value")
            )
            return as_access(buffer, at), value
        if not isinstance(call.func, ast.Attribute) or call.func.attr != "vstore":
            return None
        bound = bind(self._source, call, "begin value")
        begin, value = (required(self._source, call, bound, k) for k in ("begin", "value"))
        target = as_access(call.func.value, begin)
        return over_lanes(target, lanes_in(value)), value

    def _called_assertion(self, call: ast.Call) -> Assert:
        """Read `T.Assert(condition, message)`."""
        bound = bind(self._source, call, "condition message")
        condition, told = (required(self._source, call, bound, k) for k in ("condition", "message"))
        return self._assertion(call, condition, told)

    def _return(self, value: ast.expr) -> Jump:
        read = self._exprs.expr(value)
        if isinstance(value, ast.Constant) and isinstance(read, IntImm) and read.dtype == "int64":
            read = IntImm(read.value, "int32")
        return Jump("return", read)

    def _assertion(self, node: ast.AST, test: ast.expr, told: ast.expr | None) -> Assert:
        """Read `assert condition, "message"`, or `(kind, [parts of the message])` after it."""
        condition = self._exprs.condition(test)
        match told:
            case ast.Constant(value=str(message)):
                return Assert(condition, message)
            case ast.Tuple(elts=[ast.Constant(value=str(kind)), listed]):
                parts = sequence(listed) or [listed]
                message = "".join(text_literal(self._source, p, "a message") for p in parts)
                return Assert(condition, message, kind)
            case None:
                return Assert(condition, ast.unparse(test))
            case _:
                raise self._source.error(node, "an assertion's message is a string")

    def _assign(self, target: ast.Subscript | ast.Name, value: ast.expr) -> Stmt:
        if isinstance(target, ast.Subscript):
            items = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
            lanes = max(map(self._exprs.lanes_of, items), default=0)
            return self._vector_store(target, value, lanes) if lanes else self._store(target, value)
        scalar = self._names.get(target.id)
        if not isinstance(scalar, Buffer) or scalar not in self._exprs.scalars:
            raise self._source.error(target, f"{target.id} is no variable that can be assigned to")
        return BufferStore(scalar, (), self._converted(value, scalar.dtype))

    def _store(self, target: ast.Subscript, value: ast.expr) -> BufferStore:
        buffer, indices = self._exprs.access(target)
        return BufferStore(buffer, indices, self._converted(value, buffer.dtype))

    def _converted(self, value: ast.expr, dtype: str) -> PrimExpr:
        return self._exprs.converted(value, self._exprs.expr(value), dtype)

    def _vector_store(self, target: ast.Subscript, value: ast.expr, lanes: int) -> Stmt:
        """Read a store of a vector as a vectorized loop; all of it is read before it is written."""
        lane = Var("lane")
        self._exprs.lane = (lane, lanes)
        store = self._store(target, value)
        self._exprs.lane = None

        def each(var: Var, body: Stmt) -> For:
            return For(var, IntImm(0), IntImm(lanes), body, "vectorized")

        own = BufferLoad(store.buffer, store.indices)
        loads = (n for n in walk(store.value) if isinstance(n, BufferLoad))
        if all(n.buffer is not store.buffer or n == own for n in loads):
            return each(lane, store)
        held, again = Buffer("held", (IntImm(lanes),), store.value.dtype, "local"), Var("lane")
        indices = tuple(substitute_vars(i, {lane: again}) for i in store.indices)
        return allocating(
            held,
            seq(
                each(lane, BufferStore(held, (lane,), store.value)),
                each(again, BufferStore(store.buffer, indices, BufferLoad(held, (again,)))),
            ),
        )

    # --- loops ------------------------------------------------------------------------------

    def _loop(self, node: ast.For) -> Stmt:
        call = node.iter
        if node.orelse or not isinstance(call, ast.Call):
            raise self._source.error(
                node, "a loop is `for i in range(n)`, T.serial, T.grid and their kin"
            )
        targets = [node.target] if isinstance(node.target, ast.Name) else sequence(node.target)
        name = callee(call)
        if name == "T.grid":
            return self._grid(node, call, targets or [])
        names = [t.id for t in targets or () if isinstance(t, ast.Name)]
        if not targets or len(names) != len(targets):
            raise self._source.error(node.target, "loop variables are plain names")
        kind = "serial" if name == "range" else _LOOPS.get(name)
        if kind is None:
            raise self._source.error(call, f"unknown loop {name or ast.unparse(call)}")
        if len(names) != 1:
            raise self._source.error(node.target, f"{name} has one loop variable")
        loop, step = self._one_loop(names[0], call, kind)
        if step == 1:
            return replace(loop, body=self._in_loop({names[0]: loop}, node.body))
        return self._in_steps(loop, step, node.body)

    def _in_steps(self, loop: For, step: int, statements: list[ast.stmt]) -> For:
        """Return the loop that counts the steps and binds the variable to where each leads."""
        count = Var(f"{loop.var.name}_step", loop.var.dtype)
        here = binary("+", loop.min, binary("*", count, IntImm(step, count.dtype)))
        extent = binary("+", loop.extent, IntImm(step - 1, count.dtype))
        extent = binary("//", extent, IntImm(step, count.dtype))
        before = dict(self._names)
        self._names[loop.var.name] = loop.var
        body = Let(loop.var, here, self._body(statements))
        self._names.clear()
        self._names.update(before)
        return replace(loop, var=count, min=IntImm(0, count.dtype), extent=extent, body=body)

    def _one_loop(self, name: str, call: ast.Call, kind: LoopKind) -> tuple[For, int]:
        """Return a loop without its body, and its step."""
        is_bound = kind == "thread_binding"
        third = "thread annotations" if is_bound else "step annotations"
        bound = bind(self._source, call, f"start stop {third}")
        step = 1
        if "step" in bound:
            given = self._exprs.index(bound["step"])
            step = given.value if isinstance(given, IntImm) else 0
            if step < 1:
                raise self._source.error(bound["step"], "a step is a constant of at least 1")
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
        annotations: Mapping[str, Annotation] = {}
        if "annotations" in bound:
            annotations = self._declarations.annotations(bound["annotations"])
        var = Var(name, low.dtype)
        return For(var, low, extent, seq(), kind, thread, annotations), step

    def _grid(self, node: ast.For, call: ast.Call, targets: Sequence[ast.expr]) -> Stmt:
        ranges = [self._grid_range(a) for a in call.args]
        before = dict(self._names)
        names = self._displays.spread(node, targets, len(ranges))
        if call.keywords or not names:
            raise self._source.error(node, "T.grid takes the extents of the loops, by position")
        loops = [For(Var(plain(n), r.min.dtype), r.min, r.extent, seq())
                 for n, r in zip(names, ranges, strict=True)]  # fmt: skip
        result = self._in_loop(dict(zip(names, loops, strict=True)), node.body)
        self._names.clear()
        self._names.update(before)
        for loop in reversed(loops):
            result = replace(loop, body=result)
        return result

    def _grid_range(self, node: ast.expr) -> Range:
        """Read an extent of T.grid, or `(begin, end)`."""
        items = sequence(node)
        if items is None:
            extent = self._exprs.index(node)
            return Range(IntImm(0, extent.dtype), extent)
        if len(items) != 2:
            raise self._source.error(node, "T.grid takes extents, or (begin, end)")
        low, high = self._exprs.matched(node, *map(self._exprs.index, items))
        return Range(low, difference(high, low))

    def _in_loop(self, loops: dict[str, For], statements: list[ast.stmt]) -> Stmt:
        before = dict(self._names)
        for name, loop in loops.items():
            self._names[name] = loop.var
            self._loops[loop.var] = Range(loop.min, loop.extent)
        body = self._body(statements)
        self._names.clear()
        self._names.update(before)
        return body

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
        if name == "T.allocate" and isinstance(item.optional_vars, ast.Name):
            assert isinstance(call, ast.Call)
            before = dict(self._names)
            buffer = self._declarations.allocation(item.optional_vars.id, call)
            inner = self._body(body)
            self._names.clear()
            self._names.update(before)
            return allocating(buffer, inner)
        arguments = call.args if isinstance(call, ast.Call) else []
        launched = item.optional_vars or next(iter(arguments), None)
        if name == _LAUNCH and isinstance(launched, ast.Name):
            loop = self._thread_loop(launched.id, call)
            return replace(loop, body=self._in_loop({loop.var.name: loop}, body))
        if name not in _BLOCKS or not isinstance(call, ast.Call):
            if name == "T.Assert" and isinstance(call, ast.Call):
                return seq(self._called_assertion(call), self._scoped_body(body))
            if name == "T.attr" and isinstance(call, ast.Call):
                return self._advised(call, body)
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

    def _advised(self, call: ast.Call, statements: list[ast.stmt]) -> Stmt:
        """Read statements under `T.attr(node, key, value)` or `T.attr({key: value})`."""
        if len(call.args) == 1 and isinstance(call.args[0], ast.Dict):
            attrs = call.args[0]
            about = ast.copy_location(ast.Constant(0), call)
            given = [(about, k, v) for k, v in zip(attrs.keys, attrs.values, strict=True)]
        else:
            bound = bind(self._source, call, "node attr_key value")
            node, key, value = (
                required(self._source, call, bound, k) for k in ("node", "attr_key", "value")
            )
            given = [(node, key, value)]
        read = [self._attribute(call, *each) for each in given]
        body = self._scoped_body(statements)
        for node, key, value in reversed(read):
            body = Attr(node, key, value, body)
        return body

    def _attribute(
        self, call: ast.Call, about: ast.expr, key: ast.expr | None, value: ast.expr
    ) -> tuple[PrimExpr | Buffer, str, PrimExpr]:
        if key is None:
            raise self._source.error(call, "attributes are a dict with string keys")
        name = text_literal(self._source, key, "a key")
        return self._exprs.about(about), name, self._exprs.argument(value)

    def _declaration(self, node: ast.stmt, parts: BlockParts) -> bool:
        match node:
            case ast.With(items=[item], body=body) if callee(item.context_expr) == "T.init":
                parts.init = self._scoped_body(body)
                return True
            case _:
                return self._declarations.read(node, parts)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_region(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return callee(value) in ("T.reads", "T.writes")
