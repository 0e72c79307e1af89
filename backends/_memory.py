"""Memory for buffers."""

from __future__ import annotations

from eqsat.lowering._aligned import address_of, aligned_empty

__all__ = ["address_of", "aligned_empty"]
