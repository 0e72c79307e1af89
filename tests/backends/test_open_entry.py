"""Programs whose inputs have no dtype: native code for the dtypes that come."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import eqsat
from eqsat.ir import IRModule, parse_module

CHAIN = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor(("n", 16)), A: R.Tensor((16, 2)), B: R.Tensor((2, 32))):
        weight = R.matmul(A, B)
        out = R.matmul(x, weight)
        return out
"""
BRANCH = """
@I.ir_module
class Module:
    @R.function(private=True)
    def twice(y: R.Tensor(("n",))) -> R.Tensor(("n",)):
        z = R.add(y, y)
        return z

    @R.function
    def main(
        c: R.Tensor((), "bool"), pair: R.Tuple(R.Tensor(("n",)), R.Tensor(("n",)))
    ) -> R.Tensor(("n",)):
        cls = Module
        x = pair[0]
        if c:
            a = cls.twice(x)
            z = R.multiply(a, x)
        else:
            m = T.int64()
            b = R.match_cast(pair[1], R.Tensor((m,)))
            w = R.subtract(b, b)
            z = R.match_cast(w, R.Tensor(("n",)))
        return z
"""
LOOP = """
@I.ir_module
class Module:
    @R.function
    def main(n: R.Tensor((), "int32"), x: R.Tensor((3,))) -> R.Tensor((3,)):
        cls = Module
        c = R.less(n, R.const(1, "int32"))
        if c:
            z = R.add(x, x)
        else:
            m = R.subtract(n, R.const(1, "int32"))
            y = R.multiply(x, x)
            z = cls.main(m, y)
        return z
"""
FLOATS = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((4,)), y: R.Tensor((4,))):
        z = R.exp(x)
        w = R.add(z, y)
        return w
"""
SORTED = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((4,))):
        y = R.add(x, x)
        z = R.nonzero(y)
        return z
"""


def module(text: str) -> IRModule:
    return parse_module(text, "<test>")


def whole(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, 3, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "float16", "int8"])
@pytest.mark.parametrize("is_optimized", [False, True])
def test_native_code_in_the_dtype_that_comes(dtype: str, is_optimized: bool) -> None:
    mod = module(CHAIN)
    exe = eqsat.compile(eqsat.optimize(mod, dims={"n": 1}) if is_optimized else mod)
    args = [whole(s, dtype) for s in ((5, 16), (16, 2), (2, 32))]
    wanted = eqsat.interpret(mod, *args)
    got = exe(*args)
    assert got.dtype == wanted.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, wanted)
    profile = exe.profile(*args, repeat=1)
    assert [k.label for k in profile.kernels] == ["matmul", "matmul"]
    assert not any("host" in k.label for k in profile.kernels)


def test_each_list_of_dtypes_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    with_types = eqsat.ir.with_argument_types

    def counted(mod: IRModule, name: str, types: object) -> IRModule:
        compiled.append(types)
        return with_types(mod, name, types)

    monkeypatch.setattr("eqsat._api.with_argument_types", counted)
    exe = eqsat.compile(module(CHAIN))
    assert exe.input_names == ("x", "A", "B")
    assert exe.as_text() == ""
    with ThreadPoolExecutor(4) as pool:
        shapes = ((3, 16), (16, 2), (2, 32))
        calls = [[whole(s, d) for s in shapes] for d in ("float32", "float64") * 6]
        results = list(pool.map(lambda args: exe(*args), calls))
    assert [r.dtype.name for r in results] == ["float32", "float64"] * 6
    assert len(compiled) == 2
    assert "float64" in exe.as_text()


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("is_optimized", [False, True])
@pytest.mark.parametrize("condition", [False, True])
def test_around_branches_tuples_and_calls(dtype: str, is_optimized: bool, condition: bool) -> None:
    mod = module(BRANCH)
    exe = eqsat.compile(eqsat.optimize(mod) if is_optimized else mod)
    args = (np.asarray(condition), (whole((6,), dtype), whole((6,), dtype)))
    got = exe(*args)
    np.testing.assert_array_equal(got, eqsat.interpret(mod, *args))
    assert got.dtype == np.dtype(dtype)
    assert not any("host" in k.label for k in exe.profile(*args, repeat=1).kernels)


