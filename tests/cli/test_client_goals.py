"""What an edit wants, which event decides it, and what the server already shows."""

import pytest

from esc_nc_cli.compose import delete_deployment
from esc_nc_cli.events import Event, read_event
from esc_nc_cli.goals import Goal, Kind, Wish, goals_of
from esc_nc_cli.payload import DefaultOperation, read_edit
from esc_nc_cli.standing import config_filter, opdata_filter, outcome_now, standing
from esc_nc_cli.watch import Waiting
from esc_nc_cli.xmltree import BASE, ESC, parse, qname
from tests.cli.client_world import EMPTY, a_configuration, a_notification, an_opdata

SERVICE = Goal(kind=Kind.DEPLOYMENT, wish=Wish.CREATE, name="d", tenant="t")
GOING = Goal(kind=Kind.DEPLOYMENT, wish=Wish.DELETE, name="d", tenant="t")
TENANT = Goal(kind=Kind.TENANT, wish=Wish.CREATE, name="t")

NETWORK = Goal(kind=Kind.NETWORK, wish=Wish.CREATE, name="n")
SUBNET = Goal(kind=Kind.SUBNET, wish=Wish.CREATE, name="s", network="n")
MADE = "<subnetid>1</subnetid>"
IMAGE = Goal(kind=Kind.IMAGE, wish=Wish.CREATE, name="i")
FLAVOR = Goal(kind=Kind.FLAVOR, wish=Wish.CREATE, name="f")


def in_opdata(body: str) -> str:
    return f'<data><esc_datamodel xmlns="{ESC}"><opdata>{body}</opdata></esc_datamodel></data>'


def a_network(leaves: str) -> str:
    return f"<networks><network><name>n</name>{leaves}</network></networks>"


def a_subnet(leaves: str) -> str:
    return f"<subnets><subnet><name>s</name>{leaves}</subnet></subnets>"


def a_tenant(leaves: str = "") -> str:
    return f"<tenants><tenant><name>t</name>{leaves}</tenant></tenants>"


CONNECTOR = Goal(kind=Kind.VIM_CONNECTOR, wish=Wish.CREATE, name="lab")
CONNECTOR_GOING = Goal(kind=Kind.VIM_CONNECTOR, wish=Wish.DELETE, name="lab")
DEFAULT = Goal(kind=Kind.DEFAULT_VIM_CONNECTOR, wish=Wish.CREATE, name="lab")


def a_connector(status: str = "") -> str:
    entry = f"<id>lab</id><type>SIMULATOR</type>{status and f'<status>{status}</status>'}"
    return f"<vim_connectors><vim_connector>{entry}</vim_connector></vim_connectors>"


def goals(inside: str, operation: DefaultOperation | None = None) -> list[str]:
    document = f'<esc_datamodel xmlns="{ESC}" xmlns:nc="{BASE}">{inside}</esc_datamodel>'
    edit = read_edit(document.encode(), default_operation=operation).operation
    return [f"{goal.wish} {goal}" for goal in goals_of(edit)]


def an_event(kind: str, **leaves: str) -> Event:
    event = read_event(a_notification(kind, **leaves))
    assert event is not None
    return event


def reply(body: str) -> str:
    return f'<rpc-reply xmlns="{BASE}">{body}</rpc-reply>'


def test_all_kinds_are_found_outermost_first() -> None:
    inside = """<tenants><tenant><name>t</name>
        <networks><network><name>n</name><subnet><name>s</name></subnet></network></networks>
        <deployments><deployment><name>d</name>
          <networks><network><name>ephemeral</name></network></networks>
        </deployment></deployments></tenant></tenants>
      <networks><network><name>shared</name></network></networks>
      <images><image><name>i</name></image></images>
      <flavors><flavor><name>f</name></flavor></flavors>"""
    assert goals(inside) == [
        "CREATE tenant t",
        "CREATE network t/n",
        "CREATE subnet t/n/s",
        "CREATE deployment t/d",
        "CREATE network shared",
        "CREATE image i",
        "CREATE flavor f",
    ]


