"""A compiled program with control flow, ready to be called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from eqsat.backends._entry_point import EntryPoint
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._executable import Executable
from eqsat.backends._native import NativeCode
from eqsat.backends._open_entry import OpenEntryPoint
from eqsat.backends._profile import Profile
from eqsat.backends._text import TextKind, program_text
from eqsat.backends._vm import Machine
from eqsat.backends._vm_text import vm_text
from eqsat.lowering import VmProgram

Entry = EntryPoint | OpenEntryPoint | Executable


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
        native: Mapping[str, Executable | OpenEntryPoint],
        num_threads: int,
    ) -> None:
        self.program = program
        self.num_threads = num_threads
        self.machine = Machine(program, parts)
        entries = {
            name: EntryPoint(self.machine, program.functions[name], num_threads)
            for name in program.entries
        }
        self._entries: dict[str, Entry] = {**entries, **native}

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that can be called."""
        return tuple(self._entries)

    def __getitem__(self, name: str) -> Entry:
        """Return a public function.

        Raises:
            RuntimeCheckError: there is none of that name.
        """
        if name not in self._entries:
            raise RuntimeCheckError(
                f"the program has no public function {name!r}; it has {', '.join(self._entries)}"
            )
        return self._entries[name]

    def _main(self) -> Entry:
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
        for e in self._entries.values():
            if not isinstance(e, EntryPoint):
                parts += e.programs
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
