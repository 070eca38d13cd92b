"""An `ImageSource` without a machine: contents in a dictionary, and a disturbance when asked."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

from esc_daemon.dayzero.images import ImageContent, ImageRefused, ImageUnknown
from esc_daemon.domain.checksum import checksum_of
from esc_daemon.domain.intent import Image


class Gallery:
    """
    *contents* by their source; *disturbed* readings to come break off after their first part.

    Each part has *part* bytes and comes *seconds* after the one before, but those of *at_once*.
    """

    def __init__(
        self, contents: Mapping[str, bytes] | None = None, *, part: int = 4, seconds: float = 0.0
    ) -> None:
        self.contents = dict(contents or {})
        self.at_once: set[str] = set()
        self.disturbed = 0
        self.opens = self.open_now = 0
        self._part = part
        self.seconds = seconds

    @asynccontextmanager
    async def opened(self, image: Image) -> AsyncIterator[ImageContent]:
        self.opens += 1
        source = image.src or ""
        if source not in self.contents:
            raise ImageRefused(f"{source}: the server answers 404")
        content = self.contents[source]
        self.open_now += 1
        try:
            async with aclosing(self._parts(image, source, content)) as parts:
                yield ImageContent(source=source, total=len(content), parts=parts)
        finally:
            self.open_now -= 1

    async def _parts(
        self, image: Image, source: str, content: bytes
    ) -> AsyncGenerator[bytes, None]:
        for at in range(0, len(content), self._part):
            if self.seconds and source not in self.at_once:
                await asyncio.sleep(self.seconds)
            if at and self.disturbed:
                self.disturbed -= 1
                raise ImageUnknown(f"{source}: RemoteProtocolError")
            yield content[at : at + self._part]
        checksum = checksum_of(image.checksum) if image.checksum else None
        if checksum is not None and not checksum.fits(content):
            running = checksum.running()
            running.update(content)
            found = checksum.found(running)
            raise ImageRefused(
                f"{source} has the checksum {found}, not {checksum}; correct the one that is wrong"
            )