def test_a_removed_parent_says_nothing_of_its_children() -> None:
    inside = """<tenants><tenant nc:operation="delete"><name>t</name>
        <deployments><deployment><name>d</name></deployment></deployments></tenant></tenants>
      <networks><network nc:operation="remove"><name>n</name>
        <subnet><name>s</name></subnet></network></networks>"""
    assert goals(inside) == ["DELETE tenant t", "DELETE network n"]


def test_with_default_none_only_what_is_marked_is_a_goal() -> None:
    inside = """<tenants><tenant><name>t</name>
        <networks><network><name>n</name>
          <subnet nc:operation="delete"><name>s</name></subnet></network></networks>
        <deployments>
          <deployment><name>untouched</name></deployment>
          <deployment nc:operation="create"><name>new</name></deployment>
          <deployment><name>changed</name>
            <vm_group nc:operation="delete"><name>g</name></vm_group></deployment>
        </deployments></tenant></tenants>"""
    assert goals(inside, DefaultOperation.NONE) == [
        "DELETE subnet t/n/s",
        "CREATE deployment t/new",
        "CREATE deployment t/changed",
    ]


def test_an_entry_without_its_key_is_left_to_the_server() -> None:
    assert goals("<images><image/></images>") == []


def test_an_undeploy_has_one_goal_beside_its_tenant() -> None:
    found = goals_of(delete_deployment("t", "d").operation)
    assert found == (TENANT, GOING)


@pytest.mark.parametrize(
    ("goal", "event", "outcome"),
    [
        (SERVICE, an_event("SERVICE_ALIVE", tenant="t", depname="d"), True),
        (SERVICE, an_event("SERVICE_UPDATED", tenant="t", depname="d"), True),
        (SERVICE, an_event("SERVICE_ALIVE", tenant="t", depname="d", status="FAILURE"), False),
        (SERVICE, an_event("VM_DEPLOYED", tenant="t", depname="d", status="FAILURE"), None),
        (SERVICE, an_event("SERVICE_ALIVE", tenant="u", depname="d"), None),
        # The old incarnation of the same name may still be on its way out.
        (SERVICE, an_event("SERVICE_UNDEPLOYED", tenant="t", depname="d"), None),
        (GOING, an_event("SERVICE_UNDEPLOYED", tenant="t", depname="d"), True),
        (GOING, an_event("SERVICE_ALIVE", tenant="t", depname="d"), None),
        (TENANT, an_event("CREATE_TENANT", tenant="t"), True),
        (TENANT, an_event("DELETE_TENANT", tenant="t"), None),
    ],
)
def test_only_the_last_event_of_the_named_thing_decides(
    goal: Goal, event: Event, outcome: object
) -> None:
    assert goal.outcome(event) is outcome


def an_image(status: str) -> str:
    inside = f"<name>i</name><image_id>1</image_id><status>{status}</status>"
    return f"<images><image>{inside}</image></images>"


@pytest.mark.parametrize("tenant", ["t", None])
@pytest.mark.parametrize("joined", [True, False])
def test_networks_are_known_by_both_forms_of_their_name(
    tenant: str | None, *, joined: bool
) -> None:
    # given
    told = tenant or "SystemAdminTenantId"
    network = Goal(kind=Kind.NETWORK, wish=Wish.CREATE, name="n", tenant=tenant)
    subnet = Goal(kind=Kind.SUBNET, wish=Wish.DELETE, name="s", tenant=tenant, network="n")
    names = (f"{told}n", f"{told}ns") if joined else ("n", "s")
    # then
    assert network.outcome(an_event("CREATE_NETWORK", tenant=told, network=names[0])) is True
    assert subnet.outcome(an_event("DELETE_SUBNET", tenant=told, subnet=names[1])) is True
    assert network.outcome(an_event("CREATE_NETWORK", tenant=told, network="other")) is None


def test_images_and_flavors_are_known_by_their_leaf() -> None:
    image = Goal(kind=Kind.IMAGE, wish=Wish.CREATE, name="i")
    flavor = Goal(kind=Kind.FLAVOR, wish=Wish.CREATE, name="f")
    assert image.outcome(an_event("CREATE_IMAGE", image="i", status="FAILURE")) is False
    assert flavor.outcome(an_event("CREATE_FLAVOR", flavor="f")) is True
    assert flavor.outcome(an_event("CREATE_FLAVOR", flavor="g")) is None


