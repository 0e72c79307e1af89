"""How much arithmetic an operator does, counted from its `compute`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from eqsat.extract._product_price import Product
from eqsat.extract._profile import DeviceProfile
from eqsat.extract._sizes import Sizes, size_of
from eqsat.ir import Attrs, ComputeArg, OpDef, OpKind, ShapeType, TensorType, TupleType, Type, te
from eqsat.ir.te import ProducerLoad, Reduce, Tensor
from eqsat.ir.tir import (
    Binary,
    Cast,
    IntImm,
    Intrinsic,
    PrimExpr,
    Select,
    Var,
    children,
    topological_tensors,
    walk,
)

# Flops charged per element where an operator cannot be counted: it has no `compute`.
_UNCOUNTED_FLOPS = 16.0


@dataclass(frozen=True, slots=True)
class Contraction:
    """A product in the terms of a matrix product, `batch` times m × k by k × n."""

    batch: int
    m: int
    n: int
    k: int

    @property
    def flops(self) -> float:
        """Multiplications and additions."""
        return 2.0 * self.batch * self.m * self.n * self.k


def count_flops(
    outputs: Sequence[Tensor] | None, types: Sequence[Type], sizes: Sizes, profile: DeviceProfile
) -> float:
    """Return the scalar operations of one call, index arithmetic left out.

    A transcendental counts as the profile says; a reduction adds one operation per element.

    Args:
        outputs: what `computed` returns for the call.
        types: those of its operands and its result, which count where there are no `outputs`.
        sizes: the symbols.
        profile: the device.
    """
    if outputs is None:
        elements = max([_numel(t, sizes) for t in types], default=1)
        return _UNCOUNTED_FLOPS * elements
    return sum(stage_flops(t, sizes, profile) for t in topological_tensors(outputs))


def computed(
    op: OpDef, operands: Sequence[Type], attrs: Attrs, result: Type
) -> tuple[Tensor, ...] | None:
    """Return the results of the operator over placeholders, None where it has no `compute`."""
    if op.compute is None:
        return None
    args = [_placeholder(f"x{i}", t) for i, t in enumerate(operands)]
    outputs = op.compute(args, attrs, result)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _placeholder(name: str, ty: Type) -> ComputeArg:
    match ty:
        case TensorType():
            return te.placeholder(name, ty.dims, ty.dtype)
        case TupleType(fields):
            return [
                te.placeholder(f"{name}_{i}", f.dims, f.dtype)
                for i, f in enumerate(fields)
                if isinstance(f, TensorType)
            ]
        case ShapeType(tuple() as dims):
            return dims
        case _:
            return None


def stage_flops(t: Tensor, sizes: Sizes, profile: DeviceProfile) -> float:
    """Return the operations of all elements of one stage."""
    if t.body is None:
        return 0.0
    points = float(prod(size_of(d, sizes) for d in t.shape))
    if not isinstance(t.body, Reduce):
        return points * scalar_flops(t.body, profile)
    points *= prod(extent(a.domain.extent, sizes) for a in t.body.axes)
    return points * (1.0 + scalar_flops(t.body.value, profile))


def scalar_flops(e: PrimExpr, profile: DeviceProfile) -> float:
    """Return the operations of a scalar expression; what stands in an index is free."""
    match e:
        case ProducerLoad():
            return 0.0
        case Select(condition, a, b) if not _has_load(condition):
            # Whether an index is inside: lowering splits the loops or masks the load.
            return scalar_flops(a, profile) + scalar_flops(b, profile)
        case Intrinsic(name):
            own = profile.intrinsic_flops(name)
        case Binary("/" | "//" | "%"):
            own = 4.0
        case Binary() | Select() | Cast():
            own = 1.0
        case _:
            own = 0.0
    return own + sum(scalar_flops(c, profile) for c in children(e))


def _has_load(e: PrimExpr) -> bool:
    return any(isinstance(n, ProducerLoad) for n in walk(e))


def extent(e: PrimExpr, sizes: Sizes) -> int:
    """Return the number an integer expression over shape symbols stands for.

    Raises:
        TypeError: the expression is not made of literals, symbols and arithmetic.
    """
    match e:
        case IntImm(value):
            return value
        case Var(name):
            return sizes[name]
        case Binary(op, a, b):
            return _arithmetic(op, extent(a, sizes), extent(b, sizes))
        case _:
            raise TypeError(f"the extent {e!r} of a loop is not integer arithmetic over symbols")


def _arithmetic(op: str, x: int, y: int) -> int:
    match op:
        case "+":
            return x + y
        case "-":
            return x - y
        case "*":
            return x * y
        case "//":
            return x // max(1, y)
        case "%":
            return x % max(1, y)
        case "min":
            return min(x, y)
        case "max":
            return max(x, y)
        case _:
            raise TypeError(f"the operation {op} in the extent of a loop is not integer arithmetic")


def _numel(ty: Type, sizes: Sizes) -> int:
    match ty:
        case TensorType(tuple() as shape):
            return prod(size_of(d, sizes) for d in shape)
        case TupleType(fields):
            return sum(_numel(f, sizes) for f in fields)
        case _:
            return 0


def contraction_of(
    op: OpDef, attrs: Attrs, x: Sequence[int], y: Sequence[int], out: Sequence[int]
) -> Contraction:
    """Return a product or convolution as a matrix product, from the shapes of operands and result.

    A convolution is one product per group: pixels × window × output channels.
    """
    total = max(1, prod(out))
    if "conv" not in op.name:
        m = out[-2] if len(out) > 1 and len(x) > 1 else 1
        n = out[-1] if out and len(y) > 1 else 1
        k = x[-1] if x else 1
        return Contraction(max(1, total // max(1, m * n)), max(1, m), max(1, n), max(1, k))
    groups = attrs.get("groups", 1)
    g = groups if isinstance(groups, int) and groups > 0 else 1
    kernel_layout = str(attrs.get("kernel_layout") or "OIHW")
    data_layout = str(attrs.get("data_layout") or "NCHW")
    by_axis: Mapping[str, int] = dict(zip(kernel_layout, y, strict=False))
    channels = dict(zip(data_layout, x, strict=False)).get("C", 1)
    k = max(1, channels // g) * _num_taps(attrs, y)
    n = by_axis.get("O", 1) if "transpose" in op.name else max(1, by_axis.get("O", 1) // g)
    m = max(1, total // max(1, n * g))
    return Contraction(g, m, max(1, n), k)


def product_of(
    op: OpDef, attrs: Attrs, x: Sequence[int], y: Sequence[int], out: Sequence[int]
) -> Product:
    """Return a product or convolution as the contraction template sees it."""
    p = contraction_of(op, attrs, x, y, out)
    if "conv" not in op.name:
        if len(y) <= 2 and p.batch > 1:
            return Product(1, p.batch * p.m, p.n, p.k, p.n)
        return Product(p.batch, p.m, p.n, p.k, p.n)
    data_layout = str(attrs.get("data_layout") or "NCHW")
    layout = str(attrs.get("out_layout") or data_layout)
    axes = dict(zip(layout, out, strict=False))
    images = axes.get("N", 1)
    strides = attrs.get("strides")
    is_dense = not isinstance(strides, tuple) or all(s == 1 for s in strides)
    is_pointwise = is_dense and _num_taps(attrs, y) == 1
    if layout.endswith("C"):
        run = p.n if str(attrs.get("kernel_layout")).endswith("O") else 1
        return Product(p.batch, p.m, p.n, p.k, run, has_window_rows=not is_pointwise)
    pixels = max(1, p.m // max(1, images))
    if data_layout.endswith("C") or not is_dense:
        run = 1
    else:
        run = pixels if is_pointwise else axes.get(layout[-1], 1)
    return Product(p.batch * images, p.n, pixels, p.k, run)


def _num_taps(attrs: Attrs, kernel: Sequence[int]) -> int:
    layout = str(attrs.get("kernel_layout") or "OIHW")
    return prod(s for s, axis in zip(kernel, layout, strict=False) if axis not in "OI")


def is_depthwise(op: OpDef, attrs: Attrs, y: Sequence[int]) -> bool:
    """Tell whether a convolution sees one channel at a time: a window, not a product."""
    groups = attrs.get("groups", 1)
    if op.kind is not OpKind.CONTRACTION or not isinstance(groups, int) or groups < 2:
        return False
    axes = dict(zip(str(attrs.get("kernel_layout") or "OIHW"), y, strict=False))
    return axes.get("I", 2) == 1
