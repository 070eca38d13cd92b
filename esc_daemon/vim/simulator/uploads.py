"""
The content of an image, as far as a simulated cloud takes part: its length and its digest.

The bytes themselves are not kept, and do not travel to a simulator of another process.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

BETWEEN: Final = 4 << 20
"""Bytes after which the cloud is told how much it has."""


async def told(
    content: AsyncIterator[bytes],
    uploading: Callable[[int], Awaitable[None]],
    uploaded: Callable[[int, str], Awaitable[None]],
) -> None:
    """Take *content* to its end, and tell a cloud of it before, on the way and then."""
    digest = hashlib.sha256()
    size = next_told = 0
    await uploading(0)
    async for part in content:
        size += len(part)
        digest.update(part)
        if size - next_told >= BETWEEN:
            next_told = size
            await uploading(size)
    await uploaded(size, digest.hexdigest())
