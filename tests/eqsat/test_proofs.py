"""The proof forest: what is equal, why, and that a proof rests on what was known before."""

from __future__ import annotations

import numpy as np
import pytest

from eqsat._chain import chain
from eqsat._proofs import CONGRUENCE, Proofs
from eqsat._tables import Symbol

LEAF, UNARY, BINARY = Symbol("leaf", 0, 1), Symbol("f", 1, 0), Symbol("g", 2, 0)


def leaf(proofs: Proofs, i: int) -> int:
    return proofs.add(LEAF, (), (i,))


def test_congruent_terms_are_equal_and_the_proof_says_so() -> None:
    proofs = Proofs()
    a, b = leaf(proofs, 0), leaf(proofs, 1)
    left, right = (proofs.add(UNARY, (proofs.add(UNARY, (x,), ()),), ()) for x in (a, b))
    assert proofs.leader(left) != proofs.leader(right)
    proofs.unite(a, b, 7)
    assert proofs.leader(left) == proofs.leader(right)
    assert [link.rule for link in proofs.path(left, right)] == [CONGRUENCE]
    assert [(k.left, k.right, k.rule, k.forward) for k in proofs.path(b, a)] == [(b, a, 7, False)]


def test_a_term_that_is_added_later_joins_the_class_of_its_form() -> None:
    proofs = Proofs()
    a, b = leaf(proofs, 0), leaf(proofs, 1)
    first = proofs.add(UNARY, (a,), ())
    proofs.unite(a, b, 1)
    assert proofs.find(UNARY, [b], ()) == first
    assert proofs.leader(proofs.add(UNARY, (b,), ())) == proofs.leader(first)
    assert proofs.first(b) == a


def test_a_shared_value_is_rewritten_once_however_often_it_is_used() -> None:
    proofs = Proofs()
    a, b = leaf(proofs, 0), leaf(proofs, 1)
    left, right = a, b
    for _ in range(60):  # a tree of 2^60 leaves
        left, right = (proofs.add(BINARY, (x, x), ()) for x in (left, right))
    proofs.unite(a, b, 3)
    steps = chain(proofs, (left,), (right,))
    assert [(s.link.left, s.link.right, s.repeats) for s in steps] == [(a, b, False)]
    assert steps[-1].outputs == (right,)


def test_places_that_wait_for_each_other_repeat_what_was_derived() -> None:
    proofs = Proofs()
    a, a2, b, b2 = (leaf(proofs, i) for i in range(4))
    # left: g(a, _) → g(b, _) → … and the other way about, so that neither can be first for both.
    h, k = Symbol("h", 1, 0), Symbol("k", 1, 0)
    one = [proofs.add(h, (a,), ()), proofs.add(h, (a2,), ())]
    two = [proofs.add(k, (b,), ()), proofs.add(k, (b2,), ())]
    proofs.unite(a, a2, 1)
    proofs.unite(b, b2, 2)
    proofs.unite(one[1], two[0], 3)
    steps = chain(proofs, (one[0], two[1]), (two[1], one[0]))
    assert steps[-1].outputs == (two[1], one[0])
    assert {s.link.rule for s in steps if not s.repeats} == {1, 2, 3}


@pytest.mark.parametrize("seed", range(30))
def test_random_proofs_lead_from_one_term_to_the_other(seed: int) -> None:
    """Each link is one that was united, or joins terms whose operands have proofs of their own."""
    rng = np.random.default_rng(seed)
    proofs = Proofs()
    terms = [leaf(proofs, i) for i in range(6)]
    united: set[tuple[int, int, int]] = set()
    for rule in range(60):
        pick = [int(i) for i in rng.integers(0, len(terms), 2)]
        if rng.random() < 0.6:
            symbol = UNARY if rng.random() < 0.5 else BINARY
            operands = tuple(terms[i] for i in pick[: symbol.num_classes])
            terms.append(proofs.add(symbol, operands, ()))
        elif proofs.leader(terms[pick[0]]) != proofs.leader(terms[pick[1]]):
            united.add((terms[pick[0]], terms[pick[1]], rule))
            proofs.unite(terms[pick[0]], terms[pick[1]], rule)
    by_class: dict[int, list[int]] = {}
    for t in terms:
        by_class.setdefault(proofs.leader(t), []).append(t)
    for equal in by_class.values():
        for goal in equal[1:]:
            _check_path(proofs, equal[0], goal, united)
            steps = chain(proofs, (equal[0],), (goal,))
            assert (steps[-1].outputs if steps else (equal[0],)) == (goal,)
            for s in steps:
                if not s.repeats:
                    ends = (s.link.left, s.link.right)
                    assert (*(ends if s.link.forward else ends[::-1]), s.link.rule) in united


def _check_path(
    proofs: Proofs, start: int, goal: int, united: set[tuple[int, int, int]], depth: int = 0
) -> None:
    assert depth < 100
    at = start
    for link in proofs.path(start, goal):
        assert link.left == at
        at = link.right
        if link.rule == CONGRUENCE:
            a, b = proofs.terms[link.left], proofs.terms[link.right]
            assert a.symbol == b.symbol
            for x, y in zip(a.operands, b.operands, strict=True):
                _check_path(proofs, x, y, united, depth + 1)
        else:
            ends = (link.left, link.right) if link.forward else (link.right, link.left)
            assert (*ends, link.rule) in united
    assert at == goal
