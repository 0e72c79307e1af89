"""What the header of a tensor says: its number of axes, sizes, dtype and place in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from eqsat.ir._expr import Attrs
from eqsat.ir._op import REQUIRED, Attr, OpDef, Operand, OpKind, Sample
from eqsat.ir._types import UNKNOWN_DTYPE, PrimType, TensorType, Type, TypeCheckError
from eqsat.ir.ops._common import Array, known_dims, tensor_type
from eqsat.shapes import Dim, bits, dlpack_code, dtype_name, product

_AXIS = Attr("axis", "dim", REQUIRED)


def _inspect(
    name: str,
    dtype: str,
    read: Callable[[TensorType, Attrs], Dim | None],
    reference: Callable[..., int],
    *attrs: Attr,
) -> OpDef:
    """Return an operator that reads one number.

    Args:
        name: TVM's name behind `inspect.tensor_`.
        dtype: that of the number.
        read: the number where the tensor's type says it, else None.
        reference: the number.
        attrs: `axis`, or nothing.
    """

    def infer(types: Sequence[Type], attrs: Attrs) -> Type:
        x, axis = tensor_type(types[0], "tensor"), attrs.get("axis")
        if isinstance(axis, int) and (axis < 0 or 0 <= x.ndim <= axis):
            raise TypeCheckError(f"axis {axis} of a tensor of {x.ndim} axes; they count from 0")
        return PrimType(dtype)

    def known(types: Sequence[Type], attrs: Attrs) -> Dim | None:
        return read(tensor_type(types[0], "tensor"), attrs)

    return OpDef(
        f"inspect.tensor_{name}",
        (Operand("tensor"),),
        infer,
        reference,
        OpKind.OPAQUE,
        attrs=attrs,
        samples=lambda: [
            Sample(shape, given, dtypes)
            for shape, dtypes in (
                (((2, 3),), ("float32",)),
                ((("n", 4, "m"),), ("int8",)),
                ((("n", 4),), ("bool",)),
            )
            for given in ([{"axis": 0}, {"axis": 1}] if attrs else [{}])
        ],
        known=known,
    )


def _ndim(x: TensorType, attrs: Attrs) -> Dim | None:
    return x.ndim if x.ndim >= 0 else None


def _ndim_of(tensor: Array) -> int:
    return tensor.ndim


def _size(x: TensorType, attrs: Attrs) -> Dim | None:
    dims, axis = known_dims(x), attrs["axis"]
    return dims[axis] if dims is not None and isinstance(axis, int) else None


def _size_of(tensor: Array, axis: int) -> int:
    if not 0 <= axis < tensor.ndim:
        raise ValueError(f"axis {axis} of a tensor of {tensor.ndim} axes")
    return tensor.shape[axis]


def _stride(x: TensorType, attrs: Attrs) -> Dim | None:
    dims, axis = known_dims(x), attrs["axis"]
    return product(dims[axis + 1 :]) if dims is not None and isinstance(axis, int) else None


def _stride_of(tensor: Array, axis: int) -> int:
    _size_of(tensor, axis)
    return prod(tensor.shape[axis + 1 :])


def _of_dtype(name: str, dtype: str, read: Callable[[str], int]) -> OpDef:
    def known(x: TensorType, attrs: Attrs) -> Dim | None:
        return None if x.dtype == UNKNOWN_DTYPE else read(x.dtype)

    def reference(tensor: Array) -> int:
        return read(dtype_name(tensor.dtype))

    return _inspect(name, dtype, known, reference)


def _fixed(name: str, dtype: str, value: int) -> OpDef:
    def known(x: TensorType, attrs: Attrs) -> Dim:
        return value

    def reference(tensor: Array) -> int:
        return value

    return _inspect(name, dtype, known, reference)


INSPECT: tuple[OpDef, ...] = (
    _inspect("ndim", "int32", _ndim, _ndim_of),
    _of_dtype("dtype_code", "uint8", dlpack_code),
    _of_dtype("dtype_bits", "uint8", bits),
    _fixed("dtype_lanes", "uint16", 1),
    _inspect("shape_i", "int64", _size, _size_of, _AXIS),
    # Tensors here are compact, and begin where their memory does.
    _inspect("stride_i", "int64", _stride, _stride_of, _AXIS),
    _fixed("byte_offset", "uint64", 0),
    _fixed("elem_offset", "uint64", 0),
)
"""TVM's operators on the DLPack header of a tensor."""
