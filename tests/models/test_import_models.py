"""Whole models: import with symbolic dims, known result types, agreement with onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.zoo import light_model, random_inputs, transformer_encoder
from eqsat.ir.frontend import from_onnx
from tests.models._agree import check_agrees, result_types
from tests.models._families import FAMILIES, family_inputs


@pytest.mark.parametrize("name", FAMILIES)
def test_family_agrees_with_onnxruntime(name: str) -> None:
    make, sizes = FAMILIES[name]
    model = make()
    module = from_onnx(model)
    for dims in sizes:
        check_agrees(model, family_inputs(model, dims), dims=dims, module=module)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_light_model_agrees_with_onnxruntime(name: str) -> None:
    model = light_model(name)
    check_agrees(model, random_inputs(model, {"N": 1}), dims={"N": 1})


@pytest.mark.parametrize("name", ["resnet50", "inception_v1", "inception_v2"])
def test_light_model_imports_with_a_symbolic_batch(name: str) -> None:
    (result,) = result_types(from_onnx(light_model(name)).relax_function())
    assert str(result.dims[0]) == "N"
    assert result.dims[1] == 1000


def test_transformer_encoder_at_two_sizes() -> None:
    model = transformer_encoder(num_layers=2, width=64, num_heads=4)
    module = from_onnx(model)
    assert str(module.relax_function().ret_type) == "float32[N, S, 64]"
    for dims in ({"N": 1, "S": 7}, {"N": 3, "S": 16}):
        check_agrees(model, random_inputs(model, dims), dims=dims, module=module)


TORCH_MODELS: dict[str, tuple[str, list[dict[str, int]], list[str]]] = {
    "minilm": ("minilm", [{"batch": 2, "seq": 5}, {"batch": 1, "seq": 9}], ["batch, seq, 384"]),
    "llama": (
        "llama_step",
        [{"past": 7}, {"past": 3}],
        ["1, 1, 1000", "4, 1, 2, past + 1, 32", "4, 1, 2, past + 1, 32"],
    ),
}


@pytest.mark.peer
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", TORCH_MODELS)
def test_torch_export_agrees_with_onnxruntime(name: str, dynamo: bool) -> None:
    from benchmarks import torch_models

    maker, sizes, shapes = TORCH_MODELS[name]
    make: Any = getattr(torch_models, maker)
    check_export(make(dynamo=dynamo), sizes, shapes)


def check_export(model: onnx.ModelProto, sizes: list[dict[str, int]], shapes: list[str]) -> None:
    module = from_onnx(model)
    assert [str(t) for t in result_types(module.relax_function())] == [
        f"float32[{s}]" for s in shapes
    ]
    for dims in sizes:
        inputs = random_inputs(model, dims)
        check_agrees(model, inputs, dims=dims, module=module, tolerance=1e-4)


def test_import_copies_no_weights(tmp_path: Path) -> None:
    """The file's bytes, the protobuf's and the array's: no more than that is ever held."""
    import tracemalloc

    weight = np.zeros((4096, 512), np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "large",
        [onnx.helper.make_tensor_value_info("x", 1, ["n", 4096])],
        [onnx.helper.make_tensor_value_info("y", 1, ["n", 512])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    path = tmp_path / "large.onnx"
    onnx.save(onnx.helper.make_model(graph, ir_version=8), path)
    tracemalloc.start()
    from_onnx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * weight.nbytes
