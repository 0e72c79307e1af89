"""Every ONNX operator that is imported, against onnxruntime, by a table of single-node models."""

# ruff: noqa: E501  # one case, one line: the table is read as one

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.models._agree import check_agrees

F32, F64, I64, I32, BOOL = "float32", "float64", "int64", "int32", "bool"


@dataclass(frozen=True)
class Case:
    """One node.

    `inputs`: a shape is random float32 data, `(dtype, shape)` random data of that dtype, an array a
    constant, None an absent input. A size that is a string is symbolic, with the value that `dims`
    says, else 3.
    """

    op: str
    inputs: Sequence[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    low: float = -2.0
    high: float = 2.0
    dims: Mapping[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        shapes = "-".join("c" if isinstance(i, np.ndarray) else str(i) for i in self.inputs)
        attrs = ",".join(f"{k}={v}" for k, v in self.attrs.items())
        return f"{self.op}{self.opset}({shapes};{attrs})"[:110].replace(" ", "")


def c(*values: Any, dtype: str = I64) -> NDArray[Any]:
    """A constant vector."""
    return np.asarray(values, dtype)


def s(value: Any, dtype: str = F32) -> NDArray[Any]:
    """A constant scalar."""
    return np.asarray(value, dtype)


def _random(shape: Sequence[int], dtype: str, case: Case, rng: np.random.Generator) -> NDArray[Any]:
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind in "iu":
        return rng.integers(int(case.low), int(case.high), shape).astype(dtype)
    return rng.uniform(case.low, case.high, shape).astype(dtype)


def build(case: Case) -> tuple[onnx.ModelProto, dict[str, NDArray[Any]], dict[str, int]]:
    """Return the model, inputs and the sizes of its symbols."""
    rng = np.random.default_rng(0)
    names, infos, initializers, data, sizes = [], [], [], {}, {}
    for i, spec in enumerate(case.inputs):
        if spec is None:
            names.append("")
            continue
        name = f"x{i}"
        names.append(name)
        if isinstance(spec, np.ndarray):
            initializers.append(numpy_helper.from_array(spec, name))
            continue
        dtype, shape = (
            spec if spec and spec[0] in (F32, F64, I64, I32, BOOL, "uint8") else (F32, spec)
        )
        sizes |= {d: case.dims.get(d, 3) for d in shape if isinstance(d, str)}
        concrete = [sizes.get(d, d) for d in shape]
        data[name] = _random(concrete, dtype, case, rng)
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        infos.append(helper.make_tensor_value_info(name, kind, list(shape)))
    outputs = [f"y{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, names, outputs, **case.attrs)
    opset = [helper.make_opsetid("", case.opset)]
    graph = helper.make_graph(
        [node], "one", infos, [onnx.ValueInfoProto(name=o) for o in outputs], initializers
    )
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for value in inferred.graph.output:  # shapes are for the importer to find
        value.type.tensor_type.ClearField("shape")
        if not value.type.tensor_type.elem_type:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    return inferred, data, sizes


def unary(*ops: str, low: float = -2.0, high: float = 2.0, opset: int = 17) -> list[Case]:
    return [
        Case(op, [shape], opset=opset, low=low, high=high)
        for op in ops
        for shape in ((2, 3), ("n", 4))
    ]


IMG = (1, 4, 7, 8)
POINTWISE = [
    *unary("Abs", "Asinh", "Atan", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "Relu", "Round"),
    *unary("Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Tan", "Tanh", "Neg", "Identity", "Softsign"),
    *unary("Acos", "Asin", "Atanh", low=-0.9, high=0.9),
    *unary("Log", "Sqrt", "Acosh", "Reciprocal", low=1.0, high=9.0),
    *unary("Elu", "Selu", "LeakyRelu", "HardSigmoid", "HardSwish", "ThresholdedRelu", "Celu"),
    *unary("Mish", opset=18),
    *unary("Gelu", opset=20),
    Case("Round", [c(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, dtype=F32)]),
    Case("Neg", [(I64, (3,))]),
    Case("Abs", [(I32, (3,))]),
    Case("Sign", [(I32, (3,))]),
    Case("IsNaN", [(2, 3)]),
    Case("IsInf", [c(np.inf, -np.inf, 1, np.nan, dtype=F32)]),
    Case("IsInf", [c(np.inf, -np.inf, 1, np.nan, dtype=F32)], {"detect_negative": 0}),
    Case("Not", [(BOOL, (2, 3))]),
    Case("BitwiseNot", [(I32, (4,))], opset=18),
    Case("Selu", [(2, 3)], {"alpha": 2.0, "gamma": 3.0}),
    Case("Elu", [(2, 3)], {"alpha": 0.3}),
    Case("Celu", [(2, 3)], {"alpha": 2.0}),
    Case("LeakyRelu", [(2, 3)], {"alpha": 0.3}),
    Case("HardSigmoid", [(2, 3)], {"alpha": 0.4, "beta": 0.6}),
    Case("Gelu", [(2, 3)], {"approximate": "tanh"}, opset=20),
    Case("ThresholdedRelu", [(2, 3)], {"alpha": 0.5}),
    Case("Shrink", [(2, 3)], {"lambd": 0.5, "bias": 0.2}),
    Case("PRelu", [(2, 3, 4), (3, 1)]),
    Case("PRelu", [(2, 3, 4), c(0.25, dtype=F32)]),
    Case("Clip", [(2, 3), s(-0.5), s(0.5)]),
    Case("Clip", [(2, 3), None, s(0.5)]),
    Case("Clip", [(2, 3), s(0.0)]),
    Case("Clip", [("n", 3), (), ()]),
    Case("Clip", [(I64, (5,)), s(-1, I64), s(1, I64)]),
    Case("Clip", [(2, 3)], {"min": -0.5, "max": 0.5}, opset=9),
    Case("Clip", [(2, 3)], {"max": 0.5}, opset=9),
    Case("Clip", [(2, 3)], opset=9),
    *(Case(op, [("n", 3, 4), (3, 1)]) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    *(Case(op, [(I64, (4, 1)), (I64, (3,))]) for op in ("Add", "Sub", "Mul", "Max", "Min")),
    Case("Div", [(I64, (8,)), s(3, I64)], low=-9, high=9),
    Case("Div", [(I32, (8,)), s(-2, I32)], low=-9, high=9),
    Case("Mod", [(I64, (8,)), s(3, I64)], low=-9, high=9),
    Case("Mod", [(I64, (8,)), s(-3, I64)], low=-9, high=9),
    Case("Mod", [(I64, (8,)), s(-3, I64)], {"fmod": 1}, low=-9, high=9),
    Case("Mod", [(8,), s(1.5)], {"fmod": 1}, low=-9, high=9),
    Case("Pow", [(2, 3), (3,)], low=0.1),
    Case("Pow", [(2, 3), s(2, I64)]),
    Case("Pow", [(I64, (2, 3)), s(2.0)], low=0, high=9),
    Case("Pow", [(I64, (2, 3)), s(3, I32)], low=0, high=9),
    Case("Sum", [(2, 3), (3,), (2, 1)]),
    Case("Mean", [(2, 3), (3,), (2, 1)]),
    Case("Max", [(2, 3), (3,), (2, 1)]),
    Case("Min", [(2, 3)]),
    *(Case(op, [("n", 3), (3,)]) for op in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual")),
    Case("Equal", [(I64, (4, 3)), (I64, (3,))]),
    *(Case(op, [(BOOL, (4, 3)), (BOOL, (3,))]) for op in ("And", "Or", "Xor")),
    *(Case(op, [(I32, (4,)), (I32, (4,))], opset=18, low=0, high=9)
      for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    Case("BitShift", [("uint8", (4,)), c(1, 2, 0, 3, dtype="uint8")], {"direction": "LEFT"}, low=0, high=9),
    Case("BitShift", [("uint8", (4,)), c(1, 2, 0, 3, dtype="uint8")], {"direction": "RIGHT"}, low=0, high=99),
    Case("Where", [(BOOL, (2, 1)), ("n", 2, 3), (3,)]),
    Case("Cast", [(2, 3)], {"to": onnx.TensorProto.INT64}),
    Case("Cast", [(I64, ("n",))], {"to": onnx.TensorProto.FLOAT}),
    Case("Cast", [(2, 3)], {"to": onnx.TensorProto.BOOL}),
    Case("Cast", [(BOOL, (3,))], {"to": onnx.TensorProto.INT32}),
    Case("Cast", [(2, 3)], {"to": onnx.TensorProto.FLOAT16}),
    Case("CastLike", [(2, 3), (I64, (1,))], opset=19),
    Case("Dropout", [(2, 3)]),
    Case("Dropout", [(2, "n")], outputs=2),
    Case("Dropout", [(2, 3)], {"ratio": 0.5}, opset=10),
]  # fmt: skip

SHAPES = [
    Case("Shape", [("n", 4)]),
    Case("Shape", [("n", 4, 5)], {"start": 1}),
    Case("Shape", [("n", 4, 5)], {"start": -2, "end": -1}),
    Case("Size", [("n", 4)]),
    Case("Reshape", [(2, 3, 4), c(0, -1)]),
    Case("Reshape", [("n", 3, 4), c(0, 2, -1)]),
    Case("Reshape", [("n", 3, 4), c(-1)]),
    Case("Reshape", [("n", "m", 4), c(0, 0, 2, 2)]),
    Case("Reshape", [(0, 3), c(3, 0)], {"allowzero": 1}),
    Case("Flatten", [("n", 3, 4)]),
    Case("Flatten", [("n", 3, 4)], {"axis": -1}),
    Case("Flatten", [(2, 3)], {"axis": 0}),
    Case("Flatten", [(2, 3)], {"axis": 2}),
    Case("Transpose", [("n", 3, 4)]),
    Case("Transpose", [("n", 3, 4)], {"perm": [1, 2, 0]}),
    Case("Squeeze", [(1, 3, 1), c(0)]),
    Case("Squeeze", [(1, 3, 1), c(-1)]),
    Case("Squeeze", [(1, 3, 1)]),
    Case("Squeeze", [(1, 3, 1)], {"axes": [0, -1]}, opset=11),
    Case("Unsqueeze", [("n", 3), c(0, -1)]),
    Case("Unsqueeze", [("n", 3), c(2, 0)]),
    Case("Unsqueeze", [("n", 3)], {"axes": [1]}, opset=11),
    Case("Concat", [("n", 3), ("m", 3), (2, 3)], {"axis": 0}, dims={"m": 5}),
    Case("Concat", [(2, 3), (2, 1)], {"axis": -1}),
    Case("Split", [("n", 6)], {"axis": 1}, outputs=3),
    Case("Split", [(7, 2)], {"num_outputs": 3}, opset=18, outputs=3),
    Case("Split", [(2, 7), c(3, 4)], {"axis": -1}, outputs=2),
    Case("Split", [(2, 7)], {"axis": 1, "split": [2, 5]}, opset=11, outputs=2),
    Case("Split", [(2, 7), c(7)], {"axis": 1}, outputs=1),
    Case("Slice", [("n", 6), c(1), c(5), c(1), c(2)]),
    Case("Slice", [("n", 6), c(1), c(2**62)], dims={"n": 4}),
    Case("Slice", [("n", 6), c(0), c(-1), c(-2)]),
    Case("Slice", [("n", 6), c(-1), c(-(2**62)), c(1), c(-1)]),
    Case("Slice", [("n", 6), c(-2), c(2**31 - 1), c(0)]),
    Case("Slice", [(5, 6), c(4, 1), c(0, 3), c(0, 1), c(-2, 1)]),
    Case("Slice", [(5, 6), c(9), c(12)]),
    Case("Slice", [(5, 6), c(0, 1), c(3, -1), None, c(2, 1)]),
    Case("Slice", [(5, 6)], {"starts": [1], "ends": [1000], "axes": [-1]}, opset=9),
    Case("Slice", [(5, 6)], {"starts": [1, 0], "ends": [4, -2]}, opset=9),
    Case("Expand", [(3, 1), c(2, 1, 4)]),
    Case("Expand", [("n", 1), c(1, 4)]),
    Case("Tile", [("n", 3), c(2, 1)]),
    Case("Tile", [(2, 3), c(1, 3)]),
    Case("Gather", [(5, "n"), (I64, (2, 3))], low=0, high=5),
    Case("Gather", [(5, 4), c(-1, 0)], {"axis": 1}),
    Case("Gather", [("n", 4), (I32, (3,))], {"axis": -1}, low=-4, high=4),
    Case("Gather", [("n", 4), s(-1, I64)], {"axis": 0}),
    Case("GatherElements", [(3, 4), (I64, (3, 2))], {"axis": 1}, low=-4, high=4),
    Case("GatherND", [(2, 3, 4), c([0, 1], [1, 2])]),
    Case("GatherND", [(2, 3, 4), c([1], [0])], {"batch_dims": 1}),
    Case("GatherND", [("n", 3, 4), c([-1, -1])]),
    Case("ScatterElements", [(3, 4), c([0, -1], [2, 1]), (2, 2)], {"axis": 1}),
    Case("ScatterElements", [(3, 4), c([0, 1], [2, 0]), (2, 2)], {"reduction": "add"}, opset=18),
    Case("ScatterElements", [(3, 4), c([0, 1], [2, 0]), (2, 2)], {"reduction": "max"}, opset=18),
    Case("ScatterND", [(4, 3), c([0], [2]), (2, 3)]),
    Case("ScatterND", [(4, 3), c([0, 1], [-1, 2]), (2,)], {"reduction": "mul"}, opset=18),
    Case("Trilu", [(4, 4)]),
    Case("Trilu", [("n", 2, 4), s(-1, I64)], {"upper": 0}),
    Case("Trilu", [(3, 4), s(1, I64)], {"upper": 1}),
    Case("OneHot", [(I64, (2, 3)), s(4, I64), c(0, 1, dtype=F32)], low=0, high=4),
    Case("OneHot", [(I64, (2, 3)), c(4), c(2, 5)], {"axis": 0}, low=0, high=4),
    Case("OneHot", [c(-1, 3), s(4, I64), c(0, 1, dtype=F32)]),
    Case("EyeLike", [(3, 4)], {"k": 1}),
    Case("EyeLike", [(I32, ("n", 4))], {"dtype": 1}),
    Case("ConstantOfShape", [c(2, 3)]),
    Case("ConstantOfShape", [c(100, 100)], {"value": numpy_helper.from_array(c(7))}),
    Case("ConstantOfShape", [np.zeros(0, np.int64)], {"value": numpy_helper.from_array(c(7, dtype=F32))}),
    Case("Range", [s(2, I64), s(9, I64), s(3, I64)]),
    Case("Range", [s(9, I64), s(2, I64), s(-3, I64)]),
    Case("Range", [s(0.0), s(1.0), s(0.1)]),
    Case("Range", [s(0, I64), s(5000, I64), s(1, I64)]),
    Case("Range", [s(3, I32), s(3, I32), s(1, I32)]),
    Case("Pad", [("n", 3), c(1, 0, 2, 1)]),
    Case("Pad", [(2, 3), c(1, 0, 0, 1), s(1.5)]),
    Case("Pad", [(2, 5), c(0, -1, 0, -2)]),
    Case("Pad", [(2, 5), c(1, -1, 0, 2)]),
    Case("Pad", [(4, 5), c(2, 1, 1, 3)], {"mode": "reflect"}),
    Case("Pad", [(4, 5), c(2, 1, 1, 3)], {"mode": "edge"}),
    Case("Pad", [(4, 5), c(2, 1, 1, 3)], {"mode": "wrap"}, opset=19),
    Case("Pad", [(4, 5, 6), c(1, 2), None, c(-1)], opset=18),
    Case("Pad", [(2, 3)], {"pads": [1, 0, 0, 1], "value": 2.0}, opset=9),
    Case("DepthToSpace", [("n", 8, 2, 3)], {"blocksize": 2}),
    Case("DepthToSpace", [(1, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", [("n", 2, 4, 6)], {"blocksize": 2}),
]  # fmt: skip

REDUCTIONS = [
    *(Case(f"Reduce{r}", [("n", 3, 4)], {"axes": [-1], "keepdims": 0}, opset=11, low=0.5)
      for r in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum")),
    *(Case(f"Reduce{r}", [(2, 3, 4)], {"axes": [0, 2]}, opset=13, low=0.5)
      for r in ("Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")),
    *(Case(f"Reduce{r}", [("n", 3, 4), c(1)], {"keepdims": 0}, opset=18, low=0.5)
      for r in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")),
    Case("ReduceSum", [(2, 3)]),
    Case("ReduceSum", [(2, 3)], {"keepdims": 0}),
    Case("ReduceSum", [(2, 3)], {"noop_with_empty_axes": 1}),
    Case("ReduceSum", [(2, 3), np.zeros(0, np.int64)], {"noop_with_empty_axes": 1}),
    Case("ReduceSum", [(2, 3), np.zeros(0, np.int64)]),
    Case("ReduceSum", [(I64, (2, 3)), c(0)]),
    Case("ReduceL2", [(2, 3), np.zeros(0, np.int64)], {"noop_with_empty_axes": 1}, opset=18),
    Case("ReduceProd", [(I64, (2, 3))], {"axes": [1]}, opset=13),
    Case("ReduceMax", [(I64, (2, 3))], {"axes": [1]}, opset=13),
    Case("ReduceMean", [(I32, (2, 3))], {"axes": [1]}, opset=13, low=0, high=99),
    Case("ArgMax", [("n", 4)], {"axis": 1}),
    Case("ArgMax", [(3, 4)], {"axis": -1, "keepdims": 0}),
    Case("ArgMin", [(3, 4)]),
    Case("CumSum", [("n", 4), s(1, I64)]),
    Case("CumSum", [(3, 4), s(-1, I32)], {"exclusive": 1}),
    Case("CumSum", [(3, 4), s(0, I64)], {"reverse": 1}),
    Case("CumSum", [(3, 4), c(0)], {"reverse": 1, "exclusive": 1}),
    Case("TopK", [("n", 5), c(2)], outputs=2),
    Case("TopK", [(4, 5), c(3)], {"axis": 0, "largest": 0}, outputs=2),
    Case("Softmax", [("n", 3, 4)]),
    Case("Softmax", [(2, 3, 4)], {"axis": 1}),
    Case("Softmax", [(2, 3, 4)], opset=11),
    Case("Softmax", [("n", 3, 4)], {"axis": 2}, opset=9),
    Case("LogSoftmax", [(2, 3, 4)]),
    Case("LogSoftmax", [(2, 3, 4)], {"axis": 0}, opset=11),
    Case("LayerNormalization", [("n", 3, 4), (4,), (4,)]),
    Case("LayerNormalization", [(2, 3, 4), (3, 4), (3, 4)], {"axis": 1, "epsilon": 1e-3}),
    Case("LayerNormalization", [("n", 4), (4,)], {"axis": -1}),
    Case("RMSNormalization", [("n", 3, 4), (4,)], opset=23),
    Case("BatchNormalization", [("n", 3, 4), (3,), (3,), (3,), (3,)], {"epsilon": 1e-2}, low=0.1),
    Case("BatchNormalization", [(2, 3, 4, 5), (3,), (3,), (3,), (3,)], opset=9, low=0.1),
    Case("BatchNormalization", [(2, 3), (3,), (3,), (3,), (3,)], opset=14, low=0.1),
    Case("InstanceNormalization", [("n", 3, 4, 5), (3,), (3,)]),
    Case("InstanceNormalization", [(2, 3, 4), (3,), (3,)], {"epsilon": 1e-2}),
    Case("GroupNormalization", [("n", 4, 3), (4,), (4,)], {"num_groups": 2}, opset=21),
    Case("MeanVarianceNormalization", [(2, 3, 4, 5)]),
    Case("LRN", [("n", 5, 3, 4)], {"size": 3}),
    Case("LRN", [(1, 5, 3, 2)], {"size": 5, "alpha": 0.1, "beta": 0.5, "bias": 2.0}),
    Case("LpNormalization", [(3, 4)], {"axis": 1}, opset=22),
]  # fmt: skip

PRODUCTS = [
    Case("MatMul", [("n", 3), (3, 4)]),
    Case("MatMul", [("b", "n", 3), (3, 4)]),
    Case("MatMul", [(2, 1, 4, 3), (5, 3, 2)]),
    Case("MatMul", [(3,), (3, 4)]),
    Case("MatMul", [(2, 4, 3), (3,)]),
    Case("MatMul", [(3,), (3,)]),
    Case("MatMul", [("n", "k"), ("k", 4)]),
    Case("MatMul", [("n", "k"), ("j", 4)]),
    Case("Gemm", [("n", 3), (3, 4), (4,)]),
    Case("Gemm", [(3, "n"), (4, 3)], {"transA": 1, "transB": 1, "alpha": 0.5}),
    Case("Gemm", [(2, 3), (3, 4), (2, 1)], {"alpha": 0.5, "beta": 2.0}),
    Case("Gemm", [(2, 3), (3, 4), ()], {"beta": 0.5}),
    Case("Einsum", [("n", 3, 4), (4, 5)], {"equation": "bij, jk -> bik"}),
    Case("Conv", [("n", 4, 9), (6, 4, 3), (6,)], {"pads": [1, 1], "strides": [2]}),
    Case("Conv", [IMG, (6, 4, 3, 3)]),
    Case("Conv", [("n", 4, "h", "w"), (6, 4, 3, 3), (6,)], {"pads": [1, 1, 1, 1]}, dims={"h": 5, "w": 6}),
    Case("Conv", [IMG, (6, 4, 3, 2)], {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    Case("Conv", [IMG, (6, 2, 3, 3)], {"group": 2, "dilations": [2, 1]}),
    Case("Conv", [IMG, (4, 1, 3, 3), (4,)], {"group": 4, "kernel_shape": [3, 3]}),
    Case("Conv", [IMG, (6, 4, 3, 2)], {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    Case("Conv", [IMG, (6, 4, 2, 4)], {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
    Case("Conv", [IMG, (6, 4, 3, 2)], {"auto_pad": "VALID"}),
    Case("Conv", [("n", 4, "h", 8), (6, 4, 3, 2)], {"auto_pad": "SAME_UPPER"}, dims={"h": 6}),
    Case("Conv", [(1, 2, 4, 5, 6), (3, 2, 2, 3, 2), (3,)], {"pads": [1, 0, 1, 0, 1, 0]}),
    Case("ConvTranspose", [("n", 4, 5), (4, 3, 3), (3,)], {"strides": [2], "output_padding": [1]}),
    Case("ConvTranspose", [IMG, (4, 3, 3, 3)], {"pads": [1, 0, 0, 1], "strides": [2, 1]}),
    Case("ConvTranspose", [IMG, (4, 2, 3, 3), (4,)], {"group": 2, "dilations": [1, 2]}),
    Case("ConvTranspose", [IMG, (4, 3, 3, 3)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("ConvTranspose", [IMG, (4, 3, 4, 3)], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case("ConvTranspose", [IMG, (4, 3, 3, 3)], {"output_shape": [14, 16], "strides": [2, 2]}),
    Case("MaxPool", [("n", 4, 9)], {"kernel_shape": [3], "strides": [2]}),
    Case("MaxPool", [IMG], {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 2]}),
    Case("MaxPool", [IMG], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    Case("MaxPool", [IMG], {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    Case("MaxPool", [IMG], {"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("MaxPool", [IMG], {"kernel_shape": [2, 3], "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    Case("MaxPool", [("n", 2, "h", "w")], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
         dims={"h": 6, "w": 7}),
    Case("MaxPool", [(1, 2, 4, 5, 6)], {"kernel_shape": [2, 2, 2]}),
    Case("AveragePool", [("n", 4, 9)], {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}),
    Case("AveragePool", [IMG], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    Case("AveragePool", [IMG], {"kernel_shape": [3, 3], "pads": [1, 0, 1, 0], "strides": [2, 3]}),
    Case("AveragePool", [IMG], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    Case("AveragePool", [IMG], {"kernel_shape": [2, 3], "pads": [1, 1, 0, 1], "strides": [2, 2],
                                "ceil_mode": 1, "count_include_pad": 1}, opset=19),
    Case("AveragePool", [IMG], {"kernel_shape": [2, 2], "dilations": [2, 1]}, opset=19),
    Case("AveragePool", [IMG], {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("GlobalAveragePool", [("n", 3, 4, 5)]),
    Case("GlobalMaxPool", [(2, 3, 4)]),
]  # fmt: skip

QKV = [("n", 2, "s", 4), ("n", 2, "t", 4), ("n", 2, "t", 4)]
COMPOSED = [
    Case("Attention", QKV, opset=23, dims={"s": 5, "t": 7}),
    Case("Attention", [(1, 2, 5, 4), (1, 2, 7, 4), (1, 2, 7, 4)], {"is_causal": 1}, opset=23),
    Case("Attention", [(1, 4, 5, 4), (1, 2, 7, 4), (1, 2, 7, 4), (5, 7)], opset=23),
    Case("Attention", [("n", 5, 8), ("n", 7, 8), ("n", 7, 8)],
         {"q_num_heads": 2, "kv_num_heads": 2}, opset=23),
    Case("RotaryEmbedding", [("n", 2, "s", 4), ("n", "s", 2), ("n", "s", 2)], opset=23),
    Case("Swish", [(2, 3)], opset=24),
    Case("BlackmanWindow", [s(8, I64)]),
    Case("CenterCropPad", [(5, 6), c(3, 4)], opset=18),
    Case("SoftmaxCrossEntropyLoss", [(3, 4), c(1, 2, 0)]),
    Case("DynamicQuantizeLinear", [(2, 3)], outputs=3),
    Case("QuantizeLinear", [("n", 3), s(0.1), s(3, "uint8")]),
    Case("QuantizeLinear", [(2, 3), s(0.01), s(-3, "int8")]),
    Case("QuantizeLinear", [(2, 3), s(0.1)]),
    Case("QuantizeLinear", [(4,), c(0.1, dtype=F32), c(1, dtype="uint8")]),
    Case("QuantizeLinear", [(2, 3), c(0.1, 0.2, 0.3, dtype=F32), c(1, 2, 3, dtype="int8")]),
    Case("DequantizeLinear", [("uint8", ("n", 3)), s(0.1), s(3, "uint8")], low=0, high=255),
    Case("DequantizeLinear", [(I32, (2, 3)), s(0.1)], low=-99, high=99),
    Case("DequantizeLinear", [("uint8", (2, 3)), c(0.1, 0.2, dtype=F32), c(1, 2, dtype="uint8")],
         {"axis": 0}, low=0, high=255),
]  # fmt: skip

_NO = np.zeros(0, np.float32)
RESIZE = [
    Case("Resize", [(1, 2, 3, 4), None, None, c(1, 2, 6, 8)], {"mode": mode})
    for mode in ("nearest", "linear", "cubic")
] + [
    Case("Resize", [("n", 2, "h", "w"), _NO, c(1, 1, 2, 2, dtype=F32)], {"mode": "nearest"}),
    Case("Resize", [(1, 2, 3, 4), _NO, c(1, 1, 2, 3, dtype=F32)],
         {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    Case("Resize", [(1, 2, 5, 4), _NO, c(1, 1, 0.6, 0.5, dtype=F32)], {"mode": "linear"}),
    Case("Resize", [(1, 2, 5, 4), None, None, c(1, 2, 3, 7)],
         {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    Case("Resize", [(1, 2, 5, 4), None, None, c(1, 2, 1, 7)],
         {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}),
    Case("Resize", [(1, 2, 5, 4), None, None, c(1, 2, 7, 9)], {"mode": "nearest", "nearest_mode": "ceil"}),
    Case("Resize", [(1, 2, 5, 4), None, None, c(1, 2, 7, 9)],
         {"mode": "nearest", "nearest_mode": "round_prefer_ceil"}),
    Case("Resize", [(1, 2, 5, 4), None, None, c(1, 2, 7, 9)],
         {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}),
    Case("Resize", [(1, 2, 5, 4), None, None, c(7, 9)], {"mode": "linear", "axes": [2, 3]}, opset=18),
    Case("Resize", [(1, 2, 5), None, None, c(1, 2, 9)], {"mode": "linear"}),
    Case("Resize", [(1, 2, 5), None, None, c(1, 2, 9)], {"mode": "nearest"}),
    Case("Resize", [(1, 2, 3, 4), c(1, 1, 2, 2, dtype=F32)], {"mode": "linear"}, opset=10),
    Case("Upsample", [("n", 2, 3, 4), c(1, 1, 2, 2, dtype=F32)], {"mode": "nearest"}, opset=9),
    Case("Upsample", [(1, 2, 3, 4)], {"mode": "nearest", "scales": [1.0, 1.0, 2.0, 3.0]}, opset=7),
]  # fmt: skip

CASES = [*POINTWISE, *SHAPES, *REDUCTIONS, *PRODUCTS, *RESIZE, *COMPOSED]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_operator_agrees_with_onnxruntime(case: Case) -> None:
    model, data, sizes = build(case)
    check_agrees(model, data, dims=sizes)
