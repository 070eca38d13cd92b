"""
What a peer may send instead of RFC 6241 and 6242, and what it gets: an error or the door.

Each exchange has a session of its own beside a witness on the same connection, which is asked
something after each.
"""

import asyncio
from dataclasses import dataclass
from typing import Self

import asyncssh
import pytest
from lxml import etree

from esc_daemon.netconf.messages import Datastore
from tests.northbound.netconf_server import Server, Serving
from tests.northbound.raw_client import BASE, BASE_1_0, BASE_1_1, Client, Closed, connected

CLOSED = "closed"
"""The end of the session, without a word or after the errors before it."""
HELLO = '<hello xmlns="{}"><capabilities><capability>{}</capability></capabilities>{}</hello>'
GET = f'<rpc xmlns="{BASE}" message-id="1"><get/></rpc>'
DATA = "data"


@dataclass(frozen=True)
class Row:
    name: str
    sent: bytes
    gets: tuple[str, ...]
    """For each answer what is in it, or its error-tag; CLOSED."""


def chunks(*messages: str | bytes) -> bytes:
    parts = (each.encode() if isinstance(each, str) else each for each in messages)
    return b"".join(b"\n#%d\n%b\n##\n" % (len(part), part) for part in parts)


def marked(*messages: str | bytes) -> bytes:
    parts = (each.encode() if isinstance(each, str) else each for each in messages)
    return b"".join(part + b"]]>]]>" for part in parts)


def rpc(body: str, attributes: str = 'message-id="1"') -> str:
    return f'<rpc xmlns="{BASE}" {attributes}>{body}</rpc>'


def nested(depth: int) -> str:
    return "<a>" * depth + "</a>" * depth


def edit(config: str) -> str:
    return rpc(
        f"<edit-config><target><running/></target><config>{config}</config></edit-config>",
        f'message-id="1" xmlns:nc="{BASE}"',
    )


