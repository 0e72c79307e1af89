"""The virtual machine: runs functions that are generated as Python, around native parts.

A function that calls others is a generator, and those that wait stand in a list: recursion grows
that list and not Python's stack, and a tail call replaces its function. What belongs to one call
from outside stands in a `Call`, so calls of several threads and calls from within calls do not meet
but in native code, which runs one part at a time in one workspace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import GeneratorType, MappingProxyType
from typing import Any, TypeAlias, assert_never, cast

import numpy as np

from eqsat.backends._call import Arena
from eqsat.backends._entry import entry
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._native import NativeCode
from eqsat.backends._vm_profile import Recorder
from eqsat.backends._vm_source import source_of
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
from eqsat.lowering import VmProgram
from eqsat.lowering.vm import (
    Assert,
    BindArguments,
    CallExtern,
    ExternRef,
    FunctionRef,
    GetField,
    HostOperation,
    Print,
    Render,
    Require,
    RunPrimFunc,
)
from eqsat.shapes import evaluate

# More of the functions that a call came through helps nobody.
_MOST_NOTES = 8
_FILE = "<functions of eqsat's virtual machine>"

_Callee = str | Closure
_Waiting: TypeAlias = "GeneratorType[_Callee, None, None]"
_Function: TypeAlias = "Callable[[Call, Closure | None], _Waiting | None]"


class Call:
    """A call from outside, and what its functions hand to each other (see `_vm_source`).

    Attributes:
        machine: where it runs.
        inputs: the first arguments.
        args, value, tail: of the function that is called next or has returned.
        is_outside: the arguments have not been checked or converted.
        recorder: gets the times.
    """

    __slots__ = ("args", "inputs", "is_outside", "machine", "recorder", "tail", "value")

    def __init__(
        self,
        machine: Machine,
        args: Sequence[Any],
        is_outside: bool,
        recorder: Recorder | None = None,
    ) -> None:
        self.machine = machine
        self.args = self.inputs = args
        self.is_outside = is_outside
        self.recorder = recorder
        self.value: Any = None
        self.tail: _Callee | None = None


class Machine:
    """A program with its native code, ready to run. Calls from several threads are safe."""

    def __init__(self, program: VmProgram, parts: Sequence[NativeCode]) -> None:
        self.program, self.parts = program, tuple(parts)
        self._arena = Arena()
        self._source = source_of(program)
        self._code = compile("\n".join(self._source.lines), _FILE, "exec")
        self._functions = self._linked([entry(p, self._arena, shared=True) for p in parts])

    @property
    def workspace_bytes(self) -> int:
        """The bytes of the one workspace that all native parts share."""
        return self._arena.num_bytes

    def call_closure(self, closure: Closure, args: Sequence[Any]) -> Any:
        """Return what a function value computes; Python code calls it."""
        return self.run(closure, Call(self, args, False))

    def _linked(self, calls: Sequence[Callable[..., Any]]) -> Mapping[str, _Function]:
        """Return the functions; `calls` are the native parts."""
        names = _RUNTIME | self._source.names | {f"part{k}": f for k, f in enumerate(calls)}
        exec(self._code, names)
        # The functions hold `names`; the other way round too, they would never be freed at once.
        return {name: names.pop(short) for name, short in self._source.functions.items()}

    def _recorded(self, k: int, recorder: Recorder) -> Callable[..., Any]:
        """Return a native part that tells its times."""
        native = self.parts[k]
        stamps = np.zeros((len(native.program.launches) + 1, 2), np.int64)
        run = entry(native, self._arena, shared=True, stamps=stamps)

        def call(*args: Any) -> Any:
            found = run(*args)
            recorder.part(k, native.program, stamps, native.env(*native.arguments(args, {})))
            return found

        return call

    def run(self, callee: _Callee, call: Call) -> Any:
        """Return what a function of the program, by its name, or a closure computes.

        Raises:
            RuntimeCheckError: a value does not fit its type; a note names the place.
        """
        functions = self._functions
        if call.recorder is not None:
            parts = range(len(self.parts))
            functions = self._linked([self._recorded(k, call.recorder) for k in parts])
        waiting: list[_Waiting] = []
        try:
            while True:
                if isinstance(callee, str):
                    frame = functions[callee](call, None)
                else:
                    if callee.last:
                        call.args = (*call.args, *callee.last)
                    frame = functions[callee.function](call, callee)
                called = None if frame is None else next(frame, None)
                while called is None:  # it has ended
                    called = call.tail
                    if called is not None:
                        call.tail = None
                        break
                    if not waiting:
                        value, call.value = call.value, None
                        return value
                    frame = waiting.pop()
                    called = next(frame, None)
                else:
                    assert frame is not None
                    waiting.append(frame)
                callee = called
        except Exception as error:
            self._note_places(error, waiting)
            raise

    def _note_places(self, error: Exception, waiting: Sequence[_Waiting]) -> None:
        newest = waiting[: -_MOST_NOTES - 1 : -1]
        frames = [frame.gi_frame for frame in newest]
        lines = [_line_of(error), *(frame.f_lineno for frame in frames if frame is not None)]
        places = [self._source.places[line - 1] for line in lines if line]
        for place in places:
            if place is not None:
                error.add_note(f"at {place.where or 'the result'} of {place.function}")
        if len(waiting) > len(newest):
            error.add_note(f"and {len(waiting) - len(newest)} calls before")


def _line_of(error: Exception) -> int:
    """Return the line of the generated function that the error came through last; 0: none."""
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == _FILE:
            return at.tb_lineno
        at = at.tb_next
    return 0


# --- what generated functions use ---------------------------------------------------------------


def _admitted(
    check: ArgumentCheck, args: Sequence[Any], symbols: dict[str, int], call: Call
) -> Sequence[Any]:
    """Return checked arguments of a function that may have been called from outside."""
    if call.is_outside:
        args = call.inputs = check.from_outside(args)
    check(args, symbols)
    return args


def _resolved(callee: Any, call: Call) -> Closure | None:
    """Return what runs in this machine; call anything else, and leave its value in `call`."""
    function = _callable(callee, call.machine)
    if isinstance(function, Closure) and function.machine is call.machine:
        return function
    call.value = from_python(function(*call.args))
    return None


def _callable(value: Any, machine: Machine) -> Any:
    match value:
        case Closure():
            return value
        case FunctionRef(name):
            return Closure(machine, name)
        case ExternRef(name):
            return _registered(name)
        case _:
            if callable(value):
                return value
            raise RuntimeCheckError(f"only a function can be called, got {shown(value)}")


_Outside = HostOperation | RunPrimFunc | CallExtern | Print | Assert | Render | BindArguments


def _outside(one: _Outside, args: list[Any], symbols: dict[str, int], call: Call) -> Any:
    """Run an instruction that neither native code nor generated functions do."""
    match one:
        case Print():
            print_values(one.format, args)
            return ()
        case Assert():
            condition, *values = args
            check_assertion(condition, one.format, values)
            return ()
        case Render():
            return render(*args)
        case BindArguments():
            callee, *last = args
            return _bound(_callable(callee, call.machine), last)
        case HostOperation() | RunPrimFunc() | CallExtern():
            start_s = time.perf_counter()
            what, value = _on_host(one, args, symbols, call.machine)
            if call.recorder is not None:
                call.recorder.host(what, time.perf_counter() - start_s)
            return value
        case _:
            assert_never(one)


def _bound(callee: Any, args: Sequence[Any]) -> Any:
    if isinstance(callee, Closure):
        last = (*args, *callee.last)
        return Closure(callee.machine, callee.function, callee.captured, callee.symbols, last)

    def bound(*first: Any) -> Any:
        return callee(*first, *args)

    return bound


def _on_host(
    one: HostOperation | RunPrimFunc | CallExtern,
    args: list[Any],
    symbols: dict[str, int],
    machine: Machine,
) -> tuple[str, Any]:
    """Return what it is called in profiles, and its value."""
    match one:
        case HostOperation():
            value = run_operator(one.op, args, one.attrs, one.type, symbols)
            return f"host: {one.op.name}", value
        case RunPrimFunc():
            free = {k for k in one.inplace or () if k >= 0 and is_unshared(args, k)}
            value = call_primfunc(one.func, args, one.type, one.inplace, symbols, free.__contains__)
            return f"host: {one.func.name}", value
        case CallExtern():
            return f"call: {one.name}", _extern(one, args, symbols, machine)


def _extern(one: CallExtern, args: list[Any], symbols: Mapping[str, int], machine: Machine) -> Any:
    function = _registered(one.name)
    for k in one.inplace:
        if not is_unshared(args, k):  # someone else may still read the old value
            args[k] = np.array(args[k])
    outputs = [empty_tensor(t, symbols) for t in one.outputs]
    given = [_callable(a, machine) if isinstance(a, (FunctionRef, ExternRef)) else a for a in args]
    value = function(*given, *outputs)
    if outputs:
        return tuple(outputs) if one.type_is_tuple else outputs[0]
    if value is None and one.inplace:
        written = [args[k] for k in one.inplace]
        return tuple(written) if one.type_is_tuple else written[0]
    return from_python(value, one.type)


def _no_field(one: GetField, owner: Any) -> Any:
    """Return a field of what is no plain tuple of enough fields, or fail."""
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


def _forget(names: Sequence[str], symbols: dict[str, int]) -> None:
    for name in names:
        symbols.pop(name, None)


_RUNTIME: dict[str, Any] = {
    "Closure": Closure,
    "admitted": _admitted,
    "check_value": check_value,
    "evaluate": evaluate,
    "forget": _forget,
    "ndarray": np.ndarray,
    "no_field": _no_field,
    "no_symbols": MappingProxyType({}),
    "outside": _outside,
    "require": _require,
    "resolved": _resolved,
    "truth": truth,
}
