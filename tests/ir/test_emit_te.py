"""Kernels declared by `emit_te`: numbers, text, sizes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat import te
from eqsat.ir import (
    UNKNOWN_DTYPE,
    BlockBuilder,
    IRModule,
    PrimFunc,
    PrimValue,
    TensorType,
    TypeCheckError,
    UnknownShape,
    check_well_formed,
    from_tvmscript,
    interpret,
    print_module,
    structural_equal,
)
from eqsat.shapes import Shape, sym

Array = np.ndarray[Any, Any]


def scaled(x: te.Tensor, factor: float = 2.0) -> te.Tensor:
    return te.compute(x.shape, lambda *i: te.exp(x[i] * factor) + 1)


def matmul(x: te.Tensor, w: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, x.shape[1]))
    shape = (x.shape[0], w.shape[1])
    return te.compute(shape, lambda i, j: te.sum(x[i, k] * w[k, j], axis=k), "product")


def softmax(x: te.Tensor) -> te.Tensor:
    n, m = x.shape
    k = te.reduce_axis((0, m))  # shared by two stages
    top = te.compute((n,), lambda i: te.max(x[i, k], axis=k), "top")
    total = te.compute((n,), lambda i: te.sum(te.exp(x[i, k] - top[i]), axis=k), "total")
    return te.compute((n, m), lambda i, j: te.exp(x[i, j] - top[i]) / total[i])


def extremes(x: te.Tensor) -> list[te.Tensor]:
    k = te.reduce_axis((0, x.shape[1]))
    low = te.compute(x.shape[:1], lambda i: te.min(x[i, k], axis=[k]), "low")
    return [low, te.compute(x.shape[:1], lambda i: te.max(x[i, k], axis=[k]), "high")]


def total(x: te.Tensor) -> te.Tensor:
    i, j = (te.reduce_axis((0, n), name) for n, name in zip(x.shape, "ij", strict=True))
    return te.compute((), lambda: te.sum(x[i, j], axis=(i, j)))


def shifted(x: te.Tensor) -> te.Tensor:
    def at(i: Any, j: Any) -> Any:
        return te.if_then_else(i < 1, 0.0, x[te.maximum(i - 1, 0), j])

    return te.compute(x.shape, at)


def rounded(x: te.Tensor) -> te.Tensor:
    return te.compute(x.shape, lambda i, j: te.cast("int32", te.minimum(x[i, j], 3)) + 1)


CASES: dict[str, tuple[Callable[..., Any], Callable[[Array], Any]]] = {
    "scaled": (scaled, lambda x: np.exp(x * 2) + 1),
    "softmax": (softmax, lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    "extremes": (extremes, lambda x: (x.min(1, initial=np.inf), x.max(1, initial=-np.inf))),
    "total": (total, lambda x: x.sum()),
    "shifted": (shifted, lambda x: np.concatenate([np.zeros_like(x[:1]), x[:-1]])[: len(x)]),
    "rounded": (rounded, lambda x: np.minimum(x, 3).astype(np.int32) + 1),
}  # fmt: skip


def declared(fn: Callable[..., Any], shape: Shape, *args: object) -> IRModule:
    bb = BlockBuilder()
    return bb.module(bb.emit_te(fn, bb.input("x", shape, "float32"), *args))


def data(shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (0, 4), (2, 0)], ids=str)
@pytest.mark.parametrize("is_symbolic", [False, True], ids=["static", "symbolic"])
@pytest.mark.parametrize("name", CASES)
def test_numbers(name: str, shape: tuple[int, int], is_symbolic: bool) -> None:
    fn, reference = CASES[name]
    module = declared(fn, (sym("n"), sym("m")) if is_symbolic else shape)
    check_well_formed(module)
    assert structural_equal(from_tvmscript(print_module(module)), module)
    x = data(shape)
    wanted = reference(x)
    for run in (eqsat.compile(module, host_operations="forbid"), lambda v: interpret(module, v)):
        found = run(x)
        pairs = zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


def test_arrays_are_arguments() -> None:
    w = data((5, 4))
    module = declared(matmul, (sym("n"), 5), w)
    x = data((3, 5))
    np.testing.assert_allclose(eqsat.compile(module)(x), x @ w, rtol=1e-5, atol=1e-6)


def test_arguments_nest_and_pass_through() -> None:
    def weighted(xs: dict[str, Any], factors: list[float], *, power: int) -> te.Tensor:
        a, b = xs["both"]
        first, second = factors
        return te.compute(a.shape, lambda i: (a[i] * first + b[i] * second) * power)

    bb = BlockBuilder()
    x, y = (bb.input(n, (4,), "float32") for n in "xy")
    module = bb.module(bb.emit_te(weighted, {"both": (x, y)}, [2.0, 3.0], power=2))
    a, b = data((4,)), data((4,)) + 1
    np.testing.assert_allclose(eqsat.compile(module)(a, b), (2 * a + 3 * b) * 2, rtol=1e-5)


def test_a_size_of_no_axis_is_passed() -> None:
    def repeated(x: te.Tensor, n: Any) -> te.Tensor:
        return te.compute(x.shape, lambda i: x[i] + te.cast("float32", n_of(n)))

    def n_of(n: Any) -> Any:
        from eqsat.ir.tir import from_dim

        return from_dim(n)

    bb = BlockBuilder()
    x = bb.input("x", (sym("n") * 2,), "float32")
    bb.input("other", (sym("n"),), "float32")
    module = bb.module(bb.emit_te(repeated, x, PrimValue(sym("n"))))
    func = module["repeated"]
    assert isinstance(func, PrimFunc)
    assert [p.name for p in func.params] == ["x", "n", "compute"]
    check_well_formed(module)
    assert structural_equal(from_tvmscript(print_module(module)), module)
    x_value, other = data((6,)), data((3,))
    for run in (eqsat.compile(module), lambda *v: interpret(module, *v)):
        np.testing.assert_allclose(run(x_value, other), x_value + 3, rtol=1e-6)


def test_equal_kernels_are_one() -> None:
    bb = BlockBuilder()
    x = bb.input("x", (4, 5), "float32")
    y = bb.emit_te(scaled, bb.emit_te(scaled, x))
    z = bb.emit_te(scaled, y, 3.0, name_hint="z")
    assert z.name == "z"
    module = bb.module(bb.emit(bb.call_te(scaled, z, 1.0, primfunc_name_hint="last")))
    assert list(module.functions) == ["scaled", "scaled_1", "last", "main"]


def test_reduction_inside_an_expression() -> None:
    def mean(x: te.Tensor) -> te.Tensor:
        k = te.reduce_axis((0, 5))
        return te.compute((4,), lambda i: te.sum(x[i, k], axis=k) / 5)  # type: ignore[operator]

    with pytest.raises(TypeCheckError, match="is the whole body of a stage; give it"):
        declared(mean, (4, 5))


def outside_axis(x: te.Tensor) -> te.Tensor:
    k = te.reduce_axis((0, 5), "k")
    return te.compute((4,), lambda i: x[i, k])


def foreign(x: te.Tensor) -> te.Tensor:
    y = te.placeholder((4, 5), name="y")
    return te.compute((4, 5), lambda i, j: y[i, j])


def twice(x: te.Tensor) -> tuple[te.Tensor, te.Tensor]:
    y = te.compute(x.shape, lambda i, j: x[i, j] + 1)
    return y, y


WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "input": (lambda x: x, "te_compute: the function must return te.compute(...), got its input x"),
    "nothing": (lambda x: None, "must return te.compute(...), got NoneType"),
    "empty": (lambda x: [], "must return te.compute(...), got NoneType"),
    "twice": (twice, "returns one tensor twice"),
    "axis": (outside_axis, "outside_axis: the te.compute of compute uses the index k, which"),
    "foreign": (foreign, "reads y, which is no argument of the function"),
    "dtype": (lambda x: te.compute((4,), lambda i: x[i, 0] + i), "mixes float32 and int64"),
    "function": (lambda x: te.compute((4,), lambda i: te.exp(i)), "te.exp of int64; te.cast it"),
    "arity": (lambda x: te.compute((4, 5), lambda i: x[i, 0]), "must take 2 indices"),
    "element": (lambda x: te.compute((4,), lambda i: "a"), "must return one element, got str"),
    "begin": (lambda x: te.reduce_axis((1, 4)), "begins at 1; begin at 0 and add 1"),
    "reduced": (lambda x: te.compute((4,), lambda i: te.sum(x[i, 0], i)), "over te.reduce_axis"),
    "number": (lambda x: te.compute((), lambda: te.sum(1, te.reduce_axis((0, 2)))), "got int"),
    "index": (lambda x: te.compute((4,), lambda i: x[te.cast("float32", i), 0]), "not an integer"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use(name: str) -> None:
    fn, message = WRONG[name]
    with pytest.raises(TypeCheckError) as error:
        declared(fn, (4, 5))
    assert message in str(error.value)


def test_wrong_rank() -> None:
    with pytest.raises(IndexError, match="x has rank 2, indexed by 1"):
        declared(lambda x: te.compute((4,), lambda i: x[i]), (4, 5))


def test_unknown_shape() -> None:
    bb = BlockBuilder()
    x = bb.param("x", TensorType(UnknownShape(2), UNKNOWN_DTYPE))
    with pytest.raises(TypeCheckError, match="known shape and dtype; match_cast it first"):
        bb.emit_te(scaled, x)


def test_a_kernel_named_as_the_function() -> None:
    bb = BlockBuilder()
    y = bb.emit_te(scaled, bb.input("x", (4,), "float32"), primfunc_name_hint="main")
    with pytest.raises(TypeCheckError, match="main is the name of a kernel of emit_te too"):
        bb.module(y)
