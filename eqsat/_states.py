"""Exact terms as programs: what the e-graph's rows say, as Relax functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from eqsat._decode import flat_inputs, opaque_binding, structured
from eqsat._fold import Array, Folder
from eqsat._proofs import ExactTerm, Proofs, TermId
from eqsat._record import Recorder
from eqsat._snapshot import (
    CONSTANT,
    EXTERN,
    INPUT,
    TUPLE_GET_ITEM,
    Cover,
    ENode,
    ShapeOperand,
    Snapshot,
)
from eqsat._symbols import (
    CONSTANT_SYMBOL,
    FIELD_SYMBOL,
    INPUT_SYMBOL,
    PRESENT,
    SCALAR_SYMBOL,
    SHAPE,
    OpSymbol,
    Vocabulary,
    extern_symbol,
    layout_of,
)
from eqsat._tables import Symbol
from eqsat.ir import (
    AttrValue,
    Binding,
    BindingBlock,
    Call,
    Constant,
    Expr,
    Function,
    NullValue,
    SeqExpr,
    ShapeExpr,
    Tuple,
    TupleGetItem,
    Type,
    Var,
    VarBinding,
    infer_type,
    op,
)
from eqsat.shapes import numpy_dtype


def cover_terms(
    snapshot: Snapshot, cover: Cover, proofs: Proofs, words: Vocabulary
) -> tuple[TermId, ...]:
    """Return the terms of a cover's results, added where they are not there.

    What is known at compile time stands for how it is computed then.
    """
    return _CoverTerms(snapshot, cover, proofs, words).outputs()


class _CoverTerms:
    def __init__(self, snapshot: Snapshot, cover: Cover, proofs: Proofs, words: Vocabulary) -> None:
        self._snapshot, self._proofs, self._words = snapshot, proofs, words
        self._chosen = {c: node for k in cover.kernels for c, node in k.nodes.items()}
        self._folder = Folder(snapshot)
        self._terms: dict[int, TermId] = {}

    def outputs(self) -> tuple[TermId, ...]:
        return tuple(self._term(c) for c in self._snapshot.outputs)

    def _term(self, c: int) -> TermId:
        stack = [c]
        while stack:
            top = stack[-1]
            node = self._node(top)
            waiting = [k for k in node.children if k not in self._terms]
            if top not in self._terms and waiting:
                stack.extend(waiting)
                continue
            if top not in self._terms:
                operands = tuple(self._terms[k] for k in node.children)
                symbol, columns = self._form(node)
                self._terms[top] = self._proofs.add(symbol, operands, columns)
            stack.pop()
        return self._terms[c]

    def _node(self, c: int) -> ENode:
        holder = self._snapshot.classes[c]
        if holder.is_constant:
            return self._folder.node(c)
        if c in self._chosen:
            return self._chosen[c]
        return next(n for n in holder.nodes if n.op == INPUT)

    def _form(self, node: ENode) -> tuple[Symbol, tuple[int, ...]]:
        values = self._words.values
        if node.op == CONSTANT:
            assert node.value is not None
            return self._constant(node.value)
        if node.op in (INPUT, TUPLE_GET_ITEM, EXTERN):
            index = node.attrs["index"]
            assert isinstance(index, int)
            symbols = {INPUT: INPUT_SYMBOL, TUPLE_GET_ITEM: FIELD_SYMBOL}
            return symbols.get(node.op, extern_symbol(len(node.children))), (index,)
        declared = op(node.op)
        form = self._words.symbol(declared, layout_of(declared, node.operands))
        shapes = [values.attr(o.dims) for o in node.operands if isinstance(o, ShapeOperand)]
        return form.symbol, (*shapes, *(values.attr(node.attrs[a.name]) for a in declared.attrs))

    def _constant(self, value: Array) -> tuple[Symbol, tuple[int, ...]]:
        values = self._words.values
        if value.ndim == 0:
            columns = (values.number(value.item()), values.attr(Constant(value).tensor_type.dtype))
            if self._proofs.find(SCALAR_SYMBOL, (), columns) is not None:
                return SCALAR_SYMBOL, columns
        return CONSTANT_SYMBOL, (values.array(value),)


class States:
    """Writes terms as functions with the parameters and the result's structure of `source`."""

    def __init__(self, source: Function, recorder: Recorder) -> None:
        self.source, self.program = source, recorder.program
        self.proofs, self.words = recorder.proofs, recorder.words
        self._types: dict[TermId, Type] = {}
        self._names: dict[TermId, str] = {}
        self._own_names: dict[TermId, str] = {}
        for i, names in self.program.names.items():
            term = recorder.program_terms[i]
            self._own_names[term] = names[-1]
            self._names.setdefault(self.proofs.leader(term), names[0])

    def name(self, term: TermId) -> str:
        """Return what the program calls the value of a term, "" where it has no name."""
        return self._own_names.get(term) or self._names.get(self.proofs.leader(term), "")

    def function(self, outputs: Sequence[TermId], *, as_tuple: bool = False) -> Function:
        """Return the program whose results are these terms, in a structure as the source's is.

        `as_tuple` returns any number of them, as a flat tuple.
        """
        return _Writer(self).function(outputs, as_tuple=as_tuple)

    def type_of(self, term: TermId) -> Type:
        """Return the type of a term of a program that was written."""
        return self._types[term]

    def text(self, term: TermId, depth: int = 3) -> str:
        """Return a term as text: its operands by the names that the program has for them.

        What has none is written out, so many operators deep.
        """
        exact = self.proofs.terms[term]
        parts = [self._operand_text(k, depth) for k in exact.operands]
        form = self.words.named(exact.symbol.name)
        if form is None:
            return self._leaf_text(term, parts)
        shapes = [str(list(map(str, s))) for s in self.words.shapes(form, exact.columns)]
        defaults = {a.name: a.default for a in form.op.attrs}
        attrs = self.words.attrs(form, exact.columns).items()
        given = [f"{k}={_attr_text(v)}" for k, v in attrs if defaults[k] != v]
        return f"{form.op.name}({', '.join((*parts, *shapes, *given))})"

    def _operand_text(self, term: TermId, depth: int) -> str:
        return self.name(term) or (self.text(term, depth - 1) if depth else "…")

    def _leaf_text(self, term: TermId, operands: Sequence[str]) -> str:
        exact, values = self.proofs.terms[term], self.words.values
        if exact.symbol == SCALAR_SYMBOL:
            return str(values.number_at(exact.columns[0]))
        if exact.symbol == CONSTANT_SYMBOL:
            return f"a constant of {Constant(values.array_at(exact.columns[0])).type}"
        if exact.symbol == FIELD_SYMBOL:
            return f"{operands[0]}[{exact.columns[0]}]"
        return self.name(term) or f"{exact.symbol.name}({', '.join(operands)})"

    def order(self, outputs: Sequence[TermId]) -> list[TermId]:
        """Return the terms that these need, operands first; opaque calls as early as they can be.

        An opaque call may give a symbol its value, which others read without reading its result.
        """
        needed = self._operands_first(outputs)
        opaque = [t for t in needed if self.proofs.terms[t].symbol.name.startswith("extern/")]
        opaque.sort(key=lambda t: self.proofs.terms[t].columns)
        return self._operands_first([*opaque, *outputs])

    def _operands_first(self, roots: Sequence[TermId]) -> list[TermId]:
        done: dict[TermId, None] = {}
        stack = [(t, False) for t in reversed(roots)]
        while stack:
            term, is_expanded = stack.pop()
            if term in done:
                continue
            if is_expanded:
                done[term] = None
                continue
            stack.append((term, True))
            stack.extend((k, False) for k in reversed(self.proofs.terms[term].operands))
        return list(done)

    def inferred(self, term: TermId, infer: Callable[[], Type]) -> Type:
        """Return the type of a term, inferred once."""
        found = self._types.get(term)
        if found is None:
            found = self._types[term] = infer()
        return found


