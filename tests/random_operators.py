"""Random programs of any operator: its own samples, in any dtype, with steps before and after it.

python -m tests.random_operators FIRST COUNT    # compiled and optimized against interpreted
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from random import Random
from typing import Any

import ml_dtypes
import numpy as np

import eqsat
from eqsat.ir import (
    ALL_OPS,
    BlockBuilder,
    Constant,
    Expr,
    IRModule,
    Numerics,
    OpDef,
    OperandKind,
    TensorType,
    TupleType,
    op,
    structural_equal,
)
from eqsat.ir.script import from_tvmscript, print_module
from eqsat.shapes import EqsatError, is_bool, is_float, numpy_dtype, sym
from tests.backends._cases import Case, attributes, cases, dims, draw, edge_cases

LIMITS = eqsat.Limits(num_nodes=1500, time_s=30.0, iterations=8)
SIZES = (
    {"n": 2, "m": 3, "b": 2, "h": 5},
    {"n": 17, "m": 1, "b": 1, "h": 8},
    {"n": 7, "m": 11, "b": 3, "h": 5},
)
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30)
# What is drawn for it must be probabilities, or it gives no tensor.
APART = {"multinomial_from_uniform", "tensor_to_shape"}
OPERATORS = [
    o for o in ALL_OPS.values() if o.samples and o.is_pure and not o.cannot_run
    and o.known is None
    and o.name not in APART
]  # fmt: skip
# They turn a rounding error into another integer or boolean.
JUMPS = {
    *("argmax", "argmin", "argsort", "sort", "topk", "unique", "floor", "ceil", "round", "trunc"),
    *("sign", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "quantize"),
    *("floor_divide", "mod", "floor_mod", "astype", "image.resize2d"),
}


@cache
def _cases(o: OpDef) -> tuple[list[Case], list[Case]]:
    return list(cases(o)), edge_cases(o)


class Maker:
    """Grows one program."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.bb = BlockBuilder()
        self.bb.input("sizes", tuple(sym(s) for s in SIZES[0]), "bool")
        self.has_special = self.random.random() < 0.25
        self.params: list[tuple[TensorType, tuple[float, float]]] = []
        self.used: list[OpDef] = []
        self.dtypes: set[str] = set()
        self.results: list[Expr] = []

    def module(self) -> IRModule:
        for _ in range(self.random.choice((1, 1, 2))):
            own, edges = _cases(self.random.choice(OPERATORS))
            case = self.random.choice(edges if edges and self.random.random() < 0.3 else own)
            try:
                made = self.sample(case)
            except EqsatError:  # of a dtype that the operator does not take
                continue
            for value in made:
                for _ in range(self.random.choice((0, 0, 1, 2))):
                    value = self.attempt(self.after, value)
                self.results.append(value)
        return self.bb.module(self.results)

    def emit(self, name: str, *operands: Any, **attrs: Any) -> Expr:
        value = self.bb.call(op(name), *operands, **attrs)
        self.used.append(op(name))
        return value

    def sample(self, case: Case) -> list[Expr]:
        operands: list[Any] = []
        for k, (operand, shape, dtype) in enumerate(
            zip(case.o.operands, case.sample.shapes, case.dtypes, strict=False)
        ):
            bounds = case.sample.ranges.get(k, (case.sample.low, case.sample.high))
            match operand.kind:
                case _ if shape is None:
                    operands.append(None)
                case OperandKind.SHAPE:
                    operands.append(dims(shape[1]))
                case OperandKind.TENSORS:
                    operands.append([self.leaf(TensorType(dims(s), dtype), bounds) for s in shape])
                case _:
                    operands.append(self.leaf(TensorType(dims(shape), dtype), bounds))
        value = self.emit(case.o.name, *operands, **attributes(case))
        if isinstance(value.type, TupleType):
            return [self.bb.get_item(value, j) for j in range(len(value.type.fields))]
        return [value]

    def leaf(self, ty: TensorType, bounds: tuple[float, float]) -> Expr:
        """Return a parameter or a constant, often behind steps that leave it as it is."""
        self.dtypes.add(ty.dtype)
        is_static = all(isinstance(d, int) for d in ty.dims)
        if is_static and self.random.random() < 0.25:
            rng = np.random.default_rng(self.random.randrange(2**31))
            value: Expr = Constant(draw(rng, ty, {}, bounds))
        else:
            value = self.bb.input(f"p{len(self.params)}", ty.dims, ty.dtype)
            self.params.append((ty, bounds))
        return self.attempt(self.unchanged, value) if self.random.random() < 0.5 else value

    def attempt(self, step: Any, value: Expr) -> Expr:
        ty = value.type
        if not isinstance(ty, TensorType) or ty.ndim < 0:
            return value
        try:
            return step(value, ty, ty.ndim) or value
        except EqsatError:  # not for this dtype or rank
            return value

    def axis(self, rank: int) -> int:
        return self.random.randrange(-rank, rank)

    def number(self, ty: TensorType, *choices: float) -> Constant:
        return Constant(np.asarray(self.random.choice(choices), numpy_dtype(ty.dtype)))

    def unchanged(self, x: Expr, ty: TensorType, rank: int) -> Expr | None:
        match self.random.randrange(9):
            case 0 if rank > 1:
                order = self.random.sample(range(rank), rank)
                back = tuple(order.index(a) for a in range(rank))
                return self.emit("permute_dims", self.emit("permute_dims", x, axes=tuple(order)),
                                 axes=back)  # fmt: skip
            case 1 if rank:
                a = self.axis(rank)
                return self.emit("flip", self.emit("flip", x, axis=a), axis=a)
            case 2 if rank:
                a = self.axis(rank)
                twice = self.emit("concat", [x, x], axis=a)
                return self.emit("strided_slice", twice, axes=(a,), begin=(0,), end=(ty.dims[a],))
            case 3 if not is_bool(ty.dtype):
                return self.emit(self.random.choice(("add", "subtract")), x, self.number(ty, 0))
            case 4 if not is_bool(ty.dtype):
                return self.emit("negative", self.emit("negative", x))
            case 5:
                return self.emit("where", self.emit("equal", x, x), x, x)
            case 6:
                return self.emit("reshape", self.emit("expand_dims", x, axis=0), ty.dims)
            case 7 if rank:
                return self.emit("squeeze", self.emit("stack", [x], axis=0), axis=(0,))
            case 8 if rank:
                counted = self.emit("arange", start=0, end=ty.dims[0], step=1, dtype="int64")
                return self.emit("take", x, counted, axis=0)
            case _:
                return None

    def after(self, x: Expr, ty: TensorType, rank: int) -> Expr | None:
        is_real, is_number = is_float(ty.dtype), not is_bool(ty.dtype)
        match self.random.randrange(11):
            case 0 if rank > 1:
                axes = tuple(self.random.sample(range(rank), rank))
                return self.emit("permute_dims", x, axes=axes)
            case 1 if rank:
                axes = self.random.sample(range(rank), self.random.randint(1, rank))
                axes = [a - rank if self.random.random() < 0.4 else a for a in axes]
                name = self.random.choice(("sum", "max", "min", *(["mean"] * is_real)))
                keepdims = self.random.random() < 0.5
                return self.emit(name, x, axis=tuple(axes), keepdims=keepdims)
            case 2 if is_number:
                name = self.random.choice(("add", "multiply", "subtract", "maximum", "minimum"))
                return self.emit(name, x, self.number(ty, 0, 1, 2, 100))
            case 3 if is_number:
                name = self.random.choice(("divide", "floor_divide", "mod", "floor_mod"))
                return self.emit(name, x, self.number(ty, 1, 2, 3))
            case 4 if is_number:
                low, high = self.random.choice(((-1, 3), (0, 6), (0, np.inf), (-np.inf, 2)))
                return self.emit("clip", x, min=low, max=high)
            case 5:
                others = ("float32", "float64", "bool") if is_real else ("int64", "uint8", "int8")
                return self.emit("astype", x, dtype=self.random.choice(others))
            case 6 if rank:
                begin, end = self.random.choice((0, 1, -2)), self.random.choice((2**31 - 1, 3, -1))
                return self.emit("strided_slice", x, axes=(self.axis(rank),), begin=(begin,),
                                 end=(end,), strides=(self.random.choice((1, 1, 2)),))  # fmt: skip
            case 7 if rank:
                return self.emit("concat", [x, x], axis=self.random.choice((self.axis(rank), None)))
            case 8 if rank:
                return self.emit(self.random.choice(("argmax", "argmin")), x, axis=self.axis(rank))
            case 9 if rank > 1:
                axes = (*range(rank - 2), rank - 1, rank - 2)
                return self.emit("matmul", x, self.emit("permute_dims", x, axes=axes))
            case 10 if rank:
                widths = tuple(self.random.choice((0, 1, 2)) for _ in range(2 * rank))
                return self.emit("nn.pad", x, pad_width=widths)
            case _:
                return None

    def arguments(self, env: Mapping[str, int], seed: int) -> list[Any]:
        """Return an array for every parameter, in a quarter of the programs with special values."""
        rng = np.random.default_rng(seed)
        found: list[Any] = [np.zeros(tuple(env.values()), bool)]
        for ty, bounds in self.params:
            value = draw(rng, ty, env, bounds)
            if self.has_special and value.size:
                limits = SPECIAL
                if not is_float(ty.dtype):
                    wraps = not is_bool(ty.dtype) and bounds[0] < 0  # else they are positions
                    info = ml_dtypes.iinfo(value.dtype) if wraps else None
                    limits = (info.min, info.max, info.max - 1) if info else ()
                count = rng.integers(0, value.size // 4 + 1) if limits else 0
                with np.errstate(over="ignore"):
                    value.flat[rng.integers(0, value.size, count)] = rng.choice(
                        limits or (0,), count
                    )
            found.append(value)
        return found

    @property
    def is_compared(self) -> bool:
        """Whether errors stay small: nothing rounds, or nothing jumps."""
        rounds = any(o.numerics is not Numerics.EXACT for o in self.used)
        return not rounds or JUMPS.isdisjoint(o.name for o in self.used)


def check(seed: int) -> int:
    """Compare the program of a seed on every road with what it means; return how often."""
    maker = Maker(seed)
    module = maker.module()
    result = eqsat.optimize(module, limits=LIMITS, **({"dims": SIZES[0]} if seed % 2 else {}))
    assert structural_equal(from_tvmscript(print_module(result.module)), result.module)
    roads = {
        "compiled": eqsat.compile(module, cache=False, num_threads=1),
        "optimized and compiled": eqsat.compile(result, cache=False, num_threads=1 + seed % 2),
        "optimized": lambda *args: eqsat.interpret(result.module, *args),
    }
    count = 0
    for k, env in enumerate(SIZES):
        args = maker.arguments(env, seed + k)
        with np.errstate(all="ignore"):
            try:
                expected = eqsat.interpret(module, *args)
            except EqsatError:  # a window larger than the axis, sizes that do not fit
                continue
            for road, run in roads.items():
                same(run(*args), expected, maker, f"seed {seed}, {road} at {env}")
                count += 1
    return count


def same(got: Any, expected: Any, maker: Maker, where: str) -> None:
    for g, e in zip(got, map(np.asarray, expected), strict=True):
        assert (g.shape, g.dtype) == (e.shape, e.dtype), where
        if not maker.is_compared:
            continue
        if not is_float(e.dtype.name):
            np.testing.assert_array_equal(g, e, err_msg=where)
            continue
        floats = [*filter(is_float, (*maker.dtypes, e.dtype.name))]
        tolerance = max(2e-4, *(4 * float(ml_dtypes.finfo(numpy_dtype(d)).eps) for d in floats))
        g, e = g.astype(np.float64), e.astype(np.float64)
        scale = np.abs(e[np.isfinite(e)]).max(initial=1.0)
        np.testing.assert_allclose(g, e, tolerance, tolerance * scale, err_msg=where)


def main(first: int, count: int) -> None:
    for seed in range(first, first + count):
        print(seed, check(seed), flush=True)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
