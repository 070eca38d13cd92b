"""
The images of the chaos campaign: where their content comes from, and what must hold of them.

A server of the campaign's own hands the content out, as badly as the weather wants it.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from random import Random

from lxml import etree
from shapes import ESC

from esc_daemon.vim.simulator.rows import ImageRow

BYTES = 300_000
VERSIONS = 3
"""So many contents each image may have."""
LOST = ("503 Service Unavailable", "short", "short", "slow", "slow", "stalls")
BAD = {"none": (), "lost": LOST, "all": (*LOST, "404 Not Found", "other")}
"""What goes wrong: asked again for all but the last two, which are the end of the try."""
SLOW_SECONDS, STALL_SECONDS = 1.5, 6.0
"""The daemon waits 5 s for the next part."""


def content(name: str) -> bytes:
    """Return what the file *name* holds."""
    return Random(name).randbytes(BYTES)


def digest(name: str) -> str:
    """Return the sha256 of the file *name*."""
    return hashlib.sha256(content(name)).hexdigest()


class Gallery:
    """An HTTP server for images at a free *port*; half of its answers are bad in bad weather."""

    def __init__(self, kind: str, seed: int) -> None:
        self._random = Random(f"{seed} gallery")
        self._bad: tuple[str, ...] = BAD[kind]
        self._server: asyncio.Server | None = None
        self.port = 0
        self.answered: Counter[str] = Counter()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def clear(self) -> None:
        """Hand everything out well from now on."""
        self._bad = ()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bad = self._random.choice(self._bad) if self._bad and self._random.random() < 0.5 else ""
        self.answered[bad or "well"] += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            await self._answer(writer, head.split()[1].removeprefix("/"), bad)
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            pass  # the daemon has died; uvloop raises RuntimeError where its end is closed
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, writer: asyncio.StreamWriter, name: str, bad: str) -> None:
        if bad[:1].isdigit():
            writer.write(f"HTTP/1.1 {bad}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            return
        body = content(f"not {name}" if bad == "other" else name)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body[: BYTES // 2])
        await writer.drain()
        if bad == "short":
            return
        pauses = {"slow": SLOW_SECONDS, "stalls": STALL_SECONDS}
        await asyncio.sleep(pauses.get(bad, 0.0))
        writer.write(body[BYTES // 2 :])
        await writer.drain()


def same_images(
    opdata: etree._Element,
    asked: Mapping[str, str],
    rows: Iterable[ImageRow],
    *,
    may_fail: bool,
) -> Iterator[str]:
    """
    The VIM's images are those that opdata shows, with the content that was *asked* for.

    *asked* names the file of each image that is to be there. One that failed need not be there.
    """
    shown = {
        each.findtext(f"{ESC}name", ""): each
        for each in opdata.findall(f".//{ESC}images/{ESC}image")
    }
    left = {
        each.findtext(f"{ESC}name")
        for each in opdata.findall(f".//{ESC}leftover")
        if each.findtext(f"{ESC}kind") == "image"
    }
    there: dict[str, list[ImageRow]] = {}
    for row in rows:
        there.setdefault(row.name, []).append(row)
    for name in sorted((there.keys() | shown.keys()) - asked.keys() - left):
        yield f"image {name}: expected it to be gone, found it"
    for name, file in asked.items():
        status = shown[name].findtext(f"{ESC}status", "") if name in shown else "nothing"
        if status == "ACTIVE":
            wanted = [(shown[name].findtext(f"{ESC}image_id"), True, digest(file))]
            found = [(row.id, row.ready, row.sha256) for row in there.get(name, [])]
            if found != wanted:
                yield f"image {name}: expected {wanted} in the VIM, found {found}"
        elif status != "ERROR" or not may_fail:
            yield f"image {name}: expected it to be there, found {status}"
