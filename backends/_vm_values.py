"""Values of the virtual machine: how they come in, are checked, and go out."""

# NumPy's stubs do not know the dtype of arrays that come from outside.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import getrefcount
from typing import Any, NoReturn, Protocol, cast

import numpy as np

from eqsat.backends._binding import as_array, parameter
from eqsat.backends._errors import RuntimeCheckError
from eqsat.backends._memory import owner
from eqsat.ir import (
    UNKNOWN_DTYPE,
    CallableType,
    DTensorType,
    ObjectType,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
    bind_types,
    shown,
)
from eqsat.lowering import VmParameter
from eqsat.shapes import Dim, evaluate, numpy_dtype, symbols

_DIM = PrimType("int64")
_ANY = UnknownShape()


class Calls(Protocol):
    """What calls closures."""

    def call_closure(self, closure: Closure, args: Sequence[Any]) -> Any:
        """Return what the function computes."""
        ...


@dataclass(eq=False, slots=True)
class Closure:
    """A function as a value; Python code may call it too.

    Attributes:
        function: its name in the program.
        captured: the values around it, symbols: the dims around it.
        last: arguments that are bound already, the last ones.
    """

    machine: Calls
    function: str
    captured: tuple[Any, ...] = ()
    symbols: Mapping[str, int] | None = None
    last: tuple[Any, ...] = ()

    def __call__(self, *args: Any) -> Any:
        """Return what the function computes from NumPy arrays and other values."""
        return self.machine.call_closure(self, [from_python(a) for a in args])

    def __repr__(self) -> str:
        return f"<function {self.function}>"


# --- from outside ---------------------------------------------------------------------------


def argument(name: str, ty: Type, value: Any) -> Any:
    """Return an argument as the machine holds it; its sizes are checked later.

    Raises:
        RuntimeCheckError: it is of another kind.
    """
    match ty:
        case TensorType():
            return as_array(parameter(name, ty), _scalar_array(ty, value))
        case TupleType(fields):
            if not isinstance(value, (tuple, list)) or len(value) != len(fields):
                raise _refused(name, ty, value, f"a tuple of {len(fields)}")
            return tuple(
                argument(f"{name}[{i}]", f, v)
                for i, (f, v) in enumerate(zip(fields, value, strict=True))
            )
        case ShapeType():
            if not isinstance(value, (tuple, list)) or not all(map(_is_whole, value)):
                raise _refused(name, ty, value, "a tuple of ints")
            return tuple(int(v) for v in value)
        case PrimType(dtype):
            return _number(name, ty, dtype, value)
        case DTensorType():
            raise _refused(name, ty, value, "a tensor of one device")
        case CallableType():
            if not callable(value):
                raise _refused(name, ty, value, "a function")
            return value
        case ObjectType():
            return from_python(value)


def _scalar_array(ty: TensorType, value: Any) -> Any:
    """Return a Python number as an array where a rank-0 tensor is wanted."""
    if ty.ndim == 0 and isinstance(value, (bool, int, float)) and ty.dtype != UNKNOWN_DTYPE:
        return np.asarray(value, numpy_dtype(ty.dtype))
    return value


def _is_whole(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, (bool, np.ndarray))


def _number(name: str, ty: Type, dtype: str, value: Any) -> Any:
    if dtype == "bool":
        if not isinstance(value, (bool, np.bool_)):
            raise _refused(name, ty, value, "a bool")
        return bool(value)
    if dtype.startswith(("int", "uint")):
        if not _is_whole(value):
            raise _refused(name, ty, value, "an int")
        return int(value)
    if not isinstance(value, (int, float, np.floating)) or isinstance(value, bool):
        raise _refused(name, ty, value, "a number")
    return float(value)


def _refused(name: str, ty: Type, value: Any, wanted: str) -> RuntimeCheckError:
    return RuntimeCheckError(f"input {name}: expected {ty}, {wanted}, got {shown(value)}")


