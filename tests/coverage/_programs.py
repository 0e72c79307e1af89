"""Small programs in a line of text, for tests of rules.

    program("nn.relu(x @ w + b)", x="n 64", w="= 64 32", b="= 32")

The text is Python over the inputs: operators by their Relax names (`nn.conv2d(x, w, padding=1)`,
`sum(x, axis=1)`, `concat([x, y], axis=0)`), `+ - * / @ -x`, `[i]` for a field of a tuple, numbers
(constants of the other operand's dtype), `array([1, 2])` for a constant, names of symbolic dims
(`reshape(x, (n, 4))`). Several lines: assignments, and the result last; a list gives several
results.

An input is `[=] [+] [dtype] dim …`: `=` makes it a constant (a weight), `+` its values positive,
the dtype is float32 unless named, "void" for none; a dim is a size, a symbol or an expression
such as `2*n`.
"""

from __future__ import annotations

import ast
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import ALL_OPS, UNKNOWN_DTYPE, BlockBuilder, Constant, Expr, IRModule, TensorType, op
from eqsat.shapes import Shape, is_dtype, is_float, numpy_dtype, parse_dim, sym, symbols


@dataclass(frozen=True)
class InputSpec:
    """What the text of an input says."""

    shape: Shape
    dtype: str
    is_constant: bool
    is_positive: bool

    @staticmethod
    def of(text: str) -> InputSpec:
        words = text.split()
        flags = {w for w in words if w in ("=", "+")}
        rest = [w for w in words if w not in ("=", "+")]
        has_dtype = bool(rest) and (is_dtype(rest[0]) or rest[0] == UNKNOWN_DTYPE)
        dtype = rest.pop(0) if has_dtype else "float32"
        shape = tuple(parse_dim(w) for w in rest)
        return InputSpec(shape, dtype, "=" in flags, "+" in flags)


def seeded_array(
    name: str, shape: tuple[int, ...], dtype: str, *, is_positive: bool = False
) -> NDArray[np.generic]:
    """Return values that depend on the name alone: floats around 0 with both signs, small ints."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if not is_float(dtype):
        return rng.integers(0, 2, shape).astype(numpy_dtype(dtype))
    values = rng.standard_normal(shape)
    return (np.abs(values) + 0.5 if is_positive else values).astype(numpy_dtype(dtype))


class Value:
    """An expression of the program being built."""

    def __init__(self, bb: BlockBuilder, expr: Expr) -> None:
        self.bb, self.expr = bb, expr

    def _binary(self, name: str, left: Any, right: Any) -> Value:
        return _call(self.bb, name, left, right)

    __array_ufunc__ = None  # an array on the left leaves the operator to this class

    def __rmatmul__(self, other: Any) -> Value:
        return self._binary("matmul", other, self)

    def __add__(self, other: Any) -> Value:
        return self._binary("add", self, other)

    def __radd__(self, other: Any) -> Value:
        return self._binary("add", other, self)

    def __sub__(self, other: Any) -> Value:
        return self._binary("subtract", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self._binary("subtract", other, self)

    def __mul__(self, other: Any) -> Value:
        return self._binary("multiply", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self._binary("multiply", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self._binary("divide", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self._binary("divide", other, self)

    def __matmul__(self, other: Any) -> Value:
        return self._binary("matmul", self, other)

    def __neg__(self) -> Value:
        return _call(self.bb, "negative", self)

    def __getitem__(self, index: int) -> Value:
        return Value(self.bb, self.bb.get_item(self.expr, index))


def _call(bb: BlockBuilder, name: str, *args: Any, **attrs: Any) -> Value:
    definition = op(name)
    count = len(definition.operands)
    dtype = next((a.expr.type.dtype for a in args if _is_tensor(a)), "float32")
    # What follows the operands are attributes in their order: `split(x, 2)`.
    for declared, value in zip(definition.attrs, args[count:], strict=False):
        attrs[declared.name] = tuple(value) if isinstance(value, list) else value
    return Value(bb, bb.call(definition, *(_expr(a, dtype) for a in args[:count]), **attrs))


def _is_tensor(a: Any) -> bool:
    return isinstance(a, Value) and isinstance(a.expr.type, TensorType)


def _expr(a: Any, dtype: str) -> Any:
    if isinstance(a, Value):
        return a.expr
    if isinstance(a, (list, tuple)) and any(isinstance(each, Value) for each in a):
        return [_expr(each, dtype) for each in a]
    if isinstance(a, (bool, int, float)):
        return Constant(np.asarray(a, numpy_dtype(dtype)))
    return a


def _operators(bb: BlockBuilder) -> dict[str, Any]:
    """Return what the names of operators stand for; a dotted one through its namespace."""
    names: dict[str, Any] = {}
    for name in ALL_OPS:
        space, _, last = name.rpartition(".")
        call = _caller(bb, name)
        if space:
            setattr(names.setdefault(space, SimpleNamespace()), last, call)
        else:
            names[last] = call
    return names


def _caller(bb: BlockBuilder, name: str) -> Callable[..., Value]:
    return lambda *args, **attrs: _call(bb, name, *args, **attrs)


def _identity_kernel(count: int) -> NDArray[np.float32]:
    kernel = np.zeros((count, count, 3, 3), np.float32)
    kernel[:, :, 1, 1] = np.eye(count)
    return kernel


# What makes constants, besides the inputs that are some.
_ARRAYS: Mapping[str, Any] = {
    "array": np.array,
    "eye_of": lambda count: np.eye(count, dtype=np.float32),
    "identity_kernel": _identity_kernel,
}


@dataclass(frozen=True, eq=False)
class Program:
    """A program as text over named inputs; calling it builds the module."""

    text: str
    inputs: Mapping[str, str]

    def __call__(self) -> IRModule:
        bb = BlockBuilder()
        specs = {name: InputSpec.of(text) for name, text in self.inputs.items()}
        dims = sorted({s for spec in specs.values() for s in symbols(spec.shape)})
        names: dict[str, Any] = {**_ARRAYS, **_operators(bb), **{d: sym(d) for d in dims}}
        names.update({name: Value(bb, _input(bb, name, spec)) for name, spec in specs.items()})
        *steps, last = ast.parse(self.text.strip()).body
        assert isinstance(last, ast.Expr), f"the last line of {self.text!r} is no expression"
        exec(compile(ast.Module(steps, []), "<program>", "exec"), names)
        result = eval(compile(ast.Expression(last.value), "<program>", "eval"), names)
        if isinstance(result, Sequence):
            return bb.module([each.expr for each in result])
        return bb.module(result.expr)

    def __str__(self) -> str:
        shown = ", ".join(f"{name}: {text}" for name, text in self.inputs.items())
        code = "; ".join(line.strip() for line in self.text.strip().splitlines())
        return f"`{code}` over {shown}"


def _input(bb: BlockBuilder, name: str, spec: InputSpec) -> Expr:
    if not spec.is_constant:
        return bb.input(name, spec.shape, spec.dtype)
    shape = tuple(d for d in spec.shape if isinstance(d, int))
    assert len(shape) == len(spec.shape), f"the constant {name} has a symbolic size"
    return Constant(seeded_array(name, shape, spec.dtype, is_positive=spec.is_positive))


def program(text: str, **inputs: str) -> Program:
    """Return the program of `text` (see above); nothing is built before it is called."""
    return Program(text, inputs)
