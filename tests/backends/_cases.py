"""Calls of operators for the generic test: which samples, in which dtypes, at which sizes.

Samples in their own dtypes and with every other dtype in place of each that they have, attributes
included; edge samples the same way.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

import eqsat
from eqsat.ir import (
    ALL_OPS,
    BlockBuilder,
    Expr,
    IRModule,
    Numerics,
    OpDef,
    OperandKind,
    Sample,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
    Var,
    make_call,
)
from eqsat.ir._requirements import size_requirements
from eqsat.shapes import (
    DTYPES,
    Dim,
    EqsatError,
    SymDim,
    bits,
    evaluate,
    is_bool,
    is_float,
    is_signed,
    machine_epsilon,
    max_value,
    min_value,
    numpy_dtype,
    parse_dim,
    sym,
)
from tests.backends._edges import Edge, edge_samples

Sizes = Mapping[str, int]
SIZES: tuple[Sizes, ...] = (
    {"n": 2, "m": 3, "b": 2, "h": 5},
    {"n": 17, "m": 1, "b": 1, "h": 8},
    {"n": 0, "m": 4, "b": 3, "h": 6},
    {"n": 1, "m": 0, "b": 1, "h": 1},
    {"n": 4, "m": 2, "b": 0, "h": 9},
)
NATIVE = [o for o in ALL_OPS.values() if o.compute is not None]
# What the type of a tensor says costs nothing.
ON_HOST = [
    o for o in ALL_OPS.values() if o.compute is None and not o.cannot_run and o.known is None
]


@dataclass(frozen=True)
class Case:
    """A sample of an operator with the dtypes of its operands."""

    o: OpDef
    sample: Sample
    dtypes: tuple[str, ...]

    def __str__(self) -> str:
        s = self.sample
        return f"{self.o.name}{s.shapes} {dict(s.attrs)} in {', '.join(self.dtypes)}"


@dataclass(frozen=True)
class Called:
    """A case as it stands in a program: its parameters, operand by operand, and its call."""

    case: Case
    operands: tuple[Any, ...]
    call: Expr


# Which dtypes -----------------------------------------------------------------------------------


def own_case(o: OpDef, sample: Sample) -> Case:
    """Return the sample in the dtypes that it states."""
    given = (*sample.dtypes, *[sample.dtypes[-1]] * len(o.operands))
    return Case(o, sample, given[: len(o.operands)])


def variants(o: OpDef, sample: Sample) -> Iterator[tuple[tuple[Any, str], Case]]:
    """Yield the sample with each dtype in place of each one that it has, with what was replaced.

    Operands of one dtype change together: the place is that of the first of them, or the name of an
    attribute. Inference may refuse the result.
    """
    own = own_case(o, sample).dtypes
    for old in dict.fromkeys(own):
        for new in DTYPES:
            yield (own.index(old), new), Case(o, sample, tuple(new if d == old else d for d in own))
    for attr in (a.name for a in o.attrs if a.kind == "dtype"):
        for new in DTYPES:
            changed = replace(sample, attrs={**sample.attrs, attr: new})
            if not is_signed(new):  # a float below 0 has no unsigned value
                changed = replace(changed, low=max(sample.low, 0), high=max(sample.high, 1))
            yield (attr, new), Case(o, changed, own)


def all_cases(o: OpDef) -> Iterator[Case]:
    """Yield each sample, and each edge sample, in every dtype that inference takes."""
    samples = [*_declared(o), *(s for _, s in edge_samples(o))]
    for sample in samples:
        yield from filter(is_taken, _distinct(c for _, c in variants(o, sample)))


@cache
def cases(o: OpDef) -> list[Case]:
    """Return each sample in its own dtypes and one more in turn, each dtype in each place once."""
    found: list[Case] = []
    seen: set[tuple[Any, str]] = set()
    for k, sample in enumerate(_declared(o)):
        found.append(own_case(o, sample))
        for j, (place, case) in enumerate(others := list(variants(o, sample))):
            is_next = j == k % len(others)
            if (is_next or place not in seen) and is_taken(case):
                seen.add(place)
                found.append(case)
    return _distinct(found)


@cache
def edge_cases(o: OpDef) -> list[Case]:
    """Return each edge sample that inference takes in one dtype, in turn.

    The first of each kind of edge is in every other dtype, those of the next kind in the rest.
    """
    found: list[Case] = []
    widened: set[Edge] = set()
    for k, (edge, sample) in enumerate(edge_samples(o)):
        every = _distinct(c for _, c in variants(o, sample)) or [own_case(o, sample)]
        turned = filter(is_taken, [*every[k % len(every) :], *every[: k % len(every)]])
        if edge in widened:
            found.extend(c for c, _ in zip(turned, range(1), strict=False))
        else:
            widened.add(edge)
            found.extend(list(turned)[edge.value % 2 :: 2])
    return found


def _declared(o: OpDef) -> Sequence[Sample]:
    return o.samples() if o.samples else ()


def _distinct(some: Iterable[Case]) -> list[Case]:
    return list({str(c): c for c in some}.values())


def is_taken(case: Case) -> bool:
    """Say whether inference takes the case, for some of the sizes."""
    if not sizes_of(case.o, case.sample):
        return False
    try:
        add_call(BlockBuilder(), case, "c")
    except EqsatError:
        return False
    return True


def sizes_of(o: OpDef, sample: Sample) -> tuple[Sizes, ...]:
    """Return the sizes at which the sample has a meaning, none where inference refuses it."""
    key = (o.name, repr((sample.shapes, sorted(sample.attrs.items(), key=repr), sample.dtypes)))
    if key not in _SIZES_OF:
        try:
            module, (called,) = program([own_case(o, sample)])
        except EqsatError:
            return _SIZES_OF.setdefault(key, ())
        facts, sizes = size_requirements(module), _sizes_in(called.call.type)
        _SIZES_OF[key] = tuple(
            env
            for env in SIZES
            if all(evaluate(f.a, env) == evaluate(f.b, env) for f in facts)
            and all(evaluate(d, env) >= 0 for d in sizes)
            and not (0 in env.values() and _copies_a_size(o, sample))
        )
    return _SIZES_OF[key]


def _copies_a_size(o: OpDef, sample: Sample) -> bool:
    """Say whether a 0 of the shape asked for stands for a size that may be 0 where it runs.

    The reference, which sees numbers, takes it for a real 0 there.
    """
    return o.name == "reshape" and 0 in sample.shapes[1][1] and 0 not in sample.shapes[0]


def _sizes_in(ty: Type) -> list[Dim]:
    fields = ty.fields if isinstance(ty, TupleType) else (ty,)
    shapes = [f.shape for f in fields if isinstance(f, TensorType)]
    return [d for s in shapes if not isinstance(s, UnknownShape) for d in s]


_SIZES_OF: dict[tuple[str, str], tuple[Sizes, ...]] = {}


# Programs ---------------------------------------------------------------------------------------


def dims(shape: Any) -> tuple[Any, ...]:
    return tuple(parse_dim(d) if isinstance(d, str) else d for d in shape)


def attributes(case: Case) -> dict[str, Any]:
    kinds = {a.name: a.kind for a in case.o.attrs}

    def dim(value: Any, kind: str) -> Any:
        if isinstance(value, str) and kind not in ("str", "dtype", "code"):
            return parse_dim(value)
        return tuple(dim(v, kind) for v in value) if isinstance(value, tuple) else value

    return {k: dim(v, kinds[k]) for k, v in case.sample.attrs.items()}


def add_call(bb: BlockBuilder, case: Case, prefix: str) -> Called:
    """Add the call to the program."""
    operands: list[Any] = []
    for k, (operand, shape, d) in enumerate(
        zip(case.o.operands, case.sample.shapes, case.dtypes, strict=False)
    ):
        if shape is None:
            operands.append(None)
            continue
        match operand.kind:
            case OperandKind.TENSOR:
                operands.append(Var(f"{prefix}_{k}", TensorType(dims(shape), d)))
            case OperandKind.TENSORS:
                operands.append(
                    [Var(f"{prefix}_{k}_{j}", TensorType(dims(s), d)) for j, s in enumerate(shape)]
                )
            case OperandKind.SHAPE:
                operands.append(dims(shape[1]))
    renamed = [_as_params(bb, a) for a in operands]
    return Called(case, tuple(operands), bb.emit(make_call(case.o, *renamed, **attributes(case))))


def _as_params(bb: BlockBuilder, a: Any) -> Any:
    match a:
        case Var(name, ty):
            return bb.param(name, ty)
        case list():
            return [_as_params(bb, x) for x in a]  # type: ignore[misc]
        case _:
            return a


Program = tuple[IRModule, list[Called], tuple[Sizes, ...]]


def programs(some: Iterable[Case]) -> Iterator[Program]:
    """Yield modules whose outputs are the results of the cases, and the sizes to run each at."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in some:
        groups[repr(sizes_of(case.o, case.sample))].append(case)
    for group in groups.values():
        yield (*program(group), sizes_of(group[0].o, group[0].sample))


