"""Pooling over windows, and adaptive pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

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
from eqsat.ir._te import Reduce, compute, identity, reduce, reduce_axis
from eqsat.ir._tir import IntImm, PrimExpr, const, from_dim, select
from eqsat.ir._types import TensorType, Type, TypeCheckError, UnknownShape
from eqsat.ir.ops._common import (
    Array,
    bool_attr,
    cast_to,
    down,
    ints,
    known_dims,
    maximum,
    minimum,
    narrow,
    out_dims,
    require_elements,
    require_float,
    require_rank,
    tensor,
    tensor_type,
    up,
)
from eqsat.ir.ops._window import (
    Window,
    in_bounds,
    layout_axes,
    place,
    require_window,
    window,
    windows,
)
from eqsat.shapes import Dim, Equal, Proof, ceildiv, min_value, pool_out, prove, wide_dtype

_SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


def _layouts(attrs: Attrs, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return where N C spatial of data and of the result are."""
    letters = "NC" + _SPATIAL[rank]
    data = layout_axes(attrs, "layout", letters)
    return data, layout_axes(attrs, "out_layout", letters) if attrs["out_layout"] else data


def _infer(rank: int) -> Callable[[Sequence[Type], Attrs], Type]:
    def infer(types: Sequence[Type], attrs: Attrs) -> Type:
        x = tensor_type(types[0], "data")
        require_rank(x, rank + 2, "data")
        data, out = _layouts(attrs, rank)
        w, taps = window(attrs, rank), ints(attrs["pool_size"], rank, "pool_size")
        dims = known_dims(x)
        if dims is None:
            return TensorType(UnknownShape(rank + 2), x.dtype, x.vdevice)
        result = list(dims)
        for k, a in enumerate(out[:2]):
            result[a] = dims[data[k]]
        for k in range(rank):
            result[out[k + 2]] = pool_out(
                dims[data[k + 2]],
                taps[k],
                w.strides[k],
                w.dilation[k],
                w.before[k],
                w.after[k],
                bool_attr(attrs, "ceil_mode"),
            )
            require_window(dims[data[k + 2]], taps[k], w, k)
        return TensorType(tuple(result), x.dtype, x.vdevice)

    return infer


def _overhang(size: int, out: int, tap: int, w: Window, a: int) -> int:
    """Return how far the last window hangs over the padded axis."""
    end = (out - 1) * w.strides[a] + w.dilation[a] * (tap - 1) + 1
    return max(0, end - size - w.before[a] - w.after[a])


def _reference(
    rank: int, reducer: Callable[[Array, Window, tuple[int, ...], Attrs, Array], Array], fill: bool
) -> Callable[..., Array]:
    def run(x: Array, **attrs: AttrValue) -> Array:
        data, out = _layouts(attrs, rank)
        w, taps = window(attrs, rank), ints(attrs["pool_size"], rank)
        moved = up(x).transpose(data)
        counts = [
            pool_out(
                moved.shape[a + 2], taps[a], w.strides[a], w.dilation[a], w.before[a], w.after[a],
                bool_attr(attrs, "ceil_mode"),
            )
            for a in range(rank)
        ]  # fmt: skip
        sizes = cast("list[int]", counts)  # the sizes of an array are numbers
        extra = [_overhang(moved.shape[a + 2], n, taps[a], w, a) for a, n in enumerate(sizes)]
        floating = moved.dtype.kind == "f"
        least = -np.inf if floating else min_value(x.dtype.name)
        views = windows(moved, taps, w, least if fill else 0, extra)
        views = views[(slice(None), slice(None), *(slice(0, n) for n in sizes))]
        return down(reducer(views, w, taps, attrs, moved).transpose(np.argsort(out)), x)

    return run


def _max_of(views: Array, w: Window, taps: tuple[int, ...], attrs: Attrs, x: Array) -> Array:
    return views.max(axis=tuple(range(-len(taps), 0)))


