"""Object code into this process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eqsat.backends._llvm import llvm

_names = itertools.count()
_lock = threading.Lock()


@dataclass(frozen=True, eq=False, slots=True)
class Library:
    """Linked code; `addresses` of the symbols asked for. Lives as long as `tracker` does."""

    addresses: dict[str, int]
    tracker: Any  # Any: llvmlite has no types


@cache
def _linker() -> Any:
    return llvm.create_lljit_compiler()


def load(objects: Sequence[bytes], symbols: Sequence[str]) -> Library:
    """Link object files with each other and this process's C library."""
    with _lock:
        builder = llvm.JITLibraryBuilder()
        builder.add_current_process()
        for each in objects:
            builder.add_object_img(each)
        for name in symbols:
            builder.export_symbol(name)
        tracker = builder.link(_linker(), f"eqsat{next(_names)}")
        return Library({name: tracker[name] for name in symbols}, tracker)
