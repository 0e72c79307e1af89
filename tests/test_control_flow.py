"""Programs with control flow, functions as values and calls: compiled equals interpreted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import IRModule, check_well_formed
from tests import random_control_flow

F32, I64 = np.float32, np.int64


def _x(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=F32).reshape(shape) / 7 - 1


def _n(value: int) -> Any:
    return np.asarray(value, I64)


def _same(got: Any, wanted: Any) -> None:
    if isinstance(wanted, tuple):
        assert isinstance(got, tuple)
        assert len(got) == len(wanted)
        for g, w in zip(got, wanted, strict=True):
            _same(g, w)
    elif isinstance(wanted, np.ndarray):
        assert got.dtype == wanted.dtype
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, 1e-5, 1e-6)
    else:
        assert got == wanted


FACTORIAL = """
@I.ir_module
class Module:
    @R.function
    def main(n: R.Tensor((), "int64")) -> R.Tensor((), "int64"):
        cls = Module
        c = R.less_equal(n, R.const(1, "int64"))
        if c:
            r = R.const(1, "int64")
        else:
            before = cls.main(R.subtract(n, R.const(1, "int64")))
            r = R.multiply(n, before)
        return r
"""

FIBONACCI = """
@I.ir_module
class Module:
    @R.function
    def main(n: R.Tensor((), "int64"), x: R.Tensor((4,), "float32")) -> R.Tensor((4,), "float32"):
        cls = Module
        c = R.less(n, R.const(2, "int64"))
        if c:
            r = x
        else:
            a = cls.main(R.subtract(n, R.const(1, "int64")), x)
            b = cls.main(R.subtract(n, R.const(2, "int64")), x)
            r = R.add(a, b)
        return r
"""

POWER = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor(("m", "m"), "float32"), n: R.Tensor((), "int64")) -> R.Tensor(
        ("m", "m"), "float32"
    ):
        m = T.int64()
        cls = Module
        is_one = R.equal(n, R.const(1, "int64"))
        if is_one:
            r = x
        else:
            half = R.floor_divide(n, R.const(2, "int64"))
            y = cls.main(x, half)
            yy = R.matmul(y, y)
            odd = R.equal(R.mod(n, R.const(2, "int64")), R.const(1, "int64"))
            if odd:
                r = R.matmul(yy, x)
            else:
                r = yy
        return r
"""

# One step of a recurrent network per call, the rest of the sequence by a slice.
RNN = """
@I.ir_module
class Module:
    @R.function
    def step(
        seq: R.Tensor(("t", 3), "float32"), h: R.Tensor((1, 3), "float32"),
        w: R.Tensor((3, 3), "float32"),
    ) -> R.Tensor((1, 3), "float32"):
        t = T.int64()
        cls = Module
        left = R.shape_to_tensor(R.shape_of(seq))
        rows = R.squeeze(R.strided_slice(left, axes=[0], begin=[0], end=[1]), axis=[0])
        empty = R.equal(rows, R.const(0, "int64"))
        if empty:
            r = h
        else:
            x = R.strided_slice(seq, axes=[0], begin=[0], end=[1], assume_inbound=False)
            x1 = R.match_cast(x, R.Tensor((1, 3), "float32"))
            new = R.tanh(R.add(R.matmul(h, w), x1))
            rest = R.strided_slice(seq, axes=[0], begin=[1], end=[t], assume_inbound=False)
            rest1 = R.match_cast(rest, R.Tensor((t - 1, 3), "float32"))
            r = cls.step(rest1, new, w)
        return r

    @R.function
    def main(
        seq: R.Tensor(("t", 3), "float32"), w: R.Tensor((3, 3), "float32")
    ) -> R.Tensor((1, 3), "float32"):
        t = T.int64()
        cls = Module
        h = R.zeros(R.shape([1, 3]), "float32")
        r = cls.step(seq, h, w)
        return r
"""

