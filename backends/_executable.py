"""A compiled program, ready to be called."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.backends._call import Arena
from eqsat.backends._entry import entry
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._native import Code, NativeCode
from eqsat.backends._profile import KernelTime, Profile, taken_s
from eqsat.backends._text import TextKind, program_text
from eqsat.lowering import NativeProgram
from eqsat.shapes import evaluate


class Executable:
    """A native program. Call it with NumPy arrays or DLPack tensors, by position or by name.

    Calls from several Python threads are safe and run one after the other.
    """

    def __init__(self, program: NativeProgram, code: Code, num_threads: int) -> None:
        self.program = program
        self.num_threads = num_threads
        self._native = NativeCode(program, code, num_threads)
        self._params = self._native.params
        self._arena = Arena()
        self._run = entry(self._native, self._arena)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(p.name for p in self._params)

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that can be called."""
        return (self.program.name,)

    def __getitem__(self, name: str) -> Executable:
        """Return the function of that name, which is the program itself.

        Raises:
            RuntimeCheckError: there is none of that name.
        """
        if name != self.program.name:
            raise RuntimeCheckError(
                f"the program has no public function {name!r}; it has {self.program.name}"
            )
        return self

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs as NumPy arrays: one, or a tuple where the program returns a tuple.

        Raises:
            RuntimeCheckError: the arguments do not fit; the message names the argument.
        """
        return self._run(*args, **kwargs)

    def profile(self, /, *args: Any, repeat: int = 5, **kwargs: Any) -> Profile:
        """Return the time of each kernel: the least over `repeat` calls, after one to warm up."""
        native, launches = self._native, self.program.launches
        arrays, _ = native.arguments(args, kwargs)
        env = native.env(arrays)
        stamps = np.zeros((len(launches) + 1, 2), np.int64)
        run = entry(native, self._arena, stamps=stamps)
        run(*arrays)
        times: list[NDArray[np.float64]] = []
        for _ in range(max(repeat, 1)):
            run(*arrays)
            times.append(taken_s(stamps))
        best = np.min(times, axis=0)
        kernels = tuple(
            KernelTime(
                one.label,
                one.template,
                float(t),
                evaluate(one.flops, env),
                evaluate(one.bytes_moved, env),
            )
            for one, t in zip(launches, best, strict=True)
        )
        return Profile(self.program.name, self.num_threads, kernels)

    @property
    def programs(self) -> list[NativeProgram]:
        """The one native program."""
        return [self.program]

    def as_text(self, kind: TextKind = "tir") -> str:
        """Return the kernels as TensorIR, optimized LLVM IR, or assembly."""
        return program_text(self.program, kind)

    def __reduce__(self) -> Any:
        raise TypeError(
            "an Executable is machine code of this process and cannot be pickled or copied; "
            "compile the module again where it is needed: the cache makes that quick"
        )

    def __repr__(self) -> str:
        params = ", ".join(f"{p.name}: {p.type}" for p in self._params)
        kernels = len(self.program.launches)
        return f"<Executable {self.program.name}({params}), {kernels} kernels>"
