"""The Python code of the pages runs, and the README's commands exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from eqsat.ir import remove_func

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    remove_func("my.log")


@pytest.mark.parametrize("page", ["README.md", "docs/control_flow.md"])
def test_python_blocks_run(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})


def test_dev_commands_exist() -> None:
    named = set(re.findall(r"\./dev (\w+)", (ROOT / "README.md").read_text()))
    script = (ROOT / "dev").read_text()
    assert named >= {"demo", "test", "lint", "bench"}
    for command in named:
        assert re.search(rf"^  {command}\)$", script, re.MULTILINE), command
