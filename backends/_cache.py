"""Compiled code on disk, addressed by the hash of what it was compiled from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from functools import cache
from pathlib import Path

from eqsat.backends._errors import CacheError
from eqsat.backends._llvm import version
from eqsat.ir import _simplify

_MAGIC = b"EQSAT-OBJECT-1\n"
_DEFAULT_MAX_BYTES = 1 << 29


def default_directory() -> Path:
    """Return where compiled code is kept: $EQSAT_CACHE_DIR, or the platform's place for caches."""
    named = os.environ.get("EQSAT_CACHE_DIR")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "eqsat"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "eqsat" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eqsat"


@cache
def compiler_version() -> str:
    """Return a hash of the code generator and LLVM: another version shares no entries."""
    own = Path(__file__).parent
    sources = [*sorted(own.glob("_*.py")), Path(_simplify.__file__)]
    digest = hashlib.sha256(version.encode())
    for each in sources:
        digest.update(each.read_bytes())
    return digest.hexdigest()


class ObjectCache:
    """A directory of object files. Entries are checked when read; the least recently used go first.

    Raises:
        CacheError: the directory cannot be made or written.
    """

    def __init__(self, directory: Path, max_bytes: int = _DEFAULT_MAX_BYTES) -> None:
        self.directory = directory / "objects"
        self.max_bytes = max_bytes
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> CacheError:
        reason = error.strerror or str(error)
        return CacheError(
            f"cannot write compiled code to {self.directory}: {reason}; set EQSAT_CACHE_DIR to a "
            f"writable directory, or compile with cache=False"
        )

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.o"

    def load(self, key: str) -> bytes | None:
        """Return the entry, or None where there is none or it is damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        start = len(_MAGIC) + 32
        payload = data[start:]
        if data[: len(_MAGIC)] != _MAGIC:
            return None
        if hashlib.sha256(payload).digest() != data[len(_MAGIC) : start]:
            return None
        # Marks the entry as used lately; a read-only cache serves all the same.
        with contextlib.suppress(OSError):
            os.utime(path)
        return payload

    def store(self, key: str, payload: bytes) -> None:
        """Write an entry; readers see all of it or nothing."""
        data = _MAGIC + hashlib.sha256(payload).digest() + payload
        try:
            handle, name = tempfile.mkstemp(dir=self.directory, suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.replace(name, self._path(key))
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            raise self._unusable(error) from None

    def evict(self) -> None:
        """Remove the least recently used entries beyond `max_bytes`."""
        entries: list[tuple[float, int, str]] = []
        with os.scandir(self.directory) as found:
            for each in found:
                with contextlib.suppress(OSError):
                    stat = each.stat()
                    entries.append((stat.st_mtime, stat.st_size, each.path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.max_bytes:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
            total -= size
