"""The other end of a NETCONF session, whatever carries its bytes."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from lxml import etree

from esc_daemon.netconf.framing import Framer
from esc_daemon.netconf.xml import BASE_NS, NOTIF_MGMT_NS, NOTIFICATION_NS

PATIENCE_SECONDS: Final = 120
_HELLO: Final = (
    f'<hello xmlns="{BASE_NS}"><capabilities>'
    "<capability>urn:ietf:params:netconf:base:1.1</capability></capabilities></hello>"
).encode()


class SessionLost(Exception):
    """The session ended before the answer came."""


class Peer:
    """Asks, gets the answers in the order of its requests, and keeps what it is told."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._framer = Framer()
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked: deque[asyncio.Future[etree._Element]] = deque()
        self.told: list[tuple[str, etree._Element]] = []
        """The events, each after its moment."""
        self.replayed = asyncio.Event()
        """Set once all has come that was told before this session listened."""

    def received(self, data: bytes) -> None:
        self._framer.feed(data)
        while (message := self._framer.next_message()) is not None:
            self._take(etree.fromstring(message))

    def _take(self, message: etree._Element) -> None:
        if message.tag == f"{{{BASE_NS}}}hello":
            self._send(self._framer.encode(_HELLO))
            self._framer.upgrade()
            self._greeted.set_result(None)
        elif message.tag == f"{{{NOTIFICATION_NS}}}notification":
            moment, event = message
            if event.tag == f"{{{NOTIF_MGMT_NS}}}replayComplete":
                self.replayed.set()
            else:
                self.told.append((moment.text or "", event))
        else:
            self._asked.popleft().set_result(message)

    def lost(self) -> None:
        """Nothing comes any more."""
        waiting: list[asyncio.Future[Any]] = [self._greeted, *self._asked]
        for future in waiting:
            if not future.done():
                future.set_exception(SessionLost("the session ended"))
                future.exception()  # perhaps nobody waits for it
        self._asked.clear()

    async def greeted(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.shield(self._greeted)

    def post(self, operation: str) -> "asyncio.Future[etree._Element]":
        """Send *operation*; the future is the whole rpc-reply."""
        answer = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        rpc = f'<rpc xmlns="{BASE_NS}" message-id="1">{operation}</rpc>'
        self._send(self._framer.encode(rpc.encode()))
        return answer

    async def ask(self, operation: str) -> etree._Element:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.post(operation)


class Pipe:
    """What a session of the daemon takes for the channel of its SSH connection."""

    def __init__(self, written: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._written = written
        self._ended = ended
        self._closing = False
        self._transport = None
        self._deferred_packets: tuple[Any, ...] = ()

    def write(self, data: bytes) -> None:
        self._written(data)

    def get_connection(self) -> "Pipe":
        return self

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        """Nobody here sends more than one request at a time."""

    resume_reading = pause_reading

    def abort(self) -> None:
        self._closing = True
        self._ended()

    def exit(self, status: int) -> None:
        self.abort()
