"""Which registers die where: jumps go forward only, so one walk from the end tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from eqsat.lowering._vm_program import (
    Assert,
    BindArguments,
    Branch,
    CallExtern,
    CallFunction,
    CallValue,
    Check,
    DefineSymbol,
    Forget,
    GetField,
    HostOperation,
    Instruction,
    Jump,
    MakeClosure,
    MakeScalar,
    MakeShape,
    MakeTuple,
    Move,
    Print,
    Registers,
    Render,
    Require,
    Return,
    RunPart,
    RunPrimFunc,
)


def with_deaths(
    code: Sequence[Instruction], kept: frozenset[int]
) -> tuple[tuple[Instruction, ...], frozenset[int]]:
    """Return the code with `dead` filled in, and the registers alive at its start.

    `kept` are registers that hold constants, which never die.
    """
    live: list[frozenset[int]] = [frozenset()] * (len(code) + 1)
    result = list(code)
    for k in reversed(range(len(code))):
        one = code[k]
        used = frozenset(reads(one)) - kept
        written = frozenset(writes(one))
        match one:
            case Return():
                after = frozenset[int]()
            case CallFunction(is_tail=True) | CallValue(is_tail=True):
                after = frozenset[int]()
            case Jump(target):
                after = live[target]
            case Branch(_, otherwise):
                here, there = live[k + 1], live[otherwise]
                after = here | there
                before = used | after
                result[k] = replace(
                    one,
                    dead=tuple(sorted(before - here)),
                    dead_otherwise=tuple(sorted(before - there)),
                )
                live[k] = before
                continue
            case _:
                after = live[k + 1]
        dead = (used | written) - after
        live[k] = used | (after - written)
        if dead:
            result[k] = replace(one, dead=tuple(sorted(dead)))
    return tuple(result), live[0]


def reads(one: Instruction) -> Registers:
    """Return the registers that an instruction reads."""
    match one:
        case (
            RunPart(args=args)
            | HostOperation(args=args)
            | RunPrimFunc(args=args)
            | CallFunction(args=args)
            | CallExtern(args=args)
            | Print(args=args)
            | Assert(args=args)
            | Render(args=args)
            | MakeTuple(args=args)
            | MakeClosure(args=args)
        ):
            return args
        case CallValue(callee, args) | BindArguments(callee, args):
            return (callee, *args)
        case (
            GetField(value=value)
            | Check(value=value)
            | DefineSymbol(value=value)
            | Move(value=value)
            | Return(value=value)
        ):
            return (value,)
        case Branch(condition):
            return (condition,)
        case MakeShape() | MakeScalar() | Require() | Forget() | Jump():
            return ()
        case _:
            assert_never(one)


def writes(one: Instruction) -> Registers:
    """Return the registers that an instruction writes."""
    match one:
        case RunPart(results=results):
            return results
        case (
            HostOperation(result=result)
            | RunPrimFunc(result=result)
            | CallFunction(result=result)
            | CallValue(result=result)
            | CallExtern(result=result)
            | Print(result=result)
            | Assert(result=result)
            | Render(result=result)
            | MakeTuple(result=result)
            | GetField(result=result)
            | MakeShape(result=result)
            | MakeScalar(result=result)
            | MakeClosure(result=result)
            | BindArguments(result=result)
            | Move(result=result)
        ):
            return (result,)
        case Check() | Require() | DefineSymbol() | Forget() | Branch() | Jump() | Return():
            return ()
        case _:
            assert_never(one)
