"""Images resized one axis after the other."""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.rules._language import Dims, Pattern, Sides, StrAttr, ops, tensor
from eqsat.rules._resolve import Known
from eqsat.rules._rule import ROUNDING, Phase, RuleSet, predicate
from eqsat.rules._terms import ShapeVar
from eqsat.shapes import Equal, Positive, Shape

resizing = RuleSet("resizing", Phase.SIMPLIFY)

Image = Annotated[Pattern, tensor("n c h w", dtype="float")]


@predicate
def resizes_one_axis_each(x: Known, first: Shape, second: Shape) -> bool:
    """One resize leaves the width as it is, the other the height, or the other way round."""
    height, width = x.dims[2:]
    if len(first) != 2 or len(second) != 2 or not all(x.proves(Positive(d)) for d in x.dims[2:]):
        return False
    down_first = x.proves(Equal(first[1], width)) and x.proves(Equal(second[0], first[0]))
    across_first = x.proves(Equal(first[0], height)) and x.proves(Equal(second[1], first[1]))
    return down_first or across_first


@resizing.rule(
    source="a resize takes each axis by itself",
    numerics=ROUNDING,
    when=[resizes_one_axis_each("x", "s", "t")],
)
def resize_of_other_axis(x: Image, s: Dims, t: Dims, m: StrAttr, c: StrAttr, r: StrAttr) -> Sides:
    def resized(image: Pattern, size: ShapeVar) -> Pattern:
        return ops.image.resize2d(
            image, size, method=m, coordinate_transformation_mode=c, rounding_method=r
        )

    return resized(resized(x, s), t), resized(x, t)
