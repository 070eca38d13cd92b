"""What may fail in clouds that refuse nothing: what a stranger's or an unfinished VM sits in."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from esc_daemon.domain.events import Event, EventStatus, EventType, VmRef
from esc_daemon.domain.ids import DeploymentId, DeploymentName, VimId
from esc_daemon.domain.record import InterfaceRecord
from esc_daemon.store.base import LoggedEvent
from tests.simulation.story import unprovoked

SUBNET = "198432f0-551c-533a-b172-da2291103b55"
STUCK = f"subnet s ({SUBNET}) still has 2 addresses in use: remove their ports first"
KEPT = (
    "subnet s in VIM sim: not asked for: VM [v] of vm_group g in VIM sim: it is still in subnet s"
)
LEAVING = "network outside in VIM sim: it is being removed"


def made(deployment: str, vim: str) -> Event:
    return event(EventType.CREATE_NETWORK, deployment, vim=VimId(vim))


def vm(deployment: str, vim: str, status: EventStatus = EventStatus.SUCCESS) -> Event:
    port = InterfaceRecord(nicid=0, network="own", network_id="n", subnet_id=SUBNET)
    source = VmRef(vmid="i", vmname="v", generated_vmname="v", vim_id=vim, interfaces=(port,))
    return event(EventType.VM_DEPLOYED, deployment, source=source, status=status)


def changed(deployment: str, vim: str, status: EventStatus) -> Event:
    return replace(vm(deployment, vim, status), type=EventType.VM_UPDATED)


def updated(why: str) -> Event:
    return event(EventType.SERVICE_UPDATED, "x", message=why, status=EventStatus.FAILURE)


def stays(deployment: str, why: str = STUCK) -> Event:
    return event(EventType.DELETE_SUBNET, deployment, message=why, status=EventStatus.FAILURE)


def event(kind: EventType, deployment: str, **fields: object) -> Event:
    given = {"message": "", **fields}
    id_ = DeploymentId(f"id of {deployment}")
    return Event(type=kind, deployment=DeploymentName(deployment), deployment_id=id_, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ([made("x", "far"), made("y", "near"), vm("y", "far"), stays("x")], 0),
        ([made("x", "far"), vm("x", "far"), stays("x")], 1),
        ([made("x", "far"), made("y", "far"), vm("y", "far"), stays("x")], 1),
        ([made("x", "far"), vm("y", "far"), stays("x")], 1),
        ([made("y", "near"), vm("y", "far"), stays("y")], 1),
        ([stays("x")], 1),
        ([vm("x", "far", EventStatus.FAILURE), stays("x", KEPT)], 0),
        ([vm("x", "far"), stays("x", KEPT)], 1),
        ([vm("x", "far"), changed("x", "far", EventStatus.FAILURE), stays("x", KEPT)], 0),
        ([vm("x", "far"), changed("x", "far", EventStatus.SUCCESS), stays("x", KEPT)], 1),
        ([vm("x", "far"), stays("x", KEPT), updated(f"failed: {LEAVING}")], 0),
        ([vm("x", "far"), stays("x", STUCK), updated(f"failed: {LEAVING}")], 1),
        ([vm("x", "far"), stays("x", KEPT), updated(f"failed: {KEPT}")], 1),
    ],
    ids=[
        "a-stranger",
        "its-own",
        "at-home",
        "without-a-network",
        "its-own-away",
        "nobody",
        "kept-by-an-unmade-vm",
        "kept-by-a-made-one",
        "kept-by-one-that-could-not-be-changed",
        "kept-by-a-changed-one",
        "kept-by-one-that-should-go-where-nothing-is-left",
        "not-kept-and-another-network-leaves",
        "kept-by-one-whose-update-failed-for-that",
    ],
)
def test_only_a_stranger_from_another_vim_or_an_unfinished_vm_excuses_a_subnet_that_stays(
    told: Sequence[Event], wrong: int
) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    events = [LoggedEvent(seq=seq, time=moment, event=each) for seq, each in enumerate(told, 1)]

    assert len(list(unprovoked(events))) == wrong
