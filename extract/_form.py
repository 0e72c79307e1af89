"""One way to compute a tensor class, with all that fusing and pricing need."""

from __future__ import annotations

from dataclasses import dataclass

from eqsat._snapshot import ClassId, ENode
from eqsat.rules.fusion import NodeKind
from eqsat.shapes import Shape


@dataclass(frozen=True, slots=True)
class Rows:
    """How a reduction or norm sees its input: `rows` leading dims, `trailing` ones reduced."""

    rows: Shape
    trailing: Shape

    @property
    def full(self) -> Shape:
        """The shape of the input."""
        return self.rows + self.trailing

    def is_statistic(self, shape: Shape) -> bool:
        """Tell whether `shape` holds one number per row."""
        return shape == self.rows or self.is_kept(shape)

    def is_kept(self, shape: Shape) -> bool:
        """Tell whether `shape` is that of a statistic with the reduced axes kept as 1."""
        return shape == self.rows + (1,) * len(self.trailing)


@dataclass(frozen=True, eq=False, slots=True)
class Form:
    """One way to compute class number `root`.

    Attributes:
        index: number of the form among all.
        parts: the e-nodes, with their classes: one, or the field access and the operator it reads.
        children: class numbers read, each once; absorbed constants left out.
        reads: per child, the elements read to compute the whole result.
        aligned: per child, whether element i of the result reads element i of the child.
        element_s: seconds of arithmetic per element of the result, repeated where it is recomputed.
        fixed_s: seconds of arithmetic of the whole, never repeated.
        element_flops: `element_s` in flops.
        rows: for reductions and row operators over trailing axes.
    """

    index: int
    root: int
    parts: tuple[tuple[ClassId, ENode], ...]
    op: str
    kind: NodeKind
    children: tuple[int, ...]
    reads: tuple[float, ...]
    aligned: tuple[bool, ...]
    element_s: float
    fixed_s: float
    element_flops: float
    selects: int
    rows: Rows | None
    is_alias: bool
    is_bijective: bool

    @property
    def is_program(self) -> bool:
        """Whether the program itself has these e-nodes."""
        return all(n.rule == "" for _, n in self.parts)
