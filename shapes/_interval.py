"""Interval arithmetic: bounds of a result from bounds of its operands."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class Interval(NamedTuple):
    """Inclusive bounds; an open end is an infinity, every finite end an exact `int`."""

    lo: float
    hi: float


RangeOf: TypeAlias = Callable[[str], Interval]


def nonnegative(_: str) -> Interval:
    """Return the range of a size of which nothing is known."""
    return Interval(0, math.inf)


def power_interval(base: Interval, exponent: int) -> Interval:
    """Return bounds of `base ** exponent`, for an exponent of at least 1."""
    result = base
    for _ in range(exponent - 1):
        result = product_interval(result, base)
    return Interval(max(result.lo, 0), result.hi) if exponent % 2 == 0 else result


def product_interval(a: Interval, b: Interval) -> Interval:
    """Return bounds of `a * b`."""
    # 0 * inf is nan in floating point, and 0 for bounds.
    ends = [x * y if x and y else 0 for x in a for y in b]
    return Interval(min(ends), max(ends))


def floordiv_interval(a: Interval, b: Interval) -> Interval:
    """Return bounds of `a // b`, where b is at least 1."""
    small, large = max(b.lo, 1), max(b.hi, 1)
    lo = _floor_ratio(a.lo, large if a.lo >= 0 else small)
    return Interval(lo, _floor_ratio(a.hi, small if a.hi >= 0 else large))


def mod_interval(a: Interval, b: Interval) -> Interval:
    """Return bounds of `a % b`, where b is at least 1."""
    hi = max(b.hi, 1) - 1
    if a.lo >= 0 and a.hi < max(b.lo, 1):
        return a
    return Interval(0, min(hi, a.hi) if a.lo >= 0 else hi)


def _floor_ratio(a: float, b: float) -> float:
    if math.isinf(a):
        return a
    return (0 if a >= 0 else -1) if math.isinf(b) else a // b