# Keeps the best of two candidates until the score stops growing.
BEAM = """
@I.ir_module
class Module:
    @R.function
    def loop(
        x: R.Tensor((4,), "float32"), best: R.Tensor((), "float32"), k: R.Tensor((), "int64")
    ) -> R.Tuple(R.Tensor((4,), "float32"), R.Tensor((), "int64")):
        cls = Module
        a = R.sin(R.multiply(x, R.const(1.5, "float32")))
        b = R.cos(R.add(x, R.const(0.25, "float32")))
        sa = R.sum(a)
        sb = R.sum(b)
        first = R.greater(sa, sb)
        if first:
            y = a
        else:
            y = b
        score = R.maximum(sa, sb)
        worse = R.less_equal(score, best)
        if worse:
            r = (x, k)
        else:
            again = R.less(k, R.const(20, "int64"))
            if again:
                r = cls.loop(y, score, R.add(k, R.const(1, "int64")))
            else:
                r = (y, k)
        return r

    @R.function
    def main(x: R.Tensor((4,), "float32")) -> R.Tuple(
        R.Tensor((4,), "float32"), R.Tensor((), "int64")
    ):
        cls = Module
        r = cls.loop(x, R.const(-100.0, "float32"), R.const(0, "int64"))
        return r
"""

CLOSURES = """
@I.ir_module
class Module:
    @R.function
    def adder(y: R.Tensor(("n",), "float32")) -> R.Callable(
        (R.Tensor(("n",), "float32"),), R.Tensor(("n",), "float32")
    ):
        n = T.int64()
        shifted = R.exp(y)

        @R.function
        def inner(x: R.Tensor((n,), "float32")) -> R.Tensor((n,), "float32"):
            s = R.add(x, shifted)
            z = R.multiply(s, R.broadcast_to(R.const(2.0, "float32"), R.shape([n])))
            return z

        return inner

    @R.function
    def twice(
        f: R.Callable((R.Tensor(("n",), "float32"),), R.Tensor(("n",), "float32")),
        x: R.Tensor(("n",), "float32"),
    ) -> R.Tensor(("n",), "float32"):
        n = T.int64()
        a = f(x)
        a1 = R.match_cast(a, R.Tensor((n,), "float32"))
        b = f(a1)
        b1 = R.match_cast(b, R.Tensor((n,), "float32"))
        return b1

    @R.function
    def main(x: R.Tensor(("n",), "float32")) -> R.Tensor(("n",), "float32"):
        n = T.int64()
        cls = Module
        f = cls.adder(x)
        r = cls.twice(f, x)
        return r
"""

MUTUAL = """
@I.ir_module
class Module:
    @R.function
    def even(n: R.Tensor((), "int64")) -> R.Tensor((), "bool"):
        cls = Module
        c = R.equal(n, R.const(0, "int64"))
        if c:
            r = R.const(True, "bool")
        else:
            r = cls.odd(R.subtract(n, R.const(1, "int64")))
        return r

    @R.function
    def odd(n: R.Tensor((), "int64")) -> R.Tensor((), "bool"):
        cls = Module
        c = R.equal(n, R.const(0, "int64"))
        if c:
            r = R.const(False, "bool")
        else:
            r = cls.even(R.subtract(n, R.const(1, "int64")))
        return r

    @R.function
    def main(n: R.Tensor((), "int64")) -> R.Tuple(R.Tensor((), "bool"), R.Tensor((), "bool")):
        cls = Module
        a = cls.even(n)
        b = cls.odd(n)
        return (a, b)
"""

LOCAL_RECURSION = """
@R.function
def main(x: R.Tensor(("n",), "float32"), k: R.Tensor((), "int64")) -> R.Tensor(("n",), "float32"):
    n = T.int64()

    @R.function
    def loop(y: R.Tensor((n,), "float32"), i: R.Tensor((), "int64")) -> R.Tensor((n,), "float32"):
        done = R.equal(i, R.const(0, "int64"))
        if done:
            r = y
        else:
            half = R.multiply(y, R.const(0.5, "float32"))
            r = loop(R.add(half, x), R.subtract(i, R.const(1, "int64")))
        return r

    z = loop(x, k)
    return z
"""

NESTED = """
@R.function
def main(x: R.Tensor((3,), "float32"), a: R.Tensor((), "bool"), b: R.Tensor((), "bool")):
    y = R.exp(x)
    if a:
        z = R.add(x, y)
        if b:
            w = R.multiply(z, y)
        else:
            w = R.subtract(z, y)
    else:
        if b:
            w = y
        else:
            w = x
    v = R.add(w, y)
    return v
"""

