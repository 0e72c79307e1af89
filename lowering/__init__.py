"""Kernels → scheduled TensorIR, and the memory plan of a program."""

from eqsat.lowering._errors import LoweringError
from eqsat.lowering._grouping import group_single_ops
from eqsat.lowering._guard_calls import guard_prim_calls
from eqsat.lowering._kernel import to_dim
from eqsat.lowering._lower import lower_module
from eqsat.lowering._memory_plan import Lifetime, MemoryPlan, plan_memory
from eqsat.lowering._native_ops import PART, has_known_loops, is_native_call
from eqsat.lowering._outline import is_straight_line, outline
from eqsat.lowering._program import Launch, NativeProgram, Slot, SlotKind
from eqsat.lowering._raise_ops import calls_as_operators
from eqsat.lowering._structure import structural_key
from eqsat.lowering._target import Target
from eqsat.lowering._vm_lower import HostOperations, lower_vm
from eqsat.lowering._vm_program import Parameter as VmParameter
from eqsat.lowering._vm_program import VmFunction, VmProgram

__all__ = [
    "PART",
    "HostOperations",
    "Launch",
    "Lifetime",
    "LoweringError",
    "MemoryPlan",
    "NativeProgram",
    "Slot",
    "SlotKind",
    "Target",
    "VmFunction",
    "VmParameter",
    "VmProgram",
    "calls_as_operators",
    "group_single_ops",
    "guard_prim_calls",
    "has_known_loops",
    "is_native_call",
    "is_straight_line",
    "lower_module",
    "lower_vm",
    "outline",
    "plan_memory",
    "structural_key",
    "to_dim",
]

if __name__ == "lowering":
    raise ImportError(
        "import eqsat.lowering: the folder is a layer of eqsat, no package of its own"
    )
