"""Relax types: what is known of a value before it is computed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from eqsat.shapes import UNKNOWN_DTYPE, Dim, EqsatError, Shape, substitute


class TypeCheckError(EqsatError):
    """A program or a call breaks a typing rule; the message names the place."""


def full_vdevice(device: str) -> str:
    """Return "target" or "target:index" as "target:index:scope", which is how TVM prints it.

    Raises:
        TypeCheckError: the text is none of these.
    """
    parts = device.split(":")
    if len(parts) > 3 or not parts[0] or (len(parts) > 1 and not parts[1].isdecimal()):
        raise TypeCheckError('a device is "target", "target:index" or "target:index:scope"')
    return ":".join([*parts, *("0", "global")[len(parts) - 1 :]])


@dataclass(frozen=True, slots=True)
class UnknownShape:
    """A shape whose dims are not known; `ndim` is -1 where the rank is not known either."""

    ndim: int = -1


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor: `shape` in elements, `dtype` by TVM's name, "void" when unknown."""

    shape: Shape | UnknownShape
    dtype: str = UNKNOWN_DTYPE
    vdevice: str = ""

    @property
    def ndim(self) -> int:
        """The rank, -1 when unknown."""
        return self.shape.ndim if isinstance(self.shape, UnknownShape) else len(self.shape)

    @property
    def dims(self) -> Shape:
        """The dims of a tensor whose shape is known.

        Raises:
            TypeCheckError: the shape is unknown.
        """
        if isinstance(self.shape, UnknownShape):
            raise TypeCheckError(f"the shape of {self} is needed here; add a match_cast before it")
        return self.shape

    def __str__(self) -> str:
        if isinstance(self.shape, UnknownShape):
            inner = "?" if self.shape.ndim < 0 else f"ndim={self.shape.ndim}"
        else:
            inner = ", ".join(str(d) for d in self.shape)
        return f"{self.dtype}[{inner}]"


@dataclass(frozen=True, slots=True)
class DeviceMesh:
    """Devices in a grid: how many along each axis of it, and their ids in row-major order.

    A range of ids and the same ids listed are different meshes, as in TVM.

    Raises:
        TypeCheckError: a size is negative, or there are not as many ids as places.
    """

    shape: tuple[int, ...]
    device_ids: range | tuple[int, ...]

    def __post_init__(self) -> None:
        if any(size < 0 for size in self.shape):
            raise TypeCheckError(f"{self}: a size is not negative")
        ids = self.device_ids
        num_ids = max(ids.stop - ids.start, 0) if isinstance(ids, range) else len(ids)
        if math.prod(self.shape) != num_ids:
            raise TypeCheckError(f"{self} has {num_ids} device ids, one a place")

    def __str__(self) -> str:
        return f"mesh({', '.join(map(str, self.shape))})"


@dataclass(frozen=True, slots=True)
class Placement:
    """How a tensor lies on a mesh: per axis of the mesh, the axis of the tensor that it cuts.

    None where the devices along that axis of the mesh hold the same part.
    """

    cuts: tuple[int | None, ...]

    @classmethod
    def from_text(cls, text: str) -> Placement:
        """Return the placement of a text such as "S[0], R".

        Raises:
            TypeCheckError: it is none.
        """
        if not _PLACEMENT.fullmatch(text):
            raise TypeCheckError(
                f'{text!r} is no placement; write S[k] or R per axis of the mesh, "S[0], R"'
            )
        return cls(tuple(int(k) if k else None for k in _CUT.findall(text)))

    @property
    def is_replicated(self) -> bool:
        """Say whether each device holds the whole tensor."""
        return all(k is None for k in self.cuts)

    def __str__(self) -> str:
        return ", ".join("R" if k is None else f"S[{k}]" for k in self.cuts)


_CUT = re.compile(r"S\[(\d{1,9})\]|R")
_PLACEMENT = re.compile(rf"[\s,]*((?:{_CUT.pattern})[\s,]*)*")


@dataclass(frozen=True, slots=True)
class DTensorType:
    """A tensor that the devices of a mesh hold together.

    Raises:
        TypeCheckError: the placement has not one entry per axis of the mesh, or cuts an axis that
            the tensor is not known to have.
    """

    tensor: TensorType
    mesh: DeviceMesh
    placement: Placement

    def __post_init__(self) -> None:
        cuts = self.placement.cuts
        if len(cuts) != len(self.mesh.shape):
            raise TypeCheckError(
                f'the placement "{self.placement}" has {len(cuts)} entries, one per axis of a mesh,'
                f" but {self.mesh} has {len(self.mesh.shape)} axes"
            )
        for k in cuts:
            if k is not None and k >= self.tensor.ndim:
                raise TypeCheckError(
                    f'the placement "{self.placement}" cuts axis {k} of {self.tensor}, which is '
                    "not known to have it"
                )

    def __str__(self) -> str:
        return f'{self.tensor} on {self.mesh} "{self.placement}"'


