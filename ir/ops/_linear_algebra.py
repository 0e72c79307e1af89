"""Products: matmul, linear, einsum, outer."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from eqsat.ir._distribute import known_shape
from eqsat.ir._expr import Attrs
from eqsat.ir._op import (
    UNCERTAIN,
    Attr,
    AxisMap,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Sample,
)
from eqsat.ir._te import Reduce, Tensor, compute, reduce, reduce_axis
from eqsat.ir._tir import PrimExpr
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    cast_to,
    dtype_attr,
    gather_from,
    known_dims,
    narrow,
    out_dims,
    out_dtype,
    require_equal,
    require_rank,
    same_dtype,
    str_attr,
    tensor,
    tensor_type,
    tensor_types,
    tensors,
    up,
)
from eqsat.shapes import Dim, Shape, broadcast, is_float, numpy_dtype, wide_dtype

_OUT_DTYPE = Attr("out_dtype", "dtype", None, optional=True)


def matmul_shape(a: Shape, b: Shape) -> Shape:
    """Return the shape of `a @ b` by NumPy's rules.

    Shapes:
        a: (..., m, k) or (k,); b: (..., k, n) or (k,).

    Raises:
        TypeCheckError: an operand is a scalar, or the two k differ.
    """
    if len(a) == 0 or len(b) == 0:
        raise TypeCheckError("matmul needs operands of at least one axis; multiply takes scalars")
    k_a, k_b = a[-1], b[-2] if len(b) > 1 else b[-1]
    require_equal(
        k_a, k_b, "matmul: the last axis of x1 and the second to last of x2 must be equal"
    )
    batch = broadcast(a[:-2], b[:-2])
    return (*batch, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


def product_dtype(attrs: Attrs, a: TensorType, b: TensorType) -> str:
    """Return the dtype of a product of `a` and `b`: `out_dtype`, or theirs."""
    own = same_dtype(a, b)
    dtype = dtype_attr(attrs, "out_dtype", own)
    if own != "void" and is_float(own) and not is_float(dtype):
        raise TypeCheckError(f"out_dtype {dtype} would cut sums of {own} off; use astype for that")
    return dtype


def _infer_matmul(types: Sequence[Type], attrs: Attrs) -> Type:
    a, b = tensor_type(types[0], "x1"), tensor_type(types[1], "x2")
    dtype = product_dtype(attrs, a, b)
    x, y = known_dims(a), known_dims(b)
    if x is not None and y is not None:
        return TensorType(matmul_shape(x, y), dtype, a.vdevice)
    if a.ndim == 0 or b.ndim == 0:
        matmul_shape((), ())
    if -1 in (a.ndim, b.ndim):
        return TensorType(UnknownShape(), dtype, a.vdevice)
    ndim = max(a.ndim - 2, b.ndim - 2, 0) + (a.ndim > 1) + (b.ndim > 1)
    return TensorType(UnknownShape(ndim), dtype, a.vdevice)


def _matmul_axes(
    types: Sequence[TensorType], attrs: Attrs, result: TensorType
) -> Sequence[AxisMap]:
    a, b, out = known_shape(types[0]), known_shape(types[1]), known_shape(result)
    # TVM does not keep the cut of a batch axis that is broadcast.
    pairs = zip(a[:-2], b[:-2], strict=False)
    batch = [k if d == e and len(a) == len(b) else UNCERTAIN for k, (d, e) in enumerate(pairs)]
    batch += [UNCERTAIN] * len(out)  # for those that one operand alone has
    column = None if len(b) < 2 else len(out) - 1
    row = len(out) - (1 if column is None else 2)
    rows = (*batch[: len(a) - 2], row, None) if len(a) > 1 else (None,)
    columns = (*batch[: len(b) - 2], None, column) if len(b) > 1 else (None,)
    return [rows, columns]


def _product_dtype(a: Array, out_dtype: str | None) -> np.dtype[np.generic]:
    return numpy_dtype(out_dtype) if out_dtype else a.dtype


def _matmul(a: Array, b: Array, *, out_dtype: str | None) -> Array:
    result = _product_dtype(a, out_dtype)
    wide = np.promote_types(up(a).dtype, up(np.zeros(0, result)).dtype)
    return np.matmul(a.astype(wide, copy=False), b.astype(wide, copy=False)).astype(
        result, copy=False
    )


def multiply_accumulate(a: PrimExpr, b: PrimExpr, dtype: str) -> PrimExpr:
    """Return `a * b` in the dtype that sums of `dtype` results are kept in."""
    wide = a.dtype if is_float(dtype) and a.dtype == "float64" else wide_dtype(dtype)
    return cast_to(a, wide) * cast_to(b, wide)


def matmul_stages(a: Tensor, b: Tensor, shape: Shape, dtype: str, name: str = "matmul") -> Tensor:
    """Return `a @ b`, summed in float32 for narrower floats."""
    k = reduce_axis(a.shape[-1])
    batch = shape[: len(shape) - (a.ndim > 1) - (b.ndim > 1)]

    def at(t: Tensor, i: Sequence[PrimExpr], last: tuple[PrimExpr, ...]) -> PrimExpr:
        full = (*batch, *t.shape[-len(last) :])
        return t.at_broadcast((*i[: len(batch)], *last), full)

    def body(*i: PrimExpr) -> Reduce:
        rows = (i[len(batch)],) if a.ndim > 1 else ()
        columns = (i[-1],) if b.ndim > 1 else ()
        x = at(a, i, (*rows, k.var))
        y = at(b, i, (k.var, *columns))
        return reduce("sum", multiply_accumulate(x, y, dtype), [k])

    return narrow(compute(name, shape, body), dtype)


def _matmul_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    return matmul_stages(tensor(args[0]), tensor(args[1]), out_dims(out), out_dtype(out))


def _infer_linear(types: Sequence[Type], attrs: Attrs) -> Type:
    data, weight = tensor_type(types[0], "data"), tensor_type(types[1], "weight")
    require_rank(weight, 2, "weight")
    bias = types[2] if isinstance(types[2], TensorType) else None
    dtype = product_dtype(attrs, data, weight)
    x, w = known_dims(data), known_dims(weight)
    if x is None or w is None:
        return TensorType(UnknownShape(data.ndim), dtype, data.vdevice)
    shape = matmul_shape(x, (w[1], w[0]))
    if bias is not None and (dims := known_dims(bias)) is not None:
        shape = broadcast(shape, dims)
    return TensorType(shape, dtype, data.vdevice)


def _linear(data: Array, weight: Array, bias: Array | None, *, out_dtype: str | None) -> Array:
    result = _product_dtype(data, out_dtype)
    wide = np.promote_types(up(data).dtype, up(np.zeros(0, result)).dtype)
    product = np.matmul(data.astype(wide, copy=False), weight.astype(wide, copy=False).T)
    if bias is not None:
        product = product + bias.astype(wide, copy=False)
    return product.astype(result, copy=False)


def _linear_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    data, weight, shape = tensor(args[0]), tensor(args[1]), out_dims(out)
    k, dtype = reduce_axis(data.shape[-1]), out_dtype(out)

    def body(*i: PrimExpr) -> Reduce:
        x, w = data[(*i[:-1], k.var)], weight[i[-1], k.var]
        return reduce("sum", multiply_accumulate(x, w, dtype), [k])

    product = compute("linear", (*data.shape[:-1], weight.shape[0]), body)
    if args[2] is None:
        return narrow(product, dtype)
    bias = tensor(args[2])

    def add_bias(*i: PrimExpr) -> PrimExpr:
        term = cast_to(bias.at_broadcast(i, shape), product.dtype)
        return cast_to(product.at_broadcast(i, shape) + term, dtype)

    return compute("linear_bias", shape, add_bias)


def _subscripts(attrs: Attrs, count: int) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result."""
    text = str_attr(attrs, "subscripts").replace(" ", "")
    if "." in text:
        raise TypeCheckError(f"einsum {text!r}: name every axis, '...' is not supported")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != count:
        raise TypeCheckError(f"einsum {text!r} names {len(terms)} operands, got {count}")
    if not arrow:
        right = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    if missing := set(right) - set(left):
        raise TypeCheckError(f"einsum {text!r}: {sorted(missing)} is in the result only")
    return terms, right


