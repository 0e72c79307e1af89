"""What an operator with products among its stages costs: each stage is a kernel of its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from eqsat.extract._flops import extent, stage_flops
from eqsat.extract._product_price import Product, product_s
from eqsat.extract._profile import DeviceProfile
from eqsat.extract._roofline import launched_s, moved_s
from eqsat.extract._sizes import Sizes, size_of
from eqsat.ir.te import ProducerLoad, Reduce, Tensor
from eqsat.ir.tir import Binary, Cast, PrimExpr, Var, producers, topological_tensors, walk
from eqsat.shapes import itemsize


def stages_s(outputs: Sequence[Tensor], sizes: Sizes, profile: DeviceProfile) -> float | None:
    """Return the seconds of the stages behind `outputs`, None where none of them is a product.

    Each reduction is a launch and stays in memory until the next has read it; what is elementwise
    is computed by each that reads it. The last launch, and what it writes, is priced by its caller.
    """
    stages = [t for t in topological_tensors(outputs) if t.body is not None]
    reductions = [t for t in stages if isinstance(t.body, Reduce)]
    products = {t: p for t in reductions if (p := _product(t, sizes)) is not None}
    if not products:
        return None
    seconds = 0.0
    times = dict.fromkeys(stages, 0)
    for t in reversed(stages):
        repeats = 1 if isinstance(t.body, Reduce) else max(1, times[t])
        for p in producers(t):
            if p in times:
                times[p] += repeats
        own = repeats * _stage_s(t, products.get(t), sizes, profile)
        if t in reductions[:-1]:
            elements = prod(size_of(d, sizes) for d in t.shape)
            own = launched_s(profile, moved_s(profile, 2.0 * elements * itemsize(t.dtype)), own)
        seconds += own
    return seconds


def _stage_s(t: Tensor, product: Product | None, sizes: Sizes, profile: DeviceProfile) -> float:
    if product is not None:
        return product_s(product, profile, itemsize(t.dtype), packs=True)
    template = "reduction" if isinstance(t.body, Reduce) else "pointwise"
    peak = profile.fma_flops_per_s * min(1.0, 4.0 / itemsize(t.dtype))
    return stage_flops(t, sizes, profile) / (peak * profile.efficiency[template])


def _product(t: Tensor, sizes: Sizes) -> Product | None:
    """Return a sum of products of two loads as a matrix product."""
    body = t.body
    if not (isinstance(body, Reduce) and body.combiner == "sum"):
        return None
    match body.value:
        case Binary("*", a, b):
            left, right = _load(a), _load(b)
        case _:
            return None
    if left is None or right is None:
        return None
    in_left, in_right = (_variables(x.indices) for x in (left, right))
    summed = [a.var for a in body.axes]
    if not all(v in in_left and v in in_right for v in summed):
        return None
    of_result = dict(zip(t.axes, (size_of(d, sizes) for d in t.shape), strict=True))
    m = prod(n for v, n in of_result.items() if v not in in_right)
    n = prod(n for v, n in of_result.items() if v not in in_left)
    batch = prod(n for v, n in of_result.items() if v in in_left and v in in_right)
    if m == 1 or n == 1:
        return None  # lowering makes no register tiles of it
    k = prod(extent(a.domain.extent, sizes) for a in body.axes)
    last = right.indices[-1] if right.indices else None
    run = n if last == t.axes[-1] else 1
    return Product(batch, m, n, k, run)


def _load(e: PrimExpr) -> ProducerLoad | None:
    match e:
        case Cast(_, value):
            return _load(value)
        case ProducerLoad():
            return e
        case _:
            return None


def _variables(indices: Sequence[PrimExpr]) -> set[Var]:
    return {n for i in indices for n in walk(i) if isinstance(n, Var)}
