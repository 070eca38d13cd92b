"""A daemon in a namespace of its own, and real hosts beside it: near by veth, far by a bad wire."""

from collections.abc import Iterator

import pytest

from tests.net.namespaces import missing, namespaces
from tests.net.net_lab import LAB, Lab, a_program
from tests.programs import a_daemon
from tests.witness import connected


@pytest.fixture
def lab(network: Lab) -> Lab:
    network.calm()
    return network


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    folder = tmp_path_factory.mktemp("net")
    with namespaces("manager", "near", "far") as (home, near, far):
        home.ip("link", "add", "lan", "type", "veth", "peer", "name", "lan", "netns", near.name)
        home.address("lan", "10.77.1.1/24", "fd00:77:1::1/64")
        near.address("lan", *(f"10.77.1.{n}/24" for n in range(2, 10)), "fd00:77:1::2/64")
        host = a_program(near, folder, "host", {"tcp": [], "http": {}})
        wire = a_program(home, folder, "forwarder", {}, home.name, far.name)
        home.address("wire", "10.77.2.1/24")
        far.address("wire", *(f"10.77.2.{n}/24" for n in range(2, 10)))
        with (
            home.inside(),
            a_daemon(folder / "data", ESC_LOG__FORMAT="json") as daemon,
            connected(daemon) as session,
            connected(daemon) as events,
        ):
            events.create_subscription(stream_name="escEvent")
            lab = Lab(daemon, near, session, events, wire, host)
            lab.edit(LAB)
            yield lab
