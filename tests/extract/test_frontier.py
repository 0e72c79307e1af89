"""The frontier passes against the integer program, on segments of random programs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqsat.extract._frontier import Frontier, Orders
from eqsat.extract._greedy import used
from eqsat.extract._ilp import solve_program
from eqsat.extract._segments import Option, Segment


@st.composite
def segments(draw):
    """Classes with options that read classes of lower numbers; the last one must be written."""
    count = draw(st.integers(2, 9))
    options, needs = [], []
    for c in range(count):
        ways = draw(
            st.lists(
                st.tuples(
                    st.integers(1, 20), st.frozensets(st.integers(0, max(c - 1, 0)), max_size=3)
                ),
                min_size=1,
                max_size=4,
            )
        )
        ways = [(t, n if c else frozenset()) for t, n in ways]
        options.append(tuple(Option((), t * 1e-6, n, ()) for t, n in ways))
        needs.append(tuple(tuple(sorted(n)) for _, n in ways))
    return Segment(tuple(range(count)), (count - 1,), tuple(options), tuple(needs), False)


@given(segment=segments())
@settings(max_examples=150, deadline=None)
def test_every_order_gives_the_optimum(segment):
    best = solve_program(segment, 5.0).time_s
    for order in Orders(segment).all():
        assert sorted(order) == list(range(len(segment.classes)))
        found = Frontier(segment, order).cover(1000, 10**6)
        assert found.is_exact
        assert found.time_s == pytest.approx(best)
        assert used(segment, found.choice) == found.choice


@given(segment=segments(), width=st.integers(2, 4))
@settings(max_examples=150, deadline=None)
def test_narrow_passes_give_a_cover_and_a_bound(segment, width):
    best = solve_program(segment, 5.0).time_s
    for order in Orders(segment).all():
        frontier = Frontier(segment, order)
        found = frontier.cover(width, 10**6)
        assert found.time_s >= best * (1 - 1e-9)
        assert used(segment, found.choice) == found.choice
        assert frontier.bound_s(width, found.time_s) <= best * (1 + 1e-9)
        if found.is_exact:
            assert found.time_s == pytest.approx(best)


@st.composite
def layers(draw):
    """Classes of one layer, with options that read earlier ones or the last two of the layer below.

    Position −1 and −2 stand for those of the layer below.
    """
    count = draw(st.integers(3, 6))
    return [
        draw(
            st.lists(
                st.tuples(st.integers(1, 20), st.frozensets(st.integers(-2, c - 1), max_size=2)),
                min_size=1,
                max_size=3,
            )
        )
        for c in range(count)
    ]


def stacked(layer, num_layers):
    """The layer on top of itself; the lowest reads nothing."""
    count = len(layer) * num_layers
    options, needs = [], []
    for c in range(count):
        first = c - c % len(layer)
        ways = [(t, sorted(first + x for x in n if first + x >= 0)) for t, n in layer[c - first]]
        options.append(tuple(Option((), t * 1e-6, frozenset(n), ()) for t, n in ways))
        needs.append(tuple(tuple(n) for _, n in ways))
    return Segment(tuple(range(count)), (count - 1,), tuple(options), tuple(needs), False)


@given(layer=layers())
@settings(max_examples=100, deadline=None)
def test_equal_layers_give_the_optimum(layer):
    segment = stacked(layer, 5)
    best = solve_program(segment, 5.0).time_s
    for order in Orders(segment).all():
        found = Frontier(segment, order).cover(1000, 10**6)
        assert found.is_exact
        assert found.time_s == pytest.approx(best)
        assert used(segment, found.choice) == found.choice


def test_equal_layers_are_settled_once():
    layer = [[(3, {-1}), (2, {-2})], [(1, {0}), (2, {-1})], [(4, {0, 1}), (5, {0})]]
    segments = [stacked(layer, n) for n in (10, 40)]
    frontiers = [Frontier(s, range(len(s.classes) - 1, -1, -1)) for s in segments]
    short, long = (f.cover(1000, 10**6) for f in frontiers)
    assert long.num_states == short.num_states
    assert long.time_s == pytest.approx(4 * short.time_s, rel=0.1)
