"""Templates: which schedule a kernel gets."""

from eqsat.lowering.templates._choose import Scheduled, schedule

__all__ = ["Scheduled", "schedule"]
