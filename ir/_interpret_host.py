"""What `R.print`, `R.assert_op` and closures mean at run time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from eqsat.ir._interpret_bind import RuntimeCheckError, shown


def _to_stdout(line: str) -> None:
    sys.stdout.write(f"{line}\n")


_WRITE: ContextVar[Callable[[str], None]] = ContextVar("write", default=_to_stdout)


@contextmanager
def printing_to(write: Callable[[str], None]) -> Generator[None]:
    """Send the lines of `R.print` to `write` instead of the standard output.

    Example:
        lines = []
        with printing_to(lines.append):
            interpret(module, x)
    """
    token = _WRITE.set(write)
    try:
        yield
    finally:
        _WRITE.reset(token)


@dataclass(frozen=True, slots=True)
class Partial:
    """A function with its last arguments given, as in TVM: what `R.make_closure` makes."""

    function: Any
    args: tuple[Any, ...]


def render(value: Any) -> str:
    """Return a value as `R.print` shows it: tensors as NumPy does, tuples in parentheses."""
    if isinstance(value, tuple):
        fields = cast("tuple[Any, ...]", value)
        return f"({', '.join(map(render, fields))})"
    return str(value)


def print_values(template: str, values: Sequence[Any]) -> None:
    """Write `values` in the braces of `template`, or with blanks between where there is none.

    Raises:
        RuntimeCheckError: the template has other braces than there are values.
    """
    _WRITE.get()(_filled(template, values, " "))


def check_assertion(condition: Any, template: str, values: Sequence[Any]) -> None:
    """Do nothing where `condition` holds.

    Raises:
        RuntimeCheckError: it does not, with the text of `template`; or it is no boolean scalar.
    """
    flag = np.asarray(condition)
    if flag.shape != () or flag.dtype != np.bool_:
        raise RuntimeCheckError(f"assert_op needs a boolean scalar, got {shown(flag)}")
    if not flag:
        text = _filled(template, values, ", ") if template or values else "Assertion Failed"
        raise RuntimeCheckError(text)


def _filled(template: str, values: Sequence[Any], separator: str) -> str:
    texts = [render(v) for v in values]
    if not template:
        return separator.join(texts)
    try:
        return template.format(*texts)
    except (IndexError, KeyError, ValueError, AttributeError) as error:
        raise RuntimeCheckError(
            f"the format {template!r} does not fit {len(texts)} values: {error}"
        ) from None
