"""Rewrites of xla."""

from __future__ import annotations

from tests.coverage._rows import Row

ROWS: tuple[Row, ...] = ()
