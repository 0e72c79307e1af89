"""Calls of operators over many operand types, and what TVM infers for them.

Calls start from the samples of an operator and are changed in one place or two: a dtype, a rank, a
size, an attribute. So each operator joins, and most changes lie near the border between
what is accepted and what is not.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eqsat.ir import (
    UNKNOWN_DTYPE,
    Attr,
    AttrValue,
    ObjectType,
    OpDef,
    OperandKind,
    Required,
    Sample,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
    Var,
    make_call,
)
from eqsat.shapes import Dim, EqsatError, Shape, dim_max, dim_min, parse_dim, sym

CALLS_PER_OPERATOR = 40
DTYPES = (UNKNOWN_DTYPE, "float16", "float32", "float64", "int8", "int32", "int64", "bool", "uint8")
DIMS: tuple[Dim, ...] = (0, 1, 2, 3, 5, sym("n"), sym("q"), sym("n") + 1, sym("m") * 2)
INTS = (-9, -3, -2, -1, 0, 1, 2, 3, 7)
STRINGS = (
    *("NCHW", "NHWC", "OIHW", "HWIO", "IOHW", "NCW", "NWC", "NCDHW", "NDHWC", "NCHW4c"),
    *("fast", "clip", "wrap", "constant", "reflect", "replicate", "circular", "nearest_neighbor"),
    *("linear", "cubic", "round", "floor", "align_corners", "asymmetric", "update", "add", "mul"),
    *("min", "max", "mean", "none", "xy", "ij", "both", "values", "indices", "TopLeft"),
)


@dataclass(frozen=True)
class GivenCall:
    """A call by the types of its operands (None where absent) and its attributes."""

    op: OpDef
    operands: tuple[Type | None, ...]
    attrs: Mapping[str, AttrValue]

    def __str__(self) -> str:
        operands = ", ".join(str(t) for t in self.operands)
        attrs = "".join(f", {k}={v!r}" for k, v in self.attrs.items())
        return f"{self.op.name}({operands}{attrs})"


def dim_of(size: object) -> Dim:
    return parse_dim(size) if isinstance(size, str) else size  # type: ignore[return-value]


def shape_of(sizes: Any) -> Shape:
    return tuple(dim_of(d) for d in sizes)


def attr_of(value: Any, kind: str) -> AttrValue:
    if isinstance(value, str):
        return parse_dim(value) if kind in ("dim", "dims", "scalar") else value
    return tuple(attr_of(v, kind) for v in value) if isinstance(value, tuple) else value


def call_of_sample(o: OpDef, sample: Sample) -> GivenCall:
    dtypes = (*sample.dtypes, *[sample.dtypes[-1]] * len(o.operands))
    operands: list[Type | None] = []
    for operand, shape, dtype in zip(o.operands, sample.shapes, dtypes, strict=False):
        match operand.kind:
            case _ if shape is None:
                operands.append(None)
            case OperandKind.TENSOR:
                operands.append(TensorType(shape_of(shape), dtype))
            case OperandKind.TENSORS:
                operands.append(TupleType(tuple(TensorType(shape_of(s), dtype) for s in shape)))
            case _:
                operands.append(ShapeType(shape_of(shape[1])))
    operands += [None] * (len(o.operands) - len(operands))
    kinds = {a.name: a.kind for a in o.attrs}
    attrs = {k: attr_of(v, kinds[k]) for k, v in sample.attrs.items()}
    return GivenCall(o, tuple(operands), attrs)


def generated(o: OpDef, count: int = CALLS_PER_OPERATOR) -> Iterator[GivenCall]:
    """Yield each sample's call, then `count` calls with one to three changes."""
    bases = [call_of_sample(o, s) for s in (o.samples() if o.samples else ())]
    yield from bases
    rng = random.Random(o.name)
    seen = {str(b) for b in bases}
    for k in range(count):
        call = bases[k % len(bases)]
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            call = changed(rng, call)
        if str(call) not in seen:
            seen.add(str(call))
            yield call