def program(some: Sequence[Case]) -> tuple[IRModule, list[Called]]:
    """Return a module whose outputs are the results of all cases."""
    bb = BlockBuilder()
    # Its shape binds the symbols that stand only in attributes.
    bb.input("sizes", tuple(sym(s) for s in SIZES[0]), "bool")
    called = [add_call(bb, c, f"c{k}") for k, c in enumerate(some)]
    results: list[Expr] = []
    for c in called:
        ty = c.call.type
        if isinstance(ty, TupleType):
            results.extend(bb.get_item(c.call, j) for j in range(len(ty.fields)))
        else:
            results.append(c.call)
    return bb.module(results), called


# Values -----------------------------------------------------------------------------------------


def draw(rng: np.random.Generator, ty: TensorType, env: Sizes, bounds: Any) -> Any:
    """Return values from `bounds`, the end excluded, after rounding too."""
    shape, (low, high) = tuple(evaluate(d, env) for d in ty.dims), bounds
    dtype = numpy_dtype(ty.dtype)
    if is_bool(ty.dtype):
        return rng.integers(0, 2, shape).astype(bool)
    if is_float(ty.dtype):
        if not is_signed(ty.dtype):
            low, high = max(low, 2.0**-6), max(high, 1.0)
        values = np.asarray(rng.uniform(low, high, shape)).astype(dtype)
        return np.where(values.astype(np.float64) < high, values, np.asarray(low).astype(dtype))
    low, high = max(int(low), min_value(ty.dtype)), min(int(high), max_value(ty.dtype))
    return np.asarray(rng.integers(low, max(high, low + 1), shape, np.int64)).astype(dtype)


