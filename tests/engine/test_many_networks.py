"""A deployment of many networks: what its waits cost grows with their number, not faster."""

import asyncio

import pytest

from esc_daemon.domain.ids import DeploymentName, Key, Kind
from esc_daemon.domain.intent import Deployment, Network, Subnet, Tenant
from esc_daemon.domain.states import OperationState, ResourceState, ServiceState
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.engine.engine import Engine
from tests.engine.engine_bench import TENANT, T, deployment_of
from tests.engine.engine_world import ShakyStore, WatchedVim, an_engine

pytestmark = pytest.mark.looptime(start=0)

SERVICE = Key(Kind.DEPLOYMENT, T, "d")


def a_network(number: int) -> Network:
    name = f"n{number}"
    address = f"10.0.{number}.0"
    subnet = Subnet(name="s", network=name, address=address, netmask="255.255.255.0")
    return Network(name=name, subnets=(subnet,))


async def applied(engine: Engine, key: Key, intent: Deployment | Tenant | None) -> None:
    await engine.apply(Edit(changes=(Change(key=key, intent=intent),)))


def counting(engine: Engine) -> list[int]:
    """Return what counts from now on how often *engine* looks a neighbour up."""
    neighbours = engine._neighbours
    counted, lookup = [0], neighbours._lookup

    def count(key: Key):
        counted[0] += 1
        return lookup(key)

    neighbours._lookup = count
    return counted


async def lookups(networks: int) -> tuple[int, int]:
    """Return how often a neighbour was looked up for a deployment, and for its removal."""
    async with an_engine(WatchedVim(), ShakyStore()) as engine:
        counted = counting(engine)
        await applied(engine, TENANT, Tenant(name=T))
        intent = Deployment(
            name=DeploymentName("d"), networks=tuple(map(a_network, range(networks))), groups=()
        )
        await applied(engine, SERVICE, intent)
        await asyncio.sleep(600)
        assert deployment_of(engine, SERVICE).operation.state is OperationState.COMPLETED
        deployed, counted[0] = counted[0], 0
        await applied(engine, SERVICE, None)
        await asyncio.sleep(600)
        assert [record.key for record in engine.records()] == [TENANT]
        return deployed, counted[0]


async def test_the_lookups_of_a_deployment_and_of_its_removal_grow_with_its_networks():
    few, many = await lookups(40), await lookups(80)

    assert 0 < many[0] <= 2.5 * few[0], (few, many)
    assert 0 < many[1] <= 2.5 * few[1], (few, many)


async def lookups_of_one_edit(things: int, own: int = 0) -> tuple[int, int]:
    """
    Return the same for an edit with that many networks and as many deployments beside them.

    Each deployment brings *own* networks with a subnet.
    """
    async with an_engine(WatchedVim(), ShakyStore()) as engine:
        counted = counting(engine)
        await applied(engine, TENANT, Tenant(name=T))
        wanted: dict[Key, Network | Deployment] = {}
        for number in range(things):
            network = a_network(number)
            wanted[Key(Kind.NETWORK, T, network.name)] = network
            name = DeploymentName(f"d{number}")
            networks = tuple(map(a_network, range(own)))
            service = Deployment(name=name, networks=networks, groups=())
            wanted[Key(Kind.DEPLOYMENT, T, name)] = service
        await engine.apply(Edit(changes=tuple(Change(key=k, intent=i) for k, i in wanted.items())))
        await asyncio.sleep(600)
        states = [getattr(engine.record(key), "state", None) for key in wanted]
        assert set(states) == {ResourceState.ACTIVE, ServiceState.ACTIVE}
        made, counted[0] = counted[0], 0
        await engine.apply(Edit(changes=tuple(Change(key=key, intent=None) for key in wanted)))
        await asyncio.sleep(600)
        assert [record.key for record in engine.records()] == [TENANT]
        return made, counted[0]


@pytest.mark.parametrize("own", [0, 1])
async def test_the_lookups_of_one_edit_grow_with_what_it_holds(own: int):
    few, many = await lookups_of_one_edit(10, own), await lookups_of_one_edit(20, own)

    assert 0 < many[0] <= 2.5 * few[0], (few, many)
    assert 0 < many[1] <= 2.5 * few[1], (few, many)
