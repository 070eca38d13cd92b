"""
The content of images on its way from where it is read to the VIM.

It goes through this process part by part, so the VIM needs no way to the source, and what it gets
has been held against the checksum. One upload is one call to a VIM that may take hours: it holds
none of the VIM's turns, and is stopped when the image is wanted no more. A try that fails leaves
nothing in the VIM; the next one begins anew.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog

from esc_daemon.dayzero.images import ImageError, ImageSource, ImageUnknown, NoImages
from esc_daemon.domain.commands import EnsureResource
from esc_daemon.domain.ids import Key
from esc_daemon.domain.intent import Image
from esc_daemon.domain.secrets import without_login
from esc_daemon.domain.specs import ResourceHandle
from esc_daemon.engine.answers import judged
from esc_daemon.engine.asking import Asking
from esc_daemon.vim.base import VimDriver, VimError, VimRefused, VimUnanswered

log = structlog.get_logger()

_LOGGED_SECONDS: Final = 30.0
"""Time between two lines of the log about one upload."""


@dataclass(kw_only=True, slots=True)
class Progress:
    """How far an upload is: bytes that the VIM took, of *total* where that is known."""

    source: str
    total: int | None
    taken: int = 0


@dataclass(kw_only=True, slots=True, frozen=True)
class UploadLimits:
    """
    Bounds on uploads, in seconds and in number.

    *wait* is for the VIM to take one part more, *longest* for one try, *at_a_time* for how many
    are under way; the others wait for their turn.

    *least_rate* is the bytes a second that a source brings at least, as seen over each *wait*. No
    setting: by it *longest*, two hours, brings 118 MB, and few images of VMs are shorter. A source
    that is slower would hold its turn to that end, and have brought nothing.
    """

    wait: float = 60.0
    longest: float = 7200.0
    at_a_time: int = 2
    least_rate: int = 16 << 10


class Uploads:
    """Makes images, and knows which of them are on their way."""

    def __init__(
        self, source: ImageSource | None = None, limits: UploadLimits | None = None
    ) -> None:
        """Read images from *source*; without one there are none to be read."""
        self._source = source or NoImages()
        self._limits = limits or UploadLimits()
        self._turns = asyncio.Semaphore(self._limits.at_a_time)
        self._there: dict[Key, Progress] = {}
        self.bytes = 0
        """What the VIMs took since the start."""
        self.waited: dict[Key, float] = {}
        """Seconds for which those that failed just now had waited for their turn."""

    @property
    def under_way(self) -> Mapping[Key, Progress]:
        """The uploads under way, by the keys of their images."""
        return self._there

    async def made(
        self, driver: VimDriver, call: EnsureResource, want: Image, asking: Asking
    ) -> ResourceHandle:
        """
        Return the image with all of its content.

        Raises:
            VimError: As the driver says, or it took no part for too long.
            ImageError: The content cannot be had.

        """
        async with asking("ensure_image"):
            image = judged(await driver.ensure_image(call.key, without_login(want)))
        if image.ready:
            return image.handle
        loop = asyncio.get_running_loop()
        came = loop.time()
        async with self._turns:
            waited = loop.time() - came
            try:
                await self._uploaded(driver, call.key, want, image.handle)
            except (ImageError, VimError) as error:
                if isinstance(error, ImageError | VimRefused):
                    await _taken_back(driver, call.key, asking)
                self.waited[call.key] = waited
                raise
        return image.handle

    async def _uploaded(
        self, driver: VimDriver, key: Key, want: Image, handle: ResourceHandle
    ) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._limits.longest), self._source.opened(want) as content:
                progress = self._there[key] = Progress(source=content.source, total=content.total)
                log.info("image.upload_began", source=content.source, total=content.total)
                bound = asyncio.timeout(self._limits.wait)
                try:
                    parts = self._counted(content.parts, progress, bound)
                    async with bound, aclosing(parts):
                        await driver.upload_image(key, handle.resource_id, parts)
                except TimeoutError:
                    text = f"it took no more of the image for {self._limits.wait:g} s"
                    raise VimUnanswered(f"{text}, after {progress.taken} bytes") from None
                finally:
                    del self._there[key]
        except TimeoutError:
            text = f"image {want.name} was not uploaded within {self._limits.longest:g} s"
            raise ImageUnknown(text) from None
        seconds = round(loop.time() - began, 3)
        log.info("image.uploaded", source=progress.source, bytes=progress.taken, seconds=seconds)

    async def _counted(
        self, parts: AsyncGenerator[bytes, None], progress: Progress, bound: asyncio.Timeout
    ) -> AsyncGenerator[bytes, None]:
        """Iterate over *parts*; *bound* is for the VIM alone, the source has bounds of its own."""
        loop = asyncio.get_running_loop()
        logged = loop.time()
        bound.reschedule(None)
        async with aclosing(self._fast_enough(parts, progress.source)) as brought:
            async for part in brought:
                bound.reschedule(loop.time() + self._limits.wait)
                yield part
                bound.reschedule(None)
                progress.taken += len(part)
                self.bytes += len(part)
                if loop.time() - logged >= _LOGGED_SECONDS:
                    logged = loop.time()
                    log.info(
                        "image.uploading",
                        source=progress.source,
                        bytes=progress.taken,
                        total=progress.total,
                    )
        bound.reschedule(loop.time() + self._limits.wait)

    async def _fast_enough(
        self, parts: AsyncGenerator[bytes, None], source: str
    ) -> AsyncGenerator[bytes, None]:
        """Iterate over *parts*; ImageUnknown where *source* drips, whatever time the VIM takes."""
        loop = asyncio.get_running_loop()
        least, wait = self._limits.least_rate, self._limits.wait
        waited, brought = 0.0, 0
        async with aclosing(parts):
            while True:
                asked = loop.time()
                passed = brought >= least * wait
                until = asked + wait * (2 if passed else 1) - waited
                # by a clock of its own: a source may send for ever without a part of the content
                patience = asyncio.timeout_at(until if least else None)
                try:
                    async with patience:
                        part = await anext(parts)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if not patience.expired():
                        raise
                    text = f"{source} brings fewer than {least} bytes a second"
                    last = 0 if passed else brought
                    raise ImageUnknown(f"{text}: {last} in {wait:.0f} s") from None
                waited += loop.time() - asked
                if waited >= wait and passed:
                    waited, brought = waited - wait, 0
                brought += len(part)
                yield part


async def _taken_back(driver: VimDriver, key: Key, asking: Asking) -> None:
    """Leave no half image in the VIM; what stays is removed with its record at the latest."""
    try:
        async with asking("remove_image"):
            await driver.remove_image(key)
    except (VimError, TimeoutError) as error:
        log.warning("image.not_taken_back", error=str(error))
