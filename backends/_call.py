"""The native entry of one program as a Python function: its tables, and its links to Python."""

from __future__ import annotations

import ctypes
import importlib
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.backends._call_text import ARENA, TABLE
from eqsat.backends._driver import MOST_SPINS
from eqsat.backends._memory import address_of, aligned_empty

_PYTHON = (
    "PyErr_BadArgument", "PyErr_Clear", "PyEval_RestoreThread", "PyEval_SaveThread",
    "PyLong_AsLongLong", "PyLong_FromLongLong", "PyLong_Type", "PyObject_CallOneArg",
    "PyObject_Vectorcall", "PyTuple_New", "PyTuple_SetItem", "PyTuple_Size", "Py_DecRef",
    "Py_IncRef",
)  # fmt: skip
# The places in the table of NumPy's C interface, which stay the same through NumPy 2.
_NUMPY = {
    "PyArray_Type": 2,
    "PyArray_DescrFromType": 45,
    "PyArray_NewFromDescr": 94,
    "PyArray_SetBaseObject": 282,
}
_METHOD_FLAGS = 0x80 | 0x02  # METH_FASTCALL | METH_KEYWORDS


def interfaces() -> dict[str, int]:
    """Return the addresses of the functions and types of Python and NumPy that native code uses."""
    python = ctypes.pythonapi
    found = {name: ctypes.addressof(ctypes.c_char.in_dll(python, name)) for name in _PYTHON}
    capsule = importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", python)
    )
    table = ctypes.cast(get(capsule, None), ctypes.POINTER(ctypes.c_ssize_t))
    return found | {name: table[place] for name, place in _NUMPY.items()}


class _Method(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Table(np.ndarray):
    """Words that native code reads, with the objects that they point to."""

    kept: tuple[object, ...]


@cache
def _method(function: int) -> _Method:
    return _Method(b"call", function, _METHOD_FLAGS, None)


def python_function(table: NDArray[np.int64], function: int) -> Callable[..., Any]:
    """Return native code as a Python function that has `table` for its `self`."""
    new = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.POINTER(_Method), ctypes.py_object, ctypes.c_void_p
    )(("PyCFunction_NewEx", ctypes.pythonapi))
    return new(ctypes.pointer(_method(function)), table, None)


def words(names: Sequence[str], values: Mapping[str, int]) -> list[int]:
    """Return the values in the order of their names."""
    assert set(values) == set(names)
    return [values[name] for name in names]


def table(values: Mapping[str, int], kept: tuple[object, ...]) -> NDArray[np.int64]:
    """Return the table of an entry; `kept` are the objects behind its addresses."""
    made = np.array(words(TABLE, values), np.int64).view(_Table)
    made.kept = kept
    return made


class Arena:
    """The workspace of native code: one allocation that grows to the largest demand."""

    def __init__(self) -> None:
        memory = [aligned_empty(0)]
        self.words = table = np.zeros(len(ARENA), np.int64)

        def grow(num_bytes: int) -> None:
            memory[0] = aligned_empty(num_bytes)
            table[_BASE] = address_of(memory[0])
            table[_NUM_BYTES] = num_bytes

        # Only who holds the arena may call it: native code, and tests.
        self.grow = grow
        table[ARENA.index("grow")] = id(grow)
        self.free()
        _watch_forks()
        _arenas.add(self)

    @property
    def num_bytes(self) -> int:
        """What is allocated."""
        return int(self.words[_NUM_BYTES])

    def free(self) -> None:
        """Take it from whoever holds it."""
        self.words[ARENA.index("held")] = 0
        self.words[ARENA.index("sleepers")] = MOST_SPINS << 32


_BASE, _NUM_BYTES = ARENA.index("base"), ARENA.index("num_bytes")
_arenas: weakref.WeakSet[Arena] = weakref.WeakSet()


def _free_all() -> None:
    # In a forked child an arena may be held by a thread that is not there.
    for arena in _arenas:
        arena.free()


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_free_all)
