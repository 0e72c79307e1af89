"""Bad input through the public calls: one clear error each, which names the place."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import eqsat
from benchmarks.zoo import transformer_encoder
from eqsat.cli import main


def one_node(op_type: str, domain: str = "") -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4]) for n in "xy")
    graph = helper.make_graph(
        [helper.make_node(op_type, ["x"], ["y"], domain=domain)], "g", [x], [y]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    return helper.make_model(graph, opset_imports=opsets)


@pytest.fixture(scope="module")
def executable() -> Callable[..., object]:
    """A compiled program of x: f32[n, 4] and y: f32[n, 4]."""
    module = eqsat.from_tvmscript(
        """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor(("n", 4), "float32"), y: R.Tensor(("n", 4), "float32")):
        with R.dataflow():
            z = R.add(x, y)
            R.output(z)
        return z
"""
    )
    return eqsat.compile(module, cache=False)


def test_truncated_onnx(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = transformer_encoder(num_layers=1, width=32, num_heads=4).SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(eqsat.EqsatError, match=r"cut\.onnx"):
        eqsat.from_onnx(path)
    assert main(["run", str(path)]) == 1
    assert "cut.onnx" in capsys.readouterr().err


def test_unknown_operator() -> None:
    with pytest.raises(eqsat.EqsatError, match=r"unsupported operators: custom\.Frobnicate \(1x\)"):
        eqsat.from_onnx(one_node("Frobnicate", "custom"))


ONES = np.ones((3, 4), np.float32)
CALLS: list[tuple[tuple[object, ...], dict[str, object], str]] = [
    ((ONES,), {}, r"missing input y: f32\[n, 4\]"),
    ((ONES, ONES, ONES), {}, r"takes 2 inputs \(x, y\), got 3"),
    ((ONES,), {"w": ONES}, r"no input 'w'; its inputs are x, y"),
    ((ONES, ONES), {"x": ONES}, r"input x is given twice"),
    ((ONES, ONES[0]), {}, r"input y: expected f32\[n, 4\], got f32\[4\] \(rank 1\)"),
    (
        (ONES, ONES.astype(np.float64)),
        {},
        r"input y: expected f32\[n, 4\], got f64\[3, 4\].*astype",
    ),
    ((ONES, ONES[:, :3]), {}, r"input y: expected f32\[n, 4\].*got f32\[3, 3\]"),
    ((ONES, ONES[:2]), {}, r"n = 3 \(bound by x axis 0\), got f32\[2, 4\]"),
    (
        (ONES, "text"),
        {},
        r"input y: expected f32\[n, 4\] as a NumPy array or DLPack tensor, got str",
    ),
]


@pytest.mark.parametrize(("args", "kwargs", "message"), CALLS)
def test_wrong_arguments(
    executable: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(eqsat.EqsatError, match=message):
        executable(*args, **kwargs)


def test_contradictory_dims() -> None:
    model = transformer_encoder(num_layers=1, width=32, num_heads=4)
    with pytest.raises(eqsat.EqsatError, match=r"dims=? names Q.*N, S"):
        eqsat.from_onnx(model, dims={"Q": 3})
    with pytest.raises(eqsat.EqsatError, match=r"dims=? names Q.*N, S"):
        eqsat.optimize(eqsat.from_onnx(model), dims={"Q": 3})


def test_unwritable_cache(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    module = eqsat.from_onnx(one_node("Relu"))
    with pytest.raises(
        eqsat.EqsatError, match=re.escape(str(blocker)) + r".*(cache=False|EQSAT_CACHE_DIR)"
    ):
        eqsat.compile(module, cache=blocker / "cache")


def test_unparsable_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "@I.ir_module\nclass Module:\n    @R.function\n    def main(x: R.Tensor((2,):\n"
    )
    assert main(["run", str(path)]) == 1
    error = capsys.readouterr().err
    assert "bad.py:4" in error
    assert "^" in error
