"""Packaging: every package is listed, and the wheel made from the sdist imports completely."""

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def setuptools_config() -> dict[str, dict[str, str]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_is_listed() -> None:
    config = setuptools_config()
    on_disk: set[str] = set()
    for name, folder in config["package-dir"].items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / folder).parts
            if name == "eqsat" and inner and (ROOT / "eqsat" / inner[0]).is_symlink():
                continue
            on_disk.add(".".join((name, *inner)))
    assert on_disk == set(config["packages"])


def test_wheel_from_sdist_imports_every_module(tmp_path: Path) -> None:
    """Builds sdist → wheel, unpacks it alone, imports each module with the dependencies only."""
    quiet = {"check": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", ROOT],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        **quiet,
    )
    wheel = next((tmp_path / "dist").glob("*.whl"))
    venv.create(tmp_path / "env", system_site_packages=False, with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, site], **quiet)
    names = sorted(
        ".".join(p.relative_to(site).with_suffix("").parts).removesuffix(".__init__")
        for p in (site / "eqsat").rglob("*.py")
        if p.name != "__main__.py"
    )
    assert len(names) > 50
    dependencies = [p for p in sys.path if p.endswith("site-packages")]
    # The dependencies come after the wheel, so its own files are what is imported.
    script = (
        f"import sys; sys.path.extend({dependencies!r}); import importlib, eqsat\n"
        f"assert {str(site)!r} in eqsat.__file__, eqsat.__file__\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    run = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr


def test_import_is_light() -> None:
    """`import eqsat` loads none of the heavy packages."""
    heavy = ("sympy", "egglog", "onnx", "llvmlite", "highspy", "rich", "torch")
    script = f"import sys, eqsat, eqsat.ir; print([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_layers_are_no_top_level_packages(tmp_path: Path) -> None:
    """Only `eqsat` is installed: `import ir` finds nothing."""
    script = "import shapes"
    run = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode != 0
