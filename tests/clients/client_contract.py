"""What every client of other people does with the daemon, whatever it is made of."""

import urllib.request
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import pytest
from lxml import etree

from tests.programs import Program, soon

ESC = "http://www.cisco.com/esc/esc"
BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
NOTIFICATION = "urn:ietf:params:xml:ns:netconf:notification:1.0"
LOG_BEGIN = "2026-01-01T00:00:00Z"
SECONDS = 20
"""The longest that a client waits for anything."""


@dataclass(frozen=True)
class Door:
    """Where the daemon is, and who may come in; its local user comes in by key."""

    daemon: Program
    user: str
    password: str
    host: str = "127.0.0.1"

    @property
    def port(self) -> int:
        return self.daemon.ports["netconf"]

    def figure(self, name: str) -> float:
        """Return a metric of the daemon."""
        address = f"http://{self.host}:{self.daemon.ports['http']}/metrics"
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            told = answer.read().decode().splitlines()
        found = [line for line in told if line.startswith(name + " ")]
        return float(found[0].removeprefix(name)) if found else 0.0


class Refused(Exception):
    """The client told of an rpc-error in its own way."""

    def __init__(self, tag: str, path: str) -> None:
        super().__init__(f"{tag} at {path}")
        self.tag = tag
        self.path = path

    @classmethod
    def by(cls, reply: etree._Element) -> "Refused":
        """Read the first rpc-error that stands at or below *reply*."""
        error = next(reply.iter(f"{{{BASE}}}rpc-error"))
        return cls(error.findtext("{*}error-tag"), error.findtext("{*}error-path"))


@dataclass(frozen=True)
class Subtree:
    content: str


@dataclass(frozen=True)
class XPath:
    select: str


Filter: TypeAlias = Subtree | XPath


class NetconfClient(Protocol):
    """One session; a program that is run anew for each request is one too."""

    def capabilities(self) -> Collection[str]: ...
    def edit(self, config: str) -> None:
        """Merge *config*, an esc_datamodel, into running; raise Refused."""

    def get(self, wanted: Filter) -> etree._Element:
        """Return the data element."""

    def get_config(self, wanted: Filter) -> etree._Element:
        """Return the data element; of running."""

    def replay(self, chosen: XPath) -> list[etree._Element]:
        """Return the escEvents that *chosen* chooses, from LOG_BEGIN to the end of the replay."""

    def close(self) -> None:
        """Send close-session and take the answer."""


Connect: TypeAlias = Callable[[], AbstractContextManager[NetconfClient]]


def esc_datamodel(content: str) -> str:
    return f'<esc_datamodel xmlns="{ESC}">{content}</esc_datamodel>'


def a_deployment(tenant: str, more: str = "") -> str:
    """Return a tenant with one VM that nobody monitors, and *more* in its group."""
    return esc_datamodel(
        f"<tenants><tenant><name>{tenant}</name><deployments><deployment><name>dep</name>"
        "<vm_group><name>g</name><image>i</image><flavor>f</flavor><bootup_time>-1</bootup_time>"
        "<interfaces><interface><nicid>0</nicid><network>n</network></interface></interfaces>"
        f"<scaling><min_active>1</min_active><max_active>1</max_active></scaling>{more}"
        "</vm_group></deployment></deployments></tenant></tenants>"
    )


def filter_element(wanted: Filter, **namespaces: str) -> str:
    """Return the filter as a client that makes its own XML would write it."""
    match wanted:
        case Subtree(content):
            return f'<filter type="subtree">{content}</filter>'
        case XPath(select):
            declared = "".join(f' xmlns:{p}="{uri}"' for p, uri in namespaces.items())
            return f"<filter{declared} type=\"xpath\" select='{select}'/>"


def subscription(chosen: XPath, more: str = "") -> str:
    return (
        f'<create-subscription xmlns="{NOTIFICATION}"><stream>escEvent</stream>'
        f"{filter_element(chosen)}<startTime>{LOG_BEGIN}</startTime>{more}</create-subscription>"
    )


def is_end_of_replay(notification: etree._Element) -> bool:
    return notification.find("{*}replayComplete") is not None