def _einsum_dims(terms: Sequence[str], shapes: Sequence[Shape]) -> dict[str, Dim]:
    dims: dict[str, Dim] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if len(term) != len(shape):
            raise TypeCheckError(f"einsum: {term!r} names {len(term)} axes, got {len(shape)}")
        for letter, d in zip(term, shape, strict=True):
            require_equal(
                dims.setdefault(letter, d), d, f"einsum: sizes of {letter!r} must be equal"
            )
    return dims


def _infer_einsum(types: Sequence[Type], attrs: Attrs) -> Type:
    operands = tensor_types(types[0], "operands")
    terms, result = _subscripts(attrs, len(operands))
    dtype = same_dtype(*operands)
    shapes = [known_dims(t) for t in operands]
    if any(s is None for s in shapes):
        return TensorType(UnknownShape(len(result)), dtype)
    dims = _einsum_dims(terms, cast("list[Shape]", shapes))
    return TensorType(tuple(dims[c] for c in result), dtype)


def _einsum(operands: list[Array], *, subscripts: str) -> Array:
    result = np.einsum(subscripts.replace(" ", ""), *[up(x) for x in operands])
    return np.asarray(result).astype(operands[0].dtype)


def _einsum_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    operands = tensors(args[0])
    terms, result = _subscripts(attrs, len(operands))
    dims = _einsum_dims(terms, [t.shape for t in operands])
    summed = {c: reduce_axis(d, c) for c, d in dims.items() if c not in result}
    dtype = out_dtype(out)

    def body(*i: PrimExpr) -> PrimExpr | Reduce:
        at = dict(zip(result, i, strict=True)) | {c: k.var for c, k in summed.items()}
        loads = [
            cast_to(t[[at[c] for c in term]], wide_dtype(dtype))
            for t, term in zip(operands, terms, strict=True)
        ]
        value = loads[0]
        for load in loads[1:]:
            value = value * load
        return reduce("sum", value, list(summed.values())) if summed else value

    return narrow(compute("einsum", out_dims(out), body), dtype)