def test_a_volume_of_a_tenant_is_waited_for_until_the_vim_has_it() -> None:
    # given
    volumes = "<volumes><volume{}><name>v</name>{}</volume></volumes>"
    made = Goal(kind=Kind.VOLUME, wish=Wish.CREATE, name="v", tenant="t")
    # then
    assert goals(f"<tenants><tenant><name>t</name>{volumes.format('', '')}</tenant></tenants>") == [
        "CREATE tenant t",
        "CREATE volume t/v",
    ]
    assert made.outcome(an_event("CREATE_VOLUME", tenant="t", volume="v")) is True
    assert made.outcome(an_event("CREATE_VOLUME", tenant="u", volume="v")) is None
    for leaves, outcome in (("", None), ("<volume_id>7</volume_id>", True)):
        tenant = f"<tenants><tenant><name>t</name>{volumes.format('', leaves)}</tenant></tenants>"
        found = outcome_now(
            made, changed=True, opdata=standing(parse(reply(in_opdata(tenant)).encode()))
        )
        assert (found and found[0]) is outcome


@pytest.mark.parametrize(
    ("goal", "changed", "body", "outcome"),
    [
        (SERVICE, True, an_opdata("SERVICE_ACTIVE_STATE"), None),
        (SERVICE, False, an_opdata("SERVICE_ACTIVE_STATE"), True),
        (SERVICE, False, an_opdata("SERVICE_ERROR_STATE"), False),
        (SERVICE, False, an_opdata("SERVICE_STOPPED_STATE"), False),
        (SERVICE, False, an_opdata("SERVICE_INERT_STATE"), None),
        (SERVICE, False, EMPTY, None),
        (GOING, False, EMPTY, True),
        (GOING, True, EMPTY, None),  # it may have failed: the event says it
        (GOING, False, an_opdata("SERVICE_UNDEPLOYING_STATE"), None),
        (TENANT, True, an_opdata("SERVICE_DEPLOYING_STATE"), True),
        (TENANT, True, EMPTY, None),
        (TENANT, True, in_opdata(a_tenant()), None),
        (TENANT, False, in_opdata(a_tenant()), None),
        (TENANT, False, in_opdata(a_tenant("<error>quota</error>")), False),
        (TENANT, False, in_opdata(a_tenant("<tenant_id>1</tenant_id>")), True),
        (SUBNET, False, in_opdata(a_network(a_subnet("<error>range</error>"))), False),
        (SUBNET, False, in_opdata(a_network(a_subnet(MADE))), True),
        (SUBNET, False, in_opdata(a_network(a_subnet(""))), None),
        (SUBNET, True, in_opdata(a_network(a_subnet(MADE + "<status>BUILD</status>"))), None),
        (SUBNET, True, in_opdata(a_network(a_subnet(MADE + "<status>ERROR</status>"))), None),
        (SUBNET, True, in_opdata(a_network(a_subnet(MADE + "<status>ACTIVE</status>"))), True),
        (NETWORK, True, in_opdata(a_network("<status>BUILD</status>")), None),
        (NETWORK, True, in_opdata(a_network("<status>ERROR</status>")), None),
        (NETWORK, False, in_opdata(a_network("<status>ERROR</status>")), False),
        (NETWORK, False, in_opdata(a_network("<status>BUILD</status>")), None),
        (NETWORK, False, in_opdata(a_network("<netid>1</netid><status>ACTIVE</status>")), True),
        (NETWORK, True, in_opdata(a_network("<netid>1</netid><status>BUILD</status>")), None),
        (IMAGE, True, in_opdata("<images><image><name>i</name></image></images>"), None),
        (IMAGE, True, in_opdata(an_image("DELETING")), None),
        (IMAGE, True, in_opdata(an_image("ACTIVE")), True),
        (IMAGE, False, in_opdata(an_image("ERROR")), False),
        (CONNECTOR, True, in_opdata(a_connector("CONNECTION_SUCCESSFUL")), None),
        (CONNECTOR, False, in_opdata(a_connector("CONNECTION_SUCCESSFUL")), True),
        (CONNECTOR, False, in_opdata(a_connector("AUTHENTICATION_FAILED")), False),
        (CONNECTOR, False, in_opdata(a_connector()), None),
        (CONNECTOR_GOING, False, EMPTY, True),
        (DEFAULT, True, in_opdata(a_connector()), None),
        (DEFAULT, False, in_opdata(a_connector()), True),
        (FLAVOR, True, in_opdata("<flavors><flavor><name>f</name></flavor></flavors>"), None),
    ],
)
def test_operational_data_decide_only_where_no_event_will_come(
    goal: Goal, *, changed: bool, body: str, outcome: object
) -> None:
    # when
    opdata = standing(parse(reply(body).encode()))
    decided = outcome_now(goal, changed=changed, opdata=opdata)
    # then
    assert (None if decided is None else decided[0]) is outcome


