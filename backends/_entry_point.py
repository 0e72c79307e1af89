"""One public function of a program with control flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eqsat.backends._binding import arrange, parameter
from eqsat.backends._profile import Profile
from eqsat.backends._vm import Call, Machine
from eqsat.backends._vm_profile import Recorder
from eqsat.backends._vm_values import is_unshared, owners, released
from eqsat.ir import TensorType, Type
from eqsat.lowering import NativeProgram, VmFunction


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter, to be passed by name."""

    name: str
    type: Type

    @property
    def text(self) -> str:
        if isinstance(self.type, TensorType):
            return parameter(self.name, self.type).text
        return str(self.type)


class EntryPoint:
    """One public function of a compiled program. Call it like an `Executable`.

    Tensors are NumPy arrays or DLPack tensors, shapes tuples of ints, tuples are tuples, scalars
    outside of tensors Python numbers; any other object is passed on as it is.
    """

    def __init__(self, machine: Machine, function: VmFunction, num_threads: int) -> None:
        self._machine, self._name = machine, function.name
        self._inputs = [Input(p.name, p.type) for p in function.params]
        self._num_inputs = len(self._inputs)
        self.num_threads = num_threads
        constants = [value for f in machine.program.functions.values() for _, value in f.constants]
        self._constants = owners(tuple(constants))
        for part in machine.parts:
            self._constants |= part.constant_owners()

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(p.name for p in self._inputs)

    @property
    def programs(self) -> list[NativeProgram]:
        """The native parts of the program that it belongs to."""
        return [p.program for p in self._machine.parts]

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns, tensors as NumPy arrays.

        Raises:
            RuntimeCheckError: a value does not fit its type; the message names it.
        """
        if kwargs or len(args) != self._num_inputs:
            args = tuple(arrange(self._name, self._inputs, args, kwargs))
        call = Call(self._machine, args, True)
        found = [self._machine.run(self._name, call)]
        if is_unshared(found, 0):
            return found[0]
        # The caller may write into each array that it gets.
        return released(found.pop(), self._constants | owners(tuple(call.inputs)))

    def profile(self, /, *args: Any, repeat: int = 5, **kwargs: Any) -> Profile:
        """Return the time of each kernel and host operation in the fastest of `repeat` calls.

        The first call, to warm up, does not count. What runs several times in a call is summed.
        """
        given = arrange(self._name, self._inputs, args, kwargs)
        self(*given)
        best: Recorder | None = None
        for _ in range(max(repeat, 1)):
            recorder = Recorder()
            self._machine.run(self._name, Call(self._machine, given, True, recorder))
            if best is None or recorder.total_s < best.total_s:
                best = recorder
        assert best is not None
        return Profile(self._name, self.num_threads, best.kernels)

    def __repr__(self) -> str:
        params = ", ".join(f"{p.name}: {p.type}" for p in self._inputs)
        return f"<function {self._name}({params}) of a compiled program>"
