"""Operators that place tensors on a mesh of devices: read, printed and typed, but not run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from eqsat.ir._attrs import Attrs
from eqsat.ir._call_ops import ON_A_MESH
from eqsat.ir._op import REQUIRED, Attr, OpDef, Operand, OperandKind, OpKind
from eqsat.ir._types import (
    DeviceMesh,
    DTensorType,
    Placement,
    TensorType,
    Type,
    TypeCheckError,
)
from eqsat.ir.ops._common import Infer, int_attr, known_dims


def _placed(attrs: Attrs) -> tuple[DeviceMesh, Placement]:
    mesh, placement = attrs["device_mesh"], attrs["placement"]
    if not isinstance(mesh, DeviceMesh) or not isinstance(placement, Placement):
        raise TypeCheckError("device_mesh must be a DeviceMesh and placement a Placement")
    return mesh, placement


def _annotated(types: Sequence[Type], attrs: Attrs) -> Type:
    """Return the type unchanged: where the tensor is to lie is for a pass of TVM to bring about."""
    _placed(attrs)
    return types[0]


def _redistributed(types: Sequence[Type], attrs: Attrs) -> Type:
    x = types[0]
    if not isinstance(x, DTensorType):
        raise TypeCheckError(
            f"redistribute moves a distributed tensor, got {x}; place it first: declare it as "
            "R.DTensor"
        )
    return DTensorType(x.tensor, *_placed(attrs))


def _cut_along(types: Sequence[Type], attrs: Attrs) -> Type:
    x, workers, axis = types[0], int_attr(attrs, "num_workers"), int_attr(attrs, "axis")
    tensor = x.tensor if isinstance(x, DTensorType) else x
    assert isinstance(tensor, TensorType), "the kind of the operand"
    dims = known_dims(tensor)
    if dims is None or not 0 <= axis < len(dims):
        raise TypeCheckError(f"{tensor} is not known to have an axis {axis} to cut")
    size = dims[axis]
    if workers < 1 or (isinstance(size, int) and size % workers):
        raise TypeCheckError(f"axis {axis} of {tensor} cannot be cut into {workers} equal parts")
    if not isinstance(x, DTensorType):
        return replace(tensor, shape=(*dims[:axis], size // workers, *dims[axis + 1 :]))
    if len(x.mesh.shape) != 1 or not x.placement.is_replicated:
        raise TypeCheckError(
            f"redistribute_replica_to_shard cuts a tensor that each device of a mesh with one axis "
            f"holds whole, got {x}"
        )
    return replace(x, placement=Placement((axis,)))


def _operator(name: str, operand: str, infer: Infer, *attrs: Attr) -> OpDef:
    def reference(*args: object, **attrs: object) -> NoReturn:
        raise TypeCheckError(f"{name} cannot be run: it is {ON_A_MESH}")

    return OpDef(
        name,
        (Operand(operand, OperandKind.ANY_TENSOR),),
        infer,
        reference,
        OpKind.OPAQUE,
        attrs=attrs,
        cannot_run=ON_A_MESH,
    )


_MESH = Attr("device_mesh", "mesh", REQUIRED)
_PLACEMENT = Attr("placement", "placement", REQUIRED)

DISTRIBUTED: tuple[OpDef, ...] = (
    _operator("dist.annotate_sharding", "value", _annotated, _MESH, _PLACEMENT),
    _operator("dist.redistribute", "value", _redistributed, _MESH, _PLACEMENT),
    _operator(
        "dist.redistribute_replica_to_shard",
        "input",
        _cut_along,
        Attr("num_workers", "int", REQUIRED),
        Attr("axis", "int", REQUIRED),
    ),
)
