"""What a mutation puts in place of an operator or a word, and which mutants are no mistakes."""

from __future__ import annotations

SIBLINGS: dict[str, tuple[str, ...]] = {
    "add": ("subtract", "multiply"),
    "subtract": ("add",),
    "multiply": ("add", "divide"),
    "divide": ("multiply",),
    "maximum": ("minimum",),
    "minimum": ("maximum",),
    "sum": ("mean", "max"),
    "mean": ("sum", "max"),
    "max": ("min", "sum"),
    "min": ("max",),
    "exp": ("tanh",),
    "sqrt": ("rsqrt",),
    "rsqrt": ("sqrt",),
    "square": ("abs",),
    "floor": ("ceil", "trunc"),
    "ceil": ("floor",),
    "equal": ("not_equal",),
    "less": ("less_equal", "greater"),
    "greater": ("greater_equal", "less"),
    "less_equal": ("less",),
    "greater_equal": ("greater",),
    "logical_and": ("logical_or",),
    "logical_or": ("logical_and",),
    "mod": ("floor_mod",),
    "argmax": ("argmin",),
    "argmin": ("argmax",),
    "nn.relu": ("abs", "nn.relu6"),
    "nn.relu6": ("nn.relu",),
    "nn.gelu": ("nn.gelu_tanh", "nn.silu"),
    "nn.gelu_tanh": ("nn.gelu",),
    "nn.silu": ("nn.gelu",),
    "nn.softmax": ("nn.log_softmax",),
    "nn.log_softmax": ("nn.softmax",),
    "nn.layer_norm": (),
    "nn.max_pool2d": ("nn.avg_pool2d",),
    "nn.avg_pool2d": ("nn.max_pool2d",),
    "sigmoid": ("tanh",),
    "tanh": ("sigmoid",),
    "variance": ("std",),
    "cumsum": ("cumprod",),
}
WORDS: dict[str, tuple[str, ...]] = {
    "constant": ("reflect", "edge"),
    "reflect": ("edge",),
    "clip": ("wrap",),
    "float32": ("float64", "int32"),
    "float64": ("float32",),
    "NCHW": ("NHWC",),
    "NHWC": ("NCHW",),
}


SHAPES_AGREE = (
    "types agree only where the dropped operator keeps the shape, and then it does nothing"
)
SAME_PLACES = "types agree only where the kept axes are of size 1 at the same places"

INSIDE = "what is cut lies inside, whether that is assumed or not"

EQUAL: tuple[tuple[str, str, str], ...] = (
    ("where_true", r"where of -?[\d.]+ instead of 1$", "any number but 0 is true"),
    ("pad_by_nothing", r"pad_mode=|pad_value=", "no element is padded, so no mode counts"),
    ("relu_behind_max_pool", r"count_include_pad=", "a maximum counts nothing"),
    ("", r"(mean|sum) with axis=\(3, 2\)$", "axes of a reduction are a set"),
    ("scale_commutes_with_reshape", r"reshape dropped", SHAPES_AGREE),
    ("product_of_flattened_rows", r"reshape dropped", SHAPES_AGREE),
    ("sum_divided_by_count_is_mean", r"mean dropped", SHAPES_AGREE),
    ("sum_times_reciprocal_is_mean", r"mean dropped", SHAPES_AGREE),
    ("sum_of_scaled", r"sum dropped", SHAPES_AGREE),
    ("sum_divided_by_count_is_mean", r"keepdims=altered", SAME_PLACES),
    ("sum_times_reciprocal_is_mean", r"keepdims=altered", SAME_PLACES),
    ("sum_of_scaled", r"keepdims=altered", SAME_PLACES),
    ("first_part_is_slice", r"assume_inbound=", INSIDE),
    ("second_part_is_slice", r"assume_inbound=", INSIDE),
    ("third_part_is_slice", r"assume_inbound=", INSIDE),
    ("slices_that_meet", r"assume_inbound=", INSIDE),
    ("slice_of_concat_in_first", r"assume_inbound=", INSIDE),
    ("layer_norm_from_", r"layer_norm of e instead of x$", "x has one element: its deviation is 0"),
)
"""Mutants that are true rules: start of the rule's name, what its change contains, and why."""
