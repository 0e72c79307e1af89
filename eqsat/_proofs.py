"""An e-graph that remembers why: exact terms, and a proof forest over them.

A term is an e-node over terms, not over classes, so it is one program that can be read and run. The
edges of the forest join terms that a rule or congruence made equal; each was added when its ends
were not yet equal, so the path between two terms rests on what was known before (Nieuwenhuis and
Oliveras, "Proof-producing congruence closure", 2005; Flatt et al., "Small proofs from congruence
closure", 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eqsat._tables import Symbol

TermId = int


@dataclass(frozen=True, slots=True)
class ExactTerm:
    """An e-node whose operands are terms."""

    symbol: Symbol
    operands: tuple[TermId, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """An edge of the forest, walked from `left` to `right`.

    `rule` is the rule that made them equal, -1 for congruence: then the operands are equal one by
    one. `forward` says whether the link is walked in the rule's direction.
    """

    left: TermId
    right: TermId
    rule: int
    forward: bool = True

    def reversed(self) -> Link:
        """Return the link walked the other way."""
        return Link(self.right, self.left, self.rule, not self.forward)


CONGRUENCE = -1


class Proofs:
    """Terms, the classes they are in, and why."""

    def __init__(self) -> None:
        self.terms: list[ExactTerm] = []
        self._ids: dict[ExactTerm, TermId] = {}
        self._leader: list[TermId] = []
        self._first: list[TermId] = []
        self._size: list[int] = []
        self._users: list[list[TermId]] = []
        self._by_form: dict[ExactTerm, TermId] = {}
        self._parent: list[Link | None] = []  # towards the root of its tree of the forest

    def add(self, symbol: Symbol, operands: tuple[TermId, ...], columns: tuple[int, ...]) -> TermId:
        """Return the id of a term, added where it is not there; it joins the class of its form."""
        term = ExactTerm(symbol, operands, columns)
        found = self._ids.get(term)
        if found is not None:
            return found
        new = self._ids[term] = len(self.terms)
        self.terms.append(term)
        self._leader.append(new)
        self._first.append(new)
        self._size.append(1)
        self._users.append([])
        self._parent.append(None)
        for k in dict.fromkeys(map(self.leader, operands)):
            self._users[k].append(new)
        other = self._by_form.setdefault(self._form(new), new)
        if other != new:
            self._join(new, other, CONGRUENCE)
        return new

    def find(
        self, symbol: Symbol, operands: Sequence[TermId], columns: tuple[int, ...]
    ) -> TermId | None:
        """Return a term that is congruent to this one, None where there is none."""
        form = ExactTerm(symbol, tuple(map(self.leader, operands)), columns)
        return self._by_form.get(form)

    def leader(self, term: TermId) -> TermId:
        """Return what stands for the class of `term`: equal for equal terms."""
        leaders = self._leader
        while leaders[term] != term:
            leaders[term] = leaders[leaders[term]]
            term = leaders[term]
        return term

    def first(self, term: TermId) -> TermId:
        """Return the term of its class that was there first."""
        return self._first[self.leader(term)]

    def unite(self, left: TermId, right: TermId, rule: int) -> None:
        """Note that `rule` says that two terms are equal."""
        self._join(left, right, rule)

    def _form(self, term: TermId) -> ExactTerm:
        exact = self.terms[term]
        return ExactTerm(exact.symbol, tuple(map(self.leader, exact.operands)), exact.columns)

    def _join(self, left: TermId, right: TermId, rule: int) -> None:
        waiting = [(left, right, rule)]
        while waiting:
            a, b, why = waiting.pop()
            kept, merged = self.leader(a), self.leader(b)
            if kept == merged:
                continue
            self._plant(Link(a, b, why))
            if self._size[kept] < self._size[merged]:
                kept, merged = merged, kept
            self._leader[merged] = kept
            self._size[kept] += self._size[merged]
            self._first[kept] = min(self._first[kept], self._first[merged])
            users, self._users[merged] = self._users[merged], []
            for user in users:
                other = self._by_form.setdefault(self._form(user), user)
                if self.leader(other) != self.leader(user):
                    waiting.append((user, other, CONGRUENCE))
            self._users[kept].extend(users)

    def _plant(self, link: Link) -> None:
        """Hang the tree of `link.left` under `link.right`."""
        step: Link | None = link
        at = link.left
        while step is not None:
            before = self._parent[at]
            self._parent[at] = step
            step = before.reversed() if before is not None else None
            at = step.left if step is not None else at

    def path(self, left: TermId, right: TermId) -> list[Link]:
        """Return the links that lead from one term to an equal one."""
        above = {t: i for i, t in enumerate(self._upwards(left))}
        down: list[Link] = []
        at = right
        while at not in above:
            link = self._parent[at]
            assert link is not None, f"terms {left} and {right} are not equal"
            down.append(link.reversed())
            at = link.right
        up: list[Link] = []
        while left != at:
            link = self._parent[left]
            assert link is not None
            up.append(link)
            left = link.right
        return [*up, *reversed(down)]

    def _upwards(self, term: TermId) -> list[TermId]:
        found = [term]
        while (link := self._parent[found[-1]]) is not None:
            found.append(link.right)
        return found
