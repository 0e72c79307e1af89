"""Follows the engine step by step, and keeps why terms are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eqsat._proofs import Proofs, TermId
from eqsat._tables import Application, Contents, EngineRule, Node, Row, Symbol, derivation

if TYPE_CHECKING:
    from eqsat._encode import Program
    from eqsat._symbols import Vocabulary

LoadedNode = tuple[Symbol, tuple[int, ...], tuple[int, ...]]


class Recorder:
    """The proofs of one saturation: what the engine did, in its order, over exact terms.

    Attributes:
        program_terms: the term of each e-node of the program.
        rewrites: what the rules of the engine are, by index: the names of the rewrite and its rule.
    """

    def __init__(self) -> None:
        self.proofs = Proofs()
        self.program_terms: list[TermId] = []
        self.rewrites: dict[int, tuple[str, str]] = {}
        self._read: tuple[Program, Vocabulary] | None = None

    @property
    def program(self) -> Program:
        """The program's e-nodes."""
        assert self._read is not None, "nothing was recorded"
        return self._read[0]

    @property
    def words(self) -> Vocabulary:
        """What symbols and columns stand for."""
        assert self._read is not None, "nothing was recorded"
        return self._read[1]

    def reads(self, program: Program, words: Vocabulary) -> None:
        """Take what the integers of the engine stand for."""
        self._read = program, words

    def loaded(self, nodes: Sequence[LoadedNode]) -> None:
        """Take the program's e-nodes; operands are positions of earlier ones."""
        self.program_terms = self._added(nodes)

    def united(self, nodes: Sequence[LoadedNode], pairs: Sequence[tuple[int, int, int]]) -> None:
        """Take what a normal form united: pairs of positions in `nodes`, and the rule."""
        terms = self._added(nodes)
        for left, right, rule in pairs:
            self.proofs.unite(terms[left], terms[right], rule)

    def applied(
        self,
        contents: Contents,
        rules: Mapping[int, EngineRule],
        applications: Sequence[Application],
    ) -> None:
        """Take the applications of rules in an e-graph with these contents."""
        terms = self._terms_of(contents.rows)
        for application in applications:
            rule = rules[application.rule]
            values: dict[str, int] = dict(application.values)
            classes = {v: terms[c] for v, c in application.classes.items()}
            if not self._is_known(rule, classes, values):
                self._apply(rule, classes, values)

    def _added(self, nodes: Sequence[LoadedNode]) -> list[TermId]:
        terms: list[TermId] = []
        for symbol, operands, columns in nodes:
            terms.append(self.proofs.add(symbol, tuple(terms[k] for k in operands), columns))
        return terms

    def _terms_of(self, rows: Sequence[Row]) -> dict[int, TermId]:
        """Return a term of each class of the engine."""
        terms: dict[int, TermId] = {}
        for c, row in derivation(rows).items():
            found = self.proofs.find(row.symbol, [terms[k] for k in row.classes], row.columns)
            assert found is not None, f"no term is recorded for an e-node of {row.symbol.name}"
            terms[c] = self.proofs.first(found)
        return terms

    def _is_known(
        self, rule: EngineRule, classes: Mapping[str, TermId], values: Mapping[str, int]
    ) -> bool:
        """Return whether the right sides are there, and equal to the left ones."""
        found = dict(classes)
        for new in rule.new:
            node = new.node
            term = self.proofs.find(
                node.symbol, [found[c] for c in node.classes], _columns(node, values)
            )
            if term is None:
                return False
            found[node.result] = term
        leader = self.proofs.leader
        return all(leader(found[a]) == leader(found[b]) for a, b in rule.unions)

    def _apply(
        self, rule: EngineRule, classes: Mapping[str, TermId], values: Mapping[str, int]
    ) -> None:
        """Add both sides as exact terms over the same operands, and unite them."""
        terms = dict(classes)
        for node in (*rule.body, *(new.node for new in rule.new)):
            operands = tuple(terms[c] for c in node.classes)
            terms[node.result] = self.proofs.add(node.symbol, operands, _columns(node, values))
        for node in rule.body:
            term, matched = (self.proofs.leader(t[node.result]) for t in (terms, classes))
            assert term == matched, f"a match of rule {rule.index} is none over exact terms"
        for left, right in rule.unions:
            self.proofs.unite(terms[left], terms[right], rule.index)


def _columns(node: Node, values: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(values[c] if isinstance(c, str) else c for c in node.columns)
