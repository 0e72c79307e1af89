"""Calls: arguments by position and name, entry errors, outputs, threads, forks, the cache."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eqsat.backends import (
    CacheError,
    CodegenError,
    Executable,
    RuntimeCheckError,
    _entry,
    compile_program,
)
from eqsat.backends._team import Team, runtime
from eqsat.ir import TensorType
from eqsat.ir.tir import (
    Buffer,
    BufferLoad,
    BufferStore,
    FloatImm,
    For,
    IntImm,
    PrimExpr,
    PrimFunc,
    Seq,
    Stmt,
    Var,
    shape_var,
)
from eqsat.lowering import Launch, NativeProgram, Slot
from eqsat.shapes import Facts, sym

MakeProgram = Callable[..., NativeProgram]
n = shape_var("n")
rng = np.random.default_rng(3)


def loops(extents: list[PrimExpr], body: Callable[..., Stmt]) -> Stmt:
    names = [Var(f"i{a}") for a in range(len(extents))]
    result = body(*names)
    for depth, (v, e) in reversed(list(enumerate(zip(names, extents, strict=True)))):
        result = For(v, IntImm(0), e, result, "serial" if depth else "parallel")
    return result


def add_func() -> PrimFunc:
    """x[n, 4] + y[n, 4] + w[n + 1]."""
    shape = (n, IntImm(4))
    x, y, z = (Buffer(name, shape, "float32") for name in "xyz")
    w = Buffer("w", (n + 1,), "float32")

    def body(i: Var, j: Var) -> Stmt:
        value = BufferLoad(x, (i, j)) + BufferLoad(y, (i, j)) + BufferLoad(w, (i + 1,))
        return BufferStore(z, (i, j), value)

    return PrimFunc("add", (x, y, w, z), loops([n, IntImm(4)], body))


@pytest.fixture
def exe(make_program: MakeProgram) -> Executable:
    return compile_program(make_program(add_func()), num_threads=2, cache=False)


def arguments(size: int = 3) -> dict[str, np.ndarray]:
    x, y = rng.standard_normal((2, size, 4)).astype(np.float32)
    return {"x": x, "y": y, "w": rng.standard_normal(size + 1).astype(np.float32)}


def expected(a: dict[str, np.ndarray]) -> np.ndarray:
    return a["x"] + a["y"] + a["w"][1:, None]


def test_by_position_by_name_and_mixed(exe: Executable) -> None:
    a = arguments()
    for got in (exe(*a.values()), exe(**a), exe(a["x"], w=a["w"], y=a["y"])):
        np.testing.assert_array_equal(got, expected(a))
    assert exe.input_names == ("x", "y", "w")


def test_results_are_fresh_and_aligned(exe: Executable) -> None:
    a = arguments(5)
    first, second = exe(**a), exe(**a)
    assert not np.shares_memory(first, second)
    assert first.ctypes.data % 64 == 0


def test_inputs_may_be_strided_readonly_or_unaligned(exe: Executable) -> None:
    a = arguments()
    raw = np.zeros(a["y"].nbytes + 1, np.uint8)
    odd = raw[1:].view(np.float32).reshape(a["y"].shape)
    odd[...] = a["y"]
    a["w"].flags.writeable = False
    got = exe(np.asfortranarray(a["x"]), odd, a["w"])
    np.testing.assert_array_equal(got, expected(a))


def test_a_scalar_may_be_unaligned(make_program: MakeProgram) -> None:
    x, y = Buffer("x", (), "float32"), Buffer("y", (), "float32")
    f = PrimFunc("one", (x, y), BufferStore(y, (), BufferLoad(x, ()) + FloatImm(1.0)))
    exe = compile_program(make_program(f), cache=False)
    odd = np.zeros(5, np.uint8)[1:].view(f32).reshape(())
    assert not odd.flags.aligned
    assert exe(odd) == 1
    assert exe(odd).shape == ()


def test_inputs_of_a_derived_class_or_with_a_dtype_of_their_own(exe: Executable) -> None:
    class Derived(np.ndarray):
        """An array of another class."""

    a = arguments()
    named = np.dtype(f32, metadata={"unit": "m"})
    for _ in range(2):
        got = exe(a["x"].view(Derived), a["y"].view(named), a["w"])
        assert type(got) is np.ndarray
        assert got.dtype.metadata is None
        np.testing.assert_array_equal(got, expected(a))


def test_more_sizes_than_are_kept(exe: Executable) -> None:
    for _ in range(2):
        for size in range(1, 300):
            a = arguments(size)
            np.testing.assert_array_equal(exe(**a), expected(a))
            np.testing.assert_array_equal(exe(*a.values()), expected(a))


def test_calls_keep_no_references(exe: Executable) -> None:
    a = list(arguments().values())

    def calls() -> list[int]:
        for _ in range(1000):
            exe(*a)
            with pytest.raises(RuntimeCheckError):
                exe(a[0], a[1])
        return [sys.getrefcount(each) for each in (*a, a[0].dtype, np.ndarray, exe)]

    first = calls()
    assert calls() == first


def test_an_executable_is_freed_at_once() -> None:
    exe = compile_program(two_step_program(), num_threads=1, cache=False)
    exe(np.zeros((3, 4), f32))
    gone = weakref.ref(exe)
    native = weakref.ref(exe._native)
    del exe
    assert gone() is None
    assert native() is None


def test_a_call_that_finds_no_memory_leaves_the_program_usable(make_program: MakeProgram) -> None:
    x, y = Buffer("x", (n,), "float32"), Buffer("y", ((n - 1) * (1 << 50) + 1,), "float32")
    store = loops([n], lambda i: BufferStore(y, (i,), BufferLoad(x, (i,))))
    exe = compile_program(make_program(PrimFunc("large", (x, y), store)), cache=False)
    for _ in range(2):
        with pytest.raises(MemoryError):
            exe(np.zeros(2, f32))
        assert exe(np.ones(1, f32)) == [1]
    with pytest.raises(RuntimeCheckError, match="more memory than can be addressed"):
        exe(np.zeros(4096, f32))


class Tensor:
    """A DLPack tensor that is no NumPy array."""

    def __init__(self, array: np.ndarray, device: int = 1) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.device, 0)


def test_dlpack_tensors(exe: Executable) -> None:
    a = arguments()
    np.testing.assert_array_equal(exe(Tensor(a["x"]), a["y"], Tensor(a["w"])), expected(a))
    with pytest.raises(RuntimeCheckError, match="input x: the tensor is on DLPack device 2"):
        exe(Tensor(a["x"], device=2), a["y"], a["w"])


def wrong(**changes: Any) -> dict[str, Any]:
    return arguments() | changes


f32 = np.float32
ENTRY_ERRORS: list[tuple[dict[str, Any], str]] = [
    (wrong(q=1), "add has no input 'q'; its inputs are x, y, w"),
    (
        wrong(x=np.zeros((3, 4))),
        r"input x: expected f32[n, 4], got f64[3, 4] (dtype float64; convert",
    ),
    (wrong(x=np.zeros(4, f32)), "input x: expected f32[n, 4], got f32[4] (rank 1)"),
    (wrong(x=[1.0]), "input x: expected f32[n, 4] as a NumPy array or DLPack tensor, got list"),
    (
        wrong(y=np.zeros((5, 4), f32)),
        "input y: expected f32[n, 4] with n = 3 (bound by x axis 0), got f32[5, 4]",
    ),
    (
        wrong(w=np.zeros(3, f32)),
        "input w: expected f32[n + 1] with n = 3 (bound by x axis 0), got f32[3]",
    ),
    (wrong(x=np.zeros((3, 5), f32)), "input x: expected f32[n, 4] with n = 3"),
]


@pytest.mark.parametrize(("changed", "message"), ENTRY_ERRORS, ids=[str(k) for k in range(7)])
def test_entry_errors(exe: Executable, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeCheckError) as caught:
        exe(**changed)
    assert message in str(caught.value)


def test_missing_surplus_and_repeated_inputs(exe: Executable) -> None:
    a = arguments()
    with pytest.raises(
        RuntimeCheckError, match=r"missing input w: f32\[n \+ 1\]; add needs x, y, w"
    ):
        exe(a["x"], a["y"])
    with pytest.raises(RuntimeCheckError, match=r"add takes 3 inputs \(x, y, w\), got 4"):
        exe(*a.values(), a["x"])
    with pytest.raises(RuntimeCheckError, match="input x is given twice, by position and by name"):
        exe(a["x"], **a)


def test_a_symbol_is_solved_from_a_linear_size(make_program: MakeProgram) -> None:
    x, y = Buffer("x", (n * 2 + 1,), "float32"), Buffer("y", (n,), "float32")
    f = PrimFunc("odd", (x, y), loops([n], lambda i: BufferStore(y, (i,), BufferLoad(x, (i * 2,)))))
    exe = compile_program(make_program(f), cache=False)
    np.testing.assert_array_equal(exe(np.arange(7, dtype=f32)), [0, 2, 4])
    with pytest.raises(RuntimeCheckError, match=r"no size of n makes .* equal 6"):
        exe(np.arange(6, dtype=f32))


def test_facts_are_checked(make_program: MakeProgram) -> None:
    facts = Facts().with_range("n", 2, 64).with_divisible(sym("n"), 2)
    exe = compile_program(make_program(add_func(), facts=facts), cache=False)
    with pytest.raises(
        RuntimeCheckError, match=r"n = 66 \(bound by x axis 0\), but .* 2 <= n <= 64"
    ):
        exe(**arguments(66))
    with pytest.raises(
        RuntimeCheckError, match="n = 5, but the program was compiled for multiples of 2"
    ):
        exe(**arguments(5))


def two_step_program() -> NativeProgram:
    """y = (x + c) twice through the workspace; also returns x, c and a reshape of y."""
    ty, flat = TensorType((sym("n"), 4), "float32"), TensorType((sym("n") * 4,), "float32")
    row = TensorType((4,), "float32")
    a, c, b = (
        Buffer(s, d, "float32")
        for s, d in (("a", (n, IntImm(4))), ("c", (IntImm(4),)), ("b", (n, IntImm(4))))
    )
    f = PrimFunc(
        "bias", (a, c, b),
        loops(
            [n, IntImm(4)],
            lambda i, j: BufferStore(b, (i, j), BufferLoad(a, (i, j)) + BufferLoad(c, (j,))),
        ),
    )  # fmt: skip
    slots = (
        Slot("x", ty, "input"),
        Slot("c", row, "constant", value=np.arange(4, dtype=f32)),
        Slot("t", ty, "workspace", offset_bytes=64),
        Slot("y", ty, "output"),
        Slot("flat", flat, "output", alias_of=3),
    )
    launches = (
        Launch(f, (0, 1, 2), "add", "pointwise", flops=sym("n") * 4, bytes_moved=sym("n") * 32),
        Launch(
            f, (2, 1, 3), "add again", "pointwise", flops=sym("n") * 4, bytes_moved=sym("n") * 32
        ),
    )
    return NativeProgram(
        "steps", slots, launches, (0,), (3, 0, 1, 4), ("n",), sym("n") * 16 + 64, is_tuple=True
    )


def test_workspace_constants_aliases_and_tuples() -> None:
    exe = compile_program(two_step_program(), num_threads=2, cache=False)
    for size in (1, 300, 2):
        x = rng.standard_normal((size, 4)).astype(f32)
        y, same, c, flat = exe(x)
        np.testing.assert_array_equal(y, x + np.arange(4, dtype=f32) + np.arange(4, dtype=f32))
        np.testing.assert_array_equal(same, x)
        np.testing.assert_array_equal(flat, y.reshape(-1))
        c[:] = 99  # the caller's copy


def test_profile_and_texts() -> None:
    exe = compile_program(two_step_program(), num_threads=1, cache=False)
    profile = exe.profile(np.zeros((100, 4), f32))
    assert [k.label for k in profile.kernels] == ["add", "add again"]
    assert profile.kernels[0].flops == 400
    assert 0 < profile.total_s < 1
    assert "add again" in str(profile)
    assert "<table" in profile._repr_html_() or "<pre" in profile._repr_html_()
    assert "def bias(" in exe.as_text("tir")
    assert "define void" in exe.as_text("llvm")
    assert "ret" in exe.as_text("asm")
    with pytest.raises(ValueError, match="as_text knows 'tir', 'llvm', 'asm' and 'vm'"):
        exe.as_text("c")  # type: ignore[arg-type]


def many_stages(count: int) -> PrimFunc:
    """y[i] = x[i] + count, one barrier per step, each thread reading what another wrote."""
    size = IntImm(64)
    x, y = Buffer("x", (size,), "float32"), Buffer("y", (size,), "float32")
    a, b = Buffer("a", (size,), "float32"), Buffer("b", (size,), "float32")
    source, target, stages = x, a, []
    for step in range(count):
        i = Var(f"i{step}")
        out = y if step == count - 1 else target
        value = BufferLoad(source, (IntImm(63) - i,)) + FloatImm(1.0)
        stages.append(For(i, IntImm(0), size, BufferStore(out, (i,), value), "parallel"))
        source, target = out, (b if out is a else a)
    return PrimFunc("stages", (x, y), Seq(tuple(stages)), (a, b))


@pytest.mark.parametrize(("work", "num_jobs"), [(0, 2), (1_000, 1), (1_000_000, 0)])
def test_small_sizes_run_on_one_thread(
    work: int, num_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[int] = []

    class Counted(Team):
        def run(self, function: int, args: int, threads: int) -> None:
            jobs.append(threads)
            super().run(function, args, threads)

    counted = Counted()
    monkeypatch.setattr(_entry, "team", lambda: counted)
    monkeypatch.setattr(_entry, "_WORK_OF_TEAM", work)
    exe = compile_program(two_step_program(), num_threads=2, cache=False)
    for size in (4, 1000):
        x = np.ones((size, 4), f32)
        np.testing.assert_array_equal(exe(x)[0], x + 2 * np.arange(4, dtype=f32))
    assert jobs == [2] * num_jobs
    counted.stop()


def test_barriers_order_the_stages(make_program: MakeProgram) -> None:
    exe = compile_program(make_program(many_stages(40)), num_threads=3, cache=False)
    x = rng.standard_normal(64).astype(f32)
    wanted = x.copy()
    for _ in range(40):
        wanted = wanted[::-1] + np.float32(1)
    for _ in range(50):
        np.testing.assert_array_equal(exe(x), wanted)


def test_concurrent_calls_of_several_executables(make_program: MakeProgram) -> None:
    exes = [
        compile_program(make_program(add_func()), num_threads=t, cache=False) for t in (1, 2, 3)
    ]
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        own = np.random.default_rng(seed)
        try:
            for k in range(100):
                size = int(own.integers(1, 50))
                a = {
                    "x": own.standard_normal((size, 4)).astype(f32),
                    "y": own.standard_normal((size, 4)).astype(f32),
                    "w": own.standard_normal(size + 1).astype(f32),
                }
                np.testing.assert_array_equal(exes[(seed + k) % 3](**a), expected(a))
        except BaseException as error:  # reported below, in the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_computes_and_ends() -> None:
    script = """
        import os, sys, numpy as np
        sys.path.insert(0, {tests!r})
        import test_executable as t
        from eqsat.backends import compile_program
        exe = compile_program(t.two_step_program(), num_threads=2, cache=False)
        x = np.ones((9, 4), np.float32)
        wanted = exe(x)[0]
        exe._arena.words[0] = 1  # as if another thread were in the middle of a call
        child = os.fork()
        if child:
            exe._arena.free()
        ok = all((exe(x)[0] == wanted).all() for _ in range(20))
        if child == 0:
            os._exit(0 if ok else 1)
        _, status = os.waitpid(child, 0)
        sys.exit(0 if ok and status == 0 else 1)
    """
    code = textwrap.dedent(script).format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()


# --- the cache ------------------------------------------------------------------------------


def entries(directory: Path) -> list[Path]:
    return sorted((directory / "objects").glob("*.o"))


def test_cache_is_hit_by_a_renamed_program(tmp_path: Path, make_program: MakeProgram) -> None:
    compile_program(make_program(add_func()), cache=tmp_path)
    before = {p: p.stat().st_mtime_ns for p in entries(tmp_path)}
    again = compile_program(make_program(add_func()), cache=tmp_path)
    assert [p.name for p in before] == [p.name for p in entries(tmp_path)]
    a = arguments()
    np.testing.assert_array_equal(again(**a), expected(a))


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_entries_are_compiled_again(
    tmp_path: Path, damage: str, make_program: MakeProgram
) -> None:
    runtime()  # loaded once a process, not from this directory
    compile_program(make_program(add_func()), cache=tmp_path)
    for path in entries(tmp_path):
        data = bytearray(path.read_bytes())
        data[-20] ^= 0xFF
        shorter = {"truncate": bytes(data[:50]), "flip": bytes(data), "empty": b""}
        path.write_bytes(shorter[damage])
    damaged = [p.read_bytes() for p in entries(tmp_path)]
    exe = compile_program(make_program(add_func()), cache=tmp_path)
    a = arguments()
    np.testing.assert_array_equal(exe(**a), expected(a))
    assert all(p.read_bytes() != d for p, d in zip(entries(tmp_path), damaged, strict=True))


def test_unwritable_cache_names_the_place(tmp_path: Path, make_program: MakeProgram) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with pytest.raises(CacheError) as caught:
        compile_program(make_program(add_func()), cache=blocked)
    message = str(caught.value)
    assert str(blocked) in message
    assert "set EQSAT_CACHE_DIR to a writable directory, or compile with cache=False" in message


def test_cache_directory_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_program: MakeProgram
) -> None:
    monkeypatch.setenv("EQSAT_CACHE_DIR", str(tmp_path / "here"))
    compile_program(make_program(add_func()))
    assert entries(tmp_path / "here")


def test_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    from eqsat.backends._cache import ObjectCache

    cache = ObjectCache(tmp_path, max_bytes=400)
    for k in range(4):
        cache.store(f"e{k}", bytes(100))
        os.utime(cache.directory / f"e{k}.o", (k, k))
    assert cache.load("e0") == bytes(100)
    cache.evict()
    assert cache.load("e0") is not None
    assert cache.load("e1") is None


def test_thread_count_is_checked(make_program: MakeProgram) -> None:
    with pytest.raises(CodegenError, match="num_threads is 0"):
        compile_program(make_program(add_func()), num_threads=0, cache=False)
