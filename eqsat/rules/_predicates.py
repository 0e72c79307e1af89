"""Named predicates and computed values that several themes share. Unknown counts as no."""

from __future__ import annotations

from eqsat.ir import AttrValue
from eqsat.rules._resolve import Known
from eqsat.rules._rule import predicate, profit
from eqsat.shapes import Equal, Proof, Shape, equal_shapes, is_float, max_value


@profit
def is_constant(x: Known) -> bool:
    """Known at compile time: what is built from constants alone costs nothing at run time."""
    return x.is_constant


@profit
def is_not_constant(x: Known) -> bool:
    """Not known at compile time."""
    return not x.is_constant


@predicate
def rank_is(x: Known, rank: int) -> bool:
    """The rank is exactly `rank`."""
    return x.ndim == rank


@predicate
def rank_at_least(x: Known, rank: int) -> bool:
    """The rank is `rank` or more."""
    return x.ndim >= rank


@predicate
def same_rank(x: Known, y: Known) -> bool:
    """Both ranks are known and the same."""
    return x.ndim == y.ndim >= 0


@predicate
def same_shape(x: Known, y: Known) -> bool:
    """The shapes are provably the same."""
    return equal_shapes(x.dims, y.dims, x.facts) is Proof.YES


@predicate
def same_dtype(x: Known, y: Known) -> bool:
    """The dtypes are the same."""
    return x.dtype == y.dtype


@predicate
def is_floating(x: Known) -> bool:
    """The dtype is a floating-point one."""
    return is_float(x.dtype)


# --- ranges: real numbers have none -----------------------------------------------------------


@profit
def has_wide_range(x: Known) -> bool:
    """The dtype is not float16, where a product or sum that is scaled later may not be finite."""
    return x.dtype != "float16"


def _is_ordinary(number: float, dtype: str) -> bool:
    """Return whether the dtype holds the number with all its digits; zero is held."""
    largest = max_value(dtype)
    return number == 0 or 4 / largest <= abs(number) <= largest  # 4 / largest: the least normal


@profit
def product_is_ordinary(b: Known, c: Known) -> bool:
    """The product of two constants neither overflows nor loses digits.

    Where they are no single numbers, this is taken for granted of all dtypes but float16.
    """
    if not is_float(b.dtype):
        return True
    if b.number is None or c.number is None:
        return b.dtype != "float16"
    return _is_ordinary(b.number * c.number, b.dtype)


@profit
def reciprocal_is_ordinary(c: Known) -> bool:
    """The reciprocal of a constant neither overflows nor loses digits.

    Where it is no single number, this is taken for granted of all dtypes but float16.
    """
    if c.number is None:
        return c.dtype != "float16"
    return c.number != 0 and _is_ordinary(1 / c.number, c.dtype)


# --- elements and attributes ------------------------------------------------------------------


@predicate
def one_element(x: Known) -> bool:
    """Every size is provably 1, so that the tensor acts as a scalar."""
    return all(x.proves(Equal(d, 1)) for d in x.dims)


@predicate
def is_true(value: AttrValue) -> bool:
    """The attribute is set."""
    return value is True


# --- values for the right side --------------------------------------------------------------


def dims_of(x: Known) -> Shape:
    """Return the shape."""
    return x.dims


def dtype_of(x: Known) -> str:
    """Return the dtype."""
    return x.dtype
