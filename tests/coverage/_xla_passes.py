"""XLA's passes beside the algebraic simplifier."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "XLA")
_absent = partial(Row, "XLA", is_inference=False)

FUSION = "fusion: kernels are grown over all equal forms (`eqsat/rules/fusion.py`)"
FOLDING = "what depends on constants only is computed once (`eqsat/_fold.py`)"
GRAPH = "the e-graph holds each value once and reads back what the results need"
IN_LOADS = "fusion: index arithmetic in the loads of a neighbour"
PLAN = "the memory plan of the native program (`lowering/_memory_plan.py`)"
LOOPS = "Relax has recursive functions, not loops (`docs/control_flow.md`)"
ONE_DEVICE = "between devices: a program runs on one"

ROWS: tuple[Row, ...] = (
    _row(
        "hlo_cse",
        program=program("nn.relu(x @ w) + exp(x @ w)", x="n 64", w="64 64"),
        mechanism=GRAPH,
    ),
    _row(
        "hlo_dce",
        program=program("y = exp(x)\nz = x @ w\nnn.relu(tanh(x))", x="n 64", w="64 64"),
        mechanism=GRAPH,
    ),
    _row(
        "hlo_constant_folding",
        program=program("x * exp(c) + nn.relu(c)", x="n 64", c="= 64"),
        mechanism=FOLDING,
    ),
    _row(
        "reshape_mover",
        ("relu_of_reshaped", "reshape_of_reshape"),
        program("reshape(nn.relu(reshape(exp(x), (n, 32))), (n, 8, 4))", x="n 8 4"),
        canonical=True,
    ),
    _row(
        "batchnorm_expander",
        ("batch_norm_is_scale_and_shift",),
        program(
            "nn.relu(nn.batch_norm(x, g, b, m, v, axis=1, training=False)[0])",
            x="n 16 28 28",
            g="= 16",
            b="= 16",
            m="= 16",
            v="= + 16",
        ),
        dims={"n": 4},
    ),
    _row(
        "broadcast_canonicalizer, implicit broadcast folding",
        ("multiply_by_broadcast",),
        program("x * broadcast_to(y, (n, 4))", x="n 4", y="4"),
        canonical=True,
    ),
    _row(
        "dot_merger",
        ("parallel_products_merge",),
        program("[x @ v, x @ w]", x="n 256", v="= 256 4", w="= 256 2"),
        dims={"n": 4096},
    ),
    _row(
        "fusion: instruction, multi-output, priority",
        program=program("nn.relu(x @ w + b) * 2.0", x="n 64", w="64 64", b="64"),
        mechanism=FUSION,
    ),
    _row(
        "transpose_folding",
        program=program("x @ permute_dims(y, axes=(0, 2, 1))", x="n 16 64", y="n 16 64"),
        mechanism=IN_LOADS,
    ),
    _row(
        "layout_assignment, layout_normalization",
        program=program(
            "permute_dims(nn.conv2d(permute_dims(x, axes=(0, 3, 1, 2)), w, padding=1), "
            "axes=(0, 2, 3, 1))",
            x="n 16 16 8",
            w="= 16 8 3 3",
        ),
        mechanism=IN_LOADS,
    ),
    _row(
        "hlo_memory_scheduler, buffer assignment",
        program=program("nn.softmax(nn.relu(x @ w) @ v)", x="n 64", w="64 64", v="64 64"),
        mechanism=PLAN,
    ),
    _absent("while_loop_simplifier and the other passes over loops", reason=LOOPS),
    _absent("hlo_rematerialization", reason="training only"),
    _absent("all_reduce_folder and the other passes over collectives", reason=ONE_DEVICE),
    _absent(
        "rng_expander, rng_bit_generator_expander", reason="programs take random numbers as inputs"
    ),
    _absent("host offloading, asynchronous copies", reason="a device that is not a target yet"),
)
