"""Native code stays inside its tensors and links anywhere; see guarded_memory, crowded_memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")

STEP_OUT = """
import ctypes
from tests.guarded_memory import Guard
guard = Guard()
guard.at_end = {at_end}
array = guard.empty(5)
address = array.__array_interface__["data"][0]
ctypes.string_at(address, 5)
print("inside", flush=True)
ctypes.string_at(address + {offset}, 1)
"""


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *args]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(("at_end", "offset"), [(True, 5), (False, -1)])
def test_the_guard_kills_one_step_out(at_end: bool, offset: int) -> None:
    done = run("-c", STEP_OUT.format(at_end=at_end, offset=offset))
    assert done.stdout == "inside\n"
    assert done.returncode == -signal.SIGSEGV


def test_random_programs_stay_inside_their_tensors() -> None:
    done = run("-m", "tests.guarded_memory", "programs", "0", "40")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-2000:]


def test_operators_stay_inside_their_tensors() -> None:
    done = run("-m", "tests.guarded_memory", "operators", "0", "40", "4")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-2000:]


def test_code_is_linked_where_memory_is_crowded() -> None:
    done = run("-m", "tests.crowded_memory")
    assert (done.returncode, done.stdout) == (0, "linked\n"), done.stderr[-2000:]
