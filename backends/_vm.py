"""The virtual machine: frames on a stack of its own, and native parts that they call.

Recursion grows that stack and not Python's, and a tail call replaces its frame. Frames belong to
one call, so calls of several threads and calls from within calls do not meet but in native code,
which runs one part at a time in one workspace.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never, cast

import numpy as np

from eqsat.backends._call import Arena
from eqsat.backends._entry import entry
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._native import NativeCode
from eqsat.backends._vm_profile import Recorder
from eqsat.backends._vm_values import (
    ArgumentCheck,
    Closure,
    check_value,
    from_python,
    is_unshared,
    truth,
)
from eqsat.ir import (
    call_primfunc,
    check_assertion,
    empty_tensor,
    get_func,
    print_values,
    render,
    run_operator,
    shown,
)
from eqsat.lowering import VmFunction, VmProgram
from eqsat.lowering.vm import (
    Assert,
    BindArguments,
    Branch,
    CallExtern,
    CallFunction,
    CallValue,
    Check,
    DefineSymbol,
    ExternRef,
    Forget,
    FunctionRef,
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
    Render,
    Require,
    Return,
    RunPart,
    RunPrimFunc,
)
from eqsat.shapes import evaluate

# More of the functions that a call came through helps nobody.
_MOST_NOTES = 8


@dataclass(eq=False, slots=True)
class _Frame:
    """One call of a function; `result` is the register of the caller that gets its value."""

    function: VmFunction
    registers: list[Any]
    symbols: dict[str, int]
    result: int
    at: int = 0


class Machine:
    """A program with its native code, ready to run. Calls from several threads are safe."""

    def __init__(self, program: VmProgram, parts: Sequence[NativeCode]) -> None:
        self.program, self.parts = program, tuple(parts)
        self._templates = {f.name: _template(f) for f in program.functions.values()}
        self._checks = {f.name: ArgumentCheck(f.name, f.params) for f in program.functions.values()}
        self._arena = Arena()
        self._calls = [entry(p, self._arena, shared=True) for p in parts]

    @property
    def workspace_bytes(self) -> int:
        """The bytes of the one workspace that all native parts share."""
        return self._arena.num_bytes

    def call(self, function: str, args: Sequence[Any], recorder: Recorder | None = None) -> Any:
        """Return what a function of the program computes.

        Raises:
            RuntimeCheckError: a value does not fit its type; a note names the place.
        """
        return self._run(self._frame(Closure(self, function), args, -1), recorder)

    def call_closure(self, closure: Closure, args: Sequence[Any]) -> Any:
        """Return what a function value computes; Python code calls it."""
        return self._run(self._frame(closure, args, -1), None)

    # --- frames -----------------------------------------------------------------------------

    def _frame(self, closure: Closure, args: Sequence[Any], result: int) -> _Frame:
        f = self.program.functions[closure.function]
        if closure.last:
            args = [*args, *closure.last]
        symbols = self._checks[f.name](args, dict(closure.symbols or {}))
        registers = list(self._templates[f.name])
        registers[: len(args)] = args
        for r, value in zip(f.captured, closure.captured, strict=True):
            registers[r] = value
        if f.own >= 0:
            registers[f.own] = closure
        for r in f.dead_on_entry:
            registers[r] = None
        return _Frame(f, registers, symbols, result)

    def _run(self, first: _Frame, recorder: Recorder | None) -> Any:
        stack = [first]
        try:
            while True:
                done, value = self._until_call(stack, recorder)
                if done:
                    return value
        except Exception as error:
            _note_places(error, stack)
            raise

    def _until_call(self, stack: list[_Frame], recorder: Recorder | None) -> tuple[bool, Any]:
        """Run the newest frame until it calls or returns; say whether all is done."""
        frame = stack[-1]
        code, registers = frame.function.code, frame.registers
        while True:
            one = code[frame.at]
            frame.at += 1
            match one:
                case Branch():
                    self._branch(one, frame)
                case Jump():
                    frame.at = one.target
                case Return():
                    value = registers[one.value]
                    stack.pop()
                    if not stack:
                        return True, value
                    stack[-1].registers[frame.result] = value
                    return False, None
                case CallFunction():
                    args = _taken(one.args, one, registers)
                    self._enter(Closure(self, one.function), args, one, stack)
                    return False, None
                case CallValue():
                    callee, *args = _taken((one.callee, *one.args), one, registers)
                    callee = self._callable(callee)
                    if isinstance(callee, Closure) and callee.machine is self:
                        self._enter(callee, args, one, stack)
                        return False, None
                    value = from_python(callee(*args))
                    if one.is_tail:
                        return self._returned(value, stack)
                    registers[one.result] = value
                case _:
                    self._straight(one, frame, recorder)

    def _enter(
        self,
        closure: Closure,
        args: Sequence[Any],
        call: CallFunction | CallValue,
        stack: list[_Frame],
    ) -> None:
        if call.is_tail:
            frame = self._frame(closure, args, stack[-1].result)
            stack[-1] = frame
        else:
            stack.append(self._frame(closure, args, call.result))

    def _returned(self, value: Any, stack: list[_Frame]) -> tuple[bool, Any]:
        frame = stack.pop()
        if not stack:
            return True, value
        stack[-1].registers[frame.result] = value
        return False, None

    def _callable(self, value: Any) -> Any:
        match value:
            case Closure():
                return value
            case FunctionRef(name):
                return Closure(self, name)
            case ExternRef(name):
                return _registered(name)
            case _:
                if callable(value):
                    return value
                raise RuntimeCheckError(f"only a function can be called, got {shown(value)}")

    def _branch(self, one: Branch, frame: _Frame) -> None:
        if truth(frame.registers[one.condition]):
            dead = one.dead
        else:
            frame.at, dead = one.otherwise, one.dead_otherwise
        for r in dead:
            frame.registers[r] = None

    # --- instructions that need no other frame ----------------------------------------------

    def _straight(  # noqa: C901  # one case per instruction
        self, one: Instruction, frame: _Frame, recorder: Recorder | None
    ) -> None:
        registers, symbols = frame.registers, frame.symbols
        match one:
            case RunPart():
                self._part(one, frame, recorder)
            case GetField():
                value = _field(one, registers[one.value])
                _clear(one, registers)
                registers[one.result] = value
            case Move():
                value = registers[one.value]
                _clear(one, registers)
                registers[one.result] = value
            case Check():
                check_value(one.name, one.type, registers[one.value], symbols)
                _clear(one, registers)
            case MakeTuple():
                registers[one.result] = tuple(_taken(one.args, one, registers))
            case MakeShape():
                registers[one.result] = tuple(evaluate(d, symbols) for d in one.dims)
            case MakeScalar():
                registers[one.result] = evaluate(one.dim, symbols)
            case Require():
                _require(one, symbols)
            case DefineSymbol():
                symbols[one.name] = int(registers[one.value])
                _clear(one, registers)
            case Forget():
                for s in one.symbols:
                    symbols.pop(s, None)
            case MakeClosure():
                captured = tuple(_taken(one.args, one, registers))
                registers[one.result] = Closure(self, one.function, captured, dict(symbols))
            case BindArguments():
                callee, *args = _taken((one.callee, *one.args), one, registers)
                registers[one.result] = self._bound(self._callable(callee), args)
            case HostOperation() | RunPrimFunc() | CallExtern():
                self._on_host(one, frame, recorder)
            case Print():
                print_values(one.format, _taken(one.args, one, registers))
                registers[one.result] = ()
            case Assert():
                condition, *args = _taken(one.args, one, registers)
                check_assertion(condition, one.format, args)
                registers[one.result] = ()
            case Render():
                registers[one.result] = render(*_taken(one.args, one, registers))
            case Branch() | Jump() | Return() | CallFunction() | CallValue():
                raise AssertionError(one)
            case _:
                assert_never(one)

    def _bound(self, callee: Any, args: Sequence[Any]) -> Any:
        if isinstance(callee, Closure):
            last = (*args, *callee.last)
            return Closure(callee.machine, callee.function, callee.captured, callee.symbols, last)

        def bound(*first: Any) -> Any:
            return callee(*first, *args)

        return bound

    def _part(self, one: RunPart, frame: _Frame, recorder: Recorder | None) -> None:
        registers = frame.registers
        args = [registers[r] for r in one.args] + [evaluate(d, frame.symbols) for _, d in one.given]
        _clear(one, registers)
        if recorder is None:
            found = self._calls[one.part](*args)
        else:
            native = self.parts[one.part]
            stamps = np.zeros((len(native.program.launches) + 1, 2), np.int64)
            found = entry(native, self._arena, shared=True, stamps=stamps)(*args)
            env = native.env(*native.arguments(args, {}))
            recorder.part(one.part, native.program, stamps, env)
        results = found if self.parts[one.part].program.is_tuple else (found,)
        for r, array in zip(one.results, results, strict=True):
            registers[r] = array

    def _on_host(
        self,
        one: HostOperation | RunPrimFunc | CallExtern,
        frame: _Frame,
        recorder: Recorder | None,
    ) -> None:
        args = _taken(one.args, one, frame.registers)
        start_s = time.perf_counter()
        match one:
            case HostOperation():
                what = f"host: {one.op.name}"
                value = run_operator(one.op, args, one.attrs, one.type, frame.symbols)
            case RunPrimFunc():
                what = f"host: {one.func.name}"
                free = {k for k in one.inplace or () if k >= 0 and is_unshared(args, k)}
                value = call_primfunc(
                    one.func, args, one.type, one.inplace, frame.symbols, free.__contains__
                )
            case CallExtern():
                what = f"call: {one.name}"
                value = self._extern(one, args, frame)
        frame.registers[one.result] = value
        if recorder is not None:
            recorder.host(what, time.perf_counter() - start_s)

    def _extern(self, one: CallExtern, args: list[Any], frame: _Frame) -> Any:
        function = _registered(one.name)
        for k in one.inplace:
            if not is_unshared(args, k):  # someone else may still read the old value
                args[k] = np.array(args[k])
        outputs = [empty_tensor(t, frame.symbols) for t in one.outputs]
        given = [self._callable(a) if isinstance(a, (FunctionRef, ExternRef)) else a for a in args]
        value = function(*given, *outputs)
        if outputs:
            return tuple(outputs) if one.type_is_tuple else outputs[0]
        if value is None and one.inplace:
            written = [args[k] for k in one.inplace]
            return tuple(written) if one.type_is_tuple else written[0]
        return from_python(value, one.type)


def _template(f: VmFunction) -> list[Any]:
    registers: list[Any] = [None] * f.num_registers
    for r, value in f.constants:
        registers[r] = value
    return registers


def _taken(args: Sequence[int], one: Instruction, registers: list[Any]) -> list[Any]:
    """Return the values of registers; those that die now are emptied."""
    values = [registers[r] for r in args]
    for r in one.dead:
        registers[r] = None
    return values


def _clear(one: Instruction, registers: list[Any]) -> None:
    for r in one.dead:
        registers[r] = None


def _field(one: GetField, owner: Any) -> Any:
    fields = cast("tuple[Any, ...]", owner) if isinstance(owner, tuple) else ()
    if one.index >= len(fields):
        raise RuntimeCheckError(f"{one.where} is field {one.index} of a tuple, got {shown(owner)}")
    return fields[one.index]


def _require(one: Require, symbols: Mapping[str, int]) -> None:
    a, b = evaluate(one.a, symbols), evaluate(one.b, symbols)
    if a != b:
        raise RuntimeCheckError(
            f"{one.a} = {a} and {one.b} = {b}, but the program was compiled for {one.a} == {one.b}"
        )


def _registered(name: str) -> Any:
    function = get_func(name)
    if function is None:
        raise RuntimeCheckError(
            f"no function is registered as {name!r}; register it: eqsat.register_func({name!r}, f)"
        )
    return function


def _note_places(error: Exception, stack: Sequence[_Frame]) -> None:
    for frame in reversed(stack[-_MOST_NOTES:]):
        one = frame.function.code[max(frame.at - 1, 0)]
        error.add_note(f"at {one.where or 'the result'} of {frame.function.name}")
    if len(stack) > _MOST_NOTES:
        error.add_note(f"and {len(stack) - _MOST_NOTES} calls before")
