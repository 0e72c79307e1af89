"""Programs of one PrimFunc, compiled without a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eqsat.backends import Executable, compile_program
from eqsat.ir import TensorType
from eqsat.ir.tir import Binary, Buffer, IntImm, PrimExpr, PrimFunc, Var
from eqsat.lowering import Launch, NativeProgram, Slot
from eqsat.shapes import Dim, sym

MakeProgram = Callable[..., NativeProgram]


def dim_of(e: PrimExpr) -> Dim:
    match e:
        case IntImm(value):
            return value
        case Var(name):
            return sym(name)
        case Binary("+", a, b):
            return dim_of(a) + dim_of(b)
        case Binary("-", a, b):
            return dim_of(a) - dim_of(b)
        case Binary("*", a, b):
            return dim_of(a) * dim_of(b)
        case _:
            raise AssertionError(e)


@pytest.fixture
def make_program() -> MakeProgram:
    def make(func: PrimFunc, num_outputs: int = 1, **fields: Any) -> NativeProgram:
        buffers = [p for p in func.params if isinstance(p, Buffer)]
        first_output = len(buffers) - num_outputs
        types = [TensorType(tuple(dim_of(d) for d in b.shape), b.dtype) for b in buffers]
        slots = tuple(
            Slot(b.name, ty, "output" if k >= first_output else "input")
            for k, (b, ty) in enumerate(zip(buffers, types, strict=True))
        )
        names = [s for ty in types for d in ty.dims if not isinstance(d, int) for s in d.symbols]
        fields.setdefault("symbols", tuple(dict.fromkeys(names)))
        launch = Launch(func, tuple(range(len(slots))), func.name, "opaque")
        inputs = tuple(range(first_output))
        outputs = tuple(range(first_output, len(slots)))
        return NativeProgram(
            func.name,
            slots,
            (launch,),
            inputs,
            outputs,
            workspace_bytes=0,
            is_tuple=num_outputs > 1,
            **fields,
        )

    return make


@pytest.fixture
def compiled(make_program: MakeProgram) -> Callable[..., Executable]:
    def compile_one(func: PrimFunc, num_outputs: int = 1, num_threads: int = 1) -> Executable:
        program = make_program(func, num_outputs)
        return compile_program(program, num_threads=num_threads, cache=False)

    return compile_one
