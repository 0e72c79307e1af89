"""How the result of an operator lies on a mesh of devices whose operands do."""

from __future__ import annotations

from collections.abc import Sequence

from eqsat.ir._attrs import Attrs
from eqsat.ir._op import UNCERTAIN, AxisMap, OpDef, OperandKind
from eqsat.ir._types import DTensorType, Placement, TensorType, Type, TypeCheckError, UnknownShape
from eqsat.shapes import Shape


def infer_distributed(
    op: OpDef, types: Sequence[Type], attrs: Attrs, declared: Type | None
) -> Type:
    """Return the result type of `op` on distributed tensors, placed as `declared` if not certain.

    An axis of the mesh cuts the axis of the result that the axis it cuts of an operand becomes.

    Raises:
        TypeCheckError: a tensor is not distributed, two lie on different meshes, the operator takes
            none, or there is more than one way to place the result.
    """
    if op.result_axes is None:
        raise TypeCheckError(
            f"{op.name} takes no distributed tensors: how its result lies on the devices is not "
            "known; write it as R.dist.call_tir of a PrimFunc, which declares that"
        )
    operands = _distributed(op, types)
    mesh = operands[0].mesh
    plain = [t.tensor if isinstance(t, DTensorType) else t for t in types]
    result = op.infer(plain, attrs)
    assert isinstance(result, TensorType), "an operator with result_axes has one result"
    maps = op.result_axes([t.tensor for t in operands], attrs, result)
    cuts = [_cut([t.placement.cuts[k] for t in operands], maps) for k in range(len(mesh.shape))]
    if UNCERTAIN in cuts:
        if not isinstance(declared, DTensorType) or declared.mesh != mesh:
            raise TypeCheckError(
                f"how the result of {op.name} lies on the devices is not certain: axis "
                f"{cuts.index(UNCERTAIN)} of the mesh may cut one of several axes of it, or none; "
                "declare it, y: R.DTensor(...) = ..., or place the operands first with "
                "R.dist.redistribute"
            )
        return DTensorType(result, mesh, declared.placement)
    kept = [c for c in cuts if c is not None]
    if len(set(kept)) < len(kept) and op.result_axes is not same_axes:
        raise TypeCheckError(
            f"two axes of the mesh would cut one axis of the result of {op.name}; place the "
            "operands first with R.dist.redistribute"
        )
    return DTensorType(result, mesh, Placement(tuple(cuts)))


def _distributed(op: OpDef, types: Sequence[Type]) -> list[DTensorType]:
    """Return the types of the tensor operands, which must lie on one mesh."""
    found: list[DTensorType] = []
    for operand, ty in zip(op.operands, types, strict=True):
        if operand.kind is not OperandKind.TENSOR:
            continue
        if not isinstance(ty, DTensorType):
            raise TypeCheckError(
                f"{op.name} mixes distributed tensors with {operand.name}, {ty}; declare that one "
                "as R.DTensor too, or write a constant as R.dist.const"
            )
        if found and found[0].mesh != ty.mesh:
            raise TypeCheckError(
                f"the operands of {op.name} lie on different meshes; move one with "
                "R.dist.redistribute"
            )
        found.append(ty)
    return found


def _cut(cuts: Sequence[int | None], maps: Sequence[AxisMap]) -> int | None:
    """Return the axis of the result that an axis of the mesh cuts; it cuts `cuts` of operands."""
    found = {axes[c] for c, axes in zip(cuts, maps, strict=True) if c is not None} - {None}
    return UNCERTAIN if len(found) > 1 else next(iter(found), None)


# What operators declare as `result_axes` ----------------------------------------------------------


def known_shape(ty: TensorType) -> Shape:
    """Return the dims of an operand, of which the axes of a result follow.

    Raises:
        TypeCheckError: they are not known.
    """
    if isinstance(ty.shape, UnknownShape):
        raise TypeCheckError(f"the shape of {ty} must be known where it is distributed")
    return ty.shape


def same_axes(types: Sequence[TensorType], attrs: Attrs, result: TensorType) -> Sequence[AxisMap]:
    """Return that each axis of the one operand stays where it is."""
    return [tuple(range(max(types[0].ndim, 0)))]


def broadcast_axes(
    types: Sequence[TensorType], attrs: Attrs, result: TensorType
) -> Sequence[AxisMap]:
    """Return the axes of operands that broadcast: counted from the last, those repeated gone."""
    out = known_shape(result)
    return [_aligned(known_shape(t), out) for t in types]


def _aligned(dims: Shape, out: Shape) -> AxisMap:
    first = len(out) - len(dims)
    return tuple(first + a if d == out[first + a] else None for a, d in enumerate(dims))


def no_axes(types: Sequence[TensorType], attrs: Attrs, result: TensorType) -> Sequence[AxisMap]:
    """Return that each device has the whole result, however the operands lie."""
    return [(None,) * max(t.ndim, 0) for t in types]
