"""What lowering must know of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from eqsat.shapes import bits


@dataclass(frozen=True, slots=True)
class Target:
    """A CPU: vector width, register file, cache sizes of one core (l3: shared), threads."""

    vector_bits: int = 256
    num_vector_registers: int = 16
    l1_bytes: int = 32 << 10
    l2_bytes: int = 512 << 10
    l3_bytes: int = 16 << 20
    num_threads: int = 1

    def lanes(self, dtype: str) -> int:
        """Return how many elements of `dtype` one vector holds."""
        return max(1, self.vector_bits // max(8, bits(dtype)))
