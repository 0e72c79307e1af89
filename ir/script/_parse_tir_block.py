"""Reading what a TensorIR block declares: axes, regions, allocations, annotations."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from eqsat.ir._tir import (
    Address,
    Annotation,
    AxisKind,
    Buffer,
    BufferRegion,
    IntImm,
    IterVar,
    PrimExpr,
    Range,
    Stmt,
    Var,
    binary,
)
from eqsat.ir.script._parse_tir_displays import DisplayReader, Named, plain
from eqsat.ir.script._parse_tir_expr import TirExprReader
from eqsat.ir.script._parse_tir_signature import SignatureReader
from eqsat.ir.script._parse_tir_views import BoxView, FlatView, View, difference, row_strides
from eqsat.ir.script._source import Source
from eqsat.ir.script._syntax import (
    bind,
    callee,
    is_none,
    required,
    sequence,
    text_literal,
)

_SCOPES = {"T.alloc_local": "local", "T.alloc_shared": "shared"}
_ALLOCATIONS = ("T.sblock_alloc_buffer", "T.alloc_buffer", "T.allocate", *_SCOPES)
_DECLARATIONS = ("T.decl_buffer", "T.buffer_decl", "T.Buffer")
_SIGNATURE = (
    "shape dtype data strides elem_offset scope align offset_factor buffer_type axis_separators"
)
BLOCK_ATTRS = ("T.sblock_attr", "T.block_attr")
_AXES: dict[str, AxisKind] = {
    "T.axis.spatial": "S", "T.axis.S": "S", "T.axis.reduce": "R", "T.axis.R": "R",
    "T.axis.opaque": "opaque", "T.axis.scan": "scan",
}  # fmt: skip


class BlockParts:
    """What the statements at the top of a block declare."""

    def __init__(self) -> None:
        self.iters: list[IterVar] = []
        self.reads: tuple[BufferRegion, ...] | None = None
        self.writes: tuple[BufferRegion, ...] | None = None
        self.init: Stmt | None = None
        self.predicate: PrimExpr = IntImm(1, "bool")
        self.allocations: list[Buffer] = []
        self.annotations: Mapping[str, Annotation] = {}


class DeclarationReader:
    """Reads the declarations at the top of blocks; names what they declare in `names`."""

    def __init__(
        self,
        source: Source,
        names: dict[str, Named],
        exprs: TirExprReader,
        signature: SignatureReader,
        loops: Mapping[Var, Range],
        displays: DisplayReader,
    ) -> None:
        self._source = source
        self._names = names
        self._exprs = exprs
        self._signature = signature
        self._loops = loops
        self._displays = displays

    def read(self, node: ast.stmt, parts: BlockParts) -> bool:
        """Read the declaration `node` into `parts`; return whether it is one."""
        match node:
            case ast.Assign(targets=[target], value=ast.Call() as call):
                return self._declared_names(target, call, parts)
            case ast.Expr(value=ast.Call() as call):
                return self._declared_property(call, parts)
            case _:
                return False

    def _declared_names(self, target: ast.expr, call: ast.Call, parts: BlockParts) -> bool:
        name = callee(call)
        if self.is_allocation(call) and isinstance(target, ast.Name):
            parts.allocations.append(self.allocation(target.id, call))
            return True
        if isinstance(target, ast.Name) and self.view(target.id, call):
            return True
        if name == "T.axis.remap":
            self._remap(target, call, parts)
            return True
        if name in _AXES:
            if not isinstance(target, ast.Name):
                raise self._source.error(target, "an axis has one name")
            self._axis(target.id, call, parts)
            return True
        if name.startswith("T.axis."):
            raise self._source.error(call, f"axes of kind {name} are not supported")
        return False

    def is_allocation(self, node: ast.expr) -> bool:
        """Say whether an expression allocates a buffer."""
        if callee(node) in _DECLARATIONS and isinstance(node, ast.Call):
            return is_none(bind(self._source, node, _SIGNATURE).get("data"))
        return callee(node) in _ALLOCATIONS

    def allocation(self, name: str, call: ast.Call) -> Buffer:
        """Return the buffer that `name = T.alloc_...` allocates, aligned as we choose."""
        signature = _SIGNATURE
        if callee(call) == "T.allocate":
            signature = "shape dtype scope condition annotations"
        buffer = self._signature.buffer(name, call, signature)
        scope = _SCOPES.get(callee(call))
        buffer = buffer if scope is None else replace(buffer, scope=scope)
        self._names[name] = buffer
        return buffer

    def view(self, name: str, call: ast.Call) -> bool:
        """Read `name = T.match_buffer(A[...], ...)` and its kin; return whether it is one."""
        match callee(call):
            case "T.match_buffer":
                self._box(name, call)
            case declared if declared in _DECLARATIONS:
                self._declared_view(name, call)
            case method if method.endswith(".view") and not method.startswith("T."):
                assert isinstance(call.func, ast.Attribute)
                source = self._exprs.buffer(call.func.value)
                shape = tuple(map(self._exprs.index, call.args))
                self._named(name, FlatView(source, shape, IntImm(0)), shape)
            case _:
                return False
        return True

    def _named(self, name: str, view: View, shape: tuple[PrimExpr, ...]) -> None:
        buffer = Buffer(name, shape, view.source.dtype, view.source.scope)
        self._exprs.views[buffer] = view
        self._names[name] = buffer

    def _box(self, name: str, call: ast.Call) -> None:
        bound = bind(self._source, call, f"region {_SIGNATURE}")
        region = self._region(required(self._source, call, bound, "region"))
        rest = ast.copy_location(ast.Call(call.func, call.args[1:], call.keywords), call)
        source, start = region.buffer, tuple(r.min for r in region.ranges)
        strides = row_strides(source.shape)
        offset: PrimExpr = IntImm(0)
        for s, stride in zip(start, strides, strict=True):
            pair = self._exprs.matched(call, s, stride)
            offset = binary("+", *self._exprs.matched(call, offset, binary("*", *pair)))
        own = self._signature.buffer(name, rest, _SIGNATURE, strides=strides, offset=offset)
        if own.dtype != source.dtype or len(own.shape) > len(source.shape):
            raise self._source.error(call, f"{name} is no part of {source.name} by its type")
        self._named(name, BoxView(source, start), own.shape)

    def _declared_view(self, name: str, call: ast.Call) -> None:
        bound = bind(self._source, call, _SIGNATURE)
        data = bound.pop("data")
        source = self._pointed(data)
        offset_node = bound.pop("elem_offset", None)
        keywords = [ast.keyword(k, v) for k, v in bound.items()]
        own = self._signature.buffer(
            name, ast.copy_location(ast.Call(call.func, [], keywords), call), _SIGNATURE
        )
        if own.dtype != source.dtype:
            raise self._source.error(
                call,
                f"{name} sees the {source.dtype} elements of {source.name} as {own.dtype}; use "
                "T.reinterpret on the values",
            )
        offset = IntImm(0) if offset_node is None else self._exprs.index(offset_node)
        self._named(name, FlatView(source, own.shape, offset), own.shape)

    def _pointed(self, node: ast.expr) -> Buffer:
        """Return the buffer whose data is at a pointer: `A.data`, or a name for it."""
        if isinstance(node, ast.Attribute) and node.attr == "data":
            return self._exprs.buffer(node.value)
        named = self._names.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(named, Address) and not named.indices:
            return named.buffer
        return self._exprs.buffer(node)

    def _axis(self, name: str, call: ast.Call, parts: BlockParts) -> None:
        bound = bind(self._source, call, "dom value dtype")
        domain_node = required(self._source, call, bound, "dom")
        binding = self._exprs.index(required(self._source, call, bound, "value"))
        items = sequence(domain_node)
        if items is None:
            extent = self._exprs.index(domain_node)
            domain = Range(IntImm(0, extent.dtype), extent)
        elif len(items) == 2:
            low, high = (self._exprs.index(i) for i in items)
            low, high = self._exprs.matched(call, low, high)
            domain = Range(low, difference(high, low))
        else:
            raise self._source.error(domain_node, "a domain is an extent or (begin, end)")
        self._add_iter(name, domain, _AXES[callee(call)], binding, parts)

    def _add_iter(
        self,
        name: str,
        domain: Range,
        kind: AxisKind,
        binding: PrimExpr,
        parts: BlockParts,
    ) -> None:
        var = Var(plain(name), domain.extent.dtype)
        self._names[name] = var
        parts.iters.append(IterVar(var, domain, kind, binding))

    def _remap(self, target: ast.expr, call: ast.Call, parts: BlockParts) -> None:
        bound = bind(self._source, call, "kinds bindings")
        kinds = text_literal(self._source, required(self._source, call, bound, "kinds"), "kinds")
        items = sequence(required(self._source, call, bound, "bindings")) or []
        targets = [target] if isinstance(target, ast.Name) else sequence(target) or []
        if len(kinds) != len(items) or set(kinds) - {"S", "R"}:
            raise self._source.error(
                call, "T.axis.remap needs one S or R and one loop for each name"
            )
        loops: list[Var] = []
        for item in items:
            var = self._exprs.expr(item)
            if not isinstance(var, Var) or var not in self._loops:
                raise self._source.error(item, f"{ast.unparse(item)} is not a loop variable")
            loops.append(var)
        names = self._displays.spread(call, targets, len(loops))
        for name, kind, var in zip(names, kinds, loops, strict=True):
            self._add_iter(name, self._loops[var], cast("AxisKind", kind), var, parts)

    def _declared_property(self, call: ast.Call, parts: BlockParts) -> bool:
        match callee(call):
            case "T.where":
                bound = bind(self._source, call, "predicate")
                node = required(self._source, call, bound, "predicate")
                parts.predicate = self._exprs.condition(node)
            case "T.reads":
                parts.reads = self._regions(call, parts)
            case "T.writes":
                parts.writes = self._regions(call, parts)
            case name if name in BLOCK_ATTRS:
                bound = bind(self._source, call, "attrs")
                parts.annotations = self.annotations(required(self._source, call, bound, "attrs"))
            case _:
                return False
        return True

    def _regions(self, call: ast.Call, parts: BlockParts) -> tuple[BufferRegion, ...]:
        items = list(call.args)
        if len(items) == 1 and (listed := sequence(items[0])) is not None:
            items = listed
        regions = tuple(self._region(item) for item in items)
        for item, region in zip(items, regions, strict=True):
            if region.buffer in parts.allocations:
                name = region.buffer.name
                raise self._source.error(item, f"{name} is the block's own; regions are of others")
        return regions

    def _region(self, node: ast.expr) -> BufferRegion:
        if not isinstance(node, ast.Subscript):
            raise self._source.error(node, "a region is written as an access, A[i, 0:16]")
        buffer = self._exprs.buffer(node.value)
        items = self._exprs.indices(node, buffer)
        pairs = zip(items, buffer.shape, strict=True)
        ranges = tuple(self._range(i, d) for i, d in pairs)
        region = BufferRegion(buffer, ranges)
        while region.buffer in self._exprs.views:
            region = self._exprs.views[region.buffer].region(region.ranges)
        return region

    def _range(self, node: ast.expr, size: PrimExpr) -> Range:
        if not isinstance(node, ast.Slice):
            index = self._exprs.index(node)
            return Range(index, IntImm(1, index.dtype))
        if node.step is not None:
            raise self._source.error(node, "regions have no step")
        low = IntImm(0, size.dtype) if node.lower is None else self._exprs.index(node.lower)
        high = size if node.upper is None else self._exprs.index(node.upper)
        low, high = self._exprs.matched(node, low, high)
        return Range(low, difference(high, low))

    def annotations(self, node: ast.expr) -> Mapping[str, Annotation]:
        """Return the annotations of a loop or a block."""
        if not isinstance(node, ast.Dict):
            raise self._source.error(node, "annotations are a dict")
        found: dict[str, Annotation] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise self._source.error(node, "annotations are a dict with string keys")
            name = text_literal(self._source, key, "a key")
            if name == "layout_free_placeholders":
                continue  # names buffers; advice to TVM's own layout rewriting
            found[name] = self._annotation(value)
        return found

    def _annotation(self, value: ast.expr) -> Annotation:
        match value:
            case ast.Constant(str() as word):
                return word
            case ast.Constant(None):
                return None
            case ast.Dict():
                return self.annotations(value)
            case ast.List(items) | ast.Tuple(items):
                return tuple(self._annotation(item) for item in items)
            case _:
                return self._exprs.expr(value)
