import asyncio
import gc
from contextlib import AsyncExitStack
from types import TracebackType

import asyncssh
import pytest
from lxml import etree

from esc_daemon.netconf.messages import RUNNING_ONLY, Datastore
from esc_daemon.northbound.ssh.auth import NetconfSshServer
from esc_daemon.northbound.ssh.channel import NetconfChannel
from esc_daemon.northbound.ssh.output import Output
from esc_daemon.northbound.ssh.transport import LeanConnection
from tests.northbound.memory_management import ESC
from tests.northbound.netconf_server import Server, Serving
from tests.northbound.raw_client import BASE, BASE_1_0, BASE_1_1, Closed, connected, error_of

CLOSE = "<close-session/>"
RUNNING = "<target><running/></target>"


def an_edit(name: str, **attributes: str) -> str:
    words = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<edit-config>{RUNNING}<config><{name} xmlns="{ESC}"{words}/></config></edit-config>'


@pytest.mark.parametrize("bases", [(BASE_1_0,), (BASE_1_1,), (BASE_1_0, BASE_1_1)])
async def test_a_client_of_either_base_reads_what_it_wrote(server: Server, bases: tuple[str, ...]):
    async with connected(server.port, *bases) as client:
        assert client.chunked is (BASE_1_1 in bases)
        await client.ok(an_edit("thing"))
        reply = await client.rpc("<get-config><source><running/></source></get-config>")
        assert [child.tag for child in reply[0]] == [f"{{{ESC}}}thing"]
        await client.ok(CLOSE)
        await client.closed()
    assert server.management.edited_by == ["admin"]


@pytest.mark.parametrize("base", [BASE_1_0, BASE_1_1])
async def test_a_client_that_asks_for_a_terminal_gets_its_bytes_unchanged(
    server: Server, base: str
):
    # a terminal would echo the question and put a carriage return before each line feed
    async with connected(server.port, base, terminal="xterm") as client:
        client.send(f'<rpc xmlns="{BASE}"\r\n message-id="\x7f">\n<get/>\n</rpc>')
        reply = await client.message()
        assert b"\r" not in reply
        assert etree.fromstring(reply).get("message-id") == "\x7f"
        await client.ok(CLOSE)


async def test_the_hello_tells_capabilities_and_a_session_id_of_its_own(server: Server):
    async with connected(server.port) as one, connected(server.port) as other:
        told = [element.text for element in one.hello.iter(f"{{{BASE}}}capability")]
        assert {BASE_1_0, BASE_1_1} <= set(told)
        assert "urn:ietf:params:netconf:capability:interleave:1.0" in told
        assert one.session_id != other.session_id


async def test_validate_looks_at_running_or_at_what_is_sent(server: Server):
    async with connected(server.port) as client:
        await client.ok("<validate><source><running/></source></validate>")
        config = f'<config><thing xmlns="{ESC}" bad="1"/></config>'
        refused = await client.error(f"<validate><source>{config}</source></validate>")
        assert refused == ("bad-element", "this is bad")
    assert server.management.children == {}


async def test_a_copied_configuration_replaces_what_was_there(server: Server):
    config = f'<config><thing xmlns="{ESC}"/></config>'
    copy = f"<copy-config>{RUNNING}<source>{config}</source></copy-config>"
    async with connected(server.port) as client, connected(server.port) as other:
        await client.ok(copy)
        assert server.management.operations == ["replace"]
        await other.ok(f"<lock>{RUNNING}</lock>")
        assert (await client.error(copy))[0] == "in-use"
        assert (await client.error(f"<delete-config>{RUNNING}</delete-config>"))[0] == (
            "invalid-value"
        )
    assert server.management.operations == ["replace"]


async def test_nothing_found_is_no_error(server: Server):
    async with connected(server.port) as client:
        reply = await client.rpc('<get><filter type="xpath" select="esc_datamodel/opdata"/></get>')
        assert reply[0].tag == f"{{{BASE}}}data"
        assert len(reply[0]) == 0


async def test_many_requests_in_one_write_are_all_answered(server: Server):
    async with connected(server.port, BASE_1_0) as client:
        text = "]]>]]>".join(
            f'<rpc xmlns="{BASE}" message-id="{n}"><get/></rpc>' for n in range(300)
        )
        client.send(text)
        assert [(await client.xml()).get("message-id") for _ in range(300)] == [
            str(n) for n in range(300)
        ]