def arguments(called: Called, env: Sizes, seed: int) -> list[Any]:
    rng, sample = np.random.default_rng(seed), called.case.sample
    found: list[Any] = []
    for k, a in enumerate(called.operands):
        bounds = sample.ranges.get(k, (sample.low, sample.high))
        match a:
            case Var(_, TensorType() as ty):
                found.append(draw(rng, ty, env, bounds))
            case list():
                found.append([draw(rng, v.type, env, bounds) for v in a])  # type: ignore[misc]
            case tuple():
                found.append(tuple(evaluate(d, env) for d in a))  # type: ignore[misc]
            case _:
                found.append(None)
    return found


def number(value: Any, env: Sizes) -> Any:
    if isinstance(value, SymDim):
        return evaluate(value, env)
    return tuple(number(v, env) for v in value) if isinstance(value, tuple) else value


def tolerance(o: OpDef, dtype: str) -> float:
    """Return the relative and absolute tolerance: none for an exact operator, in any dtype."""
    if o.numerics is Numerics.EXACT or not is_float(dtype):
        return 0.0
    if bits(dtype) < 32:  # computed in float32 and rounded once
        return 2 * machine_epsilon(dtype)
    return (4 if o.numerics is Numerics.ROUNDING else 64) * machine_epsilon(dtype)


def flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [] if value is None else [value]


def tensors(args: Sequence[Any]) -> list[Any]:
    """Return the arrays of a call in the order of the parameters; shapes are no parameters."""
    return [x for a in args if not isinstance(a, tuple) for x in flat(a)]


def check(called: Called, got: Sequence[Any], args: Sequence[Any], env: Sizes) -> None:
    o = called.case.o
    attrs = {k: number(v, env) for k, v in o.fill_attrs(attributes(called.case)).items()}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = flat(o.reference(*args, **attrs))
    where = f"{called.case} at {dict(env)}"
    if isinstance(called.call.type, ShapeType):
        assert list(got) == [tuple(expected)], where
        return
    for g, e in zip(got, expected, strict=True):
        e = np.asarray(e)
        assert g.dtype == e.dtype, where
        assert g.shape == e.shape, where
        tol = tolerance(o, e.dtype.name)
        if is_float(e.dtype.name):  # NumPy compares no NaN of a narrow float
            g, e = g.astype(np.float64), e.astype(np.float64)
        if tol:
            np.testing.assert_allclose(g, e, tol, tol, err_msg=where)
        else:
            np.testing.assert_array_equal(g, e, err_msg=where)


def num_runs(some: Iterable[Case]) -> int:
    """Return how many runs the cases are: one at each of their sizes."""
    return sum(len(sizes_of(c.o, c.sample)) for c in some)


def run(some: Iterable[Case]) -> int:
    """Compile the cases and compare with the reference at all sizes; return how many runs."""
    total = 0
    for module, called, sizes in programs(some):
        exe = eqsat.compile(module, cache=False, num_threads=1)
        for k, env in enumerate(sizes):
            all_args = [arguments(c, env, 100 * k + j) for j, c in enumerate(called)]
            shape = np.zeros(tuple(env.values()), bool)
            got = flat(exe(shape, *(x for args in all_args for x in tensors(args))))
            for c, args in zip(called, all_args, strict=True):
                ty = c.call.type
                count = len(ty.fields) if isinstance(ty, TupleType) else 1
                check(c, got[:count], args, env)
                del got[:count]
        total += len(called) * len(sizes)
    return total
