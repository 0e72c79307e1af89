"""Errors of the backends."""

from __future__ import annotations

from eqsat.shapes import EqsatError


class CodegenError(EqsatError):
    """A PrimFunc uses a form or dtype that this backend cannot compile."""


class CacheError(EqsatError):
    """The cache of compiled code cannot be used where it was asked to be."""


class RuntimeCheckError(EqsatError):
    """The arguments of a call do not fit the compiled program; the message names the argument."""
