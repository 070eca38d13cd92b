"""What holds for every room's tests."""

import asyncio


def pytest_configure() -> None:
    # Asked for the current loop of a thread that never had one, asyncio makes one; the plugins do
    # ask, nobody closes it, and some later test fails for a loop that is not its own.
    asyncio.set_event_loop(None)
