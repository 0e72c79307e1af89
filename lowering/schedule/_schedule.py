"""A schedule: named primitives with arguments, applied one after another, with a text form."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

from eqsat.ir.tir import PrimFunc
from eqsat.lowering._errors import LoweringError
from eqsat.lowering._target import Target
from eqsat.lowering.schedule._collapse import collapse_axes
from eqsat.lowering.schedule._contraction import ContractionPlan, recognise
from eqsat.lowering.schedule._loops import (
    annotate,
    compute_inline,
    decompose_reduction,
    fuse,
    reorder,
    split,
)
from eqsat.lowering.schedule._pointwise import tile_pointwise
from eqsat.lowering.schedule._rows import RowPlan, tile_rows
from eqsat.lowering.schedule._split_axis import split_axis
from eqsat.lowering.schedule._tile_contraction import tile_contraction
from eqsat.lowering.schedule._window import tile_window

Value = int | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One primitive: its name and arguments."""

    name: str
    args: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.args)})"


Schedule = tuple[Step, ...]


def step(name: str, **args: Value) -> Step:
    """Return the step `name(args)`."""
    return Step(name, tuple(args.items()))


def contraction_step(plan: ContractionPlan) -> Step:
    """Return the step that tiles by `plan`."""
    return step("tile_contraction", **asdict(plan))


def rows_step(plan: RowPlan) -> Step:
    """Return the step that tiles by `plan`."""
    return step(
        "tile_rows", num_row_axes=plan.num_row_axes, in_output=tuple(sorted(plan.in_output))
    )


def schedule_text(schedule: Schedule) -> str:
    """Return one line per step; inverse of `parse_schedule`."""
    return "\n".join(map(str, schedule))


def parse_schedule(text: str) -> Schedule:
    """Return the schedule that `text` spells.

    Raises:
        LoweringError: a line is no call of a known primitive with literal keyword arguments.
    """
    return tuple(
        _parse_step(line, k) for k, line in enumerate(text.splitlines(), 1) if line.strip()
    )


def _parse_step(line: str, number: int) -> Step:
    try:
        call = ast.parse(line.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError("no call with keyword arguments")
        args = tuple((str(k.arg), cast("Value", ast.literal_eval(k.value))) for k in call.keywords)
    except (SyntaxError, ValueError) as error:
        raise LoweringError(f"schedule line {number}: {line!r} is no step: {error}") from None
    if call.func.id not in PRIMITIVES:
        raise LoweringError(
            f"schedule line {number}: no primitive {call.func.id}; there are "
            f"{', '.join(PRIMITIVES)}"
        )
    return Step(call.func.id, args)


def apply(func: PrimFunc, schedule: Schedule, target: Target) -> PrimFunc:
    """Return `func` with every step applied.

    Constant operands that `tile_contraction` wants packed become parameters, last in order.

    Raises:
        LoweringError: a step does not fit the function.
    """
    for each in schedule:
        func = PRIMITIVES[each.name](func, target, **dict(each.args))
    return func


def _tile_contraction(func: PrimFunc, target: Target, **args: Any) -> PrimFunc:
    found = recognise(func)
    if found is None:
        raise LoweringError(f"tile_contraction: {func.name} is no sum of products in normal form")
    return tile_contraction(found, ContractionPlan(**args), target).func


def _tile_rows(
    func: PrimFunc, target: Target, num_row_axes: int, in_output: tuple[str, ...]
) -> PrimFunc:
    return tile_rows(func, RowPlan(num_row_axes, frozenset(in_output)), target)


def _without_target(f: Callable[..., PrimFunc]) -> Callable[..., PrimFunc]:
    def run(func: PrimFunc, _: Target, **args: Value) -> PrimFunc:
        return f(func, **args)

    return run


PRIMITIVES: dict[str, Callable[..., PrimFunc]] = {
    "split": _without_target(split),
    "fuse": _without_target(fuse),
    "reorder": _without_target(reorder),
    "annotate": _without_target(annotate),
    "compute_inline": _without_target(compute_inline),
    "decompose_reduction": _without_target(decompose_reduction),
    "collapse_axes": _without_target(collapse_axes),
    "split_axis": _without_target(split_axis),
    "tile_pointwise": tile_pointwise,
    "tile_window": tile_window,
    "tile_rows": _tile_rows,
    "tile_contraction": _tile_contraction,
}
