"""`layout_transform`: axes split, moved and padded by an index map."""

# NumPy's stubs know neither the dtype of these arrays nor the parameters of a lambda over them.
# pyright: reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eqsat.ir._expr import Attrs
from eqsat.ir._op import REQUIRED, Attr, ComputeArg, ComputeResult, OpDef, Operand, OpKind, Sample
from eqsat.ir._tir import IntImm, PrimExpr, Select, const, from_dim
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import Array, gather_from, known_dims, str_attr, tensor, tensor_type
from eqsat.shapes import Dim, Divides, Proof, ceildiv, prove


@dataclass(frozen=True, slots=True)
class _Part:
    """One axis of the result: axis `source`, or its quotient or remainder by `factor`."""

    source: int
    op: str = ""  # "//", "%" or, for the whole axis, ""
    factor: int = 1


def _parts(text: str) -> tuple[int, list[_Part]]:
    """Return the rank that an index map takes, and the axes that it gives.

    Raises:
        TypeCheckError: it does more than split axes by numbers and put them in another order.
    """
    node = ast.parse(text, mode="eval").body
    assert isinstance(node, ast.Lambda)
    names = [a.arg for a in node.args.args]
    body = node.body
    items = list(body.elts) if isinstance(body, (ast.Tuple, ast.List)) else [body]
    parts = [_part(item, names) for item in items]
    for k, name in enumerate(names):
        if not _is_covered([p for p in parts if p.source == k]):
            raise TypeCheckError(
                f"index map {text}: {name} must be kept whole, or as its quotient and its "
                "remainder by one number"
            )
    return len(names), parts


def _part(node: ast.expr, names: Sequence[str]) -> _Part:
    match node:
        case ast.Name(name) if name in names:
            return _Part(names.index(name))
        case ast.BinOp(ast.Name(name), op, ast.Constant(int() as k)) if name in names and k > 0:
            sign = "//" if isinstance(op, ast.FloorDiv) else "%" if isinstance(op, ast.Mod) else ""
            if sign:
                return _Part(names.index(name), sign, k)
        case _:
            pass
    raise TypeCheckError(
        f"index map: {ast.unparse(node)} is no index, and no quotient or remainder of one by a "
        "number"
    )


def _is_covered(parts: Sequence[_Part]) -> bool:
    kinds = sorted(p.op for p in parts)
    return kinds == [""] or (kinds == ["%", "//"] and parts[0].factor == parts[1].factor)


def _dim(p: _Part, dims: Sequence[Dim]) -> Dim:
    match p.op:
        case "//":
            return ceildiv(dims[p.source], p.factor)
        case "%":
            return p.factor
        case _:
            return dims[p.source]


def _infer(types: Sequence[Type], attrs: Attrs) -> Type:
    x = tensor_type(types[0], "x")
    rank, parts = _parts(str_attr(attrs, "index_map"))
    if x.ndim not in (-1, rank):
        raise TypeCheckError(f"the index map takes {rank} indices, but x is {x}")
    dims = known_dims(x)
    if dims is None:
        return TensorType(UnknownShape(len(parts)), x.dtype, x.vdevice)
    for p in parts:
        if p.op == "//" and attrs["pad_value"] is None:
            whole = prove(Divides(p.factor, dims[p.source]))
            if whole is not Proof.YES:
                raise TypeCheckError(
                    f"axis {p.source} of {x} is not provably a multiple of {p.factor}; give a "
                    "pad_value"
                )
    return TensorType(tuple(_dim(p, dims) for p in parts), x.dtype, x.vdevice)


def _transform(x: Array, *, index_map: str, pad_value: float | None) -> Array:
    _, parts = _parts(index_map)
    shape = tuple(d for d in (_dim(p, x.shape) for p in parts) if isinstance(d, int))
    where = np.indices(shape, sparse=True)
    source, inside = [np.zeros((), np.int64)] * x.ndim, np.ones((), bool)
    for p, i in zip(parts, where, strict=True):
        source[p.source] = source[p.source] + i * (p.factor if p.op == "//" else 1)
    for k, n in enumerate(x.shape):
        inside = inside & (source[k] < n)
    fill = np.asarray(pad_value or 0).astype(x.dtype)
    if x.size == 0:
        return np.full(shape, fill)
    taken = x[tuple(np.minimum(s, n - 1) for s, n in zip(source, x.shape, strict=True))]
    return np.where(inside, taken, fill)


def _compute(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
    x = tensor(args[0])
    _, parts = _parts(str_attr(attrs, "index_map"))
    given = attrs["pad_value"]
    fill = const(given if isinstance(given, (int, float)) else 0, x.dtype)

    def body(*at: PrimExpr) -> PrimExpr:
        source: list[PrimExpr] = [IntImm(0)] * x.ndim
        for p, i in zip(parts, at, strict=True):
            source[p.source] = source[p.source] + (i * p.factor if p.op == "//" else i)
        value: PrimExpr = x[source]
        for k in sorted({p.source for p in parts if p.op}):
            value = Select(source[k] < from_dim(x.shape[k]), value, fill, lazy=True)
        return value

    return gather_from("layout_transform", out, body)


LAYOUT: tuple[OpDef, ...] = (
    OpDef(
        "layout_transform",
        (Operand("x"),),
        _infer,
        _transform,
        OpKind.OPAQUE,
        attrs=(
            Attr("index_map", "code", REQUIRED),
            Attr("pad_value", "scalar", None, optional=True),
        ),
        compute=_compute,
        samples=lambda: [
            Sample(((2, 3),), {"index_map": "lambda i, j: (j, i)"}),
            Sample(((2, 6),), {"index_map": "lambda i, j: (j // 3, i, j % 3)"}),
            Sample(((2, 5),), {"index_map": "lambda i, j: (j // 2, i, j % 2)", "pad_value": 1.5}),
            Sample(
                (("n", 8),), {"index_map": "lambda n, c: (c // 4, n, c % 4)"}, ("int64",), -5, 5
            ),
            Sample((("n",),), {"index_map": "lambda i: (i // 4, i % 4)", "pad_value": 0.0}),
            Sample(((0, 4),), {"index_map": "lambda i, j: (i, j // 2, j % 2)"}),
        ],
    ),
)
