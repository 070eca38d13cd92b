"""One record's inbox: a few triggers for each subject, however much happens."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.specs import Power, Server, ServerStatus
from esc_daemon.domain.triggers import (
    CallFailed,
    KpiCrossed,
    NeighboursGone,
    ResourceFailed,
    ResourceGone,
    ResourceMade,
    ResourcesReady,
    ServerGone,
    ServerSeen,
    ServerSwitched,
    ServerUpdated,
    Woken,
)
from esc_daemon.engine.mailbox import Mailbox
from tests.engine.engine_bench import DEPLOYMENT, HANDLE, SERVER, TENANT, record_id

ID = record_id(1)
NEXT = ServerKey(SERVER.vm, 2)


def seen(key: ServerKey, status: ServerStatus = ServerStatus.BUILD) -> ServerSeen:
    return ServerSeen(server=Server(key=key, server_id="s", name="n", project="p", status=status))


def updated(key: ServerKey) -> ServerUpdated:
    return ServerUpdated(server=seen(key).server)


def switched(number: int) -> ServerSwitched:
    return ServerSwitched(server=seen(SERVER).server, power=Power.OFF, number=number)


def crossed(event: str, *, holds: bool) -> KpiCrossed:
    return KpiCrossed(server=SERVER, event_name=event, holds=holds)


def failed(removal: bool, error: str = "no") -> CallFailed:  # noqa: FBT001  two words to a test
    return CallFailed(subject=SERVER, removal=removal, error=error)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (seen(SERVER), seen(SERVER, ServerStatus.ACTIVE)),
        (ServerGone(key=SERVER), ServerGone(key=SERVER)),
        (crossed("VM_ALIVE", holds=True), crossed("VM_ALIVE", holds=False)),
        (failed(removal=True), failed(removal=True, error="still no")),
        (ServerGone(key=SERVER, looked=True), ServerGone(key=SERVER, looked=True)),
        (Woken(), Woken()),
        (ResourcesReady(waiter=ID), ResourcesReady(waiter=ID, handles={TENANT: HANDLE})),
    ],
    ids=lambda trigger: type(trigger).__name__,
)
def test_the_later_of_two_about_one_subject_takes_the_place_of_the_earlier(earlier, later):
    box = Mailbox(DEPLOYMENT)

    box.put(earlier)
    box.put(later)

    assert box.take() == [later]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (seen(SERVER), seen(NEXT)),
        (ServerGone(key=SERVER), ServerGone(key=NEXT)),
        (updated(SERVER), updated(NEXT)),
        (seen(SERVER), ServerGone(key=SERVER)),
        # a look that found none must not stand in for a removal
        (ServerGone(key=SERVER), ServerGone(key=SERVER, looked=True)),
        (crossed("VM_ALIVE", holds=True), crossed("CPU", holds=True)),
        (failed(removal=True), failed(removal=False)),
        # one that comes twice must not take the place of that of a later switch
        (switched(2), switched(1)),
        (replace(failed(removal=False), switch=2), replace(failed(removal=False), switch=1)),
        # what one VIM says of a proof says nothing of what another may still make
        (failed(removal=False), replace(failed(removal=False), proof=True)),
        (
            ResourceMade(id=record_id(1), handle=HANDLE),
            ResourceMade(id=record_id(2), handle=HANDLE),
        ),
        (ResourceMade(id=record_id(1), handle=HANDLE), ResourceGone(id=record_id(1))),
        (ResourceFailed(waiter=ID, key=TENANT, error="no"), NeighboursGone(waiter=ID)),
    ],
    ids=lambda trigger: type(trigger).__name__,
)
def test_what_is_about_different_subjects_waits_side_by_side_in_its_order(one, other):
    box = Mailbox(DEPLOYMENT)

    box.put(one)
    box.put(other)

    assert box.take() == [one, other]


def test_what_was_taken_waits_no_more():
    box = Mailbox(DEPLOYMENT)
    box.put(Woken())

    box.take()

    assert box.take() == []


def test_what_could_not_be_stored_waits_again_before_the_newer():
    box = Mailbox(DEPLOYMENT)
    box.put(seen(SERVER))
    box.put(ServerGone(key=NEXT))
    taken = box.take()
    newer = seen(SERVER, ServerStatus.ACTIVE)
    box.put(newer)

    box.put_back(taken)

    assert box.take() == [ServerGone(key=NEXT), newer]


TRIGGERS = [
    seen(SERVER),
    seen(NEXT),
    ServerGone(key=SERVER),
    crossed("VM_ALIVE", holds=True),
    crossed("VM_ALIVE", holds=False),
    failed(removal=True),
    failed(removal=False),
    Woken(),
    ResourcesReady(waiter=ID),
    NeighboursGone(waiter=ID),
]


@given(st.lists(st.sampled_from(TRIGGERS)))
def test_a_mailbox_keeps_the_last_of_each_subject_and_is_bounded_by_their_number(told):
    box = Mailbox(DEPLOYMENT)

    for trigger in told:
        box.put(trigger)

    kept = box.take()
    assert len(kept) <= len(TRIGGERS) - 1
    last = [t for n, t in enumerate(told) if t not in told[n + 1 :]]
    assert [t for t in last if t in kept] == kept


def test_a_mailbox_with_a_record_or_anything_to_do_is_not_unused():
    box = Mailbox(DEPLOYMENT)
    assert box.unused

    box.put(Woken())
    assert not box.unused
    box.take()

    box.users = 1
    assert not box.unused
    box.users = 0

    box.draining = True
    assert not box.unused
