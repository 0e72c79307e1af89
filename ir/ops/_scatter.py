"""Writing at positions that are data.

Every element of the result looks for the updates that are its own, so that no two writes meet.
"""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    Attr,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Sample,
)
from eqsat.ir._te import Combiner, Reduce, Tensor, compute, identity, reduce, reduce_axis
from eqsat.ir._tir import IntImm, PrimExpr, Select, binary, conjunction, const, from_dim, select
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    axis_attr,
    bool_attr,
    broadcast_types,
    cast_to,
    clamp_index,
    down,
    has_none,
    known_dims,
    require_at_most,
    require_broadcast,
    require_elements_for,
    require_equal,
    require_int,
    same_dtype,
    str_attr,
    tensor,
    tensor_type,
    tensor_types,
    tensors,
    up,
    widen,
)
from eqsat.ir.ops._index import resolve_indices
from eqsat.shapes import Shape, broadcast_all, row_major_strides

_REDUCTIONS = ("update", "add", "mul", "max", "min")
_COMBINERS: dict[str, Combiner] = {"add": "sum", "mul": "prod", "max": "max", "min": "min"}
_COMBINE: dict[str, np.ufunc] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}

# Of the updates, numbered by positions j: which element of the result it goes to, and its value.
_Hit = Callable[[Sequence[PrimExpr], Sequence[PrimExpr]], PrimExpr]
_Value = Callable[[Sequence[PrimExpr], Sequence[PrimExpr]], PrimExpr]


def _combine(combiner: Combiner, a: PrimExpr, b: PrimExpr) -> PrimExpr:
    match combiner:
        case "sum":
            return a + b
        case "prod":
            return a * b
        case _:
            return binary(combiner, a, b)