@dataclass(frozen=True, slots=True)
class ShapeType:
    """A shape value; its dims are part of the type where known, as in TVM."""

    dims: Shape | UnknownShape = UnknownShape()

    @property
    def ndim(self) -> int:
        """The number of dims, -1 when unknown."""
        return self.dims.ndim if isinstance(self.dims, UnknownShape) else len(self.dims)

    def __str__(self) -> str:
        if isinstance(self.dims, UnknownShape):
            return "shape"
        return f"shape[{', '.join(str(d) for d in self.dims)}]"


@dataclass(frozen=True, slots=True)
class PrimType:
    """A scalar held outside a tensor."""

    dtype: str

    def __str__(self) -> str:
        return f"scalar {self.dtype}"


@dataclass(frozen=True, slots=True)
class TupleType:
    """A fixed number of values."""

    fields: tuple[Type, ...]

    def __str__(self) -> str:
        return f"tuple({', '.join(str(f) for f in self.fields)})"


@dataclass(frozen=True, slots=True)
class CallableType:
    """A function value; `params` is () with `opaque` where nothing is known of it.

    `derive_func` names TVM's function that derives the result of an opaque one. The symbols of
    `params` belong to this type: a call binds them.
    """

    params: tuple[Type, ...]
    result: Type
    is_pure: bool = True
    opaque: bool = False
    derive_func: str = ""

    def __str__(self) -> str:
        shown = "..." if self.opaque else ", ".join(str(p) for p in self.params)
        return f"{'' if self.is_pure else 'impure '}callable({shown}) -> {self.result}"


@dataclass(frozen=True, slots=True)
class ObjectType:
    """Any runtime object (`R.Any`, formerly `R.Object`)."""

    def __str__(self) -> str:
        return "any object"


PACKED_FUNC = CallableType((), ObjectType(), is_pure=False, opaque=True)
"""The type of a function of which nothing is known (`R.PackedFunc`)."""

Type = TensorType | DTensorType | ShapeType | PrimType | TupleType | CallableType | ObjectType


def substitute_type(ty: Type, env: dict[str, Dim]) -> Type:
    """Return `ty` with symbols replaced by the dims of `env`."""
    from_dims = _substitute_dims
    match ty:
        case TensorType():
            return TensorType(from_dims(ty.shape, env), ty.dtype, ty.vdevice)
        case DTensorType(tensor):
            shape = from_dims(tensor.shape, env)
            return replace(ty, tensor=TensorType(shape, tensor.dtype, tensor.vdevice))
        case ShapeType():
            return ShapeType(from_dims(ty.dims, env))
        case TupleType():
            return TupleType(tuple(substitute_type(f, env) for f in ty.fields))
        case CallableType() | PrimType() | ObjectType():
            return ty


def is_distributed(ty: Type) -> bool:
    """Say whether values of type `ty` hold a tensor that lies on a mesh of devices."""
    match ty:
        case DTensorType():
            return True
        case TupleType(fields):
            return any(map(is_distributed, fields))
        case CallableType(params, result):
            return any(map(is_distributed, (*params, result)))
        case _:
            return False


def has_unknown_dtype(ty: Type) -> bool:
    """Say whether a tensor in `ty` has no known dtype."""
    match ty:
        case TensorType(dtype=dtype):
            return dtype == UNKNOWN_DTYPE
        case TupleType(fields):
            return any(map(has_unknown_dtype, fields))
        case _:
            return False


def with_dtype(ty: Type, dtype: str) -> Type:
    """Return `ty` with `dtype` for the tensors that have none."""
    match ty:
        case TensorType() if ty.dtype == UNKNOWN_DTYPE:
            return TensorType(ty.shape, dtype, ty.vdevice)
        case TupleType(fields):
            return TupleType(tuple(with_dtype(f, dtype) for f in fields))
        case _:
            return ty


def with_dtypes_of(ty: Type, found: Type) -> Type:
    """Return `ty` with the dtypes of `found` for the tensors that have none."""
    match ty, found:
        case TensorType(), TensorType(dtype=dtype):
            return with_dtype(ty, dtype)
        case TupleType(fields), TupleType(others) if len(fields) == len(others):
            return TupleType(tuple(map(with_dtypes_of, fields, others)))
        case _:
            return ty


def _substitute_dims(shape: Shape | UnknownShape, env: dict[str, Dim]) -> Shape | UnknownShape:
    return shape if isinstance(shape, UnknownShape) else tuple(substitute(d, env) for d in shape)
