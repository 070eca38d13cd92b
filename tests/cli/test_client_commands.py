"""The commands that take words: what each sends, how each answers, in every form."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from lxml import etree

from esc_nc_cli.xmltree import BASE, ESC, NOTIFICATION, local_name, parse, qname
from tests.cli.client_world import (
    DEPLOY,
    EMPTY,
    HANG,
    REFUSAL,
    FakeServer,
    a_configuration,
    a_notification,
)

Esc = Callable[..., Result]
ACTIONS = {
    "svc-action": (("stop", "t", "d"), "serviceAction", "Service Action"),
    "vm-action": (("reboot", "vm"), "vmAction", "VM Action"),
    "recovery-vm-action": (("do", "vm"), "recoveryVmAction", "Recovery VM Action"),
    "vm-backup-action": (("vm", "b"), "vmBackupAction", "VM Backup Action"),
    "snapshot-action": (("delete", "s"), "snapshotAction", "Snapshot Action"),
    "host-action": (("enable", "h"), "hostAction", "Host Action"),
    "leftover": (("purge", "--vim-id", "v"), "leftoverAction", "Leftover Action"),
    "guard-action": (("release",), "recoveryGuardAction", "Recovery Guard Action"),
}
NOT_SUPPORTED = REFUSAL.replace("data-missing", "operation-not-supported")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "file.xml"
    path.write_text(DEPLOY)
    return str(path)


def sent(server: FakeServer) -> etree._Element:
    (operation,) = (o for o in server.received if local_name(o) != "close-session")
    return operation


def leaves(element: etree._Element) -> dict[str, str]:
    return {local_name(leaf): leaf.text or "" for leaf in element}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("svc-action", "stop", "t", "d"),
            {"actionType": "STOP", "tenantName": "t", "depName": "d"},
        ),
        (("vm-action", "Enable_Monitor", "v"), {"actionType": "ENABLE_MONITOR", "vmName": "v"}),
        (
            ("vm-action", "STOP", "v", "--force"),
            {"actionType": "STOP", "vmName": "v", "force": "true"},
        ),
        (("recovery-vm-action", "do", "v"), {"actionType": "DO", "vmName": "v"}),
        (
            ("vm-backup-action", "v", "b"),
            {"actionType": "SNAPSHOT", "vmName": "v", "backupName": "b"},
        ),
        (
            ("vm-backup-action", "v", "b", "export"),
            {"actionType": "EXPORT", "vmName": "v", "backupName": "b"},
        ),
        (("snapshot-action", "s"), {"actionType": "DELETE", "snapshot": "s"}),
        (("snapshot-action", "delete", "s"), {"actionType": "DELETE", "snapshot": "s"}),
        (("snapshot-action", "DELETE", "delete"), {"actionType": "DELETE", "snapshot": "delete"}),
        (("host-action", "disable", "h"), {"actionType": "DISABLE", "hostName": "h"}),
        (
            ("host-action", "enable", "h", "--vim-id", "c"),
            {"actionType": "ENABLE", "hostName": "h", "vimId": "c"},
        ),
        (
            ("leftover", "purge", "--vim-id", "v", "--kind", "vm"),
            {"actionType": "PURGE", "kind": "vm", "vimId": "v"},
        ),
        (
            ("leftover", "RETRY", "--name", "n", "--id", "i"),
            {"actionType": "RETRY", "name": "n", "id": "i"},
        ),
        (
            ("leftover", "retry", "--tenant", "t", "--deployment", "d"),
            {"actionType": "RETRY", "tenantName": "t", "depName": "d"},
        ),
        (("guard-action", "release"), {"actionType": "RELEASE"}),
        (
            ("guard-action", "RELEASE", "--vim-id", "v"),
            {"actionType": "RELEASE", "vimId": "v"},
        ),
    ],
)
def test_an_action_is_sent_as_the_rpc_that_it_is(
    esc: Esc, server: FakeServer, words: tuple[str, ...], expected: dict[str, str]
) -> None:
    # when
    result = esc(*words)
    # then
    assert result.exit_code == 0, result.output
    _, name, title = ACTIONS[words[0]]
    assert result.stdout.splitlines()[0] == title
    assert sent(server).tag == qname(ESC, name)
    assert leaves(sent(server)) == expected


@pytest.mark.parametrize("command", sorted(ACTIONS))
def test_an_action_that_the_server_does_not_support_ends_with_1_and_says_so(
    esc: Esc, server: FakeServer, command: str
) -> None:
    # given
    words, name, _ = ACTIONS[command]
    server.answers = {name: [NOT_SUPPORTED]}
    # when
    result = esc(command, *words)
    # then
    assert result.exit_code == 1
    assert result.stderr.startswith("esc_nc_cli: rpc-error operation-not-supported at ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (
            ("svc-action", "halt", "t", "d"),
            "Invalid value for 'ACTION': 'halt' is not one of 'START', 'STOP', 'REBOOT'",
        ),
        (("vm-action", "halt", "v"), "'ENABLE_MONITOR', 'DISABLE_MONITOR'"),
        (("recovery-vm-action", "redo", "v"), "'redo' is not 'DO'"),
        (("vm-backup-action", "v", "b", "copy"), "'copy' is not one of 'SNAPSHOT', 'EXPORT'"),
        (("host-action", "drain", "h"), "'drain' is not one of 'ENABLE', 'DISABLE'"),
        (("leftover", "keep", "--name", "n"), "'keep' is not one of 'PURGE', 'RETRY'"),
        (("leftover", "purge"), "which leftovers?"),
        (("leftover", "purge", "--kind", "vm"), "which leftovers?"),
        (("snapshot-action",), "Missing argument '[delete] SNAPSHOT'"),
        (("snapshot-action", "delete"), "which snapshot?"),
        (("snapshot-action", "keep", "s"), "expected [delete] SNAPSHOT"),
        (("create-tenant", ""), "empty"),
        (("delete-tenant", "a\x1bb"), "control characters"),
        (("svc-action", "STOP", "t"), "Missing argument 'DEPLOYMENT'"),
        (("get", "-f", "yaml"), "'yaml' is not one of 'xml', 'json', 'table'"),
        (("delete-config", "{file}", "--operation", "none"), "'none' is not one of 'delete'"),
    ],
)
def test_wrong_words_end_with_2_before_anything_is_sent(
    esc: Esc, server: FakeServer, file: str, words: tuple[str, ...], hint: str
) -> None:
    # when
    result = esc(*(word.format(file=file) for word in words))
    # then
    assert result.exit_code == 2, result.output
    assert hint in result.stderr
    assert server.received == []


@pytest.mark.parametrize("command", ["vm-action", "recovery-vm-action", "vm-backup-action"])
def test_a_file_is_sent_along_with_an_action(esc: Esc, server: FakeServer, command: str) -> None:
    # given
    words, *_ = ACTIONS[command]
    more = ("SNAPSHOT", "-") if command == "vm-backup-action" else ("-",)
    # when
    result = esc(
        command, *words, *more, stdin=f'<properties xmlns="{ESC}"><property/></properties>'
    )
    # then
    assert result.exit_code == 0, result.output
    assert (
        sent(server).find("/".join(qname(ESC, n) for n in ("properties", "property"))) is not None
    )


@pytest.mark.parametrize("command", ["vm-action", "recovery-vm-action", "vm-backup-action"])
@pytest.mark.parametrize(
    ("document", "why"), [("<properties>", "not well-formed: line 1"), (DEPLOY, "no input of an")]
)
def test_a_file_that_is_no_input_is_refused_before_anything_is_sent(
    esc: Esc, server: FakeServer, command: str, document: str, why: str
) -> None:
    # given
    words, *_ = ACTIONS[command]
    more = ("SNAPSHOT", "-") if command == "vm-backup-action" else ("-",)
    # when
    result = esc(command, *words, *more, stdin=document)
    # then
    assert result.exit_code == 2, result.output
    assert why in result.stderr
    assert server.received == []


@pytest.mark.parametrize(
    ("tag", "code"), [("data-missing", "404"), ("in-use", "409"), ("operation-failed", "500")]
)
@pytest.mark.parametrize("form", [(), ("-f", "xml")])
def test_a_refused_snapshot_action_prints_the_form_that_esc_has_for_it(
    esc: Esc, server: FakeServer, tag: str, code: str, form: tuple[str, ...]
) -> None:
    # given
    server.answers = {"snapshotAction": [REFUSAL.replace("data-missing", tag)]}
    # when
    result = esc("snapshot-action", "delete", "nosuch", *form)
    # then
    assert result.exit_code == 1
    assert parse(result.stdout.encode()).tag == qname(BASE, "error")
    assert result.stdout.splitlines() == [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<error xmlns="{BASE}">',
        f"  <error_code>{code}</error_code>",
        "  <error_message>no such deployment</error_message>",
        "</error>",
    ]
    assert "rpc-error" in result.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"name": "t"}),
        (("--unmanaged",), {"name": "t", "managed_resource": "false"}),
        (("--no-vim-mapping",), {"name": "t", "vim_mapping": "false"}),
    ],
)
def test_a_tenant_is_made(
    esc: Esc, server: FakeServer, options: tuple[str, ...], expected: dict[str, str]
) -> None:
    # when
    result = esc("create-tenant", "t", *options)
    # then
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Create Tenant\n")
    (tenant,) = sent(server).iter(qname(ESC, "tenant"))
    assert leaves(tenant) == expected
    assert not tenant.attrib


def test_a_tenant_is_deleted_and_waited_for(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"get-config": [a_configuration("d"), EMPTY], "get": [EMPTY]}
    server.after_edit = [a_notification("DELETE_TENANT", tenant="t")]
    # when
    result = esc("delete-tenant", "t", "--wait")
    # then
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Delete Tenant\n")
    (tenant,) = server.last("edit-config").iter(qname(ESC, "tenant"))
    assert tenant.get(qname(BASE, "operation")) == "delete"


def test_a_removal_that_fails_shows_why_below(esc: Esc, server: FakeServer) -> None:
    # given
    server.answers = {"get-config": [a_configuration("d"), EMPTY], "get": [EMPTY]}
    below = {"tenant": "t", "depname": "d", "status": "FAILURE"}
    server.after_edit = [
        a_notification("VM_UNDEPLOYED", **below, message="refused"),
        a_notification("SERVICE_UNDEPLOYED", **below),
        a_notification("DELETE_TENANT", tenant="t", status="FAILURE"),
    ]
    # when
    result = esc("delete-tenant", "t", "--wait")
    # then
    assert result.exit_code == 1
    told = [line.split()[1:] for line in result.stdout.splitlines() if " FAILURE " in line]
    assert [words[0] for words in told] == ["VM_UNDEPLOYED", "SERVICE_UNDEPLOYED", "DELETE_TENANT"]
    assert told[0][-1] == "refused"


CONNECTOR = f"""<esc_system_config xmlns="{ESC}"><vim_connectors><vim_connector><id>lab</id>
  <type>SIMULATOR</type></vim_connector></vim_connectors></esc_system_config>"""


def of_connector(status: str) -> str:
    entry = f"<vim_connector><id>lab</id>{status and f'<status>{status}</status>'}</vim_connector>"
    holder = f"<vim_connectors>{entry}</vim_connectors>"
    return f'<data><esc_datamodel xmlns="{ESC}"><opdata>{holder}</opdata></esc_datamodel></data>'


@pytest.mark.parametrize(("status", "code"), [("SUCCESS", 0), ("FAILURE", 1)])
def test_a_connector_is_waited_for_until_its_vim_was_looked_at(
    esc: Esc, server: FakeServer, status: str, code: int
) -> None:
    # given
    there = f"<data>{CONNECTOR}</data>"
    server.answers = {"get-config": [EMPTY, there], "get": [of_connector("")]}
    server.after_edit = [
        a_notification("CREATE_VIM_CONNECTOR", vim_connector_id="lab"),
        a_notification("VIM_OPERATIONAL_STATE", vim_connector_id="lab", status=status),
    ]
    # when
    result = esc("edit-config", "-", "--wait", stdin=CONNECTOR)
    # then
    assert result.exit_code == code, result.output
    assert f" VIM_OPERATIONAL_STATE {status} lab " in result.stdout


@pytest.mark.parametrize(
    ("status", "code"), [("CONNECTION_SUCCESSFUL", 0), ("CONNECTION_FAILED", 1)]
)
def test_a_check_that_tells_nothing_new_is_seen_in_the_operational_data(
    esc: Esc, server: FakeServer, status: str, code: int
) -> None:
    # given
    changed = f"<data>{CONNECTOR}</data>".replace("SIMULATOR", "OTHER")
    server.answers = {
        "get-config": [f"<data>{CONNECTOR}</data>", changed],
        "get": [of_connector(""), of_connector(status)],
    }
    # when
    result = esc("edit-config", "-", "--wait", stdin=CONNECTOR)
    # then
    assert result.exit_code == code, result.output


def test_a_configuration_is_deleted_and_said_to_be(esc: Esc, server: FakeServer, file: str) -> None:
    # when
    result = esc("delete-config", file, "--operation", "remove")
    # then
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Delete Config\n")
    assert result.stderr == "to be deleted: deployment t/d\nstays: tenant t\n"
    (doomed,) = sent(server).iter(qname(ESC, "deployment"))
    assert doomed.get(qname(BASE, "operation")) == "remove"


def test_a_mended_file_is_sent_with_a_warning(esc: Esc, server: FakeServer) -> None:
    # given
    action = f'<vmAction xmlns="{ESC}"><vmName>v</vmName></vmAction>'
    # when
    result = esc("edit-config", "-", "--wait", stdin=f'<config xmlns="{BASE}">{action}</config>')
    # then
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("warning: <vmAction> is an rpc and no configuration; sent")
    assert sent(server).tag == qname(ESC, "vmAction")


WITH_A_REPLY = {
    "edit-config": ("-",),
    "delete-config": ("-",),
    "create-tenant": ("t",),
    "delete-tenant": ("t",),
    "delete-dep": ("t", "d"),
    **{command: words for command, (words, *_) in ACTIONS.items()},
}


@pytest.mark.parametrize("command", sorted(WITH_A_REPLY))
def test_an_ok_is_told_in_every_form(esc: Esc, command: str) -> None:
    words = (command, *WITH_A_REPLY[command])
    assert esc(*words, "-f", "json", stdin=DEPLOY).stdout == '{"ok": true}\n'
    assert esc(*words, "-f", "table", stdin=DEPLOY).stdout == "REPLY\nok\n"
    reply = parse(esc(*words, "-f", "XML", stdin=DEPLOY).stdout.encode())
    assert reply.find(qname(BASE, "ok")) is not None


@pytest.mark.parametrize("command", ["get", "get-config", "delete-dep", "svc-action", "rpc"])
def test_a_refusal_is_told_in_every_form(esc: Esc, server: FakeServer, command: str) -> None:
    # given
    words = (command, *WITH_A_REPLY.get(command, ("-",) if command == "rpc" else ()))
    refused = ("get", "get-config", "edit-config", "serviceAction")
    server.answers = {name: [REFUSAL] for name in refused}
    stdin = f'<get xmlns="{BASE}"/>'
    # when
    results = {form: esc(*words, "-f", form, stdin=stdin) for form in ("xml", "json", "table")}
    # then
    assert {result.exit_code for result in results.values()} == {1}
    reply = parse(results["xml"].stdout.encode())
    assert reply.findtext(".//" + qname(BASE, "error-tag")) == "data-missing"
    (error,) = json.loads(results["json"].stdout)["rpc-error"]
    assert (error["error-tag"], error["error-severity"]) == ("data-missing", "error")
    head, row = (line.split(maxsplit=3) for line in results["table"].stdout.splitlines())
    assert head == ["SEVERITY", "TAG", "PATH", "MESSAGE"]
    assert row == ["error", "data-missing", "/esc:esc_datamodel", "no such deployment"]


@pytest.mark.parametrize("command", ["delete-config", "create-tenant", "vm-action", "rpc"])
def test_no_answer_in_time_ends_with_4(esc: Esc, server: FakeServer, command: str) -> None:
    # given
    server.answers = {name: [HANG] for name in ("edit-config", "vmAction", "lock")}
    words = (command, *WITH_A_REPLY.get(command, ("-",)))
    stdin = f'<lock xmlns="{BASE}"/>' if command == "rpc" else DEPLOY
    # when
    result = esc(*words, "--timeout", "0.3", stdin=stdin)
    # then
    assert result.exit_code == 4
    assert "does not answer" in result.stderr


def test_with_a_form_the_command_line_is_on_standard_error(esc: Esc) -> None:
    # when
    result = esc("-v", "svc-action", "stop", "t", "d", "-f", "json")
    # then
    assert result.stdout == '{"ok": true}\n'
    assert result.stderr.endswith(" --user admin svc-action stop t d -f json\n")


EVENTS = [
    a_notification("CREATE_TENANT", tenant="t"),
    a_notification("SERVICE_ALIVE", tenant="t", depname="d", message="all up"),
]


def test_watched_events_are_json_lines(esc: Esc, server: FakeServer) -> None:
    # given
    server.after_subscription = EVENTS
    # when
    result = esc("watch", "--count", "2", "-f", "json")
    # then
    assert result.exit_code == 0, result.output
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert first["escEvent"]["event"] == {"type": "CREATE_TENANT"}
    assert second["eventTime"] == "2026-11-22T10:20:30.5Z"
    assert second["escEvent"]["depname"] == "d"


def test_watched_events_are_whole_notifications(esc: Esc, server: FakeServer) -> None:
    # given
    server.after_subscription = EVENTS
    # when
    result = esc("watch", "--count", "2", "-f", "xml")
    # then
    both = parse(f"<all>{result.stdout}</all>".encode())
    assert [event.tag for event in both] == [qname(NOTIFICATION, "notification")] * 2
    assert both.findtext(".//" + qname(ESC, "depname")) == "d"


def test_watched_events_are_rows_below_a_head(esc: Esc, server: FakeServer) -> None:
    # given
    server.after_subscription = EVENTS
    # when
    result = esc("watch", "--count", "2", "-f", "table")
    # then
    head, first, second = result.stdout.splitlines()
    names = ["TIME", "EVENT", "STATUS", "TENANT", "DEPLOYMENT", "GROUP", "RESOURCE", "MESSAGE"]
    assert head.split() == names
    assert first.split()[1:] == ["CREATE_TENANT", "SUCCESS", "t", *"---", "as", "asked"]
    assert second.split()[1:] == ["SERVICE_ALIVE", "SUCCESS", "t", "d", *"--", "all", "up"]
    assert first.index("as asked") == second.index("all up") == head.index("MESSAGE")


def test_events_that_are_waited_for_have_the_form_of_the_reply(
    esc: Esc, server: FakeServer, file: str
) -> None:
    # given
    server.answers = {"get-config": [EMPTY, a_configuration("d")], "get": [EMPTY]}
    server.after_edit = EVENTS
    # when
    result = esc("edit-config", file, "--wait", "-f", "json")
    # then
    assert result.exit_code == 0, result.output
    reply, *events = (json.loads(line) for line in result.stdout.splitlines())
    assert reply == {"ok": True}
    types = [event["escEvent"]["event"]["type"] for event in events]
    assert types == ["CREATE_TENANT", "SERVICE_ALIVE"]
