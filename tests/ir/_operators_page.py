"""docs/operators.md: what there is of each operator that Relax registers."""

from __future__ import annotations

from collections import Counter
from functools import cache

from eqsat.ir import ALL_OPS, CALL_OPS, OpDef
from tests.backends._cases import edge_cases

RELAX = [
    "abs",
    "acos",
    "acosh",
    "add",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "asin",
    "asinh",
    "assert_op",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "broadcast_to",
    "bucketize",
    "builtin.alloc_tensor",
    "builtin.stop_lift_params",
    "call_builtin_with_ctx",
    "call_dps_packed",
    "call_inplace_packed",
    "call_pure_packed",
    "call_py_func",
    "call_tir",
    "call_tir_inplace",
    "call_tir_with_grad",
    "ccl.allgather",
    "ccl.allreduce",
    "ccl.broadcast_from_worker0",
    "ccl.scatter_from_worker0",
    "ceil",
    "clip",
    "collapse_sum_like",
    "collapse_sum_to",
    "concat",
    "cos",
    "cosh",
    "cumprod",
    "cumsum",
    "dequantize",
    "dist.annotate_sharding",
    "dist.call_tir_local_view",
    "dist.redistribute",
    "dist.redistribute_replica_to_shard",
    "divide",
    "dynamic_strided_slice",
    "einsum",
    "equal",
    "erf",
    "ewise_fma",
    "exp",
    "expand_dims",
    "eye",
    "eye_like",
    "flatten",
    "flip",
    "floor",
    "floor_divide",
    "floor_mod",
    "full",
    "full_like",
    "gather_elements",
    "gather_nd",
    "grad.avg_pool2d_backward",
    "grad.end_checkpoint",
    "grad.max_pool2d_backward",
    "grad.nll_loss_backward",
    "grad.no_grad",
    "grad.start_checkpoint",
    "grad.take_backward",
    "greater",
    "greater_equal",
    "hamming_window",
    "hint_on_device",
    "image.affine_grid",
    "image.grid_sample",
    "image.resize2d",
    "image.resize3d",
    "index_put",
    "index_tensor",
    "inspect.tensor_byte_offset",
    "inspect.tensor_dtype_bits",
    "inspect.tensor_dtype_code",
    "inspect.tensor_dtype_lanes",
    "inspect.tensor_elem_offset",
    "inspect.tensor_ndim",
    "inspect.tensor_shape_i",
    "inspect.tensor_stride_i",
    "invoke_closure",
    "invoke_pure_closure",
    "isfinite",
    "isinf",
    "isnan",
    "layout_transform",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log_add_exp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "make_closure",
    "matmul",
    "max",
    "maximum",
    "mean",
    "median",
    "memory.alloc_storage",
    "memory.alloc_tensor",
    "memory.ensure_zero_offset",
    "memory.kill_storage",
    "memory.kill_tensor",
    "memory.view",
    "meshgrid",
    "min",
    "minimum",
    "mod",
    "multinomial_from_uniform",
    "multiply",
    "negative",
    "nn.adaptive_avg_pool1d",
    "nn.adaptive_avg_pool2d",
    "nn.adaptive_avg_pool3d",
    "nn.attention",
    "nn.attention_bias",
    "nn.attention_var_len",
    "nn.avg_pool1d",
    "nn.avg_pool2d",
    "nn.avg_pool3d",
    "nn.batch_flatten",
    "nn.batch_norm",
    "nn.conv1d",
    "nn.conv1d_transpose",
    "nn.conv2d",
    "nn.conv2d_transpose",
    "nn.conv3d",
    "nn.conv3d_transpose",
    "nn.cross_entropy_with_logits",
    "nn.dropout",
    "nn.gelu",
    "nn.gelu_tanh",
    "nn.group_norm",
    "nn.instance_norm",
    "nn.layer_norm",
    "nn.leakyrelu",
    "nn.log_softmax",
    "nn.max_pool1d",
    "nn.max_pool2d",
    "nn.max_pool3d",
    "nn.nll_loss",
    "nn.pad",
    "nn.pixel_shuffle",
    "nn.prelu",
    "nn.relu",
    "nn.rms_norm",
    "nn.selu",
    "nn.silu",
    "nn.softmax",
    "nn.softplus",
    "nonzero",
    "not_equal",
    "null_value",
    "one_hot",
    "ones",
    "ones_like",
    "outer",
    "permute_dims",
    "power",
    "print",
    "prod",
    "quantize",
    "repeat",
    "reshape",
    "reverse_sequence",
    "right_shift",
    "round",
    "rsqrt",
    "scatter_elements",
    "scatter_nd",
    "shape_of",
    "shape_to_tensor",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "size",
    "slice_scatter",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "strided_slice",
    "subtract",
    "sum",
    "take",
    "tan",
    "tanh",
    "tensor_to_shape",
    "tile",
    "to_vdevice",
    "topk",
    "tril",
    "triu",
    "trunc",
    "unique",
    "variance",
    "vision.all_class_non_max_suppression",
    "vision.get_valid_counts",
    "vision.multibox_transform_loc",
    "vision.non_max_suppression",
    "vision.roi_align",
    "vision.roi_pool",
    "vm.alloc_storage",
    "vm.alloc_tensor",
    "vm.call_tir_dyn",
    "vm.kill_object",
    "where",
    "wrap_param",
    "zeros",
    "zeros_like",
]
"""The 230 operators that TVM 0.27 registers, without the leading "relax."; a peer test compares."""

