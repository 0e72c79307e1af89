"""Comparison of an imported model with onnxruntime, through the NumPy interpreter."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

import eqsat
from eqsat.ir import Function, IRModule, TensorType, TupleType, interpret
from eqsat.ir.frontend import from_onnx
from eqsat.shapes import evaluate

Arrays = Mapping[str, NDArray[np.generic]]


def onnxruntime_outputs(model: onnx.ModelProto, inputs: Arrays) -> list[NDArray[np.generic]]:
    """Return what onnxruntime computes, without its optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, dict(inputs))


def interpreted(module: IRModule, inputs: Arrays) -> list[NDArray[np.generic]]:
    """Return the results of `main`, one array per ONNX output."""
    main = module.relax_function("main")
    result = interpret(module, *(inputs[p.name] for p in main.params))
    return list(result) if isinstance(result, (tuple, list)) else [result]


def result_types(main: Function) -> Sequence[TensorType]:
    """Return the tensor types of the results."""
    types = main.ret_type.fields if isinstance(main.ret_type, TupleType) else (main.ret_type,)
    assert all(isinstance(t, TensorType) for t in types)
    return types  # type: ignore[return-value]


def check_agrees(
    model: onnx.ModelProto,
    inputs: Arrays,
    *,
    tolerance: float = 1e-5,
    dims: Mapping[str, int] | None = None,
    module: IRModule | None = None,
) -> IRModule:
    """Import `model` and compare dtypes, shapes (inferred ones as well) and values.

    `dims` are the sizes of the symbols, by the names of the imported module.
    """
    module = module or from_onnx(model)
    expected = onnxruntime_outputs(model, inputs)
    results = interpreted(module, inputs)
    types = result_types(module.relax_function("main"))
    assert len(results) == len(expected) == len(types)
    for got, want, ty in zip(results, expected, types, strict=True):
        got = np.asarray(got)
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        assert tuple(evaluate(d, dict(dims or {})) for d in ty.dims) == want.shape
        assert ty.dtype == got.dtype.name
        scale = max(1.0, float(np.max(np.abs(want), initial=0))) if want.dtype.kind == "f" else 1.0
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)
    return module


def check_native(
    model: onnx.ModelProto, inputs: Sequence[Arrays], *, tolerance: float = 1e-4
) -> eqsat.OptimizeResult:
    """Optimize and compile `model` once, run it on all `inputs`, compare with onnxruntime."""
    result = eqsat.optimize(from_onnx(model))
    executable = eqsat.compile(result, cache=False)
    for arrays in inputs:
        outputs = executable(**arrays)
        shapes = {name: a.shape for name, a in arrays.items()}
        given = outputs if isinstance(outputs, tuple) else (outputs,)
        for got, want in zip(given, onnxruntime_outputs(model, arrays), strict=True):
            assert got.shape == want.shape, shapes
            assert got.dtype == want.dtype, shapes
            if want.dtype.kind != "f":
                np.testing.assert_array_equal(got, want, str(shapes))
                continue
            scale = float(np.max(np.abs(want), initial=0))
            np.testing.assert_allclose(
                got, want, rtol=0, atol=tolerance * scale, err_msg=str(shapes)
            )
    return result
