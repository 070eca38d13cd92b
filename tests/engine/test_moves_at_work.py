"""VMs that move between two VIMs of a running engine."""

import asyncio

import pytest

from esc_daemon.domain.changed import replace
from esc_daemon.domain.connectors import connector_key
from esc_daemon.domain.errors import Node
from esc_daemon.domain.ids import DEFAULT_VIM, VimId
from esc_daemon.domain.intent import DefaultVimConnector, Deployment, Interface, Network
from esc_daemon.domain.record import VmRecord
from esc_daemon.domain.specs import VimStatus
from esc_daemon.domain.states import ServiceState
from esc_daemon.engine.edit import Change
from esc_daemon.engine.engine import Engine
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from tests.engine.connector_bench import (
    LAB,
    MOON,
    TENANT_CHANGE,
    Type,
    an_engine,
    configuring,
    connected,
    deploying,
    edit,
    refused,
    told,
)
from tests.engine.engine_bench import DEPLOYMENT, deployment_of
from tests.engine.engine_world import ShakyStore

pytestmark = pytest.mark.looptime(start=0, end=7200)

MOON_CONNECTOR = configuring(MOON)


@pytest.fixture
def type_():
    return Type()


@pytest.fixture
async def store():
    return ShakyStore()


async def stands(engine: Engine, *more: Change) -> None:
    """Let the deployment be active in `LAB`."""
    await engine.apply(edit(TENANT_CHANGE, deploying(LAB), *more))
    await asyncio.sleep(5)
    assert deployment_of(engine).state is ServiceState.ACTIVE


def the_vm(engine: Engine) -> VmRecord:
    [vm] = deployment_of(engine).vms.values()
    return vm


async def servers(type_: Type, vim: VimId) -> list[int]:
    """Return the generations of the servers in *vim*."""
    return [server.key.generation async for server in type_.last(vim).servers()]


def dies(type_: Type, vim: VimId) -> None:
    type_.last(vim).status = VimStatus.CONNECTION_FAILED
    type_.last(vim).cloud.faults.replace((Rule(fault=Fault.UNREACHABLE),))


def comes_back(type_: Type, vim: VimId) -> None:
    type_.last(vim).status = VimStatus.CONNECTION_SUCCESSFUL
    type_.last(vim).cloud.faults.replace(())


async def test_a_vm_moves_to_a_connector_that_comes_in_the_same_edit(type_, store):
    async with connected(type_, store) as engine:
        await stands(engine)
        vm = the_vm(engine)
        await engine.apply(edit(MOON_CONNECTOR, deploying(MOON)))
        await asyncio.sleep(5)
        assert (await servers(type_, LAB), await servers(type_, MOON)) == ([], [2])
        assert (the_vm(engine).id, the_vm(engine).vim) == (vm.id, MOON)
        assert (await told(store))[-3:] == [
            "VIM_OPERATIONAL_STATE SUCCESS",
            "VM_UPDATED SUCCESS",
            "SERVICE_UPDATED SUCCESS",
        ]


async def test_a_dead_vim_is_cleared_as_soon_as_it_works_again(type_, store):
    async with connected(type_, store) as engine:
        # given
        await stands(engine, MOON_CONNECTOR)
        dies(type_, LAB)
        # when
        await engine.apply(edit(deploying(MOON)))
        await asyncio.sleep(1500)
        # then
        assert (await told(store))[-1] == "SERVICE_UPDATED SUCCESS"
        assert await servers(type_, MOON) == [2]
        [left] = deployment_of(engine).leftovers
        assert (left.vm.vim, left.vm.generation) == (LAB, 1)
        # and when: sooner than a leftover's turn comes
        comes_back(type_, LAB)
        await asyncio.sleep(30)
        assert await servers(type_, LAB) == []
        assert await servers(type_, MOON) == [2]
        assert not deployment_of(engine).leftovers


@pytest.mark.parametrize("restarted", [False, True])
async def test_it_is_cleared_as_well_once_its_connector_was_mended(
    type_, store, *, restarted: bool
):
    # given
    async with connected(type_, store) as engine:
        await stands(engine, MOON_CONNECTOR)
        dies(type_, LAB)
        await engine.apply(edit(deploying(MOON)))
        await asyncio.sleep(1500)
        assert deployment_of(engine).leftovers
        clouds = {vim: type_.last(vim).cloud for vim in (LAB, MOON)}
        # when: the operator edits the connector, whose new driver finds the VIM to work
        for cloud in clouds.values():
            cloud.faults.replace(())
        type_.clouds = clouds
        type_.found[LAB] = None if restarted else VimStatus.CONNECTION_SUCCESSFUL
        await engine.apply(edit(configuring(LAB, properties=(("colour", "red"),))))
        await asyncio.sleep(30)
        if not restarted:
            assert not deployment_of(engine).leftovers
    # and when: it is found only by the next daemon
    type_.found[LAB] = VimStatus.CONNECTION_SUCCESSFUL
    async with an_engine({"SIMULATOR": type_}, store) as engine:
        await engine.restore()
        await asyncio.sleep(30)
        # then
        assert await servers(type_, LAB) == []
        assert await servers(type_, MOON) == [2]
        assert not deployment_of(engine).leftovers


