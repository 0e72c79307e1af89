"""What operator declarations share: reading types, combinators for infer, reference and compute."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownLambdaType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._expr import Attrs, AttrValue
from eqsat.ir._op import ComputeArg, Sample
from eqsat.ir._te import Combiner, Tensor, compute, reduce, reduce_axis
from eqsat.ir._tir import (
    Cast,
    IntImm,
    Intrinsic,
    Not,
    PrimExpr,
    Select,
    binary,
    const,
    from_dim,
)
from eqsat.ir._types import (
    UNKNOWN_DTYPE,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
    UnknownShape,
)
from eqsat.shapes import (
    Dim,
    Equal,
    Facts,
    LessEqual,
    Proof,
    Shape,
    SymDim,
    assume,
    broadcast,
    convert,
    dim_max,
    dim_min,
    dtype_name,
    is_dtype,
    is_float,
    max_value,
    min_value,
    normalize_axes,
    normalize_axis,
    numpy_dtype,
    product,
    prove,
    row_major_strides,
    wide_dtype,
)

Array = NDArray[Any]
Infer = Callable[[Sequence[Type], Attrs], Type]
Compute = Callable[[Sequence[ComputeArg], Attrs, Type], Tensor]


# Types ------------------------------------------------------------------------------------------


def tensor_type(ty: Type, what: str = "operand") -> TensorType:
    """Return `ty` as a tensor type.

    Raises:
        TypeCheckError: it is none.
    """
    if not isinstance(ty, TensorType):
        raise TypeCheckError(f"{what} must be a tensor, got {ty}")
    return ty


def retyped(x: TensorType, shape: Shape | UnknownShape) -> TensorType:
    """Return the type `x` with another shape."""
    return TensorType(shape, x.dtype, x.vdevice)


def tensor_types(ty: Type, what: str = "operand") -> tuple[TensorType, ...]:
    """Return the fields of a tuple of tensors."""
    if not isinstance(ty, TupleType):
        raise TypeCheckError(f"{what} must be a tuple of tensors, got {ty}")
    return tuple(tensor_type(f, f"field {i} of {what}") for i, f in enumerate(ty.fields))


def shape_type(ty: Type, what: str = "shape") -> ShapeType:
    """Return `ty` as the type of a shape value."""
    if not isinstance(ty, ShapeType):
        raise TypeCheckError(f"{what} must be a shape, got {ty}")
    return ty


def sizes_of_result(ty: Type, what: str = "shape") -> Shape | UnknownShape:
    """Return the dims of a shape value that a result is to have.

    Raises:
        TypeCheckError: it is no shape, or one of its numbers is negative.
    """
    dims = shape_type(ty, what).dims
    if not isinstance(dims, UnknownShape) and any(isinstance(d, int) and d < 0 for d in dims):
        raise TypeCheckError(f"{what}: a size is not negative, got {ty}")
    return dims


def same_dtype(*types: TensorType) -> str:
    """Return the one dtype of all operands; an unknown one fits any.

    Raises:
        TypeCheckError: two are different.
    """
    result = UNKNOWN_DTYPE
    for ty in types:
        if ty.dtype == UNKNOWN_DTYPE or ty.dtype == result:
            continue
        if result != UNKNOWN_DTYPE:
            raise TypeCheckError(
                f"operands must have one dtype, got {result} and {ty.dtype}; "
                "convert one with astype"
            )
        result = ty.dtype
    return result


def require_float(ty: TensorType, what: str = "operand") -> None:
    """Raise where `ty` is known not to be floating point."""
    if ty.dtype != UNKNOWN_DTYPE and not is_float(ty.dtype):
        raise TypeCheckError(f"{what} must have a float dtype, got {ty}")


def require_int(ty: TensorType, what: str = "indices") -> None:
    """Raise where `ty` is known not to be an integer tensor."""
    if ty.dtype != UNKNOWN_DTYPE and not ty.dtype.startswith(("int", "uint")):
        raise TypeCheckError(f"{what} must have an integer dtype, got {ty}")


def require_bool(ty: TensorType, what: str = "operand") -> None:
    """Raise where `ty` is known not to be boolean."""
    if ty.dtype not in (UNKNOWN_DTYPE, "bool"):
        raise TypeCheckError(f"{what} must be bool, got {ty}; compare with not_equal first")


def require_rank(ty: TensorType, rank: int, what: str) -> None:
    """Raise where the rank of `ty` is known and another."""
    if ty.ndim not in (-1, rank):
        raise TypeCheckError(f"{what} must have {rank} axes, got {ty}")


def require_equal(a: Dim, b: Dim, what: str) -> None:
    """Raise where `a` and `b` are provably different sizes; an open question is an assumption."""
    fact = Equal(a, b)
    match prove(fact):
        case Proof.YES:
            return
        case Proof.NO:
            raise TypeCheckError(f"{what}: {a} is not {b}")
        case Proof.UNKNOWN:
            assume(fact)


def require_elements(size: Dim, what: str) -> None:
    """Raise where an axis that elements are read from has none; an open question is assumed."""
    if isinstance(size, int) and size < 1:
        raise TypeCheckError(f"{what} must have at least one element")
    require_at_most(1, size, what)


def require_elements_for(places: Shape, size: Dim, what: str) -> None:
    """Raise where an axis has no element for as many `places` to read or write; as above."""
    if not has_none(places):
        require_at_most(dim_min(1, product(places)), size, what)


def require_at_most(a: Dim, b: Dim, what: str) -> None:
    """Raise where `a` is provably more than `b`; an open question is an assumption."""
    if prove(LessEqual(a, b)) is Proof.NO:
        raise TypeCheckError(f"{what}: {a} is more than {b}")
    # Symbols are taken to be at least 1 elsewhere; here 0 would be read out of bounds.
    if prove(LessEqual(a, b), Facts(positive=False)) is not Proof.YES:
        assume(Equal(dim_max(a, b), b))


def require_value(dtype: str, value: float, what: str) -> None:
    """Raise where an integer dtype or bool does not hold a number."""
    if dtype == UNKNOWN_DTYPE or is_float(dtype):
        return
    if not (float(value).is_integer() and min_value(dtype) <= value <= max_value(dtype)):
        raise TypeCheckError(f"{what}: {value} is no {dtype}")


def require_broadcast(dims: Shape, shape: Shape, what: str) -> None:
    """Raise where `dims` do not broadcast to `shape`; an open question is an assumption."""
    if len(dims) > len(shape):
        raise TypeCheckError(f"{what}: {len(dims)} axes are more than {len(shape)}")
    for d, wanted in zip(dims, shape[len(shape) - len(dims) :], strict=True):
        if prove(Equal(d, 1)) is not Proof.YES:
            require_equal(d, wanted, what)


def has_none(dims: Shape) -> bool:
    """Say whether a tensor of these sizes has no element, whatever its symbols are."""
    return any(isinstance(d, int) and d == 0 for d in dims)


def known_dims(ty: TensorType) -> Shape | None:
    """Return the dims of `ty`, None where they are not known."""
    return None if isinstance(ty.shape, UnknownShape) else ty.shape


def broadcast_types(*types: TensorType) -> Shape | UnknownShape:
    """Return the shape that all operands broadcast to."""
    if all(known_dims(t) is not None for t in types):
        shape: Shape = ()
        for t in types:
            shape = broadcast(shape, t.dims)
        return shape
    ranks = [t.ndim for t in types]
    return UnknownShape(-1 if -1 in ranks else max(ranks))


def out_dims(out: Type) -> Shape:
    """Return the dims of a single result."""
    return tensor_type(out, "result").dims


def out_dtype(out: Type) -> str:
    """Return the dtype of a single result."""
    return tensor_type(out, "result").dtype


# Attributes -------------------------------------------------------------------------------------


def int_attr(attrs: Attrs, name: str) -> int:
    """Return an integer attribute.

    Raises:
        TypeCheckError: it is no integer.
    """
    value = attrs[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeCheckError(f"attribute {name} must be an integer, got {value!r}")
    return value


def bool_attr(attrs: Attrs, name: str) -> bool:
    """Return a boolean attribute."""
    return bool(attrs[name])


def str_attr(attrs: Attrs, name: str, *choices: str) -> str:
    """Return a string attribute, one of `choices` if there are any."""
    value = attrs[name]
    if not isinstance(value, str) or (choices and value not in choices):
        raise TypeCheckError(
            f"attribute {name} must be one of {', '.join(map(repr, choices))}, got {value!r}"
        )
    return value


def number_attr(attrs: Attrs, name: str) -> float:
    """Return a number attribute; an int stays one, for not every int64 is a float."""
    value = attrs[name]
    if not isinstance(value, (int, float)):
        raise TypeCheckError(f"attribute {name} must be a number, got {value!r}")
    return value


def float_attr(attrs: Attrs, name: str) -> float:
    """Return a number attribute as a float."""
    return float(number_attr(attrs, name))


def ints(value: AttrValue, count: int | None = None, name: str = "attribute") -> tuple[int, ...]:
    """Return integers: one integer stands for `count` equal ones."""
    if isinstance(value, int):
        return (value,) * (count or 1)
    if not isinstance(value, tuple) or not all(isinstance(v, int) for v in value):
        raise TypeCheckError(f"{name} must be integers, got {value!r}")
    result = cast("tuple[int, ...]", value)
    if count is not None and len(result) == 1:
        return result * count
    if count is not None and len(result) != count:
        raise TypeCheckError(f"{name} must be {count} integers, got {value!r}")
    return result


def dims_attr(attrs: Attrs, name: str) -> Shape:
    """Return a list of dims; a single one counts as a list of one."""
    value = attrs[name]
    if isinstance(value, (int, SymDim)):
        return (value,)
    if not isinstance(value, tuple) or not all(isinstance(v, (int, SymDim)) for v in value):
        raise TypeCheckError(f"attribute {name} must be sizes, got {value!r}")
    return cast("Shape", value)


def dtype_attr(attrs: Attrs, name: str, default: str) -> str:
    """Return a dtype attribute, `default` for None or "void"."""
    value = attrs[name]
    if value is None or value == "" or value == UNKNOWN_DTYPE:
        return default
    if not isinstance(value, str) or not is_dtype(value):
        raise TypeCheckError(f"attribute {name} must be a dtype, got {value!r}")
    return value


def axis_attr(attrs: Attrs, ndim: int, name: str = "axis") -> int:
    """Return an axis attribute counted from the front."""
    return normalize_axis(int_attr(attrs, name), ndim)


def axes_attr(attrs: Attrs, ndim: int, name: str = "axis") -> tuple[int, ...]:
    """Return an axes attribute counted from the front, sorted; all axes for None."""
    value = attrs[name]
    if value is None:
        return tuple(range(ndim))
    return tuple(sorted(normalize_axes(ints(value, name=name), ndim)))


# Arithmetic -------------------------------------------------------------------------------------


def widen(e: PrimExpr) -> PrimExpr:
    """Return `e` in the dtype it is computed in."""
    return cast_to(e, wide_dtype(e.dtype))


def cast_to(e: PrimExpr, dtype: str) -> PrimExpr:
    """Return `e` converted to `dtype`, itself where it has that dtype already."""
    if e.dtype == dtype:
        return e
    if dtype == "bool":
        return binary("!=", e, const(0, e.dtype))
    return Cast(dtype, e)


def call(name: str, *args: PrimExpr) -> PrimExpr:
    """Return the scalar function `name` of arguments of one dtype."""
    return Intrinsic(name, args, args[0].dtype)


def negate(e: PrimExpr) -> PrimExpr:
    """Return the condition that `e` is false."""
    return Not(e)


def maximum(a: PrimExpr, b: PrimExpr) -> PrimExpr:
    """Return the larger one."""
    return binary("max", a, b)


def minimum(a: PrimExpr, b: PrimExpr) -> PrimExpr:
    """Return the smaller one."""
    return binary("min", a, b)


def clamp_index(index: PrimExpr, size: Dim) -> PrimExpr:
    """Return `index` within an axis: a negative one counts from the end, the rest is clamped."""
    n, i = from_dim(size), cast_to(index, "int64")
    wrapped = Select(i < 0, i + n, i)
    return maximum(minimum(wrapped, n - 1), IntImm(0))


def clip_index(index: PrimExpr, size: Dim) -> PrimExpr:
    """Return `index` moved to the nearest position of an axis."""
    return maximum(minimum(index, from_dim(size) - 1), IntImm(0))


def reindex(indices: Sequence[PrimExpr], shape: Shape, source: Shape) -> list[PrimExpr]:
    """Return where in `source` the element at `indices` of `shape` lies, in row-major order.

    Axes that both shapes share, alone or as runs with equal products, are mapped run by run, so
    that a reshape of the last axes leaves the others as they are.
    """
    outer = [(i, d) for i, d in zip(indices, shape, strict=True) if d != 1]
    inner = [a for a, d in enumerate(source) if d != 1]
    result: list[PrimExpr] = [IntImm(0)] * len(source)
    if 0 in shape or 0 in source:
        return result
    ends = {product(source[a] for a in inner[: k + 1]): k + 1 for k in range(len(inner))}
    start, first, total = 0, 0, cast("Dim", 1)
    for k, (_, d) in enumerate(outer):
        total = total * d
        end = ends.get(total, 0)
        if k + 1 == len(outer):
            end = len(inner)
        if end <= start:
            continue
        _map_run(outer[first : k + 1], [(a, source[a]) for a in inner[start:end]], result)
        start, first = end, k + 1
    return result


def _map_run(
    outer: Sequence[tuple[PrimExpr, Dim]], inner: Sequence[tuple[int, Dim]], result: list[PrimExpr]
) -> None:
    flat: PrimExpr = IntImm(0)
    for (i, _), stride in zip(outer, row_major_strides(tuple(d for _, d in outer)), strict=True):
        flat = flat + i * from_dim(stride)
    strides = row_major_strides(tuple(d for _, d in inner))
    for k, ((axis, d), stride) in enumerate(zip(inner, strides, strict=True)):
        position = flat // from_dim(stride)
        result[axis] = position if k == 0 else position % from_dim(d)


# Compute ----------------------------------------------------------------------------------------


def tensor(arg: ComputeArg) -> Tensor:
    """Return a TENSOR operand."""
    assert isinstance(arg, Tensor)
    return arg


def tensors(arg: ComputeArg) -> list[Tensor]:
    """Return a TENSORS operand."""
    assert isinstance(arg, list)
    return arg


def pointwise(
    name: str, f: Callable[..., PrimExpr]
) -> Callable[[Sequence[ComputeArg], Attrs, Type], Tensor]:
    """Return the compute of a pointwise operator: `f(attrs, *elements)`, narrow floats widened."""

    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> Tensor:
        shape, dtype = out_dims(out), out_dtype(out)

        def body(*i: PrimExpr) -> PrimExpr:
            loads = [widen(tensor(a).at_broadcast(i, shape)) for a in args]
            return cast_to(f(attrs, *loads), dtype)

        return compute(name, shape, body)

    return build


def gather_from(name: str, out: Type, f: Callable[..., PrimExpr]) -> Tensor:
    """Return the result whose element at (i, j, …) is `f(i, j, …)`."""
    return compute(name, out_dims(out), f)


def reduce_over(
    name: str,
    combiner: Combiner,
    x: Tensor,
    axes: Sequence[int],
    *,
    keepdims: bool = False,
    element: Callable[..., PrimExpr] | None = None,
) -> Tensor:
    """Return the reduction over `axes` of `x` (or `element(*indices)`), narrow floats widened."""
    k = {a: reduce_axis(x.shape[a], f"k{a}") for a in axes}

    def widened(*i: PrimExpr) -> PrimExpr:
        return widen(x[i])

    value = element or widened
    if not k:
        return compute(name, x.shape, value)
    kept = [a for a in range(x.ndim) if a not in k]
    shape = tuple(1 if a in k else x.shape[a] for a in range(x.ndim) if keepdims or a not in k)

    def body(*i: PrimExpr) -> Any:
        at = dict(zip(range(x.ndim) if keepdims else kept, i, strict=True))
        full = [k[a].var if a in k else at[a] for a in range(x.ndim)]
        return reduce(combiner, value(*full), list(k.values()))

    return compute(name, shape, body)


def narrow(t: Tensor, dtype: str) -> Tensor:
    """Return `t` in `dtype`, one more stage where that is another."""
    if t.dtype == dtype:
        return t
    return compute(f"{t.name}_cast", t.shape, lambda *i: cast_to(t[i], dtype))


# Reference --------------------------------------------------------------------------------------


def up(x: Array) -> Array:
    """Return `x` in the dtype it is computed in."""
    return x.astype(numpy_dtype(wide_dtype(dtype_name(x.dtype))), copy=False)


def down(x: Any, like: Array) -> Array:
    """Return `x` in the dtype of `like`."""
    x = np.asarray(x)
    return x if x.dtype == like.dtype else convert(x, dtype_name(like.dtype))


def elementwise(f: Callable[..., Any]) -> Callable[..., Array]:
    """Return `f` computed wide, its result in the first operand's dtype unless it is boolean."""

    def run(*args: Array, **attrs: Any) -> Array:
        with np.errstate(all="ignore"):
            result = np.asarray(f(*[up(a) for a in args], **attrs))
        return result if result.dtype == np.bool_ else down(result, args[0])

    return run


# Samples ----------------------------------------------------------------------------------------

UNARY_SHAPES: tuple[tuple[int | str, ...], ...] = ((2, 3), (5,), (), (0, 3), ("n", 4))


def unary_samples(
    low: float = -2.0,
    high: float = 2.0,
    dtypes: Sequence[str] = ("float32",),
    **attrs: AttrValue,
) -> Callable[[], Sequence[Sample]]:
    """Return samples of a pointwise operator of one operand: several shapes, then each dtype."""
    return lambda: [
        *(Sample((s,), attrs, (dtypes[0],), low, high) for s in UNARY_SHAPES),
        *(Sample(((3, 5),), attrs, (d,), low, high) for d in dtypes[1:]),
    ]
