"""Candidate kernels: priority cuts through the e-graph, grown bottom-up by the fusion rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from eqsat.extract._candidate import Candidate
from eqsat.extract._conditions import matching_rule
from eqsat.extract._form import Form, Rows
from eqsat.extract._graph import Graph
from eqsat.extract._order import required_sets
from eqsat.extract._price import ALIAS_S, exact_arithmetic_s, kernel_time_s
from eqsat.extract._sharing import Sharing
from eqsat.rules.fusion import MAX_INTERIOR, MAX_LEAVES, MAX_SELECTS, Template

BEST_PER_CLASS = 8
BEST_PER_TEMPLATE = 2
# Kernels of an operand that are tried, by the number of operands that could be taken in.
_TRIED = {1: 10, 2: 4}
_TRIED_OF_MANY = 2
_MAX_PARTIAL = 24
_REREAD_LIMIT = 1.5
_EXPANSION = 0.5
_MOVED_BY_READERS = 2
# What several readers may take in is offered to all of them in the same few ways.
_OFFERED_TO_ALL = 2
# The part of the time to write a class above which no reader takes it in for itself.
_NEARLY = 0.75
_RANK: dict[Template, int] = {
    "view": 0,
    "pointwise": 1,
    "gather": 2,
    "reduction": 3,
    "row": 4,
    "window": 5,
    "contraction": 6,
    "opaque": 7,
}
_TILED = frozenset({"contraction", "window"})
_BY_ROWS = frozenset({"reduction", "row"})


class CandidateGrower:
    """Grows the candidates of every class of a graph; without `fuses`, of single e-nodes only."""

    def __init__(self, graph: Graph, *, fuses: bool = True) -> None:
        self._graph = graph
        self._fuses = fuses
        self._sharing = Sharing(graph)
        self._required = required_sets(
            self._sharing.order, lambda c: [f.children for f in graph.forms[c]]
        )
        self.candidates: list[list[Candidate]] = [[] for _ in graph.classes]
        self._flow_s = list(self._sharing.flow_s)

    def run(self) -> list[list[Candidate]]:
        """Return the candidates per class number, the best first; none for what is available.

        A view that stays where it is never ends a kernel: what it reads is written as well as it,
        so only the view alone is left where there is one.
        """
        for group in self._sharing.order:
            for _ in range(2 if len(group) > 1 else 1):
                for c in group:
                    if not self._graph.classes[c].is_available:
                        self._grow(c)
        for c, ks in enumerate(self.candidates):
            if any(_is_alias(k) for k in ks):
                self.candidates[c] = [
                    k for k in ks if len(k.interior) == 1 or not k.interior[c].is_alias
                ]
        return self.candidates

    def _grow(self, c: int) -> None:
        found = [k for f in self._graph.forms[c] for k in self._of_form(f)]
        kept = _best(found)
        self.candidates[c] = kept
        self._flow_s[c] = kept[0].flow_s / self._sharing.num_readers[c]

    def _of_form(self, form: Form) -> list[Candidate]:
        options = [self._options(form, i) for i in range(len(form.children))]
        open_operands = sum(1 for o in options if len(o) > 1)
        tried = _TRIED.get(open_operands, _TRIED_OF_MANY)
        partial: list[tuple[Candidate | None, ...]] = [()]
        for o in options:
            partial = [(*p, k) for p in partial for k in o[: tried + 1]][:_MAX_PARTIAL]
        partial += _meeting(options) if open_operands > 1 else []
        built = {p: self._assembled(form, p) for p in partial}
        return [k for p, k in built.items() if k is not None and not self._is_dear(k, p, built)]

    def _is_dear(
        self,
        k: Candidate,
        chosen: tuple[Candidate | None, ...],
        built: Mapping[tuple[Candidate | None, ...], Candidate | None],
    ) -> bool:
        """Tell whether taking in what others read too costs nearly as much as to write it once."""
        shared = [x for x in chosen if x is not None and self._sharing.is_shared[x.root]]
        if not shared:
            return False
        plain = built.get(tuple(None if x in shared else x for x in chosen))
        if plain is None:
            return False
        return k.time_s - plain.time_s >= _NEARLY * sum([x.time_s for x in shared])

    def _options(self, form: Form, operand: int) -> list[Candidate | None]:
        """Return what an operand may become: a leaf (None), or a kernel taken in; best first."""
        graph, c = self._graph, form.children[operand]
        options: list[Candidate | None] = [None]
        is_shared = self._sharing.is_shared[c]
        for inner in self.candidates[c] if self._fuses else ():
            if form.root in inner.interior or form.root in inner.needs or _is_alias(inner):
                continue
            if is_shared and (len(options) > _OFFERED_TO_ALL or self._repeats_too_much(inner)):
                continue
            if self._belongs_below(inner):
                continue
            if matching_rule(graph, form, operand, inner) is not None:
                options.append(inner)
        return options

    def _repeats_too_much(self, inner: Candidate) -> bool:
        """Tell whether taking in a class that others read too costs more than reading it.

        Moving alone may be repeated by a few readers, since it saves a copy. Arithmetic is better
        done once, where the operands are written, unless it makes much out of little.
        """
        if inner.template in _TILED or inner.template in _BY_ROWS or inner.template == "opaque":
            return True
        own = self._graph.classes[inner.root].num_bytes
        num_readers = len(self._sharing.readers[inner.root])
        is_moved = inner.template == "view" and num_readers <= _MOVED_BY_READERS
        limit = _REREAD_LIMIT if is_moved else _EXPANSION
        return sum([b for _, b in inner.reads]) >= limit * own

    def _belongs_below(self, inner: Candidate) -> bool:
        """Tell whether the arithmetic of `inner` can as well be done where an operand is written.

        There it is done once, in registers, and what comes out is no larger than what went in.
        """
        if inner.template not in ("pointwise", "gather") or not inner.needs:
            return False
        return any(
            leaf in other.interior
            or (other.flow_s <= inner.flow_s and self._goes_without(other, leaf))
            for leaf in inner.needs
            if self._sharing.sure_readers[leaf] <= inner.interior.keys()
            for other in self.candidates[inner.root]
            if other.template in _TILED or other.template in _BY_ROWS
        )

    def _goes_without(self, k: Candidate, leaf: int) -> bool:
        """Tell whether `leaf` need not be in memory for the kernel."""
        return all(not self._required[i] >> leaf & 1 for i in k.needs)

    def _assembled(self, form: Form, chosen: Sequence[Candidate | None]) -> Candidate | None:
        """Return the kernel of `form` with the chosen operands taken in; None where they clash."""
        graph = self._graph
        inner = [k for k in chosen if k is not None]
        template = _template(form, inner)
        joined = _joined(form, inner)
        if template is None or joined is None:
            return None
        interior, rows = joined
        reads, arithmetic_s, element_flops = self._totals(form, chosen)
        if any(i in reads for i in interior):
            reads = {i: b for i, b in reads.items() if i not in interior}
        elif len(interior) == 1 + sum([len(k.interior) for k in inner]):
            joined = None  # nothing is there twice: the totals are exact
        selects = form.selects + sum([k.selects for k in inner])
        if inner and not self._fits(form, interior, reads, selects):
            return None
        if joined is not None:
            if not self._is_acyclic(interior):
                return None
            arithmetic_s = exact_arithmetic_s(graph, form.root, interior, rows)
        listed = tuple(sorted(reads.items()))
        needs = frozenset([i for i, _ in listed if not graph.classes[i].is_available])
        if form.root in needs or (inner and self._computes_twice(form.root, interior, needs)):
            return None
        if template == "view" and len(listed) == 1 and all(f.is_alias for f in interior.values()):
            time_s = ALIAS_S
        else:
            time_s = kernel_time_s(graph, form.root, template, listed, arithmetic_s)
        return Candidate(
            form.root,
            interior,
            listed,
            needs,
            template,
            time_s,
            arithmetic_s,
            element_flops,
            selects,
            rows if template in _BY_ROWS else None,
            form.kind == "view" and template in _TILED,
            time_s + sum([self._flow_s[i] for i in needs]),
        )

    def _totals(
        self, form: Form, chosen: Sequence[Candidate | None]
    ) -> tuple[dict[int, float], float, float]:
        """Return the bytes read per leaf, the arithmetic, and the flops per element of the result.

        What several operands share is counted for each.
        """
        classes = self._graph.classes
        elements = max(1, classes[form.root].elements)
        arithmetic_s = form.fixed_s + form.element_s * elements
        element_flops = form.element_flops
        reads: dict[int, float] = {}
        for k, c, amount in zip(chosen, form.children, form.reads, strict=True):
            if k is None:
                full = classes[c]
                num_bytes = amount * full.element_bytes
                reads[c] = min(full.num_bytes, reads.get(c, 0.0) + num_bytes)
                continue
            # The statistics of a row are computed once, however often they are read.
            scale = 1.0 if k.rows is not None else amount / max(1, classes[c].elements)
            arithmetic_s += k.arithmetic_s * scale
            element_flops += k.element_flops * amount / elements
            part = min(1.0, scale)
            for leaf, num_bytes in k.reads:
                total = reads.get(leaf, 0.0) + num_bytes * part
                reads[leaf] = min(classes[leaf].num_bytes, total)
        return reads, arithmetic_s, element_flops

    def _fits(
        self, form: Form, interior: dict[int, Form], reads: dict[int, float], selects: int
    ) -> bool:
        """Tell whether a fused kernel stays within the limits of size."""
        return (
            len(interior) <= MAX_INTERIOR
            and selects <= max(MAX_SELECTS, form.selects)
            and len(reads) <= max(MAX_LEAVES, len(form.children))
        )

    def _computes_twice(self, root: int, interior: dict[int, Form], needs: frozenset[int]) -> bool:
        """Tell whether some operand cannot be computed without work that is inside as well.

        Moving, and what is small next to the result, may be repeated.
        """
        below = 0
        for i in needs:
            below |= self._required[i]
        small = _EXPANSION * self._graph.classes[root].elements
        return any(
            below >> c & 1
            and f.kind not in ("view", "create")
            and (f.kind != "pointwise" or self._graph.classes[c].elements >= small)
            for c, f in interior.items()
        )

    def _is_acyclic(self, interior: dict[int, Form]) -> bool:
        """Tell whether the classes inside can be computed in some order."""
        if not any(self._sharing.in_cycle[c] for c in interior):
            return True
        waiting = {c: {k for k in f.children if k in interior} for c, f in interior.items()}
        while waiting:
            ready = [c for c, below in waiting.items() if not below]
            if not ready:
                return False
            for c in ready:
                del waiting[c]
            for below in waiting.values():
                below.difference_update(ready)
        return True


def _meeting(
    options: Sequence[Sequence[Candidate | None]],
) -> list[tuple[Candidate | None, ...]]:
    """Return combinations in which operands read the same, where each could read something else.

    So parts of one tensor meet again, though none of them is what its operand takes in for itself.
    """
    readers = Counter(i for o in options for i in {i for k in o if k is not None for i in k.needs})
    return [
        tuple(next((k for k in o if k is not None and i in k.needs), None) for o in options)
        for i, count in readers.items()
        if count > 1
    ]


def _is_alias(k: Candidate) -> bool:
    """Tell whether the kernel is one view of memory that stays where it is."""
    return len(k.interior) == 1 and k.interior[k.root].is_alias


def _joined(form: Form, inner: Sequence[Candidate]) -> tuple[dict[int, Form], Rows | None] | None:
    """Return the classes inside and the rows of all together; None where they contradict."""
    interior, parts, rows = {form.root: form}, dict(form.parts), form.rows
    for k in inner:
        if k.rows is not None and rows is not None and rows != k.rows:
            return None
        rows = rows or k.rows
        for i, f in k.interior.items():
            if interior.setdefault(i, f) is not f:
                return None
            if len(f.parts) > 1 and any(parts.setdefault(c, n) is not n for c, n in f.parts):
                return None
    return interior, rows


def _template(form: Form, inner: Sequence[Candidate]) -> Template | None:
    """Return the template of `form` with kernels taken in; None where they do not fit together."""
    own: Template
    match form.kind:
        case "create":
            own = "pointwise"
        case "scan":
            own = "opaque"
        case _:
            own = form.kind
    if not inner:
        return own
    templates: list[Template] = [k.template for k in inner]
    # Several operands may come from the same tile: its epilogue branches and meets again.
    tiles = {f.index for k in inner for f in k.interior.values() if f.kind in _TILED}
    if tiles and (len(tiles) > 1 or any(_RANK[t] in (2, 3, 4) for t in templates)):
        return None
    if any(t in _BY_ROWS for t in templates):
        return "row"
    return max([own, *templates], key=_RANK.__getitem__) if own in ("view", "pointwise") else own


def _best(found: Iterable[Candidate]) -> list[Candidate]:
    """Keep the best, a few of each template, and the best of one e-node; drop the dominated."""
    ordered = sorted(found, key=_rank_key)
    kept: list[Candidate] = []
    per_template: dict[str, int] = {}
    seen_alone = False
    for k in ordered:
        is_alone = len(k.interior) == 1
        if any(_dominates(other, k) for other in kept) and not (is_alone and not seen_alone):
            continue
        count = per_template.get(k.template, 0)
        is_wanted = len(kept) < BEST_PER_CLASS or count < BEST_PER_TEMPLATE
        if is_wanted or (is_alone and not seen_alone):
            kept.append(k)
            per_template[k.template] = count + 1
            seen_alone = seen_alone or is_alone
    return kept


def _rank_key(k: Candidate) -> tuple[object, ...]:
    leaves = tuple(i for i, _ in k.reads)
    return (
        k.flow_s,
        k.time_s,
        len(k.interior),
        leaves,
        tuple(f.index for f in k.interior.values()),
    )


def _dominates(other: Candidate, k: Candidate) -> bool:
    return (
        other.time_s <= k.time_s
        and other.template == k.template
        and other.is_closed <= k.is_closed
        and other.needs <= k.needs
    )
