"""Representative sizes: the numbers that stand for symbols when a kernel is priced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from eqsat._snapshot import INPUT, Snapshot
from eqsat.ir import TensorType, TupleType, Type
from eqsat.shapes import Dim, Shape, ShapeError, SymDim, evaluate, symbols

DEFAULT_SIZE = 128
DEFAULT_BATCH = 1


class Sizes(dict[str, int]):
    """Symbol → number."""

    @classmethod
    def of(cls, snapshot: Snapshot, dims: Mapping[str, int] | None = None) -> Sizes:
        """Return a number for every symbol of the program.

        `dims` decides where it names a symbol. Otherwise a symbol that is only ever the leading dim
        of inputs is a batch and stands at 1, any other at 128; both are clamped to the symbol's
        range and raised to a multiple of what is known to divide it.
        """
        names, leading = _symbols(snapshot)
        sizes = cls(dims or {})
        for name in sorted(names - set(sizes)):
            size = DEFAULT_BATCH if name in leading else DEFAULT_SIZE
            sizes[name] = _allowed(snapshot, name, size)
        return sizes


def _symbols(snapshot: Snapshot) -> tuple[set[str], set[str]]:
    names: set[str] = set()
    leading: set[str] = set()
    elsewhere: set[str] = set()
    for c in snapshot.classes.values():
        is_input = any(n.op == INPUT for n in c.nodes)
        for shape in shapes_of(c.type):
            names |= symbols(shape)
            if is_input and shape:
                leading |= {str(shape[0])} & symbols(shape[0])
                elsewhere |= symbols(shape[1:])
    return names, leading - elsewhere


def shapes_of(ty: Type) -> Iterable[Shape]:
    """Return the known shapes of a tensor or of the tensors of a tuple."""
    match ty:
        case TensorType(tuple() as shape):
            return (shape,)
        case TupleType(fields):
            return [s for f in fields for s in shapes_of(f)]
        case _:
            return ()


def _allowed(snapshot: Snapshot, name: str, size: int) -> int:
    lo, hi = snapshot.facts.range_of(name)
    size = max(size, int(lo))
    if hi != inf:
        size = min(size, int(hi))
    for dim, k in snapshot.facts.divisible:
        if isinstance(dim, SymDim) and str(dim) == name:
            raised = -(-size // k) * k
            size = raised if raised <= hi else size // k * k
    return size


def size_of(dim: Dim, sizes: Mapping[str, int]) -> int:
    """Return the number that `dim` stands for, at least 0.

    Raises:
        ShapeError: a symbol has no number.
    """
    if isinstance(dim, int):
        return dim
    try:
        return max(0, evaluate(dim, sizes))
    except ShapeError as error:
        error.add_note("give every symbol a representative size with dims=")
        raise
