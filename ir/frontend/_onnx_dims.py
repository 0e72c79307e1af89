"""Names of symbolic dims: ONNX allows any text, a symbol is an identifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eqsat.ir.frontend._errors import ImportModelError
from eqsat.shapes import (
    Dim,
    ShapeError,
    is_symbol_name,
    parse_dim,
    substitute,
    sym,
    symbol_name,
    symbols,
)

if TYPE_CHECKING:
    import onnx


class DimNames:
    """The dims of a model's inputs by `dim_param`.

    A text such as "past + 1" is an expression if "past" is a dim of its own; any other text is one
    name, made an identifier: different texts stay different symbols.

    Args:
        name: the model, for messages.
        texts: every `dim_param` of the inputs.
        fixed: sizes given by the caller.
    """

    def __init__(self, name: str, texts: Sequence[str], fixed: Mapping[str, int]) -> None:
        self._dims: dict[str, Dim] = {}
        self._taken: set[str] = set()
        self._fixed = fixed
        plain = [t for t in dict.fromkeys(texts) if is_symbol_name(t)]
        for text in plain:
            self._add(text)
        for text in dict.fromkeys(texts):
            if text in self._dims:
                continue
            expression = self._expression(text)
            if expression is None:
                self._add(text)
            else:
                self._dims[text] = expression
        self._check_fixed(name)

    def __getitem__(self, text: str) -> Dim:
        return self._dims[text]

    def fresh(self, text: str) -> Dim:
        """Return a symbol of its own for a dim without a name."""
        return sym(self._free_name(text))

    def _add(self, text: str) -> None:
        if text in self._fixed:
            self._dims[text] = self._fixed[text]
        else:
            self._dims[text] = sym(self._free_name(text))

    def _free_name(self, text: str) -> str:
        base = name = symbol_name(text)
        count = 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def _expression(self, text: str) -> Dim | None:
        try:
            dim = parse_dim(text)
        except ShapeError:
            return None
        used = symbols(dim)
        if not all(s in self._dims for s in used):
            return None
        return substitute(dim, {s: self._dims[s] for s in used})

    def _check_fixed(self, name: str) -> None:
        known = set(self._dims)
        if unknown := sorted(set(self._fixed) - known):
            raise ImportModelError(
                f"{name}: dims= names {', '.join(unknown)}, but the symbolic dims of the inputs "
                f"are {', '.join(sorted(known)) or 'none'}"
            )
        for text, size in self._fixed.items():
            dim = self._dims[text]
            if not hasattr(size, "__index__") or size < 0:
                raise ImportModelError(
                    f"{name}: dims= gives {text} the size {size!r}; it is an int, at least 0"
                )
            if dim != size:
                raise ImportModelError(
                    f"{name}: dims= gives {text} the size {size}, but it is {dim} by its own "
                    "expression; fix the names in it instead"
                )


def dim_texts(inputs: Sequence[onnx.ValueInfoProto]) -> list[str]:
    """Return every `dim_param` of the inputs, in order."""
    return [
        d.dim_param for value in inputs for d in value.type.tensor_type.shape.dim if d.dim_param
    ]
