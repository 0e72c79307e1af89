"""The text by which kernels share code."""

from __future__ import annotations

from eqsat.backends._canonical import canonical
from eqsat.ir.tir import (
    Buffer,
    BufferLoad,
    BufferStore,
    For,
    IntImm,
    PrimExpr,
    PrimFunc,
    Var,
    shape_var,
)


def scaled(name: str, extents: tuple[PrimExpr, PrimExpr], factor: int = 2) -> PrimFunc:
    rows, columns = extents
    x, y = (Buffer(f"{name}_{which}", (rows, columns), "int64") for which in "xy")
    i, j = Var(f"{name}_i"), Var(f"{name}_j")
    store = BufferStore(y, (i, j), BufferLoad(x, (i, j)) * factor)
    inner = For(j, IntImm(0), columns, store)
    return PrimFunc(name, (x, y), For(i, IntImm(0), rows, inner, "parallel"))


def test_names_leave_no_trace() -> None:
    a = canonical(scaled("first", (shape_var("n"), shape_var("m"))))
    b = canonical(scaled("second", (shape_var("p"), shape_var("q"))))
    assert a.text == b.text
    assert (a.symbols, b.symbols) == (("n", "m"), ("p", "q"))


def test_structure_does() -> None:
    n, m = shape_var("n"), shape_var("m")
    texts = {
        canonical(f).text
        for f in (
            scaled("f", (n, m)),
            scaled("f", (n, n)),
            scaled("f", (n, IntImm(4))),
            scaled("f", (n, m), factor=3),
        )
    }
    assert len(texts) == 4
