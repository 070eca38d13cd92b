"""Operations and events that access control denies, over a real session."""

import re

import pytest

from esc_daemon.access.control import AccessControl
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.xml import NACM_NS
from tests.access_control import modules_of
from tests.northbound.memory_management import ESC, START
from tests.northbound.netconf_server import Serving
from tests.northbound.raw_client import BASE, EVENTS, connected

DENIED = "access-denied"
ESC_EVENT = (
    "<rule-list><name>l</name><group>g</group><rule><name>r</name>"
    "<notification-name>escEvent</notification-name><action>deny</action></rule></rule-list>"
)


class Rules:
    """An access control whose rules change from one moment to the next."""

    def __init__(self, schema: Schema, body: str = "") -> None:
        self.say(body)
        self.control = AccessControl(
            rules=lambda: self.xml,
            groups_of=lambda _: frozenset({"g"}),
            model=schema,
            modules=modules_of(schema),
        )

    def say(self, body: str) -> None:
        self.xml = f'<nacm xmlns="{NACM_NS}">{body}</nacm>'.encode()


async def test_who_has_no_rule_for_it_kills_nobody(serving: Serving, schema: Schema):
    rules = Rules(schema)
    async with serving(guard=rules.control) as server, connected(server.port) as client:
        for operation in (
            "<kill-session><session-id>4711</session-id></kill-session>",
            "<kill-session/>",
            "<delete-config><target><startup/></target></delete-config>",
        ):
            tag, text = await client.error(operation)
            assert tag == DENIED
            assert re.search("kill-session|delete-config", text)
        assert rules.control.denied.operations == 3
        assert server.figure("esc_rpc_errors_total", tag=DENIED) == 3
        await client.ok("<close-session/>")


async def test_where_nothing_may_be_called_a_session_may_still_be_closed(
    serving: Serving, schema: Schema
):
    rules = Rules(schema, "<exec-default>deny</exec-default>")
    async with serving(guard=rules.control) as server, connected(server.port) as client:
        for operation in (
            "<get/>",
            f'<serviceAction xmlns="{ESC}"/>',
            "<nonsense/>",
            f'<create-subscription xmlns="{EVENTS}"/>',
        ):
            assert (await client.error(operation))[0] == DENIED
        assert server.management.acted == []
        rules.say("")
        reply = await client.rpc("<get/>")
        assert reply[0].tag == f"{{{BASE}}}data"
        rules.say("<exec-default>deny</exec-default>")
        await client.ok("<close-session/>")


@pytest.mark.parametrize("replayed", [False, True])
async def test_events_that_may_not_be_heard_are_dropped(
    serving: Serving, schema: Schema, *, replayed: bool
):
    rules = Rules(schema, ESC_EVENT)
    async with serving(guard=rules.control) as server, connected(server.port) as client:
        start = ""
        if replayed:
            for number in range(1000):  # more than a page
                server.management.tell(f"old {number}")
            start = f"<startTime>{START.isoformat()}</startTime>"
        await client.ok(f'<create-subscription xmlns="{EVENTS}">{start}</create-subscription>')
        if replayed:
            assert await client.event() == "replayComplete"
            assert rules.control.denied.notifications == 1000
        before = rules.control.denied.notifications
        server.management.tell("unheard")
        await server.until(lambda: rules.control.denied.notifications == before + 1)

        rules.say("")
        server.management.tell("heard")
        assert await client.event() == "heard"
        await client.ok("<close-session/>")
        await server.nobody_left()
