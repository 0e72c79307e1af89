"""From equal terms to a chain of programs, one rule application from each to the next.

A conversion turns one term into an equal one, along its path in the proof forest. What a
congruence link needs are conversions of operands. Equal conversions are one, however many places
of the program wait for it: it starts when all have arrived, so a shared value is rewritten once.
Where places wait for each other in a circle one has to go ahead, and the late ones repeat its
result in one step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from eqsat._proofs import CONGRUENCE, Link, Proofs, TermId

Pair = tuple[TermId, TermId]


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One step of the chain.

    Attributes:
        link: the rule application; `link.left` is replaced by `link.right`.
        outputs: the terms of the program's results after it.
        repeats: the step gives another place of the program a value that was derived before, by the
            rule applications since; it is none of its own.
    """

    link: Link
    outputs: tuple[TermId, ...]
    repeats: bool = False


def chain(proofs: Proofs, start: Sequence[TermId], goal: Sequence[TermId]) -> list[ChainStep]:
    """Return the steps from the program with the results `start` to the one with `goal`."""
    return _Chain(proofs, tuple(zip(start, goal, strict=True))).run()


@dataclass(eq=False)
class _Conversion:
    pair: Pair
    links: list[Link]
    users: list[_Conversion] = field(default_factory=list["_Conversion"])
    operands: dict[Pair, _Conversion] = field(default_factory=dict[Pair, "_Conversion"])
    position: int = 0
    has_started: bool = False

    @property
    def is_done(self) -> bool:
        return self.position == len(self.links)

    @property
    def at(self) -> TermId:
        """The term that the links walked so far have led to."""
        return self.links[self.position - 1].right if self.position else self.pair[0]


class _Chain:
    def __init__(self, proofs: Proofs, goals: Sequence[Pair]) -> None:
        self._proofs = proofs
        self._goals = goals
        self._expected = self._count(goals)
        self._arrived: Counter[Pair] = Counter()
        self._conversions: dict[Pair, _Conversion] = {}
        self._steps: list[ChainStep] = []
        self._stack: list[_Conversion] = []

    def _count(self, goals: Sequence[Pair]) -> Counter[Pair]:
        """Return how many places wait for each conversion."""
        found = Counter(p for p in goals if p[0] != p[1])
        stack = [*found]
        while stack:
            for link in self._proofs.path(*stack.pop()):
                for pair in self._operands(link):
                    found[pair] += 1
                    if found[pair] == 1:
                        stack.append(pair)
        return found

    def _operands(self, link: Link) -> list[Pair]:
        """Return the conversions that a congruence link needs."""
        if link.rule != CONGRUENCE:
            return []
        left, right = (self._proofs.terms[t].operands for t in (link.left, link.right))
        return [p for p in dict.fromkeys(zip(left, right, strict=True)) if p[0] != p[1]]

    def run(self) -> list[ChainStep]:
        for pair in self._goals:
            if pair[0] != pair[1]:
                self._arrive(pair, None)
        while True:
            while self._stack:
                self._advance(self._stack.pop())
            waiting = [c for c in self._conversions.values() if not c.has_started]
            if not waiting:
                break
            self._start(max(waiting, key=lambda c: self._arrived[c.pair] / self._expected[c.pair]))
        assert self._outputs() == tuple(b for _, b in self._goals)
        return self._steps

    def _arrive(self, pair: Pair, user: _Conversion | None) -> None:
        """Let one more place wait for a conversion, which starts with the last one."""
        self._arrived[pair] += 1
        conversion = self._conversions.get(pair)
        if conversion is None:
            conversion = self._conversions[pair] = _Conversion(pair, self._proofs.path(*pair))
        before = self._outputs() if conversion.has_started else ()
        if user is not None:
            conversion.users.append(user)
            user.operands[pair] = conversion
        if conversion.has_started and (after := self._outputs()) != before:
            jump = Link(pair[0], self._now(conversion), CONGRUENCE)
            self._steps.append(ChainStep(jump, after, repeats=True))
        if not conversion.has_started and self._arrived[pair] == self._expected[pair]:
            self._start(conversion)

    def _start(self, conversion: _Conversion) -> None:
        conversion.has_started = True
        self._stack.append(conversion)

    def _advance(self, c: _Conversion) -> None:
        """Walk links until one has to wait for its operands."""
        while not c.is_done:
            link = c.links[c.position]
            if link.rule == CONGRUENCE:
                needed = self._operands(link)
                for pair in needed:
                    if pair not in c.operands:
                        self._arrive(pair, c)
                if any(not c.operands[p].is_done for p in needed):
                    return
                c.operands.clear()
                c.position += 1
            else:
                c.position += 1
                self._steps.append(ChainStep(link, self._outputs()))
        for user in dict.fromkeys(c.users):
            if user.has_started and not user.is_done and c.pair in user.operands:
                self._stack.append(user)

    def _outputs(self) -> tuple[TermId, ...]:
        """Return the terms of the results as they stand."""
        current: dict[Pair, TermId] = {}
        roots = (self._conversions.get(p) for p in self._goals)
        return tuple(
            self._now(root, current) if root else pair[0]
            for root, pair in zip(roots, self._goals, strict=True)
        )

    def _now(self, root: _Conversion, current: dict[Pair, TermId] | None = None) -> TermId:
        """Return the term that a conversion has come to, with those of its operands."""
        current = {} if current is None else current
        for c in _operands_first(root, lambda c: c.pair in current):
            current[c.pair] = self._current(c, current)
        return current[root.pair]

    def _current(self, c: _Conversion, current: dict[Pair, TermId]) -> TermId:
        if not c.operands or c.is_done:
            return c.at
        link = c.links[c.position]
        left, right = self._proofs.terms[link.left], self._proofs.terms[link.right]
        pairs = zip(left.operands, right.operands, strict=True)
        operands = tuple(current.get(p, p[0]) for p in pairs)
        return self._proofs.add(left.symbol, operands, left.columns)


def _operands_first(
    root: _Conversion, is_known: Callable[[_Conversion], bool]
) -> Iterator[_Conversion]:
    stack = [root]
    while stack:
        top = stack[-1]
        waiting = [c for c in top.operands.values() if not is_known(c)]
        if waiting and not is_known(top):
            stack.extend(waiting)
            continue
        stack.pop()
        if not is_known(top):
            yield top
