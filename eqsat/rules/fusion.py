"""Fusion rules as data: how a kernel grows by taking a producer into it.

A kernel is grown from its root downwards: an e-node takes the kernel of one of its operands inside,
so that the operand never reaches memory. A rule says which e-node may take which kernel, on what
condition, and what kernel comes out. `extract/` applies these to all equal forms and prices the
results; whether fusing pays is never decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Template = Literal[
    "pointwise", "view", "gather", "reduction", "row", "contraction", "window", "opaque"
]
"""The way a kernel is lowered.

pointwise: one loop nest over the result. view: the same, only moving. gather: the same, at
positions that are data. reduction: one reduction of what is computed on the fly. row: several
passes over the trailing axes while a row stays in cache. contraction, window: tiles with a prologue
on the operands and an epilogue on the result. opaque: one operator alone.
"""

NodeKind = Literal[
    "pointwise",
    "view",
    "gather",
    "create",
    "reduction",
    "contraction",
    "window",
    "row",
    "scan",
    "opaque",
]
"""How an e-node fuses; `OpKind` in lower case."""

Condition = Literal[
    "always",
    "same_shape",
    "bijective",
    "few_selects",
    "cheap_prologue",
    "same_rows",
    "row_statistic",
    "row_input",
]
"""What must hold; `extract/_conditions.py` decides it.

always: nothing.
same_shape: the producer's result has the shape of the consumer's, and no view was taken at its end.
bijective: the consumer reads every element of the producer exactly once (reshape, permute_dims …).
few_selects: at most `MAX_SELECTS` choices between sources (concat, pad) in one kernel.
cheap_prologue: `few_selects`, and at most `MAX_PROLOGUE_FLOPS` per element.
same_rows: producer and consumer work on the same rows with the same trailing axes.
row_statistic: the consumer reshapes or broadcasts the one number per row that the producer makes.
row_input: the consumer reduces or normalises trailing axes, and its rows are computed on the fly.
"""

MAX_SELECTS = 3
MAX_PROLOGUE_FLOPS = 40.0
MAX_INTERIOR = 32
MAX_LEAVES = 12

ALIAS_VIEWS = frozenset({"reshape", "squeeze", "expand_dims", "flatten", "nn.batch_flatten"})
"""Views that keep the row-major order: of a tensor in memory they are the same memory."""

BIJECTIVE_VIEWS = ALIAS_VIEWS | {"permute_dims"}
"""Views that move every element to exactly one place."""

ARITHMETIC_REDUCTIONS = frozenset({"sum", "mean", "max", "min", "prod"})
"""Reductions with one number per row that a row kernel can hold."""


@dataclass(frozen=True, slots=True)
class FusionRule:
    """`consumer ← producer` gives `template`, if `condition` holds.

    `consumer` is the kind of the e-node at the root of the growing kernel, `producer` the template
    of the kernel that it takes in.
    """

    consumer: NodeKind
    producer: Template
    condition: Condition
    template: Template


def _rules(
    consumers: tuple[NodeKind, ...],
    producers: tuple[Template, ...],
    condition: Condition,
    template: Template,
) -> tuple[FusionRule, ...]:
    return tuple(FusionRule(c, p, condition, template) for c in consumers for p in producers)


FUSION_RULES: tuple[FusionRule, ...] = (
    # Chains: index arithmetic and arithmetic in one loop nest.
    *_rules(("pointwise",), ("pointwise", "view"), "few_selects", "pointwise"),
    *_rules(("view",), ("view",), "few_selects", "view"),
    *_rules(("view",), ("pointwise",), "few_selects", "pointwise"),
    *_rules(("gather",), ("pointwise", "view", "gather"), "few_selects", "gather"),
    *_rules(("pointwise", "view"), ("gather",), "few_selects", "gather"),
    # Prologues: operands computed while they are packed or loaded.
    *_rules(("contraction",), ("pointwise", "view"), "cheap_prologue", "contraction"),
    *_rules(("window",), ("pointwise", "view"), "cheap_prologue", "window"),
    *_rules(("reduction",), ("pointwise", "view", "gather"), "few_selects", "reduction"),
    # Epilogues: what follows a tile is computed while it is in registers.
    *_rules(("pointwise",), ("contraction",), "same_shape", "contraction"),
    *_rules(("pointwise",), ("window",), "same_shape", "window"),
    *_rules(("view",), ("contraction",), "bijective", "contraction"),
    *_rules(("view",), ("window",), "bijective", "window"),
    # Row kernels: statistics over trailing axes and back, softmax and norms.
    *_rules(("row",), ("pointwise", "view", "gather"), "row_input", "row"),
    *_rules(("row", "reduction", "pointwise"), ("row", "reduction"), "same_rows", "row"),
    *_rules(("view",), ("row", "reduction"), "row_statistic", "row"),
)
"""All fusion rules. At most one contraction, window or set of rows stands in a kernel."""
