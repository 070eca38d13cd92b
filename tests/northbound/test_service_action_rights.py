"""serviceAction, vmAction, recoveryVmAction: who may (RFC 8341), and upon whose deployments."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from esc_daemon.access.control import AccessControl
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import Key, Kind, TenantName
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.domain.states import ServiceState
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import EditConfig, parse_request
from esc_daemon.netconf.xml import NACM_NS
from esc_daemon.northbound.first_rules import first_rules
from tests.access_control import modules_of
from tests.northbound.managed import ESC, Managed, errors_of, managed, operation, service

ACTIONS = ("serviceAction", "vmAction", "recoveryVmAction")
OWNERS = (
    f'<nacm xmlns="{NACM_NS}" xmlns:e="{ESC}"><rule-list><name>owners</name><group>owners</group>'
    "<rule><name>own</name><path>/e:esc_datamodel/e:tenants/e:tenant[e:name=$USER]</path>"
    "<action>permit</action></rule>"
    "<rule><name>act</name><module-name>esc</module-name><rpc-name>*</rpc-name>"
    "<action>permit</action></rule></rule-list></nacm>"
)


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema.load()


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    """Return a manager with a deployment of the tenant t, and two owners of tenants."""
    async with managed(schema, groups={"t": {"owners"}, "w": {"owners"}}) as everything:
        await everything.engine.apply(first_rules(everything.datastore))
        await everything.edit(service())
        text = f"<edit-config><target><running/></target><config>{OWNERS}</config></edit-config>"
        request = parse_request(operation(text), now=datetime.now(UTC))
        assert isinstance(request, EditConfig)
        await everything.configuration.edit_config(request, "admin")
        yield everything


def the_vm(it: Managed) -> str:
    record = it.engine.record(Key(Kind.DEPLOYMENT, TenantName("t"), "d"))
    assert isinstance(record, DeploymentRecord)
    (vm,) = record.vms.values()
    return vm.name


def requests(it: Managed) -> list[str]:
    service_stops = "<actionType>STOP</actionType><tenantName>t</tenantName><depName>d</depName>"
    name = f"<vmName>{the_vm(it)}</vmName>"
    return [
        f'<serviceAction xmlns="{ESC}">{service_stops}</serviceAction>',
        f'<vmAction xmlns="{ESC}"><actionType>STOP</actionType>{name}</vmAction>',
        f'<recoveryVmAction xmlns="{ESC}"><actionType>DO</actionType>{name}</recoveryVmAction>',
    ]


async def test_who_may_not_update_a_deployment_may_not_act_upon_it(it: Managed) -> None:
    for request in requests(it):
        with pytest.raises(RpcError) as caught:
            await it.manager.act(operation(request), "w")
        assert errors_of(caught.value)[0][0] == "access-denied"


async def test_who_may_not_act_upon_a_vm_learns_not_whether_it_is_there(it: Managed) -> None:
    # given
    there = requests(it)[1:]
    elsewhere = [each.replace(the_vm(it), the_vm(it)[:-4] + "0000") for each in there]
    # when
    answers = []
    for request in (*there, *elsewhere):
        with pytest.raises(RpcError) as caught:
            await it.manager.act(operation(request), "w")
        answers.append((errors_of(caught.value), str(caught.value)))
    # then
    assert answers[0][0][0][0] == "access-denied"
    assert len({str(answer) for answer in answers}) == 1


async def test_who_may_act_upon_every_vm_learns_that_one_is_not_there(it: Managed) -> None:
    request = requests(it)[1].replace(the_vm(it), the_vm(it)[:-4] + "0000")
    with pytest.raises(RpcError) as caught:
        await it.manager.act(operation(request), "admin")
    assert errors_of(caught.value)[0][0] == "data-missing"


async def test_its_owner_may_act_upon_it(it: Managed) -> None:
    async with asyncio.timeout(10):
        while not active(it):  # noqa: ASYNC110  no event is at hand here
            await asyncio.sleep(0)

    assert not await it.manager.act(operation(requests(it)[0]), "t")


def active(it: Managed) -> bool:
    record = it.engine.record(Key(Kind.DEPLOYMENT, TenantName("t"), "d"))
    return isinstance(record, DeploymentRecord) and record.state is ServiceState.ACTIVE


@pytest.mark.parametrize("action", ACTIONS)
def test_a_reader_may_call_none_of_them(schema: Schema, action: str) -> None:
    control = AccessControl(
        rules=lambda: None,
        groups_of=lambda _: frozenset({"readers"}),
        model=schema,
        modules=modules_of(schema),
    )

    assert not control.rights("anna").may_call(ESC, action)
    assert control.rights("anna").may_call("urn:ietf:params:xml:ns:netconf:base:1.0", "get")