def _mean_of(views: Array, w: Window, taps: tuple[int, ...], attrs: Attrs, x: Array) -> Array:
    rank = len(taps)
    axes = tuple(range(-rank, 0))
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype)
    if bool_attr(attrs, "count_include_pad"):
        pads = [(b, a) for b, a in zip(w.before, w.after, strict=True)]
        ones = np.pad(ones, [(0, 0), (0, 0), *pads], constant_values=1)
        w = Window(w.strides, (0,) * rank, (0,) * rank, w.dilation)
    ends = [
        (n - 1) * w.strides[a] + w.dilation[a] * (taps[a] - 1) + 1
        for a, n in enumerate(views.shape[2 : 2 + rank])
    ]
    extra = [
        max(0, e - n - w.before[a] - w.after[a])
        for a, (e, n) in enumerate(zip(ends, ones.shape[2:], strict=True))
    ]
    counts = windows(ones, taps, w, 0, extra)
    counts = counts[(slice(None), slice(None), *(slice(0, n) for n in views.shape[2 : 2 + rank]))]
    return views.sum(axis=axes) / np.maximum(counts.sum(axis=axes), 1)


def _positions(at: Sequence[PrimExpr], w: Window, taps: Sequence[PrimExpr]) -> list[PrimExpr]:
    return [p * w.strides[a] + taps[a] * w.dilation[a] - w.before[a] for a, p in enumerate(at)]


def _compute(
    rank: int, *, mean: bool
) -> Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult]:
    name = f"{'avg' if mean else 'max'}_pool{rank}d"

    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        x = tensor(args[0])
        data, laid = _layouts(attrs, rank)
        w, taps = window(attrs, rank), ints(attrs["pool_size"], rank)
        sizes = [x.shape[a] for a in data[2:]]
        ceil = bool_attr(attrs, "ceil_mode")
        k = [reduce_axis(t, f"r{c}") for t, c in zip(taps, _SPATIAL[rank].lower(), strict=True)]
        wide = wide_dtype(x.dtype)
        neutral = identity("sum" if mean else "max", wide)

        def body(*at: PrimExpr) -> Reduce:
            n, c, *spatial = (at[a] for a in laid)
            where = _positions(spatial, w, [r.var for r in k])
            inside = in_bounds(
                where, sizes, [b > 0 for b in w.before], [a > 0 or ceil for a in w.after]
            )
            load = cast_to(x[place([n, c, *where], data)], wide)
            return reduce("sum" if mean else "max", select(inside, load, neutral, lazy=True), k)

        total = compute(f"{name}_sum" if mean else name, out_dims(out), body)
        if not mean:
            return narrow(total, x.dtype)

        def divide(*at: PrimExpr) -> PrimExpr:
            count = _count([at[a] for a in laid[2:]], sizes, taps, w, attrs)
            return cast_to(total[at] / cast_to(count, wide), x.dtype)

        return compute(name, out_dims(out), divide)

    return build


