"""The day-0 port as the daemon has it: inline, from this machine, from HTTP servers."""

import asyncio
from collections.abc import Container, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from esc_daemon.dayzero.base import (
    TOO_LONG,
    DayZeroError,
    DayZeroRefused,
    DayZeroUnknown,
    FileServers,
)
from esc_daemon.dayzero.files import LocalFiles
from esc_daemon.dayzero.threads import ReaderThreads
from esc_daemon.dayzero.web import Login, WebFiles
from esc_daemon.domain.checksum import checksum_of
from esc_daemon.domain.day_zero import LocalSource, WebSource, below, source_of
from esc_daemon.domain.intent import DayZero, RemoteFile

_OWNER_ONLY: Final = 0o700


def day_zero_reader(
    data_dir: Path,
    *,
    directories: Sequence[Path],
    servers: FileServers,
    max_bytes: int,
    timeout: float,
    own_ports: Container[int],
) -> "SourceReader":
    """
    Return the reader of a manager whose own directory is *data_dir*.

    *directories* stand below *data_dir* where they are not absolute; these are made.
    """
    for directory in directories:
        if not directory.is_absolute():
            (data_dir / directory).mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    return SourceReader(
        files=LocalFiles([data_dir / each for each in directories], private=data_dir),
        web=WebFiles(timeout=timeout, own_ports=own_ports),
        servers=servers,
        max_bytes=max_bytes,
        timeout=timeout,
    )


class SourceReader:
    """
    A `DayZeroReader`.

    *timeout*, in seconds, is for all files of one VM together; *max_bytes* too.
    """

    def __init__(
        self,
        *,
        files: LocalFiles,
        web: WebFiles,
        servers: FileServers,
        max_bytes: int,
        timeout: float,
    ) -> None:
        self.max_bytes = max_bytes
        self._files = files
        self._web = web
        self._servers = servers
        self._timeout = timeout
        self._threads = ReaderThreads()

    async def texts(self, files: Sequence[DayZero]) -> tuple[str, ...]:
        """See DayZeroReader."""
        found: list[str] = []
        left = self.max_bytes
        try:
            async with asyncio.timeout(self._timeout):
                for file in files:
                    content = await self._content(file, left)
                    left -= len(content)
                    found.append(_decoded(content, file))
        except TimeoutError:
            text = f"day-0 file {files[len(found)].dst}: not read within {self._timeout:g} s"
            raise DayZeroUnknown(text) from None
        return tuple(found)

    async def _content(self, file: DayZero, max_bytes: int) -> bytes:
        try:
            if file.remote is not None:
                return await self._remote(file.remote, max_bytes)
            if file.file is not None:
                return await self._read(file.file, max_bytes)
            return _inline(file, max_bytes)
        except ValueError as error:  # what acceptance would refuse today
            raise DayZeroRefused(f"day-0 file {file.dst}: {error}") from None
        except DayZeroError as error:
            raise type(error)(f"day-0 file {file.dst}: {error}") from None

    async def _remote(self, file: RemoteFile, max_bytes: int) -> bytes:
        server = self._servers.opened(file.server)
        if server is None:
            text = f"there is no file server {file.server}; configure it and deploy anew"
            raise DayZeroRefused(text)
        wanted = checksum_of(file.checksum) if file.checksum is not None else None
        login = Login(user=server.user, password=server.password or "") if server.user else None
        uri = below(server.base_url, quote(file.path, safe="/%"))
        content = await self._read(uri, max_bytes, login)
        if wanted is not None and not wanted.fits(content):
            raise DayZeroRefused(
                f"{file.path} of the file server {file.server} does not have the checksum of its"
                " file_locator; correct the one that is wrong and deploy anew"
            )
        return content

    async def _read(self, text: str, max_bytes: int, login: Login | None = None) -> bytes:
        match source_of(text):
            case WebSource(url=url):
                return await self._web.fetch(url, max_bytes, login)
            case LocalSource(path=path):
                return await self._threads.run(partial(self._files.read, path, max_bytes))


def _inline(file: DayZero, max_bytes: int) -> bytes:
    content = (file.data or "").encode()
    if len(content) > max_bytes:
        raise DayZeroRefused(TOO_LONG)
    return content


def _decoded(content: bytes, file: DayZero) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise DayZeroRefused(f"day-0 file {file.dst}: its content is no UTF-8 text") from None
