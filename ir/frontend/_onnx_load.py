"""ONNX files to one normal form: read, checked, functions expanded, weights apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eqsat.ir.frontend._errors import ImportModelError

if TYPE_CHECKING:
    import onnx

_SMALL_ELEMENTS = 256
_OLDEST_OPSET = 7  # before it, operators broadcast by attributes
_MAX_EXPANSIONS = 8
_DEFAULT_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A valid model: `graph` without its large weights, and those by name."""

    name: str
    graph: onnx.GraphProto
    weights: dict[str, onnx.TensorProto]
    opset: int


def load_model(
    source: str | Path | bytes | onnx.ModelProto, supported: frozenset[str]
) -> LoadedModel:
    """Return the model of a path, its bytes or a ModelProto.

    Args:
        source: what `from_onnx` was given.
        supported: the operators that need no expansion.

    Raises:
        ImportModelError: no readable or valid ONNX, or it has operators that are not supported.
    """
    model, name = _read(source)
    _check_text(model, name)
    opset = _checked_opset(model, name)
    functions = {_label(f.domain, f.name) for f in model.functions}
    expandable = _expandable(model, opset, supported, functions)
    _check_supported(model, name, supported | functions | expandable)
    light, weights = _set_weights_aside(model)
    _check_valid(light, name)
    light = _expand(light, name, opset, supported)
    if functions or expandable:
        _check_supported(light, name, supported)
    return LoadedModel(name, light.graph, weights, opset)


