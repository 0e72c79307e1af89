"""PrimFuncs written as operators before the search: they fuse, numbers stay, others stay apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat import te
from eqsat.ir import BlockBuilder, Call, IRModule, PrimFunc, check_well_formed, interpret, op
from eqsat.lowering import calls_as_operators
from eqsat.shapes import Shape, sym


def exp_like(x: te.Tensor) -> te.Tensor:
    return te.compute(x.shape, lambda *i: te.exp(x[i] * 0.5))


def relu_like(x: te.Tensor) -> te.Tensor:
    return te.compute(x.shape, lambda *i: te.maximum(x[i], 0))


def scaled_rows(x: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, x.shape[1]))
    total = te.compute((x.shape[0],), lambda i: te.sum(te.abs(x[i, k]), axis=k), "total")
    return te.compute(x.shape, lambda i, j: x[i, j] / (total[i] + 1))


def transposed(x: te.Tensor) -> te.Tensor:
    return te.compute((x.shape[1], x.shape[0]), lambda i, j: x[j, i] + 1)


def columns(x: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, x.shape[0]))
    return te.compute((x.shape[1],), lambda j: te.max(te.tanh(x[k, j]), axis=k))


def chosen(x: te.Tensor) -> te.Tensor:
    return te.compute(x.shape, lambda i, j: te.if_then_else(x[i, j] < 0, x[i, j] * 0.1, 7.0))


def two(x: te.Tensor) -> list[te.Tensor]:
    return [exp_like(x), te.compute(x.shape, lambda *i: te.cast("int32", x[i] * 3), "whole")]


def filled(x: te.Tensor) -> te.Tensor:
    return te.compute(x.shape, lambda *i: 2.5)


def shifted(x: te.Tensor) -> te.Tensor:
    return te.compute(x.shape, lambda i, j: x[te.maximum(i - 1, 0), j])


def diagonal(x: te.Tensor) -> te.Tensor:
    return te.compute((4,), lambda i: x[i, i])


def position(x: te.Tensor) -> te.Tensor:
    return te.compute(x.shape, lambda i, j: x[i, j] + te.cast("float32", i))


def either(x: te.Tensor) -> te.Tensor:
    sign = te.compute(x.shape, lambda i, j: x[i, j] < 0, "sign")
    return te.compute(x.shape, lambda i, j: te.maximum(te.cast("int8", sign[i, j]), 0) + 1)


def bits(x: te.Tensor) -> te.Tensor:
    whole = te.compute(x.shape, lambda i, j: te.cast("int32", x[i, j] * 9), "whole")
    return te.compute(x.shape, lambda i, j: whole[i, j] // 2)


RAISED = (exp_like, relu_like, scaled_rows, transposed, columns, chosen, two, filled, either)
APART = (shifted, diagonal, position, bits)


def declared(fn: Callable[..., Any], shape: Shape) -> IRModule:
    bb = BlockBuilder()
    return bb.module(bb.emit_te(fn, bb.input("x", shape, "float32")))


def called(module: IRModule) -> list[str]:
    bindings = [b for block in module.relax_function().body.blocks for b in block.bindings]
    return [b.value.op.name for b in bindings if isinstance(b.value, Call)]


def close(found: Any, wanted: Any) -> None:
    many = isinstance(wanted, tuple)
    for a, b in zip(found, wanted, strict=True) if many else [(found, wanted)]:
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4), (0, 4), (sym("n"), sym("m")), (1, 4)], ids=str)
@pytest.mark.parametrize("fn", RAISED, ids=lambda f: f.__name__)
def test_numbers_of_the_operators(fn: Callable[..., Any], shape: Shape) -> None:
    module = declared(fn, shape)
    raised = calls_as_operators(module)
    check_well_formed(raised)
    assert "call_tir" not in called(raised)
    sizes = tuple(n if isinstance(n, int) else k + 3 for k, n in enumerate(shape))
    x = np.random.default_rng(0).standard_normal(sizes).astype(np.float32)
    wanted = interpret(module, x)
    close(interpret(raised, x), wanted)
    close(eqsat.compile(eqsat.optimize(module))(x), wanted)


@pytest.mark.parametrize("fn", APART, ids=lambda f: f.__name__)
def test_others_stay_apart_under_their_name(fn: Callable[..., Any]) -> None:
    module = declared(fn, (4, 4))
    best = eqsat.optimize(module)
    assert isinstance(best.module[fn.__name__], PrimFunc)
    assert called(best.module) == ["call_tir"]
    x = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    exe = eqsat.compile(best)
    close(exe(x), interpret(module, x))
    assert fn.__name__ in str(exe.profile(x))


def plain(a: te.Tensor, b: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, 5))
    return te.compute((3, 4), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k))


def second_transposed(a: te.Tensor, b: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, 5))
    return te.compute((3, 4), lambda i, j: te.sum(b[j, k] * a[i, k], axis=k))


def result_transposed(a: te.Tensor, b: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, 5))
    return te.compute((4, 3), lambda j, i: te.sum(a[k, i] * b[k, j], axis=k))


def of_batch(a: te.Tensor, b: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, 5))
    return te.compute((2, 3, 4), lambda n, i, j: te.sum(a[i, n, k] * b[n, j, k], axis=k))


def rows_of_batch(a: te.Tensor, b: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, 5))
    return te.compute((2, 3, 4), lambda n, i, j: te.sum(a[n, i, k] * b[k, j], axis=k))


def wider(a: te.Tensor, b: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, 5))

    def term(i: Any, j: Any) -> Any:
        return te.sum(te.cast("int32", a[i, k]) * te.cast("int32", b[k, j]), axis=k)

    return te.compute((3, 4), term)


def of_itself(a: te.Tensor, b: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, 3))
    return te.compute((3, 3), lambda i, j: te.sum(a[i, k] * a[k, j], axis=k))


@pytest.mark.parametrize(
    ("fn", "a", "b", "dtype"),
    [
        (plain, (3, 5), (5, 4), "float32"),
        (second_transposed, (3, 5), (4, 5), "float32"),
        (result_transposed, (5, 3), (5, 4), "float32"),
        (of_batch, (3, 2, 5), (2, 4, 5), "float32"),
        (rows_of_batch, (2, 3, 5), (5, 4), "float32"),
        (wider, (3, 5), (5, 4), "int8"),
        (of_itself, (3, 3), (1, 1), "float32"),
    ],
)
def test_products_are_matmul(fn: Callable[..., Any], a: Shape, b: Shape, dtype: str) -> None:
    bb = BlockBuilder()
    x, y = bb.input("x", a, dtype), bb.input("y", b, dtype)
    module = bb.module(bb.emit_te(fn, x, y))
    raised = calls_as_operators(module)
    check_well_formed(raised)
    assert "matmul" in called(raised)
    assert "call_tir" not in called(raised)
    rng = np.random.default_rng(0)
    args = [(rng.standard_normal(s) * 9).astype(dtype) for s in (a, b)]
    wanted = interpret(module, *args)
    close(interpret(raised, *args), wanted)
    close(eqsat.compile(eqsat.optimize(module))(*args), wanted)


def test_sums_that_are_no_products_of_matrices_stay() -> None:
    def windows(x: te.Tensor) -> te.Tensor:
        k = te.reduce_axis((0, 2))
        return te.compute((3, 4), lambda i, j: te.sum(x[i + k, j] * x[k, j], axis=k))

    assert called(calls_as_operators(declared(windows, (4, 4)))) == ["call_tir"]


def test_fuses_with_its_neighbours() -> None:
    bb = BlockBuilder()
    x, y = (bb.input(n, (sym("n"), 8), "float32") for n in "xy")
    middle = bb.call(op("add"), bb.emit_te(exp_like, x), y)
    module = bb.module(bb.emit_te(relu_like, middle))
    best = eqsat.optimize(module)
    assert best.report.num_kernels == 1
    a, b = (np.random.default_rng(k).standard_normal((3, 8)).astype(np.float32) for k in (0, 1))
    close(eqsat.compile(best)(a, b), interpret(module, a, b))
    # Not optimized, each call is a kernel.
    assert str(eqsat.compile(module).profile(a, b)).count("pointwise") == 3
