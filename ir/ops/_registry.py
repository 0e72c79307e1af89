"""The table of operators, and adding one's own."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping

from eqsat.ir._op import OpDef, Operand
from eqsat.shapes import EqsatError


class OperatorError(EqsatError):
    """An operator is not known, or its declaration does not hold together."""


class OperatorTable(Mapping[str, OpDef]):
    """Operators by name, in declaration order; aliases are found but not listed."""

    def __init__(self, ops: Iterable[OpDef]) -> None:
        self._by_name: dict[str, OpDef] = {}
        self._by_alias: dict[str, OpDef] = {}
        for o in ops:
            self.add(o)

    def __getitem__(self, name: str) -> OpDef:
        found = self._by_name.get(name)
        return found if found is not None else self._by_alias[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name or name in self._by_alias

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, o: OpDef) -> OpDef:
        """Add `o` after checking its declaration; return it."""
        _check(o)
        for name in (o.name, *o.aliases):
            if name in self:
                raise OperatorError(
                    f"operator {o.name}: the name {name!r} is taken by {self[name]!r}; "
                    "choose another"
                )
        self._by_name[o.name] = o
        self._by_alias.update(dict.fromkeys(o.aliases, o))
        return o

    def remove(self, name: str) -> None:
        """Remove the operator `name` and its aliases."""
        gone = self._by_name.pop(name)
        for alias in gone.aliases:
            del self._by_alias[alias]

    def close_names(self, name: str) -> list[str]:
        """Return the names most like `name`, best first."""
        return difflib.get_close_matches(name, [*self._by_name, *self._by_alias], n=4, cutoff=0.5)


def _check(o: OpDef) -> None:
    for what in ("infer", "reference"):
        if not callable(getattr(o, what)):
            raise OperatorError(f"operator {o.name}: `{what}` must be callable")
    for what in ("compute", "samples"):
        value = getattr(o, what)
        if value is not None and not callable(value):
            raise OperatorError(f"operator {o.name}: `{what}` must be callable or None")
    names = [x.name for x in (*o.operands, *o.attrs)]
    if repeated := {n for n in names if names.count(n) > 1}:
        raise OperatorError(
            f"operator {o.name}: {', '.join(sorted(repeated))} is declared twice among its "
            "operands and attributes"
        )
    required_after = _required_after_optional(o.operands)
    if required_after:
        raise OperatorError(
            f"operator {o.name}: the operand {required_after} must be given but stands after an "
            "optional one"
        )
    _check_reference(o)


def _required_after_optional(operands: tuple[Operand, ...]) -> str:
    optional_seen = False
    for o in operands:
        if optional_seen and not o.optional:
            return o.name
        optional_seen = optional_seen or o.optional
    return ""


def _check_reference(o: OpDef) -> None:
    """`reference` must take every operand by position and every attribute by keyword."""
    try:
        signature = inspect.signature(o.reference)
    except (TypeError, ValueError):
        return  # a NumPy ufunc or a builtin: nothing to look at
    try:
        signature.bind(*o.operands, **{a.name: None for a in o.attrs})
    except TypeError as error:
        wanted = ", ".join([*(x.name for x in o.operands), *(f"{a.name}=" for a in o.attrs)])
        raise OperatorError(
            f"operator {o.name}: `reference` must accept ({wanted}): {error}"
        ) from None
