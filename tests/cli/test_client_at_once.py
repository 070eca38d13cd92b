"""The program told to wait where all is as it was asked before: it says so and does not wait."""

from collections.abc import Callable

import pytest
from click.testing import Result

from esc_nc_cli.xmltree import ESC
from tests.cli.client_world import EMPTY, FakeServer, a_notification

Esc = Callable[..., Result]
NETWORK = (
    "<networks><network><name>n</name>{}<subnet><name>s</name>{}</subnet></network></networks>"
)
EDIT = f'<esc_datamodel xmlns="{ESC}">{NETWORK.format("", "")}</esc_datamodel>'
IN_CONFIG = f"<data>{EDIT}</data>"
IN_OPDATA = (
    f'<data><esc_datamodel xmlns="{ESC}"><opdata>'
    f"{NETWORK.format('<netid>1</netid><status>ACTIVE</status>', '<subnetid>2</subnetid>')}"
    "</opdata></esc_datamodel></data>"
)
SAID = "nothing to wait for: all that events would tell of is there already\n"


def test_an_edit_of_a_network_without_effect_has_nothing_to_wait_for(
    esc: Esc, server: FakeServer
) -> None:
    # given
    server.answers = {"get-config": [IN_CONFIG], "get": [IN_OPDATA]}
    # when
    result = esc("--timeout", "5", "edit-config", "-", "--wait", stdin=EDIT)
    # then
    assert (result.exit_code, result.stderr) == (0, SAID)


@pytest.mark.parametrize("made", [True, False])
def test_one_that_makes_the_network_says_no_such_thing(
    esc: Esc, server: FakeServer, *, made: bool
) -> None:
    # given: it is there before it is looked for, or is told of after that
    server.answers = {"get-config": [EMPTY, IN_CONFIG], "get": [IN_OPDATA if made else EMPTY]}
    server.after_edit = [
        a_notification("CREATE_NETWORK", network="n"),
        a_notification("CREATE_SUBNET", network="n", subnet="s"),
    ]
    # when
    result = esc("--timeout", "5", "edit-config", "-", "--wait", stdin=EDIT)
    # then
    assert (result.exit_code, result.stderr) == (0, "")
