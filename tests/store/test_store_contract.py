"""What every `Store` does, whatever stands below it."""

import asyncio
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from esc_daemon.domain.events import Stream
from esc_daemon.domain.ids import Key, Kind, RecordId
from esc_daemon.domain.intent import Deployment
from esc_daemon.domain.record import Record
from esc_daemon.domain.step import Step
from esc_daemon.store import (
    Entry,
    EntryChange,
    EntryPath,
    LoggedEvent,
    StaleEpoch,
    StoreClosed,
    StoreError,
)
from tests.store.store_samples import (
    NOW,
    a_deployment,
    a_path,
    a_tenant,
    a_vm,
    an_event,
    beginning,
    ending,
    later,
    moving,
)


async def loaded(store):
    return [record async for record in store.load()]


async def told(store, **asked):
    options = {"after": 0, "limit": 100, "stream": Stream.ESC_EVENT} | asked
    return [logged.seq for logged in await store.events(**options)]


async def test_a_new_store_is_empty(store):
    assert await loaded(store) == []
    assert await store.entries() == []
    assert await store.last_event() == 0
    assert await told(store) == []


async def test_a_committed_record_is_loaded_as_it_was(store):
    # given
    records: list[Record] = [a_deployment("web", a_vm("a"), a_vm("b")), a_tenant()]

    # when
    await store.commit([beginning(record) for record in records], time=NOW)

    # then
    assert await loaded(store) == records


async def test_a_step_moves_the_record_and_its_vms(store):
    # given a deployment of three VMs
    vms = [a_vm("a"), a_vm("b"), a_vm("c")]
    first = a_deployment("web", *vms)
    await store.commit([beginning(first)], time=NOW)

    # when one goes, one changes, one comes
    second = later(
        first,
        intent=Deployment(name="web"),
        vms={vm.id: vm for vm in (vms[0], replace(vms[1], hostname="compute-7"), a_vm("d"))},
    )
    await store.commit([moving(first, second)], time=NOW)

    # then
    assert await loaded(store) == [second]


async def test_the_intent_may_go_and_come_again(store):
    first = a_deployment("web", a_vm())
    second = later(first, intent=None)
    third = later(second, intent=first.intent)

    for before, record in ((None, first), (first, second), (second, third)):
        await store.commit([Step(key=first.key, before=before, record=record)], time=NOW)
        assert await loaded(store) == [record]


async def test_nothing_is_left_of_a_record_that_ended(store):
    # given
    record = a_deployment("web", a_vm("a"), a_vm("b"))
    await store.commit([beginning(record)], time=NOW)

    # when
    await store.commit([ending(record)], time=NOW)

    # then its name is free for one with the same VMs
    assert await loaded(store) == []
    await store.commit([beginning(record)], time=NOW)
    assert await loaded(store) == [record]


async def test_the_next_incarnation_may_take_over_in_one_step(store):
    first = a_deployment("web", a_vm("a"))
    second = later(first, id=RecordId("another"), vms={a_vm("z").id: a_vm("z")})
    await store.commit([beginning(first)], time=NOW)

    await store.commit([moving(first, second)], time=NOW)

    assert await loaded(store) == [second]


async def test_many_records_are_loaded_page_by_page_in_the_order_of_their_keys(store):
    # given more than two pages, some with VMs
    records: list[Record] = [
        a_deployment(f"d{n:04}", *[a_vm(f"v{n}")] * (n % 2)) for n in range(600)
    ]
    records.append(a_tenant())
    await store.commit([beginning(record) for record in reversed(records)], time=NOW)

    # when, then
    assert await loaded(store) == records


async def test_events_are_numbered_in_the_order_of_the_steps(store):
    # given
    one, two = a_deployment("one"), a_deployment("two")

    # when
    logged = await store.commit(
        [beginning(one, an_event("a"), an_event("b")), beginning(two, an_event("c"))], time=NOW
    )

    # then they are told at once and can be read afterwards
    assert logged == [
        LoggedEvent(seq=seq, time=NOW, event=an_event(message))
        for seq, message in enumerate("abc", start=1)
    ]
    assert await store.events(after=0, limit=10, stream=Stream.ESC_EVENT) == logged
    assert await store.last_event() == 3


async def test_an_event_may_be_told_by_a_step_that_moves_nothing(store):
    record = a_tenant()
    await store.commit([beginning(record)], time=NOW)

    await store.commit([moving(record, record, an_event())], time=NOW)
    await store.commit(
        [Step(key=record.key, before=None, record=None, events=(an_event(),))], time=NOW
    )

    assert await told(store) == [1, 2]
    assert await loaded(store) == [record]


