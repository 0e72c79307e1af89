"""What an attribute of an operator, a function or a module can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eqsat.ir._types import DeviceMesh, Placement
from eqsat.shapes import Dim


@dataclass(frozen=True, slots=True)
class AttrMap:
    """A dict as an attribute; `kind` is "target" for `T.target({...})`, else ""."""

    items: tuple[tuple[str, AttrValue], ...]
    kind: str = ""


AttrValue = (
    None
    | bool
    | int
    | float
    | str
    | Dim
    | tuple["AttrValue", ...]
    | AttrMap
    | DeviceMesh
    | Placement
)
Attrs = Mapping[str, AttrValue]
