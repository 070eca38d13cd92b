"""
Listeners, and what a person is told when one cannot be had.

ListenerRefused    an address or port cannot be had
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager


class ListenerRefused(Exception):
    """An address or port cannot be had; the text names the listener and the setting."""


@asynccontextmanager
async def listening(
    what: str, setting: str, listener: AbstractAsyncContextManager[int]
) -> AsyncIterator[int]:
    """Say which listener could not be had, and which setting moves it."""
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(listener)
        except OSError as error:
            text = f"{what} cannot listen: {error.strerror or error}; see the setting {setting}"
            raise ListenerRefused(text) from error
        yield port
