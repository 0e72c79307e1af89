"""Buffers that live at once never overlap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eqsat.lowering import Lifetime, plan_memory
from eqsat.shapes import Facts, evaluate, sym

_N, _M = sym("n"), sym("m")
_SIZES = st.one_of(
    st.integers(0, 1000),
    st.sampled_from([_N, 4 * _N, 4 * _N * _M, 8 * _M, 4 * _N + 64, _N // 3 + 1]),
)


@st.composite
def lifetimes(draw: st.DrawFn) -> dict[int, Lifetime]:
    result: dict[int, Lifetime] = {}
    for key in range(draw(st.integers(1, 12))):
        first = draw(st.integers(0, 10))
        result[key] = Lifetime(draw(_SIZES), first, first + draw(st.integers(0, 4)))
    return result


@given(lifetimes(), st.integers(1, 500), st.integers(1, 500))
def test_live_buffers_are_apart(buffers: dict[int, Lifetime], n: int, m: int) -> None:
    plan = plan_memory(buffers, Facts())
    env = {"n": n, "m": m}
    total = evaluate(plan.num_bytes, env)
    places = {
        k: (evaluate(plan.offsets[k], env), evaluate(b.num_bytes, env)) for k, b in buffers.items()
    }
    for k, (start, size) in places.items():
        assert start % 64 == 0
        assert start + size <= total
        for other, (begin, length) in places.items():
            if other < k and buffers[k].meets(buffers[other]):
                assert start + size <= begin or begin + length <= start


def test_dead_buffers_are_reused() -> None:
    buffers = {0: Lifetime(640, 0, 1), 1: Lifetime(640, 1, 2), 2: Lifetime(640, 2, 3)}
    assert plan_memory(buffers, Facts()).num_bytes == 1280


def test_symbolic_buffers_of_one_size_are_reused() -> None:
    buffers = {0: Lifetime(64 * _N, 0, 1), 1: Lifetime(64 * _N, 2, 3)}
    assert plan_memory(buffers, Facts()).num_bytes == 64 * _N
