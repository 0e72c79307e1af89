"""The snapshot prepared for growing kernels: tensor classes by number, forms ready to price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

from eqsat._snapshot import CONSTANT, INPUT, TUPLE_GET_ITEM, ClassId, EClass, ENode, Snapshot
from eqsat.extract._form import Form
from eqsat.extract._profile import DeviceProfile
from eqsat.extract._sizes import Sizes, size_of
from eqsat.ir import TensorType, TupleType, has_unknown_dtype, with_dtype
from eqsat.shapes import EXACT_IN_FLOAT32, Dim, EqsatError, Shape, itemsize

# Stands for the number of elements where the shape is not known before the run.
_UNKNOWN_ELEMENTS = 4096


class ExtractError(EqsatError):
    """The snapshot cannot be extracted from; the message names the class."""


@dataclass(frozen=True, eq=False, slots=True)
class TensorClass:
    """A tensor-typed e-class.

    `is_available`: an input or a constant, read without being computed. `is_absorbed`: a rank-0
    constant, which stands inside the kernels that use it.
    """

    id: ClassId
    shape: Shape
    dims: tuple[int, ...]
    elements: int
    element_bytes: float
    is_constant: bool
    is_available: bool
    is_absorbed: bool

    @property
    def num_bytes(self) -> float:
        """The bytes of the tensor."""
        return self.elements * self.element_bytes


class Graph:
    """The part of a snapshot that outputs can reach, in an order that does not depend on ids.

    `classes[i]` and `forms[i]` belong to class number i. Numbers follow from the structure alone:
    most children come before their parents.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        profile: DeviceProfile,
        sizes: Sizes,
        keep: Callable[[ENode], bool],
    ) -> None:
        self.snapshot = _priced(snapshot)
        self.profile = profile
        self.sizes = sizes
        self._keep = keep
        self._nodes: dict[ClassId, list[tuple[tuple[ClassId, ENode], ...]]] = {}
        order = self._waves(self._reach())
        self.number: dict[ClassId, int] = {c: i for i, c in enumerate(order)}
        self.classes: list[TensorClass] = [self._tensor_class(c) for c in order]
        self.constant_bytes_per_s = profile.bytes_per_s(self._weight_bytes())
        self.forms: list[list[Form]] = []  # filled by `prepare`
        self.outputs: tuple[int, ...] = tuple(
            dict.fromkeys(self.number[c] for c in snapshot.outputs)
        )

    def _weight_bytes(self) -> float:
        """Return the bytes of the program's own constants.

        What is folded takes their place, so every cover reads about as much; all constants of the
        e-graph together would be several times that.
        """
        return sum(
            self._tensor_class(c).num_bytes
            for c, e in self.snapshot.classes.items()
            if any(n.op == CONSTANT and not n.rule for n in e.nodes)
        )

    def size_of(self, dim: Dim) -> int:
        """Return the representative number of a dim."""
        return size_of(dim, self.sizes)

    def nodes_of(self, c: ClassId) -> list[tuple[tuple[ClassId, ENode], ...]]:
        """Return the ways to compute a tensor: its e-node, and the tuple's where it is a field."""
        if c not in self._nodes:
            self._nodes[c] = self._expanded(self._class(c))
        return self._nodes[c]

    def tensor_children(self, parts: Iterable[tuple[ClassId, ENode]]) -> list[ClassId]:
        """Return the tensor classes that the parts read, each once."""
        children = [k for _, n in parts for k in n.children]
        return [
            k for k in dict.fromkeys(children) if not isinstance(self._class(k).type, TupleType)
        ]

    def _class(self, c: ClassId) -> EClass:
        try:
            return self.snapshot.classes[c]
        except KeyError:
            raise ExtractError(f"the snapshot has no class {c}, which an e-node reads") from None

    def _expanded(self, c: EClass) -> list[tuple[tuple[ClassId, ENode], ...]]:
        if is_available(c):
            return []
        found: list[tuple[tuple[ClassId, ENode], ...]] = []
        for n in c.nodes:
            if n.op in (INPUT, CONSTANT) or c.id in n.children or not self._keep(n):
                continue
            if n.op != TUPLE_GET_ITEM:
                found.append(((c.id, n),))
                continue
            (source,) = n.children
            inner = [m for m in self._class(source).nodes if self._keep(m)]
            found += [((c.id, n), (source, m)) for m in inner if c.id not in m.children]
        keys = {id(parts): self._sort_key(parts) for parts in found}
        return sorted(found, key=lambda parts: keys[id(parts)])

    def _sort_key(self, parts: Sequence[tuple[ClassId, ENode]]) -> tuple[object, ...]:
        """Order e-nodes by what they say, one level deep, never by ids."""
        key: list[object] = []
        for _, n in parts:
            children = [self._class(k) for k in n.children]
            key += [n.rule != "", n.op, repr(sorted(n.attrs.items(), key=lambda kv: kv[0]))]
            key += [
                repr([(str(k.type), min((m.op for m in k.nodes), default="")) for k in children])
            ]
        return tuple(key)

    def _reach(self) -> list[ClassId]:
        """Return the tensor classes that outputs can reach, depth first, operands in order."""
        done: dict[ClassId, None] = {}
        open_classes: set[ClassId] = set()
        stack = [(c, False) for c in reversed(self.snapshot.outputs)]
        while stack:
            c, is_left = stack.pop()
            if is_left:
                done[c] = None
                continue
            if c in open_classes:
                continue
            open_classes.add(c)
            self._check_tensor(c)
            stack.append((c, True))
            for parts in reversed(self.nodes_of(c)):
                below = reversed(self.tensor_children(parts))
                stack.extend((k, False) for k in below if k not in open_classes)
        return list(done)

    def _check_tensor(self, c: ClassId) -> None:
        e_class = self._class(c)
        if not isinstance(e_class.type, TensorType):
            raise ExtractError(
                f"class {c} of type {e_class.type} is read as a tensor; only tensors stand in "
                "memory, so return or read its fields"
            )

    def _waves(self, reached: list[ClassId]) -> list[ClassId]:
        """Order classes so that each has a form whose children all come before it; drop the rest.

        Raises:
            ExtractError: an output cannot be computed from inputs and constants.
        """
        readers: dict[ClassId, list[tuple[ClassId, int]]] = {c: [] for c in reached}
        missing: list[int] = []
        level: dict[ClassId, int] = {}
        ready: list[ClassId] = []
        for c in reached:
            if is_available(self._class(c)):
                level[c] = 0
                ready.append(c)
                continue
            for parts in self.nodes_of(c):
                children = self.tensor_children(parts)
                for k in children:
                    readers[k].append((c, len(missing)))
                missing.append(len(children))
                if not children and c not in level:
                    level[c] = 0
                    ready.append(c)
        for c in ready:  # grows while it is walked
            for parent, slot in readers[c]:
                missing[slot] -= 1
                if missing[slot] == 0 and parent not in level:
                    level[parent] = level[c] + 1
                    ready.append(parent)
        for c in self.snapshot.outputs:
            if c not in level:
                raise ExtractError(f"output class {c} cannot be computed from inputs and constants")
        rank = {c: i for i, c in enumerate(reached)}
        kept = sorted(level, key=lambda c: (level[c], rank[c]))
        for c in kept:
            self._nodes[c] = [
                parts
                for parts in self.nodes_of(c)
                if all(k in level for k in self.tensor_children(parts))
            ]
        return kept

    def _tensor_class(self, c: ClassId) -> TensorClass:
        e_class = self._class(c)
        assert isinstance(e_class.type, TensorType)
        shape = e_class.type.shape
        dims = tuple(size_of(d, self.sizes) for d in shape) if isinstance(shape, tuple) else ()
        return TensorClass(
            c,
            shape if isinstance(shape, tuple) else (),
            dims,
            prod(dims) if isinstance(shape, tuple) else _UNKNOWN_ELEMENTS,
            self._element_bytes(e_class, e_class.type.dtype),
            e_class.is_constant,
            is_available(e_class),
            e_class.is_constant and shape == (),
        )

    def _element_bytes(self, c: EClass, dtype: str) -> float:
        """Return the bytes an element takes in memory; weights keep a dtype widened at load."""
        if not c.is_constant or dtype != "float32":
            return float(itemsize(dtype))
        sources = [self._class(n.children[0]).type for n in c.nodes if n.op == "astype"]
        kept = [t.dtype for t in sources if isinstance(t, TensorType)]
        return float(min(itemsize(d) for d in (dtype, *kept) if d in (dtype, *EXACT_IN_FLOAT32)))


def _priced(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with float32 for dtypes that are not known: they cost what it does."""
    if not any(has_unknown_dtype(c.type) for c in snapshot.classes.values()):
        return snapshot
    classes = {
        i: replace(c, type=with_dtype(c.type, "float32")) for i, c in snapshot.classes.items()
    }
    return replace(snapshot, classes=classes)


def is_available(c: EClass) -> bool:
    """Tell whether the class is in memory before any kernel runs."""
    return c.is_constant or any(n.op in (INPUT, CONSTANT) for n in c.nodes)
