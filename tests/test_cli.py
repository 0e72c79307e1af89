"""The command line: results, exit codes, errors on standard error, JSON."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.zoo import transformer_encoder
from eqsat.cli import main

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(transformer_encoder(num_layers=1, width=32, num_heads=4), path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQSAT_CACHE_DIR", str(tmp_path / "cache"))


def test_run_prints_the_report_and_times(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(model), "--dim", "N=2", "--dim", "S=5", "--repeat", "2"]) == 0
    out = capsys.readouterr().out
    assert "proven gap" in out
    assert "output 0: float32[2, 5, 32]" in out
    assert "median of 2 calls" in out


def test_run_reads_inputs_and_saves_outputs(model: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 32)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "y.npz"
    arguments = [
        "--input",
        f"x={tmp_path / 'x.npy'}",
        "--repeat",
        "1",
        "--save",
        str(out),
        "--json",
    ]
    assert main(["run", str(model), *arguments]) == 0
    assert np.load(out)["output_0"].shape == (1, 3, 32)


def test_json_is_one_object(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(model), "--json", "--repeat", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["outputs"][0]["shape"] == [1, 1, 32]
    assert result["report"]["num_kernels"] > 0


def test_optimize_writes_text_that_runs(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = tmp_path / "best.py"
    assert main(["optimize", str(model), "-o", str(best)]) == 0
    assert f"written to {best}" in capsys.readouterr().out
    assert (
        main(["run", str(best), "--no-optimize", "--dim", "N=2", "--dim", "S=3", "--repeat", "1"])
        == 0
    )
    assert "output 0: float32[2, 3, 32]" in capsys.readouterr().out


def test_explain_names_rules(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(model)]) == 0
    assert "estimated time lost without it" in capsys.readouterr().out


def test_explain_as_json_page_ablation_and_replay(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "chain.html"
    arguments = ["explain", str(model), "--dim", "N=2", "--dim", "S=3"]
    assert main([*arguments, "--json", "--ablate", "--replay", "--html", str(page)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(data["steps"]) == len(data["replay"]) == sum(data["rules"].values())
    assert set(data["ablation"]["rules"]) <= set(data["rules"])
    assert page.read_text().count("<tr>") == len(data["steps"]) + 1
    assert main([*arguments, "--steps", "0", "--replay", "--ablate"]) == 0
    shown = capsys.readouterr().out
    assert f"{len(data['steps'])} comparisons, 0 failed" in shown
    assert "rules matter" in shown


def test_why_not_as_text_and_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why-not", "add_zero", str(model)]) == 0
    assert "add_zero" in capsys.readouterr().out
    assert main(["why-not", "add_zero", str(model), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["rule"] == "add_zero"
    assert all(place["verdict"] for place in data["places"])


def test_rules_list_and_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "list"]) == 0
    assert int(capsys.readouterr().out.splitlines()[-1].split()[0]) >= 40
    assert main(["rules", "check", str(ROOT / "examples" / "my_rules.py")]) == 0
    assert "1 rules checked, 0 rejected" in capsys.readouterr().out


def test_a_false_rule_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(
        "from eqsat.rules import RuleSet, Sides, Float, ops\n"
        "wrong = RuleSet('wrong')\n"
        "@wrong.rule(source='nobody')\n"
        "def relu_is_identity(x: Float) -> Sides:\n"
        "    return ops.nn.relu(x), x\n"
    )
    assert main(["rules", "check", str(file)]) == 1
    assert "relu_is_identity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "missing.onnx"], "missing.onnx: no such file"),
        (["run", "missing.py"], "missing.py: No such file or directory"),
        (["rules", "check", "missing.py"], "no Python file with rules at missing.py"),
    ],
)
def test_errors_go_to_stderr_with_code_1(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_bad_dims_and_inputs_are_named(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(model), "--dim", "Q=4"]) == 1
    assert "Q" in capsys.readouterr().err
    assert main(["run", str(model), "--input", "z=z.npy"]) == 1
    assert "no input is named z; the inputs are ['x']" in capsys.readouterr().err


NO_DTYPE = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((4, 4))):
        y = R.add(x, x)
        return y
"""


def test_inputs_without_dtype_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no_dtype.py"
    path.write_text(NO_DTYPE)
    assert main(["run", str(path)]) == 1
    error = capsys.readouterr().err
    assert "input x is void[4, 4], of no known dtype" in error
    assert 'R.Tensor((16,), "float32"), or give the input itself' in error
    np.save(tmp_path / "x.npy", np.ones((4, 4), np.float32))
    assert main(["run", str(path), "--input", f"x={tmp_path / 'x.npy'}", "--repeat", "1"]) == 0


def test_wrong_usage_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", "model.onnx", "--dim", "N"])
    assert stop.value.code == 2
    assert "'N' is not NAME=SIZE, such as N=4" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "eqsat run model.onnx --dim N=4" in capsys.readouterr().out
