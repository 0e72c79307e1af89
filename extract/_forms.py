"""Makes the forms of a graph: the kind, the reads and the arithmetic of every e-node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from eqsat._snapshot import EXTERN, TUPLE_GET_ITEM, ClassId, ENode, ShapeOperand, Snapshot
from eqsat.extract._flops import (
    Contraction,
    computed,
    contraction_of,
    count_flops,
    is_depthwise,
    product_of,
)
from eqsat.extract._form import Form, Rows
from eqsat.extract._graph import Graph, TensorClass
from eqsat.extract._product_price import product_s, window_s
from eqsat.extract._profile import DeviceProfile
from eqsat.extract._sizes import Sizes
from eqsat.extract._stages import stages_s
from eqsat.ir import Attrs, ObjectType, OpDef, OpKind, ShapeType, TensorType, TupleType, Type, op
from eqsat.rules.fusion import ALIAS_VIEWS, ARITHMETIC_REDUCTIONS, BIJECTIVE_VIEWS, NodeKind
from eqsat.shapes import Shape, itemsize

# Index arithmetic of a view inside another kernel, in flops per element.
_VIEW_FLOPS = 2.0
_SELECT_FLOPS = 2.0
# Results whose field 0 is computed element by element, and what fuses like it.
_POINTWISE_FIELDS = frozenset({"nn.batch_norm", "nn.dropout"})
_VIEW_FIELDS = frozenset({"split"})


@dataclass(frozen=True, slots=True)
class _Work:
    """What is known of a call from its types alone."""

    kind: NodeKind
    flops: float
    rows: Rows | None
    contraction: Contraction | None
    # Where not counted in flops: the seconds with the second operand ready, and to be packed.
    product_s: tuple[float, float] = (0.0, 0.0)


def prepare(
    snapshot: Snapshot,
    profile: DeviceProfile,
    sizes: Sizes,
    keep: Callable[[ENode], bool] = lambda _: True,
) -> Graph:
    """Return the graph of a snapshot with its forms; e-nodes that are not to `keep` are left out.

    Raises:
        ExtractError: an output cannot be computed, or what must stand in memory is no tensor.
        ShapeError: a symbol has no representative size.
    """
    graph = Graph(snapshot, profile, sizes, keep)
    maker = _FormMaker(graph)
    for i, c in enumerate(graph.classes):
        graph.forms.append([] if c.is_available else maker.forms(i, graph.nodes_of(c.id)))
    return graph


class _FormMaker:
    """Makes the forms of a graph; calls of the same operator on the same types are counted once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._memo: dict[object, _Work] = {}
        self._count = 0

    def forms(self, root: int, nodes: Sequence[tuple[tuple[ClassId, ENode], ...]]) -> list[Form]:
        """Return the forms of class number `root`, in the order of `nodes`."""
        return [self._form(root, parts) for parts in nodes]

    def _form(self, root: int, parts: tuple[tuple[ClassId, ENode], ...]) -> Form:
        graph = self._graph
        result_id, node = parts[-1]
        work = self._work(result_id, node)
        kind = self._field_kind(parts, work.kind)
        classes, profile = graph.classes, graph.profile
        children = tuple(
            k
            for k in (graph.number[c] for c in graph.tensor_children(parts))
            if not classes[k].is_absorbed
        )
        out = classes[root]
        positions = [graph.number[c] for c in node.children]
        reads = tuple(
            _reads(kind, node, work, classes[k], out, positions.index(k)) for k in children
        )
        aligned = tuple(kind == "pointwise" and classes[k].shape == out.shape for k in children)
        selects = _selects(kind, node)
        peak = profile.fma_flops_per_s * min(1.0, 4.0 / out.element_bytes)
        fixed_s = element_flops = 0.0
        if work.contraction is not None:
            second = classes[positions[1]]
            # A convolution brings its data into panels, a product the operand on the right.
            packs = kind == "contraction" and ("conv" in node.op or not second.is_constant)
            fixed_s = work.product_s[packs]
        elif kind == "window":
            fixed_s = work.product_s[0]
        elif kind in ("pointwise", "view", "gather", "create"):
            element_flops = work.flops / max(1, out.elements)
            if kind in ("view", "gather"):
                element_flops = _VIEW_FLOPS + _SELECT_FLOPS * selects
        else:
            template = kind if kind in profile.efficiency else "opaque"
            fixed_s = work.flops / (peak * profile.efficiency[template] * _row_threads(graph, work))
            fixed_s += work.product_s[0]
        self._count += 1
        return Form(
            self._count - 1,
            root,
            parts,
            node.op,
            kind,
            children,
            reads,
            aligned,
            element_flops / (peak * profile.efficiency["pointwise"]),
            fixed_s,
            element_flops,
            selects,
            work.rows,
            kind == "view" and node.op in ALIAS_VIEWS,
            kind == "view" and node.op in BIJECTIVE_VIEWS,
        )

    def _field_kind(self, parts: Sequence[tuple[ClassId, ENode]], kind: NodeKind) -> NodeKind:
        """Return how one field of a tuple fuses."""
        if len(parts) == 1:
            return kind
        (_, item), (_, node) = parts
        assert item.op == TUPLE_GET_ITEM
        if node.op in _VIEW_FIELDS:
            return "view"
        # In training it depends on all elements of its channel.
        is_pointwise = node.op in _POINTWISE_FIELDS and not node.attrs.get("training")
        return "pointwise" if is_pointwise and item.attrs["index"] == 0 else "opaque"

    def _work(self, result_id: ClassId, node: ENode) -> _Work:
        classes = self._graph.snapshot.classes
        result = classes[result_id].type
        if node.op == EXTERN:
            return _Work("opaque", 0.0, None, None)
        types = tuple(self._operand_type(o) for o in node.operands)
        key = (node.op, tuple(node.attrs.items()), types, result)
        if key not in self._memo:
            self._memo[key] = self._count_work(op(node.op), node.attrs, types, result)
        return self._memo[key]

    def _operand_type(self, operand: object) -> Type:
        classes = self._graph.snapshot.classes
        match operand:
            case int():
                return classes[operand].type
            case tuple():
                fields = cast("tuple[int, ...]", operand)
                return TupleType(tuple(classes[k].type for k in fields))
            case ShapeOperand(dims):
                return ShapeType(dims)
            case _:
                return ObjectType()

    def _count_work(self, o: OpDef, attrs: Attrs, types: Sequence[Type], result: Type) -> _Work:
        graph = self._graph
        shapes = [t.shape for t in types if isinstance(t, TensorType)]
        known = [s for s in shapes if isinstance(s, tuple)]
        rows = _rows(o, attrs, known)
        if o.kind is OpKind.VIEW:
            return _Work("view", 0.0, None, None)
        if o.kind is OpKind.CONTRACTION and len(known) >= 2 and _shape(result) is not None:
            x, y, out = (self._numbers(s) for s in (known[0], known[1], _shape(result) or ()))
            product = contraction_of(o, attrs, x, y, out)
            if is_depthwise(o, attrs, y):
                seconds = _window_s(graph, o, attrs, out, product.flops)
                return _Work("window", product.flops, None, product, (seconds, seconds))
            tiled = product_of(o, attrs, x, y, out)
            num_bytes = float(itemsize(result.dtype)) if isinstance(result, TensorType) else 4.0
            ready, packed = (
                product_s(tiled, graph.profile, num_bytes, packs=p) for p in (False, True)
            )
            return _Work("contraction", product.flops, None, product, (ready, packed))
        outputs = computed(o, types, attrs, result)
        if o.kind is OpKind.OPAQUE and outputs is not None:
            seconds = stages_s(outputs, graph.sizes, graph.profile)
            if seconds is not None:
                return _Work("opaque", 0.0, None, None, (seconds, seconds))
        flops = count_flops(outputs, (*types, result), graph.sizes, graph.profile)
        if o.kind is OpKind.WINDOW:
            seconds = _window_s(graph, o, attrs, self._numbers(_shape(result) or ()), flops)
            return _Work("window", flops, rows, None, (seconds, seconds))
        return _Work(cast("NodeKind", o.kind.name.lower()), flops, rows, None)

    def _numbers(self, shape: Shape) -> tuple[int, ...]:
        from_sizes = self._graph.size_of
        return tuple(from_sizes(d) for d in shape)


