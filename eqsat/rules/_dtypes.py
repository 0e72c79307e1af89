"""Matches on tensors whose dtype is not known: a rule applies where it does for every dtype.

Such a match stands for as many matches of tensors that have a dtype as there are ways to choose
dtypes with which the left side is well typed. The guard, what is computed and the types are asked
for each of them, so that a rule holds for an unknown dtype where its certificate says so of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from eqsat.ir import UNKNOWN_DTYPE, TensorType, TupleType, Type, with_dtypes_of
from eqsat.rules._resolve import (
    Bindings,
    Built,
    BuiltField,
    BuiltNumber,
    BuiltOp,
    BuiltShape,
    BuiltVar,
    build,
    resolve_known,
    same_type,
)
from eqsat.rules._rule import Rewrite
from eqsat.rules._terms import PatVar, Term, open_literals, subterms

# One of each kind and width that rules tell apart; the first decides most questions.
_TRIED = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool")


def resolve(
    rewrite: Rewrite, bindings: Bindings, expected: tuple[Type, ...]
) -> tuple[Built, ...] | None:
    """Return what to unite with the matched classes, or None where the rule does not apply.

    Args:
        rewrite: what matched.
        bindings: everything its left side binds.
        expected: the types of the matched classes, one per term of `lhs`.
    """
    if not unknown_dtypes(bindings):
        return resolve_known(rewrite, bindings, expected)
    built: tuple[Built, ...] | None = None
    for typed, types in typings(rewrite.lhs, bindings, expected):
        found = resolve_known(rewrite, typed, types)
        if found is None:
            return None
        built = build(rewrite.rhs, bindings) if built is None else built
        if built is None or not is_same_form(built, found):
            return None
    if built is None:
        return None
    pairs = zip(built, expected, strict=True)
    return built if all(same_type(b.type, e, bindings.facts) for b, e in pairs) else None


def unknown_dtypes(bindings: Bindings) -> list[str]:
    """Return the variables for tensors whose dtype is not known."""
    return [name for name, ty in bindings.types.items() if ty.dtype == UNKNOWN_DTYPE]


def typings(
    lhs: tuple[Term, ...], bindings: Bindings, expected: Sequence[Type]
) -> Iterator[tuple[Bindings, tuple[Type, ...]]]:
    """Yield each choice of dtypes with which the left side is well typed, and its types then."""
    opened, literals = open_literals(lhs)
    numbers = dict.fromkeys(literals, TensorType((), UNKNOWN_DTYPE))
    order = [t.name for root in lhs for t in subterms(root) if isinstance(t, PatVar)]
    unknown = set(unknown_dtypes(bindings))

    def chosen(
        typed: Bindings, names: Sequence[str]
    ) -> Iterator[tuple[Bindings, tuple[Type, ...]]]:
        # What has no dtype yet fits any: one that does not fit is found at the first variable.
        whole = replace(typed, types={**typed.types, **numbers})
        if not _may_be(build(opened, whole), expected):
            return
        if not names:
            built = build(lhs, typed)
            if built is not None:
                yield typed, tuple(map(with_dtypes_of, expected, [b.type for b in built]))
            return
        name, rest = names[0], names[1:]
        for dtype in _TRIED:
            ty = replace(typed.types[name], dtype=dtype)
            yield from chosen(replace(typed, types={**typed.types, name: ty}), rest)

    yield from chosen(bindings, [n for n in dict.fromkeys(order) if n in unknown])


def _may_be(built: tuple[Built, ...] | None, expected: Sequence[Type]) -> bool:
    """Return whether the dtypes may be those of the matched classes."""
    return built is not None and all(map(_agree, expected, [b.type for b in built]))


def _agree(expected: Type, found: Type) -> bool:
    match expected, found:
        case TensorType(dtype=a), TensorType(dtype=b):
            return a == b or UNKNOWN_DTYPE in (a, b)
        case TupleType(fields), TupleType(others):
            return all(map(_agree, fields, others))
        case _:
            return False


def is_same_form(a: Sequence[Built], b: Sequence[Built]) -> bool:
    """Return whether two results of one rule say the same, whatever the types of their parts."""
    return [*_parts(a)] == [*_parts(b)]


def _parts(built: Sequence[Built]) -> Iterator[object]:
    """Yield what is worked out in terms: attributes, shapes and numbers."""
    for term in built:
        match term:
            case BuiltVar():
                pass
            case BuiltNumber(value, ty):
                yield ty.dtype, value.tobytes()
            case BuiltField(inner):
                yield from _parts((inner,))
            case BuiltOp():
                yield dict(term.attrs)
                for operand in term.operands:
                    match operand:
                        case None:
                            pass
                        case BuiltShape(dims):
                            yield dims
                        case tuple():
                            yield from _parts(operand)
                        case _:
                            yield from _parts((operand,))
