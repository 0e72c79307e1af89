"""ONNX to Relax."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from eqsat.ir._expr import Expr, IRModule
from eqsat.ir.frontend._errors import ImportModelError
from eqsat.ir.frontend._onnx_dims import DimNames, dim_texts
from eqsat.ir.frontend._onnx_graph import GraphBuilder, Known, Node, Value, known, run_handler
from eqsat.ir.frontend._onnx_load import LoadedModel, load_model
from eqsat.ir.frontend._onnx_ops import HANDLERS
from eqsat.ir.frontend._onnx_tensor_ops import dense
from eqsat.shapes import Dim, EqsatError, Shape, dtype_name

if TYPE_CHECKING:
    import onnx

_MAX_NDIM = 32  # of NumPy's iterators
_DAMAGED = (
    ArithmeticError,
    EqsatError,
    IndexError,
    KeyError,
    MemoryError,
    TypeError,
    ValueError,
)
_SUPPORTED = frozenset({*HANDLERS, "If"})


def from_onnx(
    source: str | Path | bytes | onnx.ModelProto, *, dims: Mapping[str, int] | None = None
) -> IRModule:
    """Return the Relax module of an ONNX model; its inputs keep their names and symbolic dims.

    Args:
        source: a path, the file's bytes, or a `ModelProto`.
        dims: sizes for symbolic dims that are to be fixed, by `dim_param` name.

    Raises:
        ImportModelError: the file is damaged, or something in it is not supported; all unsupported
            operators are named at once.

    Example:
        mod = from_onnx("resnet50.onnx", dims={"N": 1})
    """
    return _Importer(load_model(source, _SUPPORTED), dims or {}).run()


class _Importer:
    def __init__(self, model: LoadedModel, fixed: Mapping[str, int]) -> None:
        self.name = model.name
        self.model = model
        self.inputs = [i for i in model.graph.input if i.name not in _weight_names(model)]
        for value in self.inputs:
            self._check_input(value)
        self.dims = DimNames(model.name, dim_texts(self.inputs), fixed)
        self.graph = GraphBuilder()

    def run(self) -> IRModule:
        values: dict[str, Value] = {"": None}
        self._add_weights(self.model.weights.values(), values)
        self._add_weights(self.model.graph.initializer, values)
        for sparse in self.model.graph.sparse_initializer:
            self._add_weight(sparse.values.name, lambda s=sparse: dense(s), values)
        for value in self.inputs:
            if value.name in values:
                raise ImportModelError(f"{self.name}: two inputs are named {value.name!r}")
            values[value.name] = self.graph.block.input(value.name, *self._input_type(value))
        self._convert_nodes(self.model.graph.node, values)
        outputs = [self._output(o.name, values) for o in self.model.graph.output]
        if not outputs:
            raise ImportModelError(f"{self.name}: the graph has no output")
        return self.graph.block.module(outputs[0] if len(outputs) == 1 else outputs)

    def _add_weights(self, tensors: Iterable[onnx.TensorProto], values: dict[str, Value]) -> None:
        from onnx import numpy_helper

        for tensor in tensors:
            self._add_weight(tensor.name, lambda t=tensor: numpy_helper.to_array(t), values)

    def _add_weight(
        self, name: str, read: Callable[[], NDArray[Any]], values: dict[str, Value]
    ) -> None:
        if name in values:
            raise ImportModelError(f"{self.name}: two weights are named {name!r}")
        try:
            array = read()
            if array.ndim > _MAX_NDIM:
                raise ValueError(f"{array.ndim} axes are more than {_MAX_NDIM}")
            values[name] = known(array)
        except _DAMAGED as error:
            raise ImportModelError(
                f"{self.name}: the weight {name} is damaged or of an unsupported type: {error}"
            ) from None

    def _check_input(self, value: onnx.ValueInfoProto) -> None:
        if not value.type.HasField("tensor_type"):
            raise ImportModelError(
                f"{self.name}: input {value.name} is a {value.type.WhichOneof('value')}; only "
                "dense tensors are supported"
            )
        if not value.type.tensor_type.HasField("shape"):
            raise ImportModelError(
                f"{self.name}: input {value.name} has no rank; declare its shape (symbolic dims "
                "are fine)"
            )

    def _input_type(self, value: onnx.ValueInfoProto) -> tuple[Shape, str]:
        from onnx import helper

        tensor = value.type.tensor_type
        try:
            dtype = dtype_name(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        except (KeyError, EqsatError):
            raise ImportModelError(
                f"{self.name}: input {value.name} has the element type "
                f"{_element_type(tensor.elem_type)}, which is not supported"
            ) from None
        return tuple(
            self._dim(d, f"{value.name}_d{i}") for i, d in enumerate(tensor.shape.dim)
        ), dtype

    def _dim(self, dim: onnx.TensorShapeProto.Dimension, fresh: str) -> Dim:
        if dim.dim_param:
            return self.dims[dim.dim_param]
        # Some exporters write -1 for a size that is not known.
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            return dim.dim_value
        return self.dims.fresh(fresh)

    def _convert_nodes(self, nodes: Sequence[onnx.NodeProto], values: dict[str, Value]) -> None:
        for index, proto in enumerate(nodes):
            where = f"{self.name}: node {proto.name or index} ({proto.op_type})"
            if proto.op_type == "If":
                results = self._convert_if(proto, where, values)
            else:
                results = run_handler(
                    self.graph, self._node(proto, where, values), HANDLERS[proto.op_type]
                )
            for name, result in zip(proto.output, results, strict=False):
                if name and name in values:
                    raise ImportModelError(f"{where}: defines {name!r} a second time")
                if name:
                    values[name] = result

    def _node(self, proto: onnx.NodeProto, where: str, values: dict[str, Value]) -> Node:
        from onnx import helper

        for name in proto.input:
            if name not in values:
                raise ImportModelError(f"{where} reads {name!r}, which nothing defines before it")
        attrs = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        inputs = tuple(values[n] for n in proto.input)
        named = sum(1 for n in proto.output if n)
        return Node(proto.op_type, where, inputs, attrs, named, len(proto.output), self.model.opset)

    def _convert_if(
        self, proto: onnx.NodeProto, where: str, values: dict[str, Value]
    ) -> list[Value]:
        """Return the results of the branch that a condition known at import chooses."""
        node = self._node(proto, where, values)
        condition = node.input(0)
        if not isinstance(condition, Known) or condition.array.size != 1:
            raise node.fail(
                "the condition depends on data; only one known at import is supported. Export the "
                "branch you need as a model of its own"
            )
        branch = node.attrs["then_branch" if condition.array.reshape(()) else "else_branch"]
        inner = dict(values)
        self._add_weights(branch.initializer, inner)
        self._convert_nodes(branch.node, inner)
        return [self._value(o.name, inner) for o in branch.output]

    def _value(self, name: str, values: dict[str, Value]) -> Value:
        if not name or name not in values:
            raise ImportModelError(f"{self.name}: the output {name!r} is nowhere defined")
        return values[name]

    def _output(self, name: str, values: dict[str, Value]) -> Expr:
        return self.graph.expr(self._value(name, values))


def _weight_names(model: LoadedModel) -> set[str]:
    return {*model.weights, *(i.name for i in model.graph.initializer)}


def _element_type(number: int) -> str:
    import onnx

    names = {v: k for k, v in onnx.TensorProto.DataType.items()}
    return names.get(number, str(number))
