"""Scheduled PrimFuncs to LLVM IR, one function for each parallel stage.

A stage is called by every thread as `f(pointers, dims, shared, scratch, thread, threads)`, one
without a parallel loop by one thread; `pointers` has the buffers in order, `dims` the symbols. The
loop kinds are taken literally: "unroll" repeats the body, "vectorized" makes the body compute on
vectors with one lane for each iteration.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

from eqsat.backends._canonical import canonical
from eqsat.backends._errors import CodegenError
from eqsat.backends._expressions import Expressions, Lane, reads_memory
from eqsat.backends._layout import ALIGN, Layout, split_stages
from eqsat.backends._target import Target
from eqsat.backends._values import Value
from eqsat.ir._simplify import Poly, add, as_constant, constant, mul, to_expr
from eqsat.ir.te import Combiner, identity
from eqsat.ir.tir import (
    Assert,
    Attr,
    Binary,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Cast,
    Evaluate,
    For,
    IfThenElse,
    IntImm,
    Jump,
    JumpKind,
    Let,
    PrimExpr,
    PrimFunc,
    Seq,
    Stmt,
    Var,
    While,
    conjunction,
    equal,
    jumps,
    shape_var,
    walk_statements,
)
from eqsat.shapes import itemsize

MAX_UNROLL = 64
_MAX_LANES = 64


@dataclass(frozen=True, slots=True)
class Stage:
    """A compiled part of a kernel, between two barriers."""

    name: str
    is_parallel: bool


@dataclass(frozen=True, slots=True)
class KernelCode:
    """The LLVM module of one PrimFunc.

    `symbols` are the dims that the stages take, in order; `scratch` the bytes each thread needs and
    `shared` those all threads share, over these symbols.
    """

    text: str
    stages: tuple[Stage, ...]
    symbols: tuple[str, ...]
    scratch: PrimExpr
    shared: PrimExpr


def generate(func: PrimFunc, name: str, target: Target) -> KernelCode:
    """Return the code of a scheduled PrimFunc; its functions are named `name` and a number.

    Raises:
        CodegenError: a form or dtype has no native code.
    """
    parameters = [p for p in func.params if isinstance(p, Buffer)]
    if len(parameters) != len(func.params):
        raise CodegenError(f"{func.name} has scalar parameters; only buffers can be passed")
    symbols = canonical(func).symbols
    layout = Layout(func)
    writers: list[_Stage] = []
    for k, (stmt, is_parallel) in enumerate(split_stages(func.body)):
        writer = _Stage(func, f"{name}_{k}", parameters, symbols, layout, target)
        try:
            writer.write(stmt, is_parallel)
        except CodegenError as error:
            error.add_note(f"in kernel {func.name}")
            raise
        writers.append(writer)
    functions: dict[str, str] = {}
    declarations: set[str] = set()
    for w in writers:
        functions |= w.functions
        declarations |= w.declarations
    attributes = (
        f'"target-cpu"="{target.cpu}" "target-features"="{target.features}" '
        f'"prefer-vector-width"="{target.vector_bits}" nounwind "no-trapping-math"="true"'
    )
    text = "\n".join(
        [
            f'target triple = "{target.triple}"',
            *sorted(declarations),
            *(functions[f] for f in sorted(functions)),
            *(w.text for w in writers),
            f"attributes #0 = {{ {attributes} }}",
            f"attributes #1 = {{ alwaysinline {attributes} }}",
        ]
    )
    stages = tuple(Stage(w.name, w.is_parallel) for w in writers)
    return KernelCode(text, stages, symbols, layout.scratch, layout.shared)


class _Stage(Expressions):
    """Writes one stage."""

    def __init__(
        self,
        func: PrimFunc,
        name: str,
        parameters: list[Buffer],
        symbols: tuple[str, ...],
        layout: Layout,
        target: Target,
    ) -> None:
        super().__init__()
        self.func, self.name, self.target = func, name, target
        self.parameters, self.symbols, self.layout = parameters, symbols, layout
        self.has_half = target.has("f16c") or not target.triple.startswith(("x86_64", "i686"))
        self.is_parallel = False
        self.targets: list[dict[JumpKind, str]] = []  # labels, of each loop around
        self.text = ""

    def write(self, stmt: Stmt, is_parallel: bool) -> None:
        """Write the function of `stmt` into `text`."""
        self.is_parallel = is_parallel
        self.lines.append("entry:")
        for i, b in enumerate(self.parameters):
            self.pointers[b] = f"%p{i}"
        self._bind_symbols()
        self._allocate()
        if is_parallel:
            assert isinstance(stmt, For)
            self._parallel(stmt)
        else:
            self.targets = [{"return": "exit"}]
            self.statement(stmt)
            if "return" in jumps(stmt):
                self.lines.append("  br label %exit")
                self.begin("exit")
        self.lines.append("  ret void")
        arguments = [f"ptr noalias %p{i}" for i in range(len(self.parameters))]
        arguments += [f"i64 %d{i}" for i in range(len(self.symbols))]
        arguments += ["ptr noalias %shared", "ptr noalias %scratch", "i64 %thread", "i64 %threads"]
        head = f"define internal void @{self.name}_body({', '.join(arguments)}) noinline #0 {{"
        self.text = "\n".join([head, *_flat(self.lines), "}", *self._entry(arguments)])

    def _entry(self, arguments: list[str]) -> list[str]:
        """Return the function that takes pointers and dims from memory."""
        fixed = "ptr %shared, ptr %scratch, i64 %thread, i64 %threads"
        lines = [f"define void @{self.name}(ptr %pointers, ptr %dims, {fixed}) #0 {{"]
        taken = [("ptr", "p", "pointers", i) for i in range(len(self.parameters))]
        taken += [("i64", "d", "dims", i) for i in range(len(self.symbols))]
        for kind, name, source, i in taken:
            lines += [
                f"  %{name}{i}_at = getelementptr i64, ptr %{source}, i64 {i}",
                f"  %{name}{i} = load {kind}, ptr %{name}{i}_at, align 8",
            ]
        passed = ", ".join(a.replace(" noalias", "") for a in arguments)
        return [*lines, f"  call void @{self.name}_body({passed})", "  ret void", "}"]

    def _bind_symbols(self) -> None:
        for i, name in enumerate(self.symbols):
            var = shape_var(name)
            self.names[var], self.depths[var] = Value(f"%d{i}", "int64"), 0

    def _allocate(self) -> None:
        for b, size in self.layout.stack.items():
            pointer = self.emit(f"alloca [{max(size, 1)} x i8], align {ALIGN}")
            self.pointers[b] = pointer
        for base, places in (
            ("%scratch", self.layout.scratch_at),
            ("%shared", self.layout.shared_at),
        ):
            for b, offset in places.items():
                at = self.scalar(self.poly(offset))
                self.pointers[b] = self.emit(f"getelementptr i8, ptr {base}, i64 {at}")

    # --- statements -------------------------------------------------------------------------

    def statement(self, s: Stmt | _Chunk) -> None:  # noqa: C901 - one case per node
        """Write a statement."""
        match s:
            case _Chunk(loop, low, chunk, width):
                self._lanes(loop, add(low, {(chunk,): width}), width, None)
            case Seq(stmts):
                for each in stmts:
                    self.statement(each)
            case For():
                self._for(s)
            case While():
                self._while(s)
            case Jump(kind):
                self._jump(kind)
            case Block():
                self._block(s)
            case BufferStore():
                self._store(s)
            case IfThenElse():
                self._if(s.condition, s.then_body, s.else_body)
            case Let():
                self._let(s)
            case Attr(body=body):
                self.statement(body)
            case Evaluate(value):
                self._evaluate(value)
            case Assert():
                raise CodegenError(
                    f"the assertion {s.message!r} has no native code of its own; compile a Relax "
                    "function that calls the PrimFunc by R.call_tir"
                )

    def _block(self, s: Block) -> None:
        loading = [i for i in s.iters if reads_memory(i.binding)]
        if loading:  # read once, before the block writes
            own = {i.var: Var(i.var.name, i.var.dtype) for i in loading}
            iters = tuple(replace(i, binding=own.get(i.var, i.binding)) for i in s.iters)
            inner: Stmt = replace(s, iters=iters)
            for i in loading:
                inner = Let(own[i.var], i.binding, inner)
            self.statement(inner)
            return
        previous = dict(self.values)
        bound = [(i.var, self._bound(i.var, i.binding)) for i in s.iters]
        self.values.update(bound)
        inner = self._block_body(s)
        if not (isinstance(s.predicate, IntImm) and s.predicate.value):
            self._if(s.predicate, inner, None)
        else:
            self.statement(inner)
        self.values.clear()
        self.values.update(previous)

    def _block_body(self, s: Block) -> Stmt:
        if s.init is None:
            return s.body
        reduce = [i for i in s.iters if i.kind == "R"]
        first = conjunction(*(equal(i.var, i.domain.min) for i in reduce))
        return Seq((IfThenElse(first, s.init), s.body))

    def _bound(self, var: Var, binding: PrimExpr) -> Poly:
        p = self.poly(binding if binding.dtype == "int64" else Cast("int64", binding))
        if binding is not var and any(var in m for m in p):
            raise CodegenError(f"iterator {var.name} is bound to an expression of itself")
        return p

    def _let(self, s: Let) -> None:
        if s.var.dtype == "int64" and not reads_memory(s.value):
            previous = dict(self.values)
            self.values[s.var] = self._bound(s.var, s.value)
            self.statement(s.body)
            self.values.clear()
            self.values.update(previous)
            return
        value = self.value(s.value)
        self.enter()
        self.names[s.var], self.depths[s.var] = value, self.depth
        self.set_range(s.var, (-(1 << 62), None))
        self.statement(s.body)
        self.leave()
        del self.names[s.var], self.depths[s.var], self.ranges[s.var]

    def _if(self, condition: PrimExpr, then_body: Stmt, else_body: Stmt | None) -> None:
        c = self.value(condition)
        if c.text in ("true", "false"):
            chosen = then_body if c.text == "true" else else_body
            if chosen is not None:
                self.statement(chosen)
            return
        if c.lanes:
            self._masked_if(c, then_body, else_body)
            return
        yes, no, end = self.label("then"), self.label("else"), self.label("join")
        before = self.branch(c, yes, no if else_body is not None else end)
        for label, body in ((yes, then_body), (no, else_body)):
            if body is not None:
                self.open_side(label, before)
                self.statement(body)
                self.close_side(end)
        self.begin(end)

    def _evaluate(self, value: PrimExpr) -> None:
        """Write an expression for nothing: it has no effect, but an unknown one is refused."""
        if not isinstance(value, IntImm):
            self.value(value)

    def _masked_if(self, c: Value, then_body: Stmt, else_body: Stmt | None) -> None:
        outer = self.mask
        self.mask = self.both(outer, c)
        self.statement(then_body)
        if else_body is not None:
            self.mask = self.both(outer, self.negate(c))
            self.statement(else_body)
        self.mask = outer

    def _store(self, s: BufferStore) -> None:
        p = self.flat_index(s.buffer, s.indices)
        if self.lane is not None and not self._varies(p) and self._reduce_lanes(s, p):
            return
        value = self.value(s.value)
        if value.dtype != s.buffer.dtype:
            raise CodegenError(
                f"a {value.dtype} value is stored in {s.buffer.name}, which holds {s.buffer.dtype}"
            )
        self.store(s.buffer, p, value)

    def _reduce_lanes(self, s: BufferStore, p: Poly) -> bool:
        """Write `b[i] = b[i] op x` under a vectorized loop as one reduction over the lanes."""
        assert self.lane is not None
        if not (isinstance(s.value, Binary) and s.value.op in ("+", "*", "min", "max")):
            return False
        for own, other in ((s.value.a, s.value.b), (s.value.b, s.value.a)):
            if not (isinstance(own, BufferLoad) and own.buffer is s.buffer):
                continue
            if self.flat_index(own.buffer, own.indices) != p:
                continue
            value = self.splat(self.value(other), self.lane.lanes)
            if self.mask is not None:
                value = self.select(self.mask, value, self._neutral(s.value.op, value.dtype))
            lane, mask = self.lane, self.mask
            self.lane = self.mask = None
            total = self.binary(s.value.op, self.load(s.buffer, p), self.reduced(s.value.op, value))
            self.store(s.buffer, p, total)
            self.lane, self.mask = lane, mask
            return True
        return False

    def _neutral(self, op: str, dtype: str) -> Value:
        names: dict[str, Combiner] = {"+": "sum", "*": "prod", "min": "min", "max": "max"}
        return self.value(identity(names[op], dtype))

    # --- loops ------------------------------------------------------------------------------

    def _for(self, s: For) -> None:
        low, extent = self.poly(s.min), self.poly(s.extent)
        number = as_constant(extent)
        if number is not None and number <= 0:
            return
        own = any(k != "return" for k in jumps(s.body))
        if number == 1 and not own:
            self._bind_loop(s, low)
        elif s.kind == "thread_binding":
            raise CodegenError(
                f"loop {s.var.name} is bound to {s.thread}; this backend has no threads"
            )
        elif s.kind == "unroll" and not own and number is not None and number <= MAX_UNROLL:
            for i in range(number):
                self._bind_loop(s, add(low, constant(i)))
        elif s.kind == "vectorized" and self.lane is None and not _diverges(s.body):
            self._vectorized(s, low, extent)
        else:
            self._loop(s, low, add(low, extent), bool(number))

    def _bind_loop(self, s: For, value: Poly) -> None:
        previous = self.values.get(s.var)
        self.values[s.var] = value
        self.statement(s.body)
        if previous is None:
            del self.values[s.var]
        else:
            self.values[s.var] = previous

    def _parallel(self, s: For) -> None:
        """Each thread takes a contiguous share of the iterations."""
        low, extent = self.poly(s.min), self.poly(s.extent)
        ends: list[Poly] = []
        count = self.scalar(extent)
        for thread in ("%thread", self.emit("add i64 %thread, 1")):
            product = self.emit(f"mul i64 {count}, {thread}")
            share = Var("share")
            self.names[share] = Value(self.emit(f"udiv i64 {product}, %threads"), "int64")
            self.depths[share] = 0
            ends.append(add(low, {(share,): 1}))
        self._loop(s, ends[0], ends[1], False, (to_expr(low), to_expr(extent)))

    def _loop(
        self,
        s: For,
        low: Poly,
        end: Poly,
        runs_once: bool,
        bounds: tuple[PrimExpr, PrimExpr] | None = None,
        step: int = 1,
    ) -> None:
        if self.lane is not None and (self._varies(low) or self._varies(end)):
            raise CodegenError(
                f"the bounds of loop {s.var.name} differ from lane to lane of the vectorized loop "
                f"over {self.lane.var.name}"
            )
        first, last = self.scalar(low), self.scalar(end)
        body, after = self.label("loop"), self.label("done")
        self.enter()
        if runs_once:
            self.lines.append(f"  br label %{body}")
        else:
            test = self.emit(f"icmp slt i64 {first}, {last}")
            self.lines.append(f"  br i1 {test}, label %{body}, label %{after}")
        entered_from = self.block
        self.begin(body)
        counter, following = self.fresh(), self.fresh()
        at = len(self.lines)
        extent = to_expr(add(end, low, -1))
        low_bound, count = bounds or (to_expr(low), extent)
        hidden = self.values.pop(s.var, None)
        self.names[s.var], self.depths[s.var] = Value(counter, "int64"), self.depth
        self.set_range(s.var, (low_bound, count))
        self._loop_body(s.body, after)
        self.lines.insert(
            at,
            f"  {counter} = phi i64 [ {first}, %{entered_from} ], [ {following}, %{self.block} ]",
        )
        self.lines.append(f"  {following} = add nsw i64 {counter}, {step}")
        test = self.emit(f"icmp slt i64 {following}, {last}")
        self.lines.append(f"  br i1 {test}, label %{body}, label %{after}")
        self.leave()
        self.begin(after)
        del self.names[s.var], self.depths[s.var], self.ranges[s.var]
        if hidden is not None:
            self.values[s.var] = hidden

    def _loop_body(self, body: Stmt, after: str) -> None:
        """Write the body of a loop; jumps go to its end or to `after`."""
        if isinstance(body, _Chunk) or next(jumps(body), None) is None:
            self.statement(body)
            return
        latch = self.label("next")
        self.targets.append({**self.targets[-1], "continue": latch, "break": after})
        self.statement(body)
        self.targets.pop()
        self.lines.append(f"  br label %{latch}")
        self.begin(latch)

    def _while(self, s: While) -> None:
        assert self.lane is None, "a vectorized loop around makes no lanes"
        head, body, after = self.label("while"), self.label("loop"), self.label("done")
        self.enter()
        self.lines.append(f"  br label %{head}")
        self.begin(head)
        condition = self.value(s.condition)
        self.lines.append(f"  br i1 {condition.text}, label %{body}, label %{after}")
        self.begin(body)
        self._loop_body(s.body, after)
        self.lines.append(f"  br label %{head}")
        self.leave()
        self.begin(after)

    def _jump(self, kind: JumpKind) -> None:
        self.lines.append(f"  br label %{self.targets[-1][kind]}")
        self.begin(self.label("unreached"))

    def _vectorized(self, s: For, low: Poly, extent: Poly) -> None:
        number = as_constant(extent)
        width = self._width(s)
        if number is not None and number <= _MAX_LANES:
            # One native vector after the other: LLVM handles longer odd vectors badly.
            for done in range(0, number, width):
                self._lanes(s, add(low, constant(done)), min(width, number - done), None)
            return
        whole = self.simplifier.floordiv(extent, constant(width))
        chunk = Var(f"{s.var.name}_chunk")
        # `statement` takes a chunk where a program has a statement.
        body = cast("Stmt", _Chunk(s, low, chunk, width))
        self._loop(
            For(chunk, IntImm(0), to_expr(whole), body, "serial"),
            {},
            whole,
            False,
        )
        rest = self.simplifier.mod(extent, constant(width))
        if not rest:
            return
        start = add(low, mul(whole, constant(width)))
        self._rest_of_lanes(s, start, rest, width)

    def _rest_of_lanes(self, s: For, start: Poly, rest: Poly, width: int) -> None:
        number = as_constant(rest)
        if number is not None:
            self._lanes(s, start, number, None)
            return
        count = self.scalar(rest)
        some = Value(self.emit(f"icmp sgt i64 {count}, 0"), "bool")
        yes, end = self.label("rest"), self.label("join")
        before = self.branch(some, yes, end)
        self.open_side(yes, before)
        short = Value(self.emit(f"trunc i64 {count} to i32"), "int32")
        numbers = ", ".join(f"i32 {i}" for i in range(width))
        live = self.binary("<", Value(f"<{numbers}>", "int32", width), short)
        self._lanes(s, start, width, live)
        self.close_side(end)
        self.begin(end)

    def _width(self, s: For) -> int:
        """Return the lanes that fit one vector of the widest dtype stored."""
        widest = max(
            (
                itemsize(x.buffer.dtype)
                for x in walk_statements(s.body)
                if isinstance(x, BufferStore)
            ),
            default=4,
        )
        return max(2, self.target.vector_bits // 8 // widest)

    def _lanes(self, s: For, start: Poly, lanes: int, live: Value | None) -> None:
        hidden = self.values.pop(s.var, None)
        self.lane, self.mask = Lane(s.var, lanes, start), live
        self.set_range(s.var, (to_expr(start), lanes))
        self.depths[s.var] = self.depth
        self.statement(s.body)
        self.lane = self.mask = None
        del self.ranges[s.var], self.depths[s.var]
        if hidden is not None:
            self.values[s.var] = hidden


def _diverges(body: Stmt) -> bool:
    """Say whether the iterations of a loop do not all take the same steps."""
    return any(isinstance(s, (While, Jump)) for s in walk_statements(body))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The body of the loop over whole vectors of a strip-mined vectorized loop."""

    loop: For
    low: Poly
    chunk: Var
    width: int


def _flat(lines: Iterable[str | list[str]]) -> Iterable[str]:
    for each in lines:
        if isinstance(each, str):
            yield each
        else:
            yield from each
