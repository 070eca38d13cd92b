"""What the server tells of itself: RFC 6022, RFC 8525 and RFC 5277 section 3.2.5."""

import os
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import oopt_gnpy_libyang as libyang
import pytest
from lxml import etree

from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import _shares, yang_directory
from esc_daemon.netconf.capabilities import (
    OF_CANDIDATE,
    PROTOCOL_CAPABILITIES,
    library_capabilities,
)
from esc_daemon.northbound.ssh.services import LoggedNotification, StateTree, StreamInfo
from esc_daemon.northbound.ssh.state import server_state, stream_list
from tests.northbound.managed import ESC, GROUP, Managed, managed, service
from tests.northbound.netconf_server import Server
from tests.northbound.raw_client import BASE, connected

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MONITORING = "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring"
LIBRARY = "urn:ietf:params:xml:ns:yang:ietf-yang-library"
NETMOD = "urn:ietf:params:xml:ns:netmod:notification"
N = {"m": MONITORING, "l": LIBRARY, "s": NETMOD}
LISTED = (StreamInfo("NETCONF", "all"), StreamInfo("escEvent", "ESC"))
RUNNING = "<target><running/></target>"


@pytest.fixture(scope="module")
def yang() -> libyang.Context:
    """Give libyang the protocol's modules, which the daemon itself need not validate."""
    places = [yang_directory(), *(share / "ietf" for share in _shares())]
    context = libyang.Context(
        os.pathsep.join(str(place) for place in places if place.is_dir()),
        libyang.ContextOptions.NoYangLibrary | libyang.ContextOptions.DisableSearchCwd,
    )
    for module in ("netconf-monitoring", "yang-library", "datastores"):
        context.load_module(f"ietf-{module}")
    context.load_module("nc-notifications")
    return context


def stream_tree(*logged: LoggedNotification) -> StateTree:
    async def oldest() -> LoggedNotification | None:
        return logged[0] if logged else None

    return stream_list(LISTED, oldest, STARTED)


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    async with managed(schema, (stream_tree(),)) as everything:
        yield everything


def valid(context: libyang.Context, xml: bytes) -> None:
    context.parse_data(
        xml.decode(),
        libyang.DataFormat.XML,
        libyang.ParseOptions.Strict,
        libyang.ValidationOptions.Present,
    )


def monitoring(server: Server, schema: Schema) -> StateTree:
    return server_state(
        sessions=server.services.sessions,
        locks=server.services.locks,
        capabilities=PROTOCOL_CAPABILITIES,
        library=schema.library(),
        started=STARTED,
    )


# RFC 6022


async def test_the_state_of_the_server_is_what_its_yang_says(
    server: Server, schema: Schema, yang: libyang.Context
):
    tree = monitoring(server, schema)
    valid(yang, await tree.render())
    async with connected(server.port) as client:
        await client.ok(f"<lock>{RUNNING}</lock>")
        valid(yang, await tree.render())


async def test_the_lock_is_shown_with_its_holder_while_it_is_held(server: Server, schema: Schema):
    tree = monitoring(server, schema)
    async with connected(server.port) as client:
        await client.ok(f"<lock>{RUNNING}</lock>")
        (lock,) = etree.fromstring(await tree.render()).iterfind(".//m:datastore/m:locks/*", N)
        assert lock.tag == f"{{{MONITORING}}}global-lock"
        assert lock.findtext("m:locked-by-session", None, N) == str(client.session_id)
        assert lock.findtext("m:locked-time", None, N) == "2026-01-01T00:00:00+00:00"
        await client.ok(f"<unlock>{RUNNING}</unlock>")
        assert etree.fromstring(await tree.render()).find(".//m:locks", N) is None


async def test_a_session_is_shown_with_what_it_counted(server: Server, schema: Schema):
    tree = monitoring(server, schema)
    async with connected(server.port) as client:
        # given two right requests, one refused request, one that is none, and an event
        subscribe = "<create-subscription xmlns='urn:ietf:params:xml:ns:netconf:notification:1.0'/>"
        await client.ok(subscribe)
        await client.rpc("<get/>")
        await client.error("<reboot/>")
        client.send(f'<rpc xmlns="{BASE}"><get/></rpc>')
        await client.message()
        server.management.tell("SUCCESS")
        await client.event()

        (session,) = etree.fromstring(await tree.render()).iterfind(".//m:session", N)

        told = {etree.QName(leaf).localname: leaf.text for leaf in session}
        assert told == {
            "session-id": str(client.session_id),
            "transport": "netconf-ssh",
            "username": "admin",
            "source-host": "127.0.0.1",
            "login-time": "2026-01-01T00:00:00+00:00",
            "in-rpcs": "3",
            "in-bad-rpcs": "1",
            "out-rpc-errors": "2",
            "out-notifications": "1",
        }


