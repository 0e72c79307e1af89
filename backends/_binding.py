"""Entry checks: which sizes a call has, and whether its arguments fit the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eqsat.backends._errors import RuntimeCheckError
from eqsat.ir import UNKNOWN_DTYPE, TensorType, UnknownShape
from eqsat.shapes import (
    Dim,
    Facts,
    ShapeError,
    SymDim,
    dtype_name,
    evaluate,
    linear_solve,
    numpy_dtype,
    substitute,
    symbols,
)

_CPU_DEVICES = frozenset({1, 3})  # DLPack: kDLCPU, kDLCUDAHost


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tensor input of a program; its dtype and its shape may be unknown."""

    name: str
    type: TensorType
    dtype: np.dtype[Any] | None

    @property
    def text(self) -> str:
        """The type as messages write it."""
        ty = self.type
        if isinstance(ty.shape, UnknownShape):
            dims = ["?"] * ty.ndim if ty.ndim >= 0 else ["..."]
            return type_text(ty.dtype, dims)
        return type_text(ty.dtype, ty.shape)


def parameter(name: str, ty: TensorType) -> Parameter:
    """Return the checked form of an input."""
    return Parameter(name, ty, None if ty.dtype == UNKNOWN_DTYPE else numpy_dtype(ty.dtype))


class Named(Protocol):
    """An input that has a name and a type to show."""

    @property
    def name(self) -> str:
        """The name to pass it by."""
        ...

    @property
    def text(self) -> str:
        """The type as messages write it."""
        ...