def _infer_outer(types: Sequence[Type], attrs: Attrs) -> Type:
    a, b = tensor_type(types[0], "x1"), tensor_type(types[1], "x2")
    if (a.ndim, b.ndim) != (1, 1):
        raise TypeCheckError(f"outer needs tensors of one axis, got {a} and {b}")
    x, y = known_dims(a), known_dims(b)
    shape = UnknownShape(2) if x is None or y is None else (x[0], y[0])
    return TensorType(shape, same_dtype(a, b), a.vdevice)


def _outer_compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    a, b, dtype = tensor(args[0]), tensor(args[1]), out_dtype(out)
    return gather_from(
        "outer", out, lambda i, j: cast_to(multiply_accumulate(a[i], b[j], dtype), dtype)
    )


LINEAR_ALGEBRA: tuple[OpDef, ...] = (
    OpDef(
        "matmul",
        (Operand("x1"), Operand("x2")),
        _infer_matmul,
        _matmul,
        OpKind.CONTRACTION,
        attrs=(_OUT_DTYPE,),
        result_axes=_matmul_axes,
        compute=_matmul_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("MatMul", "Gemm"),
        samples=lambda: [
            Sample(((4, 5), (5, 3))),
            Sample(((2, 4, 5), (2, 5, 3))),
            Sample(((2, 1, 4, 5), (3, 5, 2))),
            Sample(((4, 5), (2, 5, 3)), {}, ("float16",)),
            Sample(((5,), (5,))),
            Sample(((5,), (2, 5, 3))),
            Sample(((2, 4, 5), (5,))),
            Sample(((4, 5), (5, 3)), {"out_dtype": "float32"}, ("float16",)),
            Sample(((4, 5), (5, 3)), {"out_dtype": "int32"}, ("int8",), -100, 100),
            Sample(((4, 0), (0, 3))),
            Sample(((0, 4), (4, 3))),
            Sample((("n", 4), (4, "m"))),
            Sample((("b", "n", 4), (1, 4, 3))),
        ],
    ),
    OpDef(
        "linear",
        (Operand("data"), Operand("weight"), Operand("bias", optional=True)),
        _infer_linear,
        _linear,
        OpKind.CONTRACTION,
        attrs=(_OUT_DTYPE,),
        compute=_linear_compute,
        numerics=Numerics.REASSOCIATING,
        samples=lambda: [
            Sample(((4, 5), (3, 5), (3,))),
            Sample(((2, 4, 5), (3, 5), None), {}, ("float16",)),
            Sample(((5,), (3, 5), (3,))),
            Sample((("n", 5), (3, 5), (3,))),
        ],
    ),
    OpDef(
        "einsum",
        (Operand("operands", OperandKind.TENSORS),),
        _infer_einsum,
        _einsum,
        OpKind.OPAQUE,
        attrs=(Attr("subscripts", "str"),),
        compute=_einsum_compute,
        numerics=Numerics.REASSOCIATING,
        onnx=("Einsum",),
        samples=lambda: [
            Sample(([(2, 3), (3, 4)],), {"subscripts": "ij,jk->ik"}),
            Sample(([(2, 3, 4), (2, 4)],), {"subscripts": "bik,bk->bi"}, ("float16",)),
            Sample(([(3, 3)],), {"subscripts": "ii->i"}),
            Sample(([(2, 3)],), {"subscripts": "ij -> ji"}, ("int64",)),
            Sample(([("n", 3), (3,)],), {"subscripts": "ij,j"}),
        ],
    ),
    OpDef(
        "outer",
        (Operand("x1"), Operand("x2")),
        _infer_outer,
        lambda a, b: np.multiply.outer(a, b),
        OpKind.OPAQUE,
        compute=_outer_compute,
        samples=lambda: [
            Sample(((3,), (4,))),
            Sample((("n",), (2,)), {}, ("int64",)),
            Sample(((3,), (0,)), {}, ("float16",)),
        ],
    ),
)