async def test_sessions_that_ended_stay_in_the_statistics(server: Server, schema: Schema):
    async with connected(server.port) as client:
        await client.rpc("<get/>")
        await client.ok("<close-session/>")
        await client.closed()
    async with connected(server.port) as dropped:
        dropped.connection.abort()
    async with connected(server.port, "silent") as rude:
        rude.send("<hello/>")
        await rude.closed()
    await server.nobody_left()

    rendered = etree.fromstring(await monitoring(server, schema).render())

    told = {etree.QName(leaf).localname: leaf.text for leaf in rendered.find("m:statistics", N)}
    assert told == {
        "netconf-start-time": "2026-01-01T00:00:00+00:00",
        "in-bad-hellos": "1",
        "in-sessions": "3",
        "dropped-sessions": "1",
        "in-rpcs": "2",
        "in-bad-rpcs": "0",
        "out-rpc-errors": "0",
        "out-notifications": "0",
    }


async def test_every_schema_that_is_listed_can_be_had(server: Server, schema: Schema):
    rendered = etree.fromstring(await monitoring(server, schema).render())

    listed = [
        (each.findtext("m:identifier", None, N), each.findtext("m:version", None, N))
        for each in rendered.iterfind("m:schemas/m:schema", N)
    ]
    assert {"esc", "esc_types", "ietf-netconf", "ietf-yang-types"} <= {name for name, _ in listed}
    assert all(schema.source(*each) for each in listed)


def get_schema(**parameters: str) -> str:
    words = "".join(f"<{name}>{value}</{name}>" for name, value in parameters.items())
    return f'<get-schema xmlns="{MONITORING}" xmlns:x="{MONITORING}">{words}</get-schema>'


@pytest.mark.parametrize(
    "parameters",
    [{}, {"version": "2026-01-01"}, {"format": "yang"}, {"format": "x:yang"}],
)
async def test_get_schema_answers_with_the_text(server: Server, parameters: dict[str, str]):
    async with connected(server.port) as client:
        reply = await client.rpc(get_schema(identifier="m", **parameters))
    assert [(child.tag, child.text) for child in reply] == [
        (f"{{{MONITORING}}}data", "module m {}")
    ]


@pytest.mark.parametrize(
    ("parameters", "tag"),
    [
        ({"identifier": "other"}, "invalid-value"),
        ({"identifier": "m", "version": "1999-01-01"}, "invalid-value"),
        ({"identifier": "m", "format": "yin"}, "invalid-value"),
        ({}, "missing-element"),
        ({"identifier": "m", "size": "1"}, "unknown-element"),
    ],
)
async def test_a_schema_that_is_not_there_is_an_invalid_value(
    server: Server, parameters: dict[str, str], tag: str
):
    async with connected(server.port) as client:
        assert (await client.error(get_schema(**parameters)))[0] == tag


# RFC 8525


async def test_the_library_is_what_its_yang_says(it: Managed, yang: libyang.Context):
    both = f'<yang-library xmlns="{LIBRARY}"/><modules-state xmlns="{LIBRARY}"/>'
    reply = await it.get(f"<filter>{both}</filter>")

    valid(yang, reply.encode())
    assert roots(reply) == ["yang-library", "modules-state"]


async def test_the_capabilities_lead_to_the_library(it: Managed, schema: Schema):
    old, new, *modules = library_capabilities(schema.library().with_candidate(), "esc")
    shown = await it.get(f'<filter type="xpath" select="//l:content-id" xmlns:l="{LIBRARY}"/>')

    told = re.fullmatch(r".*:yang-library:1\.1\?revision=2019-01-04&content-id=(\w+)", new)
    assert told is not None
    assert f"<content-id>{told[1]}</content-id>" in shown
    assert old.endswith(f":yang-library:1.0?revision=2019-01-04&module-set-id={told[1]}")
    # RFC 7950 section 5.6.4: YANG 1.1 is told by the library; ESC's clients look for esc
    assert modules[0].startswith(f"{ESC}?module=esc&revision=")
    assert modules[1] == (
        f"{BASE}?module=ietf-netconf&revision=2011-06-01"
        "&features=writable-running,rollback-on-error,validate,xpath,candidate,confirmed-commit"
    )
    assert not [each for each in modules if "module=ietf-yang-library" in each]


# RFC 5277 section 3.2.5


async def test_the_streams_are_listed_with_replay(it: Managed, yang: libyang.Context):
    reply = await it.get(f'<filter><netconf xmlns="{NETMOD}"><streams/></netconf></filter>')

    valid(yang, reply.encode())
    listed = etree.fromstring(reply).findall("s:streams/s:stream", N)
    assert [[leaf.text for leaf in stream] for stream in listed] == [
        ["NETCONF", "all", "true", "2026-01-01T00:00:00+00:00"],
        ["escEvent", "ESC", "true", "2026-01-01T00:00:00+00:00"],
    ]


