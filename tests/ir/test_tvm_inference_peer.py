"""What TVM infers of thousands of calls is what is inferred here, rejections included.

Where the two differ, the difference is one of `DIFFERENCES`, each with its reason and still there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from eqsat.ir import ALL_OPS, OpDef, ShapeType, TensorType, TupleType, Type, UnknownShape
from eqsat.ir._lattice import is_base_of
from eqsat.shapes import EqsatError, evaluate, symbols
from tests.ir.tvm_inference import (
    CrashError,
    GivenCall,
    generated,
    infer_here,
    infer_in_tvm,
    same,
)

pytestmark = pytest.mark.peer
tvm = pytest.importorskip("tvm", reason="TVM is not installed")

LEAST_CALLS = 2500
NOT_GENERATED = {
    "to_vdevice": "its attribute is a device of the module",
    "hint_on_device": "its attribute is a device of the machine",
}

Here = Type | EqsatError
There = Type | str | CrashError


@dataclass(frozen=True)
class Difference:
    """A way in which the two differ on purpose.

    Attributes:
        reason: why it stays.
        holds: says whether a call's outcomes differ in this way.
        ops: the operators it is about; all where empty.
    """

    reason: str
    holds: Callable[[GivenCall, Here, There], bool]
    ops: tuple[str, ...] = ()


def rejected_here(pattern: str) -> Callable[[GivenCall, Here, There], bool]:
    def holds(call: GivenCall, here: Here, there: There) -> bool:
        return isinstance(here, EqsatError) and re.search(pattern, str(here)) is not None

    return holds


def rejected_there(pattern: str) -> Callable[[GivenCall, Here, There], bool]:
    def holds(call: GivenCall, here: Here, there: There) -> bool:
        return isinstance(there, str) and re.search(pattern, there) is not None

    return holds


def crashed(call: GivenCall, here: Here, there: There) -> bool:
    return isinstance(there, CrashError)


def finer_here(call: GivenCall, here: Here, there: There) -> bool:
    """Say whether each value of the type found here has the type found there."""
    if isinstance(here, EqsatError) or isinstance(there, (str, CrashError)):
        return False
    return is_base_of(there, here) or _dtypes_known_here(here, there)


def _dtypes_known_here(here: Type, there: Type) -> bool:
    match here, there:
        case (TensorType(), TensorType()):
            shapes = same(ShapeType(there.shape), ShapeType(here.shape)) or isinstance(
                there.shape, UnknownShape
            )
            return shapes and there.dtype in ("void", here.dtype)
        case (TupleType(x), TupleType(y)) if len(x) == len(y):
            return all(_dtypes_known_here(p, q) for p, q in zip(x, y, strict=True))
        case _:
            return False


def accepted_by_both(call: GivenCall, here: Here, there: There) -> bool:
    return not isinstance(here, EqsatError) and not isinstance(there, (str, CrashError))


def equal_numbers(call: GivenCall, here: Here, there: There) -> bool:
    match here, there:
        case (TensorType(shape=tuple() as x), TensorType(shape=tuple() as y)):
            names = symbols((*x, *y))
            return here.dtype == there.dtype and all(
                tuple(evaluate(d, dict.fromkeys(names, n)) for d in x)
                == tuple(evaluate(d, dict.fromkeys(names, n)) for d in y)
                for n in range(40)
            )
        case _:
            return False


DIFFERENCES = (
    Difference("finer here: TVM forgets a dtype or a shape that the operands tell", finer_here),
    Difference(
        "sizes that may be equal: TVM forgets the shape; here an error names the cast to add",
        rejected_here("which is not known; state it with dims="),
    ),
    Difference(
        "sizes that cannot be equal, which TVM leaves open or does not compare",
        rejected_here(
            r"differ and neither is 1|elements do not fill|: \S.* is not \S|cannot squeeze axis"
        ),
    ),
    Difference(
        "a dtype that the operator has no meaning in, or two where its loops need one",
        rejected_here(
            "dtype|must be numbers|must hold numbers|must be bool|would cut sums|out_dtype|"
            "convert one with astype|gives (integers|floats)"
        ),
    ),
    Difference(
        "a mode, layout or reduction that no lowering knows; TVM takes any word",
        rejected_here("must be one of|must be a permutation of"),
    ),
    Difference(
        "an axis that the operand does not have; TVM does not look",
        rejected_here("axis -?[0-9]+ is out of range"),
        ("sort", "argsort", "cumsum", "cumprod", "scatter_elements"),
    ),
    Difference(
        "windows that do not fit, strides and dilations below 1; TVM gives negative sizes",
        rejected_here("must be at least [01]|does not fit on an axis|is too large|is too much for"),
    ),
    Difference(
        "an element of an axis that has none, positions and values beyond the data",
        rejected_here("must have at least one element|(is|are|takes) more than"),
    ),
    Difference(
        "TVM's own check fails where a rank or shape is unknown, which is no error of the program",
        lambda call, here, there: (
            rejected_there("Back optional access|InternalError")(call, here, there)
            and any("?" in str(t) or "ndim" in str(t) for t in call.operands)
        ),
    ),
    Difference("TVM ends the process", crashed),
    Difference(
        "sizes that may be equal are taken to be, and compared at run time",
        rejected_there("ScatterND op requires the updates|Size mismatch"),
        ("scatter_nd", "dequantize", "quantize"),
    ),
    Difference(
        "an unknown dtype fits any; TVM wants it spelled",
        rejected_there("known dtype|data type|dtype|same type"),
        ("scatter_nd", "nn.layer_norm", "nn.instance_norm", "nn.group_norm", "nn.batch_norm"),
    ),
    Difference(
        "TVM counts wrongly where the step is negative, or gives a negative size",
        accepted_by_both,
        ("arange",),
    ),
    Difference("TVM's length of an unknown shape is -1", accepted_by_both, ("shape_to_tensor",)),
    Difference(
        "TVM clamps positions to a symbolic size; here they are taken to lie within it",
        accepted_by_both,
        ("strided_slice", "split"),
    ),
    Difference(
        "TVM's type of indexing='xy' is the one of 'ij', against NumPy",
        accepted_by_both,
        ("meshgrid",),
    ),
    Difference(
        "a bool is a value of its own dtype here, an int64 there",
        accepted_by_both,
        ("one_hot",),
    ),
    Difference(
        "the depth may be symbolic here",
        rejected_there("Mismatched type on argument"),
        ("one_hot",),
    ),
    Difference(
        "an unknown rank may be the right one",
        rejected_there("the given one has ndim-1|should be a 1D|requires the input to have known"),
        ("full_like",),
    ),
    Difference(
        "norms: the length of a scale of unknown rank is compared at run time",
        rejected_there("gamma|beta|ndim"),
        ("nn.batch_norm", "nn.group_norm", "nn.layer_norm", "nn.instance_norm"),
    ),
    Difference(
        "TVM writes the product and the sum, so it takes a weight of one axis and rejects a scalar",
        lambda call, here, there: True,
        ("linear",),
    ),
    Difference(
        "a 0 in the new shape of a tensor without elements is a 0; TVM copies the old size",
        rejected_there("Reshape expects the new shape to be convertible"),
        ("reshape",),
    ),
    Difference(
        "split positions that fall, or no equal sections: TVM gives negative sizes",
        rejected_here("needs increasing indices|elements make no"),
        ("split",),
    ),
    Difference(
        "negative positions count from the end, an empty slice is legal, steps are numbers",
        lambda call, here, there: True,
        ("slice_scatter",),
    ),
    Difference(
        "a slope per channel has one axis", rejected_here("must have 1 axes"), ("nn.prelu",)
    ),
    Difference(
        "TVM 0.27 cannot make the call: its Python reads the dtype of a dtype",
        rejected_there("'dtype' object has no attribute 'dtype'"),
        ("masked_fill",),
    ),
    Difference(
        "sums over axes whose sizes may be equal are taken to be, and checked at run time",
        rejected_there("fails to match the axes because of unknown dim or symbolic shape"),
        ("collapse_sum_to", "collapse_sum_like"),
    ),
    Difference(
        "operands of a rank or size that the loops cannot take",
        rejected_here(
            "to the longer shape|sizes of predictions and labels|must have 4 axes|must be a scalar"
        ),
        (
            "collapse_sum_to",
            "collapse_sum_like",
            "nn.cross_entropy_with_logits",
            "image.grid_sample",
            "vision.all_class_non_max_suppression",
        ),
    ),
    Difference(
        "the sizes of boxes and scores are compared, TVM takes those of the boxes",
        lambda call, here, there: True,
        ("vision.all_class_non_max_suppression", "nn.attention_var_len"),
    ),
    Difference(
        "what a box is for cannot be told of data of unknown dtype or symbolic size",
        rejected_there("expects indices to have shape"),
        ("vision.non_max_suppression",),
    ),
    Difference(
        "a box of a symbolic number of columns has no column -9",
        rejected_here("score_index -9 is outside"),
        ("vision.get_valid_counts",),
    ),
    Difference(
        "a view is no larger than what it views",
        rejected_here("needs a shape: "),
        ("memory.view",),
    ),
    Difference(
        "sizes rounded up in two ways: equal for each number tried, which nothing proves",
        equal_numbers,
        ("layout_transform",),
    ),
    Difference(
        "a padding value is a number of the operand's dtype",
        rejected_there("pad_value dtype"),
        ("layout_transform",),
    ),
    Difference(
        "a window without a causal mask has no meaning",
        rejected_here("window_size needs a causal_mask"),
        ("nn.attention",),
    ),
)


def is_equal(here: Here, there: There) -> bool:
    rejected = isinstance(here, EqsatError), isinstance(there, (str, CrashError))
    if any(rejected):
        return all(rejected)
    return same(here, there)  # type: ignore[arg-type]


def difference(call: GivenCall, here: Here, there: There) -> Difference | None:
    for d in DIFFERENCES:
        if (not d.ops or call.op.name in d.ops) and d.holds(call, here, there):
            return d
    return None


def described(call: GivenCall, here: Here, there: There) -> str:
    found = f"{type(here).__name__}: {here}" if isinstance(here, EqsatError) else str(here)
    theirs = "ends the process" if isinstance(there, CrashError) else str(there)
    return f"{call}\n    here {found}\n    TVM  {theirs.strip()[-300:]}"


def compare(o: OpDef, unexplained: list[str], used: Counter[str]) -> Counter[str]:
    calls = list(generated(o))
    counts: Counter[str] = Counter()
    for call, there in zip(calls, infer_in_tvm(tvm, calls), strict=True):
        here = infer_here(call)
        if is_equal(here, there):
            counts["rejected" if isinstance(here, EqsatError) else "accepted"] += 1
        elif d := difference(call, here, there):
            counts["different"] += 1
            used[d.reason] += 1
        else:
            unexplained.append(described(call, here, there))
    return counts


def test_inference_is_tvms(record_property: Callable[[str, object], None]) -> None:
    unexplained: list[str] = []
    used: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for o in ALL_OPS.values():
        if o.samples is None or o.name in NOT_GENERATED or not has_python_api(o.name):
            continue
        counts = compare(o, unexplained, used)
        total += counts
        print(f"{o.name}: {counts['accepted']} accepted, {counts['rejected']} rejected", end="")
        print(f", {counts['different']} different" if counts["different"] else "")
    print(f"in all {dict(total)}", *(f"{n} times {r}" for r, n in used.most_common()), sep="\n")
    record_property("calls", dict(total))
    assert not unexplained, "\n".join(unexplained)
    assert total["accepted"] + total["rejected"] >= LEAST_CALLS
    gone = sorted({d.reason for d in DIFFERENCES} - set(used))
    assert not gone, f"differences that are gone: {gone}"


def has_python_api(name: str) -> bool:
    found = tvm.relax.op
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is not None
