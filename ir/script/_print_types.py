"""Printing dims, types and attribute values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from eqsat.ir._attrs import AttrMap, AttrValue
from eqsat.ir._expr import ExternFunc
from eqsat.ir._types import (
    PACKED_FUNC,
    UNKNOWN_DTYPE,
    CallableType,
    DeviceMesh,
    DTensorType,
    ObjectType,
    Placement,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
)
from eqsat.ir.script._dialect import LATEST, Dialect
from eqsat.shapes import Dim, Shape, SymDim, substitute

DUMMY_INFO = "dummy_global_info"
"""How a module holds `I.dummy_global_info()`."""
_EXTREMUM = re.compile(r"\b(min|max)\(")


class TypePrinter:
    """Prints types of one function.

    `renamed` maps symbols whose names Python reserves, `meshes` those of the module to their names.
    """

    def __init__(
        self,
        renamed: Mapping[str, Dim] | None = None,
        dialect: Dialect = LATEST,
        meshes: Mapping[DeviceMesh, str] | None = None,
    ) -> None:
        self._renamed = dict(renamed or {})
        self._meshes = dict(meshes or {})
        self._outer: frozenset[str] = frozenset()
        self._dialect = dialect

    def inside(self, outer: Iterable[str], renamed: Mapping[str, Dim]) -> TypePrinter:
        """Return the printer of a function inside this one: `outer` are symbols known here."""
        inner = TypePrinter({**self._renamed, **renamed}, self._dialect, self._meshes)
        inner._outer = frozenset(outer)
        return inner

    def knowing(self, symbol: str) -> TypePrinter:
        """Return the printer for what follows the parameter that is `symbol`."""
        return self.inside(self._outer | {symbol}, {})

    def dim(self, d: Dim, *, quoted: bool = False) -> str:
        """Return a dim; in a signature one with new symbols stands in quotes."""
        if isinstance(d, int):
            return str(d)
        quoted = quoted and not d.symbols <= self._outer
        text = _EXTREMUM.sub(r"T.\1(", str(substitute(d, self._renamed)))
        return f'"{text}"' if quoted else text

    def dims(self, shape: Shape, *, quoted: bool = False) -> str:
        """Return dims with commas between."""
        return ", ".join(self.dim(d, quoted=quoted) for d in shape)

    def type(self, ty: Type, *, quoted: bool = False) -> str:
        """Return a type as TVM prints it."""
        if isinstance(ty, PrimType) and not self._dialect.wraps_scalars:
            return f"T.{ty.dtype}"
        return self._nested(ty, quoted=quoted)

    def _nested(self, ty: Type, *, quoted: bool) -> str:
        """Return a type inside another: there TVM 0.27 cannot read `T.int64`."""
        match ty:
            case TensorType():
                return self._tensor(ty, quoted)
            case DTensorType():
                return self._distributed(ty, quoted)
            case ShapeType(UnknownShape(ndim)):
                return "R.Shape" if ndim < 0 else f"R.Shape(ndim={ndim})"
            case ShapeType(dims):
                assert isinstance(dims, tuple)
                return f"R.Shape([{self.dims(dims, quoted=quoted)}])"
            case PrimType(dtype):
                return f'R.Prim("{dtype}")'
            case TupleType(fields):
                inner = ", ".join(self._nested(f, quoted=quoted) for f in fields)
                return f"R.Tuple({inner})" if fields else "R.Tuple"
            case CallableType(params, result, is_pure, opaque):
                shown = self._nested(result, quoted=quoted)
                if opaque and ty.derive_func:
                    return f"R.Callable(derive_func={string(ty.derive_func)}, purity={is_pure})"
                if opaque:
                    return f"R.Callable(ret={shown}, purity={is_pure})"
                inner = ", ".join(self._nested(p, quoted=quoted) for p in params)
                comma = "," if len(params) == 1 else ""
                return f"R.Callable(({inner}{comma}), {shown}, {is_pure})"
            case ObjectType():
                return self._dialect.top
            case _:
                assert_never(ty)

    def _tensor(self, ty: TensorType, quoted: bool) -> str:
        arguments: list[str] = []
        if not isinstance(ty.shape, UnknownShape):
            comma = "," if len(ty.shape) == 1 else ""
            arguments.append(f"({self.dims(ty.shape, quoted=quoted)}{comma})")
        if ty.dtype != UNKNOWN_DTYPE:
            arguments.append(f'dtype="{ty.dtype}"')
        if isinstance(ty.shape, UnknownShape) and ty.shape.ndim >= 0:
            arguments.append(f"ndim={ty.shape.ndim}")
        if ty.vdevice:
            arguments.append(f"vdevice={string(ty.vdevice)}")
        return f"R.Tensor({', '.join(arguments)})" if arguments else "R.Tensor"

    def _distributed(self, ty: DTensorType, quoted: bool) -> str:
        shape, dtype = ty.tensor.shape, ty.tensor.dtype
        arguments: list[str] = []
        if not isinstance(shape, UnknownShape):
            comma = "," if len(shape) == 1 else ""
            arguments.append(f"({self.dims(shape, quoted=quoted)}{comma})")
        # What follows one that is left out has its name.
        is_full = bool(arguments) and dtype != UNKNOWN_DTYPE
        if dtype != UNKNOWN_DTYPE:
            arguments.append(f'"{dtype}"' if is_full else f'dtype="{dtype}"')
        mesh, placement = self.attribute(ty.mesh), self.attribute(ty.placement)
        arguments.append(mesh if is_full else f"device_mesh={mesh}")
        arguments.append(placement if is_full else f"placement={placement}")
        if isinstance(shape, UnknownShape) and shape.ndim >= 0:
            arguments.append(f"ndim={shape.ndim}")
        return f"R.DTensor({', '.join(arguments)})"

    def mesh(self, mesh: DeviceMesh) -> str:
        """Return a mesh in full."""
        comma = "," if len(mesh.shape) == 1 else ""
        ids = mesh.device_ids
        listed = f"I.Range({ids.start}, {ids.stop})" if isinstance(ids, range) else str(list(ids))
        return f"R.device_mesh(({', '.join(map(str, mesh.shape))}{comma}), {listed})"

    def extern(self, function: ExternFunc) -> str:
        """Return an external function, with its type where that says anything."""
        if function.type == PACKED_FUNC:
            return f"R.ExternFunc({string(function.name)})"
        return f"R.ExternFunc({string(function.name)}, {self.type(function.type)})"

    def attribute(self, value: AttrValue) -> str:
        """Return an attribute's value; sequences are lists."""
        match value:
            case None | bool() | int():
                return str(value)
            case float():
                return number(value)
            case str():
                return string(value)
            case SymDim():
                return self.dim(value)
            case tuple():
                return f"[{', '.join(self.attribute(v) for v in value)}]"
            case DeviceMesh():
                name = self._meshes.get(value)
                return self.mesh(value) if name is None else string(name)
            case Placement():
                return string(str(value))
            case AttrMap(items, kind):
                shown = self.attributes(dict(items))
                return f"T.target({shown})" if kind == "target" else shown
            case _:
                assert_never(value)

    def attributes(self, attrs: Mapping[str, AttrValue]) -> str:
        """Return a dict display, keys sorted as TVM sorts them."""
        items = (f"{string(k)}: {self.attribute(attrs[k])}" for k in sorted(attrs))
        return f"{{{', '.join(items)}}}"


def json_text(value: AttrValue) -> str:
    """Return a dict of plain values as JSON, which is how a target stands in a device."""

    def plain(v: AttrValue) -> Any:
        match v:
            case AttrMap(items):
                return {k: plain(x) for k, x in items}
            case tuple():
                return [plain(x) for x in v]
            case _:
                return v

    return json.dumps(plain(value), sort_keys=True)


def number(value: float) -> str:
    """Return a float as Python; TVM prints `"inf"` but reads only `float("inf")` back."""
    return repr(value) if math.isfinite(value) else f'float("{value}")'


def string(value: str) -> str:
    """Return a double-quoted Python string."""
    return json.dumps(value, ensure_ascii=False) if value.isprintable() else _escaped(value)


def _escaped(value: str) -> str:
    body = "".join(_escape(c) for c in value)
    return f'"{body}"'


def _escape(c: str) -> str:
    if c in '"\\':
        return f"\\{c}"
    return c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