@pytest.mark.parametrize(
    ("seq", "hours", "created", "aged"),
    [
        (1, 1, STARTED, None),
        (1, -1, STARTED - HOUR, None),
        (7, -1, STARTED - HOUR, STARTED - HOUR),
        (7, 1, STARTED, STARTED + HOUR),
    ],
)
async def test_the_log_is_as_old_as_its_first_event_and_says_what_it_forgot(
    yang: libyang.Context, seq: int, hours: int, created: datetime, aged: datetime | None
):
    tree = stream_tree(LoggedNotification(seq, STARTED + hours * HOUR, b""))

    rendered = await tree.render()

    valid(yang, rendered)
    stream = etree.fromstring(rendered).find(".//s:stream", N)
    assert stream.findtext("s:replayLogCreationTime", None, N) == created.isoformat()
    assert stream.findtext("s:replayLogAgedTime", None, N) == (aged and aged.isoformat())


# RFC 6241 sections 6 and 8.9: a part of it all


def roots(reply: str) -> list[str]:
    return [etree.QName(child).localname for child in etree.fromstring(f"<data>{reply}</data>")]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ("", ["esc_datamodel", "netconf", "yang-library", "modules-state", "nacm"]),
        ("<filter/>", []),
        (f'<filter><netconf xmlns="{NETMOD}"/></filter>', ["netconf"]),
        (f'<filter><netconf xmlns="{ESC}"/></filter>', []),
        (
            f'<filter><netconf xmlns="{NETMOD}"/><modules-state xmlns="{LIBRARY}"/></filter>',
            ["netconf", "modules-state"],
        ),
        (
            f'<filter><esc_datamodel xmlns="{ESC}"/><netconf xmlns="{NETMOD}"/></filter>',
            ["esc_datamodel", "netconf"],
        ),
        ('<filter type="xpath" select="netconf"/>', ["netconf"]),
        ('<filter type="xpath" select="/netconf/streams/stream"/>', ["netconf"]),
        (f'<filter type="xpath" select="/s:netconf" xmlns:s="{NETMOD}"/>', ["netconf"]),
        (f'<filter type="xpath" select="/e:netconf" xmlns:e="{ESC}"/>', []),
        ('<filter type="xpath" select="/esc_datamodel/opdata"/>', ["esc_datamodel"]),
        (f'<filter type="xpath" select="e:*" xmlns:e="{ESC}"/>', ["esc_datamodel"]),
        (
            '<filter type="xpath" select="/netconf | /esc_datamodel"/>',
            ["esc_datamodel", "netconf"],
        ),
        ('<filter type="xpath" select="//module"/>', ["yang-library", "modules-state"]),
        ('<filter type="xpath" select="nowhere"/>', []),
    ],
)
async def test_a_filter_chooses_among_the_data_model_and_the_server(
    it: Managed, parameters: str, found: list[str]
):
    assert roots(await it.get(parameters)) == found


async def test_the_keys_of_state_lists_come_with_what_is_chosen(it: Managed):
    reply = await it.get('<filter type="xpath" select="netconf/streams/stream/replaySupport"/>')

    assert [leaf.tag for leaf in etree.fromstring(reply).iterfind(".//s:stream/*", N)] == [
        f"{{{NETMOD}}}name",
        f"{{{NETMOD}}}replaySupport",
    ] * 2


async def test_get_config_shows_no_state(it: Managed):
    await it.edit(service(GROUP))

    assert roots(await it.get_config()) == ["esc_datamodel"]
    assert roots(await it.get_config(f'<filter><netconf xmlns="{NETMOD}"/></filter>')) == []


def test_what_the_hello_announces_the_library_has_as_a_feature(schema: Schema):
    for library, profile in (
        (schema.library(), set(PROTOCOL_CAPABILITIES) - OF_CANDIDATE),
        (schema.library().with_candidate(), set(PROTOCOL_CAPABILITIES)),
    ):
        announced = {each.split(":")[-2] for each in profile if ":capability:" in each}
        (base,) = (each for each in library.modules if each.name == "ietf-netconf")
        # the other capabilities are modules of their own
        others = {"notification", "interleave", "with-defaults"}
        assert set(base.features) == announced - others
        assert ("candidate" in library.datastores) is ("candidate" in announced)


async def test_the_library_lists_the_datastores_that_there_are(it: Managed):
    reply = await it.get(f'<filter><yang-library xmlns="{LIBRARY}"/></filter>')

    assert re.findall(r">ds:(\w+)<", reply) == ["running", "candidate"]
