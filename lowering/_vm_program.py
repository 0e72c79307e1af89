"""Programs of the virtual machine: registers, and instructions around native parts.

A register holds an array, a tuple, a shape (a tuple of ints), a number, a string, None or a
function. `dead` are the registers that nothing reads after an instruction; they are emptied before
it runs. `where` is the variable that the instruction computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eqsat.ir import AttrValue, OpDef, PrimFunc, TupleType, Type
from eqsat.lowering._program import NativeProgram
from eqsat.shapes import Dim, Shape

Registers = tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class RunPart:
    """`results = native part(args)`; `given` are the dims that the part's symbols have."""

    part: int
    args: Registers
    results: Registers
    given: tuple[tuple[str, Dim], ...] = ()
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class HostOperation:
    """`result = operator(args)` by its NumPy reference."""

    op: OpDef
    args: Registers
    attrs: Mapping[str, AttrValue]
    type: Type
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class RunPrimFunc:
    """`result = primfunc(args)` by the TensorIR interpreter.

    `inplace[i]` is the argument that output `i` overwrites, -1 for a new tensor; None: all new.
    """

    func: PrimFunc
    args: Registers
    type: Type
    inplace: tuple[int, ...] | None
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class CallFunction:
    """`result = function(args)`; as `is_tail` the frame of the caller is given up."""

    function: str
    args: Registers
    result: int
    is_tail: bool = False
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class CallValue:
    """`result = callee(args)` for a function held in a register."""

    callee: int
    args: Registers
    result: int
    is_tail: bool = False
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class CallExtern:
    """`result = Python function(args)` by its registered name.

    `outputs` are the types of arrays that are passed after the arguments to be written. `inplace`
    are the arguments that the function may overwrite: they are copied before.
    """

    name: str
    args: Registers
    type: Type
    result: int
    outputs: tuple[Type, ...] = ()
    inplace: tuple[int, ...] = ()
    dead: Registers = ()
    where: str = ""

    @property
    def type_is_tuple(self) -> bool:
        """Whether several values come back."""
        return isinstance(self.type, TupleType)


@dataclass(frozen=True, eq=False, slots=True)
class Print:
    """Writes values to the standard output."""

    format: str
    args: Registers
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Assert:
    """Fails unless the first argument is true."""

    format: str
    args: Registers
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Render:
    """`result` is the argument as text."""

    args: Registers
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class MakeTuple:
    """`result = (args...)`."""

    args: Registers
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class GetField:
    """`result = value[index]`."""

    value: int
    index: int
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class MakeShape:
    """`result = dims`, with the symbols of the frame."""

    dims: Shape
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class MakeScalar:
    """`result = dim`, with the symbols of the frame; a condition is 0 or 1 as a truth value."""

    dim: Dim
    result: int
    is_condition: bool = False
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class MakeClosure:
    """`result = function` with the values and symbols around it."""

    function: str
    args: Registers
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class BindArguments:
    """`result = callee` with its last parameters bound to `args`."""

    callee: int
    args: Registers
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Check:
    """Fails unless `value` is of `type`; symbols that are new get their values from it."""

    value: int
    type: Type
    name: str
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Require:
    """Fails unless the two dims are equal: the types in the function take it for granted."""

    a: Dim
    b: Dim
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class DefineSymbol:
    """The symbol `name` is the number in `value`."""

    name: str
    value: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Forget:
    """Symbols of a branch that has ended."""

    symbols: tuple[str, ...]
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Move:
    """`result = value`."""

    value: int
    result: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Branch:
    """Goes on if `condition` is true, else at `otherwise`; `dead_otherwise` die on that way."""

    condition: int
    otherwise: int
    dead: Registers = ()
    dead_otherwise: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Jump:
    """Goes on at `target`."""

    target: int
    dead: Registers = ()
    where: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Return:
    """Ends the function."""

    value: int
    dead: Registers = ()
    where: str = ""


Instruction = (
    RunPart
    | HostOperation
    | RunPrimFunc
    | CallFunction
    | CallValue
    | CallExtern
    | Print
    | Assert
    | Render
    | MakeTuple
    | GetField
    | MakeShape
    | MakeScalar
    | MakeClosure
    | BindArguments
    | Check
    | Require
    | DefineSymbol
    | Forget
    | Move
    | Branch
    | Jump
    | Return
)


@dataclass(frozen=True, eq=False, slots=True)
class FunctionRef:
    """A function of the program as a value."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class ExternRef:
    """A Python function as a value, by its registered name."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Parameter:
    """A parameter of a function."""

    name: str
    type: Type


@dataclass(frozen=True, eq=False, slots=True)
class VmFunction:
    """A function as instructions.

    Attributes:
        name: unique in the program; a local function's has a dot.
        params: bound to the registers from 0 on.
        captured: registers that a closure's values are put into, in order.
        own: the register of the closure itself, where a local function calls itself; -1: none.
        constants: what some registers hold from the start.
        num_registers: of a frame.
        code: the instructions; the last one that runs is a Return or a tail call.
        dead_on_entry: parameters that nothing reads.
    """

    name: str
    params: tuple[Parameter, ...]
    captured: Registers
    own: int
    constants: tuple[tuple[int, Any], ...]
    num_registers: int
    code: tuple[Instruction, ...]
    result: Type
    dead_on_entry: Registers = ()


@dataclass(frozen=True, eq=False, slots=True)
class VmProgram:
    """Functions, those that may be called from outside, and the native parts they share."""

    functions: Mapping[str, VmFunction]
    entries: tuple[str, ...]
    parts: tuple[NativeProgram, ...]
