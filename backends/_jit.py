"""Object code into this process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eqsat.backends._llvm import llvm

_names = itertools.count()
_lock = threading.Lock()
_NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, eq=False, slots=True)
class Library:
    """Linked code; `addresses` of the symbols asked for. Lives as long as `tracker` does."""

    addresses: dict[str, int]
    tracker: Any  # Any: llvmlite has no types


@cache
def _linker() -> Any:
    # The older linker places the sections of an object one by one: in a process that has mapped
    # gigabytes some are out of each other's reach, and then it ends the process.
    return llvm.create_lljit_compiler(use_jit_link=True)


def load(
    objects: Sequence[bytes], symbols: Sequence[str], imports: Mapping[str, int] = _NOTHING
) -> Library:
    """Link object files with each other, this process's C library and the addresses `imports`."""
    with _lock:
        builder = llvm.JITLibraryBuilder()
        builder.add_current_process()
        for each in objects:
            builder.add_object_img(each)
        for name, address in imports.items():
            builder.import_symbol(name, address)
        for name in symbols:
            builder.export_symbol(name)
        tracker = builder.link(_linker(), f"eqsat{next(_names)}")
        return Library({name: tracker[name] for name in symbols}, tracker)
