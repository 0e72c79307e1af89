"""XLA's algebraic simplifier: handlers of booleans, comparisons, choices and extrema."""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "XLA")
_absent = partial(Row, "XLA", is_inference=False)

ONE_DEVICE = "between devices: a program runs on one"

ROWS: tuple[Row, ...] = (
    _row(
        "HandleAnd: A and true",
        ("and_true",),
        program("logical_not(logical_and(x, array(True)))", x="bool n 64"),
        canonical=True,
    ),
    _row(
        "HandleAnd: A and false",
        ("and_false",),
        program("logical_and(logical_not(x), array(False))", x="bool n 64"),
        canonical=True,
    ),
    _row(
        "HandleAnd: two upper bounds",
        ("upper_bounds_join",),
        program("logical_and(less(x, b), less(x, c))", x="n 64", b="= 64", c="= 64"),
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
        "HandleCompare: of unsigned integers with zero",
        ("unsigned_less_than_zero",),
        program("logical_xor(less(x * x, 0), y)", x="uint8 n 64", y="bool n 64"),
        canonical=True,
    ),
    _row(
        "HandleCompare: of what is not negative with zero",
        ("square_less_than_zero",),
        program("logical_or(less(square(x), 0), y)", x="n 64", y="bool n 64"),
        canonical=True,
    ),
    _row(
        "HandleCompare: of integers with themselves",
        ("integers_equal_themselves",),
        program("logical_xor(equal(x * x, x * x), y)", x="int32 n 64", y="bool n 64"),
        canonical=True,
    ),
    _row(
        "HandleCompare: of booleans with constants",
        (
            "boolean_is_true",
            "boolean_is_not_false",
        ),
        program(
            "logical_or(equal(x, array(True)), not_equal(y, array(False)))",
            x="bool n 64",
            y="bool n 64",
        ),
        canonical=True,
    ),
    _row(
        "HandleCompare: of a mask of numbers",
        ("mask_of_numbers_is_not_zero",),
        program(
            "one, zero = array(1, 'float32'), array(0, 'float32')\n"
            "where(not_equal(where(greater_equal(x, y), one, zero), zero), x, y)",
            x="n 64",
            y="n 64",
        ),
        canonical=True,
    ),
    _row(
        "HandleCompare: of a maximum with its operand",
        (
            "maximum_exceeds_operand",
            "minimum_is_below_operand",
        ),
        program(
            "logical_or(greater(maximum(x, y), x), greater(x, minimum(x, y)))", x="n 64", y="n 64"
        ),
        canonical=True,
    ),
    _row(
        "HandleMaximum: max(A, A)",
        ("maximum_of_same",),
        program("exp(maximum(x, x))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMaximum: with minus infinity",
        ("maximum_with_minus_infinity",),
        program("tanh(maximum(x, float('-inf')))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMaximum: with an operand again",
        ("maximum_with_operand_again",),
        program("tanh(maximum(maximum(x, y), y))", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMaximum, HandleMinimum: are a clamp",
        (
            "minimum_of_maximum_is_clip",
            "maximum_of_minimum_is_clip",
        ),
        program("minimum(maximum(x, -1), 1) + maximum(minimum(y, 2), -2)", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMaximum: of a clamp",
        ("maximum_of_clip",),
        program("tanh(maximum(clip(x, min=-1, max=1), -1))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMaximum: of monotone functions",
        ("maximum_of_tanhs",),
        program("maximum(tanh(x), tanh(y))", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMinimum: min(A, A)",
        ("minimum_of_same",),
        program("exp(minimum(x, x))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMinimum: with infinity",
        ("minimum_with_infinity",),
        program("tanh(minimum(x, float('inf')))", x="n 64"),
        canonical=True,
    ),
    _row(
        "HandleMinimum: with an operand again",
        ("minimum_with_operand_again",),
        program("tanh(minimum(y, minimum(x, y)))", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleNot",
        ("not_twice",),
        program("logical_or(logical_not(logical_not(x)), y)", x="bool n 64", y="bool n 64"),
        canonical=True,
    ),
    _row(
        "HandleOr: A or true",
        ("or_true",),
        program("logical_or(logical_not(x), array(True))", x="bool n 64"),
        canonical=True,
    ),
    _row(
        "HandleOr: A or false",
        ("or_false",),
        program("logical_not(logical_or(x, array(False)))", x="bool n 64"),
        canonical=True,
    ),
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
        "HandleSelect: of true and false",
        (
            "where_true_or_false",
            "where_false_or_true",
        ),
        program(
            "logical_or(where(x, array(True), array(False)), where(y, array(False), array(True)))",
            x="bool n 64",
            y="bool n 64",
        ),
        canonical=True,
    ),
    _row(
        "HandleSelect: of compared operands",
        (
            "where_equal",
            "where_not_equal",
        ),
        program("where(equal(x, y), x, y) * where(not_equal(x, y), x, y)", x="n 64", y="n 64"),
        canonical=True,
    ),
    _row(
        "HandleXor: A xor A",
        ("xor_with_itself",),
        program("logical_xor(logical_and(x, y), logical_and(x, y))", x="bool n 64", y="bool n 64"),
        canonical=True,
    ),
    _row(
        "HandleXor: A xor 0",
        ("bits_xor_zero",),
        program("bitwise_xor(x, 0) * 3", x="int32 n 64"),
        canonical=True,
    ),
)