async def test_an_unknown_operation_is_not_supported_and_the_session_goes_on(server: Server):
    async with connected(server.port) as client:
        assert (await client.error('<dance xmlns="urn:x"/>'))[0] == "operation-not-supported"
        assert (await client.error("<reboot/>"))[0] == "operation-not-supported"
        assert (await client.rpc("<get/>"))[0].tag == f"{{{BASE}}}data"
    assert server.figure("esc_rpc_errors_total", tag="operation-not-supported") == 2
    assert server.figure("esc_rpc_seconds_count", operation="other") == 2


async def test_a_request_without_message_id_is_told_so_and_the_session_goes_on(server: Server):
    async with connected(server.port) as client:
        client.send(f'<rpc xmlns="{BASE}"><get/></rpc>')
        assert error_of(await client.xml())[0] == "missing-attribute"
        await client.ok(CLOSE)


async def test_attributes_of_the_request_come_back(server: Server):
    async with connected(server.port) as client:
        client.send(
            f'<rpc xmlns="{BASE}" xmlns:x="urn:x" message-id="a&amp;b" x:who="me"><get/></rpc>'
        )
        reply = await client.xml()
        assert dict(reply.attrib) == {"message-id": "a&b", "{urn:x}who": "me"}


async def test_a_doctype_is_refused(server: Server):
    bomb = '<!DOCTYPE rpc [<!ENTITY a "aaaa">]>'
    async with connected(server.port) as client:
        client.send(f'{bomb}<rpc xmlns="{BASE}" message-id="1"><get/></rpc>')
        tag, message = error_of(await client.xml())
        assert tag == "malformed-message"
        assert "DOCTYPE" in message


async def test_a_message_over_the_limit_closes_the_session(serving: Serving):
    async with serving(max_message_bytes=5000) as server, connected(server.port) as client:
        client.ask("<get>" + " " * 6000 + "</get>")
        assert error_of(await client.xml())[0] == "too-big"
        await client.closed()
        await server.nobody_left()


async def test_garbage_in_place_of_a_hello_closes_the_session(server: Server):
    async with connected(server.port, "silent") as client:
        await client.message()
        client.send("<helo/>")
        await client.closed()
    assert server.figure("esc_netconf_sessions_closed_total", reason="bad-hello") == 1


async def test_a_client_without_a_hello_is_not_waited_for(serving: Serving):
    async with serving(hello_seconds=0.05) as server, connected(server.port, "silent") as client:
        await client.closed()
        assert server.figure("esc_netconf_sessions_closed_total", reason="timeout") == 1


async def test_a_connection_without_a_channel_is_not_kept(serving: Serving):
    async with serving(hello_seconds=0.05) as server:
        connection = await asyncssh.connect(
            "127.0.0.1", server.port, username="admin", password="pw", known_hosts=None,
            client_keys=None, agent_path=None, config=None,
        )  # fmt: skip
        async with asyncio.timeout(30):
            await connection.wait_closed()


async def test_an_rpc_of_the_esc_namespace_goes_to_the_manager(server: Server):
    async with connected(server.port) as client:
        await client.ok(f'<serviceAction xmlns="{ESC}"/>')
    assert server.management.acted == ["serviceAction"]


async def test_an_unexpected_error_is_answered_with_a_reference_and_without_its_text(
    server: Server,
):
    async with connected(server.port) as client:
        tag, message = await client.error(f'<explode xmlns="{ESC}"/>')
        assert tag == "operation-failed"
        assert "secret" not in message
        await client.ok(CLOSE)


async def test_a_reply_that_breaks_off_ends_the_session_since_it_cannot_be_taken_back(
    server: Server,
):
    async with connected(server.port) as client:
        server.management.breaks_off = True
        client.ask("<get/>")
        await client.closed()
    await server.nobody_left()
    assert server.figure("esc_netconf_sessions_closed_total", reason="other") == 1


async def test_an_error_of_the_manager_reaches_the_client(server: Server):
    async with connected(server.port) as client:
        assert await client.error(an_edit("x", bad="1")) == ("bad-element", "this is bad")
    assert server.management.children == {}


async def test_a_killed_session_ends_and_gives_back_its_lock(server: Server):
    async with connected(server.port) as victim, connected(server.port) as killer:
        await victim.ok(f"<lock>{RUNNING}</lock>")
        kill = f"<kill-session><session-id>{victim.session_id}</session-id></kill-session>"
        await killer.ok(kill)
        await victim.closed()
        with pytest.raises(Closed):
            await victim.message()
        await killer.ok(f"<lock>{RUNNING}</lock>")
        assert (await killer.error(kill))[0] == "invalid-value"
    assert server.figure("esc_netconf_sessions_closed_total", reason="killed") == 1


async def test_a_session_cannot_kill_itself(server: Server):
    async with connected(server.port) as client:
        me = f"<kill-session><session-id>{client.session_id}</session-id></kill-session>"
        assert (await client.error(me))[0] == "invalid-value"


