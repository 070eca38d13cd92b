"""What every driver of the VIM port does to a resource that is there and is to be another."""

from dataclasses import replace
from typing import Any

import pytest

from esc_daemon.domain.ids import Kind
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet
from esc_daemon.vim.base import VimRefused
from tests.vim.vim_contract import Conditions, Start, a_key, a_port, a_subnet, a_vm

SUBNET = Subnet(name="sub", network="net", address="192.0.2.0", netmask="255.255.255.248")
FLAVOR = Flavor(name="big", vcpus=2, memory_mb=512)
IMAGE = Image(name="img", src="http://192.0.2.9/img.qcow2", disk_format="qcow2")


class ResourceContract:
    """Inherit it beside a fixture `start` that starts a driver under given conditions."""

    async def test_a_network_is_shared_or_not_as_it_is_wanted_last(self, start: Start):
        driver = await start(Conditions(open_catalogue=False))
        key = a_key(Kind.NETWORK, "net")
        network = await driver.ensure_network(key, Network(name="net"), project="")
        port = a_port(a_vm(), network="net", project="")
        await driver.ensure_port(port)
        unshared = Network(name="net", shared=False)
        assert await driver.ensure_network(key, unshared, project="") == network
        # its own project sees it all the same
        await driver.ensure_port(a_port(a_vm(), network="net", project=""))

    async def test_a_network_that_others_are_in_stays_shared(self, start: Start):
        driver = await start(Conditions())
        key = a_key(Kind.NETWORK, "net")
        want = Network(name="net")
        network = await driver.ensure_network(key, want, project="")
        vm = a_vm()
        await driver.ensure_port(a_port(vm, network="net", network_id=network.resource_id))
        with pytest.raises(VimRefused, match="net"):
            await driver.ensure_network(key, replace(want, shared=False), project="")
        await driver.remove_ports(vm)
        await driver.ensure_network(key, replace(want, shared=False), project="")

    async def test_a_subnet_has_the_gateway_that_was_wanted_last(self, start: Start):
        driver = await start(Conditions())
        network, subnet = await a_subnet(driver, gateway="192.0.2.1")

        async def become(**changes: Any) -> str:
            handle = await driver.ensure_subnet(
                a_key(Kind.SUBNET, "net/sub"),
                replace(SUBNET, **changes),
                network_id=network,
                project="acme",
            )
            return handle.resource_id

        assert await become(gateway="192.0.2.6") == subnet
        ports = [await driver.ensure_port(a_port(a_vm(), network_id=network)) for _ in range(5)]
        assert sorted(port.ip_address or "" for port in ports) == [
            f"192.0.2.{last}" for last in range(1, 6)
        ]
        assert {port.addresses[0].gateway for port in ports} == {"192.0.2.6"}
        with pytest.raises(VimRefused, match=r"192\.0\.2\.3"):
            await become(gateway="192.0.2.3")
        assert await become(no_gateway=True) == subnet
        last = await driver.ensure_port(a_port(a_vm(), network_id=network))
        assert (last.ip_address, last.addresses[0].gateway) == ("192.0.2.6", None)
        with pytest.raises(VimRefused, match="remove it first"):
            await become(address="192.0.3.0")

    async def test_properties_change_and_what_was_made_of_them_does_not(self, start: Start):
        driver = await start(Conditions())
        image_key, flavor_key = a_key(Kind.IMAGE, "img"), a_key(Kind.FLAVOR, "big")
        image = await driver.ensure_image(image_key, IMAGE)
        labelled = replace(IMAGE, properties=(("os", "linux"),))
        assert await driver.ensure_image(image_key, labelled) == image
        flavor = await driver.ensure_flavor(flavor_key, FLAVOR)
        pinned = replace(FLAVOR, properties=(("hw:cpu_policy", "dedicated"),))
        assert await driver.ensure_flavor(flavor_key, pinned) == flavor

    async def test_an_image_or_a_flavor_never_becomes_another(self, start: Start):
        driver = await start(Conditions())
        image_key, flavor_key = a_key(Kind.IMAGE, "img"), a_key(Kind.FLAVOR, "big")
        await driver.ensure_image(image_key, IMAGE)
        other = replace(IMAGE, src="http://192.0.2.9/other.qcow2")
        with pytest.raises(VimRefused, match="img"):
            await driver.ensure_image(image_key, other)
        await driver.ensure_flavor(flavor_key, FLAVOR)
        with pytest.raises(VimRefused, match="big"):
            await driver.ensure_flavor(flavor_key, replace(FLAVOR, vcpus=4))
        await driver.remove_image(image_key)
        await driver.remove_flavor(flavor_key)
        await driver.ensure_image(image_key, other)
        await driver.ensure_flavor(flavor_key, replace(FLAVOR, vcpus=4))
