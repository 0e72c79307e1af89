"""Inputs for a first run: from files, or random."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import (
    UNKNOWN_DTYPE,
    Function,
    IRModule,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
    type_symbols,
)
from eqsat.shapes import EqsatError, evaluate, is_float, numpy_dtype, symbols

Array = NDArray[np.generic]

_MOST_ELEMENTS = 1 << 40  # NumPy takes no size far beyond


def make_inputs(
    module: IRModule, dims: Mapping[str, int], files: Mapping[str, Path], *, seed: int = 0
) -> dict[str, Array]:
    """Return an array per parameter of main: from `files`, else random of the declared shape.

    Floats are normal, integers in [0, 10), bools true. Symbols without a size in `dims` are 1.

    Raises:
        EqsatError: a file or dim names nothing, or a file is no .npy array.
    """
    params = module.relax_function().params
    names = {p.name for p in params}
    if unknown := set(files) - names:
        raise EqsatError(
            f"no input is named {', '.join(sorted(unknown))}; the inputs are {sorted(names)}"
        )
    used = {s for p in params if isinstance(p.type, TensorType) for s in symbols(p.type.dims)}
    if unknown := set(dims) - used:
        raise EqsatError(
            f"no symbolic dim is named {', '.join(sorted(unknown))}; "
            f"the dims are {sorted(used) or 'none'}"
        )
    rng = np.random.default_rng(seed)
    env = {s: dims.get(s, 1) for s in used}
    return {
        p.name: _read(p.name, files[p.name])
        if p.name in files
        else _random(p.name, p.type, env, rng)
        for p in params
    }


def filled_inputs(
    function: Function, dims: Mapping[str, int], given: Mapping[str, Any], *, seed: int = 0
) -> dict[str, Any]:
    """Return a value per parameter of a function: that in `given`, else a random one.

    Symbols that `dims` lacks are 1.

    Raises:
        EqsatError: a parameter that is not given is no tensor, shape or tuple of them, or its dtype
            is not known; or what is given is no parameter.
    """
    names = [p.name for p in function.params]
    if unknown := set(given) - set(names):
        raise EqsatError(
            f"no input is named {', '.join(sorted(unknown))}; the inputs are {sorted(names)}"
        )
    used = {s for p in function.params for s in type_symbols(p.type)}
    rng = np.random.default_rng(seed)
    env = {s: dims.get(s, 1) for s in used}
    return {
        p.name: given[p.name] if p.name in given else _random_value(p.name, p.type, env, rng)
        for p in function.params
    }


def _random_value(name: str, ty: Type, env: Mapping[str, int], rng: np.random.Generator) -> Any:
    match ty:
        case TupleType(fields):
            return tuple(_random_value(f"{name}[{i}]", f, env, rng) for i, f in enumerate(fields))
        case ShapeType(dims) if not isinstance(dims, UnknownShape):
            return tuple(evaluate(d, env) for d in dims)
        case _:
            return _random(name, ty, env, rng)


def _read(name: str, path: Path) -> Array:
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        if hasattr(loaded, "files"):  # an .npz
            loaded.close()
            raise ValueError("several arrays; save the one you mean with np.save")
        return loaded
    except (ValueError, EOFError) as error:
        raise EqsatError(f"input {name}: {path} is no .npy array ({error})") from None


def _random(name: str, ty: object, env: Mapping[str, int], rng: np.random.Generator) -> Array:
    if not isinstance(ty, TensorType):
        raise EqsatError(f"random inputs are made for tensors only, not for {ty}; use --input")
    if ty.dtype == UNKNOWN_DTYPE:
        raise EqsatError(
            f"input {name} is {ty}, of no known dtype, so none is made at random; annotate one, as "
            f'in R.Tensor((16,), "float32"), or give the input itself'
        )
    shape = tuple(evaluate(d, env) for d in ty.dims)
    dtype = numpy_dtype(ty.dtype)
    if math.prod(shape) > _MOST_ELEMENTS:
        raise EqsatError(f"an input would be {ty.dtype}{list(shape)}, too large; use smaller dims")
    if is_float(ty.dtype):
        return rng.standard_normal(shape).astype(dtype)
    if ty.dtype == "bool":
        return np.ones(shape, dtype)
    return rng.integers(0, 10, shape).astype(dtype)
