"""Commits that wait are written together; one that fails, fails alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_daemon.domain.events import Stream
from esc_daemon.domain.ids import VmId
from esc_daemon.domain.step import Step
from esc_daemon.store import (
    EntryChange,
    SqlStore,
    StaleEpoch,
    StoreBroken,
    StoreClosed,
    StoreError,
)
from esc_daemon.store.base import LoggedEvent
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


class Synced:
    """Counts what reached the disk."""

    def __init__(self):
        self.images = []

    def __call__(self, image):
        self.images.append(image)


def telling(message="x"):
    return Step(key=a_tenant().key, before=None, record=None, events=(an_event(message),))


async def loaded(store):
    return [record async for record in store.load()]


async def log_of(store):
    logged = await store.events(after=0, limit=10_000, stream=Stream.ESC_EVENT)
    return [(one.seq, one.event.message) for one in logged]


async def test_commits_that_come_together_share_one_sync():
    # given
    synced = Synced()
    store = SqlStore.from_image(on_synced=synced)

    # when
    records = [a_deployment(f"d{n}") for n in range(10)]
    await asyncio.gather(*(store.commit([beginning(record)], time=NOW) for record in records))

    # then
    assert len(synced.images) == 1
    assert await loaded(store) == records
    await store.close()


def numbers(outcome: Sequence[LoggedEvent] | BaseException) -> list[int]:
    assert not isinstance(outcome, BaseException)
    return [logged.seq for logged in outcome]


async def test_a_stale_commit_in_a_batch_of_ten_fails_alone():
    # given ten records, one of which somebody else has moved
    synced = Synced()
    store = SqlStore.from_image(on_synced=synced)
    records = [a_deployment(f"d{n}") for n in range(10)]
    await store.commit([beginning(record) for record in records], time=NOW)
    stolen = later(records[4], epoch=7)
    await store.commit([moving(records[4], stolen)], time=NOW)
    synced.images.clear()

    # when all ten move in one batch, each with an event and an entry
    outcomes = await asyncio.gather(
        *(
            store.commit(
                [moving(record, later(record), an_event(record.key.name))],
                [EntryChange(path=a_path(record.key.name), xml="<x/>")],
                time=NOW,
            )
            for record in records
        ),
        return_exceptions=True,
    )

    # then nine are there, numbered without a gap, and one knows why it is not
    assert len(synced.images) == 1
    assert isinstance(outcomes.pop(4), StaleEpoch)
    assert [seq for outcome in outcomes for seq in numbers(outcome)] == list(range(1, 10))
    assert [name for _, name in await log_of(store)] == [f"d{n}" for n in range(10) if n != 4]
    assert [entry.path.name for entry in await store.entries()] == [
        f"d{n}" for n in range(10) if n != 4
    ]
    assert await loaded(store) == [
        stolen if record is records[4] else later(record) for record in records
    ]
    await store.close()


async def test_of_a_batch_of_many_moved_vms_only_what_does_not_fit_is_left_out(memory):
    # given four deployments of more VMs than a statement takes rows: of one a VM's row is missing,
    # another was moved by somebody else
    records = [a_deployment(f"d{n}", *(a_vm(f"vm-{m}") for m in range(70))) for n in range(4)]
    lost, stale = records[1], records[2]
    vms = dict(lost.vms)
    del vms[VmId("vm-66")]
    there = replace(lost, vms=vms)
    stolen = later(stale, epoch=7)
    await memory.commit([beginning(there if r is lost else r) for r in records], time=NOW)
    await memory.commit([moving(stale, stolen)], time=NOW)

    # when all of them move all their VMs in one batch
    moved = [
        later(record, vms={vm.id: replace(vm, error="moved") for vm in record.vms.values()})
        for record in records
    ]
    outcomes = await asyncio.gather(
        *(memory.commit([moving(*pair)], time=NOW) for pair in zip(records, moved, strict=True)),
        return_exceptions=True,
    )

    # then these two fail, each for its own reason, and leave nothing half written
    assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [
        StoreBroken,
        StaleEpoch,
    ]
    assert await loaded(memory) == [moved[0], there, stolen, moved[3]]


async def test_commits_of_one_record_in_one_batch_follow_each_other(memory):
    # given three moves of one record, the second of them stale
    first = a_deployment("web")
    second, third = later(first), later(later(first))

    # when they meet in one batch
    outcomes = await asyncio.gather(
        memory.commit([beginning(first)], time=NOW),
        memory.commit([moving(first, second)], time=NOW),
        memory.commit([moving(first, replace(second, error="late"))], time=NOW),
        memory.commit([moving(second, third)], time=NOW),
        return_exceptions=True,
    )

    # then
    assert [isinstance(outcome, StaleEpoch) for outcome in outcomes] == [False, False, True, False]
    assert await loaded(memory) == [third]


async def test_a_batch_in_which_all_fail_writes_nothing(memory):
    outcomes = await asyncio.gather(
        *(memory.commit([ending(a_deployment(f"d{n}"), an_event())], time=NOW) for n in range(3)),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [StaleEpoch] * 3
    assert await memory.last_event() == 0


async def test_a_batch_is_no_longer_than_its_bound():
    # given
    synced = Synced()
    store = SqlStore.from_image(on_synced=synced, longest_batch=4)

    # when
    logged = await asyncio.gather(*(store.commit([telling()], time=NOW) for _ in range(10)))

    # then: 4 + 4 + 2, in the order in which they came
    assert len(synced.images) == 3
    assert [one.seq for [one] in logged] == list(range(1, 11))
    await store.close()


async def test_a_commit_waits_for_a_place_in_a_full_queue():
    # given a queue of two
    synced = Synced()
    store = SqlStore.from_image(on_synced=synced, longest_queue=2)

    # when five come at once
    logged = await asyncio.gather(*(store.commit([telling()], time=NOW) for _ in range(5)))

    # then no batch was longer than the queue, and nobody was refused
    assert len(synced.images) >= 3
    assert [one.seq for [one] in logged] == [1, 2, 3, 4, 5]
    await store.close()


async def test_who_waits_for_a_place_when_the_store_closes_is_told():
    # given a full queue and one before it
    store = SqlStore.from_image(longest_queue=1)
    accepted = asyncio.create_task(store.commit([telling("in")], time=NOW))
    outside = asyncio.create_task(store.commit([telling("out")], time=NOW))
    await asyncio.sleep(0)

    # when
    await store.close()

    # then
    assert len(await accepted) == 1
    with pytest.raises(StoreClosed):
        await outside


async def test_a_commit_that_is_cancelled_while_it_waits_is_not_written(memory):
    # given one commit that has not been taken from the queue
    waiting = asyncio.create_task(memory.commit([telling("cancelled")], time=NOW))
    await asyncio.sleep(0)

    # when
    waiting.cancel()
    await memory.commit([telling("next")], time=NOW)

    # then
    assert await log_of(memory) == [(1, "next")]


async def test_a_commit_that_is_cancelled_while_it_is_written_disturbs_nobody():
    # given a batch of two on its way to the disk
    both = []
    loop = asyncio.get_running_loop()

    def cancel(_: bytes) -> None:
        loop.call_soon_threadsafe(both[0].cancel)

    store = SqlStore.from_image(on_synced=cancel)
    both += [
        asyncio.create_task(store.commit([telling(name)], time=NOW)) for name in ("one", "two")
    ]

    # when the first caller is cancelled before the answer is there
    outcomes = await asyncio.gather(*both, return_exceptions=True)

    # then it is written all the same
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert numbers(outcomes[1]) == [2]
    assert await log_of(store) == [(1, "one"), (2, "two")]
    await store.close()


async def test_whoever_waits_learns_that_the_writer_was_cancelled(memory):
    # given a commit in the queue
    waiting = asyncio.create_task(memory.commit([telling()], time=NOW))
    await asyncio.sleep(0)

    # when the loop is shut down and cancels all tasks
    [writer] = [task for task in asyncio.all_tasks() if task.get_name() == "store.writer"]
    writer.cancel()

    # then
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait([writer])
    assert await memory.last_event() == 0


async def test_an_unforeseen_error_reaches_everybody_and_the_store_goes_on():
    # given a hook that fails once, after the commit
    failures = [ZeroDivisionError("oops")]

    def hook(_):
        if failures:
            raise failures.pop()

    store = SqlStore.from_image(on_synced=hook)

    # when
    outcomes = await asyncio.gather(
        *(store.commit([telling()], time=NOW) for _ in range(2)), return_exceptions=True
    )

    # then each has an error of its own
    assert [type(outcome) for outcome in outcomes] == [StoreError] * 2
    assert outcomes[0] is not outcomes[1]
    [logged] = await store.commit([telling()], time=NOW)
    assert logged.seq == 3
    await store.close()


async def test_only_the_rows_of_replaced_objects_are_written(memory):
    # given a deployment of a hundred VMs
    first = a_deployment("web", *(a_vm(f"v{n:03}") for n in range(100)))
    await memory.commit([beginning(first)], time=NOW)
    written = []

    def count(statement):
        if not statement.startswith(("SELECT", "BEGIN", "COMMIT")):
            written.append(" ".join(statement.split()[:3]))

    database = memory._connection.connection.dbapi_connection
    database.set_trace_callback(count)

    # when one VM moves
    moved = replace(first.vms[VmId("v007")], hostname="compute-1")
    second = later(first, vms={**first.vms, moved.id: moved})
    before = database.total_changes
    await memory.commit([moving(first, second, an_event())], time=NOW)

    # then three rows are written: the head, the VM, the event
    assert sorted(written) == [
        "INSERT INTO events",
        "UPDATE records SET",
        "UPDATE vms SET",
    ]
    assert database.total_changes - before == 3

    # when only the head moves: neither intent nor VMs are touched, although the mapping is new
    written.clear()
    third = later(second, error="why", vms=dict(second.vms))
    await memory.commit([moving(second, third)], time=NOW)
    assert written == ["UPDATE records SET"]


@pytest.mark.parametrize("count", [1, 2, 3, 64, 65, 200])
async def test_so_many_vms_and_events_of_one_step_are_all_there(memory, count):
    # given
    first = a_deployment("web", *(a_vm(f"v{n:03}") for n in range(count)))
    told = [an_event(f"event-{n}") for n in range(count)]
    # when
    await memory.commit([beginning(first, *told)], time=NOW)
    # then
    assert [record async for record in memory.load()] == [first]
    events = await memory.events(after=0, limit=1000, stream=told[0].stream)
    assert [each.seq for each in events] == list(range(1, count + 1))
    assert [each.event for each in events] == told


ACTIONS = st.tuples(
    st.integers(0, 3),
    st.sampled_from(["begin", "move", "end", "old revision", "old epoch", "tell"]),
    st.integers(0, 2),
)


def step_of(model, name, action, events):
    """Return a step and what it leaves, None: it is stale by what *model* says."""
    now = model.get(name)
    told = tuple(an_event(f"{name}/{action}/{n}") for n in range(events))
    fresh = a_deployment(name)
    match action:
        case "begin":
            return beginning(fresh, *told), now is None, fresh
        case "tell":
            return Step(key=fresh.key, before=now, record=now, events=told), True, now
        case "move":
            before = now or fresh
            after = later(before)
            return moving(before, after, *told), now is not None, after
        case "end":
            return ending(now or fresh, *told), now is not None, None
        case "old revision":
            before = replace(now or fresh, revision=0)
        case _:
            before = replace(now or fresh, epoch=0)
    return moving(before, later(before), *told), False, None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(ACTIONS, max_size=6), max_size=4), st.integers(1, 4))
def test_whatever_comes_together_the_log_has_no_gap_and_the_records_are_the_models(
    batches, longest_batch
):
    # given batches of commits, of which some are stale
    async def play():
        store = SqlStore.from_image(longest_batch=longest_batch)
        model, log = {}, []
        for batch in batches:
            steps, good = [], []
            for number, action, events in batch:
                step, fits, after = step_of(model, f"d{number}", action, events)
                steps.append(step)
                good.append(fits)
                if fits:
                    model[f"d{number}"] = after
                    log.extend(event.message for event in step.events)

            # when each batch is committed by as many callers
            outcomes = await asyncio.gather(
                *(store.commit([step], time=NOW) for step in steps), return_exceptions=True
            )

            # then exactly the stale ones fail
            assert [not isinstance(outcome, StaleEpoch) for outcome in outcomes] == good
        assert await loaded(store) == [model[name] for name in sorted(model) if model[name]]
        assert await log_of(store) == list(enumerate(log, start=1))
        await store.close()

    asyncio.run(play())