async def test_a_commit_of_nothing_is_no_error(store):
    record = a_tenant()
    assert list(await store.commit([moving(record, record)], time=NOW)) == []


async def test_events_are_read_by_page_and_by_time(store):
    # given five events, a minute apart
    for minute in range(5):
        step = Step(key=a_tenant().key, before=None, record=None, events=(an_event(),))
        await store.commit([step], time=NOW + timedelta(minutes=minute))

    # when, then
    assert await told(store, limit=2) == [1, 2]
    assert await told(store, after=2, limit=2) == [3, 4]
    assert await told(store, since=NOW + timedelta(minutes=3)) == [4, 5]
    assert await told(store, after=4, since=NOW) == [5]
    assert await told(store, after=5) == []


async def test_the_time_of_an_event_is_utc_whatever_the_caller_uses(store):
    # given a caller in another time zone
    zone = timezone(timedelta(hours=-3))
    step = Step(key=a_tenant().key, before=None, record=None, events=(an_event(),))

    # when
    [logged] = await store.commit([step], time=NOW.astimezone(zone))

    # then
    assert logged.time.utcoffset() == timedelta(0)
    assert logged.time == NOW
    assert await store.events(after=0, limit=1, stream=Stream.ESC_EVENT) == [logged]


async def test_a_time_without_a_zone_is_refused(store):
    with pytest.raises(TypeError):
        await store.commit([beginning(a_tenant())], time=NOW.replace(tzinfo=None))


async def test_trimmed_events_are_gone_and_their_numbers_are_not_used_again(store):
    # given
    events = tuple(an_event(str(number)) for number in range(10))
    step = Step(key=a_tenant().key, before=None, record=None, events=events)
    await store.commit([step], time=NOW)

    # when
    assert await store.trim(keep_events=3) == 7
    assert await told(store) == [8, 9, 10]
    assert await store.trim(keep_events=0) == 2
    assert await store.trim(keep_events=0) == 0

    # then
    assert await told(store) == [10]
    [next_one] = await store.commit([replace(step, events=(an_event(),))], time=NOW)
    assert next_one.seq == 11


async def test_trimming_an_empty_log_is_no_error(store):
    assert await store.trim(keep_events=0) == 0


async def test_a_long_trim_lets_commits_pass(store, monkeypatch):
    # given a log much longer than one cut
    monkeypatch.setattr("esc_daemon.store.event_log.LONGEST_CUT", 10)
    events = tuple(an_event() for _ in range(100))
    step = Step(key=a_tenant().key, before=None, record=None, events=events)
    await store.commit([step], time=NOW)

    # when a commit comes while it is trimmed
    trimming = asyncio.create_task(store.trim(keep_events=1))
    await asyncio.sleep(0)
    await store.commit([replace(step, events=(an_event(),))], time=NOW)

    # then it did not wait for the end
    assert not trimming.done()
    await trimming
    assert await told(store) == [101]


async def test_entries_stand_in_the_order_of_their_creation(store):
    # given three entries, made one after the other
    for name in ("c", "a", "b"):
        await store.commit((), [EntryChange(path=a_path(name), xml=f"<{name}/>")], time=NOW)

    # when one is rewritten and one goes
    changes = [
        EntryChange(path=a_path("c"), xml="<c>2</c>"),
        EntryChange(path=a_path("a"), xml=None),
        EntryChange(path=a_path("never"), xml=None),
    ]
    await store.commit((), changes, time=NOW)

    # then
    assert await store.entries() == [
        Entry(path=a_path("c"), xml="<c>2</c>", revision=2, order=1),
        Entry(path=a_path("b"), xml="<b/>", revision=1, order=3),
    ]


async def test_an_entry_stands_where_it_is_told_to(store):
    # given
    changes = [
        EntryChange(path=a_path(name), xml="<x/>", order=n) for n, name in ((30, "a"), (10, "b"))
    ]
    await store.commit((), changes, time=NOW)

    # when one moves, one is new without a wish, one of another kind stands at the root
    image = EntryPath("image", "", "cirros")
    changes = [
        EntryChange(path=a_path("b"), xml="<x/>", order=40),
        EntryChange(path=a_path("new"), xml="<x/>"),
        EntryChange(path=image, xml="<image/>", order=5),
    ]
    await store.commit((), changes, time=NOW)

    # then
    assert [(entry.path.name, entry.order) for entry in await store.entries()] == [
        ("cirros", 5),
        ("a", 30),
        ("b", 40),
        ("new", 41),
    ]


