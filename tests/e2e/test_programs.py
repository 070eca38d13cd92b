"""Whole processes in real time, with ncclient as the witness."""

import asyncio
import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from ncclient import manager

from esc_daemon.domain.ids import VimId
from esc_daemon.vim.simulator.client import RemoteSimulator
from tests.programs import ROOT, Program, a_daemon, a_simulator, run, soon
from tests.witness import client, connected

ESC = "http://www.cisco.com/esc/esc"
NS = {"e": ESC, "n": "urn:ietf:params:xml:ns:netconf:notification:1.0"}
HELLO = ROOT / "examples" / "01-hello" / "hello.xml"
VMS = 3
DEPLOYED_SECONDS = 30


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with a_daemon(tmp_path_factory.mktemp("daemon") / "data") as program:
        yield program


def config(body: str) -> str:
    return (
        '<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0" '
        'xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0">'
        f'<esc_datamodel xmlns="{ESC}"><tenants>{body}</tenants></esc_datamodel></config>'
    )


def service(tenant: str, vms: int) -> str:
    """Return a deployment of *vms* unmonitored VMs."""
    return config(
        f"<tenant><name>{tenant}</name><deployments><deployment><name>dep</name><vm_group>"
        "<name>g</name><image>i</image><flavor>f</flavor><bootup_time>-1</bootup_time>"
        "<interfaces><interface><nicid>0</nicid><network>n</network></interface></interfaces>"
        f"<scaling><min_active>{vms}</min_active><max_active>{vms}</max_active></scaling>"
        "</vm_group></deployment></deployments></tenant>"
    )


def state_of(session: manager.Manager, tenant: str) -> str | None:
    xpath = f"/esc_datamodel/opdata/tenants/tenant[name='{tenant}']/deployments/state_machine"
    found = session.get(filter=("xpath", xpath)).data.find(f".//{{{ESC}}}state")
    return None if found is None else found.text


def replayed(session: manager.Manager, tenant: str, last: str) -> list[str]:
    """Subscribe to the past; return the types of *tenant*'s events up to *last*."""
    session.create_subscription(stream_name="escEvent", start_time="2026-01-01T00:00:00Z")
    types: list[str] = []
    while last not in types:
        notification = session.take_notification(timeout=30)
        assert notification is not None, f"{last} did not come: {types}"
        event = etree.fromstring(notification.notification_xml.encode()).find("e:escEvent", NS)
        if event is not None and event.findtext("e:tenant", namespaces=NS) == tenant:
            types.append(event.findtext("e:event/e:type", namespaces=NS))
    return types


def fetch(program: Program, path: str) -> tuple[int, str]:
    address = f"http://127.0.0.1:{program.ports['http']}{path}"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.status, answer.read().decode()


def test_ncclient_deploys_reads_with_both_filters_and_hears_the_past(daemon: Program) -> None:
    # given
    with connected(daemon) as session:
        # when
        session.edit_config(target="running", config=service("witness", 1))
        soon(
            lambda: state_of(session, "witness") == "SERVICE_ACTIVE_STATE" or None,
            DEPLOYED_SECONDS,
        )
        # then
        subtree = f'<esc_datamodel xmlns="{ESC}"><tenants><tenant><name>witness</name>'
        subtree += "<deployments/></tenant></tenants></esc_datamodel>"
        found = session.get_config(source="running", filter=("subtree", subtree)).data
        assert found.findtext(f".//{{{ESC}}}deployment/{{{ESC}}}name") == "dep"
        assert len(session.get(filter=("xpath", "/esc_datamodel/nothing")).data) == 0
        types = replayed(session, "witness", "SERVICE_ALIVE")
    assert types == ["CREATE_TENANT", "VM_DEPLOYED", "SERVICE_ALIVE"]


def test_the_client_waits_for_the_end_of_a_deployment_and_of_its_removal(daemon: Program) -> None:
    program = ("esc_nc_cli", "--data-dir", str(daemon.folder), "--timeout", "25")

    deployed = run(*program, "edit-config", str(HELLO), "--wait")
    removed = run(*program, "delete-dep", "hello", "hello-dep", "--wait")

    assert deployed.returncode == 0, deployed.stderr
    assert "SERVICE_ALIVE SUCCESS" in deployed.stdout
    assert removed.returncode == 0, removed.stderr
    assert "SERVICE_UNDEPLOYED SUCCESS" in removed.stdout


def test_health_readiness_and_metrics_answer(daemon: Program) -> None:
    assert fetch(daemon, "/healthz") == (200, '{"status":"ok"}')
    status, ready = fetch(daemon, "/readyz")
    assert (status, json.loads(ready)) == (200, {"ready": True, "reasons": [], "degraded": []})
    status, metrics = fetch(daemon, "/metrics")
    assert status == 200
    assert "esc_netconf_sessions" in metrics


def test_a_user_that_is_added_while_the_daemon_runs_logs_in_by_password(
    daemon: Program, tmp_path: Path
) -> None:
    # given
    secret = tmp_path / "password"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    # when
    added = run(
        *("esc_daemon", "user", "add", "nina", "--password-file", str(secret)),
        *("--data-dir", str(daemon.folder)),
    )
    # then
    assert added.returncode == 0, added.stderr
    login = {"username": "nina", "password": "correct horse battery", "key_filename": None}
    with connected(daemon, **login) as session:
        assert session.connected


