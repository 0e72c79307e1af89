"""Reading meshes of devices and placements on them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from eqsat.ir._types import DeviceMesh, Placement, TypeCheckError
from eqsat.ir.script._source import Source
from eqsat.ir.script._syntax import bind, callee, int_literal, required, sequence, text_literal

MESH_CALLS = ("R.device_mesh", "R.dist.device_mesh")
_RANGES = ("I.Range", "R.Range")
_NAME = re.compile(r"(.+)\[(\d{1,9})\]")


def mesh(
    source: Source, global_infos: Mapping[str, Sequence[object]], node: ast.expr
) -> DeviceMesh:
    """Return the mesh that `"mesh[0]"` names in `global_infos`, or that `R.device_mesh` spells.

    Raises:
        ParseError: there is none of that name.
        TypeCheckError: it has not one device id a place.
    """
    if isinstance(node, ast.Call) and callee(node) in MESH_CALLS:
        return device_mesh(source, node)
    name = text_literal(source, node, "a device mesh")
    spelled = _NAME.fullmatch(name)
    infos = global_infos.get(spelled[1], ()) if spelled else ()
    index = int(spelled[2]) if spelled else 0
    found = infos[index] if index < len(infos) else None
    if not isinstance(found, DeviceMesh):
        known = [
            f"{kind}[{k}]"
            for kind, listed in global_infos.items()
            for k, info in enumerate(listed)
            if isinstance(info, DeviceMesh)
        ]
        raise source.error(
            node,
            f"the module has no mesh {name!r} (it has: {', '.join(known) or 'none'}); declare it: "
            'I.module_global_infos({"mesh": [R.device_mesh((2, 2), I.Range(0, 4))]})',
        )
    return found


def device_mesh(source: Source, node: ast.Call) -> DeviceMesh:
    """Return the mesh of `R.device_mesh(shape, device_ids)`.

    Raises:
        ParseError: an argument is missing or of another kind.
        TypeCheckError: there is not one device id a place.
    """
    bound = bind(source, node, "shape device_ids")
    shape = _ints(source, required(source, node, bound, "shape"), "the shape of a mesh")
    ids = _device_ids(source, required(source, node, bound, "device_ids"))
    try:
        return DeviceMesh(shape, ids)
    except TypeCheckError as error:
        raise source.locate(error, node) from None


def _device_ids(source: Source, node: ast.expr) -> range | tuple[int, ...]:
    if isinstance(node, ast.Call) and callee(node) in _RANGES:
        bound = bind(source, node, "begin end")
        given = [int_literal(source, n, "a device id") for n in bound.values()]
        return range(*given) if given else range(0)
    return _ints(source, node, "device ids")


def _ints(source: Source, node: ast.expr, what: str) -> tuple[int, ...]:
    items = sequence(node)
    if items is None:
        raise source.error(node, f"{what} must be a list of integers, got {ast.unparse(node)}")
    return tuple(int_literal(source, i, what) for i in items)


def placement(source: Source, node: ast.expr) -> Placement:
    """Return the placement that "S[0], R" spells.

    Raises:
        ParseError: it is no text.
        TypeCheckError: it is no placement.
    """
    text = text_literal(source, node, "a placement")
    try:
        return Placement.from_text(text)
    except TypeCheckError as error:
        raise source.locate(error, node) from None