AS_IT_WAS = (
    "and the edit changes nothing: what the VIM has of it stays as it was; "
    "ask for another value, or for the one that it had"
)


@pytest.mark.parametrize(
    ("goal", "body", "said"),
    [
        (
            NETWORK,
            a_network("<netid>1</netid><status>ERROR</status><error>no quota</error>"),
            f"the last change of network n failed (no quota) {AS_IT_WAS}",
        ),
        (
            SUBNET,
            a_network(a_subnet(f"{MADE}<status>ERROR</status>")),
            f"the last change of subnet n/s failed {AS_IT_WAS}",
        ),
        (
            NETWORK,
            a_network("<status>ERROR</status><error>no quota</error>"),
            "network n could not be made (no quota) and the edit changes nothing: delete it first",
        ),
    ],
)
def test_to_delete_what_is_in_error_is_advised_only_where_the_vim_has_nothing_of_it(
    goal: Goal, body: str, said: str
) -> None:
    # when
    opdata = standing(parse(reply(in_opdata(body)).encode()))
    # then
    assert outcome_now(goal, changed=False, opdata=opdata) == (False, said)


def test_a_change_inside_a_deployment_is_seen_in_its_configuration() -> None:
    # given
    before = standing(parse(reply(a_configuration("d", "e")).encode()))
    after = standing(parse(reply(a_configuration("d", "e", leaf="<x/>")).encode()))
    # then
    assert before.of(SERVICE) is not None
    assert before.of(SERVICE) != after.of(SERVICE)
    assert before.of(GOING) == before.of(SERVICE)


def test_resources_are_read_from_configuration_and_operational_data() -> None:
    # given
    networks = "<networks><network><name>n</name>{}</network></networks>"
    subnet = "<subnet><name>s</name></subnet>"
    images = "<images><image><name>i</name></image></images>"
    here = [
        Goal(kind=Kind.NETWORK, wish=Wish.CREATE, name="n"),
        Goal(kind=Kind.SUBNET, wish=Wish.CREATE, name="s", network="n"),
        Goal(kind=Kind.IMAGE, wish=Wish.CREATE, name="i"),
    ]
    # when
    for inside in (
        f"{networks.format(subnet)}{images}",
        f"<opdata>{networks.format(f'<subnets>{subnet}</subnets>')}{images}</opdata>",
    ):
        body = f'<data><esc_datamodel xmlns="{ESC}">{inside}</esc_datamodel></data>'
        found = standing(parse(reply(body).encode()))
        # then
        assert all(found.of(goal) is not None for goal in here)


def test_one_filter_asks_once_for_each_tenant() -> None:
    # given
    wanted = [
        TENANT,
        SERVICE,
        Goal(kind=Kind.DEPLOYMENT, wish=Wish.CREATE, name="e", tenant="t"),
        Goal(kind=Kind.NETWORK, wish=Wish.CREATE, name="n", tenant="t"),
        Goal(kind=Kind.SUBNET, wish=Wish.CREATE, name="s", tenant="t", network="n"),
        Goal(kind=Kind.IMAGE, wish=Wish.CREATE, name="i"),
    ]
    # when
    config, opdata = config_filter(wanted), opdata_filter(wanted)
    # then
    for query in (config, opdata):
        assert query.get("type") == "subtree"
        assert len(list(query.iter(qname(ESC, "tenant")))) == 1
        assert len(list(query.iter(qname(ESC, "network")))) == 1
    assert [e.findtext(qname(ESC, "name")) for e in config.iter(qname(ESC, "deployment"))] == [
        "d",
        "e",
    ]
    assert len(list(opdata.iter(qname(ESC, "state")))) == 2


