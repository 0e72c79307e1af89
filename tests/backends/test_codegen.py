"""Statements, expressions and loop kinds against NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from eqsat.backends import CodegenError, Executable, host_target
from eqsat.backends._compile import object_code
from eqsat.ir.tir import (
    Binary,
    Block,
    Buffer,
    BufferLoad,
    BufferStore,
    Cast,
    FloatImm,
    For,
    IfThenElse,
    IntImm,
    Intrinsic,
    IterVar,
    Let,
    Not,
    PrimExpr,
    PrimFunc,
    Range,
    Select,
    Seq,
    Stmt,
    Var,
    binary,
    shape_var,
)
from eqsat.shapes import DTYPES, is_int, is_signed, max_value, numpy_dtype, wide_dtype

Compiled = Callable[..., Executable]
KINDS = ["serial", "unroll", "vectorized", "parallel"]
rng = np.random.default_rng(7)
n, m = shape_var("n"), shape_var("m")
i, j, k = Var("i"), Var("j"), Var("k")


def I(value: int) -> IntImm:  # noqa: E743  # as short as the variables it stands beside
    return IntImm(value)


def loop(var: Var, extent: PrimExpr | int, body: Stmt, kind: str = "serial") -> For:
    size = IntImm(extent) if isinstance(extent, int) else extent
    return For(var, IntImm(0), size, body, kind)  # type: ignore[arg-type]


def load(b: Buffer, *indices: PrimExpr) -> BufferLoad:
    return BufferLoad(b, indices)


def elementwise(
    value: Callable[..., PrimExpr], dtypes: list[str], out: str, size: PrimExpr | int, kind: str
) -> PrimFunc:
    shape = (IntImm(size) if isinstance(size, int) else size,)
    inputs = [Buffer(f"x{a}", shape, d) for a, d in enumerate(dtypes)]
    y = Buffer("y", shape, out)
    body = BufferStore(y, (i,), value(*(load(x, i) for x in inputs)))
    return PrimFunc("f", (*inputs, y), loop(i, shape[0], body, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 5, 16, 37, 100])
@pytest.mark.parametrize("symbolic", [False, True])
def test_loop_kinds(kind: str, size: int, symbolic: bool, compiled: Compiled) -> None:
    f = elementwise(
        lambda a, b: a * b + a, ["float32"] * 2, "float32", n if symbolic else size, kind
    )
    a, b = rng.standard_normal((2, size)).astype(np.float32)
    np.testing.assert_allclose(compiled(f)(a, b), a * b + a, rtol=1e-6, atol=1e-6)


FLOAT_OPS = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "//": np.floor_divide,
    "%": np.mod, "min": np.minimum, "max": np.maximum, "pow": np.power,
}  # fmt: skip


@pytest.mark.parametrize("op", sorted(FLOAT_OPS))
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_float_operators(op: str, dtype: str, kind: str, compiled: Compiled) -> None:
    f = elementwise(lambda a, b: Binary(op, a, b), [dtype] * 2, dtype, n, kind)  # type: ignore[arg-type]
    a = rng.uniform(-9, 9, 41).astype(dtype)
    b = (rng.uniform(1, 4, 41) * rng.choice([-1, 1], 41)).astype(dtype)
    if op == "pow":
        a, b = np.abs(a), np.abs(b)
    rtol = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-14}[dtype]
    np.testing.assert_allclose(compiled(f)(a, b), FLOAT_OPS[op](a, b), rtol=rtol, atol=rtol)


INT_OPS = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "//": np.floor_divide, "%": np.mod,
    "min": np.minimum, "max": np.maximum, "&": np.bitwise_and, "|": np.bitwise_or,
    "^": np.bitwise_xor,
}  # fmt: skip


@pytest.mark.parametrize("op", sorted(INT_OPS))
@pytest.mark.parametrize("dtype", [d for d in DTYPES if is_int(d)])
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_int_operators(op: str, dtype: str, kind: str, compiled: Compiled) -> None:
    f = elementwise(lambda a, b: Binary(op, a, b), [dtype] * 2, dtype, n, kind)  # type: ignore[arg-type]
    low = 0 if dtype.startswith("u") else -100
    a, b = rng.integers(low, 120, (2, 35)).astype(numpy_dtype(dtype))
    b[:3] = 0
    with np.errstate(all="ignore"):
        wide = numpy_dtype(wide_dtype(dtype))
        wanted = INT_OPS[op](a.astype(wide), b.astype(wide)).astype(a.dtype)
    np.testing.assert_array_equal(compiled(f)(a, b), wanted)


def test_int64_arithmetic_wraps(compiled: Compiled) -> None:
    f = elementwise(lambda a: (a * I(4)) // I(4), ["int64"], "int64", n, "vectorized")
    a = np.array([2**62, 5, -(2**62) - 1], np.int64)
    np.testing.assert_array_equal(compiled(f)(a), (a * np.int64(4)) // np.int64(4))


@pytest.mark.parametrize("op", ["<<", ">>"])
@pytest.mark.parametrize("dtype", [d for d in DTYPES if is_int(d)])
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_shifts_by_any_number_of_bits(op: str, dtype: str, kind: str, compiled: Compiled) -> None:
    f = elementwise(lambda a, b: Binary(op, a, b), [dtype] * 2, dtype, n, kind)  # type: ignore[arg-type]
    wide = numpy_dtype(wide_dtype(dtype))
    a = np.repeat(rng.integers(-100, 100, 9), 9).astype(wide)
    b = np.tile([min(s, max_value(dtype)) for s in (0, 1, 3, 7, 8, 31, 32, 63, 64)], 9).astype(wide)
    a = a.astype(numpy_dtype(dtype)).astype(wide)
    wanted = (np.left_shift if op == "<<" else np.right_shift)(a, b).astype(numpy_dtype(dtype))
    np.testing.assert_array_equal(compiled(f)(*(x.astype(wanted.dtype) for x in (a, b))), wanted)


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_comparisons(op: str, dtype: str, kind: str, compiled: Compiled) -> None:
    f = elementwise(lambda a, b: Binary(op, a, b), [dtype] * 2, "bool", n, kind)  # type: ignore[arg-type]
    a, b = rng.integers(0, 3, (2, 40)).astype(dtype)
    if dtype == "float32":
        a[0] = np.nan
    names = {
        "<": "less",
        "<=": "less_equal",
        ">": "greater",
        ">=": "greater_equal",
        "==": "equal",
        "!=": "not_equal",
    }
    np.testing.assert_array_equal(compiled(f)(a, b), getattr(np, names[op])(a, b))


@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_logic(kind: str, compiled: Compiled) -> None:
    f = elementwise(
        lambda a, b: Binary("or", Binary("and", a, b), Not(b)), ["bool"] * 2, "bool", n, kind
    )
    a, b = rng.integers(0, 2, (2, 40)).astype(bool)
    np.testing.assert_array_equal(compiled(f)(a, b), (a & b) | ~b)


@pytest.mark.parametrize("old", DTYPES)
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_casts(old: str, kind: str, compiled: Compiled) -> None:
    x, outputs = Buffer("x", (n,), old), [Buffer(f"y_{d}", (n,), d) for d in DTYPES]
    stores = tuple(BufferStore(y, (i,), Cast(y.dtype, load(x, i))) for y in outputs)
    f = PrimFunc("casts", (x, *outputs), loop(i, n, Seq(stores), kind))
    values = [0, 1, 2.75, 3.3, 100.6, 65, 7, 0, 1.00390625, 1.01171875] * 3
    low = 0 if is_signed(old) or is_int(old) else 1  # powers of two have no 0
    a = np.array([max(low, min(v, max_value(old))) for v in values]).astype(numpy_dtype(old))
    for new, got in zip(DTYPES, compiled(f, num_outputs=len(outputs))(a), strict=True):
        # NumPy cannot convert between all narrow dtypes, nor compare the NaN of them.
        with np.errstate(all="ignore"):
            wanted = a.astype(np.float64).astype(numpy_dtype(new)).astype(np.float64)
        np.testing.assert_array_equal(got.astype(np.float64), wanted, err_msg=new)


@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_maximum_keeps_nan(kind: str, compiled: Compiled) -> None:
    a = np.array([np.nan, 1, 2, np.nan] * 5, np.float32)
    b = np.array([1, np.nan, 3, np.nan] * 5, np.float32)
    f = elementwise(lambda x, y: binary("max", x, y), ["float32"] * 2, "float32", n, kind)
    np.testing.assert_array_equal(compiled(f)(a, b), np.maximum(a, b))
    g = elementwise(lambda x: binary("max", x, FloatImm(0.0)), ["float32"], "float32", n, kind)
    np.testing.assert_array_equal(compiled(g)(a), np.maximum(a, 0))


UNARY = ["floor", "ceil", "round", "trunc", "abs", "sqrt", "isnan", "isinf", "isfinite", "atan"]


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_intrinsics(name: str, kind: str, compiled: Compiled) -> None:
    out = "bool" if name.startswith("is") else "float32"
    f = elementwise(lambda a: Intrinsic(name, (a,), out), ["float32"], out, n, kind)
    a = np.array([0.5, 1.5, 2.5, 3.7, np.nan, np.inf, 7.2, 1e-3, 9.0], np.float32)
    numpy_name = {"atan": "arctan", "round": "rint"}.get(name, name)
    np.testing.assert_allclose(compiled(f)(a), getattr(np, numpy_name)(a), rtol=1e-6)


def test_unknown_intrinsic_is_one_error(compiled: Compiled) -> None:
    f = elementwise(
        lambda a: Intrinsic("zeta", (a,), "float32"), ["float32"], "float32", n, "serial"
    )
    with pytest.raises(CodegenError, match=r"T\.zeta on float32 has no native code"):
        compiled(f)


@pytest.mark.parametrize("kind", ["serial", "vectorized", "parallel"])
def test_lazy_select_guards_loads(kind: str, compiled: Compiled) -> None:
    """A padded copy: loads outside the input must not happen."""
    x, y = Buffer("x", (n,), "float32"), Buffer("y", (n + 6,), "float32")
    inside = Binary("and", Binary(">=", i, I(3)), Binary("<", i, n + 3))
    value = Select(inside, load(x, i - 3), FloatImm(-1.0), lazy=True)
    f = PrimFunc("pad", (x, y), loop(i, n + 6, BufferStore(y, (i,), value), kind))
    exe = compiled(f)
    for size in (1, 10, 16, 40):
        a = rng.standard_normal(size).astype(np.float32)
        np.testing.assert_array_equal(exe(a), np.pad(a, 3, constant_values=-1))


@pytest.mark.parametrize("kind", ["serial", "vectorized"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_strided_and_reversed_loads(stride: int, kind: str, compiled: Compiled) -> None:
    x, y = Buffer("x", (n * stride,), "float32"), Buffer("y", (n,), "float32")
    value = load(x, i * stride) - load(x, n - 1 - i)
    exe = compiled(PrimFunc("s", (x, y), loop(i, n, BufferStore(y, (i,), value), kind)))
    for size in (1, 16, 37):
        a = rng.standard_normal(size * stride).astype(np.float32)
        np.testing.assert_array_equal(exe(a), a[::stride] - a[:size][::-1])


@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_transpose_scatters_and_gathers(kind: str, compiled: Compiled) -> None:
    x, y = Buffer("x", (n, m), "float32"), Buffer("y", (m, n), "float32")
    rows = PrimFunc(
        "t", (x, y), loop(i, n, loop(j, m, BufferStore(y, (j, i), load(x, i, j)), kind))
    )
    columns = PrimFunc(
        "t", (x, y), loop(j, m, loop(i, n, BufferStore(y, (j, i), load(x, i, j)), kind))
    )
    a = rng.standard_normal((19, 35)).astype(np.float32)
    np.testing.assert_array_equal(compiled(rows)(a), a.T)
    np.testing.assert_array_equal(compiled(columns)(a), a.T)


@pytest.mark.parametrize("kind", ["serial", "vectorized"])
@pytest.mark.parametrize("index_dtype", ["int32", "int64"])
def test_indices_from_memory(kind: str, index_dtype: str, compiled: Compiled) -> None:
    x, at = Buffer("x", (m,), "float32"), Buffer("at", (n,), index_dtype)
    y = Buffer("y", (n,), "float32")
    where = Cast("int64", load(at, i)) if index_dtype == "int32" else load(at, i)
    wrapped = Select(Binary("<", where, I(0)), where + m, where)
    f = PrimFunc("g", (x, at, y), loop(i, n, BufferStore(y, (i,), load(x, wrapped)), kind))
    a = rng.standard_normal(23).astype(np.float32)
    picks = rng.integers(-23, 23, 40).astype(index_dtype)
    np.testing.assert_array_equal(compiled(f)(a, picks), a[picks])


def test_fused_index_stays_contiguous(compiled: Compiled) -> None:
    """A loop over h * w with indices by // and % is a plain vector copy."""
    h, w = shape_var("h"), shape_var("w")
    x, y = Buffer("x", (h, w), "float32"), Buffer("y", (h, w), "float32")
    at = (i // w, i % w)
    f = PrimFunc("c", (x, y), loop(i, h * w, BufferStore(y, at, load(x, *at)), "vectorized"))
    exe = compiled(f)
    a = rng.standard_normal((5, 9)).astype(np.float32)
    np.testing.assert_array_equal(exe(a), a)
    assert "gather" not in exe.as_text("llvm")
    assert "div" not in exe.as_text("llvm")


@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_division_in_an_index_that_stays(kind: str, compiled: Compiled) -> None:
    x, y = Buffer("x", (n,), "float32"), Buffer("y", (n * m,), "float32")
    f = PrimFunc("r", (x, y), loop(i, n * m, BufferStore(y, (i,), load(x, (i * 3 // m) % n)), kind))
    exe = compiled(PrimFunc("r", (x, Buffer("z", (m,), "float32"), y), f.body))
    a, z = np.arange(7, dtype=np.float32), np.zeros(5, np.float32)
    at = np.arange(35)
    np.testing.assert_array_equal(exe(a, z), a[(at * 3 // 5) % 7])


def block_sum(kind: str, init: bool = True) -> PrimFunc:
    x, y = Buffer("x", (n, m), "float32"), Buffer("y", (n,), "float32")
    vi, vk = Var("vi"), Var("vk")
    iters = (
        IterVar(vi, Range(I(0), n), "S", i),
        IterVar(vk, Range(I(0), m), "R", k),
    )
    update = BufferStore(y, (vi,), load(y, vi) + load(x, vi, vk))
    first = BufferStore(y, (vi,), FloatImm(0.0)) if init else None
    return PrimFunc(
        "sum", (x, y), loop(i, n, loop(k, m, Block("b", iters, (), (), update, first), kind))
    )


def test_block_init_runs_at_the_first_reduction_step(compiled: Compiled) -> None:
    a = rng.standard_normal((7, 21)).astype(np.float32)
    np.testing.assert_allclose(compiled(block_sum("serial"))(a), a.sum(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "reduce"), [("+", np.sum), ("max", np.max), ("min", np.min), ("*", np.prod)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_reduction_over_lanes(
    op: str, reduce: Callable[..., object], dtype: str, compiled: Compiled
) -> None:
    x, y = Buffer("x", (n, m), dtype), Buffer("y", (n,), dtype)
    start = BufferStore(y, (i,), load(x, i, I(0)))
    step = BufferStore(y, (i,), Binary(op, load(y, i), load(x, i, k + 1)))  # type: ignore[arg-type]
    body = Seq((start, loop(k, m - 1, step, "vectorized")))
    exe = compiled(PrimFunc("r", (x, y), loop(i, n, body)))
    for columns in (2, 17, 40):
        a = rng.uniform(1, 2, (3, columns)).astype(dtype)
        np.testing.assert_allclose(exe(a), reduce(a, axis=1), rtol=1e-5)


def test_lanes_that_store_one_element_are_refused(compiled: Compiled) -> None:
    x, y = Buffer("x", (n,), "float32"), Buffer("y", (I(1),), "float32")
    f = PrimFunc("bad", (x, y), loop(i, n, BufferStore(y, (I(0),), load(x, i)), "vectorized"))
    with pytest.raises(CodegenError, match="all lanes of the vectorized loop over i store one"):
        compiled(f)


@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_block_predicate(kind: str, compiled: Compiled) -> None:
    """A split loop: ceil(n / 16) times 16, guarded."""
    x, y = Buffer("x", (n,), "float32"), Buffer("y", (n,), "float32")
    v = Var("v")
    at = i * 16 + j
    block = Block(
        "b", (IterVar(v, Range(I(0), n), "S", at),), (), (),
        BufferStore(y, (v,), load(x, v) * FloatImm(2.0)),
        predicate=Binary("<", at, n),
    )  # fmt: skip
    f = PrimFunc("p", (x, y), loop(i, (n + 15) // 16, loop(j, 16, block, kind), "parallel"))
    exe = compiled(f, num_threads=2)
    for size in (1, 15, 16, 33):
        a = rng.standard_normal(size).astype(np.float32)
        np.testing.assert_array_equal(exe(a), a * 2)


@pytest.mark.parametrize("kind", ["serial", "vectorized"])
def test_if_then_else(kind: str, compiled: Compiled) -> None:
    x, y = Buffer("x", (n,), "float32"), Buffer("y", (n,), "float32")
    positive = Binary(">", load(x, i), FloatImm(0.0))
    body = IfThenElse(
        positive, BufferStore(y, (i,), load(x, i)), BufferStore(y, (i,), load(x, i) * FloatImm(0.5))
    )
    a = rng.standard_normal(37).astype(np.float32)
    f = PrimFunc("leaky", (x, y), loop(i, n, body, kind))
    np.testing.assert_array_equal(compiled(f)(a), np.where(a > 0, a, a * np.float32(0.5)))


@pytest.mark.parametrize("kind", ["serial", "vectorized", "unroll"])
def test_let(kind: str, compiled: Compiled) -> None:
    x, y = Buffer("x", (I(20),), "float32"), Buffer("y", (I(20),), "float32")
    v, at = Var("v", "float32"), Var("at")
    body = Let(at, I(19) - i, Let(v, load(x, at) + FloatImm(1.0), BufferStore(y, (i,), v * v)))
    a = rng.standard_normal(20).astype(np.float32)
    f = PrimFunc("let", (x, y), loop(i, 20, body, kind))
    np.testing.assert_allclose(compiled(f)(a), (a[::-1] + 1) ** 2, rtol=1e-6)


@pytest.mark.parametrize("size", [8, 10_000])
def test_local_and_shared_buffers(size: int, compiled: Compiled) -> None:
    """Small local buffers are registers, large ones scratch; global ones live between stages."""
    x, y = Buffer("x", (n, I(size)), "float32"), Buffer("y", (n, I(size)), "float32")
    row = Buffer("row", (I(size),), "float32", "local")
    packed = Buffer("packed", (n, I(size)), "float32")
    a, b, c = Var("a"), Var("b"), Var("c")
    first = loop(
        i, n,
        Seq((
            loop(j, size, BufferStore(row, (j,), load(x, i, j) + FloatImm(1.0)), "vectorized"),
            loop(a, size, BufferStore(packed, (i, a), load(row, I(size - 1) - a)), "vectorized"),
        )),
        "parallel",
    )  # fmt: skip
    second = loop(
        b,
        n,
        loop(c, size, BufferStore(y, (b, c), load(packed, n - 1 - b, c)), "vectorized"),
        "parallel",
    )
    f = PrimFunc("stages", (x, y), Seq((first, second)), (row, packed))
    data = rng.standard_normal((5, size)).astype(np.float32)
    np.testing.assert_array_equal(compiled(f, num_threads=2)(data), (data + 1)[::-1, ::-1])


def test_symbolic_local_buffer_is_scratch_of_the_thread(compiled: Compiled) -> None:
    x, y = Buffer("x", (n, m), "float32"), Buffer("y", (n, m), "float32")
    row = Buffer("row", (m,), "float32", "local")
    body = Seq((
        loop(j, m, BufferStore(row, (j,), load(x, i, j) * FloatImm(3.0)), "vectorized"),
        loop(k, m, BufferStore(y, (i, k), load(row, m - 1 - k))),
    ))  # fmt: skip
    exe = compiled(PrimFunc("rows", (x, y), loop(i, n, body, "parallel"), (row,)), num_threads=2)
    for shape in ((4, 3), (9, 50)):
        a = rng.standard_normal(shape).astype(np.float32)
        np.testing.assert_array_equal(exe(a), (a * 3)[:, ::-1])


@pytest.mark.parametrize("shape", [(12, 32), (6, 16), (5, 20)])
def test_register_tiled_product(shape: tuple[int, int], compiled: Compiled) -> None:
    """The shape of a scheduled contraction: accumulators in registers, masked tails."""
    rows, columns = shape
    depth = shape_var("depth")
    x, y, z = (
        Buffer(s, d, "float32") for s, d in (("x", (n, depth)), ("y", (depth, m)), ("z", (n, m)))
    )
    acc = Buffer("acc", (I(rows), I(columns)), "float32", "local")
    io, jo = Var("io"), Var("jo")
    r, c = io * rows + i, jo * columns + j

    def tile(body: Stmt) -> Stmt:
        return loop(i, rows, loop(j, columns, body, "vectorized"), "unroll")

    left = Select(Binary("<", r, n), load(x, r, k), FloatImm(0.0), lazy=True)
    right = Select(Binary("<", c, m), load(y, k, c), FloatImm(0.0), lazy=True)
    inside = Binary("and", Binary("<", r, n), Binary("<", c, m))
    body = Seq((
        tile(BufferStore(acc, (i, j), FloatImm(0.0))),
        loop(k, depth, tile(BufferStore(acc, (i, j), load(acc, i, j) + left * right))),
        tile(IfThenElse(inside, BufferStore(z, (r, c), load(acc, i, j)))),
    ))  # fmt: skip
    over = loop(
        io, (n + (rows - 1)) // rows, loop(jo, (m + (columns - 1)) // columns, body), "parallel"
    )
    exe = compiled(PrimFunc("gemm", (x, y, z), over, (acc,)), num_threads=2)
    for dims in ((12, 32, 8), (1, 1, 1), (13, 45, 7)):
        a = rng.standard_normal((dims[0], dims[2])).astype(np.float32)
        b = rng.standard_normal((dims[2], dims[1])).astype(np.float32)
        np.testing.assert_allclose(exe(a, b), a @ b, rtol=1e-4, atol=1e-5)


def test_unbound_variable_is_one_error(compiled: Compiled) -> None:
    x, y = Buffer("x", (n,), "float32"), Buffer("y", (n,), "float32")
    f = PrimFunc("bad", (x, y), loop(i, n, BufferStore(y, (i,), load(x, Var("q")))))
    with pytest.raises(CodegenError, match="variable q is used where nothing binds it"):
        compiled(f)


def test_parallel_loop_inside_a_grouping_block(compiled: Compiled) -> None:
    x, y = Buffer("x", (n,), "float32"), Buffer("y", (n,), "float32")
    body = loop(i, n, BufferStore(y, (i,), load(x, i) + FloatImm(1.0)), "parallel")
    exe = compiled(PrimFunc("root", (x, y), Block("root", (), (), (), body)), num_threads=2)
    a = rng.standard_normal(37).astype(np.float32)
    np.testing.assert_array_equal(exe(a), a + 1)
    assert "thread" in exe.as_text("llvm")


def test_code_that_is_no_valid_ir_raises() -> None:
    body = ["%a = add i64 %b, 1", "%b = add i64 %a, 1", "ret void"]
    text = "\n".join(["define void @kernel_0() {", *body, "}"])
    with pytest.raises(CodegenError, match=r"made for kernel_0 is no valid LLVM IR .*dominate"):
        object_code(text, host_target())
    with pytest.raises(CodegenError, match="a kernel is no valid LLVM IR"):
        object_code("nonsense", host_target())
