"""Packing of constant operands at compile time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir.tir import (
    Binary,
    Buffer,
    BufferLoad,
    Cast,
    FloatImm,
    IntImm,
    PrimExpr,
    Select,
    Var,
    walk,
)
from eqsat.lowering._aligned import aligned_empty
from eqsat.lowering._errors import LoweringError
from eqsat.shapes import EXACT_IN_FLOAT32, dtype_name, numpy_dtype

Array = NDArray[Any]

_FIRST_LOOK = 4096


def narrowest_dtype(value: Array) -> str:
    """Return the narrowest dtype that holds every element of `value` exactly.

    Only float32 arrays have one other than their own: weights that were rounded to half precision
    or quantised before they were widened again.
    """
    if value.dtype != np.float32:
        return dtype_name(value.dtype)
    flat = value.reshape(-1)
    for dtype in EXACT_IN_FLOAT32:
        if all(_holds(part, dtype) for part in (flat[:_FIRST_LOOK], flat)):
            return dtype
    return "float32"


def _holds(flat: Array, dtype: str) -> bool:
    with np.errstate(all="ignore"):
        back = flat.astype(numpy_dtype(dtype)).astype(np.float32)
    return bool(np.array_equal(back.view(np.int32), flat.view(np.int32)))


@dataclass(frozen=True, eq=False, slots=True)
class Packing:
    """The contents of `buffer`, laid out [outer][tile][k][lane] with `lane` zero-padded.

    `value` is the operand's element as a function of the iterators; `sources` the buffers it loads.
    """

    buffer: Buffer
    sources: tuple[Buffer, ...]
    value: PrimExpr
    outer: tuple[tuple[Var, int], ...]
    tiled: tuple[Var, int]
    reduced: tuple[tuple[Var, int], ...]
    tile: int

    def __call__(self, arrays: Mapping[Buffer, Array]) -> Array:
        """Return the packed array from the values of the sources."""
        axes = (*self.outer, self.tiled, *self.reduced)
        full = evaluate_grid(self.value, axes, arrays).astype(
            numpy_dtype(self.buffer.dtype), copy=False
        )
        full = np.broadcast_to(full, [n for _, n in axes])
        num_outer = int(np.prod([n for _, n in self.outer], dtype=np.int64))
        num_k = int(np.prod([n for _, n in self.reduced], dtype=np.int64))
        rows = self.tiled[1]
        tiles = -(-rows // self.tile)
        flat = full.reshape(num_outer, rows, num_k)
        shape = (num_outer, tiles, num_k, self.tile)
        packed: Array = aligned_empty(math.prod(shape) * full.itemsize).view(full.dtype)
        packed = packed.reshape(shape)
        whole = rows // self.tile
        if whole:
            head = flat[:, : whole * self.tile].reshape(num_outer, whole, self.tile, num_k)
            packed[:, :whole] = head.transpose(0, 1, 3, 2)
        if rows % self.tile:
            tail = flat[:, whole * self.tile :]
            packed[:, whole, :, : rows % self.tile] = tail.transpose(0, 2, 1)
            packed[:, whole, :, rows % self.tile :] = 0
        return packed


def can_evaluate(e: PrimExpr) -> bool:
    """Say whether `evaluate_grid` knows every node of `e`."""
    return all(
        isinstance(n, (Var, IntImm, FloatImm, Cast, BufferLoad))
        or (isinstance(n, Binary) and n.op in _BINARY)
        or (isinstance(n, Select) and not n.lazy)
        for n in walk(e)
    )


def evaluate_grid(
    e: PrimExpr, axes: Sequence[tuple[Var, int]], arrays: Mapping[Buffer, Array]
) -> Array:
    """Return `e` at every point of the grid of `axes`, broadcastable to the grid's shape."""
    position = {v: k for k, (v, _) in enumerate(axes)}
    rank = len(axes)

    def visit(n: PrimExpr) -> Array:
        match n:
            case Var():
                shape = [1] * rank
                shape[position[n]] = axes[position[n]][1]
                return np.arange(axes[position[n]][1], dtype=np.int64).reshape(shape)
            case IntImm(value, dtype) | FloatImm(value, dtype):
                return np.full([1] * rank, value, numpy_dtype(dtype))
            case Cast(dtype, value):
                return visit(value).astype(numpy_dtype(dtype))
            case Select(condition, a, b):
                return np.where(visit(condition), visit(a), visit(b))
            case Binary(op, a, b):
                return _BINARY[op](visit(a), visit(b))
            case BufferLoad(buffer, indices):
                return _load(arrays[buffer], indices)
            case _:
                raise LoweringError(f"cannot evaluate {type(n).__name__} at compile time")

    def _load(array: Array, indices: Sequence[PrimExpr]) -> Array:
        names = [i for i in indices if isinstance(i, Var)]
        is_permutation = len(names) == len(indices) == len(set(names)) and all(
            axes[position[v]][1] == n for v, n in zip(names, array.shape, strict=True)
        )
        if not is_permutation:
            return np.asarray(array[tuple(visit(i) for i in indices)]).reshape(
                np.broadcast_shapes(*(visit(i).shape for i in indices), (1,) * rank)
            )
        places = [position[v] for v in names]
        order = sorted(range(len(places)), key=places.__getitem__)
        shape = [1] * rank
        for v in names:
            shape[position[v]] = axes[position[v]][1]
        return array.transpose(order).reshape(shape)

    return visit(e)


def _ints(a: Array, b: Array) -> Array:
    return np.floor_divide(a, b)


_BINARY: dict[str, Any] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "//": _ints,
    "%": np.mod,
    "min": np.minimum,
    "max": np.maximum,
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "and": np.logical_and,
    "or": np.logical_or,
}