@pytest.mark.parametrize(
    ("status", "failures"),
    [("SUCCESS", []), ("FAILURE", ["deployment t/d: SERVICE_ALIVE FAILURE: as asked"])],
)
def test_the_end_of_a_service_closes_its_tenant(status: str, failures: list[str]) -> None:
    # given
    waiting = Waiting([TENANT, SERVICE])
    # when
    waiting.observe(an_event("SERVICE_ALIVE", tenant="t", depname="d", status=status))
    # then
    assert waiting.over()
    assert waiting.failures == failures


def test_a_failure_decides_its_own_goal_and_the_others_are_waited_for() -> None:
    # given
    waiting = Waiting([TENANT, SERVICE, IMAGE])
    # when
    waiting.observe(an_event("CREATE_TENANT", tenant="t", status="FAILURE", message="quota"))
    # then
    assert waiting.open == [SERVICE, IMAGE]
    # when
    waiting.observe(an_event("SERVICE_ALIVE", tenant="t", depname="d", status="FAILURE"))
    waiting.observe(an_event("CREATE_IMAGE", image="i"))
    # then
    assert waiting.over()
    assert waiting.failures == [
        "tenant t: CREATE_TENANT FAILURE: quota",
        "deployment t/d: SERVICE_ALIVE FAILURE: as asked",
    ]


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (an_event("VM_DEPLOYED", tenant="t", depname="d"), True),
        (an_event("CREATE_NETWORK", tenant="t", network="tn"), True),
        (an_event("VM_DEPLOYED", tenant="t", depname="other"), False),
        (an_event("CREATE_TENANT", tenant="u"), False),
        (an_event("CREATE_IMAGE", image="i"), False),
    ],
)
def test_only_what_belongs_to_the_edit_is_shown(event: Event, *, shown: bool) -> None:
    assert Waiting([TENANT, SERVICE]).concerns(event) is shown


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE"])
def test_what_is_deleted_to_be_created_anew_is_shown_and_decides_nothing(status: str) -> None:
    # given
    waiting = Waiting([IMAGE, FLAVOR])
    gone = an_event("DELETE_IMAGE", image="i", status=status)
    # when
    waiting.observe(gone)
    # then
    assert waiting.concerns(gone)
    assert waiting.open == [IMAGE, FLAVOR]
    assert not waiting.failures
    assert not waiting.concerns(an_event("DELETE_FLAVOR", flavor="other"))


TENANT_GOING = Goal(kind=Kind.TENANT, wish=Wish.DELETE, name="t")
NETWORK_GOING = Goal(kind=Kind.NETWORK, wish=Wish.DELETE, name="n", tenant="t")


@pytest.mark.parametrize(
    ("goal", "event", "shown"),
    [
        (TENANT_GOING, an_event("VM_UNDEPLOYED", tenant="t", depname="d", status="FAILURE"), True),
        (TENANT_GOING, an_event("SERVICE_UNDEPLOYED", tenant="t", depname="d"), True),
        (TENANT_GOING, an_event("DELETE_SUBNET", tenant="t", network="tn", subnet="tns"), True),
        (TENANT_GOING, an_event("DELETE_NETWORK", tenant="t", network="tn"), True),
        (TENANT_GOING, an_event("VM_UNDEPLOYED", tenant="u", depname="d"), False),
        (NETWORK_GOING, an_event("DELETE_SUBNET", tenant="t", network="tn", subnet="tns"), True),
        (NETWORK_GOING, an_event("DELETE_SUBNET", tenant="t", network="to", subnet="tos"), False),
        (GOING, an_event("VM_UNDEPLOYED", tenant="t", depname="d"), True),
        (GOING, an_event("DELETE_NETWORK", tenant="t", depname="d", network="tdn"), True),
    ],
)
def test_a_removal_shows_what_happens_to_all_that_goes_along_and_is_decided_by_its_own_end(
    goal: Goal, event: Event, *, shown: bool
) -> None:
    # given
    waiting = Waiting([goal])
    # when
    waiting.observe(event)
    # then
    assert waiting.concerns(event) is shown
    assert waiting.open == [goal]
    assert not waiting.failures


