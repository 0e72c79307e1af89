"""PrimFuncs whose accesses, regions, axes or parallel loops are wrong are refused, with the place."""

# ruff: noqa: E501 - TVMScript has long lines

from __future__ import annotations

import re

import numpy as np
import pytest

import eqsat
from eqsat.ir import TypeCheckError, check_well_formed, parse_module

HEAD = """
@T.prim_func(s_tir=True)
def f({params}):
"""
FIXED = 'A: T.Buffer((6, 10), "float32"), B: T.Buffer((6, 10), "float32"), C: T.Buffer((6,), "float32"), I: T.Buffer((6,), "int64")'
SYMBOLIC = (
    'A: T.Buffer((n, m), "float32"), B: T.Buffer((n, m), "float32"), C: T.Buffer((n,), "float32")'
)
BLOCK = """
    for i, j in T.grid({n}, {m}):
        with T.sblock("b"):
            vi, vj = T.axis.remap("{kinds}", [i, j])
            T.reads({reads})
            T.writes({writes})
            {body}
"""


def block(
    body: str,
    reads: str = "A[vi, vj]",
    writes: str = "B[vi, vj]",
    kinds: str = "SS",
    n: str = "6",
    m: str = "10",
) -> str:
    return BLOCK.format(n=n, m=m, kinds=kinds, reads=reads, writes=writes, body=body)


def check(body: str, params: str = FIXED) -> None:
    symbols = 'n = TypeVar("n")\nm = TypeVar("m")\n' if params == SYMBOLIC else ""
    check_well_formed(parse_module(symbols + HEAD.format(params=params).strip() + "\n" + body))


def symbolic(body: str, **changes: str) -> str:
    return block(body, n="n", m="m", **changes)


