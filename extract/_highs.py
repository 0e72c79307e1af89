"""The border to HiGHS: a mixed-integer program in plain numbers, solved."""

# highspy ships no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import highspy
import numpy as np

# The solver may stop this close to the optimum; two orders below the gap that is promised.
_RELATIVE_GAP = 1e-4


@dataclass(slots=True)
class Rows:
    """Rows lower ≤ Σ ± column ≤ upper, as they are collected."""

    lower: list[float] = field(default_factory=list[float])
    upper: list[float] = field(default_factory=list[float])
    starts: list[int] = field(default_factory=lambda: [0])
    columns: list[int] = field(default_factory=list[int])
    values: list[float] = field(default_factory=list[float])

    def add(self, plus: Sequence[int], minus: Sequence[int], lower: float, upper: float) -> None:
        """Add lower ≤ Σ plus − Σ minus ≤ upper."""
        self.columns += [*plus, *minus]
        self.values += [1.0] * len(plus) + [-1.0] * len(minus)
        self.starts.append(len(self.columns))
        self.lower.append(lower)
        self.upper.append(upper)


@dataclass(frozen=True, slots=True)
class Answer:
    """What HiGHS says: the columns' values, () where it found none, and a bound."""

    values: tuple[float, ...]
    bound: float


def minimize(
    costs: Sequence[float],
    num_integer: int,
    ones: Sequence[int],
    rows: Rows,
    start: Sequence[int],
    limit_s: float,
) -> Answer:
    """Minimize Σ cost · column over columns in 0 … 1, of which the first `num_integer` are whole.

    Args:
        costs: per column.
        num_integer: how many columns, from the first on, are whole.
        ones: columns that are 1.
        rows: what must hold.
        start: the columns at 1 in a known solution, the other whole columns being 0; may be empty.
        limit_s: when to stop with the best found.
    """
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("mip_rel_gap", _RELATIVE_GAP)
    solver.setOptionValue("mip_abs_gap", 1e-7)
    solver.setOptionValue("time_limit", max(limit_s, 0.01))
    lp = highspy.HighsLp()
    lp.num_col_ = len(costs)
    lp.num_row_ = len(rows.lower)
    lp.col_cost_ = np.array(costs)
    lower = np.zeros(len(costs))
    lower[list(ones)] = 1.0
    lp.col_lower_ = lower
    lp.col_upper_ = np.ones(len(costs))
    lp.row_lower_ = np.array(rows.lower)
    lp.row_upper_ = np.array(rows.upper)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.array(rows.starts, np.int32)
    lp.a_matrix_.index_ = np.array(rows.columns, np.int32)
    lp.a_matrix_.value_ = np.array(rows.values)
    whole, real = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
    lp.integrality_ = [whole] * num_integer + [real] * (len(costs) - num_integer)
    solver.passModel(lp)
    if start:
        solver.setSolution(len(start), np.array(start, np.int32), np.ones(len(start)))
    solver.run()
    if solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
        return Answer((), inf)
    info = solver.getInfo()
    bound = float(info.mip_dual_bound) if np.isfinite(info.mip_dual_bound) else -inf
    if info.primal_solution_status != highspy.kSolutionStatusFeasible:
        return Answer((), bound)
    return Answer(tuple(solver.getSolution().col_value), bound)
