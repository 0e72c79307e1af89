"""Showing progress on a terminal, and writing files whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast


@contextmanager
def shown_progress(title: str) -> Generator[Callable[[str, float], None]]:
    """Show a bar on standard error while the block runs, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda what, fraction: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda what, fraction: bar.update(
            task, description=f"{title}: {what}", completed=fraction
        )


@contextmanager
def atomic_write(path: Path) -> Generator[BinaryIO]:
    """Open a file that appears at `path` only when the block has ended without an error.

    A link is followed; what is no file, such as /dev/stdout, is written to and not replaced.

    Raises:
        OSError: with `path` as its file name.
    """
    try:
        with _opened(path) as file:
            yield file
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def _opened(path: Path) -> Generator[BinaryIO]:
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield cast("BinaryIO", device)
        return
    path = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield cast("BinaryIO", file)
        Path(temporary).chmod(0o666 & ~_umask())  # mkstemp's own files are private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Return the permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