REJECTED: dict[str, tuple[str, str]] = {
    "a read outside": (
        block("B[vi, vj] = A[vi, vj + 1]", reads="A[vi, vj + 1]"),
        "PrimFunc f, block b: index 1 of A is 10 at i = 5, j = 9, vi = 5, vj = 9, outside of its 10 elements; correct it, or access only under a condition",
    ),
    "a read below": (
        block("B[vi, vj] = A[vi, vj - 1]", reads="A[vi, vj - 1]"),
        "block b: index 1 of A is -1 at i = 0, j = 0",
    ),
    "a write outside": (
        block("B[vi + vj, vj] = A[vi, vj]", writes="B[vi + vj, vj]"),
        "block b: index 0 of B is 14 at",
    ),
    "ends of opposite loops": (
        block("B[vi, vj] = A[vi, vj - vi]", reads="A[vi, vj - vi]"),
        "block b: index 1 of A is -5 at i = 5, j = 0",
    ),
    "a condition that lets one out": (
        block(
            "B[vi, vj] = T.if_then_else(vj < 10, A[vi, vj + 1], T.float32(0))",
            reads="A[vi, vj + 1]",
        ),
        "index 1 of A is 10",
    ),
    "a read not listed": (
        block("B[vi, vj] = A[vi, vj] + C[vi]"),
        "PrimFunc f, block b: reads C, which T.reads does not list; add it",
    ),
    "a write not listed": (
        block("B[vi, vj] = A[vi, vj]", writes="C[vi]"),
        "block b: writes B, which T.writes does not list; add it",
    ),
    "a read outside of the region": (
        block("B[vi, vj] = A[vi, 9 - vj]"),
        "block b: reads A[0, 9] at i = 0, j = 0, vi = 0, vj = 0, outside of the region that T.reads lists; widen the region",
    ),
    "a write outside of the region": (
        block("B[5 - vi, vj] = A[vi, vj]", writes="B[vi, 0:10]"),
        "block b: writes B[5, 0] at i = 0, j = 0, vi = 0, vj = 0, outside of the region that T.writes lists",
    ),
    "a region that ends early": (
        block("B[vi, vj] = A[vi, vj]", reads="A[vi, 0:9]"),
        "reads A[5, 9] at i = 5, j = 9",
    ),
    "an axis outside of its domain": (
        """
    for i in range(8):
        with T.sblock("b"):
            vi = T.axis.spatial(6, i)
            C[vi] = T.float32(0)
""",
        "PrimFunc f, block b: axis vi is bound to 7 at i = 7, outside of its domain [0, 6); widen the domain, or leave such iterations out by T.where",
    ),
    "a spatial axis that sums": (
        block("C[vi] = C[vi] + A[vi, vj]", writes="C[vi]"),
        "PrimFunc f, block b: C[0] is written at vj = 0 and written again at vj = 1 of the spatial axis vj, whose iterations run in any order; make vj a reduction axis (R), or index C by it",
    ),
    "a spatial axis that folds": (
        block("B[vi, vj // 2] = A[vi, vj]", writes="B[vi, vj // 2]"),
        "B[0, 0] is written at vj = 0 and written again at vj = 1",
    ),
    "a spatial axis that reads its neighbour": (
        block(
            "B[vi, vj] = T.if_then_else(vj > 0, B[vi, vj - 1], T.float32(0))",
            reads="B[vi, vj - 1]",
        ),
        "B[0, 0] is written at vj = 0 and read at vj = 1",
    ),
    "a jump that lets one through": (
        """
    for i in range(8):
        if i < 2:
            continue
        C[i] = T.float32(0)
""",
        "PrimFunc f: index 0 of C is 7 at i = 7, outside of its 6 elements",
    ),
    "a parallel loop that sums": (
        """
    for i in T.parallel(6):
        C[0] = C[0] + A[i, 0]
""",
        "PrimFunc f: C[0] is written at i = 0 and written again at i = 1 of the parallel loop i, whose iterations run in any order; make the loop serial, or index C by it",
    ),
    "a reduction over a parallel loop": (
        """
    for i in range(6):
        for j in T.parallel(10):
            with T.sblock("b"):
                vi, vj = T.axis.remap("SR", [i, j])
                with T.init():
                    C[vi] = T.float32(0)
                C[vi] = C[vi] + A[vi, vj]
""",
        "PrimFunc f, block b: C[0] is written at j = 0 and written again at j = 1 of the parallel loop j",
    ),
    "a buffer that parallel iterations share": (
        """
    row = T.sblock_alloc_buffer((10,), "float32")
    for i in T.parallel(6):
        for j in range(10):
            row[j] = A[i, j]
        for j in range(10):
            B[i, j] = row[9 - j]
""",
        "PrimFunc f: row[0] is written at i = 0 and written again at i = 1",
    ),
    "a prefix sum in parallel": (
        """
    for i in T.parallel(6):
        C[i] = T.if_then_else(i > 0, C[i - 1], T.float32(0)) + A[i, 0]
""",
        "C[0] is written at i = 0 and read at i = 1 of the parallel loop i",
    ),
}

