"""Real hosts under watch: what their links, their wires and their services make of a KPI."""

import pytest

from tests.net.net_lab import Lab

pytestmark = pytest.mark.net


def test_a_host_that_answers_makes_its_service_alive(lab: Lab) -> None:
    lab.deploy("there", "10.77.1.2")
    assert lab.service_alive("there") == "SUCCESS"


def test_a_host_of_ipv6_does_so_too(lab: Lab) -> None:
    lab.deploy("six", "fd00:77:1::2", "icmp6_ping")
    assert lab.service_alive("six") == "SUCCESS"


def test_without_a_host_the_bootup_time_ends_in_failure(lab: Lab) -> None:
    lab.deploy("nobody", "10.77.1.99", bootup_time=4)
    assert lab.service_alive("nobody") == "FAILURE"
    assert lab.crossings("nobody") == [False]


def test_a_link_that_is_down_keeps_a_service_from_life_and_takes_its_kpi_away(lab: Lab) -> None:
    # given
    lab.near.ip("link", "set", "lan", "down")
    lab.deploy("link", "10.77.1.3")
    lab.until("link", False)
    # when
    lab.near.ip("link", "set", "lan", "up")
    # then
    assert lab.service_alive("link") == "SUCCESS"
    lab.near.ip("link", "set", "lan", "down")
    lab.until("link", False, True, False)
    lab.near.ip("link", "set", "lan", "up")
    lab.until("link", False, True, False, True)


def test_a_loss_of_30_per_cent_is_what_occurrences_are_for(lab: Lab) -> None:
    # given: of ten pings three are lost, two of them in a row
    lab.wire.set(delay=0, drop=[1, 2, 6], cut=False)
    # when
    lab.deploy("patient", "10.77.2.2", occurrences=3)
    lab.deploy("hasty", "10.77.2.3")
    # then: while the one loses its life again and again, the other keeps it
    assert lab.service_alive("patient") == "SUCCESS"
    lab.until("hasty", True, False, True, False, True, False, True)
    assert lab.crossings("patient") == [True]


def test_answers_that_come_too_late_never_count(lab: Lab) -> None:
    # given: there and back takes 2 s, two polls
    lab.wire.set(delay=1, drop=[], cut=False)
    # when
    lab.deploy("late", "10.77.2.4", bootup_time=8)
    # then
    assert lab.service_alive("late") == "FAILURE"
    assert lab.crossings("late") == [False]
    # when: with the time that it needs
    lab.wire.set(delay=0.2, drop=[], cut=False)
    lab.deploy("in-time", "10.77.2.5")
    # then
    assert lab.service_alive("in-time") == "SUCCESS"


def test_a_wire_that_is_cut_and_mended(lab: Lab) -> None:
    lab.deploy("cut", "10.77.2.6")
    assert lab.service_alive("cut") == "SUCCESS"
    lab.wire.set(delay=0, drop=[], cut=True)
    lab.until("cut", True, False)
    lab.wire.set(delay=0, drop=[], cut=False)
    lab.until("cut", True, False, True)


def test_a_tcp_port_that_is_closed_and_then_opened(lab: Lab) -> None:
    # given: the host is there and refuses the connection
    lab.deploy("ssh", "10.77.1.4", "TCPPing", port=2222)
    lab.until("ssh", False)
    # when
    lab.host.set(tcp=[2222], http={})
    # then
    assert lab.service_alive("ssh") == "SUCCESS"


def test_a_web_server_that_is_broken_and_then_well(lab: Lab) -> None:
    # given
    lab.host.set(tcp=[], http={"8080": 500})
    lab.deploy("web", "10.77.1.5", "HTTPPing", port=8080, path="/health")
    lab.until("web", False)
    # when
    lab.host.set(tcp=[], http={"8080": 200})
    # then
    assert lab.service_alive("web") == "SUCCESS"


def test_a_wire_that_hangs_a_connection_costs_no_other_kpi(lab: Lab) -> None:
    # given: connections through the wire hang, and nothing refuses them
    lab.deploy("beside", "10.77.1.6")
    assert lab.service_alive("beside") == "SUCCESS"
    lab.wire.set(delay=0, drop=[], cut=True)
    # when
    for n, metric in enumerate(("TCPPing", "UDPPing", "HTTPPing")):
        lab.deploy(f"hangs-{n}", f"10.77.2.{7 + n}", metric, bootup_time=5, port=80)
    # then
    for n in range(3):
        assert lab.service_alive(f"hangs-{n}") == "FAILURE"
    assert lab.crossings("beside") == [True]
