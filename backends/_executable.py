"""A compiled program, ready to be called."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.backends._binding import arrange, as_array
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._native import Arena, Code, NativeCode
from eqsat.backends._profile import KernelTime, Profile
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
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._arena = Arena()

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
        outputs, _ = self._call(args, kwargs, None)
        return outputs

    def profile(self, /, *args: Any, repeat: int = 5, **kwargs: Any) -> Profile:
        """Return the time of each kernel: the least over `repeat` calls, after one to warm up."""
        launches = self.program.launches
        best: NDArray[np.float64] | None = None
        env: Mapping[str, int] = {}
        self._call(args, kwargs, None)
        for _ in range(max(repeat, 1)):
            stamps = np.zeros((len(launches) + 1, 2), np.int64)
            _, env = self._call(args, kwargs, stamps)
            at = stamps[:, 0] * 1e9 + stamps[:, 1]
            taken = np.diff(at.astype(np.float64)) * 1e-9
            best = taken if best is None else np.minimum(best, taken)
        assert best is not None
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

    def _call(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], stamps: NDArray[np.int64] | None
    ) -> tuple[Any, Mapping[str, int]]:
        params, native = self._params, self._native
        given = args
        if kwargs or len(args) != len(params):
            given = arrange(self.program.name, params, args, kwargs)
        arrays = [as_array(p, a) for p, a in zip(params, given, strict=True)]
        sizes = native.sizes(arrays)
        made = sizes.outputs()
        if self._pid != os.getpid():
            # In a forked child the lock may be held by a thread that is not there.
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            native.run(sizes, arrays, made, self._arena, stamps)
        results = native.output_arrays(sizes, arrays, made)
        return tuple(results) if self.program.is_tuple else results[0], sizes.env