def changed(rng: random.Random, call: GivenCall) -> GivenCall:
    places = [k for k, t in enumerate(call.operands) if t is not None]
    if call.op.attrs and (not places or rng.random() < 0.4):
        attr = rng.choice(call.op.attrs)
        value = call.attrs.get(attr.name, attr.default)
        return replace(call, attrs={**call.attrs, attr.name: changed_attr(rng, attr, value)})
    if not places:
        return call
    if rng.random() < 0.1:  # one dtype for all, so that a wrong one is not just a mixed one
        dtype = rng.choice(DTYPES)
        return replace(call, operands=tuple(_in_dtype(t, dtype) for t in call.operands))
    at = rng.choice(places)
    new = changed_type(rng, call.operands[at])
    return replace(call, operands=(*call.operands[:at], new, *call.operands[at + 1 :]))


def _in_dtype(ty: Type | None, dtype: str) -> Type | None:
    match ty:
        case TensorType():
            return replace(ty, dtype=dtype)
        case TupleType(fields):
            return TupleType(tuple(replace(f, dtype=dtype) for f in fields))  # type: ignore[type-var]
        case _:
            return ty


def changed_type(rng: random.Random, ty: Type | None) -> Type:
    match ty:
        case TupleType(fields):
            if not fields or rng.random() < 0.2:
                return TupleType(fields[:-1]) if rng.random() < 0.7 else TupleType(())
            at = rng.randrange(len(fields))
            return TupleType((*fields[:at], changed_type(rng, fields[at]), *fields[at + 1 :]))
        case TensorType(shape, dtype):
            if rng.random() < 0.3:
                return TensorType(shape, rng.choice(DTYPES))
            return TensorType(changed_shape(rng, shape), dtype)
        case ShapeType(dims):
            return ShapeType(changed_shape(rng, dims))
        case _:
            raise AssertionError(ty)


def changed_shape(rng: random.Random, shape: Shape | UnknownShape) -> Shape | UnknownShape:
    what = rng.choice(
        ("size", "size", "size", "unknown", "rank", "drop", "lead", "scalar", "trail")
    )
    if isinstance(shape, UnknownShape) or what == "rank":
        return UnknownShape(-1 if rng.random() < 0.5 else rng.randrange(5))
    if what == "unknown":
        return UnknownShape(len(shape))
    if what == "scalar":
        return ()
    if what == "lead":
        return (rng.choice(DIMS), *shape)
    if what == "trail":
        return (*shape, rng.choice(DIMS))
    if not shape:
        return (rng.choice(DIMS),)
    at = rng.randrange(len(shape))
    if what == "drop":
        return (*shape[:at], *shape[at + 1 :])
    return (*shape[:at], rng.choice((*DIMS, shape[at] + 1)), *shape[at + 1 :])


def changed_attr(rng: random.Random, attr: Attr, value: Any) -> AttrValue:
    if attr.optional and rng.random() < 0.15:
        return None
    match attr.kind:
        case "bool":
            return not value
        case "int":
            return rng.choice(INTS)
        case "scalar" if not isinstance(value, float):
            return rng.choice(INTS)
        case "float" | "scalar":
            return rng.choice((-1.0, 0.0, 0.5, 2.0))
        case "dtype":
            return rng.choice(DTYPES[1:])
        case "str":
            return _changed_text(rng, value)
        case "dim":
            return rng.choice(DIMS)
        case "floats":
            return tuple(
                rng.uniform(0, 2) for _ in range(len(value) if isinstance(value, tuple) else 2)
            )
        case "ints" | "dims":
            return _changed_ints(rng, value)
        case _:  # a device, an index map: as the sample has it
            return value


def _changed_text(rng: random.Random, value: Any) -> str:
    if isinstance(value, str) and value.isupper() and len(value) > 1 and rng.random() < 0.7:
        letters = list(value)
        rng.shuffle(letters)
        return "".join(letters)
    return rng.choice(STRINGS)


