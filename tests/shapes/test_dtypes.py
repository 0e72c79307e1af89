"""Dtype names agree with NumPy and ml_dtypes."""

import numpy as np
import pytest

from eqsat.shapes import (
    DTYPES,
    ShapeError,
    bits,
    dtype_name,
    is_bool,
    is_float,
    is_int,
    is_signed,
    itemsize,
    machine_epsilon,
    max_value,
    min_value,
    numpy_dtype,
    promote,
)


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_agrees_with_its_numpy_dtype(name: str) -> None:
    dtype = numpy_dtype(name)
    assert dtype_name(dtype) == name
    assert dtype_name(dtype.newbyteorder(">")) == name
    assert itemsize(name) == dtype.itemsize
    assert 1 <= bits(name) <= 8 * itemsize(name)
    assert is_float(name) + is_int(name) + is_bool(name) == 1


@pytest.mark.parametrize("name", DTYPES)
def test_limits_are_values_of_the_dtype(name: str) -> None:
    dtype = numpy_dtype(name)
    for limit in (min_value(name), max_value(name)):
        assert np.array(limit).astype(dtype).astype(np.array(limit).dtype) == limit
    assert (min_value(name) < 0) == is_signed(name)


@pytest.mark.parametrize("name", [name for name in DTYPES if is_float(name)])
def test_machine_epsilon_is_the_gap_after_one(name: str) -> None:
    dtype, epsilon = numpy_dtype(name), machine_epsilon(name)
    assert np.array(1 + epsilon).astype(dtype).astype(np.float64) == 1 + epsilon


def test_errors() -> None:
    assert promote("float16", "float16") == "float16"
    with pytest.raises(ShapeError, match="float16 and float32; convert one with astype"):
        promote("float16", "float32")
    with pytest.raises(ShapeError, match="unknown dtype 'f32'; known: bool"):
        numpy_dtype("f32")
    with pytest.raises(ShapeError, match=r"dtype is not known.*annotate it where the tensor comes"):
        numpy_dtype("void")
    with pytest.raises(ShapeError, match="has no tensor dtype"):
        dtype_name(np.dtype("complex64"))
    with pytest.raises(ShapeError, match="epsilon asked of int8"):
        machine_epsilon("int8")
