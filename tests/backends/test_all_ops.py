"""Every operator, compiled: equal to its NumPy reference for every sample, edge, dtype and size.

One program holds all samples of an operator, so the machine code is compiled in one go.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

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
    Var,
    make_call,
)
from eqsat.ir._requirements import size_requirements
from eqsat.lowering import LoweringError
from eqsat.shapes import (
    EqsatError,
    SymDim,
    evaluate,
    is_bool,
    is_float,
    max_value,
    min_value,
    numpy_dtype,
    parse_dim,
    sym,
)
from tests.backends._edges import Edge, edge_samples

SIZES = ({"n": 2, "m": 3, "b": 2, "h": 5}, {"n": 17, "m": 1, "b": 1, "h": 8})
EDGE_SIZES = (SIZES[0],)
FLOATS = ("float32", "float64", "float16", "bfloat16")
OTHERS = ("int8", "int16", "int32", "int64", "uint8", "bool")
NATIVE = [o for o in ALL_OPS.values() if o.compute is not None]
# shape_of a tensor of known shape costs nothing.
ON_HOST = [
    o for o in ALL_OPS.values() if o.compute is None and not o.cannot_run and o.name != "shape_of"
]
LEAST_COMBINATIONS = 5000
LEAST_EDGES = 10000


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


def cases(o: OpDef, *, every_dtype: bool = False) -> Iterator[Case]:
    """Yield each sample with its own dtypes, and with others in place of its first one.

    All others for the first sample; one for each sample after that, in turn, or every one.
    """
    for k, sample in enumerate(o.samples() if o.samples else ()):
        given = (*sample.dtypes, *[sample.dtypes[-1]] * len(o.operands))[: len(o.operands)]
        yield Case(o, sample, given)
        if not given:
            continue
        others = [d for d in (*FLOATS, *OTHERS) if d != given[0]]
        if k and not every_dtype:
            others = [others[k % len(others)]]
        for d in others:
            yield Case(o, sample, tuple(d if g == given[0] else g for g in given))
        if "int64" in given[1:] and given[0] != "int64":
            yield Case(o, sample, tuple("int32" if g == "int64" else g for g in given))


def edge_cases(o: OpDef) -> list[Case]:
    """Return the edge samples that inference takes: of each kind one in every dtype.

    The others are in one dtype each, in turn. A sample whose symbols would have to be equal, or to
    have values of their own, is none.
    """
    found: list[Case] = []
    in_every_dtype: set[Edge] = set()
    for k, (edge, sample) in enumerate(edge_samples(o)):
        given = (*sample.dtypes, *[sample.dtypes[-1]] * len(o.operands))[: len(o.operands)]
        every = [given, *_in_other_dtypes(given)] if given else [given]
        turned = [Case(o, sample, d) for d in (*every[k % len(every) :], *every[: k % len(every)])]
        taken = (c for c in turned if _is_taken(c))
        if edge not in in_every_dtype and (cases_of_edge := list(taken)):
            in_every_dtype.add(edge)
            found.extend(cases_of_edge)
        else:
            found.extend(itertools.islice(taken, 1))
    return found


def _in_other_dtypes(given: tuple[str, ...]) -> list[tuple[str, ...]]:
    others = [d for d in (*FLOATS, *OTHERS) if d != given[0]]
    return [tuple(d if g == given[0] else g for g in given) for d in others]


def _is_taken(case: Case) -> bool:
    try:
        module, called = program([case])
    except EqsatError:
        return False
    facts = size_requirements(module)
    return bool(called) and all(
        evaluate(f.a, env) == evaluate(f.b, env) for f in facts for env in SIZES
    )


def dims(shape: Any) -> tuple[Any, ...]:
    return tuple(parse_dim(d) if isinstance(d, str) else d for d in shape)


def attributes(case: Case) -> dict[str, Any]:
    kinds = {a.name: a.kind for a in case.o.attrs}

    def dim(value: Any, kind: str) -> Any:
        if isinstance(value, str) and kind not in ("str", "dtype", "code"):
            return parse_dim(value)
        return tuple(dim(v, kind) for v in value) if isinstance(value, tuple) else value

    return {k: dim(v, kinds[k]) for k, v in case.sample.attrs.items()}


def add_call(bb: BlockBuilder, case: Case, prefix: str) -> Called | None:
    """Add the call to the program, or return None where the operator takes no such dtypes."""
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
    try:
        make_call(case.o, *operands, **attributes(case))
    except EqsatError:
        if case.dtypes[: len(case.sample.dtypes)] == case.sample.dtypes:
            raise  # a sample must fit in its own dtypes
        return None
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


def draw(rng: np.random.Generator, ty: TensorType, env: Mapping[str, int], bounds: Any) -> Any:
    shape, (low, high) = tuple(evaluate(d, env) for d in ty.dims), bounds
    if is_bool(ty.dtype):
        return rng.integers(0, 2, shape).astype(bool)
    if is_float(ty.dtype):
        return np.asarray(rng.uniform(low, high, shape)).astype(numpy_dtype(ty.dtype))
    low, high = max(int(low), min_value(ty.dtype)), min(int(high), max_value(ty.dtype))
    return np.asarray(rng.integers(low, max(high, low + 1), shape)).astype(numpy_dtype(ty.dtype))


def arguments(called: Called, env: Mapping[str, int], seed: int) -> list[Any]:
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


def number(value: Any, env: Mapping[str, int]) -> Any:
    if isinstance(value, SymDim):
        return evaluate(value, env)
    return tuple(number(v, env) for v in value) if isinstance(value, tuple) else value


def tolerance(o: OpDef, dtype: str) -> float:
    """Return the relative and absolute tolerance: none for an exact operator, in any dtype."""
    if o.numerics is Numerics.EXACT or not is_float(dtype):
        return 0.0
    if dtype in ("float16", "bfloat16"):  # computed in float32 and rounded once
        return 2 * {"float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    terms = 4 if o.numerics is Numerics.ROUNDING else 64
    return terms * {"float64": 2.0**-52, "float32": 2.0**-23}[dtype]


def flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [] if value is None else [value]


def tensors(args: Sequence[Any]) -> list[Any]:
    """Return the arrays of a call in the order of the parameters; shapes are no parameters."""
    return [x for a in args if not isinstance(a, tuple) for x in flat(a)]


def check(called: Called, got: Sequence[Any], args: Sequence[Any], env: Mapping[str, int]) -> None:
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
        if tol:
            g, e = g.astype(np.float64), e.astype(np.float64)
            np.testing.assert_allclose(g, e, tol, tol, err_msg=where)
        else:
            np.testing.assert_array_equal(g, e, err_msg=where)


def program(all_cases: Sequence[Case]) -> tuple[IRModule, list[Called]]:
    """Return a module whose outputs are the results of all cases that type-check."""
    bb = BlockBuilder()
    # Its shape binds the symbols that stand only in attributes.
    bb.input("sizes", tuple(sym(s) for s in SIZES[0]), "bool")
    found = [add_call(bb, c, f"c{k}") for k, c in enumerate(all_cases)]
    called = [c for c in found if c is not None]
    results: list[Expr] = []
    for c in called:
        ty = c.call.type
        if isinstance(ty, TupleType):
            results.extend(bb.get_item(c.call, j) for j in range(len(ty.fields)))
        else:
            results.append(c.call)
    return bb.module(results), called


def run(
    module: IRModule, called: Sequence[Called], sizes_of_symbols: Sequence[dict[str, int]] = SIZES
) -> int:
    exe = eqsat.compile(module, cache=False, num_threads=1)
    for k, env in enumerate(sizes_of_symbols):
        all_args = [arguments(c, env, 100 * k + j) for j, c in enumerate(called)]
        sizes = np.zeros(tuple(env.values()), bool)
        got = flat(exe(sizes, *(x for args in all_args for x in tensors(args))))
        for c, args in zip(called, all_args, strict=True):
            ty = c.call.type
            count = len(ty.fields) if isinstance(ty, TupleType) else 1
            check(c, got[:count], args, env)
            del got[:count]
    return len(called) * len(sizes_of_symbols)


@pytest.mark.parametrize("o", NATIVE, ids=lambda o: o.name)
def test_native_code_equals_the_reference(o: OpDef) -> None:
    module, called = program(list(cases(o)))
    assert run(module, called) > 0, f"{o.name} has no sample"


@pytest.mark.parametrize("o", [*NATIVE, *ON_HOST], ids=lambda o: o.name)
def test_edge_cases_equal_the_reference(o: OpDef) -> None:
    module, called = program(edge_cases(o))
    if called:
        run(module, called, EDGE_SIZES)


def test_thousands_of_combinations_are_checked(record_property: Callable[..., None]) -> None:
    total = sum(len(program(list(cases(o)))[1]) for o in NATIVE) * len(SIZES)
    edges = sum(len(edge_cases(o)) for o in (*NATIVE, *ON_HOST))
    record_property("combinations", total)
    record_property("edges", edges)
    assert total >= LEAST_COMBINATIONS
    assert edges >= LEAST_EDGES


def test_only_operators_without_tensors_have_no_edge() -> None:
    without = [o.name for o in (*NATIVE, *ON_HOST) if not edge_cases(o)]
    assert without == ["eye", "arange", "hamming_window"]


@pytest.mark.parametrize("o", ON_HOST, ids=lambda o: o.name)
def test_an_operator_without_native_code_runs_on_the_host_and_says_so(o: OpDef) -> None:
    module, called = program(list(cases(o)))
    with pytest.raises(LoweringError, match=re.escape(o.name)):
        eqsat.compile(module, cache=False, host_operations="forbid")
    assert run(module, called) > 0, f"{o.name} has no sample"
    env = SIZES[0]
    args = [x for k, c in enumerate(called) for x in tensors(arguments(c, env, k))]
    exe = eqsat.compile(module, cache=False, num_threads=1)
    profile = exe.profile(np.zeros(tuple(env.values()), bool), *args, repeat=1)
    assert f"host: {o.name}" in {k.label for k in profile.kernels}
