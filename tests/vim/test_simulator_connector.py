"""Connectors of type SIMULATOR: which simulator they lead to."""

from dataclasses import replace

import pytest

from esc_daemon.domain.ids import VimId
from esc_daemon.domain.intent import VimConnector, VimUser
from esc_daemon.vim.base import BadConnector
from esc_daemon.vim.simulator.client import RemoteSimulator
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.connector import SimulatorType, has_real_guests
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.settings import host_and_port


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def simulators(cloud: Cloud) -> SimulatorType:
    return SimulatorType(lambda vim: SimulatorDriver(cloud, vim=vim), timeout_seconds=5)


def a_connector(**properties: str) -> VimConnector:
    users = (VimUser(name="admin", credentials=(("os_password", "sealed"),)),)
    pairs = tuple(properties.items())
    return VimConnector(name="lab", type="SIMULATOR", properties=pairs, users=users)


def never() -> VimConnector:
    raise AssertionError("a simulator has no login")


def test_without_an_address_it_leads_home(simulators: SimulatorType, cloud: Cloud) -> None:
    driver = simulators.driver(a_connector(os_auth_url="http://192.0.2.1/v3"), never)

    assert isinstance(driver, SimulatorDriver)
    assert (driver.cloud, driver.vim) == (cloud, VimId("lab"))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:9900", "sim.example:1", "[::1]:65535", "[fe80::1%eth0]:1", "my_sim-1.example.:80"],
)
async def test_with_an_address_it_leads_there(simulators: SimulatorType, address: str) -> None:
    connector = a_connector(address=address)

    simulators.check(connector)

    driver = simulators.driver(connector, never)
    assert isinstance(driver, RemoteSimulator)
    await driver.close()


@pytest.mark.parametrize(
    "address",
    [
        *["", "9900", ":9900", "host:", "host:0", "host:65536", "h:٣", "host:-1", "host: 1"],
        *["a..b:1", "..:1", ".:1", ".a:1", "-a:1", "a-:1", f"{'a' * 64}:1", f"{'a.' * 127}:1"],
        *["h\u202e:1", "é:1", "a b:80", "/unix:80", "h:1\n", "user@h:1"],
        *["http://127.0.0.1:80", "127.0.0.1:80:80", "h:" + "1" * 5000],
        *["::1:80", "[::1]", "[]:80", "[127.0.0.1]:80", "[::1:80", "[::1]]:80", "[::1%a b]:80"],
    ],
)
def test_an_address_that_is_none_is_told_by_its_property(
    simulators: SimulatorType, address: str
) -> None:
    with pytest.raises(BadConnector, match="address: should be host:port") as error:
        simulators.check(a_connector(address=address))
    assert error.value.property_name == "address"


def test_brackets_are_no_part_of_a_host() -> None:
    assert host_and_port("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize(
    ("properties", "real"),
    [({}, False), ({"guests": "simulated"}, False), ({"guests": "real"}, True)],
)
def test_its_guests_are_simulated_unless_it_says_that_they_are_real(
    simulators: SimulatorType, properties: dict[str, str], *, real: bool
) -> None:
    connector = a_connector(**properties)
    simulators.check(connector)
    assert has_real_guests(connector) is real


def test_the_guests_of_other_vims_are_real() -> None:
    assert has_real_guests(replace(a_connector(), type="OPENSTACK"))


@pytest.mark.parametrize("guests", ["", "Real", "yes"])
def test_guests_of_another_kind_are_told_by_their_property(
    simulators: SimulatorType, guests: str
) -> None:
    with pytest.raises(BadConnector, match="guests: should be simulated or real") as error:
        simulators.check(a_connector(guests=guests))
    assert error.value.property_name == "guests"
