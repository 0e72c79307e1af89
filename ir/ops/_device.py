"""Operators that change where or how a tensor is kept and none of its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eqsat.ir._distribute import same_axes
from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    REQUIRED,
    Attr,
    ComputeArg,
    ComputeResult,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Sample,
)
from eqsat.ir._types import (
    UNKNOWN_DTYPE,
    ShapeType,
    TensorType,
    Type,
    TypeCheckError,
    UnknownShape,
    full_vdevice,
)
from eqsat.ir.ops._common import (
    Array,
    dtype_attr,
    gather_from,
    known_dims,
    sizes_of_result,
    str_attr,
    tensor,
    tensor_type,
)
from eqsat.shapes import (
    Dim,
    Equal,
    Shape,
    SymDim,
    assume,
    bits,
    dim_max,
    itemsize,
    numpy_dtype,
    product,
)


def _infer(types: Sequence[Type], attrs: Attrs) -> Type:
    return tensor_type(types[0], "data")


def _same(x: Array, **attrs: Any) -> Array:
    return np.asarray(x)


def _compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    return gather_from("copy", out, lambda *i: x[i])


def _samples() -> Sequence[Sample]:
    return [
        Sample(((2, 3),)),
        Sample(((),), {}, ("int64",), -5, 5),
        Sample(((0, 3),)),
        Sample((("n", 3),), {}, ("bool",), 0, 2),
    ]


def _identity(name: str, *attrs: Attr, samples: Callable[[], Sequence[Sample]] = _samples) -> OpDef:
    return OpDef(
        name,
        (Operand("data"),),
        _infer,
        _same,
        OpKind.VIEW,
        attrs=attrs,
        compute=_compute,
        samples=samples,
    )


def _infer_moved(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    return TensorType(x.shape, x.dtype, full_vdevice(str_attr(attrs, "dst_vdevice")))


def _moved_samples() -> Sequence[Sample]:
    return [Sample((shape,), {"dst_vdevice": "llvm:0:global"}) for shape in ((2, 3), ("n",), (0,))]


def _hinted_samples() -> Sequence[Sample]:
    device = "R.device(device_type=1, index=0)"
    return [Sample((shape,), {"dst_vdevice": device}) for shape in ((2, 3), ("n",), ())]


# views ------------------------------------------------------------------------------------------


def _infer_view(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "data")
    dtype = dtype_attr(attrs, "dtype", x.dtype)
    offset = attrs["relative_byte_offset"]
    if isinstance(types[1], ShapeType):
        dims = sizes_of_result(types[1])
        _check_room(x, dims, dtype, offset if isinstance(offset, (int, SymDim)) else 0)
        return TensorType(dims, dtype, x.vdevice)
    if offset is not None and offset != 0:
        raise TypeCheckError("a view that starts at an offset needs a shape: it is smaller")
    if UNKNOWN_DTYPE not in (x.dtype, dtype) and bits(dtype) != bits(x.dtype):
        raise TypeCheckError(
            f"a view of {x} as {dtype} needs a shape: its elements have another size"
        )
    return TensorType(x.shape, dtype, x.vdevice)


def _check_room(x: TensorType, dims: Shape | UnknownShape, dtype: str, offset: Dim) -> None:
    own = known_dims(x)
    if own is None or isinstance(dims, UnknownShape) or UNKNOWN_DTYPE in (x.dtype, dtype):
        return
    needed, given = product(dims) * itemsize(dtype) + offset, product(own) * itemsize(x.dtype)
    if not isinstance(needed, int) or not isinstance(given, int):
        assume(Equal(dim_max(needed, given), given))  # as TVM, which looks at numbers alone
    elif needed > given:
        raise TypeCheckError(f"a view of {x} cannot have {needed} bytes, more than there are")


def _view(
    x: Array, shape: tuple[int, ...] | None, *, dtype: str | None, relative_byte_offset: int | None
) -> Array:
    target = numpy_dtype(dtype) if dtype else x.dtype
    size = x.shape if shape is None else shape
    start = relative_byte_offset or 0
    count = int(np.prod(size, dtype=np.int64))
    raw = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
    return raw[start : start + count * target.itemsize].view(target).reshape(size)


DEVICE: tuple[OpDef, ...] = (
    replace(_identity("builtin.stop_lift_params"), result_axes=same_axes),
    _identity("memory.ensure_zero_offset"),
    replace(
        _identity("to_vdevice", Attr("dst_vdevice", "str", REQUIRED), samples=_moved_samples),
        infer=_infer_moved,
    ),
    _identity(
        "hint_on_device",
        Attr("dst_vdevice", "code", REQUIRED),
        Attr("memory_scope", "str", "global"),
        samples=_hinted_samples,
    ),
    _identity("grad.no_grad"),
    _identity("grad.start_checkpoint"),
    _identity("grad.end_checkpoint"),
    OpDef(
        "memory.view",
        (Operand("data"), Operand("shape", OperandKind.SHAPE, optional=True)),
        _infer_view,
        _view,
        OpKind.OPAQUE,
        attrs=(
            Attr("dtype", "dtype", None, optional=True),
            Attr("relative_byte_offset", "dim", None, optional=True),
        ),
        samples=lambda: [
            Sample(((2, 3), ("shape", (3, 2)))),
            Sample(((2, 3), ("shape", (6,))), {"dtype": "int32"}),
            Sample(((2, 3), ("shape", (12,))), {"dtype": "float16"}),
            Sample(((2, 3), ("shape", (2,))), {"relative_byte_offset": 8}),
            Sample(((4,), None), {"dtype": "int32"}),
        ],
    ),
)
