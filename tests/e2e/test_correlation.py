"""One request, followed by ids alone: from the RPC to the VIM's own log to the event."""

from dataclasses import dataclass

import pytest

from tests.programs import Program, a_daemon, a_simulator, soon
from tests.witness import Line, connected, logged

ESC = "http://www.cisco.com/esc/esc"
WITHIN = 30
SERVICE = (
    '<config xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">'
    f'<esc_datamodel xmlns="{ESC}"><tenants><tenant><name>{{}}</name><deployments><deployment>'
    "<name>dep</name><vm_group><name>g</name><image>i</image><flavor>f</flavor>"
    "<bootup_time>-1</bootup_time><scaling><min_active>1</min_active><max_active>1</max_active>"
    "</scaling></vm_group></deployment></deployments></tenant></tenants></esc_datamodel></config>"
)
IN_ONE_RUN, OVER_A_RESTART = "in-one-run", "over-a-restart"
"""Tenants: the daemon sees the deployment of the first end, and is killed in that of the second."""


@dataclass(frozen=True)
class Logs:
    """What the daemon, in both its lives, and the VIM have written."""

    told: list[Line]
    seen: list[Line]

    def about(self, event: str, **fields: object) -> list[Line]:
        return of(self.told, event, **fields)


def of(found: list[Line], event: str, **fields: object) -> list[Line]:
    return [line for line in found if line["event"] == event and fields.items() <= line.items()]


def wait_until_alive(program: Program, tenant: str) -> None:
    alive = {"type": "SERVICE_ALIVE", "tenant": tenant}
    soon(lambda: logged(program, "event.told", **alive) or None, WITHIN)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    folder = tmp_path_factory.mktemp("correlation")
    # a VIM with a log of its own, slow enough for a restart
    with a_simulator(folder / "vim", "--build-seconds", "2") as vim:
        settings = {
            "ESC_VIM__SIMULATOR_ADDRESS": f"127.0.0.1:{vim.ports['simulator']}",
            "ESC_VIM__SETTLE": "1",
            "ESC_LOG__LEVEL": "debug",
        }

        with a_daemon(folder / "data", **settings) as daemon:
            with connected(daemon) as session:
                session.edit_config(target="running", config=SERVICE.format(IN_ONE_RUN))
            wait_until_alive(daemon, IN_ONE_RUN)
            with connected(daemon) as session:
                session.edit_config(target="running", config=SERVICE.format(OVER_A_RESTART))
                # The line may come after the answer; the VIM takes longer to make a server.
                soon(lambda: len(logged(daemon, "edit.accepted")) > 1 or None, WITHIN)
                daemon.kill()
        with a_daemon(folder / "data", **settings) as daemon:
            wait_until_alive(daemon, OVER_A_RESTART)
        return Logs(logged(daemon), logged(vim))


@pytest.mark.parametrize("tenant", [IN_ONE_RUN, OVER_A_RESTART])
def test_an_edit_is_followed_by_ids_to_the_call_in_the_vim_and_to_its_event(
    logs: Logs, tenant: str
) -> None:
    # given: the end of a deployment
    (ended,) = logs.about("event.told", type="SERVICE_ALIVE", tenant=tenant)
    operation = ended["operation"]
    # then: by its one id there is the request that began it
    (accepted,) = [each for each in logs.about("edit.accepted") if operation in each["operations"]]
    assert accepted["user"] == "esc-nc-admin"
    assert len(accepted["request"]) == 12
    assert accepted["message_id"].startswith("urn:uuid:")
    assert logs.about("session.opened", session=accepted["session"], user="esc-nc-admin")
    # and all the rest
    about = {"operation": operation, "tenant": tenant, "deployment": "dep"}
    assert logs.about("step.taken", **about)
    (named,) = {line["vm"] for line in logs.told if line.get("vm") and line["tenant"] == tenant}
    vm = {"vm": named, "vm_id": named.rpartition("_")[2]}
    assert logs.about("vim.call", verb="ensure_server", result="ok", **about, **vm)
    assert of(logs.seen, "simulator.call", verb="ensure_server", operation=operation)
    assert logs.about("event.told", type="VM_DEPLOYED", vm=named, **about)
    # and between the request and the end lies what the name says
    between = logs.told[logs.told.index(accepted) : logs.told.index(ended)]
    assert len(of(between, "daemon.ready")) == (tenant == OVER_A_RESTART)
