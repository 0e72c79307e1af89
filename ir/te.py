"""Tensor expressions: `te.compute`, `te.reduce` …."""

from eqsat.ir._te import (
    Combiner,
    ProducerLoad,
    Reduce,
    Tensor,
    compute,
    identity,
    placeholder,
    reduce,
    reduce_axis,
)

__all__ = [
    "Combiner",
    "ProducerLoad",
    "Reduce",
    "Tensor",
    "compute",
    "identity",
    "placeholder",
    "reduce",
    "reduce_axis",
]
