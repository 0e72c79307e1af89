"""Values as integers: what stands in the integer columns of the e-graph.

A value without symbols has an even id, so that rules of the engine can ask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import UNKNOWN_DTYPE, AttrValue, ShapeType, TensorType, TupleType, Type, UnknownShape
from eqsat.shapes import Dim, Facts, Shape, SymDim

# Below these, `known` says "nothing" and "constant"; numbers are above.
FIRST_ID = 2

# Larger arrays are told apart by identity: hashing gigabytes of weights costs more than it finds.
_HASH_LIMIT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Number:
    """A number of any dtype by its text: NaN equals itself, zeros differ by sign, 1 is 1.0."""

    text: str

    @classmethod
    def of(cls, value: float) -> Number:
        """Return the number `value`."""
        is_whole = math.isfinite(value) and int(value) == value
        return cls(repr(int(value)) if is_whole and repr(value) != "-0.0" else repr(value))

    @property
    def python(self) -> float:
        """The number as an int where it is whole, else as a float."""
        return int(self.text) if self.text.lstrip("-").isdigit() else float(self.text)


class Values:
    """Gives equal values equal ids, dims up to what the facts equate."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._ids: dict[object, int] = {}
        self._values: list[object] = [None]  # the value of id i at i // 2
        self._arrays: dict[object, int] = {}
        self._new_numbers: list[int] = []

    def __getitem__(self, i: int) -> object:
        return self._values[i // 2]

    def attr(self, value: AttrValue) -> int:
        """Return the id of an attribute value or a shape."""
        value = self._canonical(value)
        return self._id(type_tagged(value), value, static=not _has_symbol(value))

    def type(self, ty: Type) -> int:
        """Return the id of a type."""
        ty = self._canonical_type(ty)
        return self._id(ty, ty, static=_is_static(ty))

    def type_at(self, i: int) -> Type:
        """Return the type with id `i`."""
        found = self[i]
        assert isinstance(found, Type), f"value {i} is no type: {found!r}"
        return found

    def number(self, value: float) -> int:
        """Return the id of a number."""
        number = Number.of(value)
        if number not in self._ids:
            self._new_numbers.append(self._id(number, number, static=True))
        return self._ids[number]

    def number_at(self, i: int) -> float:
        """Return the number with id `i`."""
        found = self[i]
        assert isinstance(found, Number), f"value {i} is no number: {found!r}"
        return found.python

    def array(self, value: NDArray[np.generic]) -> int:
        """Return the id of a constant: equal small ones share it, a large one is itself."""
        key: object = id(value)
        if value.nbytes <= _HASH_LIMIT_BYTES:
            key = (value.dtype.str, value.dtype.name, value.shape, value.tobytes())
        if key not in self._arrays:
            self._arrays[key] = self._new_id(value, static=True)
        return self._arrays[key]

    def array_at(self, i: int) -> NDArray[np.generic]:
        """Return the constant with id `i`."""
        found = self[i]
        assert isinstance(found, np.ndarray), f"value {i} is no array: {found!r}"
        return cast("NDArray[np.generic]", found)

    def take_new_numbers(self) -> list[int]:
        """Return the numbers that are new since the last call."""
        new, self._new_numbers = self._new_numbers, []
        return new

    def _id(self, key: object, value: object, *, static: bool) -> int:
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = self._new_id(value, static=static)
        return found

    def _new_id(self, value: object, *, static: bool) -> int:
        self._values.append(value)
        return 2 * (len(self._values) - 1) + (not static)

    def _canonical(self, value: AttrValue) -> AttrValue:
        if isinstance(value, tuple):
            return tuple(self._canonical(v) for v in value)
        return self.facts.canonical(value) if isinstance(value, SymDim) else value

    def _shape(self, shape: Shape | UnknownShape) -> Shape | UnknownShape:
        if isinstance(shape, UnknownShape):
            return shape
        return tuple(self.facts.canonical(d) for d in shape)

    def _canonical_type(self, ty: Type) -> Type:
        if not self.facts.equal:
            return ty
        match ty:
            case TensorType():
                return TensorType(self._shape(ty.shape), ty.dtype, ty.vdevice)
            case ShapeType():
                return ShapeType(self._shape(ty.dims))
            case TupleType():
                return TupleType(tuple(self._canonical_type(f) for f in ty.fields))
            case _:
                return ty


def type_tagged(value: AttrValue) -> object:
    """Tell 1, 1.0 and True apart, which Python holds equal."""
    if isinstance(value, tuple):
        return tuple(type_tagged(v) for v in value)
    if isinstance(value, float):
        return float, repr(value)
    return type(value), value


def _has_symbol(value: AttrValue | Dim) -> bool:
    if isinstance(value, tuple):
        return any(_has_symbol(v) for v in value)
    return isinstance(value, SymDim)


def _is_static(ty: Type) -> bool:
    match ty:
        case TensorType():
            if isinstance(ty.shape, UnknownShape) or ty.dtype == UNKNOWN_DTYPE:
                return False
            return not _has_symbol(ty.shape)
        case TupleType():
            return all(_is_static(f) for f in ty.fields)
        case _:
            return False


def uniform_number(value: NDArray[np.generic]) -> float | None:
    """Return the number that all elements are, None where they differ or there are none."""
    if value.size == 0 or value.dtype.kind in "cSU":
        return None
    flat = value.reshape(-1)
    first = flat[0]
    # Most weights differ at once; the whole array is looked at only where the ends agree.
    if first != flat[-1] or not bool(np.all(flat == first)):
        return None
    number = first.item()
    return float(number) if isinstance(number, float) else int(number)


def is_identity(value: NDArray[np.generic]) -> bool:
    """Return whether the array is an identity matrix of more than one row."""
    if value.ndim != 2 or value.shape[0] != value.shape[1] or len(value) < 2:
        return False
    # Most weights differ at once.
    return bool(value[0, 0] == 1 and value[0, 1] == 0 and np.array_equal(value, np.eye(len(value))))


def is_identity_kernel(value: NDArray[np.generic]) -> bool:
    """Return whether an OIHW kernel, padded by half its size, leaves an image as it is."""
    if value.ndim != 4 or value.shape[0] != value.shape[1]:
        return False
    count, _, height, width = value.shape
    if not height % 2 or not width % 2 or not count:
        return False
    centre = value[:, :, height // 2, width // 2]
    if centre[0, 0] != 1 or np.count_nonzero(value) != count:
        return False
    return bool(np.array_equal(centre, np.eye(count)))
