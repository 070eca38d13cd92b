"""The program as a shell sees it, against a fake server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from esc_nc_cli.cli import main
from esc_nc_cli.xmltree import BASE, ESC, parse, qname
from tests.cli.client_world import (
    DEPLOY,
    EMPTY,
    HANG_UP,
    OPERATION,
    REFUSAL,
    FakeServer,
    a_configuration,
    a_notification,
    an_opdata,
)

Esc = Callable[..., Result]
ALIVE = [
    a_notification("CREATE_TENANT", tenant="t"),
    a_notification("VM_DEPLOYED", tenant="other", depname="d"),
    a_notification("VM_DEPLOYED", tenant="t", depname="d", vm_group="g"),
    a_notification("SERVICE_ALIVE", tenant="t", depname="d", message="all up"),
]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "dep.xml"
    path.write_text(DEPLOY)
    return str(path)


def test_an_accepted_edit_prints_the_title_and_the_reply(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # when
    result = esc("edit-config", file, "--operation", "none")
    # then
    assert result.exit_code == 0, result.output
    title, declaration, *reply = result.stdout.splitlines()
    assert (title, declaration) == ("Edit Config", '<?xml version="1.0" encoding="UTF-8"?>')
    assert parse("\n".join(reply).encode()).tag == qname(BASE, "rpc-reply")
    assert server.last("edit-config").findtext(qname(BASE, "default-operation")) == "none"
    assert (
        server.last("edit-config").find(f"{qname(BASE, 'target')}/{qname(BASE, 'running')}")
        is not None
    )


def test_waiting_shows_the_events_of_what_was_asked_and_ends_with_the_service(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # given
    server.answers = {
        "get-config": [EMPTY, a_configuration("d")],
        "get": [an_opdata("SERVICE_DEPLOYING_STATE")],
    }
    server.after_edit = ALIVE
    # when
    result = esc("-v", "edit-config", file, "--wait")
    # then
    assert result.exit_code == 0, result.output
    shown = [line.split(" ", 1)[1] for line in result.stdout.splitlines()[-3:]]
    assert shown == [
        "CREATE_TENANT SUCCESS t - as asked",
        "VM_DEPLOYED SUCCESS t/d g as asked",
        "SERVICE_ALIVE SUCCESS t/d - all up",
    ]
    assert server.operations()[:2] == ["create-subscription", "get-config"]
    assert "s3cret-word" not in result.output
    command = next(line for line in result.stdout.splitlines() if line.startswith("esc_nc_cli"))
    assert command.endswith(f"--port {server.port} --user admin edit-config {file} --wait")


def test_waiting_ends_with_1_and_the_message_when_the_service_fails(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # given
    server.answers = {"get-config": [EMPTY, a_configuration("d")], "get": [EMPTY]}
    server.after_edit = [
        a_notification(
            "SERVICE_ALIVE", tenant="t", depname="d", status="FAILURE", message="no host"
        )
    ]
    # when
    result = esc("edit-config", file, "--wait")
    # then
    assert result.exit_code == 1
    assert "deployment t/d: SERVICE_ALIVE FAILURE: no host" in result.stderr


def test_an_edit_that_changes_nothing_of_an_active_service_does_not_hang(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # given
    server.answers = {
        "get-config": [a_configuration("d")],
        "get": [an_opdata("SERVICE_ACTIVE_STATE")],
    }
    # when
    result = esc("--timeout", "5", "edit-config", file, "--wait")
    # then
    assert result.exit_code == 0, result.output
    assert "SERVICE_ACTIVE_STATE and the edit changes nothing" in result.stderr


def test_an_edit_that_changes_nothing_of_what_runs_does_not_hang(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # given: an extension, or a policy that is only a name
    server.answers = {
        "get-config": [EMPTY, a_configuration("d")],
        "get": [an_opdata("SERVICE_ACTIVE_STATE")],
    }
    # when
    result = esc("--timeout", "9", "edit-config", file, "--wait")
    # then
    assert result.exit_code == 0, result.output
    assert "SERVICE_ACTIVE_STATE and the edit changes nothing of what runs\n" in result.stderr


def test_an_update_that_has_begun_is_waited_for_however_long_it_is_silent(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # given
    server.answers = {
        "get-config": [EMPTY, a_configuration("d")],
        "get": [an_opdata("SERVICE_ACTIVE_STATE")],
    }
    server.after_edit = [a_notification("SERVICE_UPDATING_STATE", tenant="t", depname="d")]
    # when
    result = esc("--timeout", "4", "edit-config", file, "--wait")
    # then
    assert result.exit_code == 4, result.output
    assert "changes nothing" not in result.stderr


@pytest.mark.parametrize(
    ("state", "hint"),
    [("SERVICE_ERROR_STATE", "; delete-dep it first"), ("SERVICE_STOPPED_STATE", "")],
)
def test_an_edit_that_changes_nothing_of_a_resting_service_fails_at_once(
    esc: Esc, server: FakeServer, file: str, state: str, hint: str
) -> None:
    # given
    server.answers = {"get-config": [a_configuration("d")], "get": [an_opdata(state)]}
    # when
    result = esc("--timeout", "5", "edit-config", file, "--wait")
    # then
    assert result.exit_code == 1
    assert f"deployment t/d is in {state} and the edit changes nothing{hint}\n" in result.stderr


def test_a_service_that_never_ends_is_a_time_out_that_names_it(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # given
    server.answers = {"get-config": [EMPTY, a_configuration("d")], "get": [EMPTY]}
    # when
    result = esc("--timeout", "1", "edit-config", file, "--wait")
    # then
    assert result.exit_code == 4
    assert "undecided: tenant t, deployment t/d" in result.stderr


RESOURCES = f"""<esc_datamodel xmlns="{ESC}">
  <images><image><name>bad</name></image><image><name>good</name></image></images>
  <flavors><flavor><name>f</name></flavor></flavors></esc_datamodel>"""


def test_of_an_edit_that_fails_in_part_all_that_becomes_of_the_rest_is_shown(
    esc: Esc, server: FakeServer
) -> None:
    # given: the failure is told first
    server.answers = {"get-config": [EMPTY], "get": [EMPTY]}
    server.after_edit = [
        a_notification("CREATE_IMAGE", image="bad", status="FAILURE", message="no room"),
        a_notification("CREATE_FLAVOR", flavor="f"),
        a_notification("CREATE_IMAGE", image="good"),
    ]
    # when
    result = esc("--timeout", "9", "edit-config", "-", "--wait", stdin=RESOURCES)
    # then
    assert result.exit_code == 1
    assert [line.split(" ", 1)[1] for line in result.stdout.splitlines()[-3:]] == [
        "CREATE_IMAGE FAILURE bad - no room",
        "CREATE_FLAVOR SUCCESS f - as asked",
        "CREATE_IMAGE SUCCESS good - as asked",
    ]
    assert result.stderr == "esc_nc_cli: image bad: CREATE_IMAGE FAILURE: no room\n"


def test_what_failed_is_told_also_where_the_time_is_over_before_the_rest_ends(
    esc: Esc, server: FakeServer
) -> None:
    # given
    server.answers = {"get-config": [EMPTY], "get": [EMPTY]}
    server.after_edit = [
        a_notification("CREATE_IMAGE", image="bad", status="FAILURE", message="no room"),
        a_notification("CREATE_FLAVOR", flavor="f"),
    ]
    # when
    result = esc("--timeout", "1", "edit-config", "-", "--wait", stdin=RESOURCES)
    # then
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "esc_nc_cli: image bad: CREATE_IMAGE FAILURE: no room",
        "esc_nc_cli: the time is over; undecided: image good",
    ]


def test_a_server_that_hangs_up_while_waited_for_leaves_it_undecided_and_is_to_be_looked_at(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # given
    server.answers = {"get-config": [EMPTY, a_configuration("d")], "get": [EMPTY]}
    server.after_edit = [HANG_UP]
    # when
    result = esc("--timeout", "9", "edit-config", file, "--wait")
    # then
    assert result.exit_code == 4
    assert result.stderr == (
        f"esc_nc_cli: it was taken, but 127.0.0.1:{server.port} closed the session; "
        "undecided: tenant t, deployment t/d; look with `esc_nc_cli get -f table`\n"
    )


def test_a_server_that_hangs_up_after_the_end_changes_nothing_about_it(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # given
    server.answers = {"get-config": [EMPTY, a_configuration("d")], "get": [EMPTY]}
    server.after_edit = [a_notification("SERVICE_ALIVE", tenant="t", depname="d"), HANG_UP]
    # when
    result = esc("--timeout", "9", "edit-config", file, "--wait")
    # then
    assert result.exit_code == 0, result.stderr


def test_what_failed_is_told_also_where_the_session_is_lost_before_the_rest_ends(
    esc: Esc, server: FakeServer
) -> None:
    # given
    server.answers = {"get-config": [EMPTY], "get": [EMPTY]}
    failure = a_notification("CREATE_IMAGE", image="bad", status="FAILURE", message="no room")
    server.after_edit = [failure, HANG_UP]
    # when
    result = esc("--timeout", "9", "edit-config", "-", "--wait", stdin=RESOURCES)
    # then
    assert result.exit_code == 1
    told, rest = result.stderr.splitlines()
    assert told == "esc_nc_cli: image bad: CREATE_IMAGE FAILURE: no room"
    assert rest.startswith("esc_nc_cli: it was taken, but ")
    assert "closed the session; undecided: image good, flavor f" in rest


def test_an_undeploy_names_the_deployment_and_ends_when_it_is_gone(
    esc: Esc, server: FakeServer
) -> None:
    # given
    server.answers = {
        "get-config": [a_configuration("d"), EMPTY],
        "get": [an_opdata("SERVICE_UNDEPLOYING_STATE")],
    }
    server.after_edit = [a_notification("SERVICE_UNDEPLOYED", tenant="t", depname="d")]
    # when
    result = esc("delete-dep", "t", "d", "--wait")
    # then
    assert result.exit_code == 0, result.output
    doomed = next(server.last("edit-config").iter(qname(ESC, "deployment")))
    assert (doomed.get(OPERATION), doomed.findtext(qname(ESC, "name"))) == ("delete", "d")


def test_a_refusal_is_readable_and_ends_with_1(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"edit-config": [REFUSAL]}
    # when
    result = esc("delete-dep", "t", "d")
    # then
    assert result.exit_code == 1
    assert result.stderr == (
        "esc_nc_cli: rpc-error data-missing at /esc:esc_datamodel: no such deployment\n"
    )


def test_a_refusal_is_printed_as_esc_does_and_told_in_one_line_each(
    esc: Esc, server: FakeServer
) -> None:
    # given
    server.answers = {"edit-config": [REFUSAL * 2]}
    # when
    result = esc("delete-dep", "t", "d", "--wait")
    # then
    assert result.exit_code == 1
    assert result.stdout.startswith("Delete Deployment\n<?xml ")
    assert result.stdout.count("<error-tag>data-missing</error-tag>") == 2
    line = "esc_nc_cli: rpc-error data-missing at /esc:esc_datamodel: no such deployment"
    assert result.stderr.splitlines() == [line, line]


def test_a_warning_in_the_reply_is_shown_and_no_failure(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"edit-config": [REFUSAL.replace(">error<", ">warning<")]}
    # when
    result = esc("delete-dep", "t", "d")
    # then
    assert result.exit_code == 0
    assert result.stderr.startswith("rpc-warning data-missing at ")


def test_watching_ends_with_4_when_the_time_is_over(esc: Esc) -> None:
    # when
    result = esc("watch", "--timeout", "0.3")
    # then
    assert result.exit_code == 4
    assert "the time is over" in result.stderr


def test_get_sends_the_path_as_it_is_and_shows_xml(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"get": [an_opdata("SERVICE_ACTIVE_STATE")]}
    # when
    result = esc("get", "esc_datamodel/opdata")
    # then
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith('Get\n<?xml version="1.0" encoding="UTF-8"?>\n<rpc-reply ')
    query = server.last("get").find(qname(BASE, "filter"))
    assert query is not None
    assert dict(query.attrib) == {"type": "xpath", "select": "esc_datamodel/opdata"}


def test_get_config_shows_json_without_a_title(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"get-config": [a_configuration("d")]}
    # when
    result = esc("get-config", "-f", "json")
    # then
    tenants = {"tenant": [{"name": "t", "deployments": {"deployment": [{"name": "d"}]}}]}
    assert json.loads(result.stdout) == {"esc_datamodel": {"tenants": tenants}}
    assert (
        server.last("get-config").find(f"{qname(BASE, 'source')}/{qname(BASE, 'running')}")
        is not None
    )


def test_get_shows_a_table_of_vms(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"get": [an_opdata("SERVICE_ACTIVE_STATE")]}
    # when
    result = esc("get", "-f", "table")
    # then
    head, row = (line.split() for line in result.stdout.splitlines())
    assert head[-6:] == ["STATE", "RECOVERY", "IP", "VIM", "HOST", "ERROR"]
    assert " ".join(row) == "t d SERVICE_ACTIVE_STATE g d_g_0_x VM_ALIVE_STATE - 192.0.2.5 - - -"


def test_watch_replays_and_ends_after_the_asked_number(esc: Esc, server: FakeServer) -> None:
    # given
    server.after_subscription = ALIVE
    # when
    result = esc("watch", "--replay", "10m", "--count", "3")
    # then
    assert result.exit_code == 0, result.output
    assert [line.split()[1] for line in result.stdout.splitlines()] == [
        "CREATE_TENANT",
        "VM_DEPLOYED",
        "VM_DEPLOYED",
    ]
    assert result.stderr == f"watching escEvent at 127.0.0.1:{server.port}\n"
    assert len(server.last("create-subscription")) == 2


def test_a_wrong_password_ends_with_3_and_is_not_repeated(
    server: FakeServer, tmp_path: Path
) -> None:
    # when
    words = ["--host", "127.0.0.1", "--port", str(server.port), "--password", "wr0ng"]
    result = CliRunner().invoke(main, [*words, "get"])
    # then
    assert result.exit_code == 3
    assert f"127.0.0.1:{server.port} refuses admin with this password" in result.stderr
    assert "wr0ng" not in result.output
    assert len(result.stderr.splitlines()) == 1


def test_a_file_that_holds_no_key_is_named_as_what_it_is(
    server: FakeServer, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no key at all\n", encoding="utf-8")
    words = ["--host", "127.0.0.1", "--port", str(server.port), "--key", str(notes)]
    result = CliRunner().invoke(main, [*words, "get"])
    assert result.exit_code == 3, result.output
    assert f"with the key {notes}, which holds no private key" in result.stderr


@pytest.mark.parametrize(
    ("xpath", "header"),
    [
        ("esc_datamodel/opdata", "TENANT"),
        ("/esc:esc_datamodel/esc:opdata/esc:tenants/", "TENANT"),
        ("esc_datamodel/opdata/tenants/tenant[name='a/b']/deployments", "TENANT"),
        ("//opdata//deployments[deployment_name='d']", "TENANT"),
        ("esc_datamodel/opdata/images", "PATH"),
        ("esc_datamodel/tenants", "PATH"),
    ],
)
def test_operational_data_without_deployments_are_a_table_of_no_vms(
    esc: Esc, server: FakeServer, xpath: str, header: str
) -> None:
    # given
    server.answers = {"get": [EMPTY]}
    # when
    result = esc("get", "-f", "table", xpath)
    # then
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert line.split()[0] == header


@pytest.mark.parametrize("is_known", [True, False])
def test_a_host_key_is_checked_against_the_given_file(
    esc: Esc, server: FakeServer, tmp_path: Path, *, is_known: bool
) -> None:
    # given
    key = server.host_key.export_public_key().decode() if is_known else ""
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {key}" if is_known else "")
    server.answers = {"get": [EMPTY]}
    # when
    result = esc("--known-hosts", str(known), "get")
    # then
    assert result.exit_code == (0 if is_known else 3)
    assert ("is not in" in result.stderr) is not is_known


def test_nobody_listening_ends_with_3_and_one_line(tmp_path: Path) -> None:
    # given: a port that was free a moment ago
    with FakeServer(tmp_path) as gone:
        port = gone.port
    # when
    words = ["--host", "127.0.0.1", "--port", str(port), "--password", "x"]
    result = CliRunner().invoke(main, [*words, "get"])
    # then
    assert result.exit_code == 3
    assert result.stderr.startswith(
        f"esc_nc_cli: cannot open a NETCONF session to 127.0.0.1:{port}"
    )
    assert len(result.stderr.splitlines()) == 1


def test_an_edit_from_standard_input_without_goals_does_not_wait(
    esc: Esc, server: FakeServer
) -> None:
    # when
    result = esc("edit-config", "-", "--wait", stdin=f'<config xmlns="{BASE}"/>')
    # then
    assert result.exit_code == 0, result.output
    assert "not waiting" in result.stderr
    assert "create-subscription" not in server.operations()
