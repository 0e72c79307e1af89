"""Schedules: named primitives that turn naive TensorIR into loops a machine likes."""

from eqsat.lowering.schedule._schedule import (
    PRIMITIVES,
    Schedule,
    Step,
    apply,
    parse_schedule,
    schedule_text,
    step,
)

__all__ = [
    "PRIMITIVES",
    "Schedule",
    "Step",
    "apply",
    "parse_schedule",
    "schedule_text",
    "step",
]
