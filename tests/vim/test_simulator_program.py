"""The simulator as a program, and what its clients see when it misbehaves or dies."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.specs import ServerFile, VimStatus
from esc_daemon.vim.base import (
    VimRefused,
    VimUnanswered,
    VimUnknown,
    VimUnreachable,
)
from esc_daemon.vim.simulator import server as server_module
from esc_daemon.vim.simulator.client import RemoteSimulator
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Fault, FaultFileError, Rule, Verb
from esc_daemon.vim.simulator.server import SimulatorError, SimulatorServer, serve
from esc_daemon.vim.simulator.settings import CloudSettings
from esc_daemon.vim.simulator.wire import MAX_LINE, VERBS
from tests.vim.vim_contract import a_port, a_server, a_vm, deploy, listed

CALM = CloudSettings(build_seconds=0, boot_seconds=0, delete_seconds=0)
virtual = pytest.mark.looptime


class Lab:
    """A simulator on a socket, and its clients."""

    def __init__(self, settings: CloudSettings = CALM, *rules: Rule) -> None:
        self.driver = SimulatorDriver(Cloud(settings, rules=rules))
        self.server = SimulatorServer(self.driver)
        self.port = 0
        self._clients: list[RemoteSimulator] = []

    async def __aenter__(self):
        self.port = await self.server.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.close()
        await self.server.close()

    def client(self, **options) -> RemoteSimulator:
        client = RemoteSimulator("127.0.0.1", self.port, vim=VimId("far"), **options)
        self._clients.append(client)
        return client

    async def restart(self) -> None:
        await self.server.close()
        self.server = SimulatorServer(self.driver)
        await self.server.start("127.0.0.1", self.port)


async def raw(port: int, data: bytes) -> list[dict[str, object]]:
    """Send *data*, and return all replies until the other end closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MAX_LINE * 2)
    writer.write(data)
    writer.write_eof()
    replies = [json.loads(line) async for line in reader]
    writer.close()
    await writer.wait_closed()
    return replies


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Keep a port that nobody else can take, and that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@virtual
async def test_a_call_without_an_answer_is_unknown_after_its_time_out():
    rule = Rule(fault=Fault.HANG, verb=Verb.ENSURE_SERVER, takes_effect=True, count=1)
    async with Lab(CALM, rule) as lab:
        client = lab.client(timeout_seconds=10)
        key = ServerKey(a_vm(), 1)
        with pytest.raises(VimUnanswered, match="far: ensure_server: no answer: time-out"):
            await client.ensure_server(key, a_server(), ())
        assert await client.find_server(key) is not None


@virtual
async def test_a_hanging_call_leaves_its_slot_when_nobody_waits_any_more(monkeypatch):
    monkeypatch.setattr(server_module, "MAX_IN_FLIGHT", 3)
    async with Lab(CALM, Rule(fault=Fault.HANG, verb=Verb.ENSURE_SERVER)) as lab:
        client = lab.client(timeout_seconds=10)
        for _ in range(6):
            with pytest.raises(VimUnknown):
                await client.ensure_server(ServerKey(a_vm(), 1), a_server(), ())
        assert (await client.check()).status is VimStatus.CONNECTION_SUCCESSFUL


@virtual
async def test_where_nobody_listens_the_vim_is_unreachable(closed_port: int):
    client = RemoteSimulator("127.0.0.1", closed_port, vim=VimId("far"))
    found = await client.check()
    assert found.status is VimStatus.CONNECTION_FAILED
    assert f"no simulator at 127.0.0.1 port {closed_port}: Connection refused" in found.detail
    with pytest.raises(VimUnreachable, match="far: answers: no simulator at 127"):
        await client.answers(ServerKey(a_vm(), 1), "10.0.0.1")
    await client.close()


@virtual
@pytest.mark.parametrize("host", ["a..b", "a" * 300, "nul\0"])
async def test_where_a_name_cannot_be_looked_up_the_vim_is_unreachable(host):
    client = RemoteSimulator(host, 1)
    with pytest.raises(VimUnreachable, match="answers: no simulator at"):
        await client.answers(ServerKey(a_vm(), 1), "10.0.0.1")


