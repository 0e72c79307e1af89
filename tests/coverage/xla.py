"""Rewrites of XLA: the algebraic simplifier handler by handler, then the other passes.

The names are those of the handlers of `algebraic_simplifier.cc`, and of the passes' files.
"""

from __future__ import annotations

from tests.coverage import (
    _xla_arithmetic,
    _xla_indexing,
    _xla_logic,
    _xla_passes,
    _xla_products,
    _xla_reductions,
    _xla_views,
)
from tests.coverage._rows import Row

ROWS: tuple[Row, ...] = (
    *_xla_arithmetic.ROWS,
    *_xla_logic.ROWS,
    *_xla_views.ROWS,
    *_xla_indexing.ROWS,
    *_xla_reductions.ROWS,
    *_xla_products.ROWS,
    *_xla_passes.ROWS,
)