ACCEPTED: dict[str, str] = {
    "as it should be": block("B[vi, vj] = A[vi, vj]"),
    "a wide region": block("B[vi, vj] = A[vi, 9 - vj]", reads="A[vi, 0:10]"),
    "a reduction": block(
        "C[vi] = C[vi] + A[vi, vj]", writes="C[vi]", kinds="SR"
    ),
    "a guarded read": block(
        "B[vi, vj] = T.if_then_else(vj < 9, A[vi, vj + 1], T.float32(0))", reads="A[vi, vj + 1]"
    ),
    "an index from memory": block("B[vi, vj] = A[I[vi], vj]", reads="A[I[vi], vj], I[vi]"),
    "a write from memory": block("B[I[vi], vj] = A[vi, vj]", reads="A[vi, vj], I[vi]", writes="B[I[vi], vj]"),
    "one of many writes": block(
        "if vj == 3:\n                C[vi] = A[vi, vj]", writes="C[vi]"
    ),
    "an access after a continue": """
    for i in range(8):
        if i >= 6:
            continue
        C[i] = T.float32(0)
""",
    "an access after a break": """
    for i in range(8):
        if I[0] + i >= 6:
            break
        C[i] = T.float32(0)
""",
    "an access after a return": """
    for i in range(8):
        for j in range(10):
            if I[0] + i >= 6:
                return 0
        C[i] = T.float32(0)
""",
    "a while loop that knows better": """
    for i in range(8):
        while I[0] + i < 6:
            C[i] = T.float32(0)
            I[0] = T.int64(6)
""",
    "an ordered sum": block("C[vi] = C[vi] + A[vi, vj]", writes="C[vi]").replace(
        'vi, vj = T.axis.remap("SS", [i, j])',
        "vi = T.axis.spatial(6, i)\n            vj = T.axis.scan(10, j)",
    ),
    "a predicate": """
    for i in range(8):
        with T.sblock("b"):
            vi = T.axis.spatial(6, i)
            T.where(i < 6)
            C[vi] = T.float32(0)
""",
    "a buffer of each iteration": """
    for i in T.parallel(6):
        row = T.alloc_buffer((10,), "float32")
        for j in range(10):
            row[j] = A[i, j]
        for j in range(10):
            B[i, j] = row[9 - j]
""",
    "split loops": """
    for i, j0 in T.grid(6, 5):
        for j1 in T.parallel(2):
            with T.sblock("b"):
                vi = T.axis.spatial(6, i)
                vj = T.axis.spatial(10, j0 * 2 + j1)
                B[vi, vj] = A[vi, vj]
""",
}  # fmt: skip

SYMBOLIC_REJECTED: dict[str, tuple[str, str]] = {
    "a spatial axis that sums": (
        symbolic("C[vi] = C[vi] + A[vi, vj]", writes="C[vi]"),
        "of the spatial axis vj",
    ),
    "a read outside of the region": (
        symbolic("B[vi, vj] = A[vi, m - 1 - vj]"),
        "outside of the region that T.reads lists",
    ),
    "a parallel loop that sums": (
        "    for i in T.parallel(n):\n        C[0] = C[0] + A[i, 0]\n",
        "of the parallel loop i",
    ),
}


@pytest.mark.parametrize("name", REJECTED)
def test_wrong_programs_are_refused(name: str) -> None:
    body, message = REJECTED[name]
    with pytest.raises(TypeCheckError, match=re.escape(message)):
        check(body)


@pytest.mark.parametrize("name", SYMBOLIC_REJECTED)
def test_wrong_programs_of_any_size_are_refused(name: str) -> None:
    body, message = SYMBOLIC_REJECTED[name]
    with pytest.raises(TypeCheckError, match=re.escape(message)):
        check(body, SYMBOLIC)


@pytest.mark.parametrize("name", ACCEPTED)
def test_right_programs_are_accepted(name: str) -> None:
    check(ACCEPTED[name])


def test_sizes_that_are_not_known_are_left_to_the_run() -> None:
    check(symbolic("B[vi, vj] = A[vi, vj + 1]", reads="A[vi, vj + 1]"), SYMBOLIC)


def test_a_race_is_not_compiled() -> None:
    text = """
@I.ir_module
class Module:
    @T.prim_func(s_tir=True)
    def f(A: T.Buffer((6,), "float32"), C: T.Buffer((1,), "float32")):
        for i in T.parallel(6):
            C[0] = C[0] + A[i]

    @R.function
    def main(x: R.Tensor((6,), "float32")):
        cls = Module
        lv = R.call_tir(cls.f, (x,), out_ty=R.Tensor((1,), "float32"))
        return lv
"""
    with pytest.raises(TypeCheckError, match="of the parallel loop i"):
        eqsat.compile(eqsat.from_tvmscript(text), cache=False)
    serial = eqsat.compile(
        eqsat.from_tvmscript(text.replace("T.parallel", "T.serial")), cache=False
    )
    assert serial(np.ones(6, np.float32)).shape == (1,)
