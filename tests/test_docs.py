"""Generated pages are up to date, and the pages name files that exist."""

import re
from pathlib import Path

import pytest

from eqsat.ir import ALL_OPS
from eqsat.rules import rules_markdown

ROOT = Path(__file__).resolve().parents[1]


def test_rules_page(request: pytest.FixtureRequest) -> None:
    path = ROOT / "docs" / "rules.md"
    if request.config.getoption("--update-golden"):
        path.write_text(rules_markdown())
    assert path.read_text() == rules_markdown(), "run ./dev test tests/test_docs.py --update-golden"


def test_tutorial_runs() -> None:
    """Its blocks follow each other in one namespace."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tutorial.md").read_text(), re.DOTALL)
    assert len(blocks) > 8
    namespace: dict[str, object] = {}
    try:
        for block in blocks:
            exec(compile(block, "docs/tutorial.md", "exec"), namespace)
    finally:
        ALL_OPS.remove("tutorial.mish")  # type: ignore[attr-defined]


def test_kernels_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/kernels.md").read_text(), re.DOTALL)
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/kernels.md", "exec"), namespace)
    assert "module" in namespace


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/control_flow.md"])
def test_named_files_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)*/(?:[a-z_0-9]+\.py)?)`", text))
    assert named
    for name in named:
        assert (ROOT / name).exists(), name


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def test_layers_refuse_to_be_imported_by_their_folder() -> None:
    import subprocess
    import sys

    for layer in ("shapes", "ir", "extract", "lowering", "backends"):
        run = subprocess.run(
            [sys.executable, "-c", f"import {layer}"], cwd=ROOT, capture_output=True, text=True
        )
        assert run.returncode != 0
        assert f"import eqsat.{layer}" in run.stderr
