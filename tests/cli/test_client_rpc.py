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
