"""Any request, sent as it is."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from esc_nc_cli.xmltree import BASE, ESC, NOTIFICATION
from tests.cli.client_world import EMPTY, FakeServer, a_configuration, an_opdata

Esc = Callable[..., Result]


def test_any_request_can_be_sent(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"get": [a_configuration("d")]}
    rpc = f'<rpc xmlns="{BASE}" message-id="x"><get/></rpc>'
    # when
    result = esc("rpc", "-", "-f", "json", stdin=rpc)
    # then
    assert result.exit_code == 0, result.output
    assert server.operations()[0] == "get"
    assert json.loads(result.stdout)["esc_datamodel"]["tenants"]["tenant"][0]["name"] == "t"


def test_a_path_in_any_request_tells_what_the_table_is_of(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"get": [EMPTY]}
    rpc = f'<get xmlns="{BASE}"><filter type="xpath" select="esc_datamodel/opdata"/></get>'
    # when
    result = esc("rpc", "-", "-f", "table", stdin=rpc)
    # then
    assert result.stdout.split()[0] == "TENANT"


@pytest.mark.parametrize(
    ("below", "head"),
    [
        ("", "TENANT"),
        ("<tenants><tenant><name>t</name></tenant></tenants>", "TENANT"),
        ("<tenants><tenant><name>t</name><deployments/></tenant></tenants>", "TENANT"),
        ("<tenants><tenant><deployments><state_machine/></deployments></tenant></tenants>", "PATH"),
    ],
)
def test_so_does_a_subtree_filter(esc: Esc, server: FakeServer, below: str, head: str) -> None:
    # given
    server.answers = {"get": [an_opdata("X")]}
    opdata = f'<esc_datamodel xmlns="{ESC}"><opdata>{below}</opdata></esc_datamodel>'
    rpc = f'<get xmlns="{BASE}"><filter type="subtree">{opdata}</filter></get>'
    # when
    result = esc("rpc", "-", "-f", "table", stdin=rpc)
    # then
    assert result.stdout.split()[0] == head


def test_a_subscription_by_rpc_is_warned_about(esc: Esc) -> None:
    # when
    result = esc("rpc", "-", stdin=f'<create-subscription xmlns="{NOTIFICATION}"/>')
    # then
    assert result.exit_code == 0, result.output
    assert result.stderr == "warning: the subscription ends with this command; watch shows events\n"


@pytest.mark.parametrize(
    ("rpc", "told"),
    [
        ("<lock><target><running/></target></lock>", "the lock ends with this command"),
        ("<commit><confirmed/></commit>", "give it <persist>WORD</persist>"),
        ("<commit><confirmed/><persist/></commit>", "is taken back when this command ends"),
        ("<commit><confirmed/><persist-id>a</persist-id></commit>", "is taken back when"),
    ],
)
def test_what_is_undone_at_the_end_of_the_session_is_warned_about(
    esc: Esc, server: FakeServer, rpc: str, told: str
) -> None:
    # when
    result = esc("rpc", "-", "-f", "json", stdin=rpc.replace(">", f' xmlns="{BASE}">', 1))
    # then
    assert result.exit_code == 0, result.output
    assert len(server.received) == 2, "the operation, and close-session"
    assert json.loads(result.stdout) == {"ok": True}
    assert result.stderr.startswith("warning: ")
    assert told in result.stderr


@pytest.mark.parametrize(
    "rpc",
    [
        "<unlock><target><running/></target></unlock>",
        "<commit/>",
        "<commit><confirmed/><persist>a</persist></commit>",
        "<commit><persist-id>a</persist-id></commit>",
    ],
)
def test_what_stays_is_not(esc: Esc, rpc: str) -> None:
    # when
    result = esc("rpc", "-", stdin=f"<rpc xmlns='{BASE}'>{rpc}</rpc>")
    # then
    assert result.exit_code == 0, result.output
    assert not result.stderr
