"""Replies as JSON and tables; usage errors; the terminal."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from esc_nc_cli import __main__
from esc_nc_cli.cli import main
from esc_nc_cli.client import ConnectionFailed, Reply, read_reply
from esc_nc_cli.discover import Endpoint
from esc_nc_cli.events import read_event
from esc_nc_cli.output import as_json, as_table, as_xml, command_line, event_screen
from esc_nc_cli.xmltree import BASE, ESC, parse
from tests.cli.client_world import a_notification, an_opdata


def data(inside: str) -> Reply:
    body = f'<data><esc_datamodel xmlns="{ESC}">{inside}</esc_datamodel></data>'
    return read_reply(f'<rpc-reply xmlns="{BASE}">{body}</rpc-reply>')


def test_a_list_of_one_is_a_list_in_json_and_a_leaf_of_that_name_is_none() -> None:
    # given
    reply = read_reply(f'<rpc-reply xmlns="{BASE}">{an_opdata("X")}</rpc-reply>')
    # when
    tenant = json.loads(as_json(reply))["esc_datamodel"]["opdata"]["tenants"]["tenant"][0]
    # then
    assert tenant["deployments"][0]["vm_group"][0]["vm_instance"][0]["vm_id"] == "1"
    shown = json.loads(as_json(data("<interface><network>n</network></interface>")))
    assert shown == {"esc_datamodel": {"interface": [{"network": "n"}]}}


def test_repeated_elements_of_any_name_are_lists_in_json() -> None:
    shown = json.loads(as_json(data("<x>1</x><x>2</x><x>3</x><y/><action>a</action>")))
    assert shown == {"esc_datamodel": {"x": ["1", "2", "3"], "y": "", "action": ["a"]}}


def test_no_name_moves_the_cursor_or_turns_a_line_and_programs_still_read_it() -> None:
    # given: ends of lines, a C1 control, right-to-left, letters of more bytes, an unseen one
    name = "a\x85b\u2028c\x9bd\u202ee\U0001f600\u00e9\U000e0041"
    reply = data(f"<images><image><name>{name}</name></image></images>")
    # when
    shown = (as_json(reply), as_xml(reply.root), as_table(reply))
    # then
    lines = [line for text in shown for line in text.split("\n")]
    assert [line for line in lines if not line.isprintable()] == []
    assert json.loads(shown[0])["esc_datamodel"]["images"]["image"][0]["name"] == name
    assert parse(shown[1].encode()).findtext(f".//{{{ESC}}}name") == name
    assert "\u00e9" in shown[0]


def test_other_data_are_a_table_of_paths() -> None:
    table = as_table(data("<images><image><name>i</name><public>true</public></image></images>"))
    assert table.splitlines() == [
        "PATH                                   VALUE",
        "/esc_datamodel/images/image[i]/name    i",
        "/esc_datamodel/images/image[i]/public  true",
    ]


def test_a_deployment_without_vms_has_a_row_too() -> None:
    inside = """<opdata><tenants><tenant><name>t</name><deployments>
      <deployment_name>d</deployment_name></deployments></tenant></tenants></opdata>"""
    assert as_table(data(inside)).splitlines()[1].split() == ["t", "d", *"---------"]


def test_a_vm_that_the_vim_has_not_made_has_a_row_below_the_error_of_its_deployment() -> None:
    # given: of two groups that both begin like the name the longer one is meant
    inside = """<opdata><tenants><tenant><name>t</name><deployments>
      <deployment_name>d</deployment_name><error>no such image</error>
      <vm_group><name>g</name><vm_instance><vm_id>1</vm_id><name>d_g_0_x</name>
        <hostname>h1</hostname><vim_id>lab</vim_id></vm_instance></vm_group>
      <vm_group><name>g_0</name></vm_group>
      <state_machine><state>SERVICE_ERROR_STATE</state><vm_state_machines>
        <vm_state_machine><vm_name>d_g_0_0_y</vm_name><state>VM_UNDEF_STATE</state></vm_state_machine>
        <vm_state_machine><vm_name>d_g_0_x</vm_name><state>VM_ALIVE_STATE</state></vm_state_machine>
      </vm_state_machines></state_machine></deployments></tenant></tenants></opdata>"""
    # when
    _, whole, made, missing = as_table(data(inside)).splitlines()
    # then: the error is told once, and not of the VM that is well
    service = ["t", "d", "SERVICE_ERROR_STATE"]
    assert whole.split() == [*service, *"-------", "no", "such", "image"]
    assert made.split() == [*service, "g", "d_g_0_x", "VM_ALIVE_STATE", *"--", "lab", "h1", "-"]
    assert missing.split() == [*service, "g_0", "d_g_0_0_y", "VM_UNDEF_STATE", *"-----"]


def test_a_vm_that_is_to_be_recovered_says_why_below_the_error_of_its_deployment() -> None:
    inside = """<opdata><tenants><tenant><name>t</name><deployments>
      <deployment_name>d</deployment_name><error>two of three</error><state_machine>
      <state>SERVICE_ERROR_STATE</state><vm_state_machines><vm_state_machine><vm_name>v</vm_name>
        <state>VM_ERROR_STATE</state><life><recovery><phase>needed</phase><cause>silent</cause>
        </recovery></life></vm_state_machine></vm_state_machines></state_machine></deployments>
      </tenant></tenants></opdata>"""
    _, whole, vm = as_table(data(inside)).splitlines()
    assert whole.endswith("  two of three")
    assert vm.split()[4:] == ["v", "VM_ERROR_STATE", "needed", *"---", "silent"]


def test_a_vm_that_waits_for_the_operator_is_told_from_one_that_is_well() -> None:
    # given: the state of the one that waits says nothing of it
    inside = """<opdata><tenants><tenant><name>t</name><deployments>
      <deployment_name>d</deployment_name>
      <vm_group><name>g</name><vm_instance><vm_id>1</vm_id><name>d_g_0_x</name></vm_instance>
      </vm_group><state_machine><state>SERVICE_ACTIVE_STATE</state><vm_state_machines>
        <vm_state_machine><vm_name>d_g_0_x</vm_name><state>VM_MONITOR_DISABLED_STATE</state>
          <life><recovery><phase>needed</phase><cause>VM_ALIVE no longer holds</cause></recovery>
          </life></vm_state_machine>
        <vm_state_machine><vm_name>d_g_1_y</vm_name><state>VM_MONITOR_DISABLED_STATE</state>
          <life><monitor_state>disabled</monitor_state></life></vm_state_machine>
      </vm_state_machines></state_machine></deployments></tenant></tenants></opdata>"""
    # when
    head, lost, well = as_table(data(inside)).splitlines()
    # then
    at = head.split().index("RECOVERY")
    assert (lost.split()[at], well.split()[at]) == ("needed", "-")
    assert lost.endswith("VM_ALIVE no longer holds")
    assert well.split()[-1] == "-"


@pytest.mark.parametrize(
    ("hold", "held_for"),
    [
        ("<reason>vim</reason><vim_id>lab</vim_id>", ", for vim"),
        ("<reason>addresses</reason>", ", for addresses"),
        ("<reason>vim</reason><vim_id>far</vim_id>", ""),
        ("<reason>share</reason><vim_id>lab</vim_id><hostname>h2</hostname>", ""),
    ],
)
def test_a_vm_that_is_held_shows_since_when_and_for_what(hold: str, held_for: str) -> None:
    # given
    inside = f"""<opdata><recovery_guard><hold>{hold}</hold></recovery_guard>
      <tenants><tenant><name>t</name><deployments><deployment_name>d</deployment_name>
      <vm_group><name>g</name><vm_instance><vm_id>1</vm_id><name>d_g_0_x</name>
        <hostname>h1</hostname><vim_id>lab</vim_id></vm_instance></vm_group>
      <state_machine><state>SERVICE_INERT_STATE</state><vm_state_machines>
        <vm_state_machine><vm_name>d_g_0_x</vm_name><state>VM_INERT_STATE</state>
          <life><recovery><phase>held</phase><began>2026-11-23T02:00:00+00:00</began>
          <cause>it is silent</cause></recovery></life></vm_state_machine>
      </vm_state_machines></state_machine></deployments></tenant></tenants></opdata>"""
    # when
    _, row = as_table(data(inside)).splitlines()
    # then
    assert row.endswith(f"  held since 2026-11-23T02:00:00+00:00{held_for}: it is silent")


def test_an_address_is_told_once_and_all_of_a_port_are() -> None:
    # given
    inside = """<opdata><tenants><tenant><name>t</name><deployments>
      <deployment_name>d</deployment_name><vm_group><name>g</name><vm_instance><name>v</name>
      <interfaces><interface><nicid>0</nicid><ip_address>192.0.2.5</ip_address><addresses>
        <address><address_id>0</address_id><ip_address>192.0.2.5</ip_address></address>
        <address><address_id>1</address_id><ip_address>2001:db8::5</ip_address></address>
      </addresses></interface></interfaces></vm_instance></vm_group></deployments></tenant></tenants>
      </opdata>"""
    # then
    assert " 192.0.2.5,2001:db8::5 " in as_table(data(inside))


def test_leftovers_have_rows_too() -> None:
    inside = """<opdata><leftovers>
      <leftover><kind>vm</kind><name>v</name><tenant>t</tenant>
        <deployment_name>d</deployment_name><vim_id>lab</vim_id><error>refused</error></leftover>
      <leftover><kind>network</kind><name>n</name><tenant>t</tenant></leftover>
      </leftovers></opdata>"""
    _, vm, network = as_table(data(inside)).splitlines()
    assert vm.split() == ["t", "d", "-", "-", "v", "LEFTOVER", *"--", "lab", "-", "refused"]
    assert network.split() == ["t", "-", "-", "-", "network/n", "LEFTOVER", *"-----"]


def test_resources_in_error_have_rows_too() -> None:
    # given: of the network only what it left is told, and what works is not
    inside = """<opdata><images>
        <image><name>i</name><status>ERROR</status><error>no room</error></image>
        <image><name>j</name><status>ACTIVE</status></image></images>
      <flavors><flavor><name>f</name><status>ERROR</status></flavor></flavors>
      <tenants><tenant><name>t</name><error>no project</error>
        <networks><network><name>n</name><status>ERROR</status><error>locked</error>
          <subnets><subnet><name>s</name><error>no range</error></subnet></subnets>
        </network></networks>
        <deployments><deployment_name>d</deployment_name><networks><network><name>e</name>
          <status>ERROR</status></network></networks><error>e is away</error></deployments>
        </tenant></tenants>
      <leftovers><leftover><kind>network</kind><name>n</name><tenant>t</tenant></leftover>
      </leftovers></opdata>"""
    # when
    _, *rows = as_table(data(inside)).splitlines()
    # then
    assert [" ".join(row.split()) for row in rows] == [
        "t d - - - - - - - - e is away",
        "t - - - network/n LEFTOVER - - - - -",
        "- - - - image/i ERROR - - - - no room",
        "- - - - flavor/f ERROR - - - - -",
        "- - - - tenant/t ERROR - - - - no project",
        "t - - - subnet/s ERROR - - - - no range",
        "t d - - network/e ERROR - - - - -",
    ]


def test_what_is_tried_again_is_shown_with_why() -> None:
    # given: a deployment that waits for its tenant, and one whose VM is not made
    inside = """<opdata><tenants><tenant><name>t</name><last_error>no answer</last_error>
        <tries>3</tries><deployments><deployment_name>d</deployment_name><state_machine>
          <state>DEPLOYING</state><vm_state_machines><vm_state_machine><vm_name>v</vm_name>
          <state>UNDEF</state></vm_state_machine></vm_state_machines></state_machine>
        </deployments><deployments><deployment_name>e</deployment_name><state_machine>
          <state>DEPLOYING</state><vm_state_machines><vm_state_machine><vm_name>w</vm_name>
          <state>DEPLOYING</state><life><last_error>no port</last_error></life>
          </vm_state_machine></vm_state_machines></state_machine>
        </deployments></tenant></tenants></opdata>"""
    # when
    _, *rows = as_table(data(inside)).splitlines()
    # then
    assert [" ".join(row.split()) for row in rows] == [
        "t d DEPLOYING - v UNDEF - - - - -",
        "t e DEPLOYING - w DEPLOYING - - - - no port",
        "- - - - tenant/t RETRY - - - - no answer",
    ]


def test_each_vm_in_error_says_its_own_cause() -> None:
    # given: the error of the service is that of the first
    machines = "".join(
        f"<vm_state_machine><vm_name>{name}</vm_name><state>VM_ERROR_STATE</state>"
        f"<life><error>{cause}</error></life></vm_state_machine>"
        for name, cause in (("v", "no host"), ("w", "no quota"))
    )
    inside = f"""<opdata><tenants><tenant><name>t</name><deployments>
        <deployment_name>d</deployment_name><error>no host (and 1 more VM)</error>
        <state_machine><state>SERVICE_ERROR_STATE</state><vm_state_machines>{machines}
        </vm_state_machines></state_machine></deployments></tenant></tenants></opdata>"""
    # when
    _, *rows = as_table(data(inside)).splitlines()
    # then
    assert [" ".join(row.split()) for row in rows] == [
        "t d SERVICE_ERROR_STATE - - - - - - - no host (and 1 more VM)",
        "t d SERVICE_ERROR_STATE - v VM_ERROR_STATE - - - - no host",
        "t d SERVICE_ERROR_STATE - w VM_ERROR_STATE - - - - no quota",
    ]


@pytest.mark.parametrize(
    "xpath",
    [
        *(None, "/", "esc_datamodel", "//deployments", "/esc:esc_datamodel/esc:opdata/"),
        "esc_datamodel/opdata/tenants/tenant[name='t']/deployments[deployment_name='d']",
    ],
)
def test_who_asks_for_whole_deployments_is_told_their_vms(xpath: str | None) -> None:
    reply = read_reply(f'<rpc-reply xmlns="{BASE}">{an_opdata("X")}</rpc-reply>')
    assert as_table(reply, xpath).splitlines()[1].split()[:5] == ["t", "d", "X", "g", "d_g_0_x"]


@pytest.mark.parametrize("xpath", ["//state_machine/state", "//tenant/deployments/state_machine"])
def test_who_asks_for_parts_of_deployments_is_told_their_leaves_and_no_dashes(xpath: str) -> None:
    # given: the answer, keys and what was asked for
    inside = """<opdata><tenants><tenant><name>t</name><deployments>
      <deployment_name>d</deployment_name><state_machine><state>SERVICE_ACTIVE_STATE</state>
      </state_machine></deployments></tenant></tenants></opdata>"""
    # when
    table = as_table(data(inside), xpath)
    # then
    deployment = "/esc_datamodel/opdata/tenants/tenant[t]/deployments[d]"
    assert [row.split() for row in table.splitlines()] == [
        ["PATH", "VALUE"],
        ["/esc_datamodel/opdata/tenants/tenant[t]/name", "t"],
        [f"{deployment}/deployment_name", "d"],
        [f"{deployment}/state_machine/state", "SERVICE_ACTIVE_STATE"],
    ]


def test_who_asks_for_resources_alone_is_told_their_leaves_also_of_those_in_error() -> None:
    inside = "<opdata><images><image><name>i</name><error>why</error></image></images></opdata>"
    table = as_table(data(inside), "esc_datamodel/opdata/images")
    assert table.splitlines()[0].split() == ["PATH", "VALUE"]


def test_who_asks_for_the_leftovers_alone_is_told_more_of_each() -> None:
    # given
    inside = """<opdata><leftovers>
      <leftover><kind>vm</kind><name>v</name><vm_id>i</vm_id><tenant>t</tenant>
        <deployment_name>d</deployment_name><vim_id>lab</vim_id><error>refused</error>
        <tries>5</tries><next_try>noon</next_try></leftover>
      <leftover><kind>network</kind><name>n</name><resource_id>r</resource_id></leftover>
      </leftovers></opdata>"""
    # when
    head, vm, network = as_table(data(inside), "esc_datamodel/opdata/leftovers").splitlines()
    # then
    assert head.split()[:3] == ["KIND", "NAME", "ID"]
    assert vm.split() == ["vm", "v", "i", "t", "d", "lab", "5", "noon", "refused"]
    assert network.split() == ["network", "n", "r", *"------"]
    for xpath in ("/esc_datamodel/opdata/leftovers/", "//leftover[tenant='t']"):
        assert as_table(data(""), xpath).split() == head.split()


def test_the_guard_has_a_row_for_each_hold_and_its_head_where_nothing_is_held() -> None:
    # given
    inside = """<opdata><recovery_guard>
      <hold><reason>VIM</reason><vim_id>lab</vim_id><since>noon</since><lost>3</lost><vms>4</vms></hold>
      <hold><reason>SHARE</reason><monitored>true</monitored><since>noon</since><lost>5</lost>
        <vms>6</vms></hold></recovery_guard></opdata>"""
    # when
    head, vim, share = as_table(data(inside), "esc_datamodel/opdata/recovery_guard").splitlines()
    # then
    assert vim.split() == ["VIM", "lab", "-", "3", "4", "-", "noon"]
    assert share.split() == ["SHARE", "-", "-", "5", "6", "true", "noon"]
    assert as_table(data(""), "esc_datamodel/opdata/recovery_guard").split() == head.split()
    assert head.split() == ["REASON", "VIM", "HOST", "LOST", "OF", "MONITORED", "SINCE"]


def test_entries_in_a_table_of_paths_are_told_apart_by_their_own_keys() -> None:
    # given
    inside = """<a><interface><nicid>1</nicid><x>1</x></interface>
      <vim_connector><id>lab</id><x>2</x></vim_connector>
      <kept><state>s</state></kept>
      <pair><start>1</start></pair><pair><start>2</start></pair></a>"""
    # when
    paths = [row.split()[0] for row in as_table(data(inside)).splitlines()[1:]]
    # then
    above = "/esc_datamodel/a"
    assert paths == [
        f"{above}/interface[1]/nicid",
        f"{above}/interface[1]/x",
        f"{above}/vim_connector[lab]/id",
        f"{above}/vim_connector[lab]/x",
        f"{above}/kept/state",
        f"{above}/pair[1]/start",
        f"{above}/pair[2]/start",
    ]


def test_all_data_without_deployments_are_a_table_of_no_vms() -> None:
    table = as_table(data("<opdata><status>OPER_UP</status></opdata>"))
    assert table.split() == [
        *("TENANT", "DEPLOYMENT", "SERVICE", "GROUP", "VM", "STATE", "RECOVERY"),
        *("IP", "VIM", "HOST", "ERROR"),
    ]


def test_the_command_line_holds_no_password_and_quotes_paths() -> None:
    endpoint = Endpoint(
        host="h", port=9, user="u", password="p4ss", key=Path("/k y"), known_hosts=Path("/kh")
    )
    assert command_line(endpoint, ["get", "a[b='c']"]) == (
        "esc_nc_cli --host h --port 9 --user u --key '/k y' --known-hosts /kh get "
        "'a[b='\"'\"'c'\"'\"']'"
    )


def test_an_answer_that_is_no_xml_is_a_connection_error() -> None:
    with pytest.raises(ConnectionFailed, match="no rpc-reply"):
        read_reply("<rpc-reply>")


def test_on_a_terminal_events_are_shown_by_rich(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # given
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    event = read_event(a_notification("VM_ALIVE", tenant="[bold]t[/bold]"))
    assert event is not None
    # when
    with event_screen("waiting") as show:
        show(event)
    # then: what looks like markup is text
    assert "VM_ALIVE SUCCESS [bold]t[/bold] - as asked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--password", "x", "--password-file", "{empty}", "get"], "first line"),
        (["--password", "x", "--password-file", "{file}", "get"], "exclude each other"),
        (["--password-file", "{binary}", "get"], "not readable as text"),
        (["--password", "x", "edit-config", "{file}"], "not well-formed: line 1, column 1"),
        (["--password", "x", "edit-config", "{file}.not"], "does not exist"),
        (["--password", "x", "get", "a\nb"], "control characters"),
        (["watch", "--replay", "tomorrow"], "write 10m, 2h or an RFC 3339 time"),
        (["--port", "70000", "get"], "70000"),
        (["no-such-command"], "No such command"),
    ],
)
def test_usage_errors_end_with_2_before_anything_is_sent(
    tmp_path: Path, words: list[str], hint: str
) -> None:
    # given
    names = {name: str(tmp_path / name) for name in ("file", "empty", "binary")}
    (tmp_path / "file").write_text("p4ss")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x80")
    # when
    result = CliRunner().invoke(main, [word.format(**names) for word in words])
    # then
    assert result.exit_code == 2, result.output
    assert hint in " ".join(result.stderr.split())
    assert "p4ss" not in result.output


def test_the_program_tells_its_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"esc_nc_cli, version {version('esc-daemon')}\n"


def test_without_credentials_and_terminal_the_login_fails(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--data-dir", str(tmp_path), "get"])
    assert result.exit_code == 3
    assert "has it been started?" in result.stderr


def test_an_interrupt_ends_with_the_shells_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("esc_nc_cli.shell.locate", interrupted)
    # then
    assert CliRunner().invoke(main, ["get"]).exit_code == 130


def test_on_a_terminal_the_password_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given: nobody listens on the discard port
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    words = ["--data-dir", str(tmp_path), "--port", "9", "get"]
    # when
    result = CliRunner().invoke(main, words, input="p4ss\n")
    # then
    assert result.exit_code == 3
    assert "Password of admin at 127.0.0.1:9" in result.output
    assert "p4ss" not in result.output


def test_a_remote_host_without_known_hosts_is_warned_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionFailed("not today")

    monkeypatch.setattr("esc_nc_cli.shell.connect", unreachable)
    # when
    result = CliRunner().invoke(main, ["--host", "192.0.2.1", "--password", "x", "get"])
    # then
    assert result.stderr.splitlines() == [
        "warning: the host key of 192.0.2.1 is not checked; give --known-hosts FILE",
        "esc_nc_cli: not today",
    ]


def test_the_module_can_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["esc_nc_cli", "--help"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 0
    assert "Exit codes: 0 done" in capsys.readouterr().out
