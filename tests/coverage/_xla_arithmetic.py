"""XLA's algebraic simplifier: handlers of pointwise operators."""

from __future__ import annotations

from functools import partial

from eqsat.rules import approximate
from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "XLA")
_fast = partial(Row, "XLA", rule_sets=(approximate,))
_absent = partial(Row, "XLA", is_inference=False)

FOLDING = "what depends on constants only is computed once (`eqsat/_fold.py`)"
ONE_DEVICE = "between devices: a program runs on one"
NO_COMPLEX = "Relax has no complex dtype"

ROWS: tuple[Row, ...] = (
    _row(
        "HandleAdd: A + 0",
        ("add_zero",),
        program("exp(x + 0)", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleAdd: constants go right",
        ("constant_summand_goes_right", "constant_summands_join"),
        program("exp((c + x) + b)", x="n 64", c="= 64", b="= 64"),
        canonical=True,
    ),
    _row(
        "HandleAdd: (A + C1) + C2",
        ("constant_summands_join",),
        program("exp((x + b) + c)", x="n 64", b="= 64", c="= 64"),
        canonical=True,
    ),
    _absent(
        "HandleAdd: adds an update of zeros in place",
        reason="training only: gradients of loops are such sums",
    ),
    _absent("HandleAdd: scatters join", reason="training only: gradients of gathers are scatters"),
    _absent("HandleAllGather, HandleAllToAll, HandleAllReduce", reason=ONE_DEVICE),
    _row(
        "HandleSubtract: A - 0",
        ("subtract_zero",),
        program("exp(x - 0)", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleSubtract: A - C",
        ("subtract_constant", "constant_summands_join"),
        program("exp((x - b) - c)", x="n 64", b="= 64", c="= 64"),
        canonical=True,
    ),
    _row(
        "HandleMultiply: A * 1",
        ("multiply_by_one",),
        program("exp(x * 1)", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMultiply: (A * C1) * C2",
        ("constant_factors_join",),
        program("exp((x * b) * c)", x="n 64", b="= 64", c="= 64"),
        canonical=True,
    ),
    _row(
        "HandleMultiply: (A * C1) * (B * C2)",
        ("number_leaves_product", "constant_factors_join"),
        program("tanh((x * 3) * (y * 5))", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMultiply: convolution, sum, product",
        ("constant_factor_over_shift", "batched_output_scale_into_kernel"),
        program(
            "(nn.conv2d(x, w, padding=1) + b) * c",
            x="n 8 16 16",
            w="= 16 8 3 3",
            b="= 1 16 1 1",
            c="= 1 16 1 1",
        ),
    ),
    _fast(
        "HandleMultiply: exp(A) * exp(B)",
        ("product_of_exps",),
        program("exp(x) * exp(y)", x="n 64", y="n 64"),
    ),
    _fast(
        "HandleMultiply: sqrt(A) * sqrt(A)",
        ("square_of_root", "root_times_itself"),
        program("exp(sqrt(x) * sqrt(x))", x="+ n 64"),
    ),
    _row(
        "HandleDivide: A by 1",
        ("divide_by_one",),
        program("exp(x / 1)", x="n 64"),
        canonical=True,
    ),
    _fast(
        "HandleDivide: exp(A) / exp(B)",
        ("quotient_of_exps",),
        program("exp(x) / exp(y)", x="n 64", y="n 64"),
    ),
    _row(
        "HandleDivide: A / sqrt(B)",
        ("divide_by_sqrt",),
        program("tanh(x / sqrt(y)) + x * rsqrt(y)", x="n 64", y="+ n 64"),
        canonical=True,
    ),
    _row(
        "HandleDivide: A / C",
        ("divide_by_constant",),
        program("x / c", x="n 64", c="= + 64"),
    ),
    _row(
        "HandleDivide: A / broadcast(B)",
        ("divide_by_broadcast",),
        program("exp(x / broadcast_to(y, (n, 64)))", x="n 64", y="+ n 1"),
        canonical=True,
    ),
    _row("HandleNegate", ("negate_twice",), program("exp(-(-x))", x="n 64"), canonical=True),
    _row(
        "HandleExp: exp(0)",
        program=program("tanh(x + exp(c))", x="n 64", c="= 64"),
        mechanism=FOLDING,
    ),
    _fast("HandleLog: log(exp(A))", ("log_of_exp",), program("tanh(log(exp(x)))", x="n 64")),
    _row("HandlePower: A ^ 1", ("power_one",), program("exp(power(x, 1))", x="n 64")),
    _row("HandlePower: A ^ 2", ("power_two_is_square",), program("exp(power(x, 2))", x="n 64")),
    _row(
        "HandlePower: A to the minus one",
        ("power_minus_one_is_reciprocal",),
        program("exp(power(x, -1))", x="+ n 64"),
    ),
    _row(
        "HandlePower: A ^ 0.5", ("power_half_is_sqrt",), program("exp(power(x, 0.5))", x="+ n 64")
    ),
    _fast(
        "HandleSqrt: sqrt(A * A)",
        ("root_of_square",),
        program("exp(sqrt(x * x))", x="n 64"),
    ),
    _row(
        "HandleMaximum: max(A, A)",
        ("maximum_of_same",),
        program("exp(maximum(x, x))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMinimum: min(A, A)",
        ("minimum_of_same",),
        program("exp(minimum(x, x))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleClamp: clamp of clamp",
        ("clip_of_clip",),
        program("clip(clip(x, min=-1, max=1), min=-1, max=1)", x="n 64"),
        canonical=True,
    ),
    _absent("HandleClamp: of replica ids", reason=ONE_DEVICE),
    _row(
        "HandleSelect: select(C, A, A)",
        ("where_of_same",),
        program("exp(where(c, x, x))", c="bool n 64", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleSelect: select(true, A, B)",
        ("where_true",),
        program("exp(where(array(True), x, y))", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleSelect: select(false, A, B)",
        ("where_false",),
        program("exp(where(array(False), x, y))", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleSelect: select(not(C), A, B)",
        ("where_of_logical_not",),
        program("where(logical_not(c), x, y)", c="bool n 4", x="n 4", y="n 4"),
        canonical=True,
    ),
    _row(
        "HandleConvert: to its own dtype",
        ("cast_to_own_dtype",),
        program("exp(astype(x, dtype='float32'))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleConvert: there and back",
        ("cast_of_exact_cast", "cast_to_own_dtype"),
        program("exp(astype(astype(x, dtype='float64'), dtype='float32'))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleConvert: of a constant",
        program=program("tanh(x * astype(c, dtype='float32'))", x="n 64", c="= int8 64"),
        mechanism=FOLDING,
    ),
    _absent("HandleComplex, HandleReal, HandleImag", reason=NO_COMPLEX),
    _absent("HandleReducePrecision", reason="Relax has no such operator; casts round"),
    _absent("HandleBitcastConvert", reason="Relax has no operator on the bits of a float"),
    _row(
        "HandleConstant: one number for all",
        program=program("nn.relu(x + c) * (y + c)", x="n 64", y="n 64", c="= 64"),
        mechanism="a constant of one number is `full` (`eqsat/_encode.py`), and equal constants "
        "are one e-class",
    ),
    _row(
        "HandleIota: of one element",
        program=program("(x + arange(start=0, end=1)) * 3", x="int64 n 64"),
        mechanism=FOLDING,
    ),
)