def _read(source: str | Path | bytes | onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    import onnx

    if isinstance(source, onnx.ModelProto):
        name = source.graph.name or "<model>"
        _check_complete(source, name)
        return source, name
    if isinstance(source, bytes):
        model = _parse(source, "<bytes>")
        _check_complete(model, "<bytes>")
        return model, "<bytes>"
    try:
        path = Path(source)
    except TypeError:
        raise ImportModelError(
            f"from_onnx takes a path, bytes or a ModelProto, got {type(source).__name__}"
        ) from None
    model = _parse(_file_bytes(path), str(path))
    _load_external(model, path)
    return model, str(path)


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ImportModelError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ImportModelError(f"{path}: is a directory, not an ONNX file") from None
    except (OSError, ValueError) as error:
        raise ImportModelError(f"{path}: can't be read ({error})") from None


def _parse(content: bytes, name: str) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError  # noqa: PLC0415  # comes with onnx

    if not content:
        raise ImportModelError(f"{name}: is empty, not an ONNX model")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ImportModelError(
            f"{name}: not a readable ONNX model; truncated, damaged or another format ({error})"
        ) from None
    if not model.graph.node and not model.graph.output:
        raise ImportModelError(f"{name}: holds no graph; is it an ONNX model?")
    return model


def _check_text(model: onnx.ModelProto, name: str) -> None:
    """Raise where a name is no text: protobuf hands damaged ones out as bytes."""
    graphs, nodes = [model.graph], [n for f in model.functions for n in f.node]
    texts: list[object] = [o.domain for o in model.opset_import]
    for f in model.functions:
        texts += [f.domain, f.name, *f.input, *f.output, *f.attribute]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            nodes.extend(graph.node)
            texts += [graph.name, *(t.name for t in graph.initializer)]
            for value in (*graph.input, *graph.output):
                dims = value.type.tensor_type.shape.dim
                texts += [value.name, *(d.dim_param for d in dims)]
            continue
        node = nodes.pop()
        texts += [node.op_type, node.domain, node.name, *node.input, *node.output]
        for a in node.attribute:
            texts.append(a.name)
            if a.HasField("g"):
                graphs.append(a.g)
    if broken := next((t for t in texts if not isinstance(t, str)), None):
        raise ImportModelError(f"{name}: the name {broken!r} is no UTF-8 text; the file is damaged")


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _is_external(tensor: onnx.TensorProto) -> bool:
    import onnx

    return tensor.data_location == onnx.TensorProto.EXTERNAL


def _check_complete(model: onnx.ModelProto, name: str) -> None:
    missing = next((t for t in _tensors(model) if _is_external(t)), None)
    if missing is not None:
        raise ImportModelError(
            f"{name}: the weight {missing.name} lies in an external file; pass the model's path, "
            "so that the file beside it is found"
        )


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    import onnx
    from onnx.external_data_helper import load_external_data_for_tensor

    for tensor in _tensors(model):
        if not _is_external(tensor):
            continue
        try:
            load_external_data_for_tensor(tensor, str(path.parent))
        except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
            location = next((e.value for e in tensor.external_data if e.key == "location"), "?")
            raise ImportModelError(
                f"{path}: the external file {location} of the weight {tensor.name} can't be read "
                f"({error})"
            ) from None
        tensor.data_location = onnx.TensorProto.DEFAULT


def _checked_opset(model: onnx.ModelProto, name: str) -> int:
    from onnx import defs

    versions = [o.version for o in model.opset_import if o.domain in _DEFAULT_DOMAINS]
    if not versions:
        raise ImportModelError(f"{name}: states no opset of the default operators")
    newest = defs.onnx_opset_version()
    if versions[0] > newest:
        raise ImportModelError(
            f"{name}: has opset {versions[0]}, but the installed onnx knows up to {newest}; "
            "upgrade onnx, or export with an older opset"
        )
    if versions[0] < _OLDEST_OPSET:
        raise ImportModelError(
            f"{name}: has opset {versions[0]}; {_OLDEST_OPSET} is the oldest supported. Convert it "
            "with onnx.version_converter.convert_version"
        )
    return versions[0]


def _label(domain: str, op_type: str) -> str:
    return op_type if domain in _DEFAULT_DOMAINS else f"{domain}.{op_type}"


def _operators(model: onnx.ModelProto) -> Iterator[str]:
    """Yield each operator of the graph, its branches and the functions' bodies."""
    stack = [*model.graph.node, *(n for f in model.functions for n in f.node)]
    while stack:
        node = stack.pop()
        yield _label(node.domain, node.op_type)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                stack.extend(attribute.g.node)


def _expandable(
    model: onnx.ModelProto, opset: int, supported: frozenset[str], functions: set[str]
) -> set[str]:
    """Return the operators without a handler that ONNX defines by other operators."""
    from onnx import defs

    found: set[str] = set()
    for op_type in set(_operators(model)) - supported - functions:
        if not defs.has(op_type, opset):
            continue
        schema: Any = defs.get_schema(op_type, opset)  # the stubs lack these two
        if schema.has_function or schema.has_context_dependent_function:
            found.add(op_type)
    return found


def _check_supported(
    model: onnx.ModelProto, name: str, supported: frozenset[str] | set[str]
) -> None:
    counts: dict[str, int] = {}
    for label in _operators(model):
        if label not in supported:
            counts[label] = counts.get(label, 0) + 1
    if counts:
        listed = ", ".join(f"{k} ({v}x)" for k, v in sorted(counts.items()))
        raise ImportModelError(
            f"{name}: unsupported operators: {listed}. Rewrite them before exporting, or cut the "
            "model before them with onnx.utils.extract_model"
        )


def _check_valid(model: onnx.ModelProto, name: str) -> None:
    import onnx

    # The checker wants a shape of each input and output; outputs do not need one.
    tensors = [v.type.tensor_type for v in (*model.graph.input, *model.graph.output)]
    shapeless = [t for t in tensors if t.elem_type and not t.HasField("shape")]
    for tensor in shapeless:
        tensor.shape.SetInParent()
    try:
        checker: Any = onnx.checker  # partially unknown to its stubs
        checker.check_model(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ImportModelError(f"{name}: is no valid ONNX model: {error}") from None
    for tensor in shapeless:
        tensor.ClearField("shape")


def _expand(
    model: onnx.ModelProto, name: str, opset: int, supported: frozenset[str]
) -> onnx.ModelProto:
    """Return `model` with local functions and expandable operators replaced by their bodies."""
    import onnx
    from onnx import inliner

    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        for _ in range(_MAX_EXPANSIONS):  # bodies use such operators in turn
            expandable = _expandable(model, opset, supported, set())
            if not expandable:
                break
            _fill_defaults(model, opset, expandable)
            _declare_weights(model)
            # Bodies that depend on types need them known.
            model = onnx.shape_inference.infer_shapes(model)
            model = inliner.inline_selected_functions(
                model, [("", o) for o in sorted(expandable)], inline_schema_functions=True
            )
    except (
        RuntimeError,
        ValueError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        raise ImportModelError(f"{name}: its functions can't be expanded: {error}") from None
    return model


def _fill_defaults(model: onnx.ModelProto, opset: int, expandable: set[str]) -> None:
    """Write default attributes out: onnx's inliner drops a body's reference to an absent one."""
    from onnx import defs

    for node in model.graph.node:
        if node.op_type not in expandable or node.domain not in _DEFAULT_DOMAINS:
            continue
        given = {a.name for a in node.attribute}
        for attribute in defs.get_schema(node.op_type, opset).attributes.values():
            if attribute.name not in given and attribute.default_value.name:
                node.attribute.append(attribute.default_value)


def _declare_weights(model: onnx.ModelProto) -> None:
    """State the types of initializers: the inliner looks for them there."""
    from onnx import helper

    declared = {v.name for v in (*model.graph.input, *model.graph.value_info)}
    model.graph.value_info.extend(
        helper.make_tensor_value_info(i.name, i.data_type, list(i.dims))
        for i in model.graph.initializer
        if i.name not in declared
    )


def _set_weights_aside(
    model: onnx.ModelProto,
) -> tuple[onnx.ModelProto, dict[str, onnx.TensorProto]]:
    """Return a copy of `model` that declares its large weights as inputs, and the weights.

    The checker and the expansion copy the model several times; without weights that costs little.
    """
    import onnx
    from onnx import helper

    weights = {i.name: i for i in model.graph.initializer if math.prod(i.dims) > _SMALL_ELEMENTS}
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    graph.sparse_initializer.extend(model.graph.sparse_initializer)
    graph.initializer.extend(i for i in model.graph.initializer if i.name not in weights)
    declared = {i.name for i in model.graph.input}
    graph.input.extend(
        helper.make_tensor_value_info(i.name, i.data_type, list(i.dims))
        for i in weights.values()
        if i.name not in declared
    )
    if 0 < light.ir_version < 4:  # there every initializer is an input as well
        light.ir_version = 4
    return light, weights
