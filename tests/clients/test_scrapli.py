"""scrapli-netconf: over the ssh program with a terminal, as it does by itself, and otherwise."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lxml import etree
from scrapli_netconf.driver import AsyncNetconfDriver, NetconfDriver
from scrapli_netconf.response import NetconfResponse

from tests.clients.client_contract import (
    BASE,
    ESC,
    SECONDS,
    ClientContract,
    Connect,
    Door,
    Filter,
    NetconfClient,
    Refused,
    Subtree,
    XPath,
    a_deployment,
    esc_datamodel,
    subscription,
)

# it closes its terminal without closing the file around it
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
WAYS: dict[str, dict[str, Any]] = {
    "system-1.1": {"transport": "system"},
    "paramiko-1.0": {"transport": "paramiko", "preferred_netconf_version": "1.0"},
}


class Scrapli:
    def __init__(self, driver: NetconfDriver) -> None:
        self._driver = driver

    def capabilities(self) -> Collection[str]:
        return self._driver.server_capabilities

    def edit(self, config: str) -> None:
        self._answer(self._driver.edit_config(config=f"<config>{config}</config>"))

    def get(self, wanted: Filter) -> etree._Element:
        return self._answer(self._driver.get(**self._words(wanted)))[0]

    def get_config(self, wanted: Filter) -> etree._Element:
        return self._answer(self._driver.get_config(source="running", **self._words(wanted)))[0]

    def replay(self, chosen: XPath) -> list[etree._Element]:
        # it knows no notifications: what comes after the reply is read as it is
        heard = self._driver.rpc(filter_=subscription(chosen)).raw_result
        while b"<replayComplete" not in heard:
            heard += self._driver.channel.read()
        end = b"</escEvent>"
        return [
            etree.fromstring(each[each.index(b"<escEvent") :] + end)
            for each in heard.split(end)
            if b"<escEvent" in each
        ]

    def close(self) -> None:
        self._answer(self._driver.rpc(filter_="<close-session/>"))

    @staticmethod
    def _answer(response: NetconfResponse) -> etree._Element:
        if response.failed:
            raise Refused.by(response.xml_result)
        return response.xml_result

    @staticmethod
    def _words(wanted: Filter) -> dict[str, Any]:
        match wanted:
            case Subtree(content):
                return {"filter_": content, "filter_type": "subtree"}
            case XPath(select):
                return {"filter_": select, "filter_type": "xpath"}


def words(door: Door) -> dict[str, Any]:
    return {
        "host": door.host,
        "port": door.port,
        "auth_username": door.user,
        "auth_password": door.password,
        "auth_strict_key": False,
        "timeout_ops": SECONDS,
        "timeout_transport": SECONDS,
    }


@pytest.fixture(scope="class", params=WAYS)
def connect(door: Door, ssh: str, request: pytest.FixtureRequest) -> Connect:
    @contextmanager
    def log_in() -> Iterator[NetconfClient]:
        with NetconfDriver(**words(door), **WAYS[request.param]) as driver:
            yield Scrapli(driver)

    return log_in


class TestScrapli(ClientContract):
    pass


def test_with_the_framing_of_base_1_0_what_is_large_comes_and_goes_whole(
    door: Door, ssh: str
) -> None:
    # given more than goes into one chunk of the daemon's
    texts = {f"text-{number}": f"{number} " * 8000 for number in range(10)}
    properties = "".join(
        f"<property><name>{name}</name><value>{text}</value></property>"
        for name, text in texts.items()
    )
    extension = f"<extension><name>x</name><properties>{properties}</properties></extension>"
    large = a_deployment("large", f"<extensions>{extension}</extensions>")
    with NetconfDriver(**words(door), preferred_netconf_version="1.0") as driver:
        # when
        edited = driver.edit_config(config=f"<config>{large}</config>")
        read = driver.get_config(
            source="running",
            filter_='/esc_datamodel/tenants/tenant[name="large"]',
            filter_type="xpath",
        )
    # then
    assert not edited.failed
    assert len(read.raw_result) > 128 * 1024
    found = read.xml_result.iter(f"{{{ESC}}}property")
    assert {each.findtext("{*}name"): each.findtext("{*}value") for each in found} == texts


async def test_the_driver_for_asyncio_edits_the_candidate_and_thinks_better_of_it(
    door: Door,
) -> None:
    tenants = esc_datamodel("<tenants><tenant><name>second-thoughts</name></tenant></tenants>")
    async with AsyncNetconfDriver(**words(door), transport="asyncssh") as driver:
        answers = [
            await driver.lock(target="candidate"),
            await driver.edit_config(config=f"<config>{tenants}</config>", target="candidate"),
            await driver.validate(source="candidate"),
            await driver.discard(),
            await driver.commit(),
            await driver.unlock(target="candidate"),
        ]
        running = await driver.get_config(source="running")
    assert not [answer.raw_result for answer in answers if answer.failed]
    assert "second-thoughts" not in running.result


def test_a_configuration_with_defaults_and_a_module_are_read(door: Door) -> None:
    monitoring = "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring"
    with NetconfDriver(**words(door), transport="paramiko") as driver:
        assert not driver.get_config(source="running", default_type="report-all").failed
        asked = f'<get-schema xmlns="{monitoring}"><identifier>esc</identifier></get-schema>'
        module = driver.rpc(filter_=asked).xml_result
    assert module.tag == f"{{{BASE}}}rpc-reply"
    assert module[0].text.startswith("module esc {")
