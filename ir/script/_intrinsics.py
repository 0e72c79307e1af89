"""How TensorIR's scalar functions are spelled, and what they return."""

from __future__ import annotations

from collections.abc import Sequence

from eqsat.ir._tir import BinaryOp, PrimExpr

OPAQUE_CALLS = {
    "call_packed": "int32", "call_cpacked": "int32", "tvm_storage_sync": "int32",
    "tvm_access_ptr": "handle", "tvm_stack_make_array": "handle", "tvm_stack_make_shape": "handle",
    "tvm_stack_alloca": "handle", "handle_add_byte_offset": "handle", "type_annotation": "handle",
    "isnullptr": "bool",
}  # fmt: skip
"""Functions of pointers, and calls for their effect: `T.` names and what they return."""
BOOLEAN = frozenset({"isnan", "isfinite", "isinf", "assume"})
# Functions of T. that are a Binary here.
BINARY_FUNCTIONS: dict[str, BinaryOp] = {
    "min": "min", "max": "max",
    "floordiv": "//", "floormod": "%", "Div": "/", "div": "/", "truncdiv": "/",
    "shift_left": "<<", "shift_right": ">>",
    "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^",
    "And": "and", "Or": "or",
    "BitwiseAnd": "&", "BitwiseOr": "|", "BitwiseXor": "^", "LShift": "<<", "RShift": ">>",
    "Add": "+", "Sub": "-", "Mul": "*", "FloorDiv": "//", "FloorMod": "%",
    "Min": "min", "Max": "max",
    "EQ": "==", "NE": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">=",
}  # fmt: skip
OTHER_NAMES = {
    "Mod": "truncmod", "BitwiseNot": "bitwise_not", "boolean": "bool", "bf16": "bfloat16",
    **{f"f{n}": f"float{n}" for n in (16, 32, 64)},
    **{f"{s}{n}": f"{w}{n}" for s, w in (("i", "int"), ("u", "uint")) for n in (8, 16, 32, 64)},
}  # fmt: skip
"""Names of `T.` that mean another one."""
FUNCTIONS = frozenset(
    [
        "exp",
        "exp2",
        "exp10",
        "log",
        "log2",
        "log10",
        "log1p",
        "sqrt",
        "rsqrt",
        "tanh",
        "erf",
        "sigmoid",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "asin",
        "acos",
        "atan",
        "asinh",
        "acosh",
        "atanh",
        "atan2",
        "floor",
        "ceil",
        "round",
        "nearbyint",
        "trunc",
        "abs",
        "assume",
        "fabs",
        "pow",
        "fmod",
        "fma",
        "copysign",
        "nextafter",
        "hypot",
        "ldexp",
        "popcount",
        "clz",
        "truncmod",
        "bitwise_not",
        "isnan",
        "isfinite",
        "isinf",
        "likely",
        "ignore_loop_partition",
        "tvm_thread_invariant",
    ]
)


def math_function(name: str) -> str:
    """Return our name of a function of C's library or of LLVM; any other name as it is."""
    short = name.removeprefix("llvm.").split(".")[0]
    for own in (short, short.removesuffix("f")):
        if own in FUNCTIONS - {"likely", "assume"}:
            return own
    return name


def result_dtype(name: str, args: Sequence[PrimExpr]) -> str:
    """Return the dtype of `T.<name>(args)`: the first argument's, bool for tests."""
    if name == "clz":
        return "int32"
    if name in BOOLEAN or not args:
        return "bool"
    return args[0].dtype


def is_spelled(name: str, args: Sequence[PrimExpr], dtype: str) -> bool:
    """Say whether `T.<name>(args)` reads back as a function of that dtype."""
    return name in FUNCTIONS and bool(args) and result_dtype(name, args) == dtype
