"""The README's Python code runs, and its commands exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_python_blocks_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_dev_commands_exist() -> None:
    named = set(re.findall(r"\./dev (\w+)", (ROOT / "README.md").read_text()))
    script = (ROOT / "dev").read_text()
    assert named >= {"demo", "test", "lint", "bench"}
    for command in named:
        assert re.search(rf"^  {command}\)$", script, re.MULTILINE), command
