"""What holds for every room's tests."""

import asyncio

import pytest

from esc_daemon.datamodel.schema import Schema


def pytest_configure() -> None:
    # Asked for the current loop of a thread that never had one, asyncio makes one; the plugins do
    # ask, nobody closes it, and some later test fails for a loop that is not its own.
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def schema() -> Schema:
    """Return the data model, which nobody can change: parsed once for all, as in the daemon."""
    return Schema.load()
