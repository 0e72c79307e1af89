"""The passes of TVM Relax."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "TVM")

ROWS: tuple[Row, ...] = (
    _row(
        "AdjustMatmulOrder",
        ("matmul_associates",),
        program("(x @ w) @ v", x="64 64", w="64 256", v="256 8"),
    ),
    _row(
        "CombineParallelMatmul",
        ("three_parallel_products_merge",),
        program("[x @ u, x @ v, x @ w]", x="n 256", u="= 256 4", v="= 256 2", w="= 256 1"),
        dims={"n": 4096},
    ),
    _row(
        "RemoveRedundantReshape",
        ("reshape_of_reshape",),
        program("nn.relu(reshape(reshape(x, (n, 4, 8)), (n, 32)))", x="n 8 4"),
        canonical=True,
    ),
    _row(
        "FoldConstant",
        program=program("x * exp(c) + nn.relu(c)", x="n 64", c="= 64"),
        mechanism="constants are folded when the result is written (`eqsat/_fold.py`)",
    ),
    _row("Gradient", reason="training only", is_inference=False),
)
