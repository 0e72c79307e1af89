"""Kernels → scheduled TensorIR, and the memory plan of a program."""

from eqsat.lowering._errors import LoweringError
from eqsat.lowering._grouping import group_single_ops
from eqsat.lowering._lower import lower_module
from eqsat.lowering._memory_plan import Lifetime, MemoryPlan, plan_memory
from eqsat.lowering._program import Launch, NativeProgram, Slot, SlotKind
from eqsat.lowering._target import Target

__all__ = [
    "Launch",
    "Lifetime",
    "LoweringError",
    "MemoryPlan",
    "NativeProgram",
    "Slot",
    "SlotKind",
    "Target",
    "group_single_ops",
    "lower_module",
    "plan_memory",
]

if __name__ == "lowering":
    raise ImportError(
        "import eqsat.lowering: the folder is a layer of eqsat, no package of its own"
    )