def from_python(value: Any, ty: Type | None = None) -> Any:
    """Return what Python code gave as the machine holds it: tensors are NumPy arrays."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.generic):
        return np.asarray(value)
    if isinstance(value, (tuple, list)):
        fields = ty.fields if isinstance(ty, TupleType) and len(ty.fields) == len(value) else None
        given = cast("Sequence[Any]", value)
        return tuple(from_python(v, fields[i] if fields else None) for i, v in enumerate(given))
    if isinstance(ty, TensorType):
        value = _scalar_array(ty, value)
    if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        return as_array(parameter("of a Python function", TensorType(_ANY, UNKNOWN_DTYPE)), value)
    return value


# --- checks ---------------------------------------------------------------------------------


def check_value(name: str, ty: Type, value: Any, env: dict[str, int]) -> None:
    """Check a value against its type; new symbols get their values from it.

    Raises:
        RuntimeCheckError: it does not fit.
    """
    if isinstance(ty, TensorType) and _fits_at_once(ty, value, env):
        return
    bind_types([name], [ty], [value], env)


class ArgumentCheck:
    """Checks the arguments of one function, whatever their types."""

    def __init__(self, function: str, params: Sequence[VmParameter]) -> None:
        self._function, self._params = function, params
        self._scalars = [(k, p.name) for k, p in enumerate(params) if p.type == _DIM]

    def refuse(self, args: Sequence[Any]) -> NoReturn:
        """Fail for too many or too few arguments."""
        raise RuntimeCheckError(
            f"{self._function} takes {len(self._params)} arguments, got {len(args)}"
        )

    def __call__(self, args: Sequence[Any], env: dict[str, int]) -> None:
        """Add the symbols that the arguments define to `env`.

        Raises:
            RuntimeCheckError: one does not fit.
        """
        for k, name in self._scalars:
            if isinstance(args[k], (int, np.integer)):
                env[name] = int(args[k])
        names = [f"argument {p.name} of {self._function}" for p in self._params]
        bind_types(names, [p.type for p in self._params], list(args), env)

    def from_outside(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """Return arguments that come from Python as the machine holds them.

        Raises:
            RuntimeCheckError: one is of another kind.
        """
        return tuple(argument(p.name, p.type, a) for p, a in zip(self._params, args, strict=True))


def _fits_at_once(ty: TensorType, value: Any, env: dict[str, int]) -> bool:
    """Say whether a tensor fits by plain sizes alone; False where more must be found out."""
    if not isinstance(value, np.ndarray):
        return False
    if ty.dtype != UNKNOWN_DTYPE and value.dtype != numpy_dtype(ty.dtype):
        return False
    shape = value.shape
    if not isinstance(ty.shape, tuple):
        return ty.ndim in (-1, len(shape))
    if len(ty.shape) != len(shape):
        return False
    for d, n in zip(ty.shape, shape, strict=True):
        if isinstance(d, int):
            if d != n:
                return False
            continue
        free = symbols(d) - env.keys()
        if not free:
            if evaluate(d, env) != n:
                return False
        elif d == _symbol(d):
            env[str(d)] = n
        else:
            return False
    return True


def _symbol(d: Dim) -> Dim | None:
    """Return `d` if it is one symbol."""
    return d if not isinstance(d, int) and str(d) in d.symbols else None


# --- to outside -----------------------------------------------------------------------------


def owners(value: Any) -> set[int]:
    """Return the owners of the memory of all arrays in a value."""
    if isinstance(value, np.ndarray):
        return {owner(value)}
    if isinstance(value, tuple):
        return {o for v in cast("tuple[Any, ...]", value) for o in owners(v)}
    if isinstance(value, Closure):
        return owners((*value.captured, *value.last))
    return set()


def released(value: Any, taken: set[int]) -> Any:
    """Return a result that the caller may write into: memory that is `taken` is copied."""
    if isinstance(value, np.ndarray):
        mine = owner(value)
        if mine in taken or not value.flags.writeable:
            return value.copy()
        taken.add(mine)
        return value
    if isinstance(value, tuple):
        return tuple(released(v, taken) for v in cast("tuple[Any, ...]", value))
    return value


def is_unshared(args: list[Any], k: int) -> bool:
    """Say whether nothing but the list refers to the array `args[k]` or to its memory."""
    array = args[k]
    if not isinstance(array, np.ndarray) or getrefcount(array) != _IN_ONE_LIST:
        return False
    base = cast("object", array.base)
    if base is None:
        return array.flags.writeable
    if not isinstance(base, np.ndarray) or base.base is not None:  # memory of something else
        return False
    return getrefcount(base) == _OF_ONE_VIEW and array.flags.writeable


def _counts() -> tuple[int, int]:
    args = [np.empty(2)[:1]]
    array = args[0]
    base = array.base
    return getrefcount(array), getrefcount(base)


# Measured, since versions of Python count the references of a running function differently.
_IN_ONE_LIST, _OF_ONE_VIEW = _counts()


def truth(value: Any) -> bool:
    """Return the value of a condition.

    Raises:
        RuntimeCheckError: it is no boolean scalar.
    """
    if isinstance(value, np.ndarray) and value.shape == () and value.dtype == np.bool_:
        return bool(value)
    if isinstance(value, bool):
        return value
    raise RuntimeCheckError(f"the condition of an If must be bool[], got {shown(value)}")
