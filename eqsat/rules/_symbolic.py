"""Symbols in place of sizes, and other sizes in place of the symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from eqsat.ir import AttrValue, TensorType, TupleType, Type, infer_type, op
from eqsat.rules._resolve import (
    Bindings,
    Built,
    BuiltField,
    BuiltNumber,
    BuiltOp,
    BuiltShape,
    BuiltVar,
    operand_type,
)
from eqsat.shapes import NO_FACTS, Facts, Shape, SymDim, evaluate, sym, symbols

Sizes = Mapping[str, int]


def with_symbols(bindings: Bindings, facts: Facts, rng: Random) -> Bindings:
    """Return the bindings with a symbol for every size above 1.

    Equal sizes mostly get the same symbol, some another, for what is not known to be equal.
    """
    strangers = rng.choice((0.0, 0.0, 0.25, 0.5))

    def symbolic(dims: Shape) -> Shape:
        return tuple(
            sym(f"{'m' if rng.random() < strangers else 'n'}{d}")
            if isinstance(d, int) and d > 1
            else d
            for d in dims
        )

    types = {n: TensorType(symbolic(t.dims), t.dtype) for n, t in bindings.types.items()}
    shapes = {n: symbolic(s) for n, s in bindings.shapes.items()}
    return replace(bindings, types=types, shapes=shapes, facts=facts)


def resize(bindings: Bindings, rng: Random) -> dict[str, int]:
    """Return a size for every symbol that the facts allow, often another than its name says."""
    dims = [*(t.dims for t in bindings.types.values()), *bindings.shapes.values()]
    names = sorted(set[str]().union(*map(symbols, dims)))
    sizes = (1, 1, 2, 3, 5) if bindings.facts.positive else (0, 0, 0, 1, 2, 3)
    if rng.random() < 0.3:
        return dict.fromkeys(names, rng.choice(sizes))
    return {n: int(n[1:]) if rng.random() < 0.3 else rng.choice(sizes) for n in names}


def specialize(bindings: Bindings, sizes: Sizes) -> Bindings:
    """Return the bindings with the sizes for the symbols."""
    types = {n: TensorType(_dims(t.dims, sizes), t.dtype) for n, t in bindings.types.items()}
    shapes = {n: _dims(s, sizes) for n, s in bindings.shapes.items()}
    return replace(bindings, types=types, shapes=shapes, facts=NO_FACTS)


def specialize_built(term: Built, sizes: Sizes) -> Built:
    """Return the term with the sizes for the symbols, its types inferred anew.

    Raises:
        EqsatError: it has no type for these sizes.
    """
    match term:
        case BuiltVar():
            return BuiltVar(term.name, specialize_type(term.type, sizes))
        case BuiltNumber():
            return term
        case BuiltField():
            inner = specialize_built(term.tuple_value, sizes)
            assert isinstance(inner, BuiltOp)
            assert isinstance(inner.type, TupleType)
            return BuiltField(inner, term.index, inner.type.fields[term.index])
        case BuiltOp():
            operands = tuple(_operand(o, sizes) for o in term.operands)
            attrs = {k: _attr(v, sizes) for k, v in term.attrs.items()}
            types = [operand_type(o) for o in operands]
            return BuiltOp(term.op, operands, attrs, infer_type(op(term.op), types, attrs))


def _operand(
    operand: Built | tuple[Built, ...] | BuiltShape | None, sizes: Sizes
) -> Built | tuple[Built, ...] | BuiltShape | None:
    match operand:
        case None:
            return None
        case BuiltShape(dims):
            return BuiltShape(_dims(dims, sizes))
        case tuple():
            return tuple(specialize_built(each, sizes) for each in operand)
        case _:
            return specialize_built(operand, sizes)


def _attr(value: AttrValue, sizes: Sizes) -> AttrValue:
    if isinstance(value, SymDim):
        return evaluate(value, sizes)
    if isinstance(value, tuple):
        return tuple(_attr(v, sizes) for v in value)
    return value


def _dims(dims: Shape, sizes: Sizes) -> Shape:
    return tuple(evaluate(d, sizes) for d in dims)


def specialize_type(ty: Type, sizes: Sizes) -> Type:
    """Return the type with the sizes for the symbols."""
    match ty:
        case TensorType():
            return TensorType(_dims(ty.dims, sizes), ty.dtype)
        case TupleType():
            return TupleType(tuple(specialize_type(f, sizes) for f in ty.fields))
        case _:
            return ty
