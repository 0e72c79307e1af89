"""Python functions that programs call by name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, overload

from eqsat.shapes import EqsatError

Extern = Callable[..., Any]

_functions: dict[str, Extern] = {}
_lock = threading.Lock()


@overload
def register_func(name: str, function: Extern, *, override: bool = False) -> Extern: ...


@overload
def register_func(name: str, *, override: bool = False) -> Callable[[Extern], Extern]: ...


def register_func(name: str, function: Extern | None = None, *, override: bool = False) -> Any:
    """Make a Python function callable from programs as `name`, and return it.

    It gets NumPy arrays for tensors, tuples of ints for shapes, tuples for tuples, Python numbers
    and strings, and returns the same kinds. `call_dps_packed` passes the arrays to be written after
    the operands. Without `function` it is a decorator:

        @eqsat.register_func("my.softcap")
        def softcap(x): ...

    Raises:
        EqsatError: the name is taken and `override` is not set, or there is nothing to call.
    """
    if function is None:

        def register(f: Extern) -> Extern:
            return register_func(name, f, override=override)

        return register
    if not callable(function):
        raise EqsatError(f"register_func({name!r}) needs a function, got {function!r}")
    with _lock:
        if name in _functions and not override:
            raise EqsatError(
                f"a function is registered as {name!r} already; pass override=True to replace it"
            )
        _functions[name] = function
    return function


def get_func(name: str) -> Extern | None:
    """Return the Python function registered as `name`, None where there is none."""
    return _functions.get(name)


def remove_func(name: str) -> None:
    """Forget the function registered as `name`, if there is one."""
    with _lock:
        _functions.pop(name, None)
