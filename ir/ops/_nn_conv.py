"""Convolutions and transposed convolutions over one, two or three spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eqsat.ir._expr import Attrs, AttrValue
from eqsat.ir._op import (
    Attr,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OpKind,
    Sample,
)
from eqsat.ir._te import Reduce, compute, reduce, reduce_axis
from eqsat.ir._tir import PrimExpr, conjunction, const, equal, from_dim, select
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    dtype_attr,
    int_attr,
    ints,
    known_dims,
    narrow,
    out_dims,
    out_dtype,
    require_elements,
    require_equal,
    require_rank,
    tensor,
    tensor_type,
    up,
    widen,
)
from eqsat.ir.ops._linear_algebra import multiply_accumulate, product_dtype
from eqsat.ir.ops._window import in_bounds, layout_axes, place, require_window, window, windows
from eqsat.shapes import Dim, conv_out, conv_transpose_out, numpy_dtype

_SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


def _layouts(attrs: Attrs, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return where N C spatial of data, O I spatial of the kernel, N C spatial of the out are."""
    spatial = _SPATIAL[rank]
    data = layout_axes(attrs, "data_layout", "NC" + spatial)
    kernel = layout_axes(attrs, "kernel_layout", "OI" + spatial)
    out = attrs["out_layout"]
    return data, kernel, layout_axes(attrs, "out_layout", "NC" + spatial) if out else data


def _infer(rank: int, *, transposed: bool) -> Callable[[Sequence[Type], Attrs], Type]:
    def infer(types: Sequence[Type], attrs: Attrs) -> Type:
        x, w = tensor_type(types[0], "data"), tensor_type(types[1], "weight")
        dtype = product_dtype(attrs, x, w)
        if (groups := int_attr(attrs, "groups")) < 1:
            raise TypeCheckError(f"groups must be at least 1, got {groups}")
        require_rank(x, rank + 2, "data")
        require_rank(w, rank + 2, "weight")
        data, kernel, out = _layouts(attrs, rank)
        dims, weights = known_dims(x), known_dims(w)
        if dims is None or weights is None:
            return TensorType(UnknownShape(rank + 2), dtype, x.vdevice)
        n, c, *sizes = (dims[a] for a in data)
        o, i, *taps = (weights[a] for a in kernel)
        for letter, tap in zip(_SPATIAL[rank], taps, strict=True):
            require_elements(tap, f"axis {letter} of the kernel {w}")
        channels, spatial = (
            _transposed_sizes(attrs, rank, c, (o, i), sizes, taps)
            if transposed
            else _sizes(attrs, rank, c, (o, i), sizes, taps)
        )
        return TensorType(_laid_out((n, channels, *spatial), out), dtype, x.vdevice)

    return infer


def _laid_out(dims: Sequence[Dim], axes: Sequence[int]) -> tuple[Dim, ...]:
    result = list(dims)
    for d, a in zip(dims, axes, strict=True):
        result[a] = d
    return tuple(result)


def _sizes(
    attrs: Attrs,
    rank: int,
    c: Dim,
    kernel: tuple[Dim, Dim],
    sizes: Sequence[Dim],
    taps: Sequence[Dim],
) -> tuple[Dim, list[Dim]]:
    (o, i), groups, w = kernel, int_attr(attrs, "groups"), window(attrs, rank)
    require_equal(c, i * groups, f"the channels of data, and of weight times {groups} groups")
    require_equal(o % groups, 0, f"the output channels {o} modulo {groups} groups")
    spatial = [
        conv_out(s, k, w.strides[a], w.dilation[a], w.before[a], w.after[a])
        for a, (s, k) in enumerate(zip(sizes, taps, strict=True))
    ]
    for a, (s, k) in enumerate(zip(sizes, taps, strict=True)):
        require_window(s, k, w, a)
    return o, spatial


def _transposed_sizes(
    attrs: Attrs,
    rank: int,
    c: Dim,
    kernel: tuple[Dim, Dim],
    sizes: Sequence[Dim],
    taps: Sequence[Dim],
) -> tuple[Dim, list[Dim]]:
    (o, i), groups, w = kernel, int_attr(attrs, "groups"), window(attrs, rank)
    require_equal(c, i, "the channels of data and of weight")
    require_equal(c % groups, 0, f"the channels {c} modulo {groups} groups")
    extra = ints(attrs["output_padding"], rank, "output_padding")
    spatial = [
        conv_transpose_out(s, k, w.strides[a], w.dilation[a], w.before[a], w.after[a], extra[a])
        for a, (s, k) in enumerate(zip(sizes, taps, strict=True))
    ]
    return o * groups, spatial


