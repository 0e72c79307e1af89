"""A compiled program with control flow, ready to be called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from eqsat.backends._binding import arrange, parameter
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._executable import Executable
from eqsat.backends._native import NativeCode
from eqsat.backends._profile import Profile
from eqsat.backends._text import TextKind, program_text
from eqsat.backends._vm import Call, Machine
from eqsat.backends._vm_profile import Recorder
from eqsat.backends._vm_text import vm_text
from eqsat.backends._vm_values import is_unshared, owners, released
from eqsat.ir import TensorType, Type
from eqsat.lowering import VmFunction, VmProgram


@dataclass(frozen=True, slots=True)
class _Input:
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
        self._inputs = [_Input(p.name, p.type) for p in function.params]
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


class VmExecutable:
    """A program of several functions, control flow or calls. Call it, or a function by name.

        exe(x)              # main, or the only public function
        exe["other"](x)     # any public function

    Straight-line stretches run as native code, the rest in a virtual machine; recursion may be as
    deep as memory allows. Calls from several Python threads are safe.
    """

    def __init__(
        self,
        program: VmProgram,
        parts: list[NativeCode],
        native: Mapping[str, Executable],
        num_threads: int,
    ) -> None:
        self.program = program
        self.num_threads = num_threads
        self.machine = Machine(program, parts)
        entries = {
            name: EntryPoint(self.machine, program.functions[name], num_threads)
            for name in program.entries
        }
        self._entries: dict[str, EntryPoint | Executable] = {**entries, **native}

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that can be called."""
        return tuple(self._entries)

    def __getitem__(self, name: str) -> EntryPoint | Executable:
        """Return a public function.

        Raises:
            RuntimeCheckError: there is none of that name.
        """
        if name not in self._entries:
            raise RuntimeCheckError(
                f"the program has no public function {name!r}; it has {', '.join(self._entries)}"
            )
        return self._entries[name]

    def _main(self) -> EntryPoint | Executable:
        if len(self._entries) == 1:
            return next(iter(self._entries.values()))
        if "main" not in self._entries:
            raise RuntimeCheckError(
                f"the program has no function main; call one by name: "
                f"exe[{next(iter(self._entries))!r}](...); it has {', '.join(self._entries)}"
            )
        return self._entries["main"]

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs of main, in order."""
        return self._main().input_names

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return what main returns (see `EntryPoint`)."""
        return self._main()(*args, **kwargs)

    def profile(self, /, *args: Any, repeat: int = 5, **kwargs: Any) -> Profile:
        """Return the times of a call of main (see `EntryPoint.profile`)."""
        return self._main().profile(*args, repeat=repeat, **kwargs)

    def as_text(self, kind: TextKind = "tir") -> str:
        """Return the kernels as TensorIR, LLVM IR or assembly; "vm": the instructions around."""
        if kind == "vm":
            return vm_text(self.program)
        parts = [p.program for p in self.machine.parts]
        parts += [e.program for e in self._entries.values() if isinstance(e, Executable)]
        return "\n\n".join(text for p in parts if (text := program_text(p, kind)))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a VmExecutable holds machine code of this process and cannot be pickled or copied; "
            "compile the module again where it is needed: the cache makes that quick"
        )

    def __repr__(self) -> str:
        return (
            f"<VmExecutable {', '.join(self._entries)}: {len(self.program.functions)} functions, "
            f"{len(self.program.parts)} native parts>"
        )
