"""Errors of the backends."""

from __future__ import annotations

from eqsat.ir import RuntimeCheckError
from eqsat.shapes import EqsatError


class CodegenError(EqsatError):
    """A PrimFunc uses a form or dtype that this backend cannot compile."""


class CacheError(EqsatError):
    """The cache of compiled code cannot be used where it was asked to be."""


__all__ = ["CacheError", "CodegenError", "RuntimeCheckError"]