async def test_a_killed_session_does_not_tear_its_edit(server: Server):
    async with connected(server.port) as victim, connected(server.port) as killer:
        server.management.gate = asyncio.Event()
        victim.ask(an_edit("whole"))
        await server.until(lambda: server.services.sessions.open)
        await killer.rpc("<get/>")
        await killer.ok(
            f"<kill-session><session-id>{victim.session_id}</session-id></kill-session>"
        )
        await victim.closed()
        server.management.gate.set()
        await server.until(lambda: server.management.edited_by)


async def test_a_lock_keeps_others_from_editing_until_its_holder_is_gone(server: Server):
    lock = f"<lock>{RUNNING}</lock>"
    async with connected(server.port) as other:
        async with connected(server.port) as holder:
            await holder.ok(lock)
            reply = await other.rpc(lock)
            assert error_of(reply)[0] == "lock-denied"
            assert reply.findtext(f".//{{{BASE}}}session-id") == str(holder.session_id)
            tag, message = await other.error(an_edit("thing"))
            assert tag == "in-use"
            assert str(holder.session_id) in message
            assert (await other.error(f"<unlock>{RUNNING}</unlock>"))[0] == "operation-failed"
            await holder.ok(an_edit("thing"))
            assert (await holder.error(lock))[0] == "lock-denied"
        # when the holder hangs up without a word
        await server.until(lambda: server.services.locks.held[Datastore.RUNNING] is None)
        await other.ok(an_edit("thing"))


CANDIDATE = "<target><candidate/></target>"


async def test_the_lock_of_the_candidate_guards_the_commit_too(server: Server):
    async with connected(server.port) as holder, connected(server.port) as other:
        await holder.ok(f"<lock>{CANDIDATE}</lock>")
        assert (await other.error("<commit/>"))[0] == "in-use"
        assert (await other.error("<discard-changes/>"))[0] == "in-use"
        await other.ok(an_edit("running-is-free"))
        await holder.ok("<commit/>")
        await other.ok(f"<lock>{RUNNING}</lock>")
        assert (await holder.error("<commit/>"))[0] == "in-use"
    assert server.management.committed_by == ["admin"]


async def test_a_candidate_with_changes_is_not_locked(server: Server):
    async with connected(server.port) as one, connected(server.port) as other:
        await one.ok(an_edit("thing").replace("running", "candidate"))
        reply = await other.rpc(f"<lock>{CANDIDATE}</lock>")
        assert error_of(reply)[0] == "lock-denied"
        assert reply.findtext(f".//{{{BASE}}}session-id") == "0"
        await one.ok("<discard-changes/>")
        await other.ok(f"<lock>{CANDIDATE}</lock>")


@pytest.mark.parametrize("ending", ["unlock", "hang up"])
async def test_the_changes_go_with_the_lock_of_the_candidate(server: Server, ending: str):
    async with connected(server.port) as other:
        async with connected(server.port) as holder:
            await holder.ok(f"<lock>{CANDIDATE}</lock>")
            await holder.ok(an_edit("thing").replace("running", "candidate"))
            if ending == "unlock":
                await holder.ok(f"<unlock>{CANDIDATE}</unlock>")
        await server.until(lambda: not server.management.candidate_changed)
        await other.ok(f"<lock>{CANDIDATE}</lock>")


async def test_without_a_candidate_its_operations_are_not_offered(serving: Serving):
    async with serving(datastores=RUNNING_ONLY) as server, connected(server.port) as client:
        for request in ("<commit/>", "<discard-changes/>", f"<lock>{CANDIDATE}</lock>"):
            assert (await client.error(request))[0] == "operation-not-supported"


async def test_unlock_gives_the_lock_back(server: Server):
    async with connected(server.port) as one, connected(server.port) as other:
        await one.ok(f"<lock>{RUNNING}</lock>")
        await one.ok(f"<unlock>{RUNNING}</unlock>")
        await other.ok(f"<lock>{RUNNING}</lock>")


async def test_an_abrupt_disconnect_leaves_nothing_behind(server: Server):
    for _ in range(3):
        async with connected(server.port) as client:
            server.management.gate = asyncio.Event()
            client.ask(an_edit("x"))
            await server.until(lambda: server.services.sessions.open)
            client.connection.abort()
        await server.nobody_left()
        server.management.gate.set()
    assert server.figure("esc_netconf_sessions") == 0
    assert server.figure("esc_netconf_sessions_closed_total", reason="dropped") == 3


