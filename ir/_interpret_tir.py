"""Runs TensorIR statement by statement: slow, plain, the meaning of a PrimFunc."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._externs import Extern
from eqsat.ir._interpret_bind import RuntimeCheckError
from eqsat.ir._interpret_foreign import call_foreign
from eqsat.ir._interpret_scalar import (
    apply_binary,
    apply_cast,
    apply_intrinsic,
    is_scalar_function,
)
from eqsat.ir._tir import (
    Address,
    Assert,
    Attr,
    Binary,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Cast,
    Evaluate,
    FloatImm,
    For,
    IfThenElse,
    IntImm,
    Intrinsic,
    Jump,
    JumpKind,
    Let,
    Not,
    PrimExpr,
    PrimFunc,
    Select,
    Seq,
    Stmt,
    StringImm,
    Var,
    While,
)
from eqsat.ir._visit import addressed
from eqsat.shapes import numpy_dtype

Array = NDArray[Any]


def run_primfunc(
    func: PrimFunc,
    arguments: Sequence[Array | float],
    symbols: Mapping[str, int] | None = None,
    externs: Mapping[str, Extern] | None = None,
) -> None:
    """Run `func` on `arguments`, one per parameter; buffers are written in place.

    Args:
        func: any PrimFunc; loop kinds and thread bindings run serially.
        arguments: an array per buffer, a number per scalar parameter.
        symbols: values of shape symbols that no argument's shape binds.
        externs: Python functions that it calls, by name; the others are those of `register_func`
            and the C functions of this process.

    Raises:
        TypeError: the arguments do not fit the parameters.
        IndexError: an access out of bounds.
        RuntimeCheckError: an assertion that does not hold, a function that is not there.
    """
    if len(arguments) != len(func.params):
        raise TypeError(f"{func.name} takes {len(func.params)} arguments, got {len(arguments)}")
    machine = _Machine(func.name, symbols or {}, externs or {})
    pointed = set(addressed(func.body))
    copies: list[tuple[Array, Array]] = []
    for param, argument in zip(func.params, arguments, strict=True):
        if (
            param in pointed
            and isinstance(argument, np.ndarray)
            and not argument.flags.c_contiguous
        ):
            copies.append((argument, argument := np.array(argument, order="C")))
        machine.bind(func, param, argument)
    for buffer in func.alloc_buffers:
        machine.allocate(buffer)
    with np.errstate(all="ignore"), suppress(_Jumped):  # a return
        machine.run(func.body)
    for argument, copy in copies:
        if argument.flags.writeable:
            argument[...] = copy


class _Jumped(Exception):  # noqa: N818 - control flow
    def __init__(self, kind: JumpKind) -> None:
        super().__init__(kind)
        self.kind = kind


class _Machine:
    def __init__(
        self, name: str, symbols: Mapping[str, int], externs: Mapping[str, Extern]
    ) -> None:
        self.name = name
        self.externs = externs
        self.symbols = dict(symbols)
        self.vars: dict[Var, Any] = {}
        self.buffers: dict[Buffer, Array] = {}

    def bind(self, func: PrimFunc, param: Buffer | Var, argument: Array | float) -> None:
        if isinstance(param, Var):
            self.vars[param] = numpy_dtype(param.dtype).type(argument)
            return
        if not isinstance(argument, np.ndarray):
            raise TypeError(f"{func.name}: {param.name} must be an array, got {argument!r}")
        if argument.dtype != numpy_dtype(param.dtype) or argument.ndim != len(param.shape):
            raise TypeError(
                f"{func.name}: {param.name} must be {param.dtype} with {len(param.shape)} axes, "
                f"got {argument.dtype.name} of shape {argument.shape}"
            )
        for axis, (d, n) in enumerate(zip(param.shape, argument.shape, strict=True)):
            if isinstance(d, Var) and d not in self.vars and d.name not in self.symbols:
                self.vars[d] = np.int64(n)
            elif (wanted := int(self.eval(d))) != n:
                raise TypeError(
                    f"{func.name}: axis {axis} of {param.name} must be {wanted}, got shape "
                    f"{argument.shape}"
                )
        self.buffers[param] = argument

    def allocate(self, buffer: Buffer) -> None:
        shape = tuple(int(self.eval(d)) for d in buffer.shape)
        self.buffers[buffer] = np.zeros(shape, numpy_dtype(buffer.dtype))

    def run(self, s: Stmt) -> None:  # noqa: C901 - one case per node
        match s:
            case Seq(stmts):
                for each in stmts:
                    self.run(each)
            case For():
                self._loop(s)
            case While(condition, body):
                while self.eval(condition) and self._iteration(body):
                    pass
            case Jump(kind):
                raise _Jumped(kind)
            case Assert(condition, message):
                if not self.eval(condition):
                    raise RuntimeCheckError(f"PrimFunc {self.name}: {message}")
            case Block():
                self._block(s)
            case BufferStore(buffer, indices, value):
                self.buffers[buffer][self._at(buffer, indices)] = self.eval(value)
            case IfThenElse(condition, then_body, else_body):
                if self.eval(condition):
                    self.run(then_body)
                elif else_body is not None:
                    self.run(else_body)
            case Let(var, value, body):
                self.vars[var] = self.eval(value)
                self.run(body)
            case Attr(body=body):
                self.run(body)
            case Evaluate(value):
                self.eval(value)
            case _:
                assert_never(s)

    def _loop(self, s: For) -> None:
        first, count = int(self.eval(s.min)), int(self.eval(s.extent))
        for i in range(first, first + count):
            self.vars[s.var] = numpy_dtype(s.var.dtype).type(i)
            if not self._iteration(s.body):
                break
        if count <= 0:
            self._reduce_nothing(s)

    def _iteration(self, body: Stmt) -> bool:
        """Run one iteration of a loop; return whether there may be another."""
        try:
            self.run(body)
        except _Jumped as jumped:
            if jumped.kind == "return":
                raise
            return jumped.kind == "continue"
        return True

    def _reduce_nothing(self, s: Stmt) -> None:
        """Run the `init` of reductions over no element: the loop around them is empty."""
        if isinstance(s, For):
            first = int(self.eval(s.min))
            for i in range(first, first + max(1, int(self.eval(s.extent)))):
                self.vars[s.var] = numpy_dtype(s.var.dtype).type(i)
                self._reduce_nothing(s.body)
        elif isinstance(s, Block) and s.init is not None:
            spatial = [i for i in s.iters if i.kind == "S"]
            if any(int(self.eval(i.domain.extent)) <= 0 for i in spatial):
                return
            for i in spatial:
                self.vars[i.var] = self.eval(i.binding)
            self.run(s.init)

    def _block(self, b: Block) -> None:
        values = [self.eval(i.binding) for i in b.iters]
        for i, value in zip(b.iters, values, strict=True):
            self.vars[i.var] = value
        if not self.eval(b.predicate):
            return
        for buffer in b.alloc_buffers:
            self.allocate(buffer)
        reductions = [i for i in b.iters if i.kind == "R"]
        if b.init is not None and all(
            self.vars[i.var] == self.eval(i.domain.min) for i in reductions
        ):
            self.run(b.init)
        self.run(b.body)

    def _symbol(self, name: str) -> np.int64:
        if name not in self.symbols:
            known = ", ".join(sorted(self.symbols)) or "none"
            raise KeyError(f"the variable {name} has no value; known symbols: {known}")
        return np.int64(self.symbols[name])

    def _at(self, buffer: Buffer, indices: Sequence[PrimExpr]) -> tuple[int, ...]:
        at = tuple(int(self.eval(i)) for i in indices)
        shape = self.buffers[buffer].shape
        if len(at) != len(shape) or any(not 0 <= i < n for i, n in zip(at, shape, strict=True)):
            raise IndexError(f"{buffer.name}{list(at)} is outside of its shape {shape}")
        return at

    def _from(self, buffer: Buffer, indices: Sequence[PrimExpr]) -> Array:
        """Return the memory of a buffer from an element on."""
        array = self.buffers[buffer]
        at = self._at(buffer, indices) if indices else ()
        return array.reshape(-1)[int(np.ravel_multi_index(at, array.shape)) if at else 0 :]

    def eval(self, e: PrimExpr) -> Any:  # noqa: C901 - one case per node
        match e:
            case Var():
                return self.vars[e] if e in self.vars else self._symbol(e.name)
            case IntImm(value, dtype) | FloatImm(value, dtype):
                return numpy_dtype(dtype).type(value)
            case StringImm(value):
                return value
            case Binary("and", a, b):
                return np.bool_(bool(self.eval(a)) and bool(self.eval(b)))
            case Binary("or", a, b):
                return np.bool_(bool(self.eval(a)) or bool(self.eval(b)))
            case Binary(op, a, b):
                return apply_binary(op, self.eval(a), self.eval(b))
            case Not(a):
                return np.logical_not(self.eval(a))
            case Cast(dtype, value):
                return apply_cast(self.eval(value), dtype)
            case Select(condition, a, b):
                return self.eval(a if self.eval(condition) else b)
            case Intrinsic(name, args, dtype) if is_scalar_function(name):
                return apply_intrinsic(name, [self.eval(a) for a in args], dtype)
            case Intrinsic(name, args, dtype):
                return call_foreign(name, [self.eval(a) for a in args], dtype, self.externs)
            case Address(buffer, indices):
                return self._from(buffer, indices)
            case BufferLoad(buffer, indices):
                return self.buffers[buffer][self._at(buffer, indices)]
            case _:
                raise TypeError(f"not a TensorIR expression: {e!r}")
