"""Every operator's samples survive printing and reading; TVM reads the texts too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eqsat.ir import ALL_OPS, BlockBuilder, IRModule, OpDef, OperandKind, Sample, TensorType
from eqsat.ir._expr import Expr, Tuple
from eqsat.ir._structural import structural_equal
from eqsat.ir._subtyping import fits
from eqsat.ir.script import parse_module, print_module
from eqsat.shapes import Proof, parse_dim


def _dims(shape: Any) -> tuple[Any, ...]:
    return tuple(parse_dim(d) if isinstance(d, str) else d for d in shape)


def module_of_sample(o: OpDef, sample: Sample) -> IRModule:
    """Return a module whose main calls `o` once."""
    bb = BlockBuilder()
    args: list[Any] = []
    for i, (operand, given) in enumerate(zip(o.operands, sample.shapes, strict=False)):
        dtype = sample.dtypes[min(i, len(sample.dtypes) - 1)]
        match operand.kind:
            case _ if given is None:
                args.append(None)
            case OperandKind.TENSOR:
                args.append(bb.param(operand.name, TensorType(_dims(given), dtype)))
            case OperandKind.TENSORS:
                fields: list[Expr] = [
                    bb.param(f"{operand.name}{k}", TensorType(_dims(s), dtype))
                    for k, s in enumerate(given)
                ]
                args.append(Tuple(tuple(fields)))
            case OperandKind.SHAPE:
                args.append(list(_dims(given[1])))
    kinds = {a.name: a.kind for a in o.attrs}

    def dim(value: Any, kind: str) -> Any:
        if isinstance(value, str) and kind not in ("str", "dtype", "code"):
            return parse_dim(value)
        return tuple(dim(v, kind) for v in value) if isinstance(value, tuple) else value

    attrs = {k: dim(v, kinds[k]) for k, v in sample.attrs.items()}
    return bb.module(bb.call(o, *args, **attrs))


R_DOES_NOT_EXPORT = ("masked_fill", *(name for name in ALL_OPS if name.startswith("inspect.")))
NEEDS_DEVICES = ("to_vdevice",)  # of the module, which a single call has not
"""Operators of TVM's `relax.op` that its script namespace `R` lacks (wheel 0.27)."""


TVM_PRINTS_OTHERWISE = ("memory.view",)
"""Operators that TVM reads from our text and prints with values bound in lines of their own."""


def _cases() -> Iterator[Any]:
    for name, o in ALL_OPS.items():
        for k, s in enumerate(o.samples() if o.samples else ()):
            yield pytest.param(o, s, id=f"{name}-{k}")


@pytest.mark.parametrize(("o", "sample"), list(_cases()))
def test_operator_survives_text(o: OpDef, sample: Sample) -> None:
    module = module_of_sample(o, sample)
    text = print_module(module)
    again = parse_module(text)
    assert structural_equal(module, again), text
    assert print_module(again) == text


@pytest.mark.peer
@pytest.mark.parametrize("name", [n for n, o in ALL_OPS.items() if o.samples])
def test_tvm_reads_every_operator(name: str) -> None:
    tvm = pytest.importorskip("tvm", reason="TVM is not installed")
    if name not in (*R_DOES_NOT_EXPORT, *NEEDS_DEVICES):
        _judge(tvm, name)


def _judge(tvm: Any, name: str) -> None:
    o = ALL_OPS[name]
    assert o.samples is not None
    module = module_of_sample(o, o.samples()[0])
    theirs = tvm.script.from_source(print_module(module))
    if name in TVM_PRINTS_OTHERWISE:
        return
    text = theirs.script(show_meta=True, extra_config={"relax.use_pep695": False})
    again = parse_module(text).relax_function()
    ours = module.relax_function()
    assert [p.type for p in again.params] == [p.type for p in ours.params]
    assert fits(again.ret_type, ours.ret_type) is not Proof.NO