async def test_no_object_of_a_session_outlives_it(server: Server):
    others = objects_left()  # of whatever ran before in this process

    def left() -> list[object]:
        return [each for each in objects_left() if all(each is not other for other in others)]

    async with connected(server.port) as client:
        await client.ok(f"<lock>{RUNNING}</lock>")
        assert left()
        client.connection.abort()
    await server.nobody_left()
    await server.until(lambda: gc.collect() == 0 or not left())
    assert left() == []


def objects_left() -> list[object]:
    kinds = NetconfChannel | NetconfSshServer | Output | LeanConnection
    return [thing for thing in gc.get_objects() if isinstance(thing, kinds)]


async def test_what_was_asked_before_the_end_of_input_is_answered(server: Server):
    async with connected(server.port) as client:
        message_id = client.ask("<get/>")
        client.writer.write_eof()
        assert (await client.xml()).get("message-id") == message_id
        await client.closed()


async def test_other_subsystems_and_shells_are_refused(server: Server):
    async with connected(server.port) as client:
        with pytest.raises(asyncssh.ChannelOpenError):
            await client.connection.open_session(subsystem="sftp")
        with pytest.raises(asyncssh.ChannelOpenError):
            await client.connection.open_session("id")
        await client.ok(CLOSE)


async def test_sessions_of_one_connection_do_not_end_each_other(server: Server):
    async with connected(server.port) as first:
        writer, reader, _ = await first.connection.open_session(subsystem="netconf", encoding=None)
        second = type(first)(first.connection, writer, reader)
        await second.greet(BASE_1_0)
        await second.ok(CLOSE)
        with pytest.raises(Closed):
            await second.message()
        await first.ok(CLOSE)
        await first.closed()


async def test_channels_that_ask_for_nothing_are_bounded(server: Server):
    async with connected(server.port) as client:
        session = server.session()
        owner = session._channel.get_connection()._owner
        assert isinstance(owner, NetconfSshServer)
        owner._channels += 63
        with pytest.raises(asyncssh.ChannelOpenError):
            await client.connection.open_session(subsystem="netconf")
        owner._channels -= 63
        await client.ok(CLOSE)


async def test_more_sessions_than_allowed_are_refused(serving: Serving):
    async with serving(sessions_per_user=1) as server, connected(server.port) as first:
        with pytest.raises(asyncssh.ChannelOpenError):
            async with connected(server.port):
                pass
        assert server.figure("esc_limits_reached_total", limit="sessions_per_user") == 1
        await first.ok(CLOSE)
        await first.closed()
        async with connected(server.port) as next_one:
            await next_one.ok(CLOSE)


async def test_a_reply_of_many_megabytes_arrives_whole(server: Server):
    server.management.blob = b"<big>" + b"0123456789" * 2_000_000 + b"</big>"
    async with connected(server.port) as client:
        client.ask("<get/>")
        message = await client.message()
        assert server.management.blob in message
        assert len(message) < len(server.management.blob) + 500


async def test_a_reader_that_never_reads_a_big_reply_is_given_up(serving: Serving):
    async with serving(output_seconds=0.2) as server, connected(server.port) as client:
        server.management.blob = b"<big>" + b"0" * 12_000_000 + b"</big>"
        client.writer.channel.pause_reading()
        client.ask("<get/>")
        await server.nobody_left()
        assert server.figure("esc_netconf_sessions_closed_total", reason="slow-reader") == 1


async def test_the_end_of_the_server_does_not_wait_for_ever(serving: Serving):
    async with AsyncExitStack() as clients:
        async with serving(stop_seconds=0.05) as server:
            client = await clients.enter_async_context(connected(server.port))
            server.management.gate = asyncio.Event()
            client.ask(an_edit("never"))
            await server.until(edit_under_way)
        await client.closed()
    server.management.gate.set()
    await server.nobody_left()


async def test_the_end_of_the_server_finishes_what_is_under_way(serving: Serving):
    async with connected_after(serving) as (server, stop, client):
        server.management.gate = asyncio.Event()
        message_id = client.ask(an_edit("last"))
        await server.until(edit_under_way)
        stopping = asyncio.create_task(stop())
        await asyncio.sleep(0)
        server.management.gate.set()
        assert (await client.xml()).get("message-id") == message_id
        await stopping
        await client.closed()
    assert server.management.edited_by == ["admin"]


def edit_under_way() -> bool:
    return any("edit_config" in str(task.get_coro()) for task in asyncio.all_tasks())


class connected_after:  # noqa: N801  reads as the function it stands beside
    """A client of a server whose end is in the test's hands."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving()

    async def __aenter__(self):
        server = await self._serving.__aenter__()
        self._client = connected(server.port)
        client = await self._client.__aenter__()
        return server, self._stop, client

    async def _stop(self) -> None:
        await self._serving.__aexit__(None, None, None)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)