def test_a_second_daemon_on_one_data_directory_is_refused(daemon: Program) -> None:
    words = ("--netconf-port", "0", "--http-port", "0", "--data-dir", str(daemon.folder))

    second = run("esc_daemon", "run", *words)

    assert second.returncode == 1
    assert "esc_daemon:" in second.stderr
    assert "Traceback" not in second.stderr
    assert fetch(daemon, "/healthz")[0] == 200
    assert (daemon.folder / "ports.json").exists()


def test_bad_settings_end_with_2_and_name_the_key() -> None:
    ended = run("esc_daemon", "run", ESC_VIM__CALL_TIMEOUT="soon")

    assert ended.returncode == 2
    assert "vim.call_timeout" in ended.stderr


def test_a_terminated_daemon_ends_with_0_tidies_its_port_files_and_goes_on_when_restarted(
    tmp_path: Path,
) -> None:
    with a_daemon(tmp_path) as first:
        with connected(first) as session:
            session.edit_config(target="running", config=service("t", 1))
            assert json.loads((tmp_path / "ports.json").read_text()) == first.ports

            code = first.stop()

        assert code == 0, first.log.read_text()[-2000:]
        assert not (tmp_path / "ports.json").exists()
        assert not (tmp_path / "daemon-port-file.json").exists()
    with a_daemon(tmp_path) as second, connected(second) as session:
        soon(lambda: state_of(session, "t") == "SERVICE_ACTIVE_STATE" or None, DEPLOYED_SECONDS)


def servers_of(simulator: Program) -> list[tuple[str, int]]:
    """Return the keys of the servers that stand in the simulated cloud."""

    async def listed() -> list[tuple[str, int]]:
        vim = RemoteSimulator("127.0.0.1", simulator.ports["simulator"], vim=VimId("w"))
        try:
            return [(server.key.vm, server.key.generation) async for server in vim.servers()]
        finally:
            await vim.close()

    return asyncio.run(listed())


@pytest.mark.parametrize("servers_seen", [False, True], ids=["at-once", "while-building"])
def test_a_daemon_killed_in_the_middle_of_a_deploy_goes_on_and_doubles_nothing(
    tmp_path: Path,
    servers_seen: bool,  # noqa: FBT001  when the kill comes
) -> None:
    # given: a VIM of its own, slow enough that the kill meets requests on their way
    with a_simulator(tmp_path / "vim", "--latency-seconds", "0.2", "--build-seconds", "1") as vim:
        settings = {
            "ESC_VIM__SIMULATOR_ADDRESS": f"127.0.0.1:{vim.ports['simulator']}",
            "ESC_VIM__SETTLE": "2",
        }
        data = tmp_path / "data"
        with a_daemon(data, **settings) as first, connected(first) as session:
            session.edit_config(target="running", config=service("phoenix", VMS))
            if servers_seen:
                soon(lambda: servers_of(vim) or None, DEPLOYED_SECONDS)
            # when
            first.kill()
        with a_daemon(data, **settings) as second, connected(second) as session:
            soon(
                lambda: state_of(session, "phoenix") == "SERVICE_ACTIVE_STATE" or None,
                DEPLOYED_SECONDS,
            )
            # then
            there = servers_of(vim)
            assert len(there) == len(set(there)) == VMS
            types = replayed(session, "phoenix", "SERVICE_ALIVE")
            assert types == ["CREATE_TENANT", *["VM_DEPLOYED"] * VMS, "SERVICE_ALIVE"]
            with connected(second) as editor:
                editor.edit_config(
                    target="running",
                    config=config(
                        '<tenant nc:operation="delete"><name>phoenix</name></tenant>',
                    ),
                )
            soon(lambda: None if servers_of(vim) else True, DEPLOYED_SECONDS)


def test_a_file_that_makes_its_connector_the_default_can_be_taken_back(tmp_path: Path) -> None:
    # given
    file = tmp_path / "connectors.xml"
    file.write_text(
        f'<esc_system_config xmlns="{ESC}"><vim_connectors>'
        "<default_vim_connector>chosen</default_vim_connector>"
        "<vim_connector><id>chosen</id><type>SIMULATOR</type></vim_connector>"
        "</vim_connectors></esc_system_config>"
    )
    with a_daemon(tmp_path / "data") as daemon:
        made = client(daemon, "edit-config", str(file))
        assert made.exit_code == 0, made.stderr
        # when
        taken = client(daemon, "delete-config", str(file))
        # then
        assert taken.exit_code == 0, taken.stderr
        assert "to be deleted: default_vim_connector chosen, vim_connector chosen" in taken.stderr
        assert "chosen" not in client(daemon, "get-config").stdout


def test_a_start_that_fails_uses_up_no_first_password(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ("esc_daemon", "run", "--data-dir", str(tmp_path), "--http-port", "0")
        failed = run(*words, "--netconf-port", port)
    with a_daemon(tmp_path) as daemon:
        log = daemon.log.read_text()

    assert failed.returncode == 1
    assert "password of the user" not in failed.stdout + failed.stderr
    assert log.count("password of the user admin, shown this once: ") == 1