def _attr_text(value: AttrValue) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_attr_text, value))}]"
    return str(value)


class _Writer:
    """Writes one program."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._params = tuple(Var(p.name, p.type) for p in states.source.params)
        self._inputs = [e for p in self._params for e in flat_inputs(p, p.type)]
        self._taken = {p.name for p in self._params}
        self._bindings: list[Binding] = []
        self._exprs: dict[TermId, Expr] = {}

    def function(self, outputs: Sequence[TermId], *, as_tuple: bool) -> Function:
        for term in self._states.order(outputs):
            self._exprs[term] = e = self._expr(term)
            self._states.inferred(term, lambda e=e: e.type)
        source = self._states.source
        values = [self._exprs[t] for t in outputs]
        result = Tuple(tuple(values)) if as_tuple else structured(source.body.type, iter(values))
        for term in outputs:
            if isinstance(var := self._exprs[term], Var):
                var.is_dataflow = False
        body = SeqExpr((BindingBlock(tuple(self._bindings), is_dataflow=True),), result)
        ret_type = result.type if as_tuple else source.ret_type
        return replace(source, params=self._params, body=body, ret_type=ret_type)

    def _expr(self, term: TermId) -> Expr:
        states = self._states
        exact, values = states.proofs.terms[term], states.words.values
        operands = [self._exprs[k] for k in exact.operands]
        form = states.words.named(exact.symbol.name)
        if form is not None:
            args, attrs = self._arguments(form, exact, operands)
            types = [a.type for a in args]
            ty = states.inferred(term, lambda: infer_type(form.op, types, attrs))
            return self._bind(term, Call(form.op, args, attrs, ty))
        if exact.symbol == INPUT_SYMBOL:
            return self._named(term, self._inputs[exact.columns[0]])
        if exact.symbol == CONSTANT_SYMBOL:
            return Constant(values.array_at(exact.columns[0]))
        if exact.symbol == SCALAR_SYMBOL:
            dtype = states.words.attr(exact.columns[1])
            assert isinstance(dtype, str)
            return Constant(np.asarray(values.number_at(exact.columns[0]), numpy_dtype(dtype)))
        if exact.symbol == FIELD_SYMBOL:
            return self._bind(term, TupleGetItem(operands[0], exact.columns[0]))
        binding = states.program.externs[exact.columns[0]]
        made = opaque_binding(self._fresh(term), binding, iter(operands))
        self._bindings.append(made)
        return made.var

    def _arguments(
        self, form: OpSymbol, exact: ExactTerm, operands: Sequence[Expr]
    ) -> tuple[tuple[Expr, ...], dict[str, AttrValue]]:
        words, rest = self._states.words, iter(operands)
        shapes = iter(words.shapes(form, exact.columns))
        args: list[Expr] = []
        for part in form.layout:
            if isinstance(part, int):
                args.append(Tuple(tuple(next(rest) for _ in range(part))))
            elif part == SHAPE:
                args.append(ShapeExpr(next(shapes)))
            else:
                args.append(next(rest) if part == PRESENT else NullValue())
        return tuple(args), words.attrs(form, exact.columns)

    def _named(self, term: TermId, e: Expr) -> Expr:
        """Return a parameter, or a field of one bound to a variable."""
        if not isinstance(e, TupleGetItem):
            return e
        return self._bind(term, TupleGetItem(self._named(term, e.tuple_value), e.index))

    def _bind(self, term: TermId, value: Expr) -> Var:
        var = Var(self._fresh(term), value.type, is_dataflow=True)
        self._bindings.append(VarBinding(var, value))
        return var

    def _fresh(self, term: TermId) -> str:
        wanted = name = self._states.name(term) or "lv"
        count = 0
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name
