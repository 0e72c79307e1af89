"""The cycle collector pauses and comes back as it was."""

import gc
import weakref

import pytest

from eqsat._collection import paused_collection


class Ring:
    """Refers to itself, so that only the cycle collector frees it."""

    def __init__(self) -> None:
        self.me = self


def test_it_pauses_and_resumes_also_after_an_error() -> None:
    assert gc.isenabled()
    with pytest.raises(ValueError, match="the collector runs: False"):
        _fail_while_paused()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_what_was_made_meanwhile_is_still_collected() -> None:
    with paused_collection():
        gone = weakref.ref(Ring())
    gc.collect()
    assert gone() is None


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with paused_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def _fail_while_paused() -> None:
    with paused_collection():
        raise ValueError(f"the collector runs: {gc.isenabled()}")
