"""Operators of TVM's run time, its training passes and its collectives.

They are read, printed and typed, so that a program that holds them is a program here too. They have
no meaning on one device at inference: running one says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from eqsat.ir._distribute import no_axes
from eqsat.ir._expr import Attrs
from eqsat.ir._op import REQUIRED, Attr, OpDef, Operand, OperandKind, OpKind, ResultAxes
from eqsat.ir._types import (
    UNKNOWN_DTYPE,
    ObjectType,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
    UnknownShape,
)
from eqsat.ir.ops._common import (
    Infer,
    dtype_attr,
    int_attr,
    known_dims,
    sizes_of_result,
    tensor_type,
)
from eqsat.shapes import Dim, normalize_axis

_GRADIENT = "the gradient of an operator, which inference does not need"
_COLLECTIVE = "an exchange between devices; a program here runs on one"
_LOWERED = "what TVM's virtual machine makes of call_tir; write R.call_tir"
_MEMORY = "memory of TVM's virtual machine; eqsat plans memory itself"


def _out(name: str, reason: str) -> Callable[..., NoReturn]:
    def reference(*args: object, **attrs: object) -> NoReturn:
        raise TypeCheckError(f"{name} cannot be run: it is {reason}")

    return reference


def _operator(
    name: str,
    operands: Sequence[str],
    infer: Infer,
    reason: str,
    *attrs: Attr,
    is_pure: bool = True,
    optional: int = 0,
    result_axes: ResultAxes | None = None,
) -> OpDef:
    first = len(operands) - optional
    return OpDef(
        name,
        tuple(Operand(o, _kind(o), k >= first) for k, o in enumerate(operands)),
        infer,
        _out(name, reason),
        OpKind.OPAQUE,
        attrs=attrs,
        is_pure=is_pure,
        result_axes=result_axes,
        cannot_run=reason,
    )


def _kind(operand: str) -> OperandKind:
    match operand:
        case "shape" | "size":
            return OperandKind.SHAPE
        case "storage" | "offset" | "obj" | "func" | "args":
            return OperandKind.OBJECT
        case _:
            return OperandKind.TENSOR


def _like(position: int) -> Infer:
    def infer(types: Sequence[Type], attrs: Attrs) -> Type:
        return tensor_type(types[position])

    return infer


def _object(types: Sequence[Type], attrs: Attrs) -> Type:
    return ObjectType()


def _nothing(types: Sequence[Type], attrs: Attrs) -> Type:
    return TupleType(())


def _allocated(position: int) -> Infer:
    """Return the inference of an allocation whose shape is an operand; the dtype is a value."""

    def infer(types: Sequence[Type], attrs: Attrs) -> Type:
        dims = sizes_of_result(types[position], "the shape to allocate")
        return TensorType(dims, dtype_attr(attrs, "dtype", UNKNOWN_DTYPE))

    return infer


# collectives ------------------------------------------------------------------------------------


def _along(x: TensorType, axis: int, size: Callable[[Dim], Dim]) -> TensorType:
    dims = known_dims(x)
    if dims is None:
        return TensorType(UnknownShape(x.ndim), x.dtype, x.vdevice)
    a = normalize_axis(axis, len(dims))
    return TensorType((*dims[:a], size(dims[a]), *dims[a + 1 :]), x.dtype, x.vdevice)


def _gathered(types: Sequence[Type], attrs: Attrs) -> Type:
    workers = int_attr(attrs, "num_workers")
    return _along(tensor_type(types[0], "x"), 0, lambda d: d * workers)


def _scattered(types: Sequence[Type], attrs: Attrs) -> Type:
    x, workers = tensor_type(types[0], "x"), int_attr(attrs, "num_workers")
    axis, dims = int_attr(attrs, "axis"), known_dims(x)
    size = None if dims is None else dims[normalize_axis(axis, len(dims))]
    if isinstance(size, int) and (workers < 1 or size % workers):
        raise TypeCheckError(f"scatter_from_worker0 cannot cut {size} into {workers} equal parts")
    return _along(x, axis, lambda d: d // workers)


_WORKERS = Attr("num_workers", "int", REQUIRED)
_IN_GROUP = Attr("in_group", "bool", default=True)
_DTYPE = Attr("dtype", "dtype", REQUIRED)
_SCOPE = Attr("storage_scope", "str", "global")
_DEVICE = Attr("runtime_device_ind", "int", 0)
_POOL = (
    Attr("pool_size", "ints", (1, 1)),
    Attr("strides", "ints", (1, 1)),
    Attr("padding", "ints", (0, 0, 0, 0)),
    Attr("dilation", "ints", (1, 1)),
    Attr("ceil_mode", "bool", default=False),
    Attr("count_include_pad", "bool", default=False),
    Attr("layout", "str", "NCHW"),
    Attr("out_layout", "str", None, optional=True),
)

RUNTIME: tuple[OpDef, ...] = (
    _operator("ccl.allreduce", ("x",), _like(0), _COLLECTIVE, Attr("op_type", "str", "sum"),
              _IN_GROUP, result_axes=no_axes),
    _operator("ccl.allgather", ("x",), _gathered, _COLLECTIVE, _WORKERS, _IN_GROUP),
    _operator("ccl.broadcast_from_worker0", ("x",), _like(0), _COLLECTIVE),
    _operator("ccl.scatter_from_worker0", ("x",), _scattered, _COLLECTIVE, _WORKERS,
              Attr("axis", "int", 0)),
    _operator("grad.nll_loss_backward", ("output_grad", "predictions", "targets", "weights"),
              _like(1), _GRADIENT, Attr("reduction", "str", "mean"),
              Attr("ignore_index", "int", -100), optional=1),
    _operator("grad.max_pool2d_backward", ("output_grad", "data"), _like(1), _GRADIENT, *_POOL),
    _operator("grad.avg_pool2d_backward", ("output_grad", "data"), _like(1), _GRADIENT, *_POOL),
    _operator("grad.take_backward", ("output_grad", "x", "indices"), _like(1), _GRADIENT,
              Attr("axis", "int", None, optional=True)),
    _operator("builtin.alloc_tensor", ("shape",), _allocated(0), _MEMORY, _DTYPE,
              Attr("runtime_device_index", "int", REQUIRED), _SCOPE, is_pure=False),
    _operator("memory.alloc_storage", ("size",), _object, _MEMORY,
              Attr("virtual_device_index", "int", REQUIRED), Attr("storage_scope", "str", REQUIRED),
              _DTYPE, is_pure=False),
    _operator("memory.alloc_tensor", ("storage", "offset", "shape"), _allocated(2), _MEMORY, _DTYPE,
              _DEVICE, is_pure=False),
    _operator("memory.kill_storage", ("storage",), _nothing, _MEMORY, is_pure=False),
    _operator("memory.kill_tensor", ("tensor",), _nothing, _MEMORY, is_pure=False),
    _operator("vm.alloc_storage", ("shape",), _object, _MEMORY,
              Attr("runtime_device_index", "int", REQUIRED), _DTYPE, _SCOPE, is_pure=False),
    _operator("vm.alloc_tensor", ("storage", "offset", "shape"), _allocated(2), _MEMORY, _DTYPE,
              _DEVICE, is_pure=False),
    _operator("vm.kill_object", ("obj",), _nothing, _MEMORY, is_pure=False),
    _operator("vm.call_tir_dyn", ("func", "args"), _nothing, _LOWERED, is_pure=False),
)  # fmt: skip
