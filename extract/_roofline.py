"""How long one launch takes, from what it moves and what it computes."""

from __future__ import annotations

from eqsat.extract._profile import DeviceProfile

# The part of the smaller of arithmetic and traffic that the larger does not hide, and the part of
# the probed bandwidth that kernels reach: they read what other threads wrote. Source: measured by
# benchmarks/calibrate.py.
_NOT_HIDDEN = 0.5
_REACHED = 0.6


def moved_s(profile: DeviceProfile, num_bytes: float) -> float:
    """Return the seconds that reading and writing `num_bytes` in all takes."""
    return num_bytes / (profile.bytes_per_s(num_bytes) * _REACHED)


def launched_s(profile: DeviceProfile, traffic_s: float, arithmetic_s: float) -> float:
    """Return the seconds of a launch of so much traffic and arithmetic."""
    longer, shorter = max(traffic_s, arithmetic_s), min(traffic_s, arithmetic_s)
    return profile.kernel_overhead_s + profile.barrier_s + longer + _NOT_HIDDEN * shorter
