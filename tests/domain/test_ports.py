"""From an interface to the port that the VIM is asked for, and back to the record."""

from dataclasses import replace

from esc_daemon.domain.ids import Kind
from esc_daemon.domain.intent import AddressPool, FixedAddress, Interface
from esc_daemon.domain.placing import needed_by
from esc_daemon.domain.record import InterfaceRecord
from esc_daemon.domain.specs import Address, NetworkRef, PortSpec
from tests.domain.fake_vim import seen
from tests.domain.pure_world import World
from tests.domain.stories import SHOP, a_deployment, a_group, a_network, net_key

DUAL = (
    Address(ip_address="192.0.2.5", subnet_id="id-four", netmask="255.255.255.0"),
    Address(ip_address="2001:db8::5", subnet_id="id-six"),
)


def asked_for(interface: Interface, *networks: str) -> tuple[World, PortSpec]:
    """Return a world in which the VIM was asked for one VM with *interface*, and its port."""
    group = replace(a_group("web", watched=False), interfaces=(interface,))
    world = World()
    world.apply({net_key(name): a_network(name) for name in networks} | {SHOP: a_deployment(group)})
    while not world.vim.servers:
        assert world._deed(strays=True)
    (server,) = world.vim.servers.values()
    return world, server.spec.ports[0]


def answered(world: World, **told: object) -> InterfaceRecord:
    """Let the VIM answer that the port is as *told*; return the interface as it is recorded."""
    (server,) = world.vim.servers.values()
    world.build(server)
    trigger = seen(server)
    (port,) = trigger.server.ports
    changed = replace(port, **told)  # type: ignore[arg-type]
    world.tell(SHOP, replace(trigger, server=replace(trigger.server, ports=(changed,))))
    (vm,) = world.deployment(SHOP).vms.values()
    return vm.interfaces[0]


def test_all_options_of_an_interface_are_asked_of_the_vim() -> None:
    interface = Interface(
        nicid=0,
        network="net",
        subnet="four",
        addresses=(FixedAddress(address_id=1, subnet="six", ip_address="2001:db8::5"),),
        port_security_enabled=True,
        security_groups=("web",),
        allowed_networks=("other", "the-vims"),
        allowed_addresses=("10.0.0.0/8",),
    )
    world, port = asked_for(interface, "net", "other")

    other = world.vim.resource(net_key("other"))
    assert other is not None
    assert port.network_id == world.vim.resource(net_key("net"))
    assert port.addresses == (
        Address(subnet="four"),
        Address(subnet="six", ip_address="2001:db8::5"),
    )
    assert port.security_groups == ("web",)
    assert port.port_security_enabled is True
    assert port.allowed_networks == (
        NetworkRef(name="other", id=other),
        NetworkRef(name="the-vims"),
    )
    assert port.allowed_addresses == ("10.0.0.0/8",)


def test_a_network_that_a_port_may_speak_for_is_waited_for() -> None:
    group = replace(
        a_group("web"),
        interfaces=(Interface(nicid=0, network="net", allowed_networks=("other", "own")),),
    )
    world = World()
    world.apply({SHOP: a_deployment(group, networks=(a_network("own"),))})

    networks = [key for key, _ in needed_by(world.deployment(SHOP)) if key.kind is Kind.NETWORK]
    assert net_key("other") in networks
    assert net_key("own") not in networks


def test_of_port_security_nothing_is_recorded_before_the_vim_has_told_it() -> None:
    interface = Interface(nicid=0, network="net", port_security_enabled=False)
    group = replace(a_group("web", watched=False), interfaces=(interface,))
    world = World()
    world.apply({SHOP: a_deployment(group)})

    (vm,) = world.deployment(SHOP).vms.values()
    assert vm.interfaces[0].port_security_enabled is None


def test_what_the_vim_tells_of_a_port_is_recorded() -> None:
    world, _ = asked_for(Interface(nicid=0, network="net"))

    port = answered(
        world,
        addresses=DUAL,
        port_security_enabled=False,
        security_groups=("web",),
        allowed_addresses=("10.0.0.0/8",),
    )

    assert port.addresses == DUAL
    assert (port.ip_address, port.subnet_id) == ("192.0.2.5", "id-four")
    assert (port.port_security_enabled, port.security_groups) == (False, ("web",))
    assert port.allowed_addresses == ("10.0.0.0/8",)


def test_what_the_vim_gave_is_asked_for_again_when_the_server_vanished() -> None:
    world, _ = asked_for(Interface(nicid=0, network="net"))
    (server,) = world.vim.servers.values()
    trigger = seen(server)
    (port,) = trigger.server.ports
    dual = replace(trigger.server, ports=(replace(port, addresses=DUAL),))
    world.tell(SHOP, replace(trigger, server=dual))

    world.vim.servers.clear()
    while not world.vim.servers:
        assert world._deed(strays=True)

    (again,) = world.vim.servers.values()
    assert [each.ip_address for each in again.spec.ports[0].addresses] == [
        "192.0.2.5",
        "2001:db8::5",
    ]


def test_mask_and_gateway_of_the_pool_stand_where_the_vim_tells_none() -> None:
    pool = AddressPool(
        network="net", addresses=("192.0.2.5",), netmask="255.255.255.0", gateway="192.0.2.1"
    )
    group = a_group("web", "net", watched=False)
    group = replace(group, scaling=replace(group.scaling, address_pools=(pool,)))

    def recorded(**told: str) -> tuple[str | None, str | None]:
        world = World()
        world.apply({SHOP: a_deployment(group)})
        while not world.vim.servers:
            assert world._deed(strays=True)
        port = answered(world, addresses=(Address(ip_address="192.0.2.5", **told),))
        return port.netmask, port.gateway

    assert recorded() == ("255.255.255.0", "192.0.2.1")
    assert recorded(netmask="255.255.0.0", gateway="192.0.9.9") == ("255.255.0.0", "192.0.9.9")


def test_a_vim_that_tells_no_address_leaves_what_was_asked_for() -> None:
    world, _ = asked_for(Interface(nicid=0, network="net", ip_address="192.0.2.5"))

    assert answered(world, addresses=()).ip_address == "192.0.2.5"
