"""The log of who asked for what: edits and actions, taken and refused, in the same words."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.netconf.errors import RpcError
from esc_daemon.store.base import StoreFull
from tests.northbound.managed import ESC, GROUP, Managed, managed, operation, service

NO_SUCH_VM = "d_g_0_00000000-0000-0000-0000-000000000000"

PURGE = (
    f'<leftoverAction xmlns="{ESC}"><actionType>PURGE</actionType><name>x</name></leftoverAction>'
)

RELEASE = (
    f'<recoveryGuardAction xmlns="{ESC}"><actionType>RELEASE</actionType></recoveryGuardAction>'
)


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    """Given the deployment d of the tenant t, which is active."""
    async with managed(schema) as everything:
        await everything.edit(service(GROUP.replace(">60<", ">-1<")))
        async with asyncio.timeout(10):
            while not everything.engine.at_rest:  # noqa: ASYNC110
                await asyncio.sleep(0)
        yield everything


def deployment(it: Managed) -> DeploymentRecord:
    (record,) = [each for each in it.engine.records() if each.key.kind is Kind.DEPLOYMENT]
    assert isinstance(record, DeploymentRecord)
    return record


def the_vm(it: Managed) -> str:
    (vm,) = deployment(it).vms.values()
    return vm.name


def on_service(word: str) -> str:
    names = f"<actionType>{word}</actionType><tenantName>t</tenantName><depName>d</depName>"
    return f'<serviceAction xmlns="{ESC}">{names}</serviceAction>'


def on_vm(word: str, vm: str) -> str:
    names = f"<actionType>{word}</actionType><vmName>{vm}</vmName>"
    return f'<vmAction xmlns="{ESC}">{names}</vmAction>'


async def lines_of(it: Managed, request: str) -> Sequence[EventDict]:
    """Return what the log says of *request*, whether it is taken or refused."""
    with capture_logs() as lines:
        await asyncio.gather(it.manager.act(operation(request), "otto"), return_exceptions=True)
    return [line for line in lines if line["event"].startswith("action.")]


async def test_an_action_on_a_service_is_found_by_its_operation_as_an_edit_is(it: Managed) -> None:
    (line,) = await lines_of(it, on_service("STOP"))

    running = deployment(it).operation
    assert running is not None
    assert line == {
        "event": "action.accepted",
        "log_level": "info",
        "user": "otto",
        "rpc": "serviceAction",
        "type": "STOP",
        "tenant": "t",
        "deployment": "d",
        "operations": [running.id],
    }


async def test_an_action_on_a_vm_is_found_by_the_vm_and_by_its_deployment(it: Managed) -> None:
    (line,) = await lines_of(it, on_vm("REBOOT", the_vm(it)))

    assert (line["event"], line["rpc"], line["type"]) == ("action.accepted", "vmAction", "REBOOT")
    assert (line["tenant"], line["deployment"], line["vm"]) == ("t", "d", the_vm(it))
    assert line["vm"].endswith(f"_{line['vm_id']}")
    assert not {"vm_name", "operation"} & line.keys()


async def test_a_refused_action_says_who_asked_for_what_and_why_not(it: Managed) -> None:
    (line,) = await lines_of(it, on_vm("START", the_vm(it)))

    assert (line["event"], line["log_level"]) == ("action.refused", "info")
    assert (line["user"], line["type"], line["vm"]) == ("otto", "START", the_vm(it))
    assert line["tag"] == "operation-failed"
    assert line["error"].startswith(f"START of VM [{the_vm(it)}]")


@pytest.mark.parametrize(
    ("request_", "rpc"),
    [
        (on_vm("STOP", NO_SUCH_VM), "vmAction"),
        (PURGE, "leftoverAction"),
        (RELEASE, "recoveryGuardAction"),
    ],
)
async def test_what_is_asked_of_what_is_not_there_is_logged_as_well(
    it: Managed, request_: str, rpc: str
) -> None:
    (line,) = await lines_of(it, request_)

    assert (line["event"], line["rpc"], line["tag"]) == ("action.refused", rpc, "data-missing")
    assert "tenant" not in line or line["tenant"] is None


async def test_an_action_that_could_not_be_stored_says_who_asked_for_it(
    it: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise StoreFull("no space left")

    monkeypatch.setattr(it.store, "commit", full)

    (line,) = await lines_of(it, on_service("STOP"))

    assert (line["event"], line["log_level"]) == ("action.not_stored", "error")
    assert (line["user"], line["deployment"]) == ("otto", "d")
    assert line["error"] == "no space left"


async def test_a_refused_edit_is_logged_in_the_same_words(it: Managed) -> None:
    # given a deployment that is being stopped, so that it takes no update
    await it.manager.act(operation(on_service("STOP")), "otto")

    with capture_logs() as lines, pytest.raises(RpcError):
        await it.edit(service(GROUP))

    (line,) = [line for line in lines if line["event"] == "edit.refused"]
    assert (line["user"], line["tag"], line["entries"]) == ("admin", "in-use", 1)
    assert line["paths"][0].endswith("/esc:deployment[esc:name='d']")
    assert line["error"].startswith("update of deployment d cannot be taken")


async def test_an_edit_that_is_only_tested_is_not_logged(it: Managed) -> None:
    await it.manager.act(operation(on_service("STOP")), "otto")

    with capture_logs() as lines, pytest.raises(RpcError):
        await it.edit(service(GROUP), "<test-option>test-only</test-option>")

    assert not [line for line in lines if line["event"].startswith("edit.")]
