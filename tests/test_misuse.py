"""Calls that cannot work say so in one line; unusual ones work."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import eqsat
from eqsat._progress import atomic_write
from eqsat.cli import main
from eqsat.ir import IRModule


def relu_model(outputs: tuple[str, ...] = ("y",), op: str = "Relu") -> onnx.ModelProto:
    """`op` over float32[N, 4], once per output name."""
    shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    results = [helper.make_tensor_value_info(o, TensorProto.FLOAT, ["N", 4]) for o in outputs]
    nodes = [helper.make_node(op, ["x"], [o]) for o in outputs]
    graph = helper.make_graph(nodes, "relu", [shape], results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


MODULE = eqsat.from_onnx(relu_model())
X = np.array([[-1, 2, -3, 4]], np.float32)


def any_(value: object) -> Any:
    """Hide a wrong type from the type checker."""
    return cast("Any", value)


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: eqsat.optimize(any_("m.onnx")), "optimize takes a module, got str.*from_onnx"),
    (lambda: eqsat.compile(any_(None)), "compile takes a module, got NoneType"),
    (lambda: eqsat.optimize(MODULE, num_threads=0), "num_threads is 0; a program runs on at least"),
    (lambda: eqsat.compile(MODULE, num_threads=any_(1.5)), r"num_threads is 1\.5"),
    (lambda: eqsat.optimize(MODULE, rules=any_("my.py")), r"write rules=\[\.\.\.\]"),
    (lambda: eqsat.optimize(MODULE, rules=[any_(1)]), "rules holds 1, which is neither"),
    (lambda: eqsat.optimize(MODULE, dims={"N": -1}), "gives N the size -1; a size is an int"),
    (lambda: eqsat.optimize(MODULE, limits=any_({"time_s": 1})), "write eqsat.Limits"),
    (lambda: eqsat.compile(MODULE, cache=any_(None)), "cache is None; it is True, False or"),
    (lambda: eqsat.from_onnx(any_(3)), "takes a path, bytes or a ModelProto, got int"),
    (lambda: eqsat.from_onnx(relu_model(), dims={"N": any_("4")}), "the size '4'; it is an int"),
    (
        lambda: eqsat.compile(IRModule({"f": MODULE.functions["main"]}), function="g"),
        "no Relax function 'g'; it has f",
    ),
    (
        lambda: eqsat.compile(MODULE, host_operations=any_("no")),
        "host_operations is 'no'; it is 'allow' or 'forbid'",
    ),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_arguments_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(eqsat.EqsatError, match=message):
        call()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import eqsat\nimport no_such_module\n", ":2: ModuleNotFoundError: No module named"),
        ("def f(:\n", ":1: SyntaxError"),
    ],
)
def test_a_rule_file_that_fails_is_named_with_its_line(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(eqsat.EqsatError, match="mine.py" + message):
        eqsat.load_rules(tmp_path / "mine.py")


def test_modules_are_copied_and_pickled_with_their_operators() -> None:
    for module in (copy.deepcopy(MODULE), pickle.loads(pickle.dumps(MODULE))):
        result = eqsat.optimize(module)
        assert result.report.num_operators == 1
        assert eqsat.optimize(pickle.loads(pickle.dumps(result.module))).report.num_kernels == 1
        np.testing.assert_array_equal(eqsat.compile(result)(X), np.maximum(X, 0))


def test_an_executable_says_that_it_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="compile the module again"):
        pickle.dumps(eqsat.compile(MODULE))


def test_what_optimize_wrote_can_be_optimized_and_compiled_again() -> None:
    text = eqsat.optimize(MODULE).as_text()
    again = eqsat.optimize(eqsat.from_tvmscript(text))
    np.testing.assert_array_equal(eqsat.compile(again)(X), np.maximum(X, 0))


@pytest.mark.parametrize("op", ["Relu", "Identity"])
def test_every_output_may_be_written_into(op: str) -> None:
    x = X.copy()
    exe = eqsat.compile(eqsat.optimize(eqsat.from_onnx(relu_model(("y", "z"), op))))
    y, z = exe(x)
    y[:] = 7
    assert not np.any(z == 7)
    np.testing.assert_array_equal(x, X)


def test_call_tir_is_kept_by_optimize_and_compiled() -> None:
    module = eqsat.from_tvmscript(CALL_TIR)
    x = np.arange(-2, 2, dtype=np.float32)
    result = eqsat.optimize(module)
    np.testing.assert_array_equal(eqsat.interpret(result.module, x), 2 * np.maximum(x, 0))
    np.testing.assert_array_equal(eqsat.compile(result)(x), 2 * np.maximum(x, 0))


CALL_TIR = """
@I.ir_module
class Module:
    @T.prim_func
    def twice(A: T.Buffer((T.int64(4),), "float32"), B: T.Buffer((T.int64(4),), "float32")):
        for i in range(T.int64(4)):
            with T.block("b"):
                vi = T.axis.spatial(T.int64(4), i)
                B[vi] = A[vi] * T.float32(2)

    @R.function
    def main(x: R.Tensor((4,), dtype="float32")) -> R.Tensor((4,), dtype="float32"):
        cls = Module
        with R.dataflow():
            a = R.nn.relu(x)
            b = R.call_tir(cls.twice, (a,), out_sinfo=R.Tensor((4,), dtype="float32"))
            R.output(b)
        return b
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_optimize_in_a_forked_child_fails_instead_of_hanging() -> None:
    code = """
        import os
        import eqsat
        from eqsat.ir import BlockBuilder, op
        bb = BlockBuilder()
        module = bb.module(bb.call(op("nn.relu"), bb.input("x", (4,), "float32")))
        eqsat.optimize(module)
        if not os.fork():
            try:
                eqsat.optimize(module)
            except eqsat.EqsatError as error:
                os._exit(7 if "before forking" in str(error) else 8)
            os._exit(9)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "7", done.stderr


def test_limits_that_are_hit_are_reported_and_the_program_is_no_dearer() -> None:
    result = eqsat.optimize(MODULE, limits=eqsat.Limits(iterations=0))
    assert result.report.stop == "iterations"
    assert result.report.estimate_s <= result.report.estimate_before_s


def test_a_link_is_followed_and_a_pipe_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"text"
    with atomic_write(Path(os.devnull)) as file:
        file.write(b"text")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("where", ["missing/out.py", "."])
def test_unwritable_outputs_are_named(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(relu_model(), tmp_path / "m.onnx")
    output = tmp_path / where
    assert main(["optimize", str(tmp_path / "m.onnx"), "-o", str(output)]) == 1
    assert f"eqsat: {output}: " in capsys.readouterr().err


def test_files_of_another_kind_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(relu_model(), tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", x=X)
    (tmp_path / "m.py").write_bytes(b"# \xe9\xff")
    assert main(["run", str(tmp_path / "m.onnx"), "--input", f"x={tmp_path / 'x.npz'}"]) == 1
    assert "several arrays" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "m.py")]) == 1
    assert "m.py: not UTF-8 text" in capsys.readouterr().err


def test_json_and_profile_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(relu_model(), tmp_path / "m.onnx")
    assert main(["run", str(tmp_path / "m.onnx"), "--json", "--profile", "--repeat", "1"]) == 0
    (kernel,) = json.loads(capsys.readouterr().out)["kernels"]
    assert kernel["template"] == "pointwise"
    assert kernel["time_s"] >= 0


class Tensor:
    """A tensor of another library, with a lazy sign or no readable device."""

    def __init__(self, device: int) -> None:
        self.device = device

    def is_neg(self) -> bool:
        return True

    def __dlpack_device__(self) -> tuple[int, int]:
        if not self.device:
            raise ValueError("unknown device type meta")
        return (self.device, 0)

    def __dlpack__(self) -> object:
        raise AssertionError("read in spite of the sign")


@pytest.mark.parametrize(
    ("device", "message"), [(1, r"negated view; pass its \.resolve_neg"), (0, "device type meta")]
)
def test_tensors_that_cannot_be_read_are_named(device: int, message: str) -> None:
    with pytest.raises(eqsat.EqsatError, match="input x: .*" + message):
        eqsat.compile(MODULE)(Tensor(device))


def test_an_input_may_be_named_self() -> None:
    model = relu_model()
    model.graph.input[0].name = model.graph.node[0].input[0] = "self"
    np.testing.assert_array_equal(eqsat.compile(eqsat.from_onnx(model))(self=X), np.maximum(X, 0))


def test_sizes_at_the_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(relu_model(), tmp_path / "m.onnx")
    model = str(tmp_path / "m.onnx")
    assert main(["run", model, "--dim", "N=0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outputs"][0]["mean"] is None
    for size in (10**11, 10**20):
        assert main(["run", model, "--dim", f"N={size}"]) == 1
        assert capsys.readouterr().err.startswith("eqsat: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_or_closed_output_is_no_traceback() -> None:
    command = [sys.executable, "-m", "eqsat.cli", "rules", "list", "--json"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "eqsat: output: No space left on device\n"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
