"""Random programs under all rules that ship: whatever e-nodes are chosen, the meaning stays."""

from __future__ import annotations

import random

import numpy as np
import pytest

from eqsat._decode import decode
from eqsat._saturate import Limits, saturate
from eqsat.ir import BlockBuilder, Constant, Function, Var, interpret, op
from eqsat.rules import ALL_RULE_SETS
from eqsat.shapes import EqsatError, sym
from tests.eqsat.programs import plain_cover

DTYPE = "float64"
UNARY = ("nn.relu", "abs", "negative", "tanh", "exp", "sigmoid", "square", "erf", "sqrt")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "divide")


class Maker:
    """Adds random calls to a function, with the constants that rules look for."""

    def __init__(self, r: random.Random) -> None:
        self.r = r
        self.rng = np.random.default_rng(r.randrange(10**9))
        self.bb = BlockBuilder()
        n = sym("n") if r.random() < 0.5 else 3
        inputs = (("x", (n, 2, 4)), ("y", (2, 4)), ("w", (4, 4)))
        self.values = [self.bb.input(name, shape, DTYPE) for name, shape in inputs]

    def constant(self, shape: tuple[int, ...]) -> Constant:
        if self.r.random() < 0.5:
            number = self.r.choice([0.0, 1.0, 2.0, -1.0, 0.5])
            return Constant(np.full(shape if self.r.random() < 0.4 else (), number, DTYPE))
        return Constant(self.rng.uniform(0.5, 1.5, shape).astype(DTYPE))

    def unary(self, x: Var) -> Var:
        return self.bb.call(op(self.r.choice(UNARY)), x)

    def binary(self, x: Var) -> Var:
        return self.bb.call(op(self.r.choice(BINARY)), x, self.r.choice(self.values))

    def with_constant(self, x: Var) -> Var:
        tail = x.type.dims[-self.r.randint(1, x.type.ndim) :]
        pair = [x, self.constant(tuple(d if isinstance(d, int) else 1 for d in tail))]
        self.r.shuffle(pair)
        return self.bb.call(op(self.r.choice(BINARY)), *pair)

    def product(self, x: Var) -> Var:
        weight = Constant(self.rng.uniform(0.5, 1.5, (4, 2)))
        return self.bb.call(op("matmul"), x, self.r.choice([self.values[2], weight]))

    def permuted(self, x: Var) -> Var:
        axes = tuple(self.r.sample(range(x.type.ndim), x.type.ndim))
        return self.bb.call(op("permute_dims"), x, axes=axes)

    def reshaped(self, x: Var) -> Var:
        *rest, a, b = (1, *x.type.dims)
        return self.bb.call(op("reshape"), x, (*rest, a * b))

    def reduced(self, x: Var) -> Var:
        name, axis = self.r.choice(["sum", "mean", "max"]), (self.r.choice([-1, 0]),)
        return self.bb.call(op(name), x, axis=axis, keepdims=self.r.random() < 0.6)

    def joined(self, x: Var) -> Var:
        both = [x, self.r.choice(self.values)]
        return self.bb.call(op("concat"), both, axis=self.r.choice([0, -1]))


def random_function(r: random.Random) -> Function:
    """A function of a few calls."""
    maker = Maker(r)
    kinds = (
        maker.unary,
        maker.binary,
        maker.with_constant,
        maker.product,
        maker.permuted,
        maker.reshaped,
        maker.reduced,
        maker.joined,
    )
    for _ in range(r.randint(2, 9)):
        try:
            maker.values.append(r.choice(kinds)(r.choice(maker.values[-4:])))
        except EqsatError:  # the types do not fit: try something else
            continue
    return maker.bb.function(maker.values[-2:] if r.random() < 0.5 else maker.values[-1])


@pytest.mark.parametrize("seed", range(0, 60, 6))
def test_every_choice_of_e_nodes_means_the_same(seed: int) -> None:
    for s in range(seed, seed + 6):
        _check(random.Random(s))


def _check(r: random.Random) -> None:
    function = random_function(r)
    snapshot, _ = saturate(function, ALL_RULE_SETS, limits=Limits(num_nodes=3000, time_s=5))
    rng = np.random.default_rng(0)
    # n = 4 fits wherever a product needs the last axis to be 4.
    shapes = [tuple(d if isinstance(d, int) else 4 for d in p.type.dims) for p in function.params]
    args = [rng.uniform(0.2, 1.5, s) for s in shapes]
    with np.errstate(all="ignore"):
        wanted = interpret(function, *args)
        for trial in range(4):
            choose = {c: r.randrange(len(e.nodes)) for c, e in snapshot.classes.items()}
            cover = plain_cover(snapshot, choose if trial else None)
            got = interpret(decode(snapshot, cover, function), *args)
            _assert_same(wanted, got)


def _assert_same(wanted: object, got: object) -> None:
    pairs = zip(wanted, got, strict=True) if isinstance(wanted, tuple) else [(wanted, got)]
    for a, b in pairs:
        # Where the program gives no number, rules over the reals promise nothing.
        finite = np.isfinite(a)
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(b[finite], a[finite], rtol=1e-6, atol=1e-6)
