"""A NETCONF client over asyncssh that shares nothing with the server but the RFCs."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh
from lxml import etree

BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
BASE_1_0 = "urn:ietf:params:netconf:base:1.0"
BASE_1_1 = "urn:ietf:params:netconf:base:1.1"
EVENTS = "urn:ietf:params:xml:ns:netconf:notification:1.0"
PATIENCE = 30


class Closed(Exception):
    """The server closed the session."""


class Client:
    def __init__(self, connection, writer, reader) -> None:
        self.connection = connection
        self.writer = writer
        self.reader = reader
        self.chunked = False
        self.last_id = 0
        self.hello: etree._Element | None = None

    @property
    def session_id(self) -> int:
        return int(self.hello.findtext(f"{{{BASE}}}session-id"))

    async def greet(self, *bases: str) -> None:
        self.hello = etree.fromstring(await self.message())
        capabilities = "".join(f"<capability>{base}</capability>" for base in bases)
        hello = f'<hello xmlns="{BASE}"><capabilities>{capabilities}</capabilities></hello>'
        self.send(hello)
        self.chunked = BASE_1_1 in bases

    def send(self, text: str) -> None:
        data = text.encode()
        framed = b"\n#%d\n%b\n##\n" % (len(data), data) if self.chunked else data + b"]]>]]>"
        self.writer.write(framed)

    def ask(self, body: str) -> str:
        """Send an rpc, return its message-id."""
        self.last_id += 1
        self.send(f'<rpc xmlns="{BASE}" message-id="{self.last_id}">{body}</rpc>')
        return str(self.last_id)

    async def message(self) -> bytes:
        try:
            async with asyncio.timeout(PATIENCE):
                return await (self._chunks() if self.chunked else self._to_mark())
        except (asyncio.IncompleteReadError, asyncssh.Error, BrokenPipeError) as error:
            raise Closed(str(error)) from error

    async def xml(self) -> etree._Element:
        return etree.fromstring(await self.message())

    async def rpc(self, body: str) -> etree._Element:
        """Return the reply, which must be the next message that comes."""
        message_id = self.ask(body)
        reply = await self.xml()
        assert reply.tag == f"{{{BASE}}}rpc-reply", etree.tostring(reply)
        assert reply.get("message-id") == message_id
        return reply

    async def ok(self, body: str) -> None:
        reply = await self.rpc(body)
        assert [child.tag for child in reply] == [f"{{{BASE}}}ok"], etree.tostring(reply)

    async def error(self, body: str) -> tuple[str, str]:
        """Return error-tag and error-message."""
        return error_of(await self.rpc(body))

    async def event(self) -> str:
        """Return the text of the next notification's first leaf, or the payload's name."""
        notification = await self.xml()
        assert notification.tag == f"{{{EVENTS}}}notification", etree.tostring(notification)
        payload = notification[1]
        return payload[0].text if len(payload) else etree.QName(payload).localname

    async def closed(self) -> None:
        """Wait until the server has closed the session."""
        async with asyncio.timeout(PATIENCE):
            await self.connection.wait_closed()

    async def _to_mark(self) -> bytes:
        return (await self.reader.readuntil(b"]]>]]>"))[:-6]

    async def _chunks(self) -> bytes:
        message = b""
        while True:
            header = await self.reader.readuntil(re.compile(rb"\n#(?:\d+|#)\n"), 16)
            if header == b"\n##\n":
                return message
            message += await self.reader.readexactly(int(header[2:-1]))


def error_of(reply: etree._Element) -> tuple[str, str]:
    (error,) = reply
    assert error.tag == f"{{{BASE}}}rpc-error", etree.tostring(reply)
    return error.findtext(f"{{{BASE}}}error-tag"), error.findtext(f"{{{BASE}}}error-message")


@asynccontextmanager
async def connected(
    port: int, *bases: str, terminal: str | None = None, **options
) -> AsyncIterator[Client]:
    """Log in as admin with the password *pw* unless told otherwise, and say hello."""
    options = {"username": "admin", "password": "pw", "client_keys": None} | options
    async with asyncio.timeout(PATIENCE):
        connection = await asyncssh.connect(
            "127.0.0.1", port, known_hosts=None, agent_path=None, config=None, **options
        )
    async with connection:
        writer, reader, _ = await connection.open_session(
            subsystem="netconf", encoding=None, term_type=terminal
        )
        client = Client(connection, writer, reader)
        if bases != ("silent",):
            await client.greet(*(bases or (BASE_1_0, BASE_1_1)))
        yield client
        connection.abort()
