"""The example of healing, and actions that ncclient dispatches, on a whole daemon."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from ncclient import manager
from ncclient.xml_ import to_ele

from tests.programs import COMMAND_SECONDS, LOCAL_USER, ROOT, Program, a_daemon

EXAMPLE = ROOT / "examples" / "08-healing"
ESC = "{http://www.cisco.com/esc/esc}"
HEALED = [
    *("VM_RECOVERY_INIT", "VM_RECOVERY_REBOOT", "VM_RECOVERY_UNDEPLOYED"),
    *("VM_RECOVERY_DEPLOYED", "VM_RECOVERY_COMPLETE"),
]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Program]:
    faults = str(EXAMPLE / "faults.toml")
    with a_daemon(tmp_path / "data", ESC_VIM__FAULTS_FILE=faults) as program:
        yield program


def service_action(action: str) -> etree._Element:
    return to_ele(
        '<serviceAction xmlns="http://www.cisco.com/esc/esc">'
        f"<actionType>{action}</actionType><tenantName>healing</tenantName>"
        "<depName>healed</depName></serviceAction>"
    )


def test_ncclient_sees_a_vm_healed_and_stops_and_starts_its_service(
    daemon: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ncclient.transport.session.TICK", 0.005)
    session = manager.connect(
        host="127.0.0.1",
        port=daemon.ports["netconf"],
        username=LOCAL_USER,
        key_filename=str(daemon.key),
        hostkey_verify=False,
        allow_agent=False,
        look_for_keys=False,
        timeout=COMMAND_SECONDS,
    )

    def told(last: str) -> list[str]:
        """Return the types of the events up to *last*."""
        types: list[str] = []
        while last not in types:
            notification = session.take_notification(timeout=COMMAND_SECONDS)
            assert notification is not None, f"no {last} after {types}"
            message = etree.fromstring(notification.notification_xml.encode())
            types += [each.text for each in message.iter(f"{ESC}type") if each.text.isupper()]
        return types

    with session:
        # given
        session.create_subscription(stream_name="escEvent")
        payload = (EXAMPLE / "healing.xml").read_text().partition("?>")[2]
        base = "urn:ietf:params:xml:ns:netconf:base:1.0"
        session.edit_config(target="running", config=f'<config xmlns="{base}">{payload}</config>')
        assert told("SERVICE_ALIVE")[-2:] == ["VM_ALIVE", "SERVICE_ALIVE"]
        # when it falls silent, then it is healed
        assert told("VM_RECOVERY_COMPLETE") == HEALED
        # and when it is acted upon, then that is told
        assert session.dispatch(service_action("STOP")).ok
        assert told("SERVICE_STOPPED") == ["VM_STOPPED", "SERVICE_STOPPED"]
        assert session.dispatch(service_action("START")).ok
        assert told("SERVICE_STARTED") == ["VM_STARTED", "VM_ALIVE", "SERVICE_STARTED"]