# The branches return an input, a constant and tuples of both: TVM issue 20191.
BRANCH_ALIASES = """
@R.function
def main(c: R.Tensor((), "bool"), x: R.Tensor((3,), "float32")):
    k = R.const([1.0, 2.0, 3.0], "float32")
    if c:
        t = (x, k, x)
    else:
        t = (k, k, R.exp(x))
    a = t[0]
    b = t[1]
    s = R.add(a, b)
    return (t, a, b, s)
"""

# Each branch has a size of its own, and what follows names it: TVM issue 17348.
BRANCH_SIZES = """
@R.function
def main(c: R.Tensor((), "bool"), x: R.Tensor(("n", 2), "float32")):
    n = T.int64()
    if c:
        y = R.concat((x, x), axis=0)
    else:
        y = R.reshape(x, R.shape([n * 2]))
    m = T.int64()
    if c:
        z1 = R.match_cast(y, R.Tensor((m, 2), "float32"))
        z = R.sum(R.multiply(z1, R.const(3.0, "float32")), axis=[0])
    else:
        z2 = R.match_cast(y, R.Tensor((m,), "float32"))
        z = R.multiply(z2, R.const(3.0, "float32"))
    return (y, z)
"""

SHAPES_AND_SCALARS = """
@R.function
def main(
    s: R.Shape(["a", "b"]), k: R.Prim("int64"),
    t: R.Tuple(R.Tensor(("a", "b"), "float32"), R.Tensor(("k",), "float32")),
):
    a = T.int64()
    b = T.int64()
    x = t[0]
    y = R.reshape(x, R.shape([a * b]))
    z = R.broadcast_to(R.const(2.0, "float32"), R.shape([k, a]))
    q = R.sum(z)
    u = R.multiply(y, q)
    v = R.shape([k, a + b])
    w = R.prim_value(a + k)
    return (u, v, w, (x, t[1], s))
"""

DATA_DEPENDENT = """
@R.function
def main(x: R.Tensor(("n",), "float32")):
    n = T.int64()
    where = R.nonzero(R.greater(x, R.const(0.0, "float32")))
    m = T.int64()
    found = R.match_cast(where, R.Tensor((1, m), "int64"))
    at = R.reshape(found, R.shape([m]))
    y = R.take(x, at, axis=0)
    z = R.exp(R.add(y, R.multiply(y, y)))
    return (z, R.shape([m, n]))
"""

UNKNOWN_SHAPES = """
@R.function
def main(x: R.Tensor(dtype="float32", ndim=2), b: R.Tensor((2,), "int64")):
    y = R.add(x, x)
    z = R.dynamic_strided_slice(y, b, R.const([3, 2], "int64"), R.const([1, 1], "int64"))
    k = T.int64()
    q = R.match_cast(z, R.Tensor((k, 1), "float32"))
    r = R.exp(R.multiply(q, R.const(0.5, "float32")))
    return (R.shape_of(y), r)
"""

SCALAR_SYMBOLS = """
@R.function
def main(x: R.Tensor(("n",), "float32"), b: R.Prim("bool")):
    n = T.int64()
    w = R.prim_value(n + 1)
    z = R.add(R.zeros(R.shape([w, n]), "float32"), x)
    if b:
        v = R.prim_value(w * 2)
        y = R.broadcast_to(R.sum(x), R.shape([v]))
    else:
        v = R.prim_value(w + 3)
        y = R.broadcast_to(R.max(x), R.shape([v]))
    return (y, z, w)
"""

SHAPE_CASTS = """
@R.function
def main(x: R.Tensor(dtype="float32", ndim=2), k: R.Tensor((2,), "int64")):
    m = T.int64()
    n = T.int64()
    s = R.match_cast(R.shape_of(x), R.Shape([m, n]))
    y = R.match_cast(x, R.Tensor((m, n), "float32"))
    z = R.reshape(y, R.shape([m * n]))
    a = T.int64()
    b = T.int64()
    t = R.match_cast(R.tensor_to_shape(k), R.Shape([a, b]))
    q = R.add(R.reshape(z, t), R.const(1.0, "float32"))
    return (q, s, t)
"""

CONSTANTS_ONLY = """
@R.function
def main():
    return (R.const([1.0, 2.0], "float32"), ())
"""

EARLY_EXIT = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((4,), "float32"), n: R.Tensor((), "int64")) -> R.Tensor((4,), "float32"):
        cls = Module
        big = R.greater(R.max(x), R.const(50.0, "float32"))
        over = R.less_equal(n, R.const(0, "int64"))
        stop = R.logical_or(big, over)
        if stop:
            r = x
        else:
            y = R.multiply(R.add(x, R.const(1.0, "float32")), R.const(1.5, "float32"))
            r = cls.main(y, R.subtract(n, R.const(1, "int64")))
        return r
