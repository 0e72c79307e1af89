"""TVM's LegalizeOps, compiled here: its PrimFuncs equal our reference of the operator.

Every sample of every operator is printed to TVM 0.27, legalized there, taken back and run natively.
What is not compared stands in a table with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import (
    ALL_OPS,
    BlockBuilder,
    IRModule,
    RuntimeCheckError,
    TupleType,
    TypeCheckError,
)
from eqsat.ir.frontend import ImportModelError
from eqsat.shapes import EqsatError, sym
from tests.backends._cases import (
    SIZES,
    Called,
    Case,
    add_call,
    arguments,
    check,
    tensors,
)

pytestmark = pytest.mark.peer
tvm = pytest.importorskip("tvm", reason="TVM is not installed")

LEAST_COMPARED = 1000
"""Samples at two sizes each."""

# An operator, or one of its samples by number, and why it is not compared. ------------------------

NOT_READ: dict[Any, str] = {
    **{n: "TVM prints it and does not read it" for n in ALL_OPS if n.startswith("inspect.")},
    "masked_fill": "TVM's script namespace R lacks it",
    "to_vdevice": "the call alone has no module with devices",
}
NOT_LEGALIZED: dict[Any, str] = {
    ("clip", 8): "TVM converts the infinite bound to an integer",
    ("power", 8): "TVM has no power of integers",
    ("scatter_elements", 6): "TVM divides by the number of updates, which is 0",
    ("scatter_elements", 9): "TVM divides by the number of updates, which is 0",
    ("scatter_nd", 8): "TVM divides by the number of updates, which is 0",
    ("scatter_nd", 12): "TVM divides by the number of updates, which is 0",
    ("concat", 2): "TVM's legalization takes no axis None",
    ("split", 3): "TVM takes no section of size 0",
    ("slice_scatter", 3): "TVM's legalization takes constant bounds only",
    "nn.pixel_shuffle": "TVM's legalization calls a function that topi lacks",
    ("argmax", 5): "TVM reduces no tensor of rank 0",
    ("argmin", 5): "TVM reduces no tensor of rank 0",
    ("nn.adaptive_avg_pool1d", 2): "TVM's legalization takes no output size that is a number",
    ("nn.attention", 3): "TVM says that it legalizes no sliding window",
    ("hamming_window", 4): "TVM's legalization takes no symbolic size",
    "nn.attention_var_len": "TVM says that it does not legalize it",
    ("image.affine_grid", 2): "TVM takes no target of size 1 with aligned corners",
    ("image.affine_grid", 3): "TVM takes no symbolic target",
}
PACKED: dict[Any, str] = {
    "sort": "TVM leaves the call for its packed functions",
    "argsort": "TVM leaves the call for its packed functions",
    "topk": "TVM leaves the call for its packed functions",
    "multinomial_from_uniform": "TVM leaves the call for its packed functions",
    "dynamic_strided_slice": "the result's shape comes from a packed function",
    "tensor_to_shape": "TVM leaves the call for its virtual machine",
    "memory.view": "TVM leaves the call for its run time, operands bound to variables",
    "nonzero": "TVM calls its packed function relax.run.nonzero",
    "unique": "TVM calls its packed function relax.run.unique",
    "median": "TVM calls its packed function tvm.contrib.sort.argsort in the PrimFunc",
    "vision.non_max_suppression": "TVM calls tvm.contrib.sort.argsort_nms in the PrimFunc",
    "vision.all_class_non_max_suppression": "TVM calls tvm.contrib.sort.argsort in the PrimFunc",
}
DIFFERENT: dict[Any, str] = {
    ("eye_like", 1): "TVM's legalization forgets the dtype asked for",
    ("mean", 10): "TVM's legalization of a mean of int32 gives int64",
    ("nn.batch_norm", 1): "TVM's legalization of float16 gives float32",
    ("nn.conv2d", 4): "TVM's legalization sums up in float16",
    ("reshape", 6): "TVM takes a size of 0 as the size before",
    ("nn.layer_norm", 2): "TVM's legalization takes axes in ascending order only",
    ("nn.layer_norm", 3): "TVM's legalization ignores center=False and scale=False",
    ("slice_scatter", 0): "TVM reads beyond the source, and drops what it read",
    ("slice_scatter", 1): "TVM reads beyond the source, and drops what it read",
    ("slice_scatter", 2): "TVM reads beyond the source, and drops what it read",
}
COUNTED_FROM_0 = ("take", "gather_elements", "gather_nd", "index_tensor", "scatter_nd")
"""Operators whose legalization takes a negative index as it is, outside of the operand."""


def listed(table: dict[Any, str], name: str, k: int) -> bool:
    return name in table or (name, k) in table


def called(name: str, k: int) -> tuple[IRModule, Called]:
    """Return a module that calls sample `k`; `sizes` binds the symbols that stand in results."""
    o = ALL_OPS[name]
    assert o.samples is not None
    sample = o.samples()[k]
    if name in COUNTED_FROM_0:
        ranges = {i: (max(low, 0), high) for i, (low, high) in sample.ranges.items()}
        sample = replace(sample, ranges=ranges)
    dtypes = (*sample.dtypes, *[sample.dtypes[-1]] * len(o.operands))[: len(o.operands)]
    bb = BlockBuilder()
    bb.input("sizes", tuple(sym(s) for s in SIZES[0]), "bool")
    found = add_call(bb, Case(o, sample, dtypes), "c")
    return bb.module(found.call), found


def compare(module: IRModule, call: Called) -> None:
    """Run the legalized module natively, at two sizes, against the reference of the operator."""
    exe = eqsat.compile(module, cache=False, num_threads=1, host_operations="forbid")
    for k, env in enumerate(SIZES[:2]):
        args = arguments(call, env, k)
        got = exe(np.zeros(tuple(env.values()), bool), *tensors(args))
        check(call, got if isinstance(call.call.type, TupleType) else [got], args, env)


def outcome(name: str, k: int) -> str:
    """Return "" if sample `k` was compared, else the table that says why it was not."""
    module, call = called(name, k)
    if listed(NOT_READ, name, k):
        with pytest.raises(ImportModelError):
            eqsat.to_tvm(module)
        return "NOT_READ"
    theirs = eqsat.to_tvm(module)
    legalize: Callable[[Any], Any] = tvm.relax.transform.LegalizeOps()
    if listed(NOT_LEGALIZED, name, k):
        with pytest.raises(Exception, match=r"\S"):  # of many kinds
            legalize(theirs)
        return "NOT_LEGALIZED"
    lowered = legalize(theirs)
    if listed(PACKED, name, k):
        with pytest.raises(EqsatError):
            compare(eqsat.from_tvm(lowered), call)
        return "PACKED"
    read = eqsat.from_tvm(lowered)
    if listed(DIFFERENT, name, k):
        with pytest.raises((AssertionError, RuntimeCheckError, TypeCheckError)):
            compare(read, call)
        return "DIFFERENT"
    compare(read, call)
    return ""


def samples() -> Iterator[tuple[str, int]]:
    for name, o in ALL_OPS.items():
        if not o.cannot_run:
            yield from ((name, k) for k in range(len(o.samples() if o.samples else ())))


NAMES = list(dict.fromkeys(name for name, _ in samples()))


@pytest.mark.parametrize("name", NAMES)
def test_what_tvm_makes_of_an_operator_is_the_operator(name: str) -> None:
    for n, k in samples():
        if n == name:
            try:
                outcome(name, k)
            except Exception as error:
                error.add_note(f"sample {k} of {name}")
                raise


def test_most_samples_are_compared() -> None:
    tables = (NOT_READ, NOT_LEGALIZED, PACKED, DIFFERENT)
    compared = [s for s in samples() if not any(listed(t, *s) for t in tables)]
    assert len(compared) >= LEAST_COMPARED


def test_every_exception_names_a_sample() -> None:
    known = {*NAMES, *samples()}
    for table in (NOT_READ, NOT_LEGALIZED, PACKED, DIFFERENT):
        assert set(table) <= known
