"""What the process does for all rooms: its log and its open files."""

import asyncio
import gc
import resource
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import EnumType
from typing import Any, cast

import pytest
import structlog

from esc_daemon.app import process
from esc_daemon.app.listening import ListenerRefused, listening
from esc_daemon.app.told import EventFigures, ToldEvents
from esc_daemon.domain.events import Event, EventStatus, EventType, VmRef
from esc_daemon.domain.ids import DeploymentName, OperationId, TenantName, VmGroupName
from esc_daemon.domain.states import VmState
from esc_daemon.engine.broadcast import Broadcast
from esc_daemon.northbound.http.listener import create_app, http_listener
from esc_daemon.store.base import LoggedEvent


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [((256, 4096), 1512, 1512), ((256, 1024), 1512, 1024), ((2048, 4096), 1512, 2048)],
)
def test_the_soft_limit_of_open_files_rises_to_what_sessions_need(
    monkeypatch, before, wanted, after
):
    limits = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))

    process.allow_open_files(wanted)

    assert limits[-1] == (after, before[1])


@pytest.fixture
def enums_as_before() -> Iterator[None]:
    hook = vars(EnumType).get("__getattr__")
    yield
    if hook is not None:
        type.__setattr__(EnumType, "__getattr__", hook)


@pytest.mark.usefixtures("enums_as_before")
def test_enums_are_as_before_but_for_the_hook_that_their_members_were_found_through():
    members = [*VmState]

    process.read_enums_at_once()
    process.read_enums_at_once()  # from 3.12 on, and a second time, there is nothing to do

    assert not hasattr(EnumType, "__getattr__")
    assert [getattr(VmState, member.name) for member in members] == members
    assert [VmState(member.value) for member in members] == members
    assert VmState.ALIVE.name == "ALIVE"
    with pytest.raises(AttributeError, match="NOWHERE"):
        _ = VmState.NOWHERE  # type: ignore[attr-defined]


@pytest.fixture
def collector_as_before() -> Iterator[None]:
    enabled, thresholds = gc.isenabled(), gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    if enabled:
        gc.enable()


@pytest.mark.usefixtures("collector_as_before")
def test_the_collector_rests_during_the_start_and_works_once_the_daemon_serves():
    process.keep_the_collector_off()
    assert not gc.isenabled()

    kept = [[] for _ in range(1000)]
    process.let_the_collector_in()

    assert gc.isenabled()
    assert gc.get_freeze_count() > len(kept)


async def test_a_port_in_use_is_told_with_the_listener_and_the_setting_that_moves_it():
    async def refusing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    taken = await asyncio.start_server(refusing, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    try:
        listener = http_listener(create_app([]), "127.0.0.1", port)
        with pytest.raises(ListenerRefused, match=r"HTTP on here.*in use.*http_port"):
            async with listening("HTTP on here", "http_port", listener):
                pass
    finally:
        taken.close()
        await taken.wait_closed()


async def test_a_listener_that_can_be_had_is_closed_when_the_daemon_fails():
    async with asyncio.timeout(30):
        listener = http_listener(create_app([]), "127.0.0.1", 0)
        with pytest.raises(ZeroDivisionError):
            async with listening("HTTP", "http_port", listener) as port:
                raise ZeroDivisionError

    with pytest.raises(OSError, match=str(port)):
        await asyncio.open_connection("127.0.0.1", port)


async def test_every_event_that_is_told_is_a_line_of_the_log():
    broadcast = Broadcast(0)
    event = Event(
        type=EventType.SERVICE_ALIVE,
        message="it failed",
        status=EventStatus.FAILURE,
        tenant=TenantName("t"),
        deployment=DeploymentName("d"),
        vm_group=VmGroupName("g"),
        operation=OperationId("op"),
        source=VmRef(vmid=None, vmname="g_0", generated_vmname="d_g_0_id", vim_id="lab"),
    )
    with structlog.testing.capture_logs() as lines:
        figures: EventFigures = Counter()
        told = ToldEvents(broadcast, cast("Any", None), figures)
        async with told.writing():
            broadcast.publish([LoggedEvent(seq=1, time=datetime.now(UTC), event=event)])

    (line,) = lines
    assert (line["event"], line["log_level"]) == ("event.told", "warning")
    assert (line["vm_group"], line["vm"], line["vim"]) == ("g", "d_g_0_id", "lab")
    assert (line["type"], line["status"]) == ("SERVICE_ALIVE", "FAILURE")
    assert (line["tenant"], line["deployment"], line["message"]) == ("t", "d", "it failed")
    assert line["operation"] == "op"
    assert figures == {("SERVICE_ALIVE", "FAILURE"): 1}


@pytest.mark.parametrize(("mode", "told"), [(0o600, []), (0o640, ["0640"]), (0o604, ["0604"])])
def test_a_key_that_others_can_read_is_warned_of(tmp_path, mode, told):
    key = tmp_path / "vault.key"
    key.touch(mode=0o600)
    key.chmod(mode)

    with structlog.testing.capture_logs() as lines:
        process.warn_of_readable_files([key, tmp_path / "missing"])

    assert [line["mode"] for line in lines] == told
