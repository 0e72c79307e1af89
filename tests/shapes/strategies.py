"""Random dims as trees, so that each can be computed without the code under test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product as all_tuples
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st

from eqsat.shapes import Dim, dim_max, dim_min, sym

SYMBOLS = ("n", "m", "k")
FIXED = settings(derandomize=True, deadline=None, max_examples=200)

Kind = Literal["sym", "int", "+", "-", "*", "//", "%", "min", "max"]


@dataclass(frozen=True)
class Tree:
    """An expression as it was asked for, not normalised."""

    kind: Kind
    value: int = 0
    name: str = ""
    args: "tuple[Tree, ...]" = ()

    def dim(self) -> Dim:
        """Build the dim through the operators under test."""
        if not self.args:
            return sym(self.name) if self.kind == "sym" else self.value
        a, b = (arg.dim() for arg in self.args)
        match self.kind:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "//":
                return a // b
            case "%":
                return a % b
            case "min":
                return dim_min(a, b)
            case "max":
                return dim_max(a, b)
            case "sym" | "int":
                raise AssertionError

    def number(self, env: Mapping[str, int]) -> int | None:
        """Compute with Python integers; None where a divisor is below 1."""
        if not self.args:
            return env[self.name] if self.kind == "sym" else self.value
        a, b = (arg.number(env) for arg in self.args)
        if a is None or b is None:
            return None
        match self.kind:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "//":
                return a // b if b >= 1 else None
            case "%":
                return a % b if b >= 1 else None
            case "min":
                return min(a, b)
            case "max":
                return max(a, b)
            case "sym" | "int":
                raise AssertionError


_leaves = st.sampled_from(SYMBOLS).map(lambda name: Tree("sym", name=name)) | st.integers(
    -3, 9
).map(lambda value: Tree("int", value=value))
sizes: st.SearchStrategy[Tree] = (
    st.integers(1, 6).map(lambda value: Tree("int", value=value))
    | st.sampled_from(SYMBOLS).map(lambda name: Tree("sym", name=name))
    | st.sampled_from(SYMBOLS).map(
        lambda name: Tree("+", args=(Tree("sym", name=name), Tree("int", value=1)))
    )
    | st.sampled_from(SYMBOLS).map(
        lambda name: Tree("*", args=(Tree("sym", name=name), Tree("int", value=2)))
    )
)


def _grow(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    ring: st.SearchStrategy[Kind] = st.sampled_from(("+", "-", "*", "min", "max"))
    division: st.SearchStrategy[Kind] = st.sampled_from(("//", "%"))
    return st.builds(_binary, ring, children, children) | st.builds(
        _binary, division, children, sizes
    )


def _binary(kind: Kind, a: Tree, b: Tree) -> Tree:
    return Tree(kind, args=(a, b))


trees: st.SearchStrategy[Tree] = st.recursive(_leaves, _grow, max_leaves=7)


def assignments(least: int = 0, most: int = 5) -> Iterator[dict[str, int]]:
    """Yield every assignment of small sizes to the symbols."""
    for values in all_tuples(range(least, most + 1), repeat=len(SYMBOLS)):
        yield dict(zip(SYMBOLS, values, strict=True))
