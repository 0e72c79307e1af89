"""The laws of sums and products, which are decided by a normal form instead of by search.

Reordering a sum of k terms by rules takes 3^k e-nodes. `eqsat/_ring.py` instead computes, of each
value, the polynomial that it is of other values, and unites those that have the same; no e-node is
added. It needs all laws of this set, and does nothing where one is left out.
"""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from eqsat.rules._language import Number, Sides, Tensor, compute
from eqsat.rules._resolve import Known
from eqsat.rules._rule import REASSOCIATES, Phase, RuleSet, types_agree

ring = RuleSet("ring", Phase.NORMAL_FORM)

RING = "axioms of a commutative ring"


@ring.rule(source=RING)
def sum_commutes(x: Tensor, y: Tensor) -> Sides:
    return x + y, y + x


@ring.rule(source=RING, numerics=REASSOCIATES)
def sum_associates(x: Tensor, y: Tensor, z: Tensor) -> Sides:
    return (x + y) + z, x + (y + z)


@ring.rule(source=RING)
def product_commutes(x: Tensor, y: Tensor) -> Sides:
    return x * y, y * x


@ring.rule(source=RING, numerics=REASSOCIATES)
def product_associates(x: Tensor, y: Tensor, z: Tensor) -> Sides:
    return (x * y) * z, x * (y * z)


@ring.rule(source=RING, numerics=REASSOCIATES)
def product_distributes(x: Tensor, y: Tensor, z: Tensor) -> Sides:
    return x * (y + z), x * y + x * z


def _plus_one(c: Known) -> float:
    assert c.number is not None
    return c.number + 1


@ring.rule(source=RING, numerics=REASSOCIATES, when=[types_agree])
def like_terms_join(x: Tensor, c: Number) -> Sides:
    return x * c + x, x * compute(_plus_one, c)