@virtual
async def test_a_client_connects_again_after_the_simulator_came_back():
    async with Lab() as lab:
        client = lab.client()
        vm = a_vm()
        server = await deploy(client, vm)
        await lab.restart()
        assert await client.find_server(server.key) == server


@virtual
async def test_a_connection_that_breaks_makes_calls_in_flight_unknown():
    async with Lab(CloudSettings(latency_seconds=10)) as lab:
        client = lab.client()
        key = ServerKey(a_vm(), 1)
        call = asyncio.create_task(client.ensure_server(key, a_server(), ()))
        await asyncio.sleep(5)
        await client.close()
        with pytest.raises(VimUnanswered, match="connection was lost"):
            await call
        await asyncio.sleep(6)
        assert await client.find_server(key) is not None


@virtual
async def test_what_was_sent_takes_effect_though_the_sender_left_at_once():
    async with Lab() as lab:
        key = ServerKey(a_vm(), 1)
        spec = {"name": "web", "project": "p", "image": None, "flavor": None}
        request = {"id": 1, "verb": "ensure_server", "arguments": [list(key), spec, []]}
        cancel = {"id": 1, "verb": "cancel"}
        await raw(lab.port, b"\n".join(json.dumps(one).encode() for one in (request, cancel, {})))
        assert await lab.driver.find_server(key) is not None


@virtual
async def test_the_handles_carry_the_id_of_the_connector_that_asked():
    async with Lab() as lab:
        client = lab.client()
        server = await deploy(client, a_vm())
        assert await client.answers(server.key, server.ports[0].ip_address or "") is not None
        with pytest.raises(VimRefused, match=r"^far: port"):
            await deploy(client, server.key.vm, generation=2)