"""

TRUE, FALSE = np.asarray(True), np.asarray(False)

PROGRAMS: dict[str, tuple[str, list[Sequence[Any]]]] = {
    "factorial": (FACTORIAL, [(_n(0),), (_n(10),)]),
    "fibonacci": (FIBONACCI, [(_n(7), _x(4))]),
    "power": (POWER, [(_x(3, 3) / 4, _n(k)) for k in (1, 2, 7, 12)]),
    "rnn": (RNN, [(_x(t, 3), _x(3, 3)) for t in (0, 1, 9)]),
    "beam": (BEAM, [(_x(4),), (_x(4) * 3,)]),
    "closures": (CLOSURES, [(_x(3),), (_x(5),)]),
    "mutual": (MUTUAL, [(_n(10),), (_n(7),)]),
    "local_recursion": (LOCAL_RECURSION, [(_x(3), _n(0)), (_x(5), _n(6))]),
    "nested": (NESTED, [(_x(3), a, b) for a in (TRUE, FALSE) for b in (TRUE, FALSE)]),
    "branch_aliases": (BRANCH_ALIASES, [(TRUE, _x(3)), (FALSE, _x(3))]),
    "branch_sizes": (BRANCH_SIZES, [(TRUE, _x(3, 2)), (FALSE, _x(4, 2)), (TRUE, _x(0, 2))]),
    "shapes": (SHAPES_AND_SCALARS, [((2, 3), 4, (_x(2, 3), _x(4)))]),
    "data_dependent": (DATA_DEPENDENT, [(_x(12),), (_x(5),), (_x(0),)]),
    "unknown_shapes": (UNKNOWN_SHAPES, [(_x(5, 3), np.array([1, 1]))]),
    "scalar_symbols": (SCALAR_SYMBOLS, [(_x(3), True), (_x(5), False)]),
    "shape_casts": (SHAPE_CASTS, [(_x(3, 4), np.array([2, 6]))]),
    "constants_only": (CONSTANTS_ONLY, [()]),
    "early_exit": (EARLY_EXIT, [(_x(4), _n(100)), (_x(4), _n(2))]),
}


@pytest.fixture(scope="module")
def compiled() -> Callable[[str], tuple[IRModule, Any]]:
    made: dict[str, tuple[IRModule, Any]] = {}

    def get(name: str) -> tuple[IRModule, Any]:
        if name not in made:
            module = eqsat.from_tvmscript(PROGRAMS[name][0])
            made[name] = module, eqsat.compile(module, num_threads=1)
        return made[name]

    return get


@pytest.mark.parametrize("name", PROGRAMS)
def test_native_equals_interpreted(name: str, compiled: Any) -> None:
    module, exe = compiled(name)
    for args in PROGRAMS[name][1]:
        _same(exe["main"](*args), eqsat.interpret(module, *args))


@pytest.mark.parametrize("name", PROGRAMS)
def test_optimized_equals_interpreted(name: str) -> None:
    module = eqsat.from_tvmscript(PROGRAMS[name][0])
    best = eqsat.optimize(module, num_threads=1)
    check_well_formed(best.module)
    exe = eqsat.compile(best, num_threads=1)
    for args in PROGRAMS[name][1]:
        wanted = eqsat.interpret(module, *args)
        _same(eqsat.interpret(best.module, *args), wanted)
        _same(exe["main"](*args), wanted)


def test_the_interpreter_says_when_recursion_is_too_deep(compiled: Any) -> None:
    module, exe = compiled("factorial")
    with pytest.raises(eqsat.EqsatError, match=r"main calls itself deeper .* eqsat\.compile"):
        eqsat.interpret(module, _n(3000))
    assert exe(_n(3000)).shape == ()


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_random_programs(seed: int, optimized: bool) -> None:
    random_control_flow.check(seed, optimized=optimized)


def test_random_programs_hold_every_form() -> None:
    text = "\n".join(random_control_flow.make(seed) for seed in range(8))
    for form in ("if ", "match_cast", "cls.loop", "cls.helper", "def f", " = (", "[0]"):
        assert form in text