BAD_HELLOS = (
    Row("no XML", marked("hello"), (CLOSED,)),
    Row("not well-formed", marked("<hello"), (CLOSED,)),
    Row("nothing", marked(""), (CLOSED,)),
    Row("an rpc", marked(GET), (CLOSED,)),
    Row("no namespace", marked(HELLO.format("", BASE_1_0, "")), (CLOSED,)),
    Row("another namespace", marked(HELLO.format("urn:x", BASE_1_0, "")), (CLOSED,)),
    Row("no capability", marked(f'<hello xmlns="{BASE}"/>'), (CLOSED,)),
    Row("no base", marked(HELLO.format(BASE, "urn:x", "")), (CLOSED,)),
    Row(
        "a session-id",
        marked(HELLO.format(BASE, BASE_1_0, "<session-id>1</session-id>")),
        (CLOSED,),
    ),
    Row("a DOCTYPE", marked("<!DOCTYPE hello>" + HELLO.format(BASE, BASE_1_0, "")), (CLOSED,)),
    Row("chunks", chunks(HELLO.format(BASE, BASE_1_1, "")) + b" " * 70_000, (CLOSED,)),
    Row("too long", b"<hello>" + b" " * 70_000, (CLOSED,)),
    Row("bytes of TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00" + marked(b"\xff"), (CLOSED,)),
)
BAD_FRAMES = (
    Row("marks in place of chunks", marked(GET), (CLOSED,)),
    Row("a chunk of no bytes", b"\n#0\n\n##\n", (CLOSED,)),
    Row("a size with a zero before it", b"\n#05\n<a/> \n##\n", (CLOSED,)),
    Row("a size with a sign", b"\n#+5\n<a/> \n##\n", (CLOSED,)),
    Row("a size that is none", b"\n#five\n", (CLOSED,)),
    Row("a size beyond the RFC", b"\n#4294967296\n", (CLOSED,)),
    Row("a size of many digits", b"\n#" + b"9" * 50, (CLOSED,)),
    Row("an end without a chunk", b"\n##\n", (CLOSED,)),
    Row("no line feed before the sign", b"#5\n<a/> ", (CLOSED,)),
    Row("a carriage return", b"\r\n#5\r\n", (CLOSED,)),
    Row("more than the chunk said", b"\n#3\n<a/>\n##\n", (CLOSED,)),
    Row("less than the chunk said", b"\n#9\n<a/>\n##\n\n#9\n", (CLOSED,)),
    Row("a message beyond the limit", b"\n#70000\n", ("too-big", CLOSED)),
    Row("many chunks beyond the limit", b"\n#900\n" + b" " * 900, ()),
    Row("a request before bad framing", chunks(GET) + b"oops", (DATA, CLOSED)),
)
BAD_MESSAGES = (
    Row("not well-formed", chunks("<rpc>"), ("malformed-message",)),
    Row("nothing but a blank", chunks(" "), ("malformed-message",)),
    Row("a DOCTYPE", chunks("<!DOCTYPE rpc>" + GET), ("malformed-message",)),
    Row(
        "an entity of its own",
        chunks('<!DOCTYPE r [<!ENTITY a "b">]>' + rpc("<get>&a;</get>")),
        ("malformed-message",),
    ),
    Row(
        "an entity of a file",
        chunks('<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + rpc("<get>&a;</get>")),
        ("malformed-message",),
    ),
    Row("an entity that nobody knows", chunks(rpc("<get>&a;</get>")), ("malformed-message",)),
    Row("too deep", chunks(rpc(nested(128))), ("malformed-message",)),
    Row("deep", chunks(rpc(nested(126))), ("operation-not-supported",)),
    Row("very deep", chunks(nested(5000)), ("malformed-message",)),
    Row(
        "many attributes",
        chunks(rpc("<get/>", " ".join(f'a{number}="x"' for number in range(65)))),
        ("malformed-message",),
    ),
    Row(
        "a long attribute",
        chunks(rpc("<get/>", f'message-id="{"x" * 60_000}"')),
        (DATA,),
    ),
    Row("the same attribute twice", chunks(rpc("<get/>", 'a="1" a="2"')), ("malformed-message",)),
    Row(
        "many namespaces",
        chunks(rpc("<get/>", " ".join(f'xmlns:a{n}="urn:{n}"' for n in range(101)))),
        ("malformed-message",),
    ),
    Row("a prefix without a namespace", chunks(rpc("<x:get/>")), ("malformed-message",)),
    Row("text that is no UTF-8", chunks(b"<rpc>\xff\xfe</rpc>"), ("malformed-message",)),
    Row("UTF-16", chunks(GET.encode("utf-16")), ("malformed-message",)),
    Row("a zero byte", chunks(rpc("<get>\0</get>")), ("malformed-message",)),
    Row("two documents", chunks(GET + GET), ("malformed-message",)),
    Row("a byte order mark", chunks("\ufeff" + GET), (DATA,)),
    Row("comments and instructions", chunks(f"<?a b?><!-- c -->{GET}<!-- d -->"), (DATA,)),
    Row("CDATA", chunks(rpc("<get><![CDATA[]]></get>")), (DATA,)),
    Row("a second hello", chunks(HELLO.format(BASE, BASE_1_1, "")), ("unknown-element",)),
    Row("a reply", chunks(f'<rpc-reply xmlns="{BASE}"/>'), ("unknown-element",)),
    Row("an rpc of no namespace", chunks("<rpc><get/></rpc>"), ("unknown-namespace",)),
    Row(
        "an rpc of another namespace",
        chunks('<rpc xmlns="urn:x" message-id="1"><get/></rpc>'),
        ("unknown-namespace",),
    ),
    Row("no message-id", chunks(rpc("<get/>", "")), ("missing-attribute",)),
    Row("an empty message-id", chunks(rpc("<get/>", 'message-id=""')), (DATA,)),
    Row(
        "an odd message-id",
        chunks(rpc("<get/>", 'message-id="&lt;&#10;&quot;\u00e9\U0001f600]]&gt;]]&gt;"')),
        (DATA,),
    ),
    Row("the same message-id twice", chunks(GET, GET), (DATA, DATA)),
    Row("no operation", chunks(rpc("")), ("missing-element",)),
    Row("two operations", chunks(rpc("<get/><get/>")), ("bad-element",)),
    Row("an unknown operation", chunks(rpc("<dance/>")), ("operation-not-supported",)),
    Row("a parameter too many", chunks(rpc("<get><x/></get>")), ("unknown-element",)),
    Row("no target", chunks(rpc("<edit-config><config/></edit-config>")), ("missing-element",)),
    Row("a filter of no type", chunks(rpc('<get><filter type="x"/></get>')), ("bad-attribute",)),
    Row(
        "XPath of nonsense",
        chunks(rpc('<get><filter type="xpath" select="]["/></get>')),
        ("invalid-value",),
    ),
    Row("a kill of nobody", chunks(rpc("<kill-session/>")), ("missing-element",)),
    Row(
        "a kill of a number that is none",
        chunks(rpc("<kill-session><session-id>-1</session-id></kill-session>")),
        ("bad-element",),
    ),
)
BAD_OF_BASE_1_0 = (
    Row("not well-formed", marked("<rpc>"), (CLOSED,)),
    Row("a DOCTYPE", marked("<!DOCTYPE rpc>" + GET), (CLOSED,)),
    Row("too long", b"<rpc>" + b" " * 70_000, ("too-big", CLOSED)),
    Row("chunks", chunks(GET) + marked(""), (CLOSED,)),
    Row("no message-id", marked(rpc("<get/>", "")), ("missing-attribute",)),
    Row("a mark inside", marked(f'{GET[:20]}]]>]]>"'), (CLOSED,)),
)


async def exchange(witness: Client, row: Row, *bases: str) -> None:
    """Send *row* in a new session; see that it gets what it should and the witness is well."""
    writer, reader, _ = await witness.connection.open_session(subsystem="netconf", encoding=None)
    client = Client(witness.connection, writer, reader)
    if bases:
        await client.greet(*bases)
    else:
        await client.message()
    writer.write(row.sent)
    for expected in row.gets:
        if expected is CLOSED:
            with pytest.raises(Closed):
                await client.message()
            break
        reply = await client.xml()
        tag = reply.findtext(f"{{{BASE}}}rpc-error/{{{BASE}}}error-tag")
        told = tag or etree.QName(reply[0]).localname
        assert told == expected, (row.name, etree.tostring(reply))
    else:
        if row.gets:  # an error, and the session goes on
            await client.ok("<close-session/>")
        writer.channel.abort()
    assert (await witness.rpc("<get/>"))[0].tag == f"{{{BASE}}}data", row.name


@pytest.mark.parametrize(
    ("rows", "bases"),
    [
        (BAD_HELLOS, ()),
        (BAD_FRAMES, (BASE_1_1,)),
        (BAD_MESSAGES, (BASE_1_1,)),
        (BAD_OF_BASE_1_0, (BASE_1_0,)),
    ],
    ids=["hellos", "frames", "messages", "base-1.0"],
)
async def test_what_is_wrong_is_answered_or_ends_its_session_alone(
    serving: Serving, rows: tuple[Row, ...], bases: tuple[str, ...]
):
    async with serving(max_message_bytes=65_536) as server, connected(server.port) as witness:
        for row in rows:
            await exchange(witness, row, *bases)
        await server.until(lambda: len(server.services.sessions.open) == 1)
        assert list(server.services.sessions.open) == [witness.session_id]
    await nothing_left(server)


async def nothing_left(server: Server) -> None:
    await server.nobody_left()
    assert not server.services.locks.held[Datastore.RUNNING]


EXCHANGE = (
    marked(HELLO.format(BASE, BASE_1_1, "")),
    chunks(rpc("<lock><target><running/></target></lock>"), edit('<a xmlns="urn:a"/>')),
    chunks(rpc("<get/>")),
    chunks(
        rpc(
            '<create-subscription xmlns="urn:ietf:params:xml:ns:netconf:notification:1.0"/>',
            'message-id="2"',
        )
    ),
)


@pytest.mark.parametrize(("ending", "step"), [("abort", 1), ("end of input", 7)])
async def test_an_exchange_may_break_off_at_every_byte(server: Server, ending: str, step: int):
    whole = b"".join(EXCHANGE)
    async with connected(server.port) as witness:
        for length in range(0, len(whole) + 1, step):
            writer, _, _ = await witness.connection.open_session(subsystem="netconf", encoding=None)
            writer.write(whole[:length])
            if ending == "abort":
                writer.channel.abort()
            else:
                writer.write_eof()
            # what it held is given back before the next one wants it
            await server.until(lambda: len(server.services.sessions.open) == 1)
            server.management.tell("something happens")
        await witness.ok("<lock><target><running/></target></lock>")
        assert not server.management.feeds


class Cutting:
    """Passes bytes between a client and the server, and cuts the line after so many of one way."""

    def __init__(self, port: int, *, after: int, of_client: bool) -> None:
        self.port = port
        self.left = after
        self.of_client = of_client
        self.passed = {True: 0, False: 0}
        self.tasks: set[asyncio.Task[None]] = set()
        self.writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self.join, "127.0.0.1", 0)
        self.own_port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for writer in self.writers:
            writer.transport.abort()

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to, back = await asyncio.open_connection("127.0.0.1", self.port)
        writers = (writer, back)
        self.writers += writers
        for source, sink, of_client in ((reader, back, True), (to, writer, False)):
            task = asyncio.create_task(self.pass_on(source, sink, writers, of_client))
            self.tasks.add(task)

    async def pass_on(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, ...],
        of_client: bool,  # noqa: FBT001
    ) -> None:
        try:
            while self.left > 0 and (data := await source.read(65_536)):
                self.passed[of_client] += len(data)
                if of_client == self.of_client:
                    data, self.left = data[: self.left], self.left - len(data)
                sink.write(data)
        finally:
            for writer in both:
                writer.transport.abort()


async def talk(port: int) -> None:
    """Hold the whole of a conversation."""
    async with connected(port) as client:
        await client.ok("<lock><target><running/></target></lock>")
        await client.rpc("<get/>")
        await client.ok("<close-session/>")
        await client.closed()


@pytest.mark.parametrize("of_client", [True, False], ids=["of-client", "of-server"])
async def test_a_line_may_be_cut_at_any_place_from_the_first_byte_on(
    server: Server,
    of_client: bool,  # noqa: FBT001
):
    async with Cutting(server.port, after=10**9, of_client=of_client) as line:
        await talk(line.own_port)
        length = line.passed[of_client]
    async with connected(server.port) as witness:
        for after in (*range(8), *range(8, length, length // 24)):
            async with Cutting(server.port, after=after, of_client=of_client) as line:
                try:
                    async with asyncio.timeout(30):
                        await talk(line.own_port)
                except (OSError, Closed, asyncssh.Error, asyncio.IncompleteReadError):
                    pass  # as it was told
            await witness.rpc("<get/>")
            await server.until(lambda: len(server.services.sessions.open) == 1)
        assert server.services.sessions.begun > 4, "no cut was within a session"
        await witness.ok("<lock><target><running/></target></lock>")
