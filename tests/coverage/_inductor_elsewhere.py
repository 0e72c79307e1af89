"""What inductor rewrites and we do not, and why."""

from __future__ import annotations

from functools import partial

from tests.coverage._rows import Row

_row = partial(Row, "inductor")
_other = partial(Row, "inductor", is_inference=False)

_STACKED = "operands would be copied together to save starting kernels; they share nothing"
_TRAINING = "training only"
_DISTRIBUTED = "several devices only"
_GPU = "a device that is not a target yet"
_TORCH = "about how torch traces programs: nothing of it reaches a Relax program"

ROWS: tuple[Row, ...] = (
    _row("group_batch_fusion: linear layers of different inputs", reason=_STACKED),
    _row("group_batch_fusion: layer norms of different inputs", reason=_STACKED),
    _row("group_batch_fusion: pointwise operators of different inputs", reason=_STACKED),
    _row(
        "apply_gumbel_max_trick",
        reason="probabilities that round to the same number tie, their logarithms need not: "
        "another index may win",
    ),
    _row(
        "reinplace_inplaceable_ops",
        reason="a scatter writes a new tensor, in which each element looks for its updates, so "
        "that the order of threads does not matter",
    ),
    _other(
        "linear_dynamic_fp16_weight_prepack",
        reason="changes results: the opt-in set `half_precision`, with its own tests",
    ),
    _other("group_linear", reason=f"{_GPU}: calls a GPU library"),
    _other("bmm_to_mm", reason=f"{_GPU}; here a batch of one costs what the matrix does"),
    _other("b2b_gemm", reason=f"{_GPU}: a kernel of two products of Triton"),
    _other("unfuse_bias_add_to_pointwise", reason=_GPU),
    _other("fix_iota_device, move_constructors_to_gpu, device_put", reason=_GPU),
    _other("partitioned_scatter_optimization", reason=f"{_GPU}: fewer atomic additions meet"),
    _other("misc_patterns: exponents of MX formats", reason=_GPU),
    _other("auto_chunker", reason=f"{_TRAINING}: cuts losses and their gradients in chunks"),
    _other("misc_patterns: randperm", reason=f"{_TRAINING}: drops random rows"),
    _other("replace_random_passes", reason=f"{_TRAINING}: programs here draw no random numbers"),
    _other("ddp_fusion, fsdp, bucketing", reason=f"{_DISTRIBUTED}, {_TRAINING}"),
    _other("micro_pipeline_tp", reason=_DISTRIBUTED),
    _other("overlap_scheduling, low_contention_collectives, decomp_comms", reason=_DISTRIBUTED),
    _other("spmd_check", reason=_DISTRIBUTED),
    _other("canonicalize_quant_mapping", reason=_TORCH),
    _other("decompose_auto_functionalized, decompose_triton_kernel_wrapper", reason=_TORCH),
    _other("decompose_scan_to_while_loop, decompose_map_to_while_loop", reason=_TORCH),
    _other("numpy_compat_normalization, view_to_reshape", reason=_TORCH),
    _other("remove_profiler_ops, remove_assert_ops", reason=_TORCH),
    _other("dedupe_symint_uses", reason=f"{_TORCH}: sizes are expressions, not values"),
)
