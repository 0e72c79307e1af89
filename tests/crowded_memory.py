"""Links code where all free memory within 6 GiB of another is single pages.

A program of its own, since it fills its address space: `python -m tests.crowded_memory`.
"""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

import eqsat

SOURCE = """
@R.function
def main(x: R.Tensor(("n", "m"), "float32")):
    y = R.tanh(R.exp(R.add(x, R.const({number}, "float32"))))
    return R.matmul(y, R.permute_dims(x))
"""
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def reserve(num_bytes: int) -> int:
    """Return the address of memory that nothing may touch."""
    address = _LIBC.mmap(None, num_bytes, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    assert address not in (None, ctypes.c_void_p(-1).value), "mmap failed"
    return int(address)


def crowd() -> None:
    """Leave no hole of more than a page above 6 GiB of reserved memory."""
    page = mmap.PAGESIZE
    below = reserve(6 << 30)
    taken = list[tuple[int, int]]()
    for size in (64 << 20, 1 << 20, *(page << k for k in range(7, -1, -1))):
        while (address := reserve(size)) > below:
            taken.append((size, address))
        _LIBC.munmap(address, size)
    pages = [a + k for size, a in taken for k in range(0, size - page, 2 * page)]
    for address in pages[:1000]:
        _LIBC.munmap(address, page)


def main() -> None:
    """Compile and run programs before and after."""
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(3, 8)
    for number in range(20):
        module = eqsat.from_tvmscript(SOURCE.format(number=float(number)))
        found = eqsat.compile(module, cache=False)(x)
        np.testing.assert_allclose(found, eqsat.interpret(module, x), 1e-5, 1e-6)
        if number == 0:
            crowd()
    print("linked")


if __name__ == "__main__":
    main()
