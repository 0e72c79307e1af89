"""The one door to sympy: polynomial gcd and division, and the sympy view of a dim.

Imported only by the operations that need it, because importing sympy takes most of a second.
Knows polynomials as data, {product of atoms: coefficient}; `_dims` makes dims of them.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import sympy as _sympy  # pyright: ignore[reportMissingTypeStubs]  # sympy ships none

# Any: sympy's inferred types are wrong in places; this file is the border to it.
sympy: Any = _sympy


class _HasText(Protocol):
    @property
    def text(self) -> str: ...


A = TypeVar("A", bound=_HasText)


def cancel(
    a: Mapping[tuple[A, ...], int], b: Mapping[tuple[A, ...], int]
) -> tuple[dict[tuple[A, ...], int], dict[tuple[A, ...], int], dict[tuple[A, ...], int]]:
    """Return g, a / g and b / g for the greatest common divisor g of two polynomials."""
    atoms = _atoms(a, b)
    g, p, q = _element(a, atoms).cofactors(_element(b, atoms))
    return _terms(g, atoms), _terms(p, atoms), _terms(q, atoms)


def exact_divide(
    a: Mapping[tuple[A, ...], int], b: Mapping[tuple[A, ...], int]
) -> tuple[dict[tuple[A, ...], int], dict[tuple[A, ...], int]]:
    """Return q and r with a = q b + r, over integer polynomials."""
    atoms = _atoms(a, b)
    q, r = _element(a, atoms).div(_element(b, atoms))
    return _terms(q, atoms), _terms(r, atoms)


def _atoms(*polynomials: Mapping[tuple[A, ...], int]) -> list[A]:
    found = {atom: None for terms in polynomials for monomial in terms for atom in monomial}
    return sorted(found, key=lambda atom: atom.text)


def _element(terms: Mapping[tuple[A, ...], int], atoms: list[A]) -> Any:
    names = [f"x{i}" for i in range(len(atoms))]
    ring = sympy.polys.rings.PolyRing(names, sympy.ZZ, "grlex")
    powers = {tuple(m.count(atom) for atom in atoms): sympy.ZZ(c) for m, c in terms.items()}
    return ring.from_dict(powers)


def _terms(element: Any, atoms: list[A]) -> dict[tuple[A, ...], int]:
    terms: dict[tuple[A, ...], int] = {}
    for exponents, coefficient in element.items():
        powers = zip(atoms, exponents, strict=True)
        terms[tuple(atom for atom, power in powers for _ in range(power))] = int(coefficient)
    return terms


def to_sympy(d: Any) -> Any:
    """Return a dim as a `sympy.Expr` over nonnegative integer symbols.

    `d` is `Any` because naming `SymDim` here would import `_dims` in a circle.
    """
    if isinstance(d, int):
        return sympy.Integer(d)
    return sympy.Add(*(sympy.Mul(c, *(_atom_expr(a) for a in m)) for m, c in d.terms))


def _atom_expr(atom: Any) -> Any:
    if atom.kind == "sym":
        return sympy.Symbol(atom.name, integer=True, nonnegative=True)
    a, b = (to_sympy(arg) for arg in atom.args)
    match atom.kind:
        case "floordiv":
            return sympy.floor(a / b)
        case "mod":
            return sympy.Mod(a, b)
        case "min":
            return sympy.Min(a, b)
        case _:
            return sympy.Max(a, b)
