"""XLA's algebraic simplifier: handlers of arithmetic, constants and casts."""

from __future__ import annotations

from functools import partial

from eqsat.rules import approximate
from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "XLA")
_fast = partial(Row, "XLA", rule_sets=(approximate,))
_absent = partial(Row, "XLA", is_inference=False)

FOLDING = "what depends on constants only is computed once (`eqsat/_fold.py`)"
LLVM = "LLVM turns divisions of integers by a power of two into shifts and masks"
ONE_DEVICE = "between devices: a program runs on one"
NO_COMPLEX = "Relax has no complex dtype"

ROWS: tuple[Row, ...] = (
    _row(
        "HandleAbs", ("abs_of_square",), program("tanh(abs(square(x)))", x="n 64"), canonical=True
    ),
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
    _row(
        "HandleAdd: (C1 - A) + C2",
        ("constant_joins_difference",),
        program("tanh((c - x) + b)", x="n 64", b="= 64", c="= 64"),
        canonical=True,
    ),
    _row(
        "HandleAdd: A + (B - A)",
        ("integer_difference_plus_subtrahend",),
        program("(x + (y - x)) * 3", x="int32 n 64", y="int32 n 64"),
        canonical=True,
    ),
    _row(
        "HandleAdd: A*C + B*C",
        ("common_factor_leaves_sum",),
        program("tanh(x * z + y * z)", z="n 64", x="n 64", y="n 64"),
        canonical=True,
    ),
    _absent("HandleAllGather, HandleAllToAll, HandleAllReduce", reason=ONE_DEVICE),
    _absent("HandleBitcastConvert", reason="Relax has no operator on the bits of a float"),
    _absent("HandleComplex, HandleReal, HandleImag", reason=NO_COMPLEX),
    _row(
        "HandleConstant: one number for all",
        program=program("nn.relu(x + c) * (y + c)", x="n 64", y="n 64", c="= 64"),
        mechanism="a constant of one number is `full` (`eqsat/_encode.py`), and equal constants "
        "are one e-class",
    ),
    _row(
        "HandleConstant: an iota",
        program=program("(x + array([0, 1, 2, 3])) * 2", x="int64 n 4"),
        mechanism=FOLDING,
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
    _row(
        "HandleConvert: around an operator on integers",
        ("sum_of_widened",),
        program(
            "astype(astype(x, dtype='int32') + astype(y, dtype='int32'), dtype='int8')",
            x="int8 n 64",
            y="int8 n 64",
        ),
        canonical=True,
    ),
    _row(
        "HandleDivide: A by 1",
        ("divide_by_one",),
        program("exp(x / 1)", x="n 64"),
        canonical=True,
    ),
    _fast(
        "HandleDivide: exp(A) / exp(B)",
        ("quotient_of_exps", "quotient_by_exp"),
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
    _fast(
        "HandleDivide: A / exp(B)",
        ("quotient_by_exp",),
        program("x / exp(y) + x * exp(-y)", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleDivide: A / pow(B, C)",
        ("divide_by_power",),
        program("x / power(y, z) + x * power(y, -z)", x="n 64", y="+ n 64", z="+ n 64"),
        canonical=True,
    ),
    _row(
        "HandleDivide: A / rsqrt(B)",
        ("divide_by_rsqrt",),
        program("x / rsqrt(y) + x * sqrt(y)", x="n 64", y="+ n 64"),
        canonical=True,
    ),
    _row(
        "HandleDivide: (A / B) / (C / D)",
        (
            "divide_by_quotient",
            "divide_quotient",
        ),
        program("(x / y) / (z / w)", x="n 64", y="+ n 64", z="+ n 64", w="+ n 64"),
    ),
    _row(
        "HandleDivide: (A / B) / C",
        ("divide_quotient",),
        program("(x / y) / z", x="n 4096", y="+ 4096", z="+ 4096"),
    ),
    _row(
        "HandleDivide: A / (B / C)",
        ("divide_by_quotient",),
        program("x / (y / z)", x="n 64", y="+ n 64", z="+ n 64"),
    ),
    _row(
        "HandleDivide: integers by a power of two",
        program=program("floor_divide(x, 8) * 3", x="int32 n 64"),
        mechanism=LLVM,
    ),
    _row(
        "HandleDivide: a mask by a number",
        reason="a mask divided is rare, and a division of the number more",
    ),
    _row(
        "HandleExp: exp(0)",
        program=program("tanh(x + exp(c))", x="n 64", c="= 64"),
        mechanism=FOLDING,
    ),
    _row(
        "HandleIota: of one element",
        program=program("(x + arange(start=0, end=1)) * 3", x="int64 n 64"),
        mechanism=FOLDING,
    ),
    _fast("HandleLog: log(exp(A))", ("log_of_exp",), program("tanh(log(exp(x)))", x="n 64")),
    _fast("HandleLog: of a power", ("log_of_power",), program("abs(log(power(x, 3)))", x="+ n 64")),
    _row(
        "HandleLog: of a root", ("log_of_sqrt",), program("tanh(log(sqrt(x))) + log(x)", x="+ n 64")
    ),
    _row(
        "HandleLog: of rsqrt",
        ("log_of_rsqrt",),
        program("tanh(log(rsqrt(x))) + log(x)", x="+ n 64"),
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
        "HandleMultiply: A * 0",
        ("integers_times_zero",),
        program("(x * 0) + y", x="int32 n 64", y="int32 n 64"),
        canonical=True,
    ),
    _row(
        "HandleMultiply: negatives",
        ("product_of_negatives",),
        program("tanh((-x) * (-y))", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMultiply: absolute values",
        ("square_of_abs",),
        program("tanh(abs(x) * abs(x))", x="n 64"),
        canonical=True,
    ),
    _fast(
        "HandleMultiply: by a mask",
        ("product_with_mask",),
        program("floor(x * astype(m, dtype='float32'))", x="n 64", m="bool n 64"),
        canonical=True,
    ),
    _fast(
        "HandleMultiply: rsqrt(A) * rsqrt(A)",
        ("square_of_rsqrt",),
        program("rsqrt(x) * rsqrt(x) + 1 / x", x="+ n 64"),
        canonical=True,
    ),
    _row(
        "HandleMultiply: a number goes to the smaller factor",
        ("number_leaves_product",),
        program("tanh((x * 0.5) * (y * 3))", x="n 64", y="64"),
        canonical=True,
    ),
    _row("HandleNegate", ("negate_twice",), program("exp(-(-x))", x="n 64"), canonical=True),
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
    _row(
        "HandlePower: A to the zero",
        ("power_zero",),
        program("tanh(y) + power(tanh(x), 0)", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandlePower: A to the three",
        ("power_three_is_cube",),
        program("tanh(power(x, 3))", x="n 64"),
    ),
    _fast(
        "HandlePower: of exp",
        ("power_of_exp",),
        program("abs(power(exp(x), y))", x="n 64", y="+ n 64"),
    ),
    _absent("HandleReducePrecision", reason="Relax has no such operator; casts round"),
    _row(
        "HandleRemainder: of a remainder",
        ("remainder_of_remainder",),
        program("floor_mod(floor_mod(x, y), y) * 3", x="int32 n 64", y="= int32"),
        canonical=True,
    ),
    _row(
        "HandleRemainder: by a power of two",
        program=program("floor_mod(x, 8) * 3", x="int32 n 64"),
        mechanism=LLVM,
    ),
    _row(
        "HandleRemainder: of an iota",
        program=program("(x + floor_mod(arange(start=0, end=64), 64)) * 3", x="int64 n 64"),
        mechanism=FOLDING,
    ),
    _row(
        "HandleRemainder: of an iota plus the divisor",
        program=program("(x + floor_mod(arange(start=0, end=64) + 8, 8)) * 3", x="int64 n 64"),
        mechanism=FOLDING,
    ),
    _row(
        "HandleRsqrt: of a power",
        ("rsqrt_of_power_minus_two",),
        program("tanh(rsqrt(power(x, -2)))", x="+ n 64"),
        canonical=True,
    ),
    _row(
        "HandleRsqrt: of a reciprocal",
        ("rsqrt_of_reciprocal",),
        program("tanh(rsqrt(1 / x))", x="+ n 64"),
        canonical=True,
    ),
    _fast(
        "HandleSqrt: sqrt(A * A)",
        ("root_of_square",),
        program("exp(sqrt(x * x))", x="n 64"),
    ),
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
        "HandleSubtract: A - A",
        ("integers_minus_themselves",),
        program("x * y - x * y", x="int32 n 64", y="int32 n 64"),
        canonical=True,
    ),
    _row(
        "HandleSubtract: minus a difference from itself",
        ("integer_minus_difference",),
        program("(x - (x - y)) * 3", x="int32 n 64", y="int32 n 64"),
        canonical=True,
    ),
    _row(
        "HandleSubtract: minus a sum with itself",
        ("integer_minus_sum",),
        program("(x - (x + y)) * 3", x="int32 n 64", y="int32 n 64"),
        canonical=True,
    ),
    _row(
        "HandleSubtract: a sum minus its summand",
        ("integer_sum_minus_summand",),
        program("((x + y) - x) * 3", x="int32 n 64", y="int32 n 64"),
        canonical=True,
    ),
)