def state_path(tenant: str) -> str:
    return (
        f'/esc_datamodel/opdata/tenants/tenant[name="{tenant}"]'
        '/deployments[deployment_name="dep"]/state_machine/state'
    )


def state_of(client: NetconfClient, tenant: str) -> str | None:
    return client.get(XPath(state_path(tenant))).findtext(f".//{{{ESC}}}state_machine/{{*}}state")


def canonical(data: etree._Element) -> bytes:
    """Return what stands below *data*, whatever prefixes and lines its client gave it."""
    unlaid = etree.fromstring(etree.tostring(data), etree.XMLParser(remove_blank_text=True))
    return b"".join(etree.tostring(child, method="c14n", exclusive=True) for child in unlaid)


class ClientContract:
    """Inherit it beside a fixture `connect` of the scope class, which logs in."""

    def test_it_reads_the_capabilities_and_the_revision_of_the_data_model(
        self, client: NetconfClient
    ) -> None:
        told = client.capabilities()
        assert {"urn:ietf:params:netconf:base:1.0", "urn:ietf:params:netconf:base:1.1"} <= {*told}
        offered = "".join(told)
        for name in ("writable-running", "rollback-on-error", "validate", "xpath", "interleave"):
            assert f"urn:ietf:params:netconf:capability:{name}:1." in offered
        assert f"{ESC}?module=esc&revision=" in offered

    def test_an_edit_that_was_refused_is_told_with_its_tag_and_its_path(
        self, client: NetconfClient
    ) -> None:
        wrong = "<tenants><tenant><name>nobody</name><nonsense/></tenant></tenants>"
        with pytest.raises(Refused) as refused:
            client.edit(esc_datamodel(wrong))
        assert refused.value.tag == "unknown-element"
        assert refused.value.path == (
            "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='nobody']"
        )

    def test_both_kinds_of_filter_find_the_same(self, client: NetconfClient, tenant: str) -> None:
        # given the keys as content match nodes
        subtree = Subtree(
            esc_datamodel(
                f"<opdata><tenants><tenant><name>{tenant}</name><deployments>"
                "<deployment_name>dep</deployment_name><state_machine><state/></state_machine>"
                "</deployments></tenant></tenants></opdata>"
            )
        )
        # when
        by_subtree, by_xpath = client.get(subtree), client.get(XPath(state_path(tenant)))
        # then
        assert by_xpath.findtext(f".//{{{ESC}}}state") == "SERVICE_ACTIVE_STATE"
        assert canonical(by_subtree) == canonical(by_xpath)

    def test_a_path_without_prefixes_and_slash_finds_the_configuration(
        self, client: NetconfClient, tenant: str
    ) -> None:
        select = f'esc_datamodel/tenants/tenant[name="{tenant}"]/deployments/deployment/vm_group'
        data = client.get_config(XPath(select))
        sent = etree.fromstring(f"<data>{a_deployment(tenant)}</data>")
        assert canonical(data) == canonical(sent)

    def test_what_is_not_there_is_an_empty_answer(self, client: NetconfClient) -> None:
        assert len(client.get(XPath('esc_datamodel/tenants/tenant[name="nobody"]'))) == 0

    def test_a_replay_tells_what_happened_in_its_order(
        self, client: NetconfClient, tenant: str
    ) -> None:
        told = client.replay(XPath(f'/escEvent[tenant="{tenant}"]'))
        types = [event.findtext("{*}event/{*}type") for event in told]
        assert types == ["CREATE_TENANT", "VM_DEPLOYED", "SERVICE_ALIVE"]
        assert {event.findtext("{*}status") for event in told} == {"SUCCESS"}

    def test_it_leaves_by_close_session(self, door: Door, client: NetconfClient) -> None:
        # given that those before it are gone
        soon(lambda: door.figure("esc_netconf_sessions") <= 1 or None, SECONDS)
        closed = 'esc_netconf_sessions_closed_total{reason="closed"}'
        before = door.figure(closed)
        # when
        client.close()
        # then
        soon(lambda: door.figure(closed) == before + 1 or None, SECONDS)
