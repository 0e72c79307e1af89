"""The virtual machine: calls, checks, memory, threads, interrupts."""

from __future__ import annotations

import _thread
import gc
import os
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.backends import Executable, VmExecutable
from eqsat.ir import IRModule, printing_to, remove_func
from eqsat.lowering import LoweringError

F32 = np.float32
X = np.arange(4, dtype=F32)


@pytest.fixture
def register() -> Iterator[Callable[[str, Callable[..., Any]], None]]:
    names: list[str] = []

    def add(name: str, f: Callable[..., Any]) -> None:
        eqsat.register_func(name, f)
        names.append(name)

    yield add
    for name in names:
        remove_func(name)


def parsed(text: str) -> IRModule:
    """Read a program in which F4 is a tensor of four floats."""
    return eqsat.from_tvmscript(text.replace("F4", 'R.Tensor((4,), "float32")'))


def compiled(text: str, **options: Any) -> Any:
    return eqsat.compile(parsed(text), num_threads=1, **options)


def body(lines: str, params: str = "x: F4", result: str = "r") -> str:
    indented = "\n".join(f"    {line}" for line in lines.strip().splitlines())
    return f"@R.function(pure=False)\ndef main({params}):\n{indented}\n    return {result}\n"


COUNTDOWN = """
@I.ir_module
class Module:
    @R.function
    def tail(n: R.Tensor((), "int64"), acc: R.Tensor((), "int64")) -> R.Tensor((), "int64"):
        cls = Module
        done = R.less_equal(n, R.const(0, "int64"))
        if done:
            r = acc
        else:
            r = cls.tail(R.subtract(n, R.const(1, "int64")), R.add(acc, n))
        return r

    @R.function
    def deep(n: R.Tensor((), "int64")) -> R.Tensor((), "int64"):
        cls = Module
        done = R.less_equal(n, R.const(0, "int64"))
        if done:
            r = R.const(0, "int64")
        else:
            before = cls.deep(R.subtract(n, R.const(1, "int64")))
            r = R.add(before, n)
        return r
"""


# --- recursion ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tail", "deep"])
def test_ten_thousand_levels(name: str) -> None:
    exe = compiled(COUNTDOWN)
    args = (10_000, 0) if name == "tail" else (10_000,)
    assert exe[name](*args) == 50_005_000


def test_a_tail_call_gives_its_frame_up(register: Any) -> None:
    depths: list[int] = []

    def measure(n: Any) -> None:
        if n % 100 == 0:
            depths.append(len(gc.get_objects()))

    register("test.depth", measure)
    exe = compiled("""
@I.ir_module
class Module:
    @R.function(pure=False)
    def main(n: R.Tensor((), "int64")) -> R.Tensor((), "int64"):
        cls = Module
        done = R.less_equal(n, R.const(0, "int64"))
        seen = R.call_packed("test.depth", n)
        if done:
            r = n
        else:
            r = cls.main(R.subtract(n, R.const(1, "int64")))
        return r
""")
    exe(500)
    assert len(depths) == 6
    assert depths[-1] - depths[1] < 100


def test_ctrl_c_ends_a_long_recursion_and_the_executable_stays_usable() -> None:
    exe = compiled(COUNTDOWN)
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        exe["tail"](10**9, 0)
    timer.join()
    assert exe["tail"](100, 0) == 5050


