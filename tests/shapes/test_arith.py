"""Shapes of results agree with NumPy, and with brute force where sizes are symbolic."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqsat.shapes import (
    NO_FACTS,
    Equal,
    Shape,
    ShapeError,
    UnprovenShapeError,
    broadcast,
    broadcast_all,
    concat_size,
    conv_out,
    conv_transpose_out,
    dim_max,
    evaluate,
    expand_dims,
    normalize_axes,
    normalize_axis,
    permute,
    pool_out,
    reshape,
    row_major_strides,
    slice_length,
    squeeze,
    sym,
)
from tests.shapes.strategies import FIXED

n, m = sym("n"), sym("m")
INT64_MAX = 2**63 - 1

small_shapes = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@FIXED
@given(st.lists(small_shapes, max_size=3))
def test_broadcast_agrees_with_numpy(shapes: list[tuple[int, ...]]) -> None:
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError, match="cannot broadcast"):
            broadcast_all(shapes)
        return
    assert broadcast_all(shapes) == expected


def test_broadcast_of_symbols() -> None:
    assert broadcast((n, 1), (m,)) == (n, m)
    assert broadcast((n, 4), (n, 1)) == (n, 4)
    assert broadcast((n,), (4,), NO_FACTS.with_equal(n, 4)) == (4,)
    assert broadcast((n,), (m,), NO_FACTS.with_range("n", 1, 1)) == (m,)
    with pytest.raises(ShapeError, match=r"\(n, 4\) with \(n \+ 1, 4\): axis -2 has n and n \+ 1"):
        broadcast((n, 4), (n + 1, 4))
    with pytest.raises(UnprovenShapeError, match=r"needs n == m, which(.|\n)*match_cast") as error:
        broadcast((n, 4), (m, 4))
    assert error.value.needed == (Equal(n, m),)


@FIXED
@given(small_shapes, st.lists(st.integers(-1, 6), max_size=3).map(tuple))
def test_reshape_agrees_with_numpy(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    copied = new
    if 0 not in old:  # as in TVM, a 0 that cannot be one is the old size
        copied = tuple(old[a] if d == 0 and a < len(old) else d for a, d in enumerate(new))
    try:
        expected = np.empty(old).reshape(copied).shape
    except ValueError:
        with pytest.raises(ShapeError, match="cannot reshape"):
            reshape(old, new)
        return
    assert reshape(old, new) == expected


def test_reshape_of_symbols() -> None:
    assert reshape((n, 3, 4), (-1, 6)) == (n * 2, 6)
    assert reshape((n, m), (m, -1)) == (m, n)
    assert reshape((2 * n,), (2, n)) == (2, n)
    assert reshape((n,), (m, 4)) == (m, 4)
    with pytest.raises(ShapeError, match=r"\(n, 4\) to \(n, 5\): n \* 4 elements do not fill n"):
        reshape((n, 4), (n, 5))
    with pytest.raises(ShapeError, match="axes \\[0, 1\\] are"):
        reshape((n, 4), (-1, -1))


positions = st.integers(-9, 9) | st.sampled_from((INT64_MAX, -INT64_MAX, 2**31 - 1, -(2**63)))


@FIXED
@given(st.integers(0, 8), positions, positions, st.sampled_from((-3, -2, -1, 1, 2, 3)))
def test_slice_length_agrees_with_python(size: int, begin: int, end: int, stride: int) -> None:
    expected = len(range(size)[begin:end:stride])
    assert slice_length(size, begin, end, stride) == expected
    facts = NO_FACTS.with_range("n", 0)
    symbolic = slice_length(n, begin, end, stride, facts)
    assert evaluate(symbolic, {"n": size}) == expected


@FIXED
@given(st.integers(0, 6), st.integers(0, 6), st.sampled_from((-2, -1, 1, 2)))
def test_slice_length_with_symbolic_positions(size: int, begin: int, stride: int) -> None:
    facts = NO_FACTS.with_range("n", 0).with_range("m", 0)
    end = n if stride > 0 else -INT64_MAX
    symbolic = slice_length(n, m, end, stride, facts)
    expected = len(range(size)[begin : size if stride > 0 else None : stride])
    assert evaluate(symbolic, {"n": size, "m": begin}) == expected


def test_slice_length_of_symbols() -> None:
    assert slice_length(n, 0, INT64_MAX) is n
    assert slice_length(n, 0, n) is n
    assert slice_length(n, 1, INT64_MAX) is n - 1
    assert slice_length(n, -1, INT64_MAX) == 1
    assert slice_length(n + 4, 2, 4) == 2
    assert slice_length(n, -1, -INT64_MAX, -1) is n
    assert slice_length(n, 0, 8, facts=NO_FACTS.with_range("n", 16)) == 8
    with pytest.raises(UnprovenShapeError, match="slice position m - 2 of an axis of size n has"):
        slice_length(n, m - 2, n)
    with pytest.raises(ShapeError, match="stride 0"):
        slice_length(n, 0, n, 0)


windows = st.tuples(
    st.integers(1, 9),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(0, 2),
)


@FIXED
@given(windows)
def test_conv_out_counts_windows(case: tuple[int, int, int, int, int, int]) -> None:
    size, kernel, stride, dilation, before, after = case
    last = size + before + after - dilation * (kernel - 1)
    expected = len(range(0, last, stride))
    if expected == 0:
        with pytest.raises(ShapeError, match="does not fit on an axis"):
            conv_out(*case)
        return
    assert conv_out(*case) == expected
    rounded_up = math.ceil((last - 1) / stride) + 1
    outside = (rounded_up - 1) * stride >= size + before
    assert pool_out(*case, ceil_mode=True) == rounded_up - outside
    assert evaluate(conv_out(n, *case[1:]), {"n": size}) == expected


@FIXED
@given(windows)
def test_conv_transpose_out_inverts_conv_out(case: tuple[int, int, int, int, int, int]) -> None:
    size, kernel, stride, dilation, before, after = case
    result = (size - 1) * stride + dilation * (kernel - 1) + 1 - before - after
    if result < 1:
        return
    assert conv_transpose_out(*case) == result
    assert conv_out(result, kernel, stride, dilation, before, after) == size


def test_windows_of_symbols() -> None:
    assert conv_out(n, 3, 1, 1, 1, 1) is n
    assert conv_out(n, 1, 2) is (n - 1) // 2 + 1
    assert conv_out(n, m) is n - m + 1
    assert conv_transpose_out(n, 2, 2) is 2 * n
    with pytest.raises(ShapeError, match="stride 0 and dilation 1"):
        conv_out(n, 3, 0)
    with pytest.raises(ShapeError, match="output padding 2"):
        conv_transpose_out(n, 2, 2, output_padding=2)
    with pytest.raises(ShapeError, match="too large"):
        conv_transpose_out(1, 1, 1, pad_before=2)


@FIXED
@given(small_shapes, st.data())
def test_axes_agree_with_numpy(shape: tuple[int, ...], data: st.DataObject) -> None:
    x = np.empty(shape, np.int8)
    order = data.draw(st.permutations(range(len(shape))))
    signed = [axis - len(shape) * data.draw(st.integers(0, 1)) for axis in order]
    assert permute(shape, signed) == x.transpose(order).shape
    count = data.draw(st.integers(0, 2))
    rank = len(shape) + count
    axes = data.draw(
        st.lists(st.integers(0, rank - 1), unique=True, min_size=count, max_size=count)
        if rank
        else st.just([])
    )
    expanded = np.expand_dims(x, tuple(axes))
    assert expand_dims(shape, axes) == expanded.shape
    assert squeeze(expanded.shape, axes) == shape
    assert squeeze(shape) == x.squeeze().shape
    if x.size:
        assert row_major_strides(shape) == tuple(np.empty(shape, np.int8).strides)


def test_axis_errors() -> None:
    assert normalize_axis(-1, 3) == 2
    with pytest.raises(ShapeError, match="axis 3 is out of range for 3 axes: use -3 to 2"):
        normalize_axis(3, 3)
    with pytest.raises(ShapeError, match="name one of 3 axes twice"):
        normalize_axes((0, -3), 3)
    with pytest.raises(ShapeError, match="needs 2 axes"):
        permute((n, 2), (0,))
    with pytest.raises(ShapeError, match="it is not 1"):
        squeeze((2, n), (0,))
    with pytest.raises(UnprovenShapeError, match="needs n == 1"):
        squeeze((2, n), (1,))


def test_symbolic_strides_and_concat() -> None:
    shape: Shape = (n, m, 4)
    assert row_major_strides(shape) == (m * 4, 4, 1)
    assert concat_size([n, 2, n]) is 2 * n + 2
    assert squeeze((n, 1, dim_max(1, m))) == (n, dim_max(m, 1))
