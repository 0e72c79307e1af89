"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from eqsat._progress import atomic_write


def test_a_file_is_written_with_the_usual_permissions(tmp_path: Path) -> None:
    plain, atomic = tmp_path / "plain", tmp_path / "atomic"
    plain.write_bytes(b"x")
    with atomic_write(atomic) as file:
        file.write(b"x")
    assert atomic.read_bytes() == b"x"
    assert atomic.stat().st_mode == plain.stat().st_mode


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"):
        _write_half(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def _write_half(path: Path) -> None:
    with atomic_write(path) as file:
        file.write(b"new")
        raise RuntimeError("stop")
