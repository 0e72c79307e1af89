"""Memory for buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.lowering._aligned import address_of, aligned_block, aligned_empty


def owner(array: NDArray[Any]) -> int:
    """Return what identifies the memory of an array: the array that it is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return id(array)


__all__ = ["address_of", "aligned_block", "aligned_empty", "owner"]
