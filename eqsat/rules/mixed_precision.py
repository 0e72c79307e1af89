"""Opt-in: products with operands in half precision, sums in float32.

`mixed_precision` uses bfloat16, which has the range of float32; `half_precision` uses float16, more
exact but wrong beyond 65504 and coarse below 6e-5. Bounds are componentwise, relative to the
product of the absolute values (Higham, Accuracy and Stability of Numerical Algorithms, section
3.5): an operand rounded to p bits is off by at most 2^-p of itself.
"""

# ruff: noqa: D103 -- the name and the two sides say what a rule is

from __future__ import annotations

from typing import Annotated

from eqsat.rules._language import IntAttr, IntsAttr, Pattern, Sides, StrAttr, ops, tensor
from eqsat.rules._predicates import is_constant, is_not_constant
from eqsat.rules._rule import APPROXIMATE, Accuracy, Phase, RuleSet

mixed_precision = RuleSet("mixed_precision", Phase.EXPLORE)
half_precision = RuleSet("half_precision", Phase.EXPLORE)

Rows = Annotated[Pattern, tensor("... m k", dtype="float32")]
Matrix = Annotated[Pattern, tensor("k n", dtype="float32")]
Batches = Annotated[Pattern, tensor("... k n", dtype="float32")]
Image = Annotated[Pattern, tensor("n c h w", dtype="float32")]
Kernel = Annotated[Pattern, tensor("o i p q", dtype="float32")]

SOURCE = "Micikevicius et al. (2018): mixed precision; Higham (2002), section 3.5"
BFLOAT16_BITS = 8
FLOAT16_BITS = 11
_SUMS = 2.0**-18  # what sums in float32 in another order may add, for the sizes that are tested


def _accuracy(bits: int, num_operands: int) -> Accuracy:
    """Return the bound for products of operands rounded to `bits`."""
    u = 2.0**-bits
    return Accuracy(relative=num_operands * u + (num_operands - 1) * u * u + _SUMS)


def _rounded(x: Pattern, dtype: str) -> Pattern:
    return ops.astype(ops.astype(x, dtype=dtype), dtype="float32")


# A weight alone: it takes half the memory, and a product with few rows waits for little else.


@mixed_precision.rule(
    source=SOURCE,
    numerics=APPROXIMATE,
    accuracy=_accuracy(BFLOAT16_BITS, 1),
    when=[is_constant("w"), is_not_constant("x")],
)
def weight_in_bfloat16(x: Rows, w: Matrix) -> Sides:
    return x @ w, x @ _rounded(w, "bfloat16")


@half_precision.rule(
    source=SOURCE,
    numerics=APPROXIMATE,
    accuracy=_accuracy(FLOAT16_BITS, 1),
    when=[is_constant("w"), is_not_constant("x")],
)
def weight_in_float16(x: Rows, w: Matrix) -> Sides:
    return x @ w, x @ _rounded(w, "float16")


# Both operands, for machines that multiply half precision faster.


def _product(x: Pattern, y: Pattern, dtype: str) -> Pattern:
    a, b = ops.astype(x, dtype=dtype), ops.astype(y, dtype=dtype)
    return ops.matmul(a, b, out_dtype="float32")


@mixed_precision.rule(source=SOURCE, numerics=APPROXIMATE, accuracy=_accuracy(BFLOAT16_BITS, 2))
def product_in_bfloat16(x: Rows, y: Batches) -> Sides:
    return x @ y, _product(x, y, "bfloat16")


@half_precision.rule(source=SOURCE, numerics=APPROXIMATE, accuracy=_accuracy(FLOAT16_BITS, 2))
def product_in_float16(x: Rows, y: Batches) -> Sides:
    return x @ y, _product(x, y, "float16")


def _convolution(
    x: Pattern,
    w: Pattern,
    s: IntsAttr,
    p: IntsAttr,
    d: IntsAttr,
    g: IntAttr,
    o: StrAttr,
    dtype: str,
) -> tuple[Pattern, Pattern]:
    def conv(a: Pattern, b: Pattern, out_dtype: str | None) -> Pattern:
        return ops.nn.conv2d(
            a, b, strides=s, padding=p, dilation=d, groups=g, out_layout=o, out_dtype=out_dtype
        )

    half = conv(ops.astype(x, dtype=dtype), ops.astype(w, dtype=dtype), "float32")
    return conv(x, w, None), half


@mixed_precision.rule(
    source=SOURCE,
    numerics=APPROXIMATE,
    accuracy=_accuracy(BFLOAT16_BITS, 2),
)
def convolution_in_bfloat16(
    x: Image, w: Kernel, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, o: StrAttr
) -> Sides:
    return _convolution(x, w, s, p, d, g, o, "bfloat16")


@half_precision.rule(
    source=SOURCE,
    numerics=APPROXIMATE,
    accuracy=_accuracy(FLOAT16_BITS, 2),
)
def convolution_in_float16(
    x: Image, w: Kernel, s: IntsAttr, p: IntsAttr, d: IntsAttr, g: IntAttr, o: StrAttr
) -> Sides:
    return _convolution(x, w, s, p, d, g, o, "float16")
