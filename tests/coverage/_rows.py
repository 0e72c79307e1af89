"""What the peers rewrite, one row each, and what we do with it.

To add a row, write it in the file of its peer (`tests/coverage/<peer>.py`), run

    python -m pytest -q -n 2 tests/coverage
    python -m pytest -q tests/coverage/test_coverage.py -k page --update-golden

and commit `docs/coverage.md` too. A row says one of

- `rules`: each must fire on `program`, and without all of them the program costs more by estimate.
  `canonical=True` where the gain is not in the price (a reshape less is free anyway): then it must
  not cost more, and have fewer operators than the program as given. Name all rules that lead to
  the result each by itself, or leaving the named ones out changes nothing.
- `mechanism`: no rule, but a part of the optimizer does it (fusion, constant folding, the memory
  plan); `program` must then cost less than it does as given, one kernel per operator.
- `reason`: why it does not apply (training only, a device we do not target …). Such rows do not
  count as inference rows where `is_inference=False`, and count as not covered otherwise.

`program` is a `program(...)` of `_programs.py`, TVMScript, or any callable that returns a module.
Its optimized form must give the numbers of the interpreter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from eqsat._decode import decode
from eqsat._limits import SaturationReport
from eqsat._saturate import saturate
from eqsat._snapshot import CONSTANT, Cover, Snapshot
from eqsat.extract import REFERENCE_PROFILE, Sizes, extract, input_cover
from eqsat.ir import Function, IRModule, TensorType, from_tvmscript, interpret
from eqsat.rules import ALL_RULE_SETS, RuleSet
from eqsat.shapes import Facts, evaluate, symbols
from tests.coverage._programs import InputSpec, Program, seeded_array

_FACTS = Facts(positive=False)


@dataclass(frozen=True, eq=False)
class Row:
    """One rewrite of a peer.

    Attributes:
        peer: whose.
        rewrite: its name there.
        rules: names of our rules that do it.
        program: a program on which they fire.
        dims: representative sizes of symbolic dims, for the estimate.
        sizes: sizes of symbolic dims when the numbers are compared; 3 where nothing is said.
        canonical: it makes programs smaller, not cheaper.
        mechanism: which part of the optimizer does it, where that is no rule.
        reason: why we don't do it.
        is_inference: whether it is about inference on a device that we target.
        rule_sets: rule sets that are not on by default.
    """

    peer: str
    rewrite: str
    rules: tuple[str, ...] = ()
    program: Program | str | Callable[[], IRModule] | None = None
    dims: Mapping[str, int] = field(default_factory=dict[str, int])
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    canonical: bool = False
    mechanism: str = ""
    reason: str = ""
    is_inference: bool = True
    rule_sets: tuple[RuleSet, ...] = ()

    @property
    def is_covered(self) -> bool:
        """Whether we do it."""
        return bool(self.rules or self.mechanism)

    @property
    def name(self) -> str:
        """What tests are called after."""
        return re.sub(r"\W+", "-", f"{self.peer}-{self.rewrite}")

    def module(self) -> IRModule:
        """Return its program."""
        assert self.program is not None, f"{self.name} has no program"
        if isinstance(self.program, str):
            return from_tvmscript(self.program)
        return self.program()


@dataclass(frozen=True, eq=False)
class Optimized:
    """A program saturated and extracted."""

    function: Function
    snapshot: Snapshot
    saturation: SaturationReport
    cover: Cover

    @property
    def module(self) -> IRModule:
        """The result as a module."""
        return decode(self.snapshot, self.cover, self.function)

    @property
    def num_operators(self) -> int:
        """Operators that run, in all kernels."""
        return num_operators(self.cover)


@dataclass(frozen=True, eq=False)
class Measured:
    """What a row's program becomes, and the estimate that it is compared with, in seconds.

    That is the estimate without the row's rules, or of the program as given where it has none.
    """

    result: Optimized
    given: Cover
    before_s: float

    @property
    def after_s(self) -> float:
        """The optimized program."""
        return self.result.cover.time_s


def num_operators(cover: Cover) -> int:
    """Return how many operators run in all kernels of a cover."""
    return sum(1 for k in cover.kernels for n in k.nodes.values() if n.op != CONSTANT)


def optimized(
    module: IRModule, dims: Mapping[str, int], rule_sets: Sequence[RuleSet] = ALL_RULE_SETS
) -> Optimized:
    """Optimize `main` for the reference device: the same everywhere."""
    function = module.relax_function("main")
    snapshot, report = saturate(function, rule_sets, _FACTS)
    cover = extract(snapshot, REFERENCE_PROFILE, Sizes.of(snapshot, dims))
    return Optimized(function, snapshot, report, cover)


def priced_as_given(module: IRModule, dims: Mapping[str, int]) -> Cover:
    """Return the program as it is, one kernel per operator, with its price."""
    snapshot, _ = saturate(module.relax_function("main"), (), _FACTS)
    return input_cover(snapshot, REFERENCE_PROFILE, Sizes.of(snapshot, dims))


def without_rules(rule_sets: Sequence[RuleSet], names: Sequence[str]) -> tuple[RuleSet, ...]:
    """Return the rule sets with the named rules left out."""
    return tuple(replace(s, rules=[r for r in s.rules if r.name not in names]) for s in rule_sets)


@cache
def measured(row: Row) -> Measured:
    """Optimize a row's program with its rules and without."""
    module = row.module()
    rule_sets = (*ALL_RULE_SETS, *row.rule_sets)
    known = {r.name for s in rule_sets for r in s.rules}
    assert set(row.rules) <= known, f"no rule is called {set(row.rules) - known}"
    result = optimized(module, row.dims, rule_sets)
    given = priced_as_given(module, row.dims)
    before_s = given.time_s
    if row.rules:
        fewer = without_rules(rule_sets, row.rules)
        before_s = optimized(module, row.dims, fewer).cover.time_s
    return Measured(result, given, before_s)


def arguments(row: Row, function: Function) -> list[NDArray[np.generic]]:
    """Return small arrays for the parameters."""
    specs = row.program.inputs if isinstance(row.program, Program) else {}
    args: list[NDArray[np.generic]] = []
    for p in function.params:
        assert isinstance(p.type, TensorType)
        sizes = {s: row.sizes.get(s, 3) for s in symbols(p.type.dims)}
        shape = tuple(evaluate(d, sizes) for d in p.type.dims)
        positive = p.name in specs and InputSpec.of(specs[p.name]).is_positive
        args.append(seeded_array(p.name, shape, p.type.dtype, is_positive=positive))
    return args


def assert_same_numbers(row: Row, result: Optimized, module: IRModule) -> None:
    """Compare the optimized program with the interpreter's numbers for the one given."""
    args = arguments(row, result.function)
    wanted, got = interpret(module, *args), interpret(result.module, *args)
    pairs = zip(wanted, got, strict=True) if isinstance(wanted, tuple) else [(wanted, got)]
    for a, b in pairs:
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if a.dtype.kind in "biu":
            np.testing.assert_array_equal(b, a)
            continue
        # Sums of up to some hundred terms in another order; 32 roundings of the largest number.
        wide = a.astype(np.float64)
        scale = float(np.max(np.abs(wide), initial=1.0))
        epsilon = float(np.finfo(a.dtype).eps) if a.dtype.kind == "f" else 2.0**-7
        np.testing.assert_allclose(b.astype(np.float64), wide, rtol=0, atol=32 * epsilon * scale)