def _shape(ty: Type) -> Shape | None:
    return ty.shape if isinstance(ty, TensorType) and isinstance(ty.shape, tuple) else None


def _rows(o: OpDef, attrs: Attrs, shapes: Sequence[Shape]) -> Rows | None:
    """Return the rows of an operator that reduces or normalises exactly its trailing axes."""
    is_row = o.kind is OpKind.ROW or (
        o.kind is OpKind.REDUCTION and o.name in ARITHMETIC_REDUCTIONS
    )
    if not is_row or not shapes or not ({"axis", "axes"} & set(attrs)):
        return None
    rank = len(shapes[0])
    given = attrs["axes"] if "axes" in attrs else attrs["axis"]
    if given is None:
        axes = set(range(rank))
    else:
        listed = given if isinstance(given, tuple) else (given,)
        axes = {a % rank for a in listed if isinstance(a, int)} if rank else set[int]()
    first = rank - len(axes)
    if not axes or axes != set(range(first, rank)):
        return None
    return Rows(shapes[0][:first], shapes[0][first:])


def _selects(kind: NodeKind, node: ENode) -> int:
    """Return how many choices between sources one element of a view makes."""
    if kind != "view":
        return 0
    arity = sum(len(o) for o in node.operands if isinstance(o, tuple))
    return max(arity - 1, 0) if arity else int("pad" in node.op)


def _reads(
    kind: NodeKind, node: ENode, work: _Work, child: TensorClass, out: TensorClass, position: int
) -> float:
    """Return the elements of `child` read to compute all of `out`."""
    match kind:
        case "view":
            is_part = any(isinstance(o, tuple) for o in node.operands) or "pad" in node.op
            return float(child.elements if is_part else out.elements)
        case "pointwise" | "gather" | "create":
            return float(out.elements)
        case "contraction" | "window" if work.contraction is not None:
            p = work.contraction
            operands = {0: p.m * p.k, 1: p.k * p.n}
            return float(p.batch * operands[position]) if position in operands else out.elements
        case "window":
            return max(float(child.elements), work.flops)
        case "row":
            return 2.0 * child.elements if position == 0 else float(out.elements)
        case _:
            return float(child.elements)


def _window_s(graph: Graph, o: OpDef, attrs: Attrs, out: Sequence[int], flops: float) -> float:
    """Return the seconds of a pooling or depthwise convolution."""
    strides = attrs.get("strides")
    return window_s(
        flops,
        out[-1] if out else 1,
        graph.profile,
        is_strided=isinstance(strides, tuple) and any(s != 1 for s in strides),
        is_maximum="max_pool" in o.name,
    )


def _row_threads(graph: Graph, work: _Work) -> float:
    """Return the part of the threads that have a row to work on."""
    if work.rows is None:
        return 1.0
    count = 1
    for d in work.rows.rows:
        count *= graph.size_of(d)
    return min(1.0, max(1, count) / graph.profile.num_threads)
