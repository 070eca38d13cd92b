"""What every driver of the VIM port does, whatever VIM is behind it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest

from esc_daemon.domain.ids import Key, Kind, PortKey, ServerKey, TenantName, VmId
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet, Tenant
from esc_daemon.domain.specs import (
    Address,
    PortSpec,
    Power,
    Server,
    ServerSpec,
    ServerStatus,
    VimStatus,
)
from esc_daemon.vim.base import (
    VimDriver,
    VimRefused,
    VimUnknown,
)

TENANT = TenantName("acme")
_numbers = count(1)


@dataclass(kw_only=True, slots=True, frozen=True)
class Conditions:
    """What the VIM behind the driver is like; durations in seconds, None is without limit."""

    latency: float = 0.0
    build: float = 0.0
    delete: float = 0.0
    stale: float = 0.0
    max_servers: int | None = None
    max_ports: int | None = None
    max_cores: int | None = None
    max_volumes: int | None = None
    max_gigabytes: int | None = None
    open_catalogue: bool = True
    image_content: bool = False


Start = Callable[[Conditions], Awaitable[VimDriver]]


def a_vm() -> VmId:
    return VmId(f"vm-{next(_numbers)}")


def a_key(kind: Kind, name: str) -> Key:
    return Key(kind, TENANT, name)


def a_port(vm: VmId, nicid: int = 0, *, ip_address: str | None = None, **changes) -> PortSpec:
    """Return a port of the network public; *ip_address* is the one address that it asks for."""
    addresses = () if ip_address is None else (Address(ip_address=ip_address),)
    spec = PortSpec(key=PortKey(vm, nicid), project="acme", network="public", addresses=addresses)
    return replace(spec, **changes)


def a_server(*ports: PortSpec, name: str = "web", **changes) -> ServerSpec:
    spec = ServerSpec(name=name, project="acme", image="img", flavor="small", ports=ports)
    return replace(spec, **changes)


async def deploy(driver: VimDriver, vm: VmId, generation: int = 1) -> Server:
    spec = a_port(vm)
    port = await driver.ensure_port(spec)
    return await driver.ensure_server(ServerKey(vm, generation), a_server(spec), (port,))


async def listed(driver: VimDriver) -> list[ServerKey]:
    return [server.key async for server in driver.servers()]


async def a_subnet(driver: VimDriver, **changes) -> tuple[str, str]:
    """Make a network with one subnet; return both ids."""
    network = await driver.ensure_network(
        a_key(Kind.NETWORK, "net"), Network(name="net"), project="acme"
    )
    want = Subnet(name="sub", network="net", address="192.0.2.0", netmask="255.255.255.248")
    subnet = await driver.ensure_subnet(
        a_key(Kind.SUBNET, "net/sub"),
        replace(want, **changes),
        network_id=network.resource_id,
        project="acme",
    )
    return network.resource_id, subnet.resource_id


class VimContract:
    """Inherit it beside a fixture `start` that starts a driver under given conditions."""

    async def test_a_vim_that_answers_is_reported_as_such(self, start: Start):
        driver = await start(Conditions())
        assert (await driver.check()).status is VimStatus.CONNECTION_SUCCESSFUL

    async def test_a_server_ensured_twice_is_one(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        first = await deploy(driver, vm)
        second = await deploy(driver, vm)
        assert first == second
        assert await listed(driver) == [ServerKey(vm, 1)]

    async def test_two_that_ensure_at_once_get_the_same_server(self, start: Start):
        driver = await start(Conditions(latency=2))
        vm = a_vm()
        first, second = await asyncio.gather(deploy(driver, vm), deploy(driver, vm))
        assert first.server_id == second.server_id
        assert len(await listed(driver)) == 1

    async def test_servers_of_one_name_are_told_apart_by_key(self, start: Start):
        driver = await start(Conditions())
        one, other = await deploy(driver, a_vm()), await deploy(driver, a_vm())
        assert one.name == other.name
        assert one.server_id != other.server_id

    async def test_a_server_says_where_it_runs_and_has_its_ports(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        server = await deploy(driver, vm)
        assert server.host_id
        assert server.hostname
        assert server.ports == (await driver.ensure_port(a_port(vm)),)

    async def test_a_server_is_in_build_before_it_is_active(self, start: Start):
        driver = await start(Conditions(build=10))
        vm = a_vm()
        server = await deploy(driver, vm)
        assert server.status is ServerStatus.BUILD
        await asyncio.sleep(10)
        server = await driver.find_server(ServerKey(vm, 1))
        assert server is not None
        assert server.status is ServerStatus.ACTIVE

    async def test_a_server_removed_twice_is_no_error(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        await deploy(driver, vm)
        await driver.remove_server(ServerKey(vm, 1))
        await driver.remove_server(ServerKey(vm, 1))
        assert await driver.find_server(ServerKey(vm, 1)) is None
        assert await listed(driver) == []

    async def test_a_removal_returns_when_the_server_is_gone(self, start: Start):
        driver = await start(Conditions(delete=10))
        vm = a_vm()
        await deploy(driver, vm)
        removal = asyncio.create_task(driver.remove_server(ServerKey(vm, 1)))
        await asyncio.sleep(5)
        assert await driver.find_server(ServerKey(vm, 1)) is not None
        assert not removal.done()
        await removal
        assert await driver.find_server(ServerKey(vm, 1)) is None

    async def test_a_removal_goes_on_when_nobody_waits_for_it(self, start: Start):
        driver = await start(Conditions(delete=10))
        vm = a_vm()
        await deploy(driver, vm)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await driver.remove_server(ServerKey(vm, 1))
        await asyncio.sleep(6)
        assert await driver.find_server(ServerKey(vm, 1)) is None

    async def test_a_server_that_is_being_deleted_is_never_adopted(self, start: Start):
        driver = await start(Conditions(delete=10))
        vm = a_vm()
        old = await deploy(driver, vm)
        removal = asyncio.create_task(driver.remove_server(ServerKey(vm, 1)))
        await asyncio.sleep(5)
        with pytest.raises(VimUnknown, match="look again"):
            await deploy(driver, vm)
        await removal
        assert (await deploy(driver, vm)).server_id != old.server_id

    async def test_a_create_that_is_answered_after_its_caller_died_is_adopted(self, start: Start):
        driver = await start(Conditions(latency=10))
        vm = a_vm()
        port = await driver.ensure_port(a_port(vm))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await driver.ensure_server(ServerKey(vm, 1), a_server(a_port(vm)), (port,))
        await asyncio.sleep(6)
        orphan = await driver.find_server(ServerKey(vm, 1))
        adopted = await deploy(driver, vm)
        assert orphan is not None
        assert adopted.server_id == orphan.server_id

    async def test_a_list_may_be_stale_but_a_find_is_not(self, start: Start):
        driver = await start(Conditions(stale=10))
        assert await listed(driver) == []
        vm = a_vm()
        await deploy(driver, vm)
        assert await listed(driver) == []
        assert await driver.find_server(ServerKey(vm, 1)) is not None
        await asyncio.sleep(11)
        assert await listed(driver) == [ServerKey(vm, 1)]

    async def test_a_long_list_is_whole(self, start: Start):
        driver = await start(Conditions())
        keys = [ServerKey(a_vm(), 1) for _ in range(450)]
        for key in keys:
            await driver.ensure_server(key, a_server(), ())
        assert await listed(driver) == keys

    async def test_the_next_generation_never_adopts_the_one_before(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        old = await driver.ensure_server(ServerKey(vm, 1), a_server(), ())
        new = await driver.ensure_server(ServerKey(vm, 2), a_server(), ())
        assert new.server_id != old.server_id
        await driver.remove_server(ServerKey(vm, 1))
        assert await driver.find_server(ServerKey(vm, 2)) == new

    async def test_a_late_removal_takes_the_generation_it_was_asked_for_alone(self, start: Start):
        # given: a removal on its way while the next generation is made, of the same name
        driver = await start(Conditions(latency=1, delete=10))
        vm = a_vm()
        old, new = ServerKey(vm, 1), ServerKey(vm, 2)
        await driver.ensure_server(old, a_server(), ())
        late = asyncio.create_task(driver.remove_server(old))
        await asyncio.sleep(2)
        made = await driver.ensure_server(new, a_server(), ())
        # when: it ends, and another one for the same generation comes later still
        await late
        await driver.remove_server(old)
        # then
        assert await driver.find_server(old) is None
        found = await driver.find_server(new)
        assert found is not None
        assert found.server_id == made.server_id
        assert await listed(driver) == [new]

    async def test_a_port_is_in_one_server_at_a_time(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        await deploy(driver, vm, generation=1)
        with pytest.raises(VimRefused, match="plugged into"):
            await deploy(driver, vm, generation=2)

    async def test_a_server_is_refused_a_port_that_is_not_there(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        port = await driver.ensure_port(a_port(vm))
        await driver.remove_ports(vm)
        with pytest.raises(VimRefused, match=port.port_id):
            await driver.ensure_server(ServerKey(vm, 1), a_server(a_port(vm)), (port,))

    @pytest.mark.parametrize(
        ("limits", "word"), [({"max_servers": 1}, "servers"), ({"max_cores": 1}, "cores")]
    )
    async def test_a_quota_refuses_and_is_free_again_after_a_removal(
        self, start: Start, limits: dict[str, Any], word: str
    ):
        driver = await start(Conditions(**limits, delete=5))
        first, second = ServerKey(a_vm(), 1), ServerKey(a_vm(), 1)
        await driver.ensure_server(first, a_server(), ())
        for _ in range(3):
            with pytest.raises(VimRefused, match=f"quota exceeded in project acme: {word}"):
                await driver.ensure_server(second, a_server(), ())
        await driver.remove_server(first)
        assert await driver.ensure_server(second, a_server(), ())

    async def test_a_quota_of_ports_refuses_and_leaks_no_address(self, start: Start):
        driver = await start(Conditions(max_ports=1))
        network, _ = await a_subnet(driver)
        vm = a_vm()
        first = await driver.ensure_port(a_port(vm, network_id=network))
        for _ in range(10):
            with pytest.raises(VimRefused, match="quota exceeded in project acme: ports"):
                await driver.ensure_port(a_port(a_vm(), network_id=network))
        await driver.remove_ports(vm)
        again = await driver.ensure_port(a_port(a_vm(), network_id=network))
        assert again.ip_address == first.ip_address

    async def test_a_flavor_says_how_many_cores_count(self, start: Start):
        driver = await start(Conditions(max_cores=4))
        key = a_key(Kind.FLAVOR, "big")
        want = Flavor(name="big", vcpus=3, memory_mb=1024)
        flavor = await driver.ensure_flavor(key, want)
        assert await driver.ensure_flavor(key, want) == flavor
        big = a_server(flavor="big")
        await driver.ensure_server(ServerKey(a_vm(), 1), big, ())
        with pytest.raises(VimRefused, match="cores"):
            await driver.ensure_server(ServerKey(a_vm(), 1), big, ())
        await driver.remove_flavor(key)
        await driver.remove_flavor(key)

    async def test_an_image_ensured_twice_is_one(self, start: Start):
        driver = await start(Conditions())
        key = a_key(Kind.IMAGE, "img")
        image = await driver.ensure_image(key, Image(name="img"))
        assert await driver.ensure_image(key, Image(name="img")) == image
        await driver.remove_image(key)
        await driver.remove_image(key)
        assert (await driver.ensure_image(key, Image(name="img"))) != image

    async def test_a_closed_catalogue_names_what_is_missing(self, start: Start):
        driver = await start(Conditions(open_catalogue=False))
        await driver.ensure_tenant(a_key(Kind.TENANT, "acme"), Tenant(name=TENANT))
        key = ServerKey(a_vm(), 1)
        with pytest.raises(VimRefused, match="no network public"):
            await driver.ensure_port(a_port(key.vm))
        with pytest.raises(VimRefused, match="no image img"):
            await driver.ensure_server(key, a_server(), ())
        await driver.ensure_image(a_key(Kind.IMAGE, "img"), Image(name="img"))
        with pytest.raises(VimRefused, match="no flavor small"):
            await driver.ensure_server(key, a_server(), ())
        with pytest.raises(VimRefused, match="no project nobody"):
            await driver.ensure_port(a_port(key.vm, project="nobody"))

    async def test_power_follows_what_was_asked(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        await deploy(driver, vm)
        for power, status in (
            (Power.OFF, ServerStatus.SHUTOFF),
            (Power.OFF, ServerStatus.SHUTOFF),
            (Power.ON, ServerStatus.ACTIVE),
            (Power.ON, ServerStatus.ACTIVE),
            (Power.OFF, ServerStatus.SHUTOFF),
            (Power.HARD_REBOOT, ServerStatus.ACTIVE),
        ):
            await driver.set_power(ServerKey(vm, 1), power)
            server = await driver.find_server(ServerKey(vm, 1))
            assert server is not None
            assert server.status is status

    async def test_power_needs_a_server_that_is_built(self, start: Start):
        driver = await start(Conditions(build=10))
        vm = a_vm()
        with pytest.raises(VimRefused, match=vm):
            await driver.set_power(ServerKey(vm, 1), Power.ON)
        await deploy(driver, vm)
        with pytest.raises(VimUnknown, match="BUILD"):
            await driver.set_power(ServerKey(vm, 1), Power.OFF)

    async def test_what_is_in_the_vim_stays_when_the_driver_is_closed(self, start: Start):
        driver = await start(Conditions())
        vm = a_vm()
        await deploy(driver, vm)
        await driver.close()
        assert await driver.find_server(ServerKey(vm, 1)) is not None
