"""A kernel that could be chosen."""

from __future__ import annotations

from dataclasses import dataclass

from eqsat.extract._form import Form, Rows
from eqsat.rules.fusion import Template


@dataclass(eq=False, slots=True)
class Candidate:
    """A kernel that could be chosen.

    Attributes:
        root: the class written.
        interior: the form of the root and of every class inside.
        reads: leaf classes, constants included, with the bytes read of each.
        needs: leaf classes that some kernel must compute.
        element_flops: arithmetic per element of the root, for prologues.
        is_closed: a view stands at the end of a tile's epilogue; only more views may follow.
        flow_s: the estimate of this kernel and all below it.
    """

    root: int
    interior: dict[int, Form]
    reads: tuple[tuple[int, float], ...]
    needs: frozenset[int]
    template: Template
    time_s: float
    arithmetic_s: float
    element_flops: float
    selects: int
    rows: Rows | None
    is_closed: bool
    flow_s: float
