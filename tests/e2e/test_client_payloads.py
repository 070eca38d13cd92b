"""Each payload of the guides goes through esc_nc_cli, in order, and ends as this table says."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from esc_nc_cli.cli import main
from tests.acceptance.guides import SHARED
from tests.programs import Program, a_daemon

PAYLOADS = SHARED / "payloads"
SERVICES = "deployments/deployment"  # the server's hint for services of ESC 1.x
NOT_THERE = "data-missing: there is no "
"""The names in the payloads are samples."""
TARGET = "warning: <source> stands where <target> is meant"


class Outcome(NamedTuple):
    """What sending a payload ends in: the exit code, and words on standard error."""

    code: int
    says: str = ""


ACCEPTED = Outcome(0)
OF_ESC_1 = Outcome(1, SERVICES)
REFUSED = Outcome(1, NOT_THERE)

CONFIG = {
    "doc-create-tenant": Outcome(0, TARGET),
    "doc-delete-tenant": ACCEPTED,
    "doc-create-network": ACCEPTED,
    "doc-create-subnet": ACCEPTED,
    "doc-delete-subnet": ACCEPTED,
    "doc-delete-network": ACCEPTED,
    "doc-deploy-service-2.3-mended": ACCEPTED,
    "doc-undeploy-deployment-2x": ACCEPTED,
    "doc-deploy-service-1.0-head": OF_ESC_1,
    "doc-register-service": OF_ESC_1,
    "doc-unregister-service": OF_ESC_1,
    "doc-update-service-na-vnf": OF_ESC_1,
    "doc-undeploy-service-1x": OF_ESC_1,
    # Fragments: the server is not asked, since only the user knows which group is meant.
    "doc-kpi-vm-alive": Outcome(2, "<kpi_data> is a part of a configuration: put it into a vm_g"),
    "doc-rules-esc-vm-alive-notification": Outcome(2, "<rules> is a part of a configuration"),
    "doc-policies-conditions-actions": Outcome(2, "<policies> is a part of a configuration"),
}
RPC = {
    "create-subscription-escEvent": Outcome(0, "warning: the subscription ends with this command"),
    "doc-get-config-all-xpath": ACCEPTED,
    "doc-get-opdata-all": ACCEPTED,
    "doc-get-opdata-deployment": ACCEPTED,
    "doc-get-opdata-tenant": ACCEPTED,
    "doc-recoveryVmAction-DO": REFUSED,
    "doc-serviceAction-DISABLE_MONITOR-1.1": REFUSED,
    "doc-serviceAction-REBOOT-1.1": REFUSED,
    "doc-serviceAction-START-1.1": REFUSED,
    "doc-serviceAction-STOP-1.1": REFUSED,
    "doc-vmAction-DISABLE_MONITOR": REFUSED,
    "doc-vmAction-ENABLE_MONITOR": REFUSED,
    "doc-vmAction-START": REFUSED,
    "doc-vmAction-STOP": REFUSED,
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    if not PAYLOADS.is_dir():
        pytest.skip("the payloads of the guides are not beside the repository (ESC_SHARED)")
    with a_daemon(tmp_path_factory.mktemp("payloads") / "data") as program:
        yield program


@pytest.mark.parametrize(("command", "outcomes"), [("edit-config", CONFIG), ("rpc", RPC)])
def test_each_payload_of_the_guides_can_be_sent(
    daemon: Program, monkeypatch: pytest.MonkeyPatch, command: str, outcomes: dict[str, Outcome]
) -> None:
    # given: ncclient looks at its queue ten times a second; the payloads need not wait for that
    monkeypatch.setattr("ncclient.transport.session.TICK", 0.005)
    folder = PAYLOADS / ("rpc" if command == "rpc" else "config")
    assert {path.stem for path in folder.glob("*.xml")} == outcomes.keys()
    for name, outcome in outcomes.items():
        # when
        result = CliRunner().invoke(
            main,
            ["--data-dir", str(daemon.folder), command, str(folder / f"{name}.xml")],
        )
        # then
        assert result.exit_code == outcome.code, f"{name}\n{result.output}"
        assert outcome.says in result.stderr, name
        if outcome.code == 0 and not outcome.says:
            assert result.stderr == "", name


def test_an_action_printed_inside_an_edit_config_is_sent_as_the_rpc_that_it_is(
    daemon: Program, tmp_path: Path
) -> None:
    # given: as the guides before 2.2 print it
    action = (PAYLOADS / "rpc" / "doc-vmAction-STOP.xml").read_text()
    inside = action.replace("<vmAction", "<edit-config><config><vmAction", 1)
    inside = inside.replace("</vmAction>", "</vmAction></config></edit-config>")
    file = tmp_path / "action.xml"
    file.write_text(inside)
    # when
    words = ["--data-dir", str(daemon.folder), "edit-config", str(file)]
    result = CliRunner().invoke(main, words)
    # then
    assert result.exit_code == 1
    assert "warning: <vmAction> is an rpc and no configuration; sent" in result.stderr
    assert "data-missing: there is no VM [sampleVmName]" in result.stderr