@virtual
@pytest.mark.parametrize(
    ("request_line", "text"),
    [
        ({"id": 7, "verb": "make_coffee"}, "make_coffee: there is no such verb"),
        ({"id": 7, "verb": "find_server", "arguments": []}, "find_server: Expected"),
        ({"id": 7, "verb": "set_power", "arguments": [["v", 1], "UP"]}, "set_power: Invalid enum"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(request_line, text):
    async with Lab() as lab:
        (reply,) = await raw(lab.port, json.dumps(request_line).encode() + b"\n")
        assert (reply["id"], reply["error"]) == (7, "VimRefused")
        assert str(reply["text"]).startswith(text)


@virtual
@pytest.mark.parametrize(
    "line",
    [b"GET / HTTP/1.1\r\n", b'{"id": 1}\n', b'{"id":1,"verb":5}\n', b"\xff\n"],
)
async def test_what_is_no_request_ends_the_connection_and_no_other(line):
    async with Lab() as lab:
        client = lab.client()
        assert (await client.check()).status is VimStatus.CONNECTION_SUCCESSFUL
        assert await raw(lab.port, line) == []
        assert (await client.check()).status is VimStatus.CONNECTION_SUCCESSFUL


@virtual
async def test_two_requests_in_flight_under_one_id_end_the_connection():
    async with Lab(CALM, Rule(fault=Fault.HANG)) as lab:
        line = b'{"id": 1, "verb": "check"}\n'
        assert await raw(lab.port, line + line) == []


async def test_a_line_that_is_too_long_ends_the_connection():
    async with Lab() as lab:
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        with suppress(OSError):
            for _ in range(100):
                writer.write(b" " * (MAX_LINE // 4))
                await writer.drain()
        assert reader.at_eof() or reader.exception() is not None
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@virtual
async def test_the_files_of_a_server_go_over_the_wire():
    files = (ServerFile(dst="/day0", text="hostname é\n" * 1000), ServerFile(dst="b", text=""))
    async with Lab() as lab:
        key = ServerKey(a_vm(), 1)
        await lab.client().ensure_server(key, a_server(files=files), ())
        assert lab.driver.cloud.files(key) == files


@virtual
async def test_a_request_that_is_too_long_is_not_sent():
    async with Lab() as lab:
        client = lab.client()
        spec = a_server(files=(ServerFile(dst="/big", text="x" * MAX_LINE),))
        with pytest.raises(VimRefused, match="too much for one request"):
            await client.ensure_server(ServerKey(a_vm(), 1), spec, ())


@virtual
async def test_an_answer_that_is_too_long_is_refused(monkeypatch):
    async with Lab() as lab:
        client = lab.client()
        server = await deploy(client, a_vm())
        monkeypatch.setattr(server_module, "MAX_LINE", 100)
        with pytest.raises(VimRefused, match="too long"):
            await client.find_server(server.key)


@virtual
async def test_connections_are_bounded(monkeypatch):
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 1)
    async with Lab() as lab:
        first, second = lab.client(), lab.client()
        assert (await first.check()).status is VimStatus.CONNECTION_SUCCESSFUL
        assert (await second.check()).status is VimStatus.CONNECTION_FAILED
        await first.close()
        await asyncio.sleep(1)
        assert (await second.check()).status is VimStatus.CONNECTION_SUCCESSFUL


@virtual
@pytest.mark.parametrize(
    "answer", [b'{"id":1,"result":5}\n', b'{"id":1,"error":"VimStrange","text":"?"}\n', b"SSH-2\n"]
)
async def test_a_strange_server_at_the_other_end_makes_the_answer_unknown(answer):
    ended = asyncio.Event()

    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    listener = await asyncio.start_server(strange, "127.0.0.1", 0)
    client = RemoteSimulator("127.0.0.1", listener.sockets[0].getsockname()[1])
    with pytest.raises(VimUnknown):
        await client.find_server(ServerKey(a_vm(), 1))
    await client.close()
    await ended.wait()
    listener.close()
    await listener.wait_closed()


@virtual
async def test_another_program_at_the_port_is_told_apart_from_a_lost_connection():
    async def another(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(another, "127.0.0.1", 0)
    client = RemoteSimulator("127.0.0.1", listener.sockets[0].getsockname()[1])

    found = await client.check()

    assert found.status is VimStatus.CONNECTION_FAILED
    assert found.detail == "check: no answer: what answers there is no simulator"
    await client.close()
    listener.close()
    await listener.wait_closed()


@virtual
@pytest.mark.parametrize("start", [b"", b'{"id":1,"result":', b'{"id":1,"more":'])
async def test_an_answer_nested_too_deeply_ends_its_connection_and_no_more(start):
    answers = [start + b"[" * 100_000 + b"\n", b'{"id":1,"result":null}\n']
    connections = []

    async def strange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.readline()
        writer.write(answers[len(connections) - 1])
        with suppress(OSError):
            await reader.read()
        writer.close()

    listener = await asyncio.start_server(strange, "127.0.0.1", 0)
    client = RemoteSimulator("127.0.0.1", listener.sockets[0].getsockname()[1])
    with pytest.raises(VimUnanswered, match="what answers there is no simulator"):
        await client.find_server(ServerKey(a_vm(), 1))
    assert await client.find_server(ServerKey(a_vm(), 1)) is None
    await client.close()
    listener.close()
    await listener.wait_closed()


@virtual
async def test_whatever_broke_a_connection_its_client_can_be_closed():
    async with Lab() as lab:
        client = lab.client()
        assert (await client.check()).status is VimStatus.CONNECTION_SUCCESSFUL
        client._link._reader.set_exception(ZeroDivisionError("a bug"))
        await asyncio.sleep(1)
        await client.close()
        assert (await client.check()).status is VimStatus.CONNECTION_SUCCESSFUL


@virtual
async def test_many_calls_share_one_connection():
    async with Lab(CloudSettings(latency_seconds=10, delete_seconds=0)) as lab:
        client = lab.client()
        servers = await asyncio.gather(*(deploy(client, a_vm()) for _ in range(100)))
        assert len({server.server_id for server in servers}) == 100
        assert len(lab.server._connections) == 1


def test_each_fault_of_a_call_is_about_a_verb_on_the_wire():
    steps = {Verb.ANY, Verb.BUILD, Verb.BOOT, Verb.MEASURE, Verb.UPLOAD_IMAGE}
    told = {"uploading", "uploaded"}  # of an upload, whose bytes do not travel
    asked = {"answers", "measured"}
    assert {verb.value for verb in set(Verb) - steps} | told | asked == set(VERBS)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "simulator.example"])
async def test_only_this_machine_is_served_unless_told_otherwise(host):
    with pytest.raises(SimulatorError, match="no login"):
        await SimulatorServer(SimulatorDriver(Cloud())).start(host, 0)


async def test_all_addresses_are_served_when_told_so():
    server = SimulatorServer(SimulatorDriver(Cloud()))
    assert await server.start("0.0.0.0", 0, allow_remote=True)
    await server.close()
    await SimulatorServer(SimulatorDriver(Cloud())).close()


async def test_a_port_that_is_taken_is_named():
    async with Lab() as lab:
        with pytest.raises(SimulatorError, match=f"127.0.0.1 port {lab.port}"):
            await SimulatorServer(SimulatorDriver(Cloud())).start("127.0.0.1", lab.port)


async def port_in(port_file: Path) -> int:
    """Return the port once it serves: the file is all that a starter of the program has."""
    async with asyncio.timeout(30):
        while not port_file.exists():  # noqa: ASYNC110, ASYNC240 - of another process, and small
            await asyncio.sleep(0.01)
    return json.loads(port_file.read_text())["simulator"]  # noqa: ASYNC240 - as above


async def serving(tmp_path, **options) -> tuple[asyncio.Event, asyncio.Task[None], int]:
    stop, port_file = asyncio.Event(), tmp_path / "port"
    port_file.unlink(missing_ok=True)
    task = asyncio.create_task(
        serve("localhost", 0, port_file=port_file, stop=stop, settings=CALM, **options)
    )
    return stop, task, await port_in(port_file)


async def test_a_simulator_with_a_state_file_goes_on_where_it_ended(tmp_path):
    state_file, faults_file = tmp_path / "state", tmp_path / "faults.toml"
    faults_file.write_text("[[rule]]\nfault = 'refuse'\nverb = 'ensure_port'\ncount = 1\n")
    made = []
    for _ in range(2):
        stop, task, port = await serving(tmp_path, state_file=state_file, faults_file=faults_file)
        client = RemoteSimulator("localhost", port)
        assert await listed(client) == made
        if not made:
            with pytest.raises(VimRefused, match="ensure_port"):
                await client.ensure_port(a_port(a_vm()))
        made.append((await deploy(client, a_vm())).key)
        await client.close()
        stop.set()
        await task


async def test_a_simulator_with_bad_faults_does_not_start(tmp_path):
    faults_file = tmp_path / "faults.toml"
    faults_file.write_text("[[rule]]\n")
    with pytest.raises(FaultFileError, match="rule 1"):
        await serve("127.0.0.1", 0, faults_file=faults_file, stop=asyncio.Event())


PROGRAM = """
import asyncio, sys
from pathlib import Path
from esc_daemon.vim.simulator.server import run_simulator
folder = Path(sys.argv[1])
asyncio.run(run_simulator(state_file=folder / "state", port_file=folder / "port"))
"""


async def test_a_simulator_survives_kills_and_ends_cleanly_when_asked(tmp_path):
    port_file = tmp_path / "port"
    made = []
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
        port_file.unlink(missing_ok=True)
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(tmp_path), env={**os.environ, "PYTHONPATH": "."}
        )
        client = RemoteSimulator("127.0.0.1", await port_in(port_file))
        assert await listed(client) == made
        made.append((await deploy(client, a_vm())).key)
        program.send_signal(number)
        async with asyncio.timeout(30):
            code = await program.wait()
        await client.close()
        assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
