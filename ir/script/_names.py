"""Names for printing: legal, unique, the same every time."""

from __future__ import annotations

import keyword
import re

RESERVED = frozenset(
    [
        "R",
        "T",
        "I",
        "Tx",
        "Axis",
        "TypeVar",
        "cls",
        "Module",
        "metadata",
        "tvm",
        "ir",
        "tir",
        "tirx",
        "relax",
        "range",
        "min",
        "max",
        "print",
        "self",
        "_",
    ]
)
RESERVED_GLOBALS = frozenset(["R", "T", "I", "cls", "metadata"])


class Names:
    """Hands out names within one scope."""

    def __init__(self, taken: frozenset[str] = RESERVED) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def take(self, hint: str, *, any_script: bool = False) -> str:
        """Return `hint` made legal, with a number where it is taken.

        With `any_script` letters outside ASCII stay.
        """
        is_kept = any_script and hint.isidentifier() and not keyword.iskeyword(hint)
        base = hint if is_kept else legal(hint)
        name = base
        count = self._next.get(base, 1)
        while name in self._taken:
            name = f"{base}_{count}"
            count += 1
        self._next[base] = count
        self._taken.add(name)
        return name

    def copy(self) -> Names:
        """Return a scope inside this one."""
        inner = Names(frozenset(self._taken))
        inner._next = dict(self._next)
        return inner


def legal(hint: str) -> str:
    """Return an ASCII identifier made from any text."""
    name = re.sub(r"[^0-9A-Za-z_]", "_", hint) or "v"
    if name[0].isdigit():
        name = f"v_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name
