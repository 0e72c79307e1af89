"""The lattice of types, with TVM's answers: subtypes, least common ancestors, erased symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import IntEnum

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
)
from eqsat.shapes import Dim, Shape, substitute, sym, symbols


class BaseCheck(IntEnum):
    """Whether one type subsumes another, or how it fails; the worst comes first.

    The values are those of TVM's `BaseCheckResult`.
    """

    DISJOINT = 0  # no value has both types
    UNKNOWN_STATICALLY = 1  # the second type says less than the first: a cast may succeed
    DEPENDS_ON_SYMBOLS = 2  # only whether dims are equal is open
    PASS = 3


def is_base_of(base: Type, derived: Type) -> bool:
    """Say whether every value of type `derived` is one of type `base`."""
    return type_base_check(base, derived) is BaseCheck.PASS


def type_base_check(base: Type, derived: Type) -> BaseCheck:
    """Return whether `base` subsumes `derived`.

    Source: TVM's `relax.analysis.type_base_check`.
    """
    if isinstance(base, ObjectType) or base == derived:
        return BaseCheck.PASS
    if isinstance(derived, ObjectType):
        return BaseCheck.UNKNOWN_STATICALLY
    match base, derived:
        case (PrimType(a), PrimType(b)):
            return BaseCheck.PASS if a == b else BaseCheck.DISJOINT
        case (ShapeType(), ShapeType()):
            return _check_dims(base.dims, derived.dims)
        case (TensorType(), TensorType()):
            return _check_tensor(base, derived)
        case (DTensorType(), DTensorType()):
            return _check_distributed(base, derived)
        case (TupleType(a), TupleType(b)):
            return _check_all(a, b)
        case (CallableType(), CallableType()):
            return _check_callable(base, derived)
        case _:
            return BaseCheck.DISJOINT


def _check_all(bases: Sequence[Type], derived: Sequence[Type]) -> BaseCheck:
    if len(bases) != len(derived):
        return BaseCheck.DISJOINT
    pairs = zip(bases, derived, strict=True)
    return min((type_base_check(a, b) for a, b in pairs), default=BaseCheck.PASS)


def _check_tensor(base: TensorType, derived: TensorType) -> BaseCheck:
    if base.dtype not in (UNKNOWN_DTYPE, derived.dtype):
        is_open = derived.dtype == UNKNOWN_DTYPE
        return BaseCheck.UNKNOWN_STATICALLY if is_open else BaseCheck.DISJOINT
    if base.ndim not in (-1, derived.ndim):
        return BaseCheck.UNKNOWN_STATICALLY if derived.ndim == -1 else BaseCheck.DISJOINT
    if base.vdevice and base.vdevice != derived.vdevice:
        return BaseCheck.DISJOINT if derived.vdevice else BaseCheck.UNKNOWN_STATICALLY
    return _check_dims(base.shape, derived.shape)


def _check_distributed(base: DTensorType, derived: DTensorType) -> BaseCheck:
    found = _check_tensor(base.tensor, derived.tensor)
    is_placed_alike = (base.mesh, base.placement) == (derived.mesh, derived.placement)
    return found if is_placed_alike else min(found, BaseCheck.UNKNOWN_STATICALLY)


def _check_dims(base: Shape | UnknownShape, derived: Shape | UnknownShape) -> BaseCheck:
    want, have = _rank(base), _rank(derived)
    if want == -1:
        return BaseCheck.PASS
    if want != have:
        return BaseCheck.UNKNOWN_STATICALLY if have == -1 else BaseCheck.DISJOINT
    if isinstance(base, UnknownShape):
        return BaseCheck.PASS
    if isinstance(derived, UnknownShape):
        return BaseCheck.DEPENDS_ON_SYMBOLS
    pairs = zip(base, derived, strict=True)
    return min((_check_dim(a, b) for a, b in pairs), default=BaseCheck.PASS)


def _rank(shape: Shape | UnknownShape) -> int:
    return shape.ndim if isinstance(shape, UnknownShape) else len(shape)


def _check_dim(base: Dim, derived: Dim) -> BaseCheck:
    if base == derived:
        return BaseCheck.PASS
    is_static = isinstance(base, int) and isinstance(derived, int)
    return BaseCheck.DISJOINT if is_static else BaseCheck.DEPENDS_ON_SYMBOLS


def _check_callable(base: CallableType, derived: CallableType) -> BaseCheck:
    if base.is_pure and not derived.is_pure:
        return BaseCheck.DISJOINT
    if base.opaque:
        if base.derive_func:
            is_same = base.derive_func == derived.derive_func
            return BaseCheck.PASS if is_same else BaseCheck.DEPENDS_ON_SYMBOLS
        return type_base_check(base.result, derived.result)
    if derived.opaque:
        return BaseCheck.DEPENDS_ON_SYMBOLS
    if _numbered(base) == _numbered(derived):
        return BaseCheck.PASS
    params = _check_all(base.params, derived.params)
    if params is BaseCheck.UNKNOWN_STATICALLY:
        params = BaseCheck.DEPENDS_ON_SYMBOLS
    return min(params, type_base_check(base.result, derived.result))


def _numbered(ty: CallableType) -> Type:
    """Return `ty` with its symbols numbered as they come: equal for types that rename them."""
    order: dict[str, Dim] = {}

    def numbered(dims: Shape) -> Shape:
        for d in dims:
            for name in sorted(symbols(d)):
                order.setdefault(name, sym(f"s{len(order)}"))
        return tuple(substitute(d, order) for d in dims)

    return map_dims(ty, numbered)


def map_dims(ty: Type, f: Callable[[Shape], Shape | UnknownShape]) -> Type:
    """Return `ty` with `f` applied to every known shape in it, function types included."""
    match ty:
        case TensorType(shape=tuple() as dims):
            return TensorType(f(dims), ty.dtype, ty.vdevice)
        case DTensorType(TensorType(shape=tuple() as dims) as tensor):
            shape = f(dims)
            return replace(ty, tensor=TensorType(shape, tensor.dtype, tensor.vdevice))
        case ShapeType(dims=tuple() as dims):
            return ShapeType(f(dims))
        case TupleType(fields):
            return TupleType(tuple(map_dims(t, f) for t in fields))
        case CallableType(params, result, is_pure, opaque, derive_func):
            mapped = tuple(map_dims(p, f) for p in params)
            return CallableType(mapped, map_dims(result, f), is_pure, opaque, derive_func)
        case _:
            return ty


def type_lca(a: Type, b: Type) -> Type:
    """Return the least type that both are: what the branches of an `If` have.

    Source: TVM's `relax.analysis.type_lca`.
    """
    if a == b:
        return a
    match a, b:
        case (ShapeType(), ShapeType()):
            return ShapeType(_common_dims(a.dims, b.dims))
        case (TensorType(), TensorType()):
            return _common_tensor(a, b)
        case (DTensorType(), DTensorType()):
            return _common_distributed(a, b)
        case (TupleType(x), TupleType(y)) if len(x) == len(y):
            return TupleType(tuple(map(type_lca, x, y)))
        case (CallableType(), CallableType()):
            return _common_callable(a, b)
        case _:
            return ObjectType()


def _common_tensor(a: TensorType, b: TensorType) -> TensorType:
    dtype = a.dtype if a.dtype == b.dtype else UNKNOWN_DTYPE
    vdevice = a.vdevice if a.vdevice == b.vdevice else ""
    return TensorType(_common_dims(a.shape, b.shape), dtype, vdevice)


def _common_distributed(a: DTensorType, b: DTensorType) -> Type:
    tensor = _common_tensor(a.tensor, b.tensor)
    is_placed_alike = (a.mesh, a.placement) == (b.mesh, b.placement)
    # Only a tensor of known rank can be cut.
    if not is_placed_alike or (tensor.ndim < 0 and not a.placement.is_replicated):
        return ObjectType()
    return replace(a, tensor=tensor)


def _common_dims(a: Shape | UnknownShape, b: Shape | UnknownShape) -> Shape | UnknownShape:
    if a == b:
        return a
    return UnknownShape(_rank(a) if _rank(a) == _rank(b) else -1)


def _common_callable(a: CallableType, b: CallableType) -> Type:
    is_pure = a.is_pure and b.is_pure
    if a.opaque and a.derive_func:
        if a.derive_func == b.derive_func:
            return a
        return CallableType((), ObjectType(), is_pure, opaque=True)
    result = type_lca(a.result, b.result)
    if a.opaque or b.opaque:
        return CallableType((), result, is_pure, opaque=True)
    if _numbered(a) == _numbered(b):
        return a
    if len(a.params) != len(b.params):
        return CallableType((), result, is_pure, opaque=True)
    return CallableType(tuple(map(type_lca, a.params, b.params)), result, is_pure)


def erase_to_well_defined(ty: Type, env: Mapping[str, Dim]) -> Type:
    """Return `ty` with the symbols of `env` replaced; a shape with any other becomes unknown.

    A function type stays as it is: its symbols are its own.

    Source: TVM's `relax.analysis.erase_to_well_defined`.
    """
    if isinstance(ty, CallableType):
        return ty
    if isinstance(ty, TupleType):
        return TupleType(tuple(erase_to_well_defined(f, env) for f in ty.fields))
    known = dict(env)

    def erased(dims: Shape) -> Shape | UnknownShape:
        if not symbols(dims) <= known.keys():
            return UnknownShape(len(dims))
        return tuple(substitute(d, known) for d in dims)

    return map_dims(ty, erased)