NULL = "null_value"
_HOST = "host operation"
_KNOWN = "from the type, else a host operation"
_HEAD = """# Operators

Each operator that TVM 0.27 registers, and what there is of it here. *Native code*: `loops` fuse and
get templates, a `host operation` runs by its NumPy reference and is named in `profile()`, `run
time` is an instruction of the virtual machine. *Tested*: samples in the generic tests
(`tests/ir/test_ops.py`, `tests/backends/test_all_ops.py`), which run in every dtype that
inference takes, of bool, integers of 2 to 64 bits and floats of 4 to 64, and at five sizes of their
symbols, 0 and 1 among them; and edge cases that follow from them: sizes of 0 and 1, fewer axes down
to scalars, axes counted from the other end. Native code equals the NumPy reference on all. `python
-m tests.backends.sweep` runs each in all of its dtypes."""


def operators_markdown() -> str:
    """Return the page."""
    rows = [_row(name) for name in RELAX]
    kinds = Counter(kind for kind, _ in rows)
    total = kinds["complete"]
    samples = sum(len(o.samples()) for o in ALL_OPS.values() if o.samples)
    edges = sum(_num_edges(o) for o in ALL_OPS.values())
    lines = [
        _HEAD,
        "",
        f"{len(RELAX)} operators: {total} complete, {kinds['typed']} read, printed and typed only.",
        f"{samples} samples and {edges} edge cases are tested.",
        "",
        "| operator | type inference | NumPy reference | native code | tested |",
        "|---|---|---|---|---|",
        *(line for _, line in rows),
    ]
    own = sorted(set(ALL_OPS) - set(RELAX))
    lines += ["", f"Beyond these: {', '.join(f'`{n}`' for n in own)}."]
    return "\n".join(lines) + "\n"


def num_complete() -> int:
    """Return how many operators have all that the page lists."""
    return sum(_row(name)[0] == "complete" for name in RELAX)


def _row(name: str) -> tuple[str, str]:
    if name in ALL_OPS:
        return _operator(name, ALL_OPS[name])
    if name in CALL_OPS and (reason := CALL_OPS[name].cannot_run):
        return "typed", f"| `{name}` | declared at the call | – | – | {reason} |"
    if name in CALL_OPS:
        return (
            "complete",
            f"| `{name}` | declared at the call | the callee's | run time | programs |",
        )
    if name == NULL:
        return "complete", f"| `{name}` | an absent operand | – | an absent operand | programs |"
    raise LookupError(f"{name} is not declared")


def _operator(name: str, o: OpDef) -> tuple[str, str]:
    if o.cannot_run:
        return "typed", f"| `{name}` | yes | – | – | {o.cannot_run} |"
    samples = len(o.samples()) if o.samples else 0
    native = "loops" if o.compute is not None else _HOST if o.known is None else _KNOWN
    tested = f"{samples} + {_num_edges(o)} edge cases"
    return "complete", f"| `{name}` | yes | yes | {native} | {tested} |"


@cache
def _num_edges(o: OpDef) -> int:
    return len(edge_cases(o)) if o.samples and o.known is None else 0
