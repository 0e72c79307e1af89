"""What PrimFuncs call outside of themselves: Python functions, C functions, pointers for them.

A pointer is a one-dimensional array: the memory from there on.
"""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from eqsat.ir._externs import Extern, get_func
from eqsat.ir._interpret_bind import RuntimeCheckError
from eqsat.shapes import itemsize, numpy_dtype

_PACKED = ("call_packed", "call_cpacked")
_C_TYPES: Mapping[str, Any] = {
    "bool": ctypes.c_bool, "float32": ctypes.c_float, "float64": ctypes.c_double,
    "handle": ctypes.c_void_p, "void": None,
    **{f"{sign}int{8 * n}": getattr(ctypes, f"c_{sign}int{8 * n}")
       for sign in ("", "u") for n in (1, 2, 4, 8)},
}  # fmt: skip


def call_foreign(name: str, args: Sequence[Any], dtype: str, externs: Mapping[str, Extern]) -> Any:
    """Return what a function of pointers, or one outside of the program, makes of `args`.

    Raises:
        RuntimeCheckError: there is no such function, or it cannot take the arguments.
    """
    if name in _POINTERS:
        return _POINTERS[name](*args)
    if name in _PACKED:
        name, *args = args
        return _result(_python(name, externs)(*args), dtype)
    function = externs.get(name) or get_func(name)
    return _result(function(*args), dtype) if function else _call_c(name, args, dtype)


def _python(name: str, externs: Mapping[str, Extern]) -> Extern:
    found = externs.get(name) or get_func(name)
    if found is None:
        raise RuntimeCheckError(
            f"no function is registered as {name!r}; register it: eqsat.register_func({name!r}, f)"
        )
    return found


def _result(value: Any, dtype: str) -> Any:
    if dtype in ("handle", "void"):
        return value
    return numpy_dtype(dtype).type(0 if value is None else value)


def _call_c(name: str, args: Sequence[Any], dtype: str) -> Any:
    try:
        function = ctypes.CDLL(None)[name]
    except AttributeError:
        raise RuntimeCheckError(
            f"{name!r} is neither a Python function nor a C function of this process; register "
            "it by eqsat.register_func, or load its library: "
            "ctypes.CDLL(path, ctypes.RTLD_GLOBAL)"
        ) from None
    function.restype = _c_type(name, dtype)
    return _result(function(*(_c_value(name, a) for a in args)), dtype)


def _c_type(name: str, dtype: str) -> Any:
    if dtype not in _C_TYPES:
        raise RuntimeCheckError(f"{name!r} takes or returns a {dtype}, which C does not have")
    return _C_TYPES[dtype]


def _c_value(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (int, ctypes.c_void_p)):
        return ctypes.c_void_p(value) if not isinstance(value, ctypes.c_void_p) else value
    if isinstance(value, str):
        return ctypes.c_char_p(value.encode())
    if isinstance(value, np.ndarray) and value.ndim:
        return ctypes.c_void_p(value.ctypes.data)
    return _c_type(name, np.asarray(value).dtype.name)(np.asarray(value).item())


def _access(_kind: Any, data: Any, offset: Any, extent: Any, _mask: Any) -> Any:
    return data[int(offset) : int(offset) + int(extent)]


def _array(data: Any, shape: Any, strides: Any, rank: Any, zero: Any, offset: Any) -> Any:
    """Return the array that a `tvm_stack_make_array` describes, over the memory at `data`."""
    flat = data.view(zero.dtype)[int(offset) :]
    if not isinstance(strides, tuple):
        needed = math.prod(shape)
    else:
        needed = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if len(shape) != rank or needed > flat.size:
        raise RuntimeCheckError(
            f"an array of shape {shape} and rank {rank} is made over {flat.size} elements"
        )
    if not isinstance(strides, tuple):
        return flat[:needed].reshape(shape)
    step = itemsize(zero.dtype.name)
    return np.lib.stride_tricks.as_strided(flat, shape, tuple(step * s for s in strides))


def _moved(data: Any, count: Any) -> Any:
    return data.view(np.uint8)[int(count) :]


_POINTERS: Mapping[str, Callable[..., Any]] = {
    "type_annotation": lambda dtype: dtype,
    "tvm_access_ptr": _access,
    "tvm_stack_make_shape": lambda *sizes: tuple(map(int, sizes)),
    "tvm_stack_make_array": _array,
    "handle_add_byte_offset": _moved,
    "isnullptr": lambda pointer: np.bool_(pointer is None),
}
