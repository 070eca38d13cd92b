"""
The image port: where the content of images comes from, part by part.

ImageError
 + ImageRefused   reading it again would not help (no such file, not allowed, wrong digest)
 + ImageUnknown   it could not be read now (time-out, connection lost, 5xx): try again

What was read is held against the checksum before its end is told: whoever takes it part by part has
not got all of it until then.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Container, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from esc_daemon.dayzero.base import DayZeroError, DayZeroUnknown
from esc_daemon.dayzero.files import FilePart, LocalFiles
from esc_daemon.dayzero.threads import ReaderThreads
from esc_daemon.dayzero.web import WebFiles
from esc_daemon.domain.causes import IMAGE_ANEW
from esc_daemon.domain.checksum import Checksum, checksum_of
from esc_daemon.domain.day_zero import LocalSource, WebSource, source_of
from esc_daemon.domain.intent import Image

_PART: Final = 4 << 20
"""Bytes of a file of this machine that are read at once."""
_OWNER_ONLY: Final = 0o700
_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
"""What servers send in place of a file: a login, a list of files, an error."""


class ImageError(Exception):
    """Base of what this port raises; the text names the source and what to do, never a secret."""


class ImageRefused(ImageError):
    """Final: it cannot be had until somebody does what the text says."""


class ImageUnknown(ImageError):
    """It could not be read this time."""


@dataclass(kw_only=True, slots=True, frozen=True)
class ImageContent:
    """
    The content of an image: *total* bytes, where that is known before; *source* names it.

    *parts* is iterated over once, and raises ImageError. It ends only where the content is whole.
    """

    source: str
    total: int | None
    parts: AsyncGenerator[bytes, None]


class ImageSource(Protocol):
    """Where the content of images comes from."""

    def opened(self, image: Image) -> AbstractAsyncContextManager[ImageContent]:
        """
        Return the content of *image* as it is now, for as long as the context lasts.

        Raises:
            ImageRefused: It is not there, may not be read, or is too long.
            ImageUnknown: It could not be read now.

        """
        ...


class NoImages:
    """An `ImageSource` that has none: for a manager whose VIMs ask for no content."""

    @asynccontextmanager
    async def opened(self, image: Image) -> AsyncIterator[ImageContent]:
        """See ImageSource."""
        raise ImageRefused(f"image {image.name}: this manager reads no images")
        yield


def image_source(
    data_dir: Path,
    *,
    directories: Sequence[Path],
    max_bytes: int,
    wait: float,
    own_ports: Container[int],
) -> "FetchedImages":
    """
    Return the images of a manager whose own directory is *data_dir*.

    *directories* stand below *data_dir* where they are not absolute; these are made. *wait* bounds
    each wait for a server, in seconds.
    """
    for directory in directories:
        if not directory.is_absolute():
            (data_dir / directory).mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    return FetchedImages(
        files=LocalFiles(
            [data_dir / each for each in directories],
            private=data_dir,
            setting="images.directories",
            again=IMAGE_ANEW,
        ),
        web=WebFiles(timeout=wait, own_ports=own_ports, again=IMAGE_ANEW),
        max_bytes=max_bytes,
    )


class FetchedImages:
    """An `ImageSource`: files of this machine and of HTTP servers."""

    def __init__(self, *, files: LocalFiles, web: WebFiles, max_bytes: int) -> None:
        self._files = files
        self._web = web
        self._max_bytes = max_bytes
        self._threads = ReaderThreads(setting="images.directories")

    @asynccontextmanager
    async def opened(self, image: Image) -> AsyncIterator[ImageContent]:
        """See ImageSource."""
        try:
            source = source_of(image.src or "", "an image")
            checksum = None if image.checksum is None else checksum_of(image.checksum)
        except ValueError as error:  # what acceptance would refuse today
            raise ImageRefused(str(error)) from None
        try:
            match source:
                case WebSource(url=url):
                    async with self._web.opened(url) as body:
                        if body.media_type in _PAGES:
                            text = f"{body.source}: the server answers 200 with a web page"
                            raise ImageRefused(f"{text}; correct the URL")
                        yield self._content(body.source, body.length, body.parts(), checksum)
                case LocalSource(path=path):
                    first = await self._part(path, 0)
                    parts = self._read(path, first)
                    yield self._content(path, first.size, parts, checksum)
        except DayZeroError as error:
            raise _translated(error) from None

    async def _part(self, path: str, offset: int) -> FilePart:
        return await self._threads.run(partial(self._files.part, path, offset, _PART))

    async def _read(self, path: str, part: FilePart) -> AsyncGenerator[bytes, None]:
        first, offset = part, 0
        while part.content:
            yield part.content
            offset += len(part.content)
            part = await self._part(path, offset)
            if part.mark != first.mark:
                raise DayZeroUnknown(f"{path} was changed while it was read")

    def _content(
        self,
        source: str,
        total: int | None,
        parts: AsyncGenerator[bytes, None],
        checksum: Checksum | None,
    ) -> ImageContent:
        if total is not None and total > self._max_bytes:
            raise ImageRefused(f"{source} has {total} bytes, {self._too_long}")
        return ImageContent(source=source, total=total, parts=self._judged(source, parts, checksum))

    @property
    def _too_long(self) -> str:
        return f"more than the {self._max_bytes} of the setting images.max_bytes"

    async def _judged(
        self, source: str, parts: AsyncGenerator[bytes, None], checksum: Checksum | None
    ) -> AsyncGenerator[bytes, None]:
        size, running = 0, None if checksum is None else checksum.running()
        try:
            async with aclosing(parts):
                async for part in parts:
                    size += len(part)
                    if size > self._max_bytes:
                        raise ImageRefused(f"{source} has {self._too_long}")
                    if running is not None:
                        running.update(part)
                    yield part
        except DayZeroError as error:
            raise _translated(error) from None
        if not size:
            raise ImageRefused(f"{source} is empty; put the right file there, then {IMAGE_ANEW}")
        if checksum is not None and running is not None and (found := checksum.found(running)):
            raise ImageRefused(
                f"{source} has the checksum {found}, not {checksum}; correct the one that is wrong;"
                f" where it is the file, {IMAGE_ANEW}"
            )


def _translated(error: DayZeroError) -> ImageError:
    kind = ImageUnknown if isinstance(error, DayZeroUnknown) else ImageRefused
    return kind(str(error))