def short_dtype(name: str) -> str:
    """Return a dtype as messages write it: f32, i64, bf16."""
    for long, short in (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i")):
        if name.startswith(long):
            return short + name[len(long) :]
    return name


def type_text(dtype: str, dims: Sequence[object]) -> str:
    """Return a tensor type as messages write it: f32[n, 4]."""
    return f"{short_dtype(dtype)}[{', '.join(map(str, dims))}]"


def arrange(
    program: str, params: Sequence[Named], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[Any]:
    """Return the arguments in the order of the parameters.

    Raises:
        RuntimeCheckError: too many, unknown, repeated or missing arguments.
    """
    names = [p.name for p in params]
    if len(args) > len(params):
        raise RuntimeCheckError(
            f"{program} takes {len(params)} inputs ({', '.join(names)}), got {len(args)}"
        )
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names:
            raise RuntimeCheckError(
                f"{program} has no input {name!r}; its inputs are {', '.join(names) or 'none'}"
            )
        if name in given:
            raise RuntimeCheckError(f"input {name} is given twice, by position and by name")
        given[name] = value
    missing = [p for p in params if p.name not in given]
    if missing:
        wanted = ", ".join(f"{p.name}: {p.text}" for p in missing)
        raise RuntimeCheckError(f"missing input {wanted}; {program} needs {', '.join(names)}")
    return [given[name] for name in names]


def as_array(p: Parameter, value: Any) -> NDArray[Any]:
    """Return `value` as a NumPy array of the right dtype, without a copy where possible."""
    given: object = value
    array: NDArray[Any] = value if isinstance(given, np.ndarray) else _imported(p, value)
    if array.dtype != p.dtype and p.dtype is not None:
        _refuse(p, array, f"dtype {_name(array)}; convert it with .astype({p.type.dtype!r})")
    if array.ndim != p.type.ndim and p.type.ndim >= 0:
        _refuse(p, array, f"rank {array.ndim}")
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = np.array(array, order="C")
    return array


def _name(array: NDArray[Any]) -> str:
    return str(array.dtype)


def _refuse(p: Parameter, array: NDArray[Any], what: str) -> None:
    raise RuntimeCheckError(f"input {p.name}: expected {p.text}, got {_array_text(array)} ({what})")


def _array_text(array: NDArray[Any]) -> str:
    try:
        return type_text(dtype_name(array.dtype), array.shape)
    except ShapeError:  # a dtype that tensors do not have
        return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def _imported(p: Parameter, value: Any) -> NDArray[Any]:
    expected = p.text
    given: object = value
    if isinstance(given, np.generic):
        return np.asarray(value)
    if not hasattr(value, "__dlpack__"):
        raise RuntimeCheckError(
            f"input {p.name}: expected {expected} as a NumPy array or DLPack tensor, got "
            f"{type(value).__name__}"
        )
    try:
        device = value.__dlpack_device__()[0] if hasattr(value, "__dlpack_device__") else 1
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise RuntimeCheckError(
            f"input {p.name}: {type(value).__name__} cannot be read through DLPack: {error}"
        ) from error
    if int(device) not in _CPU_DEVICES:
        raise RuntimeCheckError(
            f"input {p.name}: the tensor is on DLPack device {int(device)}, this program runs on "
            f"the CPU; move it there first"
        )
    if getattr(value, "is_neg", bool)():  # torch exports such a view without its sign
        raise RuntimeCheckError(
            f"input {p.name}: the tensor is a negated view; pass its .resolve_neg()"
        )
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise RuntimeCheckError(
            f"input {p.name}: {type(value).__name__} cannot be read through DLPack: {error}"
        ) from error


def bind_symbols(
    params: Sequence[Parameter],
    arrays: Sequence[NDArray[Any]],
    given: Mapping[str, int],
) -> tuple[dict[str, int], dict[str, str]]:
    """Return the value of every symbol and what bound it, and check every dim against it.

    `given` are values that do not come from shapes.

    Raises:
        RuntimeCheckError: a dim contradicts another.
    """
    env = dict(given)
    bound_by = dict.fromkeys(given, "known before")
    waiting = [
        (p, axis, d) for p in params for axis, d in enumerate(p.type.dims) if isinstance(d, SymDim)
    ]
    shapes = {p.name: a.shape for p, a in zip(params, arrays, strict=True)}
    # Plain symbols first, so that `n + 1` elsewhere is a check and not the definition.
    waiting.sort(key=lambda each: str(each[2]) not in each[2].symbols)
    progress = True
    while progress:
        progress = False
        for p, axis, d in waiting:
            free = [s for s in symbols(d) if s not in env]
            if len(free) != 1:
                continue
            value = _solve(d, free[0], env, shapes[p.name][axis])
            if value is not None:
                env[free[0]] = value
                bound_by[free[0]] = f"bound by {p.name} axis {axis}"
                progress = True
    for p in params:
        _check_dims(p, shapes[p.name], env, bound_by)
    return env, bound_by


def _solve(d: Dim, symbol: str, env: Mapping[str, int], size: int) -> int | None:
    known: dict[str, Dim] = dict(env)
    value = linear_solve(substitute(d, known), symbol, size)
    return value if isinstance(value, int) and value >= 0 else None


def _check_dims(
    p: Parameter, shape: tuple[int, ...], env: Mapping[str, int], bound_by: Mapping[str, str]
) -> None:
    for d, size in zip(p.type.dims, shape, strict=True):
        unknown = [s for s in symbols(d) if s not in env]
        if not unknown and evaluate(d, env) == size:
            continue
        used = sorted({s for each in p.type.dims for s in symbols(each) if s in env})
        known = ", ".join(f"{s} = {env[s]} ({bound_by[s]})" for s in used)
        suffix = f" with {known}" if known else ""
        if unknown:
            suffix += f"; no size of {unknown[0]} makes {d} equal {size}"
        expected = type_text(p.type.dtype, p.type.dims)
        raise RuntimeCheckError(
            f"input {p.name}: expected {expected}{suffix}, got {type_text(p.type.dtype, shape)}"
        )


def check_facts(facts: Facts, env: Mapping[str, int], bound_by: Mapping[str, str]) -> None:
    """Raise RuntimeCheckError where a fact the program was compiled for does not hold."""
    for name, value in env.items():
        low, high = facts.range_of(name)
        if not low <= value <= high:
            limits = f"{name} >= {low}" if high == float("inf") else f"{low} <= {name} <= {high}"
            raise RuntimeCheckError(
                f"{name} = {value} ({bound_by[name]}), but the program was compiled for {limits}"
            )
    for d, k in facts.divisible:
        if all(s in env for s in symbols(d)) and evaluate(d, env) % k:
            raise RuntimeCheckError(
                f"{d} = {evaluate(d, env)}, but the program was compiled for multiples of {k}"
            )
    for a, b in facts.equal:
        if all(s in env for s in (*symbols(a), *symbols(b))) and evaluate(a, env) != evaluate(
            b, env
        ):
            raise RuntimeCheckError(
                f"{a} = {evaluate(a, env)} and {b} = {evaluate(b, env)}, but the program was "
                f"compiled for {a} == {b}"
            )