@pytest.mark.parametrize(
    ("goal", "event"),
    [
        (TENANT_GOING, an_event("SERVICE_UNDEPLOYED", tenant="t", depname="d", status="FAILURE")),
        (TENANT_GOING, an_event("DELETE_NETWORK", tenant="t", network="tn", status="FAILURE")),
        (NETWORK_GOING, an_event("DELETE_SUBNET", tenant="t", network="tn", status="FAILURE")),
    ],
)
def test_a_removal_has_failed_where_something_that_goes_along_stays(
    goal: Goal, event: Event
) -> None:
    # given
    waiting = Waiting([goal])
    # when: it goes itself all the same
    waiting.observe(event)
    waiting.observe(an_event(f"DELETE_{goal.kind}", tenant="t", network="tn"))
    # then
    assert waiting.over()
    assert [text.split(": ")[1] for text in waiting.failures] == [f"{event.type} FAILURE"]


def test_connectors_and_the_choice_among_them_are_goals() -> None:
    # given
    document = f"""<esc_system_config xmlns="{ESC}" xmlns:nc="{BASE}"><vim_connectors>
      <default_vim_connector nc:operation="delete"/>
      <vim_connector><id>new</id></vim_connector>
      <vim_connector nc:operation="delete"><id>old</id></vim_connector>
    </vim_connectors></esc_system_config>"""
    # when
    found = goals_of(read_edit(document.encode()).operation)
    # then
    assert [(goal.wish, goal.kind, goal.name) for goal in found] == [
        ("CREATE", "VIM_CONNECTOR", "new"),
        ("DELETE", "VIM_CONNECTOR", "old"),
        ("DELETE", "DEFAULT_VIM_CONNECTOR", ""),
    ]


@pytest.mark.parametrize(
    ("goal", "event", "status", "outcome"),
    [
        (CONNECTOR, "CREATE_VIM_CONNECTOR", "SUCCESS", None),
        (CONNECTOR, "CREATE_VIM_CONNECTOR", "FAILURE", False),
        (CONNECTOR, "UPDATE_VIM_USER", "FAILURE", False),
        (CONNECTOR, "VIM_OPERATIONAL_STATE", "SUCCESS", True),
        (CONNECTOR, "VIM_OPERATIONAL_STATE", "FAILURE", False),
        (CONNECTOR_GOING, "DELETE_VIM_USER", "SUCCESS", None),
        (CONNECTOR_GOING, "DELETE_VIM_CONNECTOR", "SUCCESS", True),
        (DEFAULT, "CREATE_DEFAULT_VIM_CONNECTOR", "SUCCESS", True),
    ],
)
def test_a_connector_is_decided_by_the_first_look_at_its_vim(
    goal: Goal, event: str, status: str, outcome: object
) -> None:
    own = an_event(event, vim_connector_id="lab", status=status)
    other = an_event(event, vim_connector_id="other", status=status)
    assert goal.outcome(own) is outcome
    assert goal.outcome(other) is None
    assert (goal.concerns(own), goal.concerns(other)) == (True, False)


def test_a_default_that_is_taken_back_need_not_be_named() -> None:
    going = Goal(kind=Kind.DEFAULT_VIM_CONNECTOR, wish=Wish.DELETE, name="")
    assert going.outcome(an_event("DELETE_DEFAULT_VIM_CONNECTOR", vim_connector_id="lab")) is True


def test_connectors_are_asked_for_in_their_own_root() -> None:
    wanted = [CONNECTOR, DEFAULT]
    assert [child.tag for child in config_filter(wanted)] == [qname(ESC, "esc_system_config")]
    assert len(list(opdata_filter(wanted).iter(qname(ESC, "vim_connectors")))) == 1
    assert len(config_filter([*wanted, TENANT])) == 2
