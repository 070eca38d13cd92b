"""
Every error-tag of RFC 6241 appendix A and every error-app-tag of RFC 7950 section 15, provoked.

A row is a request to the real manager behind the real listener, and the rpc-error that it gets.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
from lxml import etree

from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import yang_directory
from esc_daemon.netconf.errors import ErrorTag
from esc_daemon.netconf.xml import YANG_NS
from tests.northbound.managed import ESC, GROUP, config, managed, service, tenants
from tests.northbound.netconf_server import Serving
from tests.northbound.raw_client import BASE, Client, connected

TARGET = "<target><running/></target>"
LOCK = f"<lock>{TARGET}</lock>"
DEPLOYMENT = (
    "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']/esc:deployments"
    "/esc:deployment[esc:name='d']"
)
IN_GROUP = DEPLOYMENT + "/esc:vm_group[esc:name='g']"
NC = f'xmlns:nc="{BASE}"'
YANG = f'xmlns:y="{YANG_NS}"'

CANNOT_OCCUR: Mapping[ErrorTag, str] = {
    ErrorTag.ACCESS_DENIED: "every user may do everything: there is no access control",
    ErrorTag.ROLLBACK_FAILED: "an edit is stored in one transaction: nothing is rolled back",
}
NOT_IN_THE_MODEL: Mapping[str, str] = {
    "data-not-unique": "no list has a unique statement",
    "missing-choice": "no choice is mandatory; its wording is held in tests/datamodel",
    "must-violation": "each must has an error-app-tag of its own, which takes its place",
}


@dataclass(frozen=True)
class Told:
    """An rpc-error; *path* with the prefixes esc and nc, *info* as name and text."""

    type: str
    tag: str
    path: str | None = None
    info: tuple[tuple[str, str], ...] = ()
    app_tag: str | None = None


@dataclass(frozen=True)
class Row:
    request: str
    told: Told
    other: str = ""
    """What another session has done before."""
    raw: bool = False
    """The request is the whole message."""


def edit(body: str, options: str = "") -> str:
    return f"<edit-config>{TARGET}{options}{config(body)}</edit-config>"


def of_group(old: str, new: str) -> str:
    return edit(service(GROUP.replace(old, new)))


def bad(element: str, attribute: str | None = None) -> tuple[tuple[str, str], ...]:
    of_attribute = () if attribute is None else (("bad-attribute", attribute),)
    return (*of_attribute, ("bad-element", element))


POOL = "<static_ip_address_pool><network>n</network>{}</static_ip_address_pool>"
LOST = f'<ip_address {YANG} y:insert="after"{{}}>10.0.0.1</ip_address>'
IN_POOL = IN_GROUP + "/esc:scaling/esc:static_ip_address_pool[esc:network='n']"
GROUPS = "".join(
    GROUP.replace(">g<", f">{name}<").replace("<max_active>1<", "<max_active>300<") for name in "gh"
)
ROWS: Mapping[str, Row] = {
    "an edit beside a lock": Row(edit(tenants("u")), Told("application", "in-use"), other=LOCK),
    "a value that its type has not": Row(
        of_group(">60<", ">soon<"),
        Told("application", "invalid-value", f"{IN_GROUP}/esc:bootup_time"),
    ),
    "an XPath filter that yields no nodes": Row(
        '<get><filter type="xpath" select="count(*)"/></get>', Told("application", "invalid-value")
    ),
    "a filter of too many characters": Row(
        f'<get><filter type="xpath" select="{"/a" * 2000}"/></get>', Told("rpc", "too-big")
    ),
    "an rpc without a message-id": Row(
        f'<rpc xmlns="{BASE}"><get/></rpc>',
        Told("rpc", "missing-attribute", None, bad("rpc", "message-id")),
        raw=True,
    ),
    "an XPath filter without its expression": Row(
        '<get><filter type="xpath"/></get>',
        Told("rpc", "missing-attribute", "/nc:rpc/nc:get/nc:filter", bad("filter", "select")),
    ),
    "an insert that does not say beside what": Row(
        of_group("<scaling>", "<scaling>" + POOL.format(LOST.format(""))),
        Told("rpc", "missing-attribute", IN_POOL, bad("ip_address", "value")),
    ),
    "an insert beside what is not there": Row(
        of_group("<scaling>", "<scaling>" + POOL.format(LOST.format(' y:value="10.0.0.9"'))),
        Told("protocol", "bad-attribute", IN_POOL, bad("ip_address", "value"), "missing-instance"),
    ),
    "an operation that there is not": Row(
        edit(tenants("u", attributes=f'{NC} nc:operation="purge"')),
        Told(
            "protocol",
            "bad-attribute",
            "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='u']",
            bad("tenant", "operation"),
        ),
    ),
    "a type of filter that there is not": Row(
        '<get><filter type="regexp"/></get>',
        Told("protocol", "bad-attribute", "/nc:rpc/nc:get/nc:filter", bad("filter", "type")),
    ),
    "an operation without its namespace": Row(
        edit(tenants("t", attributes='operation="delete"')),
        Told(
            "protocol",
            "unknown-attribute",
            "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']",
            bad("tenant", "operation"),
        ),
    ),
    "an entry without its key": Row(
        of_group("<name>g</name>", ""),
        Told("protocol", "missing-element", f"{DEPLOYMENT}/esc:vm_group", bad("name")),
    ),
    "an edit of no datastore": Row(
        f"<edit-config>{config('')}</edit-config>",
        Told("protocol", "missing-element", "/nc:rpc/nc:edit-config", bad("target")),
    ),
    "both cases of a choice": Row(
        of_group(
            "<scaling>",
            "<config_data><configuration><dst>a</dst><file>/b</file><data>c</data></configuration>"
            "</config_data><scaling>",
        ),
        Told(
            "protocol",
            "bad-element",
            f"{IN_GROUP}/esc:config_data/esc:configuration[esc:dst='a']",
            bad("data"),
        ),
    ),
    "a parameter that is none of its words": Row(
        edit("", "<error-option>give-up</error-option>"),
        Told(
            "protocol",
            "bad-element",
            "/nc:rpc/nc:edit-config/nc:error-option",
            bad("error-option"),
        ),
    ),
    "an element that the model has not": Row(
        of_group("<scaling>", "<colour/><scaling>"),
        Told("protocol", "unknown-element", IN_GROUP, bad("colour")),
    ),
    "an element of another namespace": Row(
        of_group("<scaling>", '<scaling xmlns="urn:x"/><scaling>'),
        Told(
            "protocol",
            "unknown-namespace",
            IN_GROUP,
            (*bad("scaling"), ("bad-namespace", "urn:x")),
        ),
    ),
    "a lock that another session holds": Row(
        LOCK, Told("protocol", "lock-denied", None, (("session-id", "other"),)), other=LOCK
    ),
    "more VMs than a deployment may have": Row(
        edit(service(GROUPS)), Told("application", "resource-denied", DEPLOYMENT)
    ),
    "a create of what is there": Row(
        edit(tenants("t", attributes=f'{NC} nc:operation="create"')),
        Told(
            "application", "data-exists", "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']"
        ),
        other=edit(tenants("t")),
    ),
    "a delete of what is not there": Row(
        edit(tenants("x", attributes=f'{NC} nc:operation="delete"')),
        Told(
            "application",
            "data-missing",
            "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='x']",
        ),
    ),
    "an edit from a URL": Row(
        f"<edit-config>{TARGET}<url>file:///x</url></edit-config>",
        Told("protocol", "operation-not-supported", "/nc:rpc/nc:edit-config/nc:url"),
    ),
    "an edit that is to go on after an error": Row(
        edit(tenants("u"), "<error-option>continue-on-error</error-option>"),
        Told("protocol", "operation-not-supported", "/nc:rpc/nc:edit-config/nc:error-option"),
    ),
    "an operation that there is none of": Row(
        '<dance xmlns="urn:x"/>', Told("protocol", "operation-not-supported")
    ),
    "an unlock of what is not locked": Row(
        f"<unlock>{TARGET}</unlock>", Told("application", "operation-failed")
    ),
    "a message that is no XML": Row("<rpc", Told("rpc", "malformed-message"), raw=True),
    "a deployment without VMs": Row(
        edit(service("")),
        Told(
            "application",
            "operation-failed",
            f"{DEPLOYMENT}/esc:vm_group",
            app_tag="too-few-elements",
        ),
    ),
    "two hosts where there may be one": Row(
        of_group(
            "<scaling>",
            "<placement><type>zone_host</type><host>a</host><host>b</host></placement><scaling>",
        ),
        Told(
            "application",
            "operation-failed",
            f"{IN_GROUP}/esc:placement[esc:type='zone_host']/esc:host[.='b']",
            app_tag="too-many-elements",
        ),
    ),
    "fewer VMs at most than at least": Row(
        of_group("<max_active>1<", "<max_active>0<"),
        Told("application", "operation-failed", f"{IN_GROUP}/esc:scaling", app_tag="scaling-range"),
    ),
    "a reference to nothing": Row(
        of_group("<scaling>", "<shared_ip><nicid>7</nicid></shared_ip><scaling>"),
        Told(
            "application",
            "data-missing",
            f"{IN_GROUP}/esc:shared_ip[esc:nicid='7']/esc:nicid",
            app_tag="instance-required",
        ),
    ),
}
SECTION_15 = {
    *("data-not-unique", "too-many-elements", "too-few-elements", "must-violation"),
    *("instance-required", "missing-choice", "missing-instance"),
}


def told(reply: etree._Element) -> Told:
    (error,) = reply.findall(f"{{{BASE}}}rpc-error")
    parts = {etree.QName(part).localname: part for part in error}
    assert parts["error-severity"].text == "error"
    assert parts["error-message"].text
    path = parts.get("error-path")
    if path is not None:  # an XPath expression whose prefixes are bound there
        etree.XPath(path.text, namespaces={p: uri for p, uri in path.nsmap.items() if p})
        assert {path.nsmap.get("esc"), path.nsmap.get("nc")} <= {ESC, BASE, None}
    app_tag = parts.get("error-app-tag")
    return Told(
        type=parts["error-type"].text,
        tag=parts["error-tag"].text,
        path=None if path is None else path.text,
        info=tuple(
            (etree.QName(each).localname, each.text or "") for each in parts.get("error-info", ())
        ),
        app_tag=None if app_tag is None else app_tag.text,
    )


@pytest.fixture
async def sessions(serving: Serving, schema: Schema) -> AsyncIterator[tuple[Client, Client]]:
    async with (
        managed(schema) as it,
        serving(manager=it.manager, configuration=it.configuration) as server,
        connected(server.port) as one,
        connected(server.port) as other,
    ):
        yield one, other


@pytest.mark.parametrize("name", ROWS)
async def test_a_request_is_refused_with_its_tag(
    sessions: tuple[Client, Client], name: str
) -> None:
    one, other = sessions
    row = ROWS[name]
    if row.other:
        await other.ok(row.other)

    if row.raw:
        one.send(row.request)
        reply = await one.xml()
    else:
        reply = await one.rpc(row.request)

    expected = row.told
    if expected.tag == "lock-denied":
        assert told(reply).info == (("session-id", str(other.session_id)),)
        assert (told(reply).type, told(reply).tag) == (expected.type, expected.tag)
    else:
        assert told(reply) == expected


def test_every_error_tag_has_a_row_or_a_reason() -> None:
    provoked = {row.told.tag for row in ROWS.values()}

    assert provoked | {tag.value for tag in CANNOT_OCCUR} == {tag.value for tag in ErrorTag}
    assert not provoked & CANNOT_OCCUR.keys()


def test_every_app_tag_of_the_rfc_has_a_row_or_a_reason() -> None:
    provoked = {row.told.app_tag for row in ROWS.values()} & SECTION_15

    assert provoked | NOT_IN_THE_MODEL.keys() == SECTION_15
    assert not provoked & NOT_IN_THE_MODEL.keys()


def test_the_reasons_hold_for_the_model() -> None:
    texts = "".join(path.read_text() for path in yang_directory().glob("esc*.yang"))

    assert not re.search(r"^\s*unique\b", texts, re.MULTILINE)
    assert not re.search(r"choice \S+ \{[^{}]*mandatory true", texts)
    for must in re.finditer(r"\bmust \"[^\"]*\" \{([^}]*)\}", texts):
        assert "error-app-tag" in must[1]
