"""What others put into a tenant whose removal is committed, to be confirmed, at that moment."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.errors import ErrorTag
from esc_daemon.netconf.messages import Commit
from tests.northbound.managed import Managed, managed, tenants

MINE = 1
GONE = tenants("t", attributes='nc:operation="delete"')
A_NETWORK = (
    "<tenants><tenant><name>t</name><networks><network><name>n</name></network></networks>"
    "</tenant></tenants>"
)
TURNS = range(-6, 7)
"""How many turns of the loop the one is ahead of the other."""


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    async with managed(schema) as everything:
        yield everything


async def tried(it: Managed) -> None:
    """Commit the candidate, to be confirmed."""
    await it.configuration.commit(Commit(confirm_timeout=60), MINE, "admin")


async def confirmed(it: Managed) -> None:
    await it.configuration.commit(Commit(), MINE, "admin")


async def taken(answer: "asyncio.Task[None]") -> bool:
    """Tell whether it was; in-use is the only reason why not."""
    (error,) = await asyncio.gather(answer, return_exceptions=True)
    assert error is None or getattr(error, "tag", None) is ErrorTag.IN_USE
    return error is None


async def both(it: Managed, ahead: int) -> tuple[bool, bool]:
    """Put a network into the tenant and let that go, at once; tell which of the two was taken."""
    await it.edit(tenants("t"))
    await it.edit(GONE, target="candidate")
    putting, going = it.edit(A_NETWORK), tried(it)
    first = asyncio.create_task(putting if ahead > 0 else going)
    for _ in range(abs(ahead)):
        await asyncio.sleep(0)
    second = asyncio.create_task(going if ahead > 0 else putting)
    put, goes = (first, second) if ahead > 0 else (second, first)
    return await taken(put), await taken(goes)


@pytest.mark.parametrize("ahead", TURNS)
async def test_one_of_the_two_is_refused_whoever_came_first(it: Managed, ahead: int) -> None:
    put, goes = await both(it, ahead)

    assert put is not goes


@pytest.mark.parametrize("ahead", TURNS)
async def test_what_was_taken_is_not_removed_unseen_once_the_candidate_was_discarded(
    it: Managed, ahead: int
) -> None:
    put, _ = await both(it, ahead)

    it.configuration.discard_changes()
    await confirmed(it)

    assert ("<name>n</name>" in await it.get_config()) is put


@pytest.mark.parametrize("ahead", TURNS)
async def test_what_was_taken_stays_when_the_removal_is_taken_back(it: Managed, ahead: int) -> None:
    put, goes = await both(it, ahead)

    if goes:
        await it.configuration.cancel_commit(None, MINE, "admin")

    assert ("<name>n</name>" in await it.get_config()) is put
    assert "<name>t</name>" in await it.get_config()


async def test_a_removal_is_put_on_trial_only_of_what_its_client_has_seen(it: Managed) -> None:
    await it.edit(tenants("t"))
    await it.edit(GONE, target="candidate")
    await it.edit(A_NETWORK)

    assert not await taken(asyncio.create_task(tried(it)))

    assert it.configuration.on_trial is None
