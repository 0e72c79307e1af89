"""What lowering hands to a backend: scheduled PrimFuncs, the buffers they use, and the order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import PrimFunc, TensorType
from eqsat.shapes import Dim, Facts

SlotKind = Literal["input", "constant", "output", "workspace"]


@dataclass(frozen=True, eq=False, slots=True)
class Slot:
    """A buffer of the program.

    Its memory is contiguous, row-major, 64-byte aligned (inputs: aligned to the element, so code
    must not assume more of them). The parameter bound to it may have another shape of the same
    elements in the same order. `offset_bytes` is the place of a workspace slot in the workspace.
    `alias_of` makes an output or workspace slot share the memory of another (a reshape that moves
    nothing). `value` is a constant's.
    """

    name: str
    type: TensorType
    kind: SlotKind
    offset_bytes: Dim = 0
    alias_of: int | None = None
    value: NDArray[np.generic] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Launch:
    """One kernel call: `func.params[i]` (all Buffers) is bound to slot `slots[i]`.

    Free shape variables of `func` are the program's symbols, by name. `func` is scheduled: its
    loops have their final kinds, and a "parallel" loop stands only at the top level of its body
    (several in sequence are allowed; there is a barrier after each).
    """

    func: PrimFunc
    slots: tuple[int, ...]
    label: str  # what it computes, for profiles: "conv2d + add + relu"
    template: str
    flops: Dim = 0
    bytes_moved: Dim = 0


@dataclass(frozen=True, eq=False, slots=True)
class NativeProgram:
    """A straight-line program of kernels over slots.

    `inputs` are slot numbers in call order; every symbol is bound by input shapes or passed by the
    caller (`given`); `symbols` are in the order of the dims array that kernels get. `outputs` may
    name an input or constant slot (returned as it is). `is_tuple` tells whether the function
    returns a tuple.
    """

    name: str
    slots: tuple[Slot, ...]
    launches: tuple[Launch, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    symbols: tuple[str, ...]
    workspace_bytes: Dim
    is_tuple: bool = False
    facts: Facts = field(default_factory=Facts)
    given: tuple[str, ...] = ()
    attrs: Mapping[str, str] = field(default_factory=dict[str, str])