async def test_what_the_new_vim_would_not_make_is_made_again_where_it_was(type_, store):
    async with connected(type_, store) as engine:
        await stands(engine, MOON_CONNECTOR)
        refusing = Rule(fault=Fault.REFUSE, verb=Verb.ENSURE_SERVER)
        type_.last(MOON).cloud.faults.replace((refusing,))
        await engine.apply(edit(deploying(MOON)))
        await asyncio.sleep(5)
        assert (await servers(type_, LAB), await servers(type_, MOON)) == ([3], [])
        assert (await told(store))[-2:] == ["VM_UPDATED FAILURE", "SERVICE_UPDATED FAILURE"]


async def test_a_move_goes_on_after_a_restart(type_, store):
    # given
    async with connected(type_, store) as engine:
        await stands(engine, MOON_CONNECTOR)
        hanging = Rule(fault=Fault.HANG, verb=Verb.ENSURE_SERVER)
        type_.last(MOON).cloud.faults.replace((hanging,))
        await engine.apply(edit(deploying(MOON)))
        await asyncio.sleep(5)
        clouds = {vim: type_.last(vim).cloud for vim in (LAB, MOON)}
    # when
    async with an_engine({"SIMULATOR": type_}, store) as engine:
        await engine.restore()
        for vim, cloud in clouds.items():
            cloud.faults.replace(())
            type_.last(vim).cloud = cloud
        await asyncio.sleep(300)
        # then
        assert (await servers(type_, LAB), await servers(type_, MOON)) == ([], [2])
        assert (await told(store))[-2:] == ["VM_UPDATED SUCCESS", "SERVICE_UPDATED SUCCESS"]


async def test_the_old_connector_is_in_use_until_the_vm_need_not_go_back(type_, store):
    async with connected(type_, store) as engine:
        await stands(engine, MOON_CONNECTOR, configuring(VimId("other")))
        await engine.apply(edit(deploying("other")))
        await asyncio.sleep(5)
        type_.last(MOON).gate.clear()
        await engine.apply(edit(deploying(MOON)))
        await asyncio.sleep(5)
        assert the_vm(engine).vim == MOON
        gone = await refused(engine, Change(key=connector_key(VimId("other")), intent=None))
        assert gone.tag == "in-use"
        type_.last(MOON).gate.set()
        await asyncio.sleep(60)
        await engine.apply(edit(Change(key=connector_key(VimId("other")), intent=None)))


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (VimStatus.CONNECTION_FAILED, "nothing can be made in VIM connector moon now"),
        (VimStatus.AUTHENTICATION_FAILED, "nothing can be made in VIM connector moon now"),
    ],
)
async def test_a_new_vim_that_does_not_work_is_refused_with_the_path(type_, store, status, text):
    type_.found[MOON] = status
    async with connected(type_, store) as engine:
        await stands(engine, MOON_CONNECTOR)
        before = engine.record(DEPLOYMENT)
        refusal = await refused(engine, deploying(MOON))
        assert refusal.below == (Node("vm_group", "g"), Node("locator"))
        assert text in refusal.text
        assert engine.record(DEPLOYMENT) is before


async def test_a_connector_that_is_not_there_is_refused_with_the_path(type_, store):
    async with connected(type_, store) as engine:
        await stands(engine)
        refusal = await refused(engine, deploying("nowhere"))
        assert refusal.below == (Node("vm_group", "g"), Node("locator"))
        assert "there is no VIM connector nowhere" in refusal.text


async def test_so_is_one_where_the_group_could_not_move_anyway(type_, store):
    # given: what ties it is no matter as long as nobody knows where it is to go
    async with connected(type_, store) as engine:
        await engine.apply(edit(TENANT_CHANGE, networked(LAB)))
        await asyncio.sleep(5)
        # when
        absent = await refused(engine, networked("nowhere"))
        tied = await refused(engine, configuring(MOON), networked(MOON))
    # then
    assert absent.text == "vm_group g: there is no VIM connector nowhere (there are: lab)"
    assert (absent.key, absent.below) == (DEPLOYMENT, (Node("vm_group", "g"), Node("locator")))
    assert "its network n is one of the deployment" in tied.text


def networked(vim: str) -> Change:
    """Return the deployment with a network of its own that its group is in."""
    bare = deploying(vim).intent
    assert isinstance(bare, Deployment)
    [group] = bare.groups
    inside = replace(group, interfaces=(Interface(nicid=0, network="n"),))
    intent = replace(bare, groups=(inside,), networks=(Network(name="n"),))
    return Change(key=DEPLOYMENT, intent=intent)


@pytest.mark.parametrize("same_type", [True, False])
async def test_vms_move_only_between_vims_of_a_type_that_can(store, *, same_type: bool):
    # given
    rigid, other = Type(migrates=False), Type()
    async with an_engine({"SIMULATOR": rigid, "OTHER": other}, store) as engine:
        moon = configuring(MOON, **({} if same_type else {"type": "OTHER"}))
        default = Change(key=DEFAULT_VIM, intent=DefaultVimConnector(vim_id=LAB))
        await engine.apply(edit(configuring(LAB), moon, default))
        await asyncio.sleep(1)
        await stands(engine)
        # when
        refusal = await refused(engine, deploying(MOON))
        # then
        assert refusal.tag == "operation-not-supported"
        assert refusal.below == (Node("vm_group", "g"), Node("locator"))
        assert "VMs do not move from VIM lab (type SIMULATOR) to VIM moon" in refusal.text
