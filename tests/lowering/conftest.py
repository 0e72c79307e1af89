"""Kernels from operators, and lowered programs run through the TensorIR interpreter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from eqsat.ir import (
    ALL_OPS,
    BlockBuilder,
    Call,
    Constant,
    Expr,
    Function,
    GlobalVar,
    IRModule,
    NullValue,
    OpDef,
    ShapeExpr,
    Tuple,
    TupleGetItem,
    Var,
)
from eqsat.ir._interpret_tir import run_primfunc
from eqsat.ir._tir import Binary, IntImm, PrimExpr
from eqsat.ir._tir import Var as ScalarVar
from eqsat.lowering import NativeProgram, Target, lower_module
from eqsat.shapes import Shape, SymDim, evaluate, numpy_dtype

Array = NDArray[Any]

# Four lanes, so that small shapes have whole vectors, register tiles and tails.
SMALL = Target(vector_bits=128, num_vector_registers=16, l2_bytes=1 << 14, num_threads=2)


def op_calls(bb: BlockBuilder) -> Callable[..., Var]:
    """Return `o("nn.relu", x)`, which emits a call by the operator's name."""
    return lambda name, *args, **attrs: bb.call(ALL_OPS[name], *args, **attrs)


def kernel_module(build: Callable[..., Expr], *operands: Array | Shape) -> IRModule:
    """Return a module whose main calls one primitive function.

    Arrays become constant arguments, shapes become float32 inputs; `build(o, *vars)` is the kernel.
    """
    inner, outer = BlockBuilder(), BlockBuilder()
    params: list[Var] = []
    args: list[Expr] = []
    for i, operand in enumerate(operands):
        if isinstance(operand, np.ndarray):
            constant = Constant(operand)
            params.append(inner.param(f"p{i}", constant.type))
            args.append(constant)
        else:
            params.append(inner.input(f"p{i}", operand, "float32"))
            args.append(outer.input(f"x{i}", operand, "float32"))
    kernel = inner.function(build(op_calls(inner), *params), "kernel")
    kernel.is_private, kernel.attrs = True, {"primitive": True, "template": "pointwise"}
    result = outer.emit(Call(GlobalVar("kernel"), tuple(args), {}, kernel.ret_type))
    module = outer.module(result)
    return IRModule({**module.functions, "kernel": kernel})


def run_program(
    program: NativeProgram, inputs: Sequence[Array], env: Mapping[str, int]
) -> list[Array]:
    """Run every launch through the interpreter; workspace slots lie at their planned offsets."""
    memory: dict[int, Array] = {}
    workspace = np.zeros(evaluate(program.workspace_bytes, env), np.uint8)

    def get(i: int) -> Array:
        if i in memory:
            return memory[i]
        slot = program.slots[i]
        shape = tuple(evaluate(d, env) for d in slot.type.dims)
        dtype = numpy_dtype(slot.type.dtype)
        if slot.kind == "input":
            array = np.ascontiguousarray(inputs[program.inputs.index(i)])
        elif slot.alias_of is not None:
            array = get(slot.alias_of).reshape(shape)
        elif slot.value is not None:
            array = np.ascontiguousarray(slot.value)
        elif slot.kind == "output":
            array = np.zeros(shape, dtype)
        else:
            start = evaluate(slot.offset_bytes, env)
            assert start % 64 == 0
            size = int(np.prod(shape)) * dtype.itemsize
            array = workspace[start : start + size].view(dtype).reshape(shape)
        memory[i] = array
        return array

    for launch in program.launches:
        arrays: list[Array] = []
        for p, s in zip(launch.func.params, launch.slots, strict=True):
            # Collapsed parameters are the same elements under another shape.
            arrays.append(get(s).reshape(tuple(_size(d, env) for d in p.shape)))
        run_primfunc(launch.func, arrays, env)
    return [get(o) for o in program.outputs]


def _size(e: PrimExpr, env: Mapping[str, int]) -> int:
    match e:
        case IntImm(value):
            return value
        case ScalarVar(name):
            return env[name]
        case Binary("*", a, b):
            return _size(a, env) * _size(b, env)
        case Binary("+", a, b):
            return _size(a, env) + _size(b, env)
        case Binary("-", a, b):
            return _size(a, env) - _size(b, env)
        case Binary("//", a, b):
            return _size(a, env) // _size(b, env)
        case _:
            raise AssertionError(f"unexpected size {e}")


def reference(module: IRModule, inputs: Sequence[Array], env: Mapping[str, int]) -> list[Array]:
    """Return what main returns by the operators' references."""
    result = _call(module, module.relax_function(), inputs, env)
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _call(module: IRModule, function: Function, args: Sequence[Any], env: Mapping[str, int]) -> Any:
    values: dict[Var, Any] = dict(zip(function.params, args, strict=True))

    def value(e: Expr) -> Any:
        match e:
            case Var():
                return values[e]
            case Constant():
                return e.value
            case Tuple(fields):
                return [value(f) for f in fields]
            case TupleGetItem(t, index):
                return value(t)[index]
            case ShapeExpr(dims):
                return tuple(evaluate(d, env) for d in dims)
            case NullValue():
                return None
            case Call(GlobalVar() as callee, operands):
                target = module.relax_function(callee.name)
                return _call(module, target, [value(a) for a in operands], env)
            case Call(OpDef() as op, operands, attrs):
                given = [value(a) for a in operands]
                given += [None] * (len(op.operands) - len(given))
                return op.reference(*given, **{k: _plain(v, env) for k, v in attrs.items()})
            case _:
                raise AssertionError(f"unexpected {type(e).__name__}")

    for block in function.body.blocks:
        for b in block.bindings:
            values[b.var] = value(b.value)
    return value(function.body.result)


def _plain(v: Any, env: Mapping[str, int]) -> Any:
    if isinstance(v, SymDim):
        return evaluate(v, env)
    return tuple(_plain(x, env) for x in v) if isinstance(v, tuple) else v


Check = Callable[..., NativeProgram]


@pytest.fixture
def check() -> Check:
    """Return a function that lowers a module, runs it, compares it, and returns the program."""

    def run(module: IRModule, *inputs: Array, target: Target = SMALL, **env: int) -> NativeProgram:
        program = lower_module(module, target=target)
        got = run_program(program, inputs, env)
        want = reference(module, inputs, env)
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            assert g.shape == w.shape
            np.testing.assert_allclose(g, w, rtol=2e-5, atol=2e-5)
        return program

    return run


@pytest.fixture
def build() -> Callable[..., IRModule]:
    """Return `kernel_module`."""
    return kernel_module


@pytest.fixture
def random() -> Callable[..., Array]:
    """Return `random(*shape)`: reproducible float32 numbers."""
    rng = np.random.default_rng(0)
    return lambda *shape: rng.standard_normal(shape).astype(np.float32)
