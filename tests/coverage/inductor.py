"""The graph rewrites of torch inductor, as `torch/_inductor/fx_passes` of torch 2.13 has them.

Passes that are empty outside of Meta (`fuse_parallel_linear_pass` and the like in `pre_grad.py`)
rewrite nothing and have no row, nor have those of older releases (`cat_mm`, `uint4x2_mixed_mm`).
"""

from __future__ import annotations

from tests.coverage import (
    _inductor_attention,
    _inductor_elsewhere,
    _inductor_fusion,
    _inductor_graph,
    _inductor_quantized,
    _inductor_split_cat,
)
from tests.coverage._rows import Row

ROWS: tuple[Row, ...] = (
    *_inductor_graph.ROWS,
    *_inductor_split_cat.ROWS,
    *_inductor_attention.ROWS,
    *_inductor_fusion.ROWS,
    *_inductor_quantized.ROWS,
    *_inductor_elsewhere.ROWS,
)
