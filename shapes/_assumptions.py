"""Equalities that typing took for granted, for whoever must check them at run time."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from eqsat.shapes._prove import Equal

_collecting: ContextVar[dict[Equal, None] | None] = ContextVar("_collecting", default=None)


@contextmanager
def assumptions() -> Generator[dict[Equal, None]]:
    """Collect what `assume` is told while the block runs, each fact once, in order."""
    found: dict[Equal, None] = {}
    token = _collecting.set(found)
    try:
        yield found
    finally:
        _collecting.reset(token)


def assume(fact: Equal) -> None:
    """Note that a type is only right where `fact` holds, which is neither proved nor refuted."""
    found = _collecting.get()
    if found is not None:
        found[fact] = None
