"""Which types fit where, and what a call of a function with symbolic dims returns."""

from __future__ import annotations

from collections.abc import Sequence

from eqsat.ir._lattice import BaseCheck, erase_to_well_defined, type_base_check
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
    TypeCheckError,
    UnknownShape,
)
from eqsat.shapes import Dim, Equal, Proof, Shape, SymDim, prove


def fits(general: Type, specific: Type) -> Proof:
    """Say whether every value of type `specific` is one of type `general`.

    UNKNOWN where that depends on values: dims that may be equal, shapes not known.
    """
    match general, specific:
        case (ObjectType(), _):
            return Proof.YES
        case (_, ObjectType()):
            return Proof.UNKNOWN
        case (TensorType(), TensorType()):
            return _weakest(
                [
                    _dtype_fits(general.dtype, specific.dtype),
                    _dims_fit(general.shape, specific.shape),
                ]
            )
        case (DTensorType(), DTensorType()):
            return _distributed_fits(general, specific)
        case (ShapeType(), ShapeType()):
            return _dims_fit(general.dims, specific.dims)
        case (PrimType(a), PrimType(b)):
            return Proof.YES if a == b else Proof.NO
        case (TupleType(a), TupleType(b)):
            if len(a) != len(b):
                return Proof.NO
            return _weakest([fits(x, y) for x, y in zip(a, b, strict=True)])
        case (CallableType(), CallableType()):
            return _callable_fits(general, specific)
        case _:
            return Proof.NO


def _distributed_fits(general: DTensorType, specific: DTensorType) -> Proof:
    # A value may turn out to lie elsewhere than its type says: TVM takes the annotation.
    is_placed_alike = (general.mesh, general.placement) == (specific.mesh, specific.placement)
    placed = Proof.YES if is_placed_alike else Proof.UNKNOWN
    return _weakest([placed, fits(general.tensor, specific.tensor)])


def _weakest(proofs: Sequence[Proof]) -> Proof:
    if Proof.NO in proofs:
        return Proof.NO
    return Proof.UNKNOWN if Proof.UNKNOWN in proofs else Proof.YES


def _dtype_fits(general: str, specific: str) -> Proof:
    if UNKNOWN_DTYPE in (general, specific):
        return Proof.YES if general == UNKNOWN_DTYPE else Proof.UNKNOWN
    return Proof.YES if general == specific else Proof.NO


def _dims_fit(general: Shape | UnknownShape, specific: Shape | UnknownShape) -> Proof:
    g, s = _rank(general), _rank(specific)
    if g >= 0 and s >= 0 and g != s:
        return Proof.NO
    if isinstance(general, UnknownShape):
        return Proof.YES if g < 0 or s >= 0 else Proof.UNKNOWN
    if isinstance(specific, UnknownShape):
        return Proof.UNKNOWN
    return _weakest([_equal(a, b) for a, b in zip(general, specific, strict=True)])


def _rank(shape: Shape | UnknownShape) -> int:
    return shape.ndim if isinstance(shape, UnknownShape) else len(shape)


def _equal(a: Dim, b: Dim) -> Proof:
    return Proof.YES if a == b else prove(Equal(a, b))


def _callable_fits(general: CallableType, specific: CallableType) -> Proof:
    if general.opaque:
        return Proof.YES
    if specific.opaque:
        return Proof.UNKNOWN
    if len(general.params) != len(specific.params) or (general.is_pure and not specific.is_pure):
        return Proof.NO
    params = [fits(s, g) for g, s in zip(general.params, specific.params, strict=True)]
    return _weakest([*params, fits(general.result, specific.result)])


def bind_symbols(params: Sequence[Type], args: Sequence[Type]) -> dict[str, Dim]:
    """Return the dims that the bare symbols in `params` have in `args`."""
    env: dict[str, Dim] = {}
    for p, a in zip(params, args, strict=False):
        _bind(p, a, env)
    return env


def _bind(param: Type, arg: Type, env: dict[str, Dim]) -> None:
    match param, arg:
        case (DTensorType(p), DTensorType(a)):
            _bind(p, a, env)
        case (TensorType(shape=p), TensorType(shape=a)) | (ShapeType(dims=p), ShapeType(dims=a)):
            if isinstance(p, tuple) and isinstance(a, tuple):
                for d, value in zip(p, a, strict=False):
                    if isinstance(d, SymDim) and str(d) in d.symbols:
                        env.setdefault(str(d), value)
        case (TupleType(p), TupleType(a)):
            for x, y in zip(p, a, strict=False):
                _bind(x, y, env)
        case _:
            pass


def result_of_call(params: Sequence[Type], result: Type, args: Sequence[Type], what: str) -> Type:
    """Return the type of calling a function with arguments of types `args`.

    A result dim that the arguments do not determine becomes unknown.

    Raises:
        TypeCheckError: the number of arguments is wrong, or one may be of another kind, dtype or
            rank than its parameter; only what dims may be equal is left to run time.
    """
    if len(params) != len(args):
        raise TypeCheckError(f"{what} takes {len(params)} arguments, got {len(args)}")
    env = bind_symbols(params, args)
    for i, (p, a) in enumerate(zip(params, args, strict=True)):
        wanted = erase_to_well_defined(p, env)
        if fits(wanted, a) is Proof.NO or type_base_check(p, a) < BaseCheck.DEPENDS_ON_SYMBOLS:
            raise TypeCheckError(f"argument {i} of {what} must be {wanted}, got {a}")
    return erase_to_well_defined(result, env)
