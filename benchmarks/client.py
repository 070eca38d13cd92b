"""
A NETCONF client for measurements, on asyncssh: it shares nothing with the server but the RFCs.

ncclient looks for answers every 0.1 s and so cannot measure; here an answer is taken in the
callback that brings its last byte.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from xml.sax.saxutils import escape

import asyncssh
import uvloop
from lxml import etree

BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
EVENTS = "urn:ietf:params:xml:ns:netconf:notification:1.0"
HELLO = (
    f'<hello xmlns="{BASE}"><capabilities><capability>urn:ietf:params:netconf:base:1.1'
    "</capability></capabilities></hello>]]>]]>"
).encode()
END_OF_HELLO = b"]]>]]>"
LOGIN_SECONDS = 15
PATIENCE_SECONDS = 60


T = TypeVar("T")


class SessionLost(Exception):
    """The connection or the session ended before the answer came."""


class Refusal(Exception):
    """The server answered with an rpc-error; the text is the whole reply."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Notification:
    """One notification: its eventTime as the server wrote it, and its payload's bytes."""

    time: str
    payload: bytes

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.time)


class Session(asyncssh.SSHClientSession[bytes]):
    """One NETCONF session (RFC 6242 chunks); answers come in the order of the requests."""

    def __init__(self) -> None:
        self.greeted = asyncio.Event()
        self.ended = asyncio.Event()
        self.on_notification: Callable[[bytes], None] = lambda _: None
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._tail = b""
        self._parts: list[bytes] = []

    def connection_made(self, chan: "asyncssh.SSHClientChannel[bytes]") -> None:
        self.channel = chan

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()
        self.greeted.set()
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(SessionLost(str(exc or "the server closed the session")))

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes, datatype: int | None) -> None:
        del datatype
        self._tail += data
        if not self.greeted.is_set():
            _, mark, rest = self._tail.partition(END_OF_HELLO)
            if not mark:
                return
            self._tail = rest
            self.channel.write(HELLO)
            self.greeted.set()
        self._take_chunks()

    def _take_chunks(self) -> None:
        data, at = self._tail, 0
        while (end := data.find(b"\n", at + 2)) > 0:
            if data[at + 2 : end] == b"#":
                self._take(b"".join(self._parts))
                self._parts.clear()
                at = end + 1
                continue
            size = int(data[at + 2 : end])
            if len(data) < end + 1 + size:
                break
            self._parts.append(data[end + 1 : end + 1 + size])
            at = end + 1 + size
        self._tail = data[at:]

    def _take(self, message: bytes) -> None:
        if b"<notification" in message[:80]:
            self.on_notification(message)
            return
        answer = self._waiting.popleft()
        if not answer.done():
            answer.set_result(message)

    def send(self, body: str) -> "asyncio.Future[bytes]":
        """Send one rpc; return what will be its reply."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self.ended.is_set():
            answer.set_exception(SessionLost("the session has ended"))
            return answer
        rpc = f'<rpc xmlns="{BASE}" message-id="1">{body}</rpc>'.encode()
        self._waiting.append(answer)
        try:
            self.channel.write(b"\n#%d\n%b\n##\n" % (len(rpc), rpc))
        except OSError as error:
            raise SessionLost(str(error)) from error
        return answer

    async def rpc(self, body: str) -> bytes:
        """
        Return the reply to one rpc.

        Raises:
            Refusal: It is an rpc-error.
            SessionLost: There is none.
            TimeoutError: There is none yet.

        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            reply = await self.send(body)
        if b"<rpc-error" in reply:
            raise Refusal(reply.decode())
        return reply

    async def edit(self, config: str) -> None:
        """Merge *config* into running; acknowledged when it returns."""
        await self.rpc(
            f"<edit-config><target><running/></target><config>{config}</config></edit-config>"
        )

    async def get(self, select: str) -> bytes:
        """Return the reply to get with an XPath filter."""
        return await self.rpc(f'<get><filter type="xpath" select="{escape(select)}"/></get>')

    async def get_config(self, select: str) -> bytes:
        """Return the reply to get-config with an XPath filter."""
        return await self.rpc(
            "<get-config><source><running/></source>"
            f'<filter type="xpath" select="{escape(select)}"/></get-config>'
        )

    async def subscribe(
        self, on_notification: Callable[[bytes], None], start: str | None = None
    ) -> None:
        """Hand every message of the stream escEvent to *on_notification*, from *start* on."""
        self.on_notification = on_notification
        since = f"<startTime>{start}</startTime>" if start else ""
        await self.rpc(
            f'<create-subscription xmlns="{EVENTS}"><stream>escEvent</stream>{since}'
            "</create-subscription>"
        )


@asynccontextmanager
async def connected(
    port: int, data_dir: Path, kind: type[Session] = Session
) -> AsyncIterator[Session]:
    """
    Log in with the local client's key as the daemon of *data_dir* made it.

    Raises:
        SessionLost: The daemon cannot be reached.

    """
    try:
        async with asyncio.timeout(LOGIN_SECONDS):
            connection = await asyncssh.connect(
                "127.0.0.1",
                port,
                username="esc-nc-admin",
                client_keys=[str(data_dir / "keys" / "esc-nc-admin")],
                known_hosts=None,
                agent_path=None,
                config=None,
                compression_algs=None,
                kex_algs=["curve25519-sha256"],
                server_host_key_algs=["ssh-ed25519"],
            )
            session = kind()
            await connection.create_session(lambda: session, subsystem="netconf", encoding=None)
            await session.greeted.wait()
    except (OSError, asyncssh.Error) as error:  # and TimeoutError, which is an OSError
        raise SessionLost(str(error) or "time-out") from error
    try:
        yield session
    finally:
        connection.abort()


def notification_of(message: bytes) -> Notification:
    """Take one message apart (RFC 5277 section 4)."""
    root = etree.fromstring(message)
    time, payload = root
    return Notification(time=time.text or "", payload=etree.tostring(payload, with_tail=False))


def run(work: Coroutine[None, None, T]) -> T:
    """Run *work* on the loop that takes least: what a client takes, the daemon lacks."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
