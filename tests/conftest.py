"""What holds for every room's tests."""

import asyncio
import logging
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

from esc_daemon.datamodel.schema import Schema

# An example may take as long as the machine lets it: no test asserts on time. The suite has the
# same examples in each run: what a new one finds must not fall upon a change that has nothing to do
# with it. `make explore` looks for new ones.
settings.register_profile("explore", deadline=None)
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


def pytest_configure() -> None:
    # Asked for the current loop of a thread that never had one, asyncio makes one; the plugins do
    # ask, nobody closes it, and some later test fails for a loop that is not its own.
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_shell() -> Iterator[None]:
    """
    Let no daemon of a test take what the shell says to one.

    What ESC_SHARED and ESC_TEST_* say is for the tests, which have read it as they were imported.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("ESC_")]:
            environment.delenv(name)
        yield


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Return the data model, which nobody can change: parsed once for all, as in the daemon."""
    return Schema.load()


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Leave the log as it was: after a test that configures it nobody else could capture it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    logging.captureWarnings(False)
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if type(each).__module__ != "esc_daemon.logs"]
