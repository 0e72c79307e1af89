"""Whole models, from the file to native code, against onnxruntime: one compilation, many sizes."""

from pathlib import Path

import onnx
import pytest

import eqsat
from benchmarks import zoo
from benchmarks.demo import relative_error
from eqsat.ir import Call, Function, OpDef, VarBinding

TOLERANCE = 1e-4  # relative to the largest output
MAX_GAP = 0.01


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQSAT_CACHE_DIR", str(tmp_path / "cache"))


def check_model(model: onnx.ModelProto, sizes: list[dict[str, int]]) -> eqsat.OptimizeResult:
    """Compile once, run at every size, compare with onnxruntime; return the optimization."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    result = eqsat.optimize(eqsat.from_onnx(model))
    assert result.report.gap <= MAX_GAP
    assert result.report.estimate_s <= result.report.estimate_before_s
    executable = eqsat.compile(result)
    for dims in sizes:
        inputs = zoo.random_inputs(model, dims, seed=sum(dims.values()))
        expected = session.run(None, inputs)
        actual = executable(**inputs)
        arrays = actual if isinstance(actual, tuple) else (actual,)
        for a, e in zip(arrays, expected, strict=True):
            assert a.shape == e.shape, dims
            assert a.dtype == e.dtype
            assert relative_error(a, e) <= TOLERANCE, dims
    return result


def kernels(result: eqsat.OptimizeResult) -> list[list[str]]:
    """Return the operators of each kernel call of the result that moves or computes something."""
    module = result.module
    main = module.relax_function()
    found: list[list[str]] = []
    for block in main.body.blocks:
        for binding in block.bindings:
            call = binding.value
            if isinstance(call, Call) and not isinstance(call.op, OpDef):
                function = module.functions[call.op.name]
                assert isinstance(function, Function)
                found.append(operators(function))
    views = {"reshape", "squeeze", "expand_dims", "flatten"}
    return [k for k in found if not views.issuperset(k)]


def operators(function: Function) -> list[str]:
    return [
        b.value.op.name
        for block in function.body.blocks
        for b in block.bindings
        if isinstance(b, VarBinding) and isinstance(b.value, Call) and isinstance(b.value.op, OpDef)
    ]


@pytest.mark.parametrize("name", [n for n in zoo.CONVOLUTIONAL if n != "resnet50"])
def test_convolutional_networks(name: str) -> None:
    check_model(zoo.CONVOLUTIONAL[name](), [{"N": n} for n in (1, 3, 8)])


def test_resnet50_is_fused() -> None:
    result = check_model(zoo.light_model("resnet50"), [{"N": n} for n in (1, 3, 8)])
    found = kernels(result)
    assert len(found) <= 60
    assert len(found) == result.report.num_kernels
    assert not any("nn.batch_norm" in k for k in found)
    assert ["nn.relu"] not in found
    assert ["add"] not in found
    assert not [k for k in found if set(k) <= {"add", "nn.relu", "multiply"}]


def test_transformer_encoder() -> None:
    sizes = [{"N": 1, "S": 1}, {"N": 1, "S": 128}, {"N": 3, "S": 37}]
    result = check_model(zoo.transformer_encoder(), sizes)
    assert len(kernels(result)) <= 12 * 4


@pytest.mark.peer
@pytest.mark.parametrize("dynamo", [False, True])
def test_minilm(dynamo: bool) -> None:
    from benchmarks.torch_models import minilm

    sizes = [{"batch": b, "seq": s} for b, s in ((1, 16), (1, 128), (4, 37), (8, 128))]
    result = check_model(minilm(dynamo=dynamo), sizes)
    outside_layers = 8  # the embeddings, their normalization and the mask
    assert len(kernels(result)) <= 12 * 6 + outside_layers


@pytest.mark.peer
@pytest.mark.parametrize("dynamo", [False, True])
def test_llama_step(dynamo: bool) -> None:
    from benchmarks.torch_models import llama_step

    check_model(llama_step(dynamo=dynamo), [{"past": 7}, {"past": 500}])


def test_second_compile_is_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code is generated for no kernel of a model that was compiled before."""
    from eqsat.backends import _cpu

    mod = eqsat.from_onnx(zoo.transformer_encoder(num_layers=1, width=32, num_heads=4))
    result = eqsat.optimize(mod)
    eqsat.compile(result)

    def fail(*args: object) -> None:
        raise AssertionError("code was generated again")

    monkeypatch.setattr(_cpu, "generate", fail)
    eqsat.compile(result)