async def test_one_commit_may_touch_one_place_more_than_once(store):
    # given an entry that goes and comes, a record that moves twice
    first = a_deployment("web", a_vm())
    second = later(first, vms={})
    changes = [
        EntryChange(path=a_path(), xml="<old/>"),
        EntryChange(path=a_path(), xml=None),
        EntryChange(path=a_path(), xml="<new/>"),
    ]

    # when
    await store.commit([beginning(first), moving(first, second)], changes, time=NOW)

    # then
    assert await loaded(store) == [second]
    assert [(entry.xml, entry.revision) for entry in await store.entries()] == [("<new/>", 1)]


@pytest.mark.parametrize(
    ("stored", "stale"),
    [
        pytest.param(None, moving(a_tenant(), later(a_tenant())), id="moved-but-gone"),
        pytest.param(None, ending(a_tenant()), id="ended-but-gone"),
        pytest.param(a_tenant(), beginning(a_tenant()), id="begun-twice"),
        pytest.param(
            a_tenant(epoch=2), moving(a_tenant(), later(a_tenant())), id="epoch-of-another"
        ),
        pytest.param(a_tenant(revision=2), moving(a_tenant(), later(a_tenant())), id="lost-update"),
        pytest.param(a_tenant(epoch=2), ending(a_tenant()), id="end-in-an-old-epoch"),
        pytest.param(a_tenant(revision=2), ending(a_tenant()), id="end-of-an-old-revision"),
    ],
)
async def test_a_stale_step_changes_nothing(store, stored, stale):
    # given
    there = [] if stored is None else [stored]
    await store.commit([beginning(record) for record in there], time=NOW)

    # when it comes together with a good step, an entry and an event
    step = replace(stale, events=(an_event(),))
    with pytest.raises(StaleEpoch, match="tenant/acme") as caught:
        await store.commit(
            [beginning(a_deployment()), step], [EntryChange(path=a_path(), xml="<x/>")], time=NOW
        )

    # then
    assert caught.value.key == Key(Kind.TENANT, None, "acme")
    assert await loaded(store) == there
    assert await store.entries() == []
    assert await store.last_event() == 0


async def test_the_error_tells_what_was_expected_and_what_is_there(store):
    await store.commit([beginning(a_tenant(epoch=4))], time=NOW)

    with pytest.raises(StaleEpoch) as caught:
        await store.commit([ending(a_tenant(epoch=3))], time=NOW)

    assert str(caught.value) == (
        "tenant/acme: expected revision 1 of epoch 3, found revision 1 of epoch 4;"
        " load the record again"
    )


async def test_a_second_step_that_does_not_follow_the_first_is_stale(store):
    first = a_tenant()
    stranger = later(a_tenant(epoch=9))

    with pytest.raises(StaleEpoch, match="expected revision 2 of epoch 9, found revision 1 of"):
        await store.commit([beginning(first), moving(stranger, later(stranger))], time=NOW)

    assert await loaded(store) == []


async def test_a_record_of_an_unknown_kind_is_refused(store):
    key = Key(Kind.HOST, None, "compute-1")
    with pytest.raises(StoreError, match="host"):
        await store.commit([beginning(a_tenant(key=key))], time=NOW)


async def test_a_closed_store_answers_nobody(store):
    await store.close()
    await store.close()

    with pytest.raises(StoreClosed):
        await store.commit([beginning(a_tenant())], time=NOW)
    with pytest.raises(StoreClosed):
        await store.last_event()


async def test_closing_finishes_what_was_accepted(store):
    # given commits under way
    records = [a_deployment(f"d{n}") for n in range(5)]
    commits = [
        asyncio.create_task(store.commit([beginning(record, an_event())], time=NOW))
        for record in records
    ]
    await asyncio.sleep(0)

    # when
    await store.close()

    # then
    numbers = [logged.seq for [logged] in await asyncio.gather(*commits)]
    assert numbers == [1, 2, 3, 4, 5]


async def test_events_are_forgotten_by_their_age_too_but_never_the_newest(store):
    # given three events, each an hour after the other
    step = Step(key=a_tenant().key, before=None, record=None, events=(an_event(),))
    hour = timedelta(hours=1)
    for number in range(3):
        await store.commit([step], time=NOW + number * hour)

    # when, then
    assert await store.trim(keep_events=100, before=NOW) == 0
    assert await store.trim(keep_events=100, before=NOW + hour) == 1
    assert await told(store) == [2, 3]
    assert await store.trim(keep_events=100, before=NOW + 9 * hour) == 1
    assert await told(store) == [3]


async def test_nothing_is_forgotten_for_its_age_behind_an_event_that_is_not_old(store):
    step = Step(key=a_tenant().key, before=None, record=None, events=(an_event(),))
    for time in (NOW + timedelta(days=1), NOW):  # the clock was set back
        await store.commit([step], time=time)

    assert await store.trim(keep_events=100, before=NOW + timedelta(hours=1)) == 0
