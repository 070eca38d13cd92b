"""A time-out by which a busy loop is not taken for a silent guest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_TURNS: Final = 16
"""
Of the loop, for what came in time and was not taken: an exchange of several messages too.

When the loop has nothing else to do they take microseconds, and nothing more can come.
"""


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """
    End what is inside after *seconds* and some turns of the loop, by TimeoutError.

    A loop that was busy for so long looks at its timers before it looks at what has come, so that
    a plain time-out would end what has its answer.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Handle
    async with asyncio.timeout(None) as limit:

        def over(turns: int) -> None:
            nonlocal waiting
            if turns:
                waiting = loop.call_soon(over, turns - 1)
            else:
                limit.reschedule(loop.time())

        waiting = loop.call_later(seconds, over, _TURNS)
        try:
            yield
        finally:
            waiting.cancel()
