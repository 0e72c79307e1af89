"""Memory that starts on a cache line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def aligned_empty(num_bytes: int) -> NDArray[np.uint8]:
    """Return uninitialised bytes that start on a 64-byte boundary."""
    raw = np.empty(num_bytes + 64, np.uint8)
    start = -address_of(raw) % 64
    return raw[start : start + num_bytes]


def address_of(array: NDArray[Any]) -> int:
    """Return where the data of an array starts."""
    return array.__array_interface__["data"][0]
