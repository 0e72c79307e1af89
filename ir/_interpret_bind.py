"""Checks values against types at run time, and solves for the shape symbols."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from eqsat.ir._types import (
    UNKNOWN_DTYPE,
    CallableType,
    DTensorType,
    ObjectType,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
    substitute_type,
)
from eqsat.shapes import (
    Dim,
    EqsatError,
    Equal,
    Shape,
    SymDim,
    evaluate,
    linear_solve,
    numpy_dtype,
    substitute,
    symbols,
)


class RuntimeCheckError(EqsatError):
    """A value does not have the type that the program declares for it."""


def bind_types(names: list[str], types: list[Type], values: list[Any], env: dict[str, int]) -> None:
    """Check every value against its type and add the symbols that they define to `env`.

    A symbol may be defined by a later value, and through a linear size such as "n + 1".

    Raises:
        RuntimeCheckError: a value does not fit, or a symbol cannot be found.
    """
    equations: list[tuple[int, Dim, int]] = []
    for k, (ty, value) in enumerate(zip(types, values, strict=True)):
        for d, size in _sizes(names[k], ty, value, ty, env):
            equations.append((k, d, size))
    _solve(equations, env)
    for k, d, size in equations:
        if unbound := symbols(d) - set(env):
            raise RuntimeCheckError(
                f"{names[k]}: the symbol {', '.join(sorted(unbound))} of {types[k]} cannot be "
                f"found from the size {size}; give an argument that has it as a plain size"
            )
        if evaluate(d, env) != size:
            raise _mismatch(names[k], types[k], values[k], env)


def check_required(required: Sequence[Equal], env: Mapping[str, int]) -> None:
    """Check the sizes that operators need to be equal; those of unknown symbols are left alone.

    Raises:
        RuntimeCheckError: two differ.
    """
    for fact in required:
        known = all(s in env for s in (*symbols(fact.a), *symbols(fact.b)))
        if known and evaluate(fact.a, env) != evaluate(fact.b, env):
            raise RuntimeCheckError(
                f"{fact.a} = {evaluate(fact.a, env)} and {fact.b} = {evaluate(fact.b, env)}, but "
                f"the program needs {fact.a} == {fact.b}"
            )


def _solve(equations: list[tuple[int, Dim, int]], env: dict[str, int]) -> None:
    waiting = sorted(equations, key=lambda e: len(str(e[1])))
    progress = True
    while progress:
        progress = False
        for _, d, size in waiting:
            unknown = symbols(d) - set(env)
            if len(unknown) != 1:
                continue
            name = next(iter(unknown))
            known: dict[str, Dim] = {s: env[s] for s in symbols(d) - unknown}
            solution = linear_solve(substitute(d, known), name, size)
            if isinstance(solution, int) and solution >= 0:
                env[name] = solution
                progress = True


def _sizes(
    name: str, ty: Type, value: Any, whole: Type, env: dict[str, int]
) -> list[tuple[Dim, int]]:
    """Return (declared dim, size that came) for every dim, after checking kind, rank and dtype."""
    match ty:
        case TensorType():
            if not isinstance(value, np.ndarray) or (
                ty.dtype != UNKNOWN_DTYPE and value.dtype != numpy_dtype(ty.dtype)
            ):
                raise _mismatch(name, whole, value, env)
            return _paired(name, ty.shape, value.shape, whole, value, env)
        case ShapeType():
            sizes = _fields(value)
            if sizes is None or not all(isinstance(n, int) for n in sizes):
                raise _mismatch(name, whole, value, env)
            return _paired(name, ty.dims, sizes, whole, value, env)
        case TupleType(fields):
            given = _fields(value)
            if given is None or len(given) != len(fields):
                raise _mismatch(name, whole, value, env)
            pairs: list[tuple[Dim, int]] = []
            for k, (f, v) in enumerate(zip(fields, given, strict=True)):
                pairs.extend(_sizes(f"{name}[{k}]", f, v, f, env))
            return pairs
        case PrimType():
            if not isinstance(value, (int, float, np.generic)):
                raise _mismatch(name, whole, value, env)
            return []
        case DTensorType():
            raise _mismatch(name, whole, value, env)
        case CallableType() | ObjectType():
            return []


def _fields(value: Any) -> tuple[Any, ...] | None:
    """Return the fields of a tuple, None for any other value."""
    return cast("tuple[Any, ...]", value) if isinstance(value, tuple) else None


def _paired(
    name: str,
    dims: Shape | UnknownShape,
    sizes: tuple[int, ...],
    whole: Type,
    value: Any,
    env: dict[str, int],
) -> list[tuple[Dim, int]]:
    if isinstance(dims, UnknownShape):
        if dims.ndim not in (-1, len(sizes)):
            raise _mismatch(name, whole, value, env)
        return []
    if len(dims) != len(sizes):
        raise _mismatch(name, whole, value, env)
    pairs = list(zip(dims, sizes, strict=True))
    if any(isinstance(d, int) and d != n for d, n in pairs):
        raise _mismatch(name, whole, value, env)
    return pairs


def _mismatch(name: str, ty: Type, value: Any, env: dict[str, int]) -> RuntimeCheckError:
    known: dict[str, Dim] = {**env}
    resolved = substitute_type(ty, known)
    where = ", ".join(f"{s} = {env[s]}" for s in sorted(_type_symbols(ty) & set(env)))
    expected = f"{ty}, that is {resolved} with {where}," if where else f"{ty}"
    return RuntimeCheckError(
        f"{name} must be {expected} got {shown(value)}".replace(f"{ty} got", f"{ty}, got")
    )


def _type_symbols(ty: Type) -> frozenset[str]:
    match ty:
        case TensorType(shape=dims) | ShapeType(dims=dims):
            if isinstance(dims, UnknownShape):
                return frozenset()
            return frozenset(s for d in dims if isinstance(d, SymDim) for s in symbols(d))
        case TupleType(fields):
            return frozenset(s for f in fields for s in _type_symbols(f))
        case _:
            return frozenset()


def shown(value: Any) -> str:
    """Return what kind of value came, in the words of types."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name}[{', '.join(map(str, value.shape))}]"
    fields = _fields(value)
    if fields is not None:
        return f"({', '.join(map(shown, fields))})"
    return f"{type(value).__name__} {value!r}"[:80]
