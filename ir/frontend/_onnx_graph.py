"""The graph under import: values by ONNX name, and what handlers need of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._builder import BlockBuilder
from eqsat.ir._call import Arg
from eqsat.ir._expr import AttrValue, Constant, Expr, ShapeExpr, Var
from eqsat.ir._types import TensorType
from eqsat.ir.frontend._errors import ImportModelError
from eqsat.ir.ops import op
from eqsat.shapes import (
    Dim,
    EqsatError,
    Equal,
    Shape,
    SymDim,
    UnprovenShapeError,
    dtype_name,
    numpy_dtype,
)


@dataclass(eq=False, slots=True)
class Known:
    """A tensor known at import: numbers, or dims (`array` has dtype object) of an integer dtype.

    `constant` is made when the tensor is first used as an operand, once.
    """

    array: NDArray[Any]
    dtype: str
    constant: Expr | None = None

    @property
    def is_symbolic(self) -> bool:
        """Whether an element is a symbolic dim."""
        return self.array.dtype == object and any(isinstance(d, SymDim) for d in self.array.flat)


Value = Expr | Known | None
Result = Value | Sequence[Value]


@dataclass(frozen=True, slots=True)
class Node:
    """One ONNX node: its operator, name for messages, input values and attributes."""

    op_type: str
    where: str
    inputs: tuple[Value, ...]
    attrs: Mapping[str, Any]
    num_outputs: int  # that are read
    output_count: int  # written, the nameless ones included
    opset: int

    def input(self, index: int) -> Value:
        """Return input `index`, None where absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute, bytes decoded."""
        value = self.attrs.get(name, default)
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def required(self, name: str) -> Any:
        """Return an attribute that has no default."""
        if name not in self.attrs:
            raise self.fail(f"the attribute {name} is missing")
        return self.attr(name)

    def fail(self, problem: str) -> ImportModelError:
        """Return the error that says what is wrong with this node."""
        return ImportModelError(f"{self.where}: {problem}")


class GraphBuilder:
    """Emits Relax for one ONNX graph."""

    def __init__(self) -> None:
        self.block = BlockBuilder()

    def call(self, op_name: str, *args: Arg | Known, **attrs: AttrValue) -> Var:
        """Emit the operator `op_name`; `Known` operands become constants.

        ONNX checks sizes at run time. Where the operands fit only if two dims are equal, and that
        is neither proved nor refuted, they are match_cast to the simpler one: the same check.
        """
        operands = [self.expr(a) if isinstance(a, Known) else a for a in args]
        try:
            return self.block.call(op(op_name), *operands, **attrs)
        except UnprovenShapeError as error:
            cast = [self._cast_arg(a, error) for a in operands]
            if all(a is b for a, b in zip(cast, operands, strict=True)):
                raise
            return self.block.call(op(op_name), *cast, **attrs)

    def _cast_arg(self, arg: Arg, error: UnprovenShapeError) -> Arg:
        if isinstance(arg, Expr):
            return self.cast_equal(arg, error)
        if not isinstance(arg, list):
            return arg
        tensors = [a for a in arg if isinstance(a, Expr)]
        cast = [self.cast_equal(a, error) for a in tensors]
        return cast if any(a is not b for a, b in zip(cast, tensors, strict=True)) else arg

    def cast_equal(self, value: Expr, error: UnprovenShapeError) -> Expr:
        """Return `value` match_cast so that the equalities missed by `error` hold, else itself."""
        ty = value.type
        if not isinstance(ty, TensorType) or not isinstance(ty.shape, tuple):
            return value
        simpler: dict[Dim, Dim] = {}
        for fact in error.needed:
            if isinstance(fact, Equal):
                a, b = sorted((fact.a, fact.b), key=_complexity)
                simpler[b] = a
        dims = tuple(simpler.get(d, d) for d in ty.shape)
        if dims == ty.shape:
            return value
        return self.block.match_cast(value, TensorType(dims, ty.dtype, ty.vdevice))

    def expr(self, value: Value) -> Expr:
        """Return `value` as an operand; known dims through shape_to_tensor."""
        if value is None:
            raise ImportModelError("a required input is absent")
        if not isinstance(value, Known):
            return value
        if value.constant is None:
            value.constant = self._materialize(value)
        return value.constant

    def _materialize(self, value: Known) -> Expr:
        if not value.is_symbolic:
            # Reshaped: ascontiguousarray makes a scalar a vector.
            array = value.array.astype(numpy_dtype(value.dtype), copy=False)
            return Constant(np.ascontiguousarray(array).reshape(array.shape))
        dims: Shape = tuple(_as_dim(d) for d in value.array.flat)
        result: Expr = self.call("shape_to_tensor", ShapeExpr(dims))
        if value.array.ndim != 1:
            result = self.call("reshape", result, value.array.shape)
        if value.dtype != "int64":
            result = self.call("astype", result, dtype=value.dtype)
        return result

    def type_of(self, value: Value, node: Node) -> TensorType:
        """Return the tensor type of `value`."""
        if isinstance(value, Known):
            return TensorType(tuple(value.array.shape), value.dtype)
        if value is None or not isinstance(value.type, TensorType):
            raise node.fail("an input is not a tensor")
        return value.type

    def shape_of(self, value: Value, node: Node) -> Shape:
        """Return the dims of `value`; the importer needs them known."""
        ty = self.type_of(value, node)
        if not isinstance(ty.shape, tuple):
            raise node.fail(
                f"the shape of an input is not known ({ty}); it depends on data, which is not "
                "supported"
            )
        return ty.shape

    def astype(self, value: Expr, dtype: str) -> Expr:
        """Return a tensor in `dtype`, itself where it has that dtype already."""
        if isinstance(value.type, TensorType) and value.type.dtype == dtype:
            return value
        return self.call("astype", value, dtype=dtype)

    def axes(self, node: Node) -> list[int] | None:
        """Return the axes, an attribute in old opsets and input 1 since; None where absent."""
        if "axes" in node.attrs:
            return list(node.attrs["axes"])
        return None if node.input(1) is None else self.ints(node.input(1), node, "axes")

    def ints(self, value: Value, node: Node, what: str) -> list[int]:
        """Return a tensor of plain integers known at import."""
        dims = self.dims(value, node, what)
        numbers = [d for d in dims if isinstance(d, int)]
        if len(numbers) != len(dims):
            raise node.fail(f"{what} must be plain numbers, got {[str(d) for d in dims]}")
        return numbers

    def dims(self, value: Value, node: Node, what: str) -> list[Dim]:
        """Return a tensor of dims known at import, flattened."""
        if not isinstance(value, Known):
            raise node.fail(
                f"{what} depends on data; only shapes known from the inputs' are supported"
            )
        return [_as_dim(d) for d in value.array.flat]

    def scalar(self, value: Value, node: Node, what: str) -> Any:
        """Return a known one-element tensor as a Python number or dim."""
        if not isinstance(value, Known) or value.array.size != 1:
            raise node.fail(f"{what} must be a constant with one element")
        return (
            value.array.reshape(()).item() if value.array.dtype != object else value.array.flat[0]
        )


def _as_dim(value: Any) -> Dim:
    if isinstance(value, SymDim):
        return value
    if int(value) != value:
        raise ImportModelError(f"a size can't be {value}")
    return int(value)


def _complexity(dim: Dim) -> tuple[int, int, str]:
    return (0 if isinstance(dim, int) else 1, len(str(dim)), str(dim))


Handler = Callable[[GraphBuilder, Node], Result]


def known(array: Any, dtype: str | None = None) -> Known:
    """Return `array` as a known tensor; dims (dtype object) are int64 unless stated."""
    value = np.asarray(array)
    return Known(value, dtype or ("int64" if value.dtype == object else dtype_name(value.dtype)))


# What a handler raises on attributes or operands that ONNX does not allow.
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    RuntimeError,  # NumPy on more than 32 axes
    TypeError,
    ValueError,
)


def run_handler(graph: GraphBuilder, node: Node, handler: Handler) -> tuple[Value, ...]:
    """Return the outputs of `node`; errors get the node's name."""
    try:
        result = handler(graph, node)
    except ImportModelError:
        raise
    except EqsatError as error:
        notes = "".join(f" ({n})" for n in getattr(error, "__notes__", ()))
        raise ImportModelError(f"{node.where}: {error}{notes}") from error
    except _MALFORMED as error:
        raise ImportModelError(
            f"{node.where}: its attributes or inputs are not valid ONNX "
            f"({type(error).__name__}: {error})"
        ) from error
    return tuple(result) if isinstance(result, Sequence) else (result,)
