"""The lattice of types gives TVM's answers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from eqsat.ir._lattice import erase_to_well_defined, type_base_check, type_lca
from eqsat.ir._types import (
    UNKNOWN_DTYPE,
    CallableType,
    ObjectType,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
)
from eqsat.ir.script import parse_module
from eqsat.shapes import Dim, sym

pytestmark = pytest.mark.peer
tvm = pytest.importorskip("tvm", reason="TVM is not installed")

N, M = sym("n"), sym("m")
DIMS: tuple[Dim, ...] = (1, 2, N, M, N + 1, N * 2)


def random_type(rng: random.Random, depth: int = 2) -> Type:
    kinds = ["tensor"] * 5 + ["shape"] * 2 + ["prim", "object"]
    kind = rng.choice(kinds + (["tuple", "callable", "opaque"] if depth else []))
    inner = depth - 1
    match kind:
        case "tensor":
            return TensorType(_shape(rng), rng.choice(("float32", "int8", UNKNOWN_DTYPE)))
        case "shape":
            return ShapeType(_shape(rng))
        case "prim":
            return PrimType(rng.choice(("int64", "float32", "bool")))
        case "tuple":
            return TupleType(tuple(random_type(rng, inner) for _ in range(rng.randrange(3))))
        case "callable":
            params = tuple(random_type(rng, inner) for _ in range(rng.randrange(3)))
            return CallableType(params, random_type(rng, inner), rng.random() < 0.6)
        case "opaque":
            return CallableType((), random_type(rng, inner), rng.random() < 0.5, opaque=True)
        case _:
            return ObjectType()


def _shape(rng: random.Random) -> tuple[Dim, ...] | UnknownShape:
    if rng.random() < 0.4:
        return UnknownShape(rng.choice((-1, 1, 2)))
    return tuple(rng.choice(DIMS) for _ in range(rng.randrange(3)))


def near(rng: random.Random, ty: Type) -> Type:
    """Return a type that differs from `ty` in one place, or not at all."""
    match ty:
        case TensorType() if rng.random() < 0.8:
            shape = _shape(rng) if rng.random() < 0.6 else ty.shape
            return TensorType(shape, rng.choice((ty.dtype, ty.dtype, UNKNOWN_DTYPE, "int8")))
        case TupleType(fields) if fields:
            at = rng.randrange(len(fields))
            return TupleType((*fields[:at], near(rng, fields[at]), *fields[at + 1 :]))
        case CallableType() if not ty.opaque and rng.random() < 0.8:
            params = tuple(near(rng, p) if rng.random() < 0.3 else p for p in ty.params)
            return CallableType(params, near(rng, ty.result), rng.random() < 0.8)
        case _:
            return random_type(rng, 1)


def pairs(count: int) -> list[tuple[Type, Type]]:
    rng = random.Random(3)
    found: list[tuple[Type, Type]] = []
    for k in range(count):
        a = random_type(rng)
        b = random_type(rng) if k % 3 == 0 else near(rng, a)
        found.append((a, b) if rng.random() < 0.5 else (b, a))
    return found


VARS: dict[str, Any] = {}


def in_tvm(ty: Type) -> Any:
    """Return the type as TVM's object, symbols of one name being one variable."""
    relax = tvm.relax
    match ty:
        case TensorType(shape, dtype):
            dtype = None if dtype == UNKNOWN_DTYPE else dtype
            if isinstance(shape, UnknownShape):
                return relax.TensorType(None, dtype, ndim=shape.ndim)
            return relax.TensorType([in_tvm_dim(d) for d in shape], dtype)
        case ShapeType():
            if isinstance(ty.dims, UnknownShape):
                return relax.ShapeType(ndim=ty.dims.ndim)
            return relax.ShapeType([in_tvm_dim(d) for d in ty.dims])
        case PrimType(dtype):
            return tvm.ir.PrimType(dtype)
        case TupleType(fields):
            return relax.TupleType([in_tvm(f) for f in fields])
        case CallableType() if ty.opaque:
            return relax.FuncType.opaque_func(ret=in_tvm(ty.result), purity=ty.is_pure)
        case CallableType():
            params = [in_tvm(p) for p in ty.params]
            return relax.FuncType(params, in_tvm(ty.result), ty.is_pure)
        case _:
            return relax.AnyType()


def in_tvm_dim(d: Dim) -> Any:
    if isinstance(d, int):
        return tvm.tirx.IntImm("int64", d)
    env = {name: VARS.setdefault(name, tvm.tirx.Var(name, "int64")) for name in d.symbols}
    return eval(str(d), {}, env)


def from_tvm_type(types: list[Any]) -> list[Type]:
    params = [tvm.relax.Var(f"p{i}", t) for i, t in enumerate(types)]
    body = tvm.relax.SeqExpr([], tvm.relax.Tuple([]))
    f = tvm.relax.Function(params, body, tvm.relax.TupleType([]))
    text = tvm.IRModule({"main": f}).script(extra_config={"relax.use_pep695": False})
    return [p.type for p in parse_module(text).relax_function("main").params]


def _pure(ty: Type) -> Type:
    """Return `ty` without purities.

    TVM's ancestor of a pure and an impure function is at times pure, which the impure one is not.
    """
    match ty:
        case TupleType(fields):
            return TupleType(tuple(map(_pure, fields)))
        case CallableType():
            params = tuple(map(_pure, ty.params))
            return CallableType(params, _pure(ty.result), True, ty.opaque)
        case _:
            return ty


def test_subtypes_and_common_ancestors_are_tvms() -> None:
    ours = pairs(1600)
    flat = [t for pair in ours for t in pair]
    theirs = [in_tvm(t) for t in flat]
    analysis = tvm.relax.analysis
    common: list[Any] = []
    for k, (a, b) in enumerate(ours):
        x, y = theirs[2 * k], theirs[2 * k + 1]
        assert int(type_base_check(a, b)) == int(analysis.type_base_check(x, y)), (a, b)
        common.append(analysis.type_lca(x, y))
    for (a, b), found in zip(ours, from_tvm_type(common), strict=True):
        assert _pure(type_lca(a, b)) == _pure(found), (a, b)


def test_erasure_is_tvms() -> None:
    ours = [a for a, _ in pairs(600)]
    theirs = [in_tvm(t) for t in ours]
    n, m = in_tvm_dim(N), in_tvm_dim(M)
    for env, their_env in (
        ({}, {}),
        ({"n": M + 2}, {n: m + 2}),
        ({"n": 3, "m": N}, {n: tvm.tirx.IntImm("int64", 3), m: n}),
    ):
        erased = [tvm.relax.analysis.erase_to_well_defined(t, their_env) for t in theirs]
        for a, found in zip(ours, from_tvm_type(erased), strict=True):
            assert erase_to_well_defined(a, env) == found, a