def _scattered(
    name: str, x: Tensor, extents: Shape, hit: _Hit, value: _Value, reduction: str
) -> Tensor:
    """Return `x` with the updates combined in: the last one wins for the reduction "update".

    `hit(i, j)` says whether update j goes to element i, `value(i, j)` is what it writes there.
    """
    k = [reduce_axis(d, f"k{n}") for n, d in enumerate(extents)] or [reduce_axis(1)]

    def number(*i: PrimExpr) -> Reduce:
        j = [a.var for a in k]
        place: PrimExpr = IntImm(0)
        for v, stride in zip(j, row_major_strides(extents or (1,)), strict=True):
            place = place + v * from_dim(stride)
        return reduce("max", Select(hit(i, j), place, IntImm(-1)), k)

    if reduction == "update":
        last = compute(f"{name}_last", x.shape, number)

        def chosen(*i: PrimExpr) -> PrimExpr:
            rest, j = last[i], list[PrimExpr]()
            for stride in row_major_strides(extents or (1,)):
                j.append(rest // from_dim(stride))
                rest = rest % from_dim(stride)
            return Select(last[i] >= 0, value(i, j), x[i], lazy=True)

        return compute(name, x.shape, chosen)
    combiner = _COMBINERS[reduction]

    def combined(*i: PrimExpr) -> Reduce:
        j = [a.var for a in k]
        mine = widen(value(i, j))
        return reduce(
            combiner, Select(hit(i, j), mine, identity(combiner, mine.dtype), lazy=True), k
        )

    all_updates = compute(f"{name}_updates", x.shape, combined)

    def merged(*i: PrimExpr) -> PrimExpr:
        return cast_to(_combine(combiner, widen(x[i]), all_updates[i]), x.dtype)

    return compute(name, x.shape, merged)


def _checked(attrs: Attrs, x: TensorType) -> TensorType:
    if str_attr(attrs, "reduction", *_REDUCTIONS) != "update" and x.dtype == "bool":
        raise TypeCheckError(f"bool updates replace, so the reduction must be 'update', got {x}")
    return x


def _require_shape(updates: TensorType, shape: Shape | None, name: str) -> None:
    dims = known_dims(updates)
    if dims is None or shape is None:
        return
    if len(dims) != len(shape):
        raise TypeCheckError(f"{name}: updates must have {len(shape)} axes, got {updates}")
    for a, (d, wanted) in enumerate(zip(dims, shape, strict=True)):
        require_equal(d, wanted, f"{name}: axis {a} of updates")


def _infer_scatter_elements(types: Sequence[Type], attrs: Attrs) -> Type:
    x, indices, updates = (
        tensor_type(t, n) for t, n in zip(types, ("data", "indices", "updates"), strict=True)
    )
    require_int(indices)
    same_dtype(x, updates)
    if x.ndim >= 0:
        axis_attr(attrs, x.ndim)
    if x.ndim >= 0 and any(t.ndim not in (-1, x.ndim) for t in (indices, updates)):
        raise TypeCheckError(
            f"data, indices and updates must have one rank, got {x}, {indices} and {updates}"
        )
    _require_shape(updates, known_dims(indices), "scatter_elements")
    dims, places = known_dims(x), known_dims(indices)
    if dims is not None and places is not None and not has_none(places):
        axis = axis_attr(attrs, x.ndim)
        require_elements_for(places, dims[axis], f"scatter_elements: axis {axis} of data")
        for a, (d, p) in enumerate(zip(dims, places, strict=True)):
            if a != axis:
                require_at_most(p, d, f"scatter_elements: axis {a} of indices and of data")
    return _checked(attrs, x)


def _scatter_at(x: Array, where: tuple[Array, ...], updates: Array, reduction: str) -> Array:
    """Return `x` with the updates put in, or combined in the dtype it is computed in."""
    if reduction == "update":
        result = x.copy()
        result[where] = updates
        return result
    result = np.array(up(x))
    _COMBINE[reduction].at(result, where, up(updates))
    return down(result, x)


def _scatter_elements(
    x: Array, indices: Array, updates: Array, *, axis: int, reduction: str
) -> Array:
    where: list[Array] = list(np.indices(indices.shape, sparse=True))
    where[axis] = resolve_indices(indices, x.shape[axis])
    return _scatter_at(x, tuple(where), updates, reduction)


def _scatter_elements_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, indices, updates = (tensor(a) for a in args)
    axis = axis_attr(attrs, x.ndim)

    def at(i: Sequence[PrimExpr], j: Sequence[PrimExpr]) -> list[PrimExpr]:
        return [*i[:axis], j[0], *i[axis + 1 :]]

    def hit(i: Sequence[PrimExpr], j: Sequence[PrimExpr]) -> PrimExpr:
        inside = conjunction(
            *(
                i[a] < from_dim(indices.shape[a])
                for a in range(x.ndim)
                if a != axis and indices.shape[a] != x.shape[a]
            )
        )
        found = binary("==", clamp_index(indices[at(i, j)], x.shape[axis]), i[axis])
        return select(inside, found, const(0, "bool"), lazy=True)

    return _scattered(
        "scatter_elements",
        x,
        (indices.shape[axis],),
        hit,
        lambda i, j: updates[at(i, j)],
        str_attr(attrs, "reduction"),
    )


def _infer_scatter_nd(types: Sequence[Type], attrs: Attrs) -> Type:
    x, indices, updates = (
        tensor_type(t, n) for t, n in zip(types, ("data", "indices", "updates"), strict=True)
    )
    require_int(indices)
    same_dtype(x, updates)
    dims, places = known_dims(x), known_dims(indices)
    if dims is not None and places is not None:
        depth = places[-1] if places else None
        if not isinstance(depth, int) or depth > len(dims):
            raise TypeCheckError(
                f"scatter_nd: the last axis of indices must be a number up to {len(dims)}, the "
                f"rank of data; got {indices}"
            )
        _require_shape(updates, (*places[:-1], *dims[depth:]), "scatter_nd")
        for a in range(depth):
            require_elements_for(places[:-1], dims[a], f"scatter_nd: axis {a} of data")
    return _checked(attrs, x)


def _scatter_nd(x: Array, indices: Array, updates: Array, *, reduction: str) -> Array:
    where = tuple(resolve_indices(indices[..., d], x.shape[d]) for d in range(indices.shape[-1]))
    return _scatter_at(x, where, updates, reduction)


def _scatter_nd_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, indices, updates = (tensor(a) for a in args)
    *lead, depth = indices.shape
    assert isinstance(depth, int)

    def hit(i: Sequence[PrimExpr], j: Sequence[PrimExpr]) -> PrimExpr:
        return conjunction(
            *(
                binary("==", clamp_index(indices[[*j[: len(lead)], IntImm(d)]], x.shape[d]), i[d])
                for d in range(depth)
            )
        )

    return _scattered(
        "scatter_nd",
        x,
        tuple(lead),
        hit,
        lambda i, j: updates[[*j[: len(lead)], *i[depth:]]],
        str_attr(attrs, "reduction"),
    )


def _infer_index_put(types: Sequence[Type], attrs: Attrs) -> Type:
    x, values = tensor_type(types[0], "data"), tensor_type(types[2], "values")
    indices = tensor_types(types[1], "indices")
    for k, t in enumerate(indices):
        require_int(t, f"field {k} of indices")
        if t.ndim == 0:
            raise TypeCheckError(f"index_put: field {k} of indices must have an axis, got {t}")
    if x.ndim not in (-1, len(indices)):
        raise TypeCheckError(f"index_put needs an index per axis of {x}, got {len(indices)}")
    same_dtype(x, values)
    if x.dtype == "bool" and bool_attr(attrs, "accumulate"):
        raise TypeCheckError(f"bool values are not added up, got {x}")
    _require_places(x, indices, values)
    return x


def _require_places(x: TensorType, indices: Sequence[TensorType], values: TensorType) -> None:
    """Raise where the indices leave the data or the values do not broadcast to them."""
    dims, places, given = known_dims(x), broadcast_types(*indices), known_dims(values)
    if dims is None or isinstance(places, UnknownShape):
        return
    for a, d in enumerate(dims):
        require_elements_for(places, d, f"index_put: axis {a} of data")
    if given is not None:
        require_broadcast(given, places, "index_put: values, broadcast to the indices")


def _index_put(x: Array, indices: list[Array], values: Array, *, accumulate: bool) -> Array:
    where = tuple(resolve_indices(i, n) for i, n in zip(indices, x.shape, strict=False))
    return _scatter_at(x, where, values, "add" if accumulate else "update")


def _index_put_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x, indices, values = tensor(args[0]), tensors(args[1]), tensor(args[2])
    lead = broadcast_all([t.shape for t in indices])
    depth, shape = len(indices), (*lead, *x.shape[len(indices) :])

    def hit(i: Sequence[PrimExpr], j: Sequence[PrimExpr]) -> PrimExpr:
        return conjunction(
            *(
                binary("==", clamp_index(t.at_broadcast(j[: len(lead)], lead), d), i[a])
                for a, (t, d) in enumerate(zip(indices, x.shape, strict=False))
            )
        )

    return _scattered(
        "index_put",
        x,
        lead,
        hit,
        lambda i, j: values.at_broadcast([*j[: len(lead)], *i[depth:]], shape),
        "add" if bool_attr(attrs, "accumulate") else "update",
    )


SCATTER: tuple[OpDef, ...] = (
    OpDef(
        "index_put",
        (Operand("data"), Operand("indices", OperandKind.TENSORS), Operand("values")),
        _infer_index_put,
        _index_put,
        OpKind.OPAQUE,
        attrs=(Attr("accumulate", "bool", default=False),),
        compute=_index_put_compute,
        numerics=Numerics.REASSOCIATING,
        samples=lambda: (
            [
                Sample(
                    ((4, 3), [(2,), (2,)], (2,)),
                    {"accumulate": add},
                    ("float32", "int64", "float32"),
                    ranges={1: (0, 3)},
                )
                for add in (False, True)
            ]
            + [
                Sample(s, {"accumulate": add}, ("float32", "int64", "float32"), ranges={1: (-3, 3)})
                for add in (False, True)
                for s in (((3, 4), [(5, 1), (2,)], (5, 2)), ((3, "n"), [("m",), (1,)], ("m",)))
            ]
        ),
    ),
    OpDef(
        "scatter_elements",
        (Operand("data"), Operand("indices"), Operand("updates")),
        _infer_scatter_elements,
        _scatter_elements,
        OpKind.OPAQUE,
        attrs=(Attr("axis", "int", 0), Attr("reduction", "str", "update")),
        compute=_scatter_elements_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("ScatterElements",),
        samples=lambda: (
            [
                Sample(
                    ((4, 3), (2, 3), (2, 3)),
                    {"axis": 0, "reduction": r},
                    ("float32", "int64", "float32"),
                    ranges={1: (0, 4)},
                )
                for r in _REDUCTIONS
            ]
            + [
                Sample(
                    s,
                    {"axis": axis, "reduction": r},
                    ("float32", "int64", "float32"),
                    ranges={1: (-3, 3)},
                )
                for r in ("update", "add")
                for axis, s in (
                    (0, ((3, 5), (9, 2), (9, 2))),
                    (-1, ((2, 3), (2, 0), (2, 0))),
                    (1, (("n", 3), ("n", "m"), ("n", "m"))),
                )
            ]
        ),
    ),
    OpDef(
        "scatter_nd",
        (Operand("data"), Operand("indices"), Operand("updates")),
        _infer_scatter_nd,
        _scatter_nd,
        OpKind.OPAQUE,
        attrs=(Attr("reduction", "str", "update"),),
        compute=_scatter_nd_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("ScatterND",),
        samples=lambda: (
            [
                Sample(
                    ((4, 3), (2, 1), (2, 3)),
                    {"reduction": r},
                    ("float32", "int64", "float32"),
                    ranges={1: (-4, 4)},
                )
                for r in _REDUCTIONS
            ]
            + [
                Sample(s, {"reduction": r}, ("float32", "int64", "float32"), ranges={1: (-3, 3)})
                for r in ("update", "add")
                for s in (
                    ((3, 3), (4, 3, 2), (4, 3)),
                    ((3, 4), (1,), (4,)),
                    ((3, "n"), ("m", 1), ("m", "n")),
                    ((3, 2), (0, 1), (0, 2)),
                )
            ]
        ),
    ),
)
