"""The dynamic mapping of metrics, and what a KPI makes of a metric."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esc_daemon.domain.ids import ServerKey, VmId
from esc_daemon.domain.intent import Kpi
from esc_daemon.monitor.base import (
    SAMPLE_SECONDS,
    TIMEOUT,
    CollectorError,
    Question,
    Target,
    question_of,
)
from esc_daemon.monitor.catalogue import (
    ADDRESS,
    CORE,
    Catalogue,
    Measure,
    Metric,
    MetricExists,
    MetricUnknown,
    Property,
)
from esc_daemon.monitor.collectors.icmp import Icmp
from esc_daemon.monitor.filling import address_of, filled, port_of
from esc_daemon.monitor.measured import Measured
from esc_daemon.monitor.wheel import TICK
from tests.monitor.monitor_bench import PING, VIM

LOAD = Metric(
    name="FTD_LOAD",
    measure=Measure.CUSTOM_SCRIPT_THRESHOLD,
    properties=(
        Property(name=ADDRESS),
        Property(name="username", value="admin"),
        Property(name="password", hidden=True),
    ),
)
DUAL = ("10.0.0.5", "2001:db8::5")


def a_target(*addresses: str) -> Target:
    return Target(
        server=ServerKey(VmId("vm-1"), 0), vim=VIM, server_id="s", addresses={0: addresses}
    )


def a_kpi(metric: str, seconds: int = 15, **properties: str) -> Kpi:
    collector = replace(
        PING.collector,
        type=metric,
        poll_seconds=seconds,
        properties=tuple(properties.items()),
    )
    return replace(PING, collector=collector)


def asked(metric: str, *addresses: str, seconds: int = 15, **properties: str) -> Question:
    known = Catalogue((*CORE, LOAD)).get(metric)
    return question_of(a_target(*addresses), a_kpi(metric, seconds, **properties), known)


@pytest.mark.parametrize("name", ["ICMPPing", "ICMPPING", "icmpping"])
def test_a_metric_is_found_in_any_case(name: str) -> None:
    found = Catalogue().get(name)
    assert found is not None
    assert found.measure is Measure.ICMP_PING


def test_metrics_come_and_go() -> None:
    # given
    catalogue = Catalogue()
    # when, then
    catalogue.add(LOAD)
    assert catalogue.get("ftd_load") is LOAD
    with pytest.raises(MetricExists, match="Ftd_Load"):
        catalogue.add(replace(LOAD, name="Ftd_Load"))
    assert [each.name for each in catalogue][-1] == "FTD_LOAD"
    assert catalogue.remove("FTD_load") is LOAD
    with pytest.raises(MetricUnknown, match="FTD_LOAD"):
        catalogue.remove("FTD_LOAD")
    assert list(catalogue) == list(CORE)


def test_two_catalogues_have_nothing_in_common() -> None:
    one, other = Catalogue(), Catalogue()
    one.remove("ICMPPing")
    assert other.get("ICMPPing") is not None


@given(st.sampled_from(CORE))
def test_no_name_of_a_core_metric_hides_another(metric: Metric) -> None:
    assert Catalogue().get(metric.name) is metric


def test_a_kpi_s_properties_take_the_place_of_the_metric_s() -> None:
    question = asked("FTD_LOAD", *DUAL, password="secret", extra="1")
    assert question.properties == {
        ADDRESS: "",
        "username": "admin",
        "password": "secret",
        "extra": "1",
    }
    assert question.measure is Measure.CUSTOM_SCRIPT_THRESHOLD


def test_an_empty_address_is_filled_in_with_the_vm_s() -> None:
    assert filled(asked("FTD_LOAD", *DUAL))[ADDRESS] == "10.0.0.5"
    assert filled(asked("FTD_LOAD", *DUAL, vm_ip_address="10.9.9.9"))[ADDRESS] == "10.9.9.9"
    assert ADDRESS not in filled(question_of(a_target(), a_kpi("unknown"), None))


@pytest.mark.parametrize(
    ("metric", "address"),
    [("ICMPPing", DUAL[0]), ("icmp4_ping", DUAL[0]), ("icmp6_ping", DUAL[1])],
)
def test_the_address_is_of_the_version_that_the_metric_is_about(metric: str, address: str) -> None:
    assert address_of(asked(metric, *DUAL)) == ip_address(address)
    assert address_of(asked(metric, *reversed(DUAL))).version == (
        ip_address(address).version if metric != "ICMPPing" else 6
    )


@pytest.mark.parametrize(
    ("metric", "addresses"),
    [
        ("ICMPPing", ()),
        ("icmp4_ping", ("2001:db8::5",)),
        ("icmp6_ping", ("10.0.0.5", "fe80::1")),
        ("ICMPPing", ("224.0.0.1", "169.254.169.254", "0.0.0.0", "255.255.255.255")),
        ("ICMPPing", ("127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", "fd00::1%x")),
    ],
)
def test_a_nicid_without_such_an_address_is_told(metric: str, addresses: tuple[str, ...]) -> None:
    with pytest.raises(CollectorError, match=r"VM_ALIVE polls nicid 0.*address"):
        address_of(asked(metric, *addresses))


@pytest.mark.parametrize(
    "given",
    [
        *["127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"],
        *["169.254.169.254", "fe80::1", "fe80::1%eth0", "100.100.100.200", "fd00:ec2::254"],
        *["fd00:ec2::254%1", "fd00::1%x]@127.0.0.1:8080?", "2001:db8::5%1", "::ffff:0:7f00:1"],
        *["64:ff9b:1::7f00:1", "::127.0.0.1", "::1%1", "64:ff9b::a9fe:a9fe%1"],
        *["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"],
        *["", "10.0.0.256", "host.example", "10.0.0.1; reboot", "1" * 5000, "10.0.0.1/24"][1:],
    ],
)
def test_a_property_leads_the_manager_neither_to_itself_nor_to_a_metadata_service(
    given: str,
) -> None:
    with pytest.raises(CollectorError) as error:
        address_of(asked("ICMPPing", *DUAL, vm_ip_address=given))
    assert len(str(error.value)) < 200


def test_an_address_of_a_record_that_may_not_be_asked_does_not_hide_the_next() -> None:
    addresses = ("127.0.0.1", "fe80::1%eth0", "10.0.0.5")
    assert address_of(asked("ICMPPing", *addresses)) == ip_address("10.0.0.5")


@pytest.mark.parametrize("address", ["127.0.0.9", "::1"])
def test_loopback_is_asked_where_the_operator_says_so(address: str) -> None:
    labs = Measured(Catalogue(), {Measure.ICMP_PING: Icmp()}, lambda _: True, loopback=True)
    choice = labs.choice(a_target(address), a_kpi("ICMPPing"))
    assert choice is not None
    assert address_of(choice.question) == ip_address(address)


def test_an_address_of_the_other_version_is_told() -> None:
    with pytest.raises(CollectorError, match="no IPv6 address"):
        address_of(asked("icmp6_ping", *DUAL, vm_ip_address="10.0.0.1"))


@pytest.mark.parametrize(("given", "port"), [("22", 22), (" 65535 ", 65535), ("", 80)])
def test_a_port_is_the_property_or_the_default(given: str, port: int) -> None:
    assert port_of(asked("TCPPing", *DUAL, port=given), 80) == port


@pytest.mark.parametrize("given", ["0", "65536", "-1", "ssh", "٢٢", "1" * 5000, "2.0", ""])
def test_what_is_no_port_is_told(given: str) -> None:
    with pytest.raises(CollectorError, match="port should be 1 to 65535"):
        port_of(asked("TCPPing", *DUAL, port=given))


@pytest.mark.parametrize(
    ("seconds", "given", "limit"),
    [
        (15, "", SAMPLE_SECONDS),
        (15, "3", 3.0),
        (15, "0.5", 0.5),
        (15, "60", 15 - TICK),
        (3, "", 3 - TICK),
        (0, "", 1 - TICK),
    ],
)
def test_a_sample_is_over_before_the_next_turn(seconds: int, given: str, limit: float) -> None:
    assert asked("ICMPPing", seconds=seconds, **{TIMEOUT: given}).seconds == limit


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_out_that_is_none_is_told(given: str) -> None:
    properties: dict[str, Any] = {TIMEOUT: given}
    with pytest.raises(CollectorError, match=TIMEOUT):
        asked("ICMPPing", **properties)


def test_a_metric_without_a_collector_and_an_unknown_one_are_told_by_name() -> None:
    # given
    measured = Measured(Catalogue((*CORE, LOAD)), {}, lambda vim: vim == VIM)
    # when, then
    with pytest.raises(CollectorError, match="FTD_LOAD: nothing here measures custom_script"):
        measured.choice(a_target(), a_kpi("FTD_LOAD"))
    with pytest.raises(CollectorError, match=r"no metric bad .*ICMPPing, .*FTD_LOAD"):
        measured.choice(a_target(), a_kpi("bad"))


def test_vms_that_are_not_real_are_left_to_others() -> None:
    measured = Measured(Catalogue(), {}, lambda _: False)
    assert measured.choice(a_target(), a_kpi("ICMPPing")) is None
