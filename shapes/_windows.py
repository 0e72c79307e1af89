"""Sizes of slices and of sliding windows along one axis."""

from eqsat.shapes._dims import Dim, ceildiv, dim_max, dim_min
from eqsat.shapes._errors import ShapeError, UnprovenShapeError
from eqsat.shapes._facts import NO_FACTS, Facts
from eqsat.shapes._prove import LessEqual, NonNegative, Positive, Proof, prove

# Exporters write INT_MAX or INT64_MAX, and their negatives, for "as far as there is".
_FAR = 2**31 - 1


def slice_length(size: Dim, begin: Dim, end: Dim, stride: int = 1, facts: Facts = NO_FACTS) -> Dim:
    """Return how many elements `x[begin:end:stride]` has where x has `size`, as in Python.

    Negative positions count from the end and all are clamped. Against a symbolic size, positions
    beyond +-(2^31 - 1) mean "to the end". For a negative stride, down to the first element
    inclusive is such a far negative `end`.

    Raises:
        ShapeError: the stride is 0.
        UnprovenShapeError: the sign of a symbolic position is not known.
    """
    if stride == 0:
        raise ShapeError(f"slice {begin}:{end} of an axis of size {size} has stride 0")
    if isinstance(size, int) and isinstance(begin, int) and isinstance(end, int):
        return len(range(*slice(begin, end, stride).indices(size)))
    first, last = (0, size) if stride > 0 else (-1, size - 1)
    start = _clamp(begin, size, first, last, facts)
    stop = _clamp(end, size, first, last, facts)
    distance = stop - start if stride > 0 else start - stop
    return ceildiv(_max(distance, 0, facts), abs(stride))


def _clamp(position: Dim, size: Dim, first: Dim, last: Dim, facts: Facts) -> Dim:
    """Return `position` from the front, within [first, last]."""
    if isinstance(position, int) and abs(position) >= _FAR:
        return last if position > 0 else first
    if prove(NonNegative(position), facts) is Proof.YES:
        return _min(position, last, facts)
    if prove(Positive(-position), facts) is Proof.YES:
        return _max(position + size, first, facts)
    needed = NonNegative(position)
    raise UnprovenShapeError(
        f"slice position {position} of an axis of size {size} has no known sign; state its range "
        "with dims=, or cast with match_cast",
        (needed,),
    )


def _min(a: Dim, b: Dim, facts: Facts) -> Dim:
    if prove(LessEqual(a, b), facts) is Proof.YES:
        return a
    return b if prove(LessEqual(b, a), facts) is Proof.YES else dim_min(a, b)


def _max(a: Dim, b: Dim, facts: Facts) -> Dim:
    if prove(LessEqual(a, b), facts) is Proof.YES:
        return b
    return a if prove(LessEqual(b, a), facts) is Proof.YES else dim_max(a, b)


def conv_out(
    size: Dim,
    kernel: Dim,
    stride: int = 1,
    dilation: int = 1,
    pad_before: Dim = 0,
    pad_after: Dim = 0,
) -> Dim:
    """Return how many windows of a convolution fit on a padded axis.

    Raises:
        ShapeError: stride or dilation below 1, or a window longer than the padded axis.
    """
    return pool_out(size, kernel, stride, dilation, pad_before, pad_after, ceil_mode=False)


def pool_out(
    size: Dim,
    kernel: Dim,
    stride: int = 1,
    dilation: int = 1,
    pad_before: Dim = 0,
    pad_after: Dim = 0,
    ceil_mode: bool = False,
) -> Dim:
    """Return how many windows of a pooling fit on a padded axis.

    With `ceil_mode` a last window may hang over the end; one that provably starts in the padding
    after it is dropped, as in TVM, torch and ONNX.

    Raises:
        ShapeError: stride or dilation below 1, or a window longer than the padded axis.
    """
    _check_steps(stride, dilation)
    room = size + pad_before + pad_after - dilation * (kernel - 1) - 1
    if prove(Positive(-room)) is Proof.YES:
        raise ShapeError(
            f"a window of {dilation * (kernel - 1) + 1} does not fit on an axis of {size} padded "
            f"by {pad_before} and {pad_after}"
        )
    if not ceil_mode:
        return room // stride + 1
    last = (room + stride - 1) // stride
    starts_outside = prove(LessEqual(size + pad_before, last * stride)) is Proof.YES
    return last if starts_outside else last + 1


def conv_transpose_out(
    size: Dim,
    kernel: Dim,
    stride: int = 1,
    dilation: int = 1,
    pad_before: Dim = 0,
    pad_after: Dim = 0,
    output_padding: int = 0,
) -> Dim:
    """Return the size of the result of a transposed convolution along one axis.

    Raises:
        ShapeError: stride or dilation below 1, output padding not below the larger of the two,
            or nothing left.
    """
    _check_steps(stride, dilation)
    if not 0 <= output_padding < max(stride, dilation):
        raise ShapeError(
            f"output padding {output_padding} must be at least 0 and below stride {stride} or "
            f"dilation {dilation}"
        )
    result = (size - 1) * stride - pad_before - pad_after
    result = result + dilation * (kernel - 1) + output_padding + 1
    if prove(Positive(-result)) is Proof.YES:
        raise ShapeError(
            f"transposed convolution of an axis of {size} leaves {result}: padding {pad_before} "
            f"and {pad_after} is too large"
        )
    return result


def _check_steps(stride: int, dilation: int) -> None:
    if stride < 1 or dilation < 1:
        raise ShapeError(f"stride {stride} and dilation {dilation} must be at least 1")
