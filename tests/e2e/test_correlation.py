"""One request, followed by ids alone: from the RPC to the VIM's own log to the event."""

import json
from pathlib import Path
from typing import Any

import pytest
from ncclient import manager
from programs import Program, a_daemon, a_simulator, soon

ESC = "http://www.cisco.com/esc/esc"
WITHIN = 30
SERVICE = (
    '<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">'
    f'<esc_datamodel xmlns="{ESC}"><tenants><tenant><name>t</name><deployments><deployment>'
    "<name>dep</name><vm_group><name>g</name><image>i</image><flavor>f</flavor>"
    "<bootup_time>-1</bootup_time><scaling><min_active>1</min_active><max_active>1</max_active>"
    "</scaling></vm_group></deployment></deployments></tenant></tenants></esc_datamodel></config>"
)

Line = dict[str, Any]


def lines(program: Program) -> list[Line]:
    """Return what the program, and those before it in its folder, wrote into the log."""
    written = program.log.read_text().splitlines()
    return [json.loads(line) for line in written if line.startswith("{")]


def of(found: list[Line], event: str, **fields: object) -> list[Line]:
    return [line for line in found if line["event"] == event and fields.items() <= line.items()]


def deploy(program: Program) -> None:
    with manager.connect(
        host="127.0.0.1",
        port=program.ports["netconf"],
        username="esc-nc-admin",
        key_filename=str(program.key),
        hostkey_verify=False,
        allow_agent=False,
        look_for_keys=False,
        timeout=20,
    ) as session:
        session.edit_config(target="running", config=SERVICE)


@pytest.mark.parametrize("restarted", [False, True], ids=["in-one-run", "over-a-restart"])
def test_an_edit_is_followed_by_ids_to_the_call_in_the_vim_and_to_its_event(
    tmp_path: Path,
    restarted: bool,  # noqa: FBT001  what happens between
) -> None:
    # given: a VIM with a log of its own, slow enough for a restart
    with a_simulator(tmp_path / "vim", "--build-seconds", "1") as vim:
        settings = {
            "ESC_VIM__SIMULATOR_ADDRESS": f"127.0.0.1:{vim.ports['simulator']}",
            "ESC_VIM__SETTLE": "1",
            "ESC_LOG__LEVEL": "debug",
        }

        def alive(program: Program) -> Line | None:
            return next(iter(of(lines(program), "event.told", type="SERVICE_ALIVE")), None)

        # when
        with a_daemon(tmp_path / "data", **settings) as daemon:
            deploy(daemon)
            if restarted:
                soon(lambda: of(lines(vim), "simulator.call", verb="ensure_server"), WITHIN)
                daemon.kill()
            else:
                soon(lambda: alive(daemon), WITHIN)
        if restarted:
            with a_daemon(tmp_path / "data", **settings) as daemon:
                soon(lambda: alive(daemon), WITHIN)
        told, seen = lines(daemon), lines(vim)
    # then: from the request to what it began
    (accepted,) = of(told, "edit.accepted")
    assert accepted["user"] == "esc-nc-admin"
    assert len(accepted["request"]) == 12
    assert of(told, "session.opened", session=accepted["session"], user="esc-nc-admin")
    # and from there, by the one id of the deployment, to all the rest
    ended = alive(daemon)
    assert ended is not None
    operation = ended["operation"]
    assert operation in accepted["operations"]
    about = {"operation": operation, "tenant": "t", "deployment": "dep"}
    assert of(told, "step.taken", **about)
    assert accepted["message_id"].startswith("urn:uuid:")
    (named,) = {line["vm"] for line in told if line.get("vm")}
    vm = {"vm": named, "vm_id": named.rpartition("_")[2]}
    assert of(told, "vim.call", verb="ensure_server", result="ok", **about, **vm)
    assert of(seen, "simulator.call", verb="ensure_server", operation=operation)
    assert of(told, "event.told", type="VM_DEPLOYED", vm=named, **about)
    assert len(of(told, "daemon.ready")) == 1 + restarted
