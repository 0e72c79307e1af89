"""Evaluates tensor expressions stage by stage with whole-array operations."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._interpret_scalar import apply_binary, apply_cast, apply_intrinsic
from eqsat.ir._te import ProducerLoad, Reduce, Tensor
from eqsat.ir._tir import (
    Binary,
    Cast,
    FloatImm,
    IntImm,
    Intrinsic,
    IterVar,
    Not,
    PrimExpr,
    Select,
    Var,
)
from eqsat.ir._visit import topological_tensors
from eqsat.shapes import evaluate, numpy_dtype

Array = NDArray[Any]


def evaluate_te(
    outputs: Sequence[Tensor],
    inputs: Mapping[Tensor, Array],
    symbols: Mapping[str, int] | None = None,
) -> list[Array]:
    """Return the values of `outputs`.

    Args:
        outputs: the stages asked for.
        inputs: an array for every input tensor they reach.
        symbols: the values of shape symbols.

    Raises:
        KeyError: an input or a symbol has no value.
        IndexError: a load outside a lazy select leaves its tensor.
    """
    env = dict(symbols or {})
    values: dict[Tensor, Array] = dict(inputs)
    for stage in topological_tensors(outputs):
        if stage in values:
            continue
        if stage.is_input:
            raise KeyError(f"no value for the input {stage.name}")
        with np.errstate(all="ignore"):
            values[stage] = _Stage(stage, values, env).run()
    return [values[t] for t in outputs]


class _Stage:
    """One stage: its axes as index arrays that broadcast against each other."""

    def __init__(
        self, stage: Tensor, values: Mapping[Tensor, Array], symbols: Mapping[str, int]
    ) -> None:
        self.stage, self.values, self.symbols = stage, values, symbols
        self.shape = tuple(evaluate(d, symbols) for d in stage.shape)
        body = stage.body
        self.reduce_axes: tuple[IterVar, ...] = body.axes if isinstance(body, Reduce) else ()
        self.grid: dict[Var, Array] = {}
        rank = len(self.shape) + len(self.reduce_axes)
        for axis, (var, size) in enumerate(zip(stage.axes, self.shape, strict=True)):
            self.grid[var] = _along(np.arange(size), axis, rank)
        sizes: list[int] = []
        for k, r in enumerate(self.reduce_axes):
            low, extent = int(self.eval(r.domain.min)), int(self.eval(r.domain.extent))
            self.grid[r.var] = _along(np.arange(low, low + extent), len(self.shape) + k, rank)
            sizes.append(extent)
        self.full = (*self.shape, *sizes)

    def run(self) -> Array:
        """Return the value of the stage."""
        body, dtype = self.stage.body, numpy_dtype(self.stage.dtype)
        assert body is not None
        if not isinstance(body, Reduce):
            return np.array(np.broadcast_to(self.eval(body), self.shape), dtype)
        value = np.broadcast_to(self.eval(body.value), self.full)
        axes = tuple(range(len(self.shape), len(self.full)))
        match body.combiner:
            case "sum":
                result = value.sum(axes, dtype=dtype)
            case "prod":
                result = value.prod(axes, dtype=dtype)
            case "max":
                result = value.max(axes, initial=self.eval(body.identity))
            case "min":
                result = value.min(axes, initial=self.eval(body.identity))
        return np.asarray(result, dtype)

    def eval(self, e: PrimExpr, mask: Array | None = None) -> Any:
        """Return the values of `e`; where `mask` is false nothing reads them."""
        match e:
            case Var():
                return self.grid[e] if e in self.grid else self._symbol(e.name)
            case IntImm(value, dtype) | FloatImm(value, dtype):
                return numpy_dtype(dtype).type(value)
            case Binary(op, a, b):
                return apply_binary(op, self.eval(a, mask), self.eval(b, mask))
            case Not(a):
                return np.logical_not(self.eval(a, mask))
            case Cast(dtype, value):
                return apply_cast(self.eval(value, mask), dtype)
            case Select(condition, a, b, lazy):
                return self._select(condition, a, b, mask, lazy=lazy)
            case Intrinsic(name, args, dtype):
                return apply_intrinsic(name, [self.eval(a, mask) for a in args], dtype)
            case ProducerLoad(tensor, indices):
                return self._load(tensor, [self.eval(i, mask) for i in indices], mask)
            case _:
                raise TypeError(f"not an expression of a tensor stage: {e!r}")

    def _symbol(self, name: str) -> np.int64:
        if name not in self.symbols:
            known = ", ".join(sorted(self.symbols)) or "none"
            raise KeyError(f"the variable {name} has no value; known symbols: {known}")
        return np.int64(self.symbols[name])

    def _select(
        self, condition: PrimExpr, a: PrimExpr, b: PrimExpr, mask: Array | None, *, lazy: bool
    ) -> Any:
        c = np.asarray(self.eval(condition, mask), np.bool_)
        yes = no = mask
        if lazy:
            yes = c if mask is None else c & mask
            no = ~c if mask is None else ~c & mask
        return np.where(c, self.eval(a, yes), self.eval(b, no))

    def _load(self, tensor: Tensor, indices: list[Any], mask: Array | None) -> Any:
        source = self.values[tensor]
        valid: Any = np.True_
        clipped: list[Any] = []
        for i, n in zip(indices, source.shape, strict=True):
            valid = valid & (i >= 0) & (i < n)
            clipped.append(np.clip(i, 0, max(n - 1, 0)))
        read = np.True_ if mask is None else mask
        if 0 not in self.full and np.any(~np.asarray(valid) & read):
            raise IndexError(
                f"stage {self.stage.name} reads {tensor.name} of shape {source.shape} out of bounds"
            )
        if source.size == 0:
            return source.dtype.type(0)
        return source[tuple(clipped)]


def _along(values: Array, axis: int, rank: int) -> Array:
    shape = [1] * rank
    shape[axis] = len(values)
    return values.reshape(shape)