def _working_dtype(x: Array, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Return the dtype of products and sums; of truth values both are logical."""
    if dtype == np.bool_:
        return dtype
    return np.promote_types(up(x).dtype, up(np.zeros(0, dtype)).dtype)


def _reference(rank: int) -> Callable[..., Array]:
    def run(x: Array, weight: Array, **attrs: AttrValue) -> Array:
        data, kernel, out = _layouts(attrs, rank)
        dtype = numpy_dtype(dtype_attr(attrs, "out_dtype", x.dtype.name))
        wide = _working_dtype(x, dtype)
        x, weight = x.astype(wide, copy=False), weight.astype(wide, copy=False)
        x, weight = x.transpose(data), weight.transpose(kernel)
        result = convolve(x, weight, attrs, rank)
        return result.transpose(np.argsort(out)).astype(dtype)

    return run


def convolve(x: Array, weight: Array, attrs: Attrs, rank: int) -> Array:
    """Return the convolution of (N, C, ...) by (O, I, ...): windows as columns, then a product."""
    groups, w = int_attr(attrs, "groups"), window(attrs, rank)
    taps = weight.shape[2:]
    views = windows(x, taps, w, 0, (0,) * rank)
    n, c, *spatial = views.shape[: 2 + rank]
    last = range(2, 2 + rank), range(2 + rank, 2 + 2 * rank)
    columns = views.transpose(0, 1, *last[1], *last[0])
    columns = columns.reshape(n, groups, c // groups * int(np.prod(taps)), int(np.prod(spatial)))
    filters = weight.reshape(groups, weight.shape[0] // groups, int(np.prod(weight.shape[1:])))
    return np.matmul(filters, columns).reshape(n, weight.shape[0], *spatial)


def _compute(rank: int) -> Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult]:
    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        x, weight, dtype = tensor(args[0]), tensor(args[1]), out_dtype(out)
        data, kernel, laid = _layouts(attrs, rank)
        groups, w = int_attr(attrs, "groups"), window(attrs, rank)
        sizes = [x.shape[a] for a in data[2:]]
        o_size, i_size, *taps = (weight.shape[a] for a in kernel)
        rc = reduce_axis(i_size, "rc")
        k = [reduce_axis(t, f"r{c}") for t, c in zip(taps, _SPATIAL[rank].lower(), strict=True)]

        def body(*at: PrimExpr) -> Reduce:
            n, o, *spatial = (at[a] for a in laid)
            where = [
                p * w.strides[a] + k[a].var * w.dilation[a] - w.before[a]
                for a, p in enumerate(spatial)
            ]
            channel = rc.var
            if groups > 1:
                channel = o // from_dim(o_size // groups) * from_dim(i_size) + rc.var
            load = widen(x[place([n, channel, *where], data)])
            inside = in_bounds(where, sizes, [b > 0 for b in w.before], [b > 0 for b in w.after])
            value = select(inside, load, const(0, load.dtype), lazy=True)
            factor = weight[place([o, rc.var, *(r.var for r in k)], kernel)]
            return reduce("sum", multiply_accumulate(value, factor, dtype), [rc, *k])

        return narrow(compute(f"conv{rank}d", out_dims(out), body), dtype)

    return build


def _transposed_reference(rank: int) -> Callable[..., Array]:
    def run(x: Array, weight: Array, **attrs: AttrValue) -> Array:
        data, kernel, out = _layouts(attrs, rank)
        dtype = numpy_dtype(dtype_attr(attrs, "out_dtype", x.dtype.name))
        wide = _working_dtype(x, dtype)
        x, weight = x.astype(wide, copy=False), weight.astype(wide, copy=False)
        x, weight = x.transpose(data), weight.transpose(kernel)
        result = _spread(x, weight, attrs, rank)
        return result.transpose(np.argsort(out)).astype(dtype)

    return run


def _spread(x: Array, weight: Array, attrs: Attrs, rank: int) -> Array:
    """Return the transposed convolution: a convolution over elements set apart by zeros.

    The zeros count where a weight is infinite, as in TVM's lowering.
    """
    groups, w = int_attr(attrs, "groups"), window(attrs, rank)
    extra = ints(attrs["output_padding"], rank)
    (n, c, *sizes), (o, _, *taps) = x.shape, weight.shape
    spans = [d * (t - 1) for d, t in zip(w.dilation, taps, strict=True)]
    stretched = [(s - 1) * stride + 1 for s, stride in zip(sizes, w.strides, strict=True)]
    if 0 in sizes:
        outer = [
            s + spans[a] + extra[a] - w.before[a] - w.after[a] for a, s in enumerate(stretched)
        ]
        return np.zeros((n, groups * o, *(max(s, 0) for s in outer)), x.dtype)
    apart = np.zeros(
        (n, c, *(s + 2 * p + e for s, p, e in zip(stretched, spans, extra, strict=True))), x.dtype
    )
    at = (slice(p, p + s, stride) for p, s, stride in zip(spans, stretched, w.strides, strict=True))
    apart[(slice(None), slice(None), *at)] = x
    kept = (slice(b, apart.shape[2 + a] - w.after[a]) for a, b in enumerate(w.before))
    filters = weight.reshape(o, groups, c // groups, *taps).swapaxes(0, 1)
    filters = np.flip(filters.reshape(groups * o, c // groups, *taps), tuple(range(2, 2 + rank)))
    plain = {"strides": 1, "padding": 0, "dilation": attrs["dilation"], "groups": groups}
    return convolve(apart[(slice(None), slice(None), *kept)], filters, plain, rank)


def _transposed_compute(
    rank: int,
) -> Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult]:
    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        x, weight, dtype = tensor(args[0]), tensor(args[1]), out_dtype(out)
        data, kernel, laid = _layouts(attrs, rank)
        groups, w = int_attr(attrs, "groups"), window(attrs, rank)
        sizes = [x.shape[a] for a in data[2:]]
        o_size, i_size, *taps = (weight.shape[a] for a in kernel)
        per_group = from_dim(i_size // groups)
        rc = reduce_axis(i_size // groups, "rc")
        k = [reduce_axis(t, f"r{c}") for t, c in zip(taps, _SPATIAL[rank].lower(), strict=True)]

        def body(*at: PrimExpr) -> Reduce:
            n, o, *spatial = (at[a] for a in laid)
            moved = [p + w.before[a] - k[a].var * w.dilation[a] for a, p in enumerate(spatial)]
            where = [m // s for m, s in zip(moved, w.strides, strict=True)]
            channel = rc.var if groups == 1 else o // from_dim(o_size) * per_group + rc.var
            filtered = o if groups == 1 else o % from_dim(o_size)
            on_grid = [equal(m % s, 0) for m, s in zip(moved, w.strides, strict=True) if s > 1]
            inside = in_bounds(where, sizes, [True] * rank, [True] * rank)
            load = widen(x[place([n, channel, *where], data)])
            value = select(conjunction(*on_grid, inside), load, const(0, load.dtype), lazy=True)
            factor = weight[place([filtered, channel, *(r.var for r in k)], kernel)]
            return reduce("sum", multiply_accumulate(value, factor, dtype), [rc, *k])

        stage = compute(f"conv{rank}d_transpose", out_dims(out), body)
        return narrow(stage, dtype)

    return build


def _attrs(rank: int, *, transposed: bool) -> tuple[Attr, ...]:
    spatial = _SPATIAL[rank]

    def each(value: int) -> int | tuple[int, ...]:
        return value if rank == 1 else (value,) * rank

    extra = (Attr("output_padding", "ints", each(0)),) if transposed else ()
    return (
        Attr("strides", "ints", each(1)),
        Attr("padding", "ints", each(0)),
        *extra,
        Attr("dilation", "ints", each(1)),
        Attr("groups", "int", 1),
        Attr("data_layout", "str", "NC" + spatial),
        Attr("kernel_layout", "str", ("IO" if transposed else "OI") + spatial),
        Attr("out_layout", "str", None, optional=True),
        Attr("out_dtype", "dtype", None, optional=True),
    )


def _conv(rank: int, samples: Callable[[], Sequence[Sample]]) -> OpDef:
    return OpDef(
        f"nn.conv{rank}d",
        (Operand("data"), Operand("weight")),
        _infer(rank, transposed=False),
        _reference(rank),
        OpKind.CONTRACTION,
        attrs=_attrs(rank, transposed=False),
        compute=_compute(rank),
        numerics=Numerics.REASSOCIATING,
        onnx=("Conv",),
        samples=samples,
    )


def _conv_transpose(rank: int, samples: Callable[[], Sequence[Sample]]) -> OpDef:
    return OpDef(
        f"nn.conv{rank}d_transpose",
        (Operand("data"), Operand("weight")),
        _infer(rank, transposed=True),
        _transposed_reference(rank),
        OpKind.CONTRACTION,
        attrs=_attrs(rank, transposed=True),
        compute=_transposed_compute(rank),
        numerics=Numerics.REASSOCIATING,
        onnx=("ConvTranspose",),
        samples=samples,
    )


NN_CONV: tuple[OpDef, ...] = (
    _conv(
        1,
        lambda: [
            Sample(((2, 3, 8), (4, 3, 3))),
            Sample(((1, 4, 8), (6, 2, 3)), {"strides": 2, "padding": (1, 0), "groups": 2}),
            Sample(
                ((1, 9, 4), (3, 4, 2)),
                {"data_layout": "NWC", "kernel_layout": "WIO", "padding": 1},
            ),
            Sample((("b", 2, "n"), (3, 2, 3)), {"padding": 1, "strides": 2}),
        ],
    ),
    _conv(
        2,
        lambda: [
            Sample(((2, 3, 6, 7), (4, 3, 3, 3))),
            Sample(((1, 3, 6, 6), (4, 3, 3, 3)), {"padding": 1, "strides": (2, 2)}),
            Sample(((1, 2, 7, 6), (4, 2, 3, 2)), {"padding": (0, 1, 2, 0), "dilation": (2, 1)}),
            Sample(((1, 4, 5, 5), (6, 2, 3, 3)), {"groups": 2, "padding": (1, 1)}),
            Sample(((1, 4, 5, 5), (4, 1, 3, 3)), {"groups": 4}, ("float16",)),
            Sample(((1, 3, 4, 4), (5, 3, 1, 1)), {"strides": 2}),
            Sample(
                ((1, 5, 5, 3), (3, 3, 3, 4)),
                {"data_layout": "NHWC", "kernel_layout": "HWIO", "padding": 1},
            ),
            Sample(
                ((1, 5, 5, 3), (4, 3, 3, 3)),
                {"data_layout": "NHWC", "kernel_layout": "OHWI", "out_layout": "NCHW"},
            ),
            Sample(((1, 2, 4, 4), (2, 2, 3, 3)), {"out_dtype": "int32"}, ("int8",), -90, 90),
            Sample((("n", 2, "h", 5), (3, 2, 3, 3)), {"padding": 1}),
        ],
    ),
    _conv(
        3,
        lambda: [
            Sample(((1, 2, 4, 4, 4), (3, 2, 3, 2, 2)), {"padding": (1, 0, 0)}),
            Sample((("n", 2, 3, 4, 4), (2, 1, 2, 2, 2)), {"groups": 2, "strides": (1, 2, 1)}),
        ],
    ),
    _conv_transpose(
        1,
        lambda: [
            Sample(((2, 3, 5), (3, 4, 3)), {"strides": 2, "padding": 1, "output_padding": 1}),
            Sample((("b", 2, "n"), (2, 3, 2))),
        ],
    ),
    _conv_transpose(
        2,
        lambda: [
            Sample(((1, 3, 4, 4), (3, 2, 3, 3))),
            Sample(
                ((1, 4, 4, 3), (4, 2, 3, 3)), {"strides": (2, 2), "padding": (1, 1), "groups": 2}
            ),
            Sample(
                ((1, 2, 3, 3), (2, 2, 3, 2)),
                {"strides": (3, 2), "output_padding": (1, 0), "dilation": (2, 1)},
                ("float16",),
            ),
            Sample((("n", 2, "h", 3), (2, 3, 2, 2)), {"strides": (2, 2)}),
        ],
    ),
    _conv_transpose(3, lambda: [Sample(((1, 2, 3, 3, 2), (2, 2, 2, 2, 2)), {"strides": 2})]),
)
