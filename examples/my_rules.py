"""A rewrite rule of one's own, in a file of one's own.

Check it:   eqsat rules check examples/my_rules.py
Use it:     eqsat optimize model.onnx --rules examples/my_rules.py
In Python:  eqsat.optimize(mod, rules=[*eqsat.default_rules(), mine])
"""

from eqsat.rules import Float as FloatTensor
from eqsat.rules import RuleSet, Sides, ops

mine = RuleSet("mine")


@mine.rule(source="definition of the absolute value")
def absolute_value_from_maximum(x: FloatTensor) -> Sides:
    return ops.maximum(x, -x), ops.abs(x)