def test_threads_may_call_at_once() -> None:
    exe = compiled(COUNTDOWN)
    found: dict[int, Any] = {}

    def work(k: int) -> None:
        found[k] = [int(exe["deep"](k * 10 + j)) for j in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k, values in found.items():
        assert values == [(n * (n + 1)) // 2 for n in range(k * 10, k * 10 + 20)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_may_call() -> None:
    exe = compiled(COUNTDOWN)
    exe["deep"](3)
    child = os.fork()
    if child == 0:
        os._exit(0 if exe["deep"](10) == 55 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- Python functions -----------------------------------------------------------------------


def test_packed_calls(register: Any) -> None:
    register("test.scale", lambda x, k, how: {"mul": x * F32(k), "add": x + F32(k)}[how])
    register("test.swap", lambda pair: (pair[1], pair[0]))
    register("test.sum_into", lambda a, b, out: np.add(a, b, out=out))
    exe = compiled(
        body("""
a = R.call_pure_packed("test.scale", x, R.prim_value(3), R.str("mul"), ty_args=(F4,))
b = R.call_packed("test.scale", a, R.prim_value(1), R.str("add"), ty_args=(F4,))
t = R.call_packed("test.swap", (a, b), ty_args=(R.Tuple(F4, F4),))
c = t[0]
d = R.call_dps_packed("test.sum_into", (c, x), out_ty=F4)
e = R.call_py_func("test.scale", (d, R.prim_value(2), R.str("mul")), out_ty=F4)
r = R.add(e, x)
""")
    )
    np.testing.assert_array_equal(exe(X), 2 * ((3 * X + 1) + X) + X)


def test_in_place_calls_leave_other_readers_alone(register: Any) -> None:
    def increase(x: Any) -> Any:
        x += 1
        return x

    register("test.increase", increase)
    exe = compiled(
        body("""
y = R.reshape(x, R.shape([4]))
z = R.call_inplace_packed("test.increase", y, inplace_indices=[0], ty_args=(F4,))
w = R.call_inplace_packed("test.increase", z, inplace_indices=[0], ty_args=(F4,))
r = (x, y, z, w)
""")
    )
    given = X.copy()
    for got, wanted in zip(exe(given), (X, X, X + 1, X + 2), strict=True):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(given, X)


def test_in_place_calls_copy_only_what_someone_else_reads(register: Any) -> None:
    seen: list[int] = []

    def increase(x: Any) -> Any:
        seen.append(x.__array_interface__["data"][0])
        x += 1
        return x

    register("test.increase", increase)
    call = 'R.call_inplace_packed("test.increase", {}, inplace_indices=[0], ty_args=(F4,))'
    exe = compiled(
        body(f"""
a = R.exp(x)
b = {call.format("a")}
c = {call.format("b")}
d = {call.format("c")}
r = (c, d)
""")
    )
    c, d = exe(X)
    np.testing.assert_allclose(c, np.exp(X) + 2, 1e-6)
    np.testing.assert_allclose(d, np.exp(X) + 3, 1e-6)
    assert seen[0] == seen[1] != seen[2]  # c is read afterwards


INPLACE = """
@I.ir_module
class Module:
    @T.prim_func(private=True, s_tir=True)
    def bump(A: T.Buffer((T.int64(4),), "float32")):
        for i in range(T.int64(4)):
            with T.sblock("b"):
                v = T.axis.spatial(T.int64(4), i)
                A[v] = A[v] + T.float32(1)

    @R.function
    def main(x: F4, c: R.Tensor((), "bool")):
        cls = Module
        y = R.exp(x)
        z = R.reshape(y, R.shape([4]))
        if c:
            w = R.call_tir_inplace(cls.bump, (y,), inplace_indices=[0], out_ty=F4)
        else:
            w = z
        return (y, z, w)
"""


def test_call_tir_inplace_of_an_alias() -> None:
    best = eqsat.compile(eqsat.optimize(parsed(INPLACE), num_threads=1), num_threads=1)
    for each in (compiled(INPLACE), best):
        for got, wanted in zip(each(X, True), (np.exp(X), np.exp(X), np.exp(X) + 1), strict=True):
            np.testing.assert_allclose(got, wanted, 1e-6)
        np.testing.assert_allclose(each(X, False)[2], np.exp(X), 1e-6)


def test_an_error_in_a_python_function_names_the_binding(register: Any) -> None:
    def fail(x: Any) -> Any:
        raise LookupError("no such token")

    register("test.fail", fail)
    exe = compiled(
        body('a = R.exp(x)\nb = R.call_packed("test.fail", a, ty_args=(F4,))\nr = R.exp(b)')
    )
    with pytest.raises(LookupError, match="no such token") as caught:
        exe(X)
    assert "at b of main" in "".join(traceback.format_exception(caught.value))


def test_a_result_of_another_type_is_refused(register: Any) -> None:
    register("test.wrong", lambda x: x[:3])
    exe = compiled(
        body(
            'a = R.call_packed("test.wrong", x, ty_args=(R.Tensor(("n",), "float32"),))\n'
            "r = R.exp(R.add(a, x))",
            'x: R.Tensor(("n",), "float32")',
        )
    )
    message = r"a must be float32\[n\], that is float32\[4\] with n = 4, got .*\[3\]"
    with pytest.raises(eqsat.EqsatError, match=message):
        exe(X)


def test_an_unregistered_function_is_named() -> None:
    exe = compiled(body('r = R.call_packed("test.absent", x, ty_args=(F4,))'))
    with pytest.raises(eqsat.EqsatError, match=r"registered as 'test.absent'; register it"):
        exe(X)


def test_module_extern_functions(register: Any) -> None:
    register("test.twice", lambda x: 2 * x)
    exe = compiled("""
@I.ir_module
class Module:
    twice = R.ExternFunc("test.twice", R.Callable((F4,), F4, True))

    @R.function
    def main(x: F4) -> F4:
        cls = Module
        y = cls.twice(x)
        z = R.exp(y)
        return z
""")
    np.testing.assert_allclose(exe(X), np.exp(2 * X), 1e-6)


def test_calls_back_into_the_program(register: Any) -> None:
    register("test.apply_twice", lambda f, x: f(f(x)))
    exe = compiled(
        body("""
@R.function
def inner(y: F4) -> F4:
    z = R.add(R.multiply(y, R.const(2.0, "float32")), x)
    return z

r = R.call_packed("test.apply_twice", inner, x, ty_args=(F4,))
""")
    )
    np.testing.assert_array_equal(exe(X), 2 * (2 * X + X) + X)


def test_a_returned_closure_can_be_called() -> None:
    exe = compiled(
        body(
            """
y = R.exp(x)

@R.function
def inner(z: F4) -> F4:
    w = R.add(z, y)
    return w
""",
            result="inner",
        )
    )
    f = exe(X)
    np.testing.assert_allclose(f(X), X + np.exp(X), 1e-6)
    np.testing.assert_allclose(f(2 * X), 2 * X + np.exp(X), 1e-6)
    with pytest.raises(eqsat.EqsatError, match=r"argument z of .*inner must be float32\[4\]"):
        f(X[:2])


def test_a_python_function_as_an_argument() -> None:
    exe = compiled("""
@R.function(pure=False)
def main(
    f: R.Callable((F4,), F4, False),
    x: F4,
):
    y = f(x)
    z = R.exp(y)
    return z
""")
    np.testing.assert_allclose(exe(lambda x: 3 * x, X), np.exp(3 * X), 1e-6)
    with pytest.raises(eqsat.EqsatError, match=r"input f: expected .* a function, got"):
        exe(3, X)


def test_make_closure_binds_the_last_arguments() -> None:
    text = """
@I.ir_module
class Module:
    @R.function
    def minus(x: F4, y: F4) -> F4:
        z = R.subtract(x, y)
        return z

    @R.function(pure=False)
    def main(x: F4, y: F4) -> F4:
        cls = Module
        c = R.make_closure(cls.minus, (x,))
        r = R.invoke_closure(c, (y,), ty_args=F4)
        return r
"""
    np.testing.assert_array_equal(compiled(text)["main"](X, 3 * X), 2 * X)
    np.testing.assert_array_equal(eqsat.interpret(parsed(text), X, 3 * X), 2 * X)


def test_print_and_assert() -> None:
    exe = compiled(
        body("""
k = R.sum(x)
R.print(k, format="sum: {}")
R.assert_op(R.less(k, R.const(10.0, "float32")), k, format="too much: {}")
r = R.exp(x)
""")
    )
    lines: list[str] = []
    with printing_to(lines.append):
        exe(X)
    assert lines == ["sum: 6.0"]
    with printing_to(lines.append), pytest.raises(eqsat.EqsatError, match=r"too much: 12\.0"):
        exe(2 * X)


# --- entry and exit -------------------------------------------------------------------------


def test_entry_checks_and_names() -> None:
    exe = compiled("""
@R.function
def main(c: R.Tensor((), "bool"), x: R.Tensor(("n", 2), "float32"), y: R.Tensor(("n",), "float32")):
    if c:
        r = R.add(R.sum(x, axis=[1]), y)
    else:
        r = y
    return r
""")
    x, y = np.ones((3, 2), F32), np.ones(3, F32)
    assert isinstance(exe, VmExecutable)
    assert exe.input_names == ("c", "x", "y")
    assert exe.functions == ("main",)
    np.testing.assert_array_equal(exe(y=y, c=True, x=x), [3, 3, 3])
    for args, message in (
        ((True, x), r"missing input y: f32\[n\]; main needs c, x, y"),
        ((True, x, y.astype(np.float64)), r"input y: expected f32\[n\], got f64\[3\]"),
        ((True, x, y[:2]), r"y of main must be float32\[n\], that is .* n = 3, got float32\[2\]"),
        ((1.5, x, [1, 2]), r"input y: expected f32\[n\] .* got list"),
        ((X, x, y), r"input c: expected bool\[\], got f32\[4\]"),
    ):
        with pytest.raises(eqsat.EqsatError, match=message):
            exe(*args)
    with pytest.raises(eqsat.EqsatError, match="no public function 'other'; it has main"):
        exe["other"]


def test_results_are_the_callers_own() -> None:
    exe = compiled("""
@R.function
def main(c: R.Tensor((), "bool"), x: F4):
    k = R.const([1.0, 2.0, 3.0, 4.0], "float32")
    y = R.exp(x)
    z = R.reshape(y, R.shape([2, 2]))
    if c:
        t = (x, k, y, z, y)
    else:
        t = (k, x, x, z, k)
    return t
""")
    given = X.copy()
    for c in (True, False):
        first = exe(c, given)
        kept = [a.copy() for a in first]
        for a in first:
            others = [b.copy() for b in first if b is not a]
            a[...] = -7
            for b, before in zip([b for b in first if b is not a], others, strict=True):
                np.testing.assert_array_equal(b, before)
        np.testing.assert_array_equal(given, X)
        for got, wanted in zip(exe(c, given), kept, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_straight_line_functions_stay_native_alone() -> None:
    text = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor(("n",), "float32")) -> R.Tensor(("n",), "float32"):
        y = R.exp(x)
        return y

    @R.function
    def other(x: R.Tensor(("n",), "float32"), c: R.Tensor((), "bool")):
        if c:
            y = R.exp(x)
        else:
            y = x
        return y
"""
    exe = compiled(text)
    assert isinstance(exe["main"], Executable)
    np.testing.assert_allclose(exe(X), np.exp(X), 1e-6)
    np.testing.assert_array_equal(exe["other"](X, False), X)
    alone = compiled(text, function="main")
    assert isinstance(alone, Executable)
    assert alone["main"] is alone
    with pytest.raises(eqsat.EqsatError, match="no public function 'other'; it has main"):
        alone["other"]


def test_match_cast_names_variable_and_sizes() -> None:
    exe = compiled("""
@R.function
def main(x: R.Tensor(dtype="float32", ndim=2), y: R.Tensor(("n",), "float32")):
    n = T.int64()
    m = T.int64()
    z = R.match_cast(x, R.Tensor((n, m), "float32"))
    r = R.add(R.sum(z, axis=[1]), y)
    return (r, R.shape([m]))
""")
    r, shape = exe(np.ones((3, 5), F32), np.ones(3, F32))
    np.testing.assert_array_equal(r, [6, 6, 6])
    assert shape == (5,)
    message = (
        r"z must be float32\[n, m\], that is float32\[3, 5\] with m = 5, n = 3, got float32\[2, 5\]"
    )
    with pytest.raises(eqsat.EqsatError, match=message) as caught:
        exe(np.ones((2, 5), F32), np.ones(3, F32))
    assert caught.value.__notes__ == ["at z of main"]


def test_arguments_of_any_layout() -> None:
    exe = compiled(COUNT_UP)
    for x in (X[::-1], np.repeat(X, 2)[::2], X.astype(">f4").astype(F32), X.view(np.memmap)):
        np.testing.assert_array_equal(exe(3, x), x + 3)
        np.testing.assert_array_equal(exe(0, x), x)
    with pytest.raises(eqsat.EqsatError, match=r"input x: expected f32\[4\], got .*dtype >f4"):
        exe(3, X.astype(">f4"))


COUNT_UP = """
@I.ir_module
class Module:
    @R.function
    def main(n: R.Tensor((), "int64"), x: F4) -> F4:
        cls = Module
        done = R.less_equal(n, R.const(0, "int64"))
        if done:
            r = x
        else:
            y = cls.main(R.subtract(n, R.const(1, "int64")), x)
            r = R.add(y, R.const(1.0, "float32"))
        return r
"""


# --- host operations, profile, text ---------------------------------------------------------

SORTED = """
@R.function
def main(x: R.Tensor(("n",), "float32"), c: R.Tensor((), "bool")):
    n = T.int64()
    y = R.exp(x)
    where = R.nonzero(R.greater(y, R.const(2.0, "float32")))
    if c:
        r = R.shape_of(where)
    else:
        r = R.shape([n])
    return r
"""


def test_host_operations_are_named_and_can_be_refused() -> None:
    exe = compiled(SORTED)
    assert exe(X, True) == (1, 3)
    assert exe(X, False) == (4,)
    kernels = {k.label: k for k in exe.profile(X, True).kernels}
    assert kernels["host: nonzero"].calls == 1
    assert kernels["host: nonzero"].template == "host"
    assert any("exp" in label for label in kernels)
    assert "host: nonzero" in str(exe.profile(X, True))
    with pytest.raises(LoweringError, match=r"nonzero at where of main.*host_operations"):
        compiled(SORTED, host_operations="forbid")
    compiled(COUNTDOWN, host_operations="forbid")


def test_profile_sums_what_runs_often() -> None:
    profile = compiled(COUNTDOWN)["deep"].profile(9)
    assert {k.label: k.calls for k in profile.kernels} == {
        "less_equal": 10,
        "subtract": 9,
        "add": 9,
    }
    assert profile.program == "deep"


def test_texts() -> None:
    exe = compiled(COUNTDOWN)
    assert "CallFunction function=deep" in exe.as_text("vm")
    assert "is_tail=True" in exe.as_text("vm")
    assert "def less_equal" in exe.as_text("tir")
    assert "VmExecutable tail, deep: 2 functions" in repr(exe)
    with pytest.raises(TypeError, match="compile the module again"):
        exe.__reduce__()


# --- memory ---------------------------------------------------------------------------------


def test_values_are_freed_at_their_last_use(register: Any) -> None:
    alive: list[Any] = []
    counts: list[int] = []

    class Tracked(np.ndarray):
        """An array that can be referred to weakly."""

    def make(x: Any) -> Any:
        made = x.copy().view(Tracked)
        alive.append(weakref.ref(made))
        return made

    def count(x: Any) -> Any:
        counts.append(sum(r() is not None for r in alive))
        return x

    register("test.make", make)
    register("test.count", count)
    ty = "ty_args=(F4,)"
    exe = compiled(
        body(f"""
a = R.call_packed("test.make", x, {ty})
b = R.exp(a)
c = R.call_packed("test.make", b, {ty})
d = R.call_packed("test.count", b, {ty})
r = R.add(c, d)
""")
    )
    exe(X)
    assert counts == [1]  # c waits for its use, a is gone


def test_an_executable_is_freed_at_once() -> None:
    exe = compiled(COUNT_UP)
    exe(3, X)
    exe.profile(3, X)
    gone = [weakref.ref(exe), weakref.ref(exe.machine), weakref.ref(exe.machine.parts[0])]
    del exe
    assert [r() for r in gone] == [None] * 3


def test_native_parts_share_one_workspace() -> None:
    steps = "\n".join(
        f"""
h{k} = R.nn.softmax(R.matmul(x{k}, x{k}))
s{k} = R.matmul(h{k}, x{k})
c{k} = R.less(R.sum(s{k}), R.const(1e9, "float32"))
if c{k}:
    x{k + 1} = R.nn.softmax(R.matmul(s{k}, s{k}))
else:
    x{k + 1} = s{k}"""
        for k in range(4)
    )
    text = body(steps, 'x0: R.Tensor(("n", "n"), "float32")', "x4")
    exe = compiled(text)
    sizes: dict[int, int] = {}
    for n in (64, 32):
        x = np.random.default_rng(n).standard_normal((n, n)).astype(F32)
        wanted = eqsat.interpret(parsed(text), x)
        np.testing.assert_allclose(exe(x), wanted, 1e-4, 1e-5)
        sizes[n] = exe.machine.workspace_bytes
    assert 0 < sizes[64] <= 4 * 64 * 64 * 4 + 64 * 64 * 4  # of the largest part, not of all
    assert sizes[32] == sizes[64]  # kept for the next call


def test_what_has_no_meaning_at_run_time_is_an_error() -> None:
    with pytest.raises(LoweringError, match=r"main at r: ccl\.allreduce has neither native code"):
        compiled(body("r = R.ccl.allreduce(x, 'sum', True)"))
    with pytest.raises(LoweringError, match="must be named by a string"):
        compiled(
            "@R.function(pure=False)\n"
            "def main(f: R.Callable, x: F4):\n"
            "    r = R.call_dps_packed(f, (x,), out_ty=F4)\n"
            "    return r\n"
        )
