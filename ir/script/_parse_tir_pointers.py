"""Reading pointers into buffers, and calls of functions that the program does not hold."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence

from eqsat.ir._tir import (
    Address,
    Buffer,
    BufferLoad,
    FloatImm,
    IntImm,
    Intrinsic,
    PrimExpr,
    StringImm,
    binary,
    const,
)
from eqsat.ir.script._intrinsics import OPAQUE_CALLS, math_function
from eqsat.ir.script._parse_tir_expr import TirExprReader
from eqsat.ir.script._syntax import bind, callee, required, text_literal
from eqsat.shapes import is_dtype

_EXTERNS = (
    "call_extern", "call_pure_extern", "call_intrin", "call_llvm_intrin", "call_llvm_pure_intrin",
)  # fmt: skip
_PACKED = {
    "call_packed": "call_packed", "tvm_call_packed": "call_packed",
    "call_cpacked": "call_cpacked", "tvm_call_cpacked": "call_cpacked",
}  # fmt: skip
_NOT_PLAIN = ("tvm_access_ptr", "tvm_stack_make_array", "type_annotation", *_PACKED)
_MASKS = {"r": 1, "w": 2, "rw": 3, "wr": 3}


class PointerReader:
    """Reads pointers and foreign calls: `functions` of `T.` and `methods` of buffers by name.

    A Python integer as an argument of such a call is an int32, as C takes it.
    """

    def __init__(self, exprs: TirExprReader) -> None:
        self._source, self._exprs = exprs.source, exprs
        self.methods = {"access_ptr": self._method_access_pointer}
        self.functions = {
            **dict.fromkeys(_EXTERNS, self._extern),
            **dict.fromkeys(_PACKED, self._packed),
            **dict.fromkeys(OPAQUE_CALLS.keys() - set(_NOT_PLAIN), self._opaque),
            "address_of": self._address_of,
            "tvm_access_ptr": self._access_pointer,
            "tvm_stack_make_array": self._make_array,
            "type_annotation": self._type_annotation,
        }

    # --- calls ------------------------------------------------------------------------------

    def _extern(self, node: ast.Call) -> PrimExpr:
        if len(node.args) < 2 or node.keywords:
            raise self._source.error(node, "this takes (dtype, name, arguments...)")
        dtype = text_literal(self._source, node.args[0], "dtype")
        name = text_literal(self._source, node.args[1], "the function's name")
        if not is_dtype(dtype) and dtype not in ("handle", "void"):
            raise self._source.error(node.args[0], f"unknown dtype {dtype!r}")
        args = self._arguments(node.args[2:])
        return Intrinsic(math_function(name), args, dtype)

    def _packed(self, node: ast.Call) -> PrimExpr:
        name = _PACKED[callee(node)[2:]]
        if not node.args or node.keywords:
            raise self._source.error(node, f"T.{name} takes a function's name and arguments")
        text_literal(self._source, node.args[0], "the function's name")
        args = tuple(map(self._packed_argument, node.args))
        return Intrinsic(name, args, OPAQUE_CALLS[name])

    def _opaque(self, node: ast.Call) -> PrimExpr:
        name = callee(node)[2:]
        if node.keywords:
            raise self._source.error(node, f"T.{name} takes its arguments by position")
        return Intrinsic(name, self._arguments(node.args), OPAQUE_CALLS[name])

    def _packed_argument(self, node: ast.expr) -> PrimExpr:
        """Read an argument of a packed function; a buffer stands for an array of all of it."""
        named = self._exprs.names.get(node.id) if isinstance(node, ast.Name) else None
        if not isinstance(named, Buffer) or named in self._exprs.scalars:
            return self._argument(node)
        shape = Intrinsic("tvm_stack_make_shape", named.shape, "handle")
        rank, zero = IntImm(len(named.shape), "int32"), IntImm(0, "int32")
        offset = IntImm(0, _index_dtype(named))
        fields = (self._start(named), shape, zero, rank, const(0, named.dtype), offset)
        return Intrinsic("tvm_stack_make_array", fields, "handle")

    def _arguments(self, nodes: Sequence[ast.expr]) -> tuple[PrimExpr, ...]:
        return tuple(map(self._argument, nodes))

    def _argument(self, node: ast.expr) -> PrimExpr:
        named = self._exprs.names.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(named, Buffer) and named not in self._exprs.scalars:
            name = named.name
            raise self._source.error(
                node, f"{name} is a buffer; pass {name}.data, or {name}.access_ptr and its kin"
            )
        return self._exprs.argument(node)

    # --- pointers ---------------------------------------------------------------------------

    def _start(self, buffer: Buffer) -> Address:
        return self._exprs.address(buffer, ())

    def _address_of(self, node: ast.Call) -> PrimExpr:
        bound = bind(self._source, node, "obj")
        obj = required(self._source, node, bound, "obj")
        if isinstance(obj, ast.Name) and isinstance(self._exprs.names.get(obj.id), Buffer):
            buffer = self._exprs.buffer(obj)
            first = tuple(IntImm(0, size.dtype) for size in buffer.shape)
            return self._exprs.address(buffer, first)
        match self._exprs.expr(obj):
            case BufferLoad(buffer, indices):
                return Address(buffer, indices)
            case _:
                raise self._source.error(obj, "T.address_of takes an access, A[i, j], or a buffer")

    def _pointer(self, node: ast.expr) -> PrimExpr:
        read = self._exprs.expr(node)
        if read.dtype != "handle" or isinstance(read, StringImm):
            raise self._source.error(
                node, f"a pointer such as A.data stands here, not {read.dtype}"
            )
        return read

    def _type_annotation(self, node: ast.Call) -> PrimExpr:
        bound = bind(self._source, node, "dtype")
        dtype = self._exprs.dtype_of(required(self._source, node, bound, "dtype"))
        if not is_dtype(dtype):
            raise self._source.error(node, f"unknown dtype {dtype!r}")
        return Intrinsic("type_annotation", (StringImm(dtype),), "handle")

    def _access_pointer(self, node: ast.Call) -> PrimExpr:
        bound = bind(self._source, node, "ptype data offset extent rw_mask")
        kind, data, *rest = (
            required(self._source, node, bound, k)
            for k in ("ptype", "data", "offset", "extent", "rw_mask")
        )
        if isinstance(kind, ast.Constant):
            kind = ast.copy_location(ast.Call(_TYPE_ANNOTATION, [kind], []), kind)
        offset, extent, mask = (self._integer(n) for n in rest)
        args = (self._exprs.expr(kind), self._pointer(data), offset, extent, mask)
        return Intrinsic("tvm_access_ptr", args, "handle")

    def _method_access_pointer(self, node: ast.Call) -> PrimExpr:
        """Read `A.access_ptr("rw", offset=, extent=)`; the extent is what is left by default."""
        assert isinstance(node.func, ast.Attribute)
        buffer = self._exprs.buffer(node.func.value)
        bound = bind(self._source, node, "access_mask ptr_type content_lanes offset extent")
        mask = self._mask(required(self._source, node, bound, "access_mask"))
        for name in bound.keys() & {"content_lanes"}:
            lanes = self._exprs.index(bound[name])
            if not isinstance(lanes, IntImm) or lanes.value != 1:
                raise self._source.error(bound[name], "pointers to vectors are not supported")
        offset: PrimExpr = IntImm(0, _index_dtype(buffer))
        if "offset" in bound:
            offset = self._exprs.converted(node, self._integer(bound["offset"]), offset.dtype)
        if "extent" in bound:
            extent = self._integer(bound["extent"])
        else:
            total: PrimExpr = IntImm(1, "int64")
            for size in buffer.shape:
                total = binary("*", *self._exprs.matched(node, total, size))
            extent = binary("-", *self._exprs.matched(node, total, offset))
        kind = Intrinsic("type_annotation", (StringImm(buffer.dtype),), "handle")
        args = (kind, self._start(buffer), offset, extent, mask)
        return Intrinsic("tvm_access_ptr", args, "handle")

    def _mask(self, node: ast.expr) -> PrimExpr:
        match node:
            case ast.Constant(value=str() as word) if word in _MASKS:
                return IntImm(_MASKS[word], "int32")
            case ast.Constant(value=int(1 | 2 | 3 as mask)):
                return IntImm(mask, "int32")
            case _:
                raise self._source.error(node, 'an access is "r", "w" or "rw"')

    def _make_array(self, node: ast.Call) -> PrimExpr:
        bound = bind(self._source, node, "data shape strides ndim arr_dtype elem_offset")
        data, shape, strides, rank, kind, offset = (
            required(self._source, node, bound, k)
            for k in ("data", "shape", "strides", "ndim", "arr_dtype", "elem_offset")
        )
        args = (
            self._pointer(data),
            self._pointer(shape),
            self._argument(strides),
            self._integer(rank),
            self._zero_of(kind),
            self._integer(offset),
        )
        return Intrinsic("tvm_stack_make_array", args, "handle")

    def _integer(self, node: ast.expr) -> PrimExpr:
        return self._exprs.narrow(node, self._exprs.index(node))

    def _zero_of(self, node: ast.expr) -> PrimExpr:
        """Read a dtype as the zero of it that TVM's arrays name it by."""
        read = self._exprs.expr(node)
        if isinstance(read, StringImm) and is_dtype(read.value):
            return const(0, read.value)
        if not isinstance(read, (IntImm, FloatImm)) or not math.isclose(read.value, 0):
            raise self._source.error(node, "a dtype stands here, or a zero of it")
        return read


def _index_dtype(buffer: Buffer) -> str:
    return buffer.shape[0].dtype if buffer.shape else "int32"


_TYPE_ANNOTATION = ast.parse("T.type_annotation", mode="eval").body
