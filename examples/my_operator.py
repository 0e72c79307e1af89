"""An operator of one's own with the rule that recognises it, in a file of one's own.

`mish(x) = x · tanh(log(1 + exp(x)))` is declared once: type, NumPy meaning, loop-level meaning.
The verifier, TVMScript, fusion, lowering and native code follow from that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eqsat.ir import Attrs, Numerics, OpDef, Operand, OpKind, TensorType, Type, register_op, te, tir
from eqsat.rules import ROUNDING, Float, RuleSet, Sides, ops, types_agree


def infer(types: Sequence[Type], attrs: Attrs) -> Type:
    return types[0]


def reference(x: np.ndarray) -> np.ndarray:
    return x * np.tanh(np.log1p(np.exp(x)))


def compute(args: Sequence[Any], attrs: Attrs, out: Type) -> te.Tensor:
    x = args[0]
    assert isinstance(out, TensorType)

    def at(*i: tir.PrimExpr) -> tir.PrimExpr:
        value = x[i]
        soft = tir.Intrinsic("log", (1.0 + tir.Intrinsic("exp", (value,), x.dtype),), x.dtype)
        return value * tir.Intrinsic("tanh", (soft,), x.dtype)

    return te.compute("mish", out.dims, at)


mish = register_op(
    OpDef(
        name="my.mish",
        operands=(Operand("x"),),
        infer=infer,
        reference=reference,
        kind=OpKind.POINTWISE,
        compute=compute,
        numerics=Numerics.ROUNDING,
    )
)

mine = RuleSet("mish")


# The literal 1 may be a constant of any shape; `types_agree` leaves out those that broadcast x.
@mine.rule(source="Misra 2019, arXiv:1908.08681", numerics=ROUNDING, when=[types_agree])
def mish_from_softplus(x: Float) -> Sides:
    return x * ops.tanh(ops.log(1 + ops.exp(x))), ops.my.mish(x)