def _changed_ints(rng: random.Random, value: Any) -> AttrValue:
    if not isinstance(value, tuple) or not value:
        return tuple(rng.choice(INTS) for _ in range(rng.randrange(1, 4)))
    at = rng.randrange(len(value))
    match rng.choice(("one", "one", "one", "drop", "more", "swap")):
        case "one":
            return (*value[:at], rng.choice(INTS), *value[at + 1 :])
        case "drop":
            return (*value[:at], *value[at + 1 :])
        case "more":
            return (*value, rng.choice(INTS))
        case _:
            return tuple(reversed(value))


def infer_here(call: GivenCall) -> Type | EqsatError:
    """Return the type that is inferred here, or the error."""
    try:
        args = [None if t is None else Var(f"x{k}", t) for k, t in enumerate(call.operands)]
        return make_call(call.op, *args, **call.attrs).type
    except EqsatError as error:
        return error


class Tvm:
    """Infers types with TVM, each symbol being one variable."""

    def __init__(self, tvm: Any) -> None:
        self.tvm = tvm
        self._symbols: dict[str, Any] = {}

    def infer(self, call: GivenCall) -> Type | Exception:
        """Return the type that TVM infers, or its error."""
        function = self.tvm.relax.op
        for part in call.op.name.split("."):
            function = getattr(function, part)
        try:
            args = [
                self._operand(t, o.kind, f"x{k}")
                for k, (t, o) in enumerate(zip(call.operands, call.op.operands, strict=True))
            ]
            kinds = {a.name: a.kind for a in call.op.attrs}
            attrs = {
                k: self._attr(v, kinds[k])
                for k, v in {**_needed(call, function), **call.attrs}.items()
            }
            return self.type_here(self._normalized(function(*args, **attrs)))
        except Exception as error:  # each kind of error rejects the call
            return error

    def _normalized(self, made: Any) -> Any:
        builder = self.tvm.relax.BlockBuilder()
        builder.begin_scope([])
        builder._begin_binding_block()
        try:
            return builder.normalize(made).ty
        finally:
            builder._end_block()
            builder.end_scope()

    def _operand(self, ty: Type | None, kind: OperandKind, name: str) -> Any:
        relax = self.tvm.relax
        match ty:
            case None:
                return None
            case TupleType(fields) if kind is OperandKind.TENSORS:
                return [relax.Var(f"{name}_{k}", self.type_there(f)) for k, f in enumerate(fields)]
            case ShapeType(tuple() as dims):
                return relax.ShapeExpr([self.dim_there(d) for d in dims])
            case _:
                return relax.Var(name, self.type_there(ty))

    def _attr(self, value: AttrValue, kind: str) -> Any:
        if isinstance(value, tuple):
            return [self._attr(v, kind) for v in value]
        if kind == "code" and isinstance(value, str):
            return eval(value)
        if kind == "scalar" and isinstance(value, (int, float)):
            number = self.tvm.tirx.FloatImm if isinstance(value, float) else self.tvm.tirx.IntImm
            return number("float32" if isinstance(value, float) else "int64", value)
        return (
            value
            if value is None or isinstance(value, (bool, int, float, str))
            else (
                self.dim_there(value)  # type: ignore[arg-type]
            )
        )

    def type_there(self, ty: Type) -> Any:
        relax = self.tvm.relax
        match ty:
            case TensorType(UnknownShape(ndim), dtype):
                return relax.TensorType(None, None if dtype == UNKNOWN_DTYPE else dtype, ndim=ndim)
            case TensorType(tuple() as dims, dtype):
                return relax.TensorType(
                    [self.dim_there(d) for d in dims], None if dtype == UNKNOWN_DTYPE else dtype
                )
            case ShapeType(UnknownShape(ndim)):
                return relax.ShapeType(ndim=ndim)
            case TupleType(fields):
                return relax.TupleType([self.type_there(f) for f in fields])
            case _:
                raise AssertionError(ty)

    def dim_there(self, d: Dim) -> Any:
        if isinstance(d, int):
            return self.tvm.tirx.IntImm("int64", d)
        for s in d.symbols:
            self._symbols.setdefault(s, self.tvm.tirx.Var(s, "int64"))
        return eval(str(d), {"min": self.tvm.tirx.min, "max": self.tvm.tirx.max}, self._symbols)

    def type_here(self, ty: Any) -> Type:
        relax = self.tvm.relax
        if isinstance(ty, relax.TensorType):
            dtype = str(ty.dtype) if ty.dtype else UNKNOWN_DTYPE
            if ty.shape is None:
                return TensorType(UnknownShape(ty.ndim), dtype)
            shape = ty.shape if isinstance(ty.shape, relax.ShapeExpr) else None
            if shape is None:
                return TensorType(UnknownShape(ty.ndim), dtype)
            return TensorType(tuple(self.dim_here(d) for d in shape.values), dtype)
        if isinstance(ty, relax.ShapeType):
            if ty.values is None:
                return ShapeType(UnknownShape(ty.ndim))
            return ShapeType(tuple(self.dim_here(d) for d in ty.values))
        if isinstance(ty, self.tvm.ir.TupleType):
            return TupleType(tuple(self.type_here(f) for f in ty.fields))
        if isinstance(ty, relax.AnyType):
            return ObjectType()
        raise AssertionError(f"{type(ty)} {ty}")

    def dim_here(self, e: Any) -> Dim:
        tirx = self.tvm.tirx
        name = type(e).__name__
        match name:
            case "IntImm":
                return int(e.value)
            case "Var":
                return sym(e.name)
            case "Cast":
                return self.dim_here(e.value)
            case _:
                a, b = self.dim_here(e.a), self.dim_here(e.b)
        match name:
            case "Add":
                return a + b
            case "Sub":
                return a - b
            case "Mul":
                return a * b
            case "FloorDiv" | "Div":
                return a // b
            case "FloorMod":
                return a % b
            case "Min":
                return dim_min(a, b)
            case "Max":
                return dim_max(a, b)
            case _:
                raise AssertionError(f"{tirx}: {e}")


