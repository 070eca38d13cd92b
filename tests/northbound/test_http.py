import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import h11
import pytest
from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from esc_daemon.access.control import Denied
from esc_daemon.access.throttle import LoginThrottle
from esc_daemon.domain.guard import Hold, Scope, Why
from esc_daemon.domain.ids import VimId
from esc_daemon.domain.policy import DEFAULT_POLICY, begin
from esc_daemon.domain.record import Leftover
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.states import ServiceState
from esc_daemon.engine.figures import EngineFigures
from esc_daemon.engine.guard import GuardFigures
from esc_daemon.histogram import Histogram as Numbers
from esc_daemon.northbound.http import listener
from esc_daemon.northbound.http.collectors import (
    LABELLED,
    AccessMetrics,
    DeployedOf,
    EngineMetrics,
    VimMetrics,
)
from esc_daemon.northbound.http.health import Readiness, health_router
from esc_daemon.northbound.http.listener import create_app, http_listener
from esc_daemon.northbound.http.metrics import NetconfMetrics, metrics_router
from esc_daemon.northbound.http.status import why_degraded
from tests.domain.pure_world import World
from tests.domain.stories import SHOP, a_deployment, a_network


async def get(port: int, path: str) -> tuple[int, str]:
    """Return status and body, over a real socket."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture
def readiness() -> Readiness:
    return Readiness(["restoring records", "NETCONF listener"])


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def port(readiness: Readiness, registry: CollectorRegistry) -> AsyncIterator[int]:
    app = create_app([health_router(readiness), metrics_router(registry)])
    async with http_listener(app, "127.0.0.1", 0) as port:
        yield port


async def test_the_daemon_lives_before_it_is_ready(port: int):
    assert await get(port, "/healthz") == (200, '{"status":"ok"}')
    status, body = await get(port, "/readyz")
    assert status == 503
    assert json.loads(body) == {
        "ready": False,
        "reasons": ["restoring records", "NETCONF listener"],
        "degraded": [],
    }


async def test_it_is_ready_when_nothing_is_missing_and_may_lose_that_again(
    port: int, readiness: Readiness
):
    readiness.clear("restoring records")
    readiness.clear("NETCONF listener")
    readiness.clear("NETCONF listener")
    assert await get(port, "/readyz") == (200, '{"ready":true,"reasons":[],"degraded":[]}')
    readiness.hold("store lost")
    assert (await get(port, "/readyz"))[0] == 503


async def test_figures_are_shown_for_prometheus(port: int, registry: CollectorRegistry):
    NetconfMetrics(registry).rpc_errors.labels("in-use").inc()
    status, body = await get(port, "/metrics")
    assert status == 200
    assert 'esc_rpc_errors_total{tag="in-use"} 1.0' in body


def test_what_is_degraded_says_why_and_what_to_do():
    ill = {VimStatus.CONNECTION_FAILED: 2, VimStatus.CONNECTION_SUCCESSFUL: 3, None: 1}

    since = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    holds = {Scope(Why.VIM, VimId("lab")): Hold(since=since, lost=3, number=3)}

    found = why_degraded(ill, holds, database=True, log=True, users=True)

    assert list(found) == ["vim", "healing", "database", "log", "users"]
    assert "held: vim since 2026-11-23T02:00:00+00:00 (VMs: 3)" in found["healing"]
    assert "lab" not in found["healing"]  # whoever asks has not logged in
    assert found["vim"].startswith("CONNECTION_FAILED 2; see esc_nc_cli get ")
    assert "make room on the disk of the data directory" in found["database"]
    assert "make room on the disk of log.file" in found["log"]
    assert all(text.isprintable() for text in found.values())


def test_what_works_is_not_degraded():
    assert (
        why_degraded(
            {VimStatus.CONNECTION_SUCCESSFUL: 1, None: 1},
            {},
            database=False,
            log=False,
            users=False,
        )
        == {}
    )


async def test_connectors_are_counted_by_their_status(port: int, registry: CollectorRegistry):
    VimMetrics(registry, lambda: {VimStatus.CONNECTION_FAILED: 2, None: 1})
    _, body = await get(port, "/metrics")
    assert 'esc_vim_connectors{status="CONNECTION_FAILED"} 2.0' in body
    assert 'esc_vim_connectors{status="UNCHECKED"} 1.0' in body
    assert 'esc_vim_connectors{status="CONNECTION_SUCCESSFUL"} 0.0' in body


async def test_deployments_vms_leftovers_and_calls_are_counted(
    port: int, registry: CollectorRegistry
):
    world = World()
    world.apply({SHOP: a_deployment()})
    world.rest()
    EngineMetrics(registry, Counted(world.records.values()))

    _, body = await get(port, "/metrics")

    record = world.deployment(SHOP)
    (vm,) = record.vms.values()
    assert f'esc_deployments{{state="{record.state}"}} 1.0' in body
    assert f'esc_vms{{state="{vm.state}"}} ' in body
    assert 'esc_leftovers{kind="vm"} 0.0' in body
    assert "esc_recoveries_needed 0.0" in body
    assert 'esc_vim_calls_total{call="EnsureServer",result="ok",vim="vim0"} 3.0' in body
    assert 'esc_vim_call_seconds_count{result="ok",verb="check",vim="vim0"} 1.0' in body
    assert 'esc_monitor_samples_total{collector="Pings",result="ok"} 9.0' in body
    assert 'esc_recoveries{stage="held"} 4.0' in body
    assert 'esc_guard_holds{reason="vim"} 1.0' in body
    assert 'esc_guard_holds{reason="share"} 0.0' in body
    assert 'esc_drifted_servers{drift="gone"} 2.0' in body


async def test_a_deployment_that_only_left_something_behind_is_none(
    port: int, registry: CollectorRegistry
):
    world = World()
    world.apply({SHOP: a_deployment()})
    world.rest()
    record = world.deployment(SHOP)
    (vm,) = record.vms.values()
    attempt = begin(datetime(2026, 1, 1, tzinfo=UTC), DEFAULT_POLICY)
    left = Leftover(vm=vm, deployment=record.id, attempt=attempt)
    gone = replace(record, intent=None, state=ServiceState.UNDEF, vms={}, leftovers=(left,))
    EngineMetrics(registry, Counted([gone]))

    _, body = await get(port, "/metrics")

    assert 'esc_deployments{state="SERVICE_UNDEF_STATE"} 0.0' in body
    assert 'esc_leftovers{kind="vm"} 1.0' in body


async def test_a_network_that_a_vim_keeps_is_a_leftover_too(port: int, registry: CollectorRegistry):
    world = World(stuck=True)
    world.apply({SHOP: a_deployment(networks=(a_network("in", "a"),))})
    world.rest()
    world.apply({SHOP: None})
    world.rest()
    EngineMetrics(registry, Counted(world.records.values()))

    _, body = await get(port, "/metrics")

    assert 'esc_leftovers{kind="vm"} 1.0' in body
    assert 'esc_leftovers{kind="network"} 1.0' in body
    assert 'esc_leftovers{kind="image"} 0.0' in body


async def test_denials_and_logins_held_off_are_counted(port: int, registry: CollectorRegistry):
    throttle = LoginThrottle(failures=1)
    throttle.failed("u", "192.0.2.1")
    assert throttle.refuses("u", "192.0.2.1")
    assert not throttle.refuses("v", "192.0.2.1")
    AccessMetrics(registry, Denied(operations=2, data_writes=3, notifications=4), throttle)

    _, body = await get(port, "/metrics")

    assert 'esc_access_denied_total{what="operation"} 2.0' in body
    assert 'esc_access_denied_total{what="write"} 3.0' in body
    assert 'esc_access_denied_total{what="notification"} 4.0' in body
    assert "esc_logins_held_off_total 1.0" in body


def test_records_are_counted_at_most_once_a_second():
    world, now = World(), 0.0
    there = DeployedOf(Counted(world.records.values()), lambda: now)
    assert there().vms.total() == 0
    world.apply({SHOP: a_deployment()})
    world.rest()
    now = 0.9
    assert there().vms.total() == 0
    now = 1.0
    assert there().vms.total() == 1


async def test_connectors_without_number_are_no_labels_without_number(
    port: int, registry: CollectorRegistry
):
    EngineMetrics(registry, Counted((), connectors=LABELLED + 3))

    _, body = await get(port, "/metrics")

    assert body.count("esc_vim_calls_total{") == LABELLED + 1
    assert 'esc_vim_calls_total{call="EnsureServer",result="ok",vim="other"} 9.0' in body
    assert 'esc_vim_call_seconds_count{result="ok",verb="check",vim="other"} 3.0' in body
    assert 'esc_vim_call_seconds_sum{result="ok",verb="check",vim="other"} 0.75' in body


class Counted:
    """An engine that has done a little."""

    def __init__(self, records, connectors: int = 1) -> None:
        self._records = records  # a view: it grows
        self._vims = [f"vim{number}" for number in range(connectors)]

    def records(self):
        return list(self._records)

    def vim_calls(self):
        return [(vim, "EnsureServer", "ok", 3) for vim in self._vims]

    def vim_durations(self):
        for vim in self._vims:
            histogram = Numbers((0.1, 1.0))
            histogram.observe(0.25)
            yield vim, "check", "ok", histogram

    def figures(self):
        fields: dict[str, Any] = dict.fromkeys(EngineFigures.__dataclass_fields__, 0)
        healing = GuardFigures(under_way=1, waiting=2, held=4, holds={"vim": 1})
        samples = {("Pings", "ok"): 9}
        counted = {"samples": samples, "healing": healing, "drifted": {"gone": 2}}
        return EngineFigures(**{**fields, **counted})


async def test_the_api_describes_itself(port: int):
    status, body = await get(port, "/openapi.json")
    assert status == 200
    assert set(json.loads(body)["paths"]) == {"/healthz", "/readyz", "/metrics"}


async def test_its_page_lists_every_operation_and_needs_nothing_from_elsewhere(port: int):
    status, page = await get(port, "/docs")
    assert status == 200
    for said in ("GET /healthz", "GET /readyz", "GET /metrics", "The daemon lives", "503: "):
        assert said in page
    assert "script" not in page
    assert re.findall(r'(?:href|src)="([^"]*)"', page) == ["/openapi.json"]


async def test_a_taken_port_is_an_error_and_not_the_end_of_the_process():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with http_listener(create_app([]), "127.0.0.1", taken.getsockname()[1]):
            pass


async def test_the_end_waits_for_a_request_under_way():
    begun, go_on = asyncio.Event(), asyncio.Event()
    router = APIRouter()

    @router.get("/slow")
    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    listener = http_listener(create_app([router]), "127.0.0.1", 0)
    port = await listener.__aenter__()
    asked = asyncio.create_task(get(port, "/slow"))
    await begun.wait()
    ended = asyncio.create_task(listener.__aexit__(None, None, None))
    go_on.set()
    assert await asked == (200, '"done"')
    await ended
    with pytest.raises(ConnectionRefusedError):
        await get(port, "/slow")


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost:", b"GET /healthz"])
async def test_who_does_not_finish_a_request_is_hung_up_on(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes
):
    monkeypatch.setattr(listener, "_REQUEST_SECONDS", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)

    async with asyncio.timeout(30):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""

    writer.close()


async def test_who_asks_on_and_on_and_reads_nothing_is_hung_up_on(
    port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(listener, "_ANSWER_SECONDS", 0.2)
    question = b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as deaf:
        deaf.setblocking(False)
        async with asyncio.timeout(30):
            # more questions than all buffers on the way hold, and answers to them
            with pytest.raises(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(deaf, question * 500_000)
    assert (await get(port, "/healthz"))[0] == 200


async def test_idle_connections_keep_nobody_out(port: int):
    async with asyncio.timeout(30):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(600)]
        assert (await get(port, "/healthz"))[0] == 200
        # the first ones made room
        with suppress(ConnectionResetError):
            assert await idle[0][0].read() == b""
        for _, writer in idle:
            writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 200_000, b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: h\r\n" + b"X: x\r\n" * 20_000, b"400"),
        (b"GET /" + b"x" * 200_000, b"400"),
        (b"\x16\x03\x01\x00\xa5", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\nx", b"405"),
    ],
    ids=["long-header", "many-headers", "long-path", "tls", "bad-length", "long-body"],
)
async def test_a_request_that_is_none_is_refused_and_the_connection_closed(
    port: int, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: bytes
):
    monkeypatch.setattr(listener, "_REQUEST_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(sent)

    async with asyncio.timeout(30):
        answer = b""
        with suppress(ConnectionError):  # what was sent too much may reset it before it is read
            while part := await reader.read(1000):
                answer += part
    assert answer.startswith(b"HTTP/1.1 " + status) or not answer
    writer.close()
    assert (await get(port, "/healthz"))[0] == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 17_000,
        b"GET /healthz HTTP/1.1\r\nHost: h" + b"\r\na:b" * 3_000,
        b"GET /healthz?" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: h",
        b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\nHost: h",
    ],
    ids=["long-header", "many-headers", "long-query", "long-path"],
)
@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"])
async def test_a_long_head_that_comes_as_a_whole_is_refused_too(
    port: int, before: bytes, head: bytes
):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(before + head + b"\r\n\r\n")

    async with asyncio.timeout(30):
        answers = await reader.read()  # to its end: the connection is closed
    writer.close()
    assert answers.count(b"HTTP/1.1 200") == (1 if before else 0)
    assert answers.count(b"HTTP/1.1 400") == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"1\r\nx\r\n" * 1000, b"1\r\nx\r\n0\r\n\r\n", b"no chunk at all\r\n"],
    ids=["to come", "tiny", "whole", "broken"],
)
async def test_a_body_in_chunks_is_refused(
    port: int, body: bytes, caplog: pytest.LogCaptureFixture
):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    # when
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    answer = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(30):
            while part := await reader.read(1024):
                answer += part
    writer.close()
    # then
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert answer.endswith(b'Content-Length"}')
    assert not caplog.records


def test_nothing_is_read_behind_the_head_of_a_body_in_chunks():
    # given
    connection = listener._Unchunked(h11.SERVER)
    body = b"1\r\nx\r\n" * 1000
    connection.receive_data(
        b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    )
    # when
    assert isinstance(connection.next_event(), h11.Request)
    # then
    assert connection.next_event() is h11.PAUSED
    assert connection.trailing_data == (body, False)


async def test_who_sends_on_after_the_answer_is_hung_up_on(port: int):
    # given a body that nobody wants and that never ends
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
    assert b" 405 " in await reader.readuntil(b"\r\n")
    await reader.readuntil(b"}")
    # when
    sent = 0
    with suppress(ConnectionError):
        while sent < 500 and not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.001)
            sent += 1
    writer.close()
    # then
    assert sent < 500


async def test_a_second_request_on_a_connection_is_answered_too(port: int):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(30):
        for part in (
            b"GET /healthz HTTP/1.1\r\n",
            b"Host: h\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\n",
        ):
            writer.write(part)
            await writer.drain()
        writer.write(b"Host: h\r\nConnection: close\r\n\r\n")
        answers = await reader.read()
    writer.close()

    assert answers.count(b"HTTP/1.1 200") == 2
