"""Guided search: a program of a given form out of an e-graph, for the next search to start from.

After T. Koehler et al., "Guided Equality Saturation" (POPL 2024). Where the best program is out of
reach within the limits, a form on the way to it tells the search where to go.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from eqsat._explain import is_whole, restricted
from eqsat._match import Failure, Matcher, root_operator, shown
from eqsat._snapshot import ClassId, Cover, ENode, Snapshot
from eqsat.extract import DeviceProfile, Sizes, extract
from eqsat.rules import OpTerm, Sketch, subterms
from eqsat.shapes import EqsatError

# So many places are tried, where the cheapest program does not have the form by itself.
_MAX_WAYS = 20

# The depth of a miss where all of the form holds.
_WHOLE_FORM = 1000

# The e-nodes that a match of a sketch needs, by class.
Form = dict[ClassId, ENode]
Alternatives = Mapping[ClassId, Sequence[ENode]]


class SketchError(EqsatError):
    """No program that was found has the form of a sketch."""


@dataclass(frozen=True, slots=True)
class Miss:
    """Where a part of the program came nearest to a sketch: `depth` counts how much of it holds."""

    sketch: Sketch
    text: str
    depth: int


@dataclass(eq=False)
class SketchGoal:
    """Waits for a program that has a value of the form of `sketch`, and takes the cheapest.

    Attributes:
        found: the program, with the e-graph restricted to its forms; None: not yet.
    """

    sketch: Sketch
    profile: DeviceProfile
    dims: Mapping[str, int]
    found: tuple[Snapshot, Cover] | None = None
    operators: set[str] = field(init=False)

    def __post_init__(self) -> None:
        (term,) = self.sketch.sides[0]
        self.operators = {t.op for t in subterms(term) if isinstance(t, OpTerm)}

    def is_reached(self, snapshot: Snapshot) -> bool:
        """Look at an e-graph, unless the program was found before."""
        if self.found is None:
            self.found = self._look(snapshot)
        return self.found is not None

    def miss(self, snapshot: Snapshot, stop: str) -> Miss:
        """Return the place where most of the form holds in an e-graph whose search stopped so."""
        matcher = Matcher(snapshot)
        places = ((r, c) for r in self.sketch.rewrites for c in matcher.places(r.lhs[0]))
        nearest = Miss(self.sketch, f"no value is made by {self._outermost()}", -1)
        for rewrite, c in places:
            found = matcher.match(rewrite, c)
            if not isinstance(found, Failure):
                text = f"{shown(snapshot, c)} matches, but no program can compute it that way: it "
                text += "is known at compile time, or needs its own result"
                nearest = Miss(self.sketch, text, _WHOLE_FORM)
            elif found.depth > nearest.depth:
                text = f"nearest at {shown(snapshot, c)}: {found.text}"
                nearest = Miss(self.sketch, text, found.depth)
        return replace(nearest, text=f"{nearest.text}; the search ended by {stop}")

    def _outermost(self) -> str:
        (term,) = self.sketch.sides[0]
        return root_operator(term)

    def _look(self, snapshot: Snapshot) -> tuple[Snapshot, Cover] | None:
        forms = self._forms(snapshot)
        if not forms:
            return None
        everything = {c: holder.nodes for c, holder in snapshot.classes.items()}
        kept = _with_forms(snapshot, everything, forms)
        ways = itertools.chain([kept], itertools.islice(_ways_to(snapshot, kept, forms), _MAX_WAYS))
        for chosen in (restricted(snapshot, way) for way in ways):
            if not is_whole(chosen):
                continue
            sizes = Sizes.of(chosen, self.dims)
            cover = extract(chosen, self.profile, sizes, time_limit_s=0.0)
            if any(_holds(chosen, cover, form) for form in forms):
                return chosen, cover
        return None

    def _forms(self, snapshot: Snapshot) -> list[Form]:
        """Return a match for each class that has one and is computed at run time."""
        matcher = Matcher(snapshot)
        found: dict[ClassId, Form] = {}
        for rewrite in self.sketch.rewrites:
            for c in matcher.places(rewrite.lhs[0]):
                holder = snapshot.classes.get(c)
                if c in found or holder is None or holder.is_constant:
                    continue
                for match in matcher.matches(rewrite, c):
                    form = dict(match.nodes)
                    if all(form[k] is n for k, n in match.nodes):  # one class, one e-node
                        found[c] = form
                        break
        return [*found.values()]


def _with_forms(snapshot: Snapshot, kept: Alternatives, forms: Sequence[Form]) -> Alternatives:
    """Return the e-nodes with these forms forced, but for those that leave an output without any.

    Halves are tried where not all can be forced together.
    """
    if not forms:
        return kept
    forced = dict(kept)
    for form in forms:
        if all(n in forced[c] for c, n in form.items()):
            forced.update({c: (n,) for c, n in form.items()})
    if is_whole(restricted(snapshot, forced)):
        return forced
    if len(forms) == 1:
        return kept
    half = len(forms) // 2
    return _with_forms(snapshot, _with_forms(snapshot, kept, forms[:half]), forms[half:])


def _ways_to(
    snapshot: Snapshot, kept: Alternatives, forms: Sequence[Form]
) -> Iterator[Alternatives]:
    """Yield the e-nodes with one form and a way to it from an output forced, the nearest first."""
    roots = {next(iter(form)): form for form in forms}
    users: dict[ClassId, tuple[ClassId, ENode]] = {}
    seen = dict.fromkeys(snapshot.outputs)
    queue = deque(seen)
    while queue:
        c = queue.popleft()
        if c in roots:
            yield {**kept, **_way_to(c, users), **{k: (n,) for k, n in roots[c].items()}}
        for node in kept[c]:
            for k in node.children:
                if k not in seen:
                    seen[k] = None
                    users[k] = c, node
                    queue.append(k)


def _way_to(
    c: ClassId, users: Mapping[ClassId, tuple[ClassId, ENode]]
) -> dict[ClassId, tuple[ENode]]:
    way: dict[ClassId, tuple[ENode]] = {}
    while c in users:
        c, node = users[c]
        way[c] = (node,)
    return way


def _holds(snapshot: Snapshot, cover: Cover, form: Form) -> bool:
    """Return whether a program computes its value by these e-nodes; constants are folded."""
    chosen = {c: n for k in cover.kernels for c, n in k.nodes.items()}
    computed = {c: n for c, n in form.items() if not _is_folded(snapshot, c)}
    return all(chosen.get(c) is n for c, n in computed.items())


def _is_folded(snapshot: Snapshot, c: ClassId) -> bool:
    return c in snapshot.classes and snapshot.classes[c].is_constant