def _needed(call: GivenCall, function: Any) -> dict[str, AttrValue]:
    """Return our defaults of the attributes that have none in TVM."""
    needed = {n for n, p in inspect.signature(function).parameters.items() if p.default is p.empty}
    return {
        a.name: a.default
        for a in call.op.attrs
        if a.name in needed and not isinstance(a.default, Required)
    }


def same(a: Type, b: Type) -> bool:
    """Say whether two types are provably equal."""
    from eqsat.shapes import Equal, Proof, prove

    match a, b:
        case (TensorType(), TensorType()):
            return a.dtype == b.dtype and same(ShapeType(a.shape), ShapeType(b.shape))
        case (ShapeType(tuple() as x), ShapeType(tuple() as y)):
            return len(x) == len(y) and all(
                prove(Equal(p, q)) is Proof.YES for p, q in zip(x, y, strict=True)
            )
        case (TupleType(x), TupleType(y)):
            return len(x) == len(y) and all(same(p, q) for p, q in zip(x, y, strict=True))
        case _:
            return a == b


class CrashError(Exception):
    """TVM ended the process."""


def infer_in_tvm(tvm: Any, calls: Sequence[GivenCall]) -> list[Type | str | CrashError]:
    """Return the type of each call in TVM, or the text of its error.

    TVM runs in a child, as some calls end the process; the next child goes on after such a one.
    """
    context = multiprocessing.get_context("fork")
    found: list[Type | str | CrashError] = []
    while len(found) < len(calls):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_answer, args=(tvm, calls[len(found) :], theirs))
        child.start()
        theirs.close()
        try:
            while len(found) < len(calls):
                found.append(ours.recv())
        except EOFError:
            found.append(CrashError())
        child.join()
        ours.close()
    return found


def _answer(tvm: Any, calls: Sequence[GivenCall], pipe: Any) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # TVM warns of what it takes for granted, call by call
    there = Tvm(tvm)
    for call in calls:
        answer = there.infer(call)
        pipe.send(f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else answer)