def test_dtypes_inside_tuples_and_by_name() -> None:
    exe = eqsat.compile(module(BRANCH))
    for dtype in ("float32", "int64", "float32"):
        pair = (whole((6,), dtype), whole((6,), dtype))
        for got in (exe(np.asarray(True), pair), exe(pair=pair, c=np.asarray(True))):
            assert got.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(got, 2 * pair[0] * pair[0])


def test_calls_one_after_the_other_in_other_dtypes() -> None:
    exe = eqsat.compile(module(FLOATS))
    for dtype in ("float32", "float64", "float32", "float64"):
        x, y = np.zeros(4, dtype), np.ones(4, dtype)
        assert exe(x, y).dtype == exe(y=y, x=x).dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_recursion(dtype: str) -> None:
    mod = module(LOOP)
    args = (np.asarray(2, np.int32), np.array([1, 2, 3], dtype))
    for program in (mod, eqsat.optimize(mod)):
        exe = eqsat.compile(program)
        np.testing.assert_array_equal(exe(*args), [2, 32, 162])
        assert not any("host" in k.label for k in exe.profile(*args, repeat=1).kernels)


def test_dtypes_that_an_operator_does_not_take() -> None:
    exe = eqsat.compile(module(FLOATS))
    x = np.ones(4, np.int32)
    with pytest.raises(eqsat.EqsatError, match="float dtype") as error:
        exe(x, x)
    notes = " ".join(error.value.__notes__)
    assert "at z" in notes
    assert "in a call of main with x: int32[4], y: int32[4]" in notes
    with pytest.raises(eqsat.EqsatError, match="one dtype, got float32 and float64"):
        exe(np.ones(4, np.float32), np.ones(4))
    with pytest.raises(eqsat.EqsatError, match=r"input x: expected void\[4\]"):
        exe(np.ones(5, np.float32)[:, None], x)
    assert exe(np.zeros(4, np.float32), np.ones(4, np.float32)).tolist() == [2] * 4


def test_what_the_host_runs_is_named_and_can_be_forbidden() -> None:
    x = np.array([0, 1, 0, 2], np.float32)
    exe = eqsat.compile(module(SORTED))
    assert exe(x).tolist() == [[1, 3]]
    names = [k.label for k in exe.profile(x, repeat=1).kernels]
    assert names == ["add", "host: nonzero"]
    strict = eqsat.compile(module(SORTED), host_operations="forbid")
    with pytest.raises(eqsat.EqsatError, match="nonzero at z of main: no native code"):
        strict(x)
    chain = eqsat.compile(module(CHAIN), host_operations="forbid")
    args = [whole(s, "float32") for s in ((5, 16), (16, 2), (2, 32))]
    np.testing.assert_array_equal(chain(*args), eqsat.interpret(module(CHAIN), *args))


WRITTEN = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((2, 2))):
        z = R.call_dps_packed("tests.add_one", (x,), out_sinfo=R.Tensor((2, 2)))
        return z
"""


def test_an_output_without_dtype_is_not_made() -> None:
    eqsat.register_func("tests.add_one", lambda x, y: np.add(x, 1, out=y), override=True)
    x = np.ones((2, 2), np.float32)
    for program in (module(WRITTEN), eqsat.optimize(module(WRITTEN)).module):
        for run in (eqsat.compile(program), lambda x, mod=program: eqsat.interpret(mod, x)):
            with pytest.raises(eqsat.EqsatError, match=r"is void\[2, 2\].*out_sinfo=R.Tensor"):
                run(x)
