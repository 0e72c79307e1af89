"""Every operator in every dtype at every edge: native code against the NumPy reference.

`python -m tests.backends.sweep [FIRST [STEP]]` runs every sample and edge sample of every STEP-th
operator, in each dtype that inference takes and at all sizes, and prints how many runs that were.
The test suite runs a part of it.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator, Sequence

from eqsat.shapes import EqsatError
from tests.backends._cases import NATIVE, ON_HOST, Case, all_cases, num_runs, run

CASES_OF_A_PROGRAM = 200


def sweep(first: int = 0, step: int = 1) -> int:
    """Run every `step`-th operator from number `first` on; return the number of failures."""
    runs = failures = 0
    for o in (*NATIVE, *ON_HOST)[first::step]:
        start, every = time.perf_counter(), list(all_cases(o))
        runs += num_runs(every)
        for k in range(0, len(every), CASES_OF_A_PROGRAM):
            for failure in failing(every[k : k + CASES_OF_A_PROGRAM]):
                failures += 1
                print(f"FAILED {failure}", flush=True)
        taken = time.perf_counter() - start
        print(f"{o.name}: {len(every)} cases, {num_runs(every)} runs, {taken:.0f} s", flush=True)
    print(f"{runs} runs, {failures} failures")
    return failures


def failing(some: Sequence[Case]) -> Iterator[str]:
    """Run the cases in one program; yield those that fail, found by halves."""
    try:
        run(some)
    except (AssertionError, EqsatError, LookupError, ValueError) as error:
        if len(some) == 1:
            yield f"{some[0]}: {error}"
            return
        middle = len(some) // 2
        yield from failing(some[:middle])
        yield from failing(some[middle:])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(bool(sweep(*map(int, sys.argv[1:]))))
