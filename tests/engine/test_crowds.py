"""Edits of many records at once: none waits for ever, and a refusal says whose it is."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import DeploymentName, Key, Kind, TenantName, VmGroupName
from esc_daemon.domain.intent import Deployment, Network, Subnet, Tenant, VmGroup
from esc_daemon.engine.edit import Change, Edit
from tests.engine.engine_bench import TENANT, T
from tests.engine.engine_world import ShakyStore, WatchedVim, an_engine

pytestmark = pytest.mark.looptime(start=0)

SUBNET = Subnet(name="s", network="n", address="10.0.0.0", netmask="255.0.0.0")
NETWORK = Network(name="n", subnets=(SUBNET,))
MOVED = replace(NETWORK, subnets=(replace(SUBNET, address="11.0.0.0"),))
SERVICE = Deployment(
    name=DeploymentName("d"), networks=(NETWORK,), groups=(VmGroup(name=VmGroupName("g")),)
)


@pytest.fixture
async def engine():
    async with an_engine(WatchedVim(), ShakyStore()) as engine:
        yield engine


async def test_edits_of_overlapping_records_do_not_wait_for_each_other_for_ever(engine):
    random = Random(1)
    names = [TenantName(f"tenant-{number}") for number in range(12)]

    def any_edit() -> Edit:
        some = random.sample(names, random.randint(2, len(names)))
        return Edit(
            changes=tuple(
                Change(key=Key(Kind.TENANT, None, name), intent=Tenant(name=name)) for name in some
            )
        )

    async with asyncio.timeout(60):
        await asyncio.gather(*(engine.apply(any_edit()) for _ in range(200)))

    assert {record.key.name for record in engine.records()} <= set(names)


async def test_an_edit_whose_records_became_more_while_it_waited_has_the_turn_of_each():
    # given a network that gets a subnet, and an edit that deletes it and waits for its turn
    network, subnet = Key(Kind.NETWORK, T, "n"), Key(Kind.SUBNET, T, "n/s")
    store = ShakyStore()
    async with an_engine(WatchedVim(), store) as engine:
        await engine.apply(Edit(changes=(Change(key=TENANT, intent=Tenant(name=T)),)))
        store.held.clear()
        making = asyncio.create_task(
            engine.apply(Edit(changes=(Change(key=network, intent=NETWORK),)))
        )
        await asyncio.sleep(1)
        deleting = asyncio.create_task(
            engine.apply(Edit(changes=(Change(key=network, intent=None),)))
        )
        await asyncio.sleep(1)

        # when somebody else has the turn of the subnet next
        given_back = asyncio.Event()

        async def hold() -> None:
            async with engine._turn(subnet):
                await given_back.wait()

        holding = asyncio.create_task(hold())
        await asyncio.sleep(1)
        store.held.set()
        await making
        await asyncio.sleep(1)
        waits = not deleting.done()
        given_back.set()
        await asyncio.gather(deleting, holding)

        # then the edit, which knew of no subnet when it began, waited for that too
        assert waits
        assert engine.record(subnet) is None or engine.record(subnet).intent is None


@pytest.mark.parametrize(
    ("kind", "name", "intent", "other"),
    [
        (Kind.NETWORK, "n", NETWORK, MOVED),
        (Kind.DEPLOYMENT, "d", SERVICE, replace(SERVICE, networks=(MOVED,))),
    ],
)
async def test_a_refusal_names_the_change_that_it_is_about(engine, kind, name, intent, other):
    key = Key(kind, T, name)
    tenant = Change(key=Key(Kind.TENANT, None, "t"), intent=Tenant(name=T))
    await engine.apply(Edit(changes=(tenant, Change(key=key, intent=intent))))
    later = Change(key=Key(Kind.TENANT, None, "u"), intent=Tenant(name=TenantName("u")))

    with pytest.raises(Refused) as refused:
        await engine.apply(Edit(changes=(Change(key=key, intent=other), later)))

    assert refused.value.key == key
