"""The error of lowering."""

from __future__ import annotations

from eqsat.shapes import EqsatError


class LoweringError(EqsatError):
    """A program cannot be turned into kernels; the message names the call and the way out."""
