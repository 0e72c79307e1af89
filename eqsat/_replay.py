"""Runs a chain of programs by the reference interpreter and compares the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from eqsat._inputs import filled_inputs
from eqsat.ir import IRModule, Numerics, interpret
from eqsat.rules import Rule
from eqsat.shapes import EqsatError, is_float, machine_epsilon

if TYPE_CHECKING:
    from eqsat._trace import Trace

# How far off a rule that is not exact may be, in units of the last place of the largest element.
_MAX_ULPS = 2000.0

# Programs that are run together: they share what they have in common.
_RUN_TOGETHER = 16


@dataclass(frozen=True, slots=True)
class StepError:
    """What one step did to the numbers.

    Attributes:
        number: the step, from 1.
        rule: its rule.
        error: the greatest difference as a fraction of the greatest element; 0 for equal bits.
        bound: what it may be.
        what: "value" for the value that the step rewrites, or "results" of the whole program.
    """

    number: int
    rule: str
    error: float
    bound: float
    what: str

    @property
    def holds(self) -> bool:
        """Whether the numbers agree."""
        return self.error <= self.bound


@dataclass(frozen=True, slots=True)
class Replay:
    """The comparisons of a replay, in order."""

    errors: tuple[StepError, ...]

    @property
    def failures(self) -> tuple[StepError, ...]:
        """The comparisons that failed."""
        return tuple(e for e in self.errors if not e.holds)

    @property
    def worst(self) -> float:
        """The greatest error of all, as a fraction."""
        return max((e.error for e in self.errors), default=0.0)

    def __str__(self) -> str:
        lines = [
            f"{len(self.errors)} comparisons, {len(self.failures)} failed, worst {self.worst:.2g}"
        ]
        lines += [
            f"step {e.number} ({e.rule}): {e.what} off by {e.error:.2g}" for e in self.failures
        ]
        return "\n".join(lines)


def replayed(
    traces: Sequence[Trace],
    rules: Mapping[str, Rule],
    inputs: Mapping[str, Any],
    *,
    seed: int,
    whole: bool,
    progress: Callable[[str, float], None],
) -> Replay:
    """Return the comparisons of all steps of the traces.

    Raises:
        EqsatError: inputs are given for a module of several parts, or do not fit.
    """
    parts = {t.search.function.name for t in traces}
    if inputs and len(parts) != 1:
        raise EqsatError(
            f"the module has {len(parts)} parts, so replay takes random inputs for each; leave "
            "`inputs` out"
        )
    errors: list[StepError] = []
    offset = 0
    for k, t in enumerate(traces):
        progress("replay", k / len(traces))
        args = _arguments(t, inputs, seed)
        errors += _values(t, rules, args, offset)
        if whole:
            errors += _results(t, rules, args, offset)
        offset += len(t.steps)
    return Replay(tuple(sorted(errors, key=lambda e: (e.number, e.what))))


def _arguments(t: Trace, inputs: Mapping[str, Any], seed: int) -> list[Any]:
    filled = filled_inputs(t.search.function, t.settings.dims, inputs, seed=seed)
    return [*filled.values()]


def _values(
    t: Trace, rules: Mapping[str, Rule], args: Sequence[Any], offset: int
) -> Iterator[StepError]:
    """Compare the value that each step rewrites, computed as before and as after."""
    terms = [term for s in t.steps for term in (s.link.left, s.link.right)]
    flat = iter(_run(t, terms, args))
    for i, s in enumerate(t.steps, offset + 1):
        name = "" if s.repeats else t.rewrites[s.link.rule][1]
        yield _compared(i, name, rules.get(name), next(flat), next(flat), "value")


def _results(
    t: Trace, rules: Mapping[str, Rule], args: Sequence[Any], offset: int
) -> Iterator[StepError]:
    """Compare the results of each program with those of the first."""
    expected = _run(t, t.start, args)
    for first in range(0, len(t.steps), _RUN_TOGETHER):
        steps = t.steps[first : first + _RUN_TOGETHER]
        found = iter(_run(t, [term for s in steps for term in s.outputs], args))
        for i, s in enumerate(steps, first + 1):
            name = "" if s.repeats else t.rewrites[s.link.rule][1]
            if name and rules[name].accuracy:
                return
            for value in expected:
                yield _compared(offset + i, name, None, value, next(found), "results")


def _run(t: Trace, terms: Sequence[int], args: Sequence[Any]) -> list[Any]:
    """Return the values of these terms."""
    if not terms:
        return []
    function = t.states.function(terms, as_tuple=True)
    return list(interpret(IRModule({function.name: function}), *args, function=function.name))


def _compared(
    number: int, name: str, rule: Rule | None, before: Any, after: Any, what: str
) -> StepError:
    pairs = zip(_arrays(before), _arrays(after), strict=True)
    numerics = rule.numerics if rule else Numerics.REASSOCIATING
    error, bound = 0.0, 0.0
    for a, b in pairs:
        error = max(error, _error(a, b))
        bound = max(bound, _bound(a, numerics, rule))
    return StepError(number, name, error, bound, what)


def _arrays(value: Any) -> list[NDArray[np.generic]]:
    if isinstance(value, tuple):
        return [a for v in cast("tuple[Any, ...]", value) for a in _arrays(v)]
    return [np.asarray(value)]


def _bound(a: NDArray[np.generic], numerics: Numerics, rule: Rule | None) -> float:
    """Return how far off a value may be, as a fraction of its greatest element."""
    if not is_float(a.dtype.name):
        return 0.0
    if rule and rule.accuracy:
        return rule.accuracy.relative + rule.accuracy.absolute / max(_scale(a), 1e-30)
    ulp = machine_epsilon(a.dtype.name)
    return _MAX_ULPS * ulp if numerics is not Numerics.EXACT else 0.0


def _scale(a: NDArray[np.generic]) -> float:
    finite = np.asarray(a, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(np.max(np.abs(finite), initial=0.0))


def _error(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Return the greatest difference as a fraction of the greatest element."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if not is_float(a.dtype.name):
        return 0.0 if np.array_equal(a, b) else float("inf")
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(all="ignore"):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        difference = np.where(same, 0.0, np.abs(x - y))
    worst = float(np.max(difference, initial=0.0))
    if not np.isfinite(worst):
        return float("inf")
    return worst / max(_scale(a), 1e-30) if worst else 0.0
