"""When saturation stops, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop. Whatever is hit, the e-graph so far is used.

    Attributes:
        num_nodes: e-nodes.
        time_s: seconds of saturation.
        iterations: rounds of one phase.
        memory_bytes: resident memory of the process; 0: no limit.
        matches: of one rule in one round, or the e-nodes of the program if that is more; a rule
            with more rests for a while (twice as many and twice as long each time).
    """

    num_nodes: int = 50_000
    time_s: float = 30.0
    iterations: int = 60
    memory_bytes: int = 0
    matches: int = 2_000


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """One phase: what it ran and why it stopped."""

    name: str
    iterations: int
    num_nodes: int
    num_classes: int
    time_s: float
    stop: str


@dataclass(frozen=True, slots=True)
class SaturationReport:
    """What saturation did.

    Attributes:
        phases: in order.
        matches: per rule, how often it was applied.
        num_nodes: e-nodes at the end; `num_classes`: e-classes.
        time_s: seconds, encoding and reading back included.
        stop: "saturated", or the limit that cut the search short.
        interrupted: Ctrl-C was pressed; what was found until then is used.
    """

    phases: tuple[PhaseReport, ...]
    matches: Mapping[str, int]
    num_nodes: int
    num_classes: int
    time_s: float
    stop: str
    interrupted: bool = False
