"""Named predicates and computed values that several themes share. Unknown counts as no."""

from __future__ import annotations

from eqsat.ir import AttrValue
from eqsat.rules._resolve import Known
from eqsat.rules._rule import predicate, profit
from eqsat.shapes import Equal, Proof, Shape, equal_shapes, is_float


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
