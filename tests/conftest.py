"""Options of the whole suite."""

import signal

import pytest

from eqsat.backends import _entry


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files and the generated pages of docs/",
    )


def pytest_configure() -> None:
    # What a shell starts in the background inherits that an interrupt is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _small_sizes_use_the_team(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have programs of several threads use them for the small tensors of tests too."""
    monkeypatch.setattr(_entry, "_WORK_OF_TEAM", 0)
    monkeypatch.setattr(_entry, "_WORK_OF_LOCK", 0)
