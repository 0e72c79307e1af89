"""The programs of the corpus run in TVM's virtual machine, to the numbers of our interpreter."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import eqsat
from eqsat.ir import (
    Function,
    IRModule,
    ObjectType,
    PrimFunc,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
    parse_module,
    print_module,
)
from eqsat.ir._interpret_tir import run_primfunc
from eqsat.ir.tir import Buffer
from eqsat.shapes import evaluate, is_bool, is_float, numpy_dtype
from tests.backends.conftest import dim_of
from tests.ir.test_corpus import ACCEPTED
from tests.test_control_flow_peer import from_tvm, to_tvm

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(importlib.util.find_spec("tvm") is None, reason="TVM is not installed"),
]

NUM_RUN = 105
NOT_RUN = {
    "arguments_of_packed_calls": "calls external functions that nobody defines",
    "attributes_of_packed_calls": "calls external functions that nobody defines",
    "bound_threads": "threads of a GPU, on a CPU",
    "call_tir_forms": "TVM's virtual machine has no call_tir_with_grad",
    "distributed_layers": "a mesh of devices, which one machine has not",
    "evaluate_and_calls": "calls external functions that nobody defines",
    "conditions_over_sizes_of_old": "calls external functions that nobody defines",
    "devices_by_name": "TVM's virtual machine has no hint_on_device",
    "explicit_root": "the second loop reads elements that the first one leaves unwritten",
    "external_functions_by_struct_info": "calls external functions that nobody defines",
    "extern_called": "TVM does not take an external function for one of the module, `cls.typed`",
    "float8_and_others": "TVM packs two int4 in a byte, a NumPy array holds one",
    "func_type_is_inferred": "a parameter is a function, which is no argument from Python",
    "host_functions": "calls a Python function that the text does not carry to TVM's machine",
    "lowered_to_the_virtual_machine": "memory of TVM's virtual machine",
    "impure_calls": "calls external functions that nobody defines",
    "impure_calls_new_words": "calls external functions that nobody defines",
    "launch_threads": "threads of a GPU, on a CPU",
    "launch_threads_as_scopes": "threads of a GPU, on a CPU",
    "loop_kinds": "threads of a GPU, on a CPU",
    "match_cast_all": "one object is cast to a tensor, a tuple and a function: none is all three",
    "module_and_function_arguments": "TVM's virtual machine fails where a callee returns `()`",
    "packed_calls_with_numbers": "calls external functions that nobody defines",
    "names_of_addresses": "calls external functions that nobody defines",
    "names_of_pointers": "calls external functions that nobody defines",
    "packed_arrays": "calls external functions that nobody defines",
    "pointers_in_blocks": "calls external functions that nobody defines",
    "pointers_of_buffers": "calls external functions that nobody defines",
    "pointers_in_calls": "calls external functions that nobody defines",
    "printed_objects": "R.render_object is not in TVM's script namespace",
    "rank_unknown_and_callables": "a parameter is a function, which is no argument from Python",
    "render": "TVM looks a Python function up in a Python module, which a text has not",
    "scalars_that_are_sizes": "calls external functions that nobody defines",
    "shape_variables": "TVM cannot lower `zeros` of a shape of unknown sizes",
    "threads_of_the_environment": "threads of a GPU, on a CPU",
    "types_of_values": "calls external functions that nobody defines",
    "types_all": "a parameter is a function, which is no argument from Python",
    "types_new": "TVM packs two int4 in a byte, a NumPy array holds one",
    "values_of_scalars_in_types": "TVM takes no scalar parameter after a size of its name",
}
EXTERNS = ("extern_func", "extern_dps_func")
"""External functions of the corpus; both sides let them double their operand."""

SIZE = 4  # of every symbol


class _Sizes(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return SIZE


def _array(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Any:
    if is_bool(dtype):
        return rng.integers(0, 2, shape).astype(bool)
    if is_float(dtype):
        return np.asarray(rng.uniform(0.5, 2, shape)).astype(numpy_dtype(dtype))
    return np.asarray(rng.integers(0, 5, shape)).astype(numpy_dtype(dtype))


def _value(ty: Type, rng: np.random.Generator) -> Any:
    """Return a value of a type; where the type leaves it open, a matrix."""
    match ty:
        case TensorType():
            open_shape = (SIZE,) * (2 if ty.ndim < 0 else ty.ndim)
            unknown = isinstance(ty.shape, UnknownShape)
            shape = open_shape if unknown else tuple(evaluate(d, _Sizes()) for d in ty.dims)
            return _array(shape, "float32" if ty.dtype == "void" else ty.dtype, rng)
        case ShapeType():
            if isinstance(ty.dims, UnknownShape):
                return (SIZE,) * (2 if ty.ndim < 0 else ty.ndim)
            return tuple(evaluate(d, _Sizes()) for d in ty.dims)
        case TupleType():
            return tuple(_value(f, rng) for f in ty.fields)
        case PrimType():
            return {"bool": True}.get(ty.dtype, 2.0 if is_float(ty.dtype) else 3)
        case ObjectType():
            return _array((SIZE, SIZE), "float32", rng)
        case _:
            raise AssertionError(f"no value of {ty}")


def _entry(module: IRModule) -> str:
    names = [n for n, f in module.functions.items() if isinstance(f, Function)]
    return next((n for n in ("main", "foo") if n in names), names[0])


def _same(ours: Any, theirs: Any) -> None:
    if isinstance(ours, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            _same(a, b)
    elif isinstance(ours, np.ndarray):
        theirs = np.asarray(theirs)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(theirs.astype(np.float64), ours.astype(np.float64), 1e-5, 1e-6)
    else:
        assert ours == theirs


def _in_tvm(module: IRModule) -> Any:
    import tvm

    theirs = tvm.script.from_source(print_module(module), check_well_formed=False)
    if isinstance(theirs, tvm.IRModule):
        return theirs
    return tvm.IRModule({next(iter(module.functions)): theirs})


def _run_relax(module: IRModule) -> None:
    import tvm
    from tvm import relax

    name, rng = _entry(module), np.random.default_rng(0)
    function = module.functions[name]
    assert isinstance(function, Function)
    args = [_value(p.type, rng) for p in function.params]
    ours = eqsat.interpret(module, *args, function=name, externs=dict.fromkeys(EXTERNS, _double))
    for extern in EXTERNS:
        tvm.register_global_func(extern, _double_in_tvm, override=True)
    lifted = relax.transform.LambdaLift()(_in_tvm(module))
    machine = relax.VirtualMachine(tvm.compile(lifted, target="llvm"), tvm.cpu())
    called = machine[str(function.attrs.get("global_symbol", name))]
    _same(ours, from_tvm(called(*map(to_tvm, args))))


def _double(x: Any) -> Any:
    return x + x


def _double_in_tvm(x: Any, out: Any) -> None:
    out.copyfrom(_double(x.numpy()))


def _run_primfunc(name: str, function: PrimFunc) -> None:
    import tvm

    rng = np.random.default_rng(0)
    args: list[Any] = []
    for p in function.params:
        if isinstance(p, Buffer):
            args.append(_array(_extents(p), p.dtype, rng))
        else:
            args.append(2.0 if is_float(p.dtype) else 3)
    ours = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    run_primfunc(function, ours)
    (theirs,) = _in_tvm(IRModule({name: function})).functions.values()
    public = tvm.IRModule({name: theirs.with_attr("global_symbol", name)})
    given = [to_tvm(a) for a in args]
    tvm.compile(public, target="llvm")[name](*given)
    _same(ours, [from_tvm(g) for g in given])


def _extents(buffer: Buffer) -> tuple[int, ...]:
    return tuple(evaluate(dim_of(d), _Sizes()) for d in buffer.shape)


@pytest.mark.parametrize("name", sorted(set(ACCEPTED) - set(NOT_RUN)))
def test_tvm_computes_what_we_interpret(name: str) -> None:
    module = parse_module(ACCEPTED[name][1])
    if any(isinstance(f, Function) for f in module.functions.values()):
        _run_relax(module)
        return
    for function_name, function in module.functions.items():
        assert isinstance(function, PrimFunc)
        _run_primfunc(function_name, function)


def test_every_other_program_is_accounted_for() -> None:
    assert set(NOT_RUN) <= set(ACCEPTED)
    assert len(ACCEPTED) - len(NOT_RUN) == NUM_RUN
