"""A function whose inputs have no dtype: compiled at the first call with each list of dtypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, cast

from eqsat.backends._binding import arrange
from eqsat.backends._entry_point import EntryPoint, Input
from eqsat.backends._executable import Executable
from eqsat.backends._profile import Profile
from eqsat.backends._vm_values import argument
from eqsat.ir import Function, TensorType, TupleType, Type, with_dtype
from eqsat.lowering import NativeProgram
from eqsat.shapes import EqsatError, dtype_name

Compile = Callable[[Sequence[Type]], "Executable | EntryPoint"]
"""Returns the executable of the function alone, for arguments of these types."""


class OpenEntryPoint:
    """A public function of which some inputs have no dtype. Call it like an `EntryPoint`.

    It is compiled for the dtypes of the arguments when they first come, and kept.
    """

    def __init__(self, function: Function, compile_for: Compile, num_threads: int) -> None:
        self._name, self._compile = function.name, compile_for
        self._inputs = [Input(p.name, p.type) for p in function.params]
        self._made: dict[tuple[Type, ...], Executable | EntryPoint] = {}
        self._met: dict[tuple[Any, ...], Executable | EntryPoint] = {}  # by dtypes as they came
        self._lock = Lock()
        self.num_threads = num_threads

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(p.name for p in self._inputs)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns (see `EntryPoint`).

        Raises:
            EqsatError: an operator does not take the dtypes of the arguments, or a value does not
                fit its type.
        """
        dtypes = tuple([getattr(a, "dtype", None) for a in args])
        made = None if kwargs else self._met.get(dtypes)
        if made is not None:  # it checks the arguments itself
            return made(*args)
        made, given = self._made_for(args, kwargs)
        if not kwargs and not any(d is None for d in dtypes):
            self._met[dtypes] = made
        return made(*given)

    def profile(self, /, *args: Any, repeat: int = 5, **kwargs: Any) -> Profile:
        """Return the times of a call with these dtypes (see `EntryPoint.profile`)."""
        made, given = self._made_for(args, kwargs)
        return made.profile(*given, repeat=repeat)

    @property
    def programs(self) -> list[NativeProgram]:
        """The native programs compiled so far."""
        return [p for e in self._made.values() for p in e.programs]

    def _made_for(
        self, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[Executable | EntryPoint, list[Any]]:
        """Return the function for the dtypes of some arguments, and the arguments in order."""
        given = arrange(self._name, self._inputs, args, kwargs)
        values = [argument(p.name, p.type, v) for p, v in zip(self._inputs, given, strict=True)]
        types = tuple(_known(p.type, v) for p, v in zip(self._inputs, values, strict=True))
        with self._lock:
            if types not in self._made:
                self._made[types] = self._compiled(types)
            return self._made[types], values

    def _compiled(self, types: Sequence[Type]) -> Executable | EntryPoint:
        try:
            return self._compile(types)
        except EqsatError as error:
            shown = ", ".join(f"{p.name}: {t}" for p, t in zip(self._inputs, types, strict=True))
            error.add_note(f"in a call of {self._name} with {shown}")
            raise

    def __repr__(self) -> str:
        params = ", ".join(f"{p.name}: {p.type}" for p in self._inputs)
        return f"<function {self._name}({params}) of a compiled program>"


def _known(ty: Type, value: Any) -> Type:
    """Return the type of an argument with the dtypes that the value has."""
    match ty:
        case TensorType():
            return with_dtype(ty, dtype_name(value.dtype))
        case TupleType(fields):
            return TupleType(tuple(map(_known, fields, cast("tuple[Any, ...]", value))))
        case _:
            return ty
