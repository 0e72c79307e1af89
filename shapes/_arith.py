"""Shapes of results: broadcasting, reshaping, axes."""

from collections.abc import Sequence

from eqsat.shapes._assumptions import assume
from eqsat.shapes._dims import Dim, Shape, product
from eqsat.shapes._errors import ShapeError, UnprovenShapeError
from eqsat.shapes._facts import NO_FACTS, Facts
from eqsat.shapes._prove import Divides, Equal, Proof, prove


def shape_text(shape: Shape) -> str:
    """Return a shape as it is written in messages, a tuple of sizes."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def broadcast(a: Shape, b: Shape, facts: Facts = NO_FACTS) -> Shape:
    """Return the shape of an elementwise operation on `a` and `b`, by NumPy's rules.

    A symbolic size stands for one that is not broadcast, unless the facts make it 1.

    Raises:
        ShapeError: two sizes are provably different and neither is 1.
        UnprovenShapeError: two sizes may be equal; `needed` says what would have to hold.
    """
    rank = max(len(a), len(b))
    long_a, long_b = ((1,) * (rank - len(shape)) + shape for shape in (a, b))
    result: list[Dim] = []
    needed: list[Equal] = []
    for axis, (x, y) in enumerate(zip(long_a, long_b, strict=True)):
        joined = _broadcast_dim(x, y, facts)
        if joined is not None:
            result.append(joined)
        elif prove(Equal(x, y), facts) is Proof.NO:
            raise ShapeError(
                f"cannot broadcast {shape_text(a)} with {shape_text(b)}: axis {axis - rank} has "
                f"{x} and {y}, which differ and neither is 1"
            )
        else:
            needed.append(Equal(x, y))
    if needed:
        raise UnprovenShapeError(
            f"broadcast of {shape_text(a)} with {shape_text(b)} needs "
            f"{', '.join(map(str, needed))}, which is not known; state it with dims=, or cast one "
            "operand with match_cast",
            tuple(needed),
        )
    return tuple(result)


def _broadcast_dim(x: Dim, y: Dim, facts: Facts) -> Dim | None:
    """Return the size of one axis, or None when that is not proved."""
    if x == y or y == 1:
        return x
    if x == 1:
        return y
    if isinstance(x, int) and isinstance(y, int):
        return None
    if prove(Equal(x, y), facts) is Proof.YES:
        return y if isinstance(y, int) else x
    if prove(Equal(x, 1), facts) is Proof.YES:
        return y
    return x if prove(Equal(y, 1), facts) is Proof.YES else None


def broadcast_all(shapes: Sequence[Shape], facts: Facts = NO_FACTS) -> Shape:
    """Return the shape all `shapes` broadcast to; () for none."""
    result: Shape = ()
    for shape in shapes:
        result = broadcast(result, shape, facts)
    return result


def reshape(old: Shape, new: tuple[Dim, ...], facts: Facts = NO_FACTS) -> Shape:
    """Return `new` with its -1, if any, worked out from the elements of `old`.

    A 0 is the size of `old` there, as in TVM, unless `old` has no elements: then it is a real 0.

    Symbolic counts that are neither provably equal nor provably different are accepted and noted as
    an assumption (see `assumptions`).

    Raises:
        ShapeError: more than one -1, a size below -1, or provably different counts.
    """
    asked = f"cannot reshape {shape_text(old)} to {shape_text(new)}"
    if 0 in new and 0 not in old:
        new = tuple(old[a] if d == 0 and a < len(old) else d for a, d in enumerate(new))
    holes = [axis for axis, d in enumerate(new) if d == -1]
    if len(holes) > 1:
        raise ShapeError(f"{asked}: only one axis may be -1, axes {holes} are")
    if any(isinstance(d, int) and d < -1 for d in new):
        raise ShapeError(f"{asked}: a size is below -1")
    total = product(old)
    if not holes:
        fills = Equal(total, product(new))
        match prove(fills, facts):
            case Proof.YES:
                pass
            case Proof.NO:
                raise ShapeError(f"{asked}: {total} elements do not fill {product(new)}")
            case Proof.UNKNOWN:
                assume(fills)
        return new
    known = product(d for d in new if d != -1)
    if known == 0:
        raise ShapeError(f"{asked}: any size fits the -1 beside a 0; write the size")
    match prove(Divides(known, total), facts):
        case Proof.YES:
            pass
        case Proof.NO:
            raise ShapeError(f"{asked}: {total} elements are no multiple of {known}")
        case Proof.UNKNOWN:
            assume(Equal(total % known, 0))
    return (*new[: holes[0]], total // known, *new[holes[0] + 1 :])


def normalize_axis(axis: int, ndim: int) -> int:
    """Return `axis` counted from the front.

    Raises:
        ShapeError: the axis is not within [-ndim, ndim).
    """
    if not -ndim <= axis < ndim:
        raise ShapeError(f"axis {axis} is out of range for {ndim} axes: use {-ndim} to {ndim - 1}")
    return axis % ndim


def normalize_axes(axes: Sequence[int], ndim: int) -> tuple[int, ...]:
    """Return `axes` counted from the front, in the given order.

    Raises:
        ShapeError: an axis is out of range or repeated.
    """
    result = tuple(normalize_axis(axis, ndim) for axis in axes)
    if len(set(result)) != len(result):
        raise ShapeError(f"axes {tuple(axes)} name one of {ndim} axes twice")
    return result


def permute(shape: Shape, axes: Sequence[int]) -> Shape:
    """Return `shape` with its axes in the order `axes`."""
    order = normalize_axes(axes, len(shape))
    if len(order) != len(shape):
        raise ShapeError(
            f"permute of {shape_text(shape)} needs {len(shape)} axes, got {tuple(axes)}"
        )
    return tuple(shape[axis] for axis in order)


def expand_dims(shape: Shape, axes: Sequence[int]) -> Shape:
    """Return `shape` with an axis of size 1 at each of `axes`, which count in the result."""
    ones = normalize_axes(axes, len(shape) + len(axes))
    sizes = iter(shape)
    return tuple(1 if axis in ones else next(sizes) for axis in range(len(shape) + len(axes)))


def squeeze(shape: Shape, axes: Sequence[int] | None = None, facts: Facts = NO_FACTS) -> Shape:
    """Return `shape` without the given axes of size 1; all that are provably 1 for None.

    Raises:
        ShapeError: a given axis is not 1.
        UnprovenShapeError: a given axis is symbolic and not known to be 1.
    """
    if axes is None:
        return tuple(d for d in shape if prove(Equal(d, 1), facts) is not Proof.YES)
    dropped = normalize_axes(axes, len(shape))
    for axis in dropped:
        _check_one(shape, axis, facts)
    return tuple(d for axis, d in enumerate(shape) if axis not in dropped)


def _check_one(shape: Shape, axis: int, facts: Facts) -> None:
    fact = Equal(shape[axis], 1)
    match prove(fact, facts):
        case Proof.YES:
            return
        case Proof.NO:
            raise ShapeError(f"cannot squeeze axis {axis} of {shape_text(shape)}: it is not 1")
        case Proof.UNKNOWN:
            raise UnprovenShapeError(
                f"squeeze of axis {axis} of {shape_text(shape)} needs {fact}, which is not known; "
                "state it with dims=, or cast with match_cast",
                (fact,),
            )


def concat_size(dims: Sequence[Dim]) -> Dim:
    """Return the size of the concatenated axis."""
    total: Dim = 0
    for d in dims:
        total = total + d
    return total


def row_major_strides(shape: Shape) -> tuple[Dim, ...]:
    """Return the elements between neighbours along each axis of a compact array."""
    strides: list[Dim] = []
    step: Dim = 1
    for d in reversed(shape):
        strides.append(step)
        step = step * d
    return tuple(reversed(strides))
