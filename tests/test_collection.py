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
    with pytest.raises(ValueError, match="stop"), paused_collection():
        assert not gc.isenabled()
        raise ValueError("stop")
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