def _count(
    at: Sequence[PrimExpr], sizes: Sequence[Dim], taps: Sequence[int], w: Window, attrs: Attrs
) -> PrimExpr:
    """Return how many elements the window at `at` averages, at least 1."""
    result: PrimExpr = IntImm(1)
    with_pad, ceil = bool_attr(attrs, "count_include_pad"), bool_attr(attrs, "ceil_mode")
    for a, p in enumerate(at):
        step, tap = w.dilation[a], IntImm(taps[a])
        low = 0 if with_pad else w.before[a]
        high = (w.after[a] if with_pad else 0) + w.before[a]
        start, end = p * w.strides[a], from_dim(sizes[a] + high)
        stays = not ceil and (with_pad or (w.before[a] == 0 and w.after[a] == 0))
        if stays:
            result = result * tap
            continue
        first = maximum((IntImm(low + step - 1) - start) // step, IntImm(0))
        last = minimum((end - start + (step - 1)) // step, tap)
        result = result * maximum(last - first, IntImm(0))
    return maximum(result, IntImm(1))


def _attrs(rank: int, *, count_include_pad: bool) -> tuple[Attr, ...]:
    layout = "NC" + _SPATIAL[rank]
    return (
        Attr("pool_size", "ints", (1,) * rank),
        Attr("strides", "ints", (1,) * rank),
        Attr("padding", "ints", (0, 0) if rank == 1 else (0,) * rank),
        Attr("dilation", "ints", (1,) * rank),
        Attr("ceil_mode", "bool", default=False),
        Attr("count_include_pad", "bool", count_include_pad),
        Attr("layout", "str", layout),
        Attr("out_layout", "str", None, optional=True),
    )


def _samples(rank: int) -> Callable[[], Sequence[Sample]]:
    if rank == 2:
        return lambda: [
            Sample(((1, 2, 6, 7),), {"pool_size": (2, 3)}),
            Sample(((1, 2, 7, 7),), {"pool_size": 3, "strides": 2, "padding": 1}),
            Sample(
                ((1, 2, 7, 6),),
                {"pool_size": (3, 3), "strides": (2, 2), "padding": (1, 1), "ceil_mode": True},
            ),
            Sample(
                ((1, 2, 8, 8),),
                {
                    "pool_size": (3, 3),
                    "strides": (2, 2),
                    "padding": (0, 1, 1, 0),
                    "ceil_mode": True,
                    "count_include_pad": True,
                },
            ),
            Sample(((1, 8, 7, 2),), {"pool_size": 2, "dilation": (2, 1), "layout": "NHWC"}),
            Sample(((1, 2, 5, 5),), {"pool_size": 3, "padding": 1}, ("float16",)),
            Sample((("n", 2, "h", 6),), {"pool_size": 2, "strides": 2}),
        ]
    shape = (1, 2, 7) if rank == 1 else (1, 2, 4, 5, 4)
    return lambda: [
        Sample((shape,), {"pool_size": (2,) * rank}),
        Sample(
            (shape,), {"pool_size": (3,) * rank, "strides": (2,) * rank, "padding": (1,) * rank}
        ),
    ]


def _max_pool(rank: int) -> OpDef:
    return OpDef(
        f"nn.max_pool{rank}d",
        (Operand("data"),),
        _infer(rank),
        _reference(rank, _max_of, True),
        OpKind.WINDOW,
        attrs=_attrs(rank, count_include_pad=False),
        compute=_compute(rank, mean=False),
        onnx=("MaxPool",),
        samples=_samples(rank),
    )


def _avg_pool(rank: int) -> OpDef:
    infer = _infer(rank)

    def infer_float(types: Sequence[Type], attrs: Attrs) -> Type:
        require_float(tensor_type(types[0], "data"), "data")
        return infer(types, attrs)

    return OpDef(
        f"nn.avg_pool{rank}d",
        (Operand("data"),),
        infer_float,
        _reference(rank, _mean_of, False),
        OpKind.WINDOW,
        attrs=_attrs(rank, count_include_pad=rank != 2),
        compute=_compute(rank, mean=True),
        numerics=Numerics.REASSOCIATING,
        onnx=("AveragePool",),
        samples=_samples(rank),
    )


def _adaptive_sizes(attrs: Attrs, sizes: Sequence[Dim]) -> tuple[Dim, ...]:
    if attrs["output_size"] is None:
        return tuple(sizes)
    given, rank = attrs["output_size"], len(sizes)
    if isinstance(given, tuple) and len(given) not in ((1, 2) if rank == 2 else (rank,)):
        raise TypeCheckError(f"output_size must be {len(sizes)} integers, got {given!r}")
    return ints(given, len(sizes), "output_size")


def _infer_adaptive(rank: int) -> Callable[[Sequence[Type], Attrs], Type]:
    def infer(types: Sequence[Type], attrs: Attrs) -> Type:
        x = tensor_type(types[0], "data")
        require_float(x, "data")
        require_rank(x, rank + 2, "data")
        data, out = _layouts(attrs, rank)
        dims = known_dims(x)
        if dims is None:
            return TensorType(UnknownShape(rank + 2), x.dtype, x.vdevice)
        canonical = [dims[a] for a in data]
        for letter, d in zip(_SPATIAL[rank], canonical[2:], strict=True):
            require_elements(d, f"adaptive pooling: axis {letter} of data")
        result = list(dims)
        for d, a in zip((*canonical[:2], *_adaptive_sizes(attrs, canonical[2:])), out, strict=True):
            result[a] = d
        return TensorType(tuple(result), x.dtype, x.vdevice)

    return infer


def _adaptive_reference(rank: int) -> Callable[..., Array]:
    def run(x: Array, **attrs: AttrValue) -> Array:
        data, out = _layouts(attrs, rank)
        result = up(x).transpose(data)
        for a, count in enumerate(_adaptive_sizes(attrs, result.shape[2:])):
            n, axis = result.shape[a + 2], a + 2
            assert isinstance(count, int)
            parts = [
                np.take(result, range(i * n // count, -(-(i + 1) * n // count)), axis).mean(
                    axis, keepdims=True
                )
                for i in range(count)
            ]
            result = np.concatenate(parts, axis)
        return down(result.transpose(np.argsort(out)), x)

    return run


def _adaptive_window(size: Dim, count: Dim) -> Dim:
    """Return the elements that the longest window holds."""
    if prove(Equal(size % count, 0)) is Proof.YES:
        return size // count
    return ceildiv(size, count) + 1


def _adaptive_compute(
    rank: int,
) -> Callable[[Sequence[ComputeArg], Attrs, Type], ComputeResult]:
    def build(args: Sequence[ComputeArg], attrs: Attrs, out: Type) -> ComputeResult:
        x, shape = tensor(args[0]), out_dims(out)
        data, laid = _layouts(attrs, rank)
        sizes, counts = [x.shape[a] for a in data[2:]], [shape[a] for a in laid[2:]]
        spans = [_adaptive_window(s, c) for s, c in zip(sizes, counts, strict=True)]
        exact = [
            prove(Equal(s, p * c)) is Proof.YES
            for s, p, c in zip(sizes, spans, counts, strict=True)
        ]
        k = [reduce_axis(s, f"r{c}") for s, c in zip(spans, _SPATIAL[rank].lower(), strict=True)]
        wide = wide_dtype(x.dtype)

        def bounds(a: int, p: PrimExpr) -> tuple[PrimExpr, PrimExpr]:
            size, count = from_dim(sizes[a]), from_dim(counts[a])
            if exact[a]:
                span = from_dim(spans[a])
                return p * span, p * span + span
            return p * size // count, ((p + 1) * size + (count - 1)) // count

        def body(*at: PrimExpr) -> Reduce:
            n, c, *spatial = (at[a] for a in laid)
            ends = [bounds(a, p) for a, p in enumerate(spatial)]
            where = [b + r.var for (b, _), r in zip(ends, k, strict=True)]
            value: PrimExpr = cast_to(x[place([n, c, *where], data)], wide)
            for a in range(rank):
                if not exact[a]:
                    value = select(where[a] < ends[a][1], value, const(0, wide), lazy=True)
            return reduce("sum", value, k)

        total = compute(f"adaptive_avg_pool{rank}d_sum", shape, body)

        def divide(*at: PrimExpr) -> PrimExpr:
            count: PrimExpr = IntImm(1)
            for a in range(rank):
                begin, end = bounds(a, at[laid[a + 2]])
                count = count * (from_dim(spans[a]) if exact[a] else end - begin)
            return cast_to(total[at] / cast_to(count, wide), x.dtype)

        return compute(f"adaptive_avg_pool{rank}d", shape, divide)

    return build


def _adaptive(rank: int) -> OpDef:
    shape = (2, 3, 7, 6, 5)[: rank + 2]
    return OpDef(
        f"nn.adaptive_avg_pool{rank}d",
        (Operand("data"),),
        _infer_adaptive(rank),
        _adaptive_reference(rank),
        OpKind.WINDOW,
        attrs=(
            Attr("output_size", "ints", None, optional=True),
            Attr("layout", "str", "NC" + _SPATIAL[rank]),
            Attr("out_layout", "str", None, optional=True),
        ),
        compute=_adaptive_compute(rank),
        numerics=Numerics.REASSOCIATING,
        onnx=("GlobalAveragePool",),
        samples=lambda: [
            Sample((shape,), {"output_size": 1}),
            Sample((shape,), {"output_size": (3,) * rank}),
            Sample((shape,), {}, ("float16",)),
            Sample((("n", 3, "h", 6, 5)[: rank + 2],), {"output_size": 1}),
        ],
    )


NN_POOL: tuple[OpDef, ...] = (
    *(_max_pool(rank) for rank in (1, 2, 3)),
    *(_avg_pool(rank) for rank in (1, 2, 3)),
    *(_adaptive(rank) for rank in (1, 2, 3)),
)
